//! The cluster as steps see it: what is there, made as it should be, waited for; and what was done, written down.

use std::time::Duration;

use http::{Method, StatusCode};
use seaway_discovery::kubernetes::api::{Answer, Connection, Form, Resource, Target, What, essence};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::{
    Error, Report, Request, Result,
    report::{Did, StepReport, blotted},
};

/// Who made it, as the usual tools show it.
pub(crate) const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "seaway");
/// What it belongs to.
pub(crate) const PART_OF: (&str, &str) = ("app.kubernetes.io/part-of", "seaway-setup");
/// On objects outside of namespaces: the namespace that they were made for.
pub(crate) const FOR: &str = "seaway.dev/setup-namespace";

/// Longest time for one watch; the API server ends it then and is asked anew.
const WATCH: Duration = Duration::from_secs(60);

/// What is there already, and is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    /// It serves as well.
    Serve,
    /// It must not be overwritten.
    Refuse,
}

/// The cluster, and what was done there.
pub(crate) struct Cluster<'a> {
    connection: &'a Connection,
    pub(crate) namespace: String,
    pub(crate) report: Report,
    pub(crate) dry_run: bool,
    pub(crate) patience: Option<Duration>,
    /// Whether the namespace is there; in one that is not, nothing can be tried.
    pub(crate) has_namespace: bool,
}

impl<'a> Cluster<'a> {
    pub(crate) async fn new(connection: &'a Connection, request: &Request) -> Result<Self> {
        let session = connection
            .session()
            .await
            .map_err(Error::api("cluster", "the way to the API server"))?;
        Ok(Self {
            connection,
            namespace: session.namespace.clone(),
            report: Report {
                server: session.url.clone(),
                namespace: session.namespace.clone(),
                dry_run: request.dry_run,
                ..Report::default()
            },
            dry_run: request.dry_run,
            patience: request.patience,
            has_namespace: false,
        })
    }

    /// Writes down what was done.
    pub(crate) fn done(
        &mut self,
        step: &'static str,
        object: impl Into<String>,
        did: Did,
        why: impl Into<String>,
    ) {
        let report = StepReport {
            step,
            object: object.into(),
            did,
            why: why.into(),
        };
        tracing::debug!(step, object = report.object, did = did.words());
        self.report.steps.push(report);
    }

