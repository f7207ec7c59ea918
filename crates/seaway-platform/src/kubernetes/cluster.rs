//! What is read from a cluster and written to it: one object at a time, or those with certain labels.

use futures_util::future::try_join_all;
use http::{Method, StatusCode};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use seaway_discovery::{
    Error, Variables,
    kubernetes::api::{Connection, Form, Resource, Settings, Target, What},
};
use seaway_model::{Name, discovery};
use seaway_render::kubernetes::Object;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::PlatformError;

/// A cluster, seen from one namespace.
#[derive(Clone)]
pub(super) struct Cluster {
    pub(super) connection: std::sync::Arc<Connection>,
}

/// A list of objects, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct List<T> {
    #[serde(default)]
    metadata: ListMetadata,
    #[serde(default = "Vec::new")]
    items: Vec<T>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMetadata {
    #[serde(default)]
    resource_version: String,
    #[serde(default, rename = "continue")]
    next: Option<String>,
}

/// An object of which only what all objects have matters.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Bare {
    pub(super) metadata: ObjectMeta,
}

/// How an object is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deletion {
    /// It goes when all that belongs to it is gone.
    Whole,
    /// It is gone when this returns; nothing belongs to it.
    Alone,
    /// It goes at once, without time to end well.
    Forced,
}

/// What to do about an error of a cluster.
#[must_use]
pub fn hint(error: &Error) -> Option<String> {
    match error {
        Error::Forbidden { .. } => Some(
            "`seaway doctor kubernetes --for run` shows which permissions are missing; `seaway rbac --for run` prints a Role that has \
             them"
                .into(),
        ),
        Error::Http { status: 404, .. } => None,
        error => error.hint(),
    }
}

/// Whether the same may work a little later.
pub(super) const fn is_passing(error: &Error) -> bool {
    match error {
        Error::Timeout { .. } | Error::Connect { .. } => true,
        Error::Http { status, .. } => matches!(*status, 429 | 500 | 502 | 503 | 504),
        _ => false,
    }
}

impl Cluster {
    pub(super) fn new(
        spec: &discovery::KubernetesDirectory,
        variables: &Variables,
    ) -> Result<Self, PlatformError> {
        let settings = Settings::new(spec, variables).map_err(refused)?;
        Ok(Self {
            connection: Connection::new(settings).patient().into(),
        })
    }

    pub(super) async fn namespace(&self) -> Result<Name, PlatformError> {
        let session = self.connection.session().await.map_err(refused)?;
        session
            .namespace
            .parse()
            .map_err(|error| PlatformError::ClusterSettings {
                field: "namespace",
                reason: format!("`{}`: {error}", session.namespace),
            })
    }

    async fn send(
        &self,
        method: Method,
        target: &Target,
        body: Option<(Form, &Value)>,
        expected: &[StatusCode],
    ) -> Result<(StatusCode, Value), PlatformError> {
        let answer = self
            .connection
            .send(method, target, body, expected)
            .await
            .map_err(refused)?;
        Ok((
            answer.status,
            answer.read("the answer of the API server").map_err(refused)?,
        ))
    }