    /// Something that somebody has to know.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.report.notes.push(text.into());
    }

    /// One request. The statuses in `expected` are no errors.
    pub(crate) async fn send(
        &self,
        step: &'static str,
        method: Method,
        target: &Target,
        body: Option<(Form, &Value)>,
        expected: &[StatusCode],
    ) -> Result<Answer> {
        let name = match &target.what {
            What::Named(name) | What::Applied(name) | What::Tried(name) | What::Part(name, _) => {
                name.as_str()
            }
            _ => "",
        };
        let what = format!("{} {name}", target.resource.kind());
        self.connection
            .send(method, target, body, expected)
            .await
            .map_err(Error::api(step, what.trim_end()))
    }

    /// The object of this name, if it is there.
    pub(crate) async fn get(
        &self,
        step: &'static str,
        resource: Resource,
        name: &str,
    ) -> Result<Option<Value>> {
        let target = Target::named(resource, name);
        let answer = self
            .send(step, Method::GET, &target, None, &[StatusCode::NOT_FOUND])
            .await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        read(&answer, step, &format!("{} {name}", resource.kind())).map(Some)
    }

    /// All of a kind with these labels.
    pub(crate) async fn list(
        &self,
        step: &'static str,
        resource: Resource,
        labels: &str,
    ) -> Result<Vec<Value>> {
        let mut found = Vec::new();
        let mut from = None;
        loop {
            let target = Target {
                resource,
                what: What::Selected(labels.to_owned(), from.take()),
            };
            let answer = self.send(step, Method::GET, &target, None, &[]).await?;
            let list: Value = read(&answer, step, resource.kind())?;
            for item in list["items"].as_array().into_iter().flatten() {
                let mut item = item.clone();
                // Items of a list do not say what they are.
                item["apiVersion"] = resource.api_version().into();
                item["kind"] = resource.kind().into();
                found.push(item);
            }
            match list["metadata"]["continue"].as_str() {
                Some(next) if !next.is_empty() => from = Some(next.to_owned()),
                _ => return Ok(found),
            }
        }
    }

    /// Makes an object as it should be, and writes down what was done. What is ours is changed; what is not is left as
    /// it is or is an error. Gives back what is there now.
    pub(crate) async fn ensure(
        &mut self,
        step: &'static str,
        object: Value,
        others: Others,
        why: impl Into<String>,
    ) -> Result<Value> {
        let object = self.labelled(object);
        let (resource, name) = identity(&object)?;
        let what = format!("{} {name}", resource.kind());
        let can_try = self.has_namespace || !resource.is_namespaced();
        let present = if can_try {
            self.get(step, resource, &name).await?
        } else {
            None
        };
        if let Some(present) = present {
            if !is_ours(&present) {
                if others == Others::Refuse {
                    return Err(Error::Occupied { step, what });
                }
                self.done(step, what, Did::Kept, why);
                return Ok(present);
            }
            let tried = self.apply(step, resource, &name, &object, true).await?;
            if essence(&tried) == essence(&present) {
                self.done(step, what, Did::Unchanged, why);
                self.print(&object);
                return Ok(present);
            }
            if self.dry_run {
                self.done(step, what, Did::WouldChange, why);
                self.print(&object);
                return Ok(tried);
            }
            let applied = self.apply(step, resource, &name, &object, false).await?;
            self.done(step, what, Did::Changed, why);
            return Ok(applied);
        }
        if self.dry_run {
            if can_try {
                self.apply(step, resource, &name, &object, true).await?;
            }
            self.done(step, what, Did::WouldCreate, why);
            self.print(&object);
            return Ok(object);
        }
        let applied = self.apply(step, resource, &name, &object, false).await?;
        self.done(step, what, Did::Created, why);
        Ok(applied)
    }

    /// Keeps an object for the output of a dry run.
    pub(crate) fn print(&mut self, object: &Value) {
        if self.dry_run {
            self.report.objects.push(blotted(object));
        }
    }

    /// The object with our labels, in the namespace.
    pub(crate) fn labelled(&self, mut object: Value) -> Value {
        let namespaced = identity(&object).is_ok_and(|(resource, _)| resource.is_namespaced());
        let namespace = self.namespace.clone();
        let metadata = &mut object["metadata"];
        for (label, value) in [MANAGED_BY, PART_OF] {
            metadata["labels"][label] = value.into();
        }
        if namespaced {
            metadata["namespace"] = namespace.into();
        } else {
            metadata["labels"][FOR] = namespace.into();
        }
        object
    }

    /// Applies an object as it is; or only tries to.
    pub(crate) async fn apply(
        &self,
        step: &'static str,
        resource: Resource,
        name: &str,
        object: &Value,
        only_try: bool,
    ) -> Result<Value> {
        let name = name.to_owned();
        let target = Target {
            resource,
            what: if only_try {
                What::Tried(name)
            } else {
                What::Applied(name)
            },
        };
        let answer = self
            .send(step, Method::PATCH, &target, Some((Form::Apply, object)), &[])
            .await?;
        read(&answer, step, resource.kind())
    }

    /// Deletes an object; `true` when it was there.
    pub(crate) async fn delete(&self, step: &'static str, resource: Resource, name: &str) -> Result<bool> {
        let target = Target::named(resource, name);
        // What makes pods goes after them: when it is gone, all is gone. The rest owns nothing.
        let policy = if resource == Resource::Deployment {
            "Foreground"
        } else {
            "Background"
        };
        let body = json!({ "propagationPolicy": policy });
        let answer = self
            .send(
                step,
                Method::DELETE,
                &target,
                Some((Form::Json, &body)),
                &[StatusCode::NOT_FOUND],
            )
            .await?;
        Ok(answer.status != StatusCode::NOT_FOUND)
    }

    /// Waits until `ready` has something to say about an object (`None`: it is gone), and gives that back; `None` when
    /// the time is up.
    pub(crate) async fn until<T>(
        &self,
        step: &'static str,
        resource: Resource,
        name: &str,
        patience: Duration,
        mut ready: impl FnMut(Option<&Value>) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let deadline = Instant::now() + patience;
        loop {
            let object = self.get(step, resource, name).await?;
            if let Some(found) = ready(object.as_ref())? {
                return Ok(Some(found));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let Some(object) = object else {
                // It is to come, and somebody else makes it.
                tokio::time::sleep(left.min(Duration::from_millis(100))).await;
                continue;
            };
            let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
            let target = Target {
                resource,
                what: What::Changes(
                    selector(&object),
                    version.to_owned(),
                    left.min(WATCH).as_secs().max(1),
                ),
            };
            match timeout(left, self.connection.watch(&target)).await {
                Ok(Ok(())) | Err(_) => {}
                // Too old a version, or the connection broke: look again, but not at once.
                Ok(Err(seaway_discovery::Error::Http { .. } | seaway_discovery::Error::Connect { .. })) => {
                    tokio::time::sleep(left.min(Duration::from_millis(250))).await;
                }
                Ok(Err(error)) => return Err(Error::api(step, format!("{} {name}", resource.kind()))(error)),
            }
        }
    }
}

/// Our labels, as a selector. Some objects of others are watched too.
fn selector(object: &Value) -> String {
    if is_ours(object) {
        return ours();
    }
    String::new()
}

/// What all objects of setup have.
pub(crate) fn ours() -> String {
    [MANAGED_BY, PART_OF]
        .map(|(label, value)| format!("{label}={value}"))
        .join(",")
}

/// Whether setup made it.
pub(crate) fn is_ours(object: &Value) -> bool {
    [MANAGED_BY, PART_OF]
        .iter()
        .all(|(label, value)| object["metadata"]["labels"][label] == *value)
}

/// Kind and name of an object that we made up.
fn identity(object: &Value) -> Result<(Resource, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    let resource = Resource::of(&version, &kind).ok_or_else(|| Error::Asked {
        field: "object",
        reason: format!("{version} {kind} is not known here"),
    })?;
    Ok((resource, text(&object["metadata"]["name"])))
}

pub(crate) fn read(answer: &Answer, step: &'static str, what: &str) -> Result<Value> {
    answer.read(what).map_err(Error::api(step, what))
}