    /// An object; `None` when it is not there.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        resource: Resource,
        name: &str,
    ) -> Result<Option<T>, PlatformError> {
        let answer = self
            .connection
            .send(
                Method::GET,
                &Target::named(resource, name),
                None,
                &[StatusCode::NOT_FOUND],
            )
            .await
            .map_err(refused)?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        answer
            .read(&format!("{} `{name}`", resource.kind()))
            .map(Some)
            .map_err(refused)
    }

    /// All objects with these labels, and the version of the list.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        resource: Resource,
        labels: &str,
    ) -> Result<(Vec<T>, String), PlatformError> {
        let mut all = Vec::new();
        let mut from = None;
        loop {
            let target = Target {
                resource,
                what: What::Selected(labels.to_owned(), from.take()),
            };
            let list: List<T> = self.read_list(&target).await?;
            all.extend(list.items);
            match list.metadata.next.filter(|next| !next.is_empty()) {
                Some(next) => from = Some(next),
                None => return Ok((all, list.metadata.resource_version)),
            }
        }
    }

    /// Objects whose fields are so; the first few hundred of them.
    pub(super) async fn fields<T: DeserializeOwned>(
        &self,
        resource: Resource,
        fields: &str,
    ) -> Result<Vec<T>, PlatformError> {
        let target = Target {
            resource,
            what: What::Fields(fields.to_owned()),
        };
        Ok(self.read_list(&target).await?.items)
    }

    async fn read_list<T: DeserializeOwned>(&self, target: &Target) -> Result<List<T>, PlatformError> {
        let answer = self
            .connection
            .send(Method::GET, target, None, &[])
            .await
            .map_err(refused)?;
        answer
            .read(&format!("the list of {}", target.resource.plural()))
            .map_err(refused)
    }

    /// Makes a new object; `None` when one of its name is there.
    pub(super) async fn create(
        &self,
        resource: Resource,
        body: &Value,
    ) -> Result<Option<Value>, PlatformError> {
        let target = Target {
            resource,
            what: What::New,
        };
        let (status, answer) = self
            .send(
                Method::POST,
                &target,
                Some((Form::Json, body)),
                &[StatusCode::CONFLICT],
            )
            .await?;
        Ok((status != StatusCode::CONFLICT).then_some(answer))
    }

    /// Makes an object be so.
    pub(super) async fn apply(&self, object: &Object) -> Result<Value, PlatformError> {
        let target = Target::applied(resource_of(object)?, &object.name);
        let (_, answer) = self
            .send(Method::PATCH, &target, Some((Form::Apply, &object.body)), &[])
            .await?;
        Ok(answer)
    }

    /// What an object would be after it was applied. Nothing is written.
    pub(super) async fn try_apply(&self, object: &Object) -> Result<Value, PlatformError> {
        let target = Target {
            resource: resource_of(object)?,
            what: What::Tried(object.name.clone()),
        };
        let (_, answer) = self
            .send(Method::PATCH, &target, Some((Form::Apply, &object.body)), &[])
            .await?;
        Ok(answer)
    }

    /// Changes a few fields of an object; `false` when it is not there.
    pub(super) async fn merge(
        &self,
        resource: Resource,
        name: &str,
        patch: &Value,
    ) -> Result<bool, PlatformError> {
        let (status, _) = self
            .send(
                Method::PATCH,
                &Target::named(resource, name),
                Some((Form::Merge, patch)),
                &[StatusCode::NOT_FOUND],
            )
            .await?;
        Ok(status != StatusCode::NOT_FOUND)
    }

    /// Deletes an object, if it is there and still the one with that identity.
    pub(super) async fn delete(
        &self,
        resource: Resource,
        name: &str,
        uid: Option<&str>,
        deletion: Deletion,
    ) -> Result<(), PlatformError> {
        let mut body =
            json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground"});
        if deletion != Deletion::Whole {
            body["propagationPolicy"] = "Background".into();
        }
        if deletion == Deletion::Forced {
            body["gracePeriodSeconds"] = 0.into();
        }
        if let Some(uid) = uid {
            body["preconditions"] = json!({"uid": uid});
        }
        self.send(
            Method::DELETE,
            &Target::named(resource, name),
            Some((Form::Json, &body)),
            &[StatusCode::NOT_FOUND, StatusCode::CONFLICT],
        )
        .await?;
        Ok(())
    }

    /// The objects of these names that are there.
    pub(super) async fn get_all(
        &self,
        names: &[(Resource, String)],
    ) -> Result<Vec<Option<Value>>, PlatformError> {
        try_join_all(names.iter().map(|(resource, name)| self.get(*resource, name))).await
    }
}

/// The resource of a rendered object.
pub(super) fn resource_of(object: &Object) -> Result<Resource, PlatformError> {
    Resource::of(object.api_version, object.kind).ok_or_else(|| PlatformError::Unsupported {
        platform: "kubernetes",
        what: format!("objects of kind {} {}", object.api_version, object.kind),
    })
}

/// An error of the connection as one of the platform.
pub(super) fn refused(error: Error) -> PlatformError {
    match error {
        Error::Configuration { field, reason, .. } => PlatformError::ClusterSettings { field, reason },
        Error::Forbidden {
            reason, directory, ..
        } if reason.contains("because it is being terminated") => {
            let namespace = directory.split('`').nth(1).and_then(|name| name.parse().ok());
            PlatformError::NamespaceEnds(namespace.unwrap_or(Name::literal("default")))
        }
        error => PlatformError::Cluster(error),
    }
}
