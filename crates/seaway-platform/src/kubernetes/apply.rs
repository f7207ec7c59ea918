//! From a plan to objects in the cluster, and from an earlier plan's to a later one's.
//!
//! The API server is first asked what would change, so that what it refuses is refused before anything is written,
//! and a plan that is there already is left alone. The inventory is written first, with all that there may be from
//! then on, and once more when what is no longer wanted is gone: whatever is interrupted in between, the inventory
//! names everything.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use futures_util::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Secret},
};
use seaway_discovery::kubernetes::api::Resource;
use seaway_model::{
    Name,
    plan::{Plan, Role},
    status::Target,
};
use seaway_render::kubernetes::{
    INSTANCE, Inventory, KEEP, Object, ObjectReference, Setting, is_numbered, object_name, objects,
};
use serde_json::{Map, Value, json};

use super::{
    KubernetesPlatform,
    cluster::{Bare, Deletion, resource_of},
    observe::target_of,
};
use crate::{Action, Applied, Difference, PlatformError, difference};

/// How long somebody else has to finish making an instance whose objects are not all there.
const TIME_TO_MAKE: SignedDuration = SignedDuration::from_secs(15);

/// How long taking back what was made of an instance may hold up the error.
const TAKE_BACK_WITHIN: Duration = Duration::from_secs(20);

/// What is to be, and what of it differs from what is.
pub(super) struct Preview {
    namespace: Name,
    existing: Option<ConfigMap>,
    former: Option<Inventory>,
    objects: Vec<Object>,
    /// One for each object, in the same order; then those that go.
    pub(super) differences: Vec<Difference>,
    going: Vec<ObjectReference>,
}

impl Preview {
    fn changes_nothing(&self) -> bool {
        self.differences
            .iter()
            .all(|difference| difference.action == Action::Keep)
    }

    fn is_incomplete(&self) -> bool {
        self.differences
            .iter()
            .any(|difference| difference.action == Action::Create)
    }
}

impl KubernetesPlatform {
    /// What bringing a plan up would change, as the API server sees it. Nothing is written.
    pub(super) async fn compare_with_cluster(
        &self,
        document: &Value,
        plan: &Plan,
    ) -> Result<Vec<Difference>, PlatformError> {
        Ok(self.compare(document, plan).await?.differences)
    }

    pub(super) async fn apply_plan(&self, document: &Value, plan: &Plan) -> Result<Applied, PlatformError> {
        let preview = self.compare(document, plan).await?;
        let Some(existing) = &preview.existing else {
            return self.create(preview, plan).await;
        };
        if target_of(existing) != Target::Up {
            return Err(PlatformError::Busy {
                name: plan.instance.clone(),
                doing: "is going down".into(),
            });
        }
        if preview.changes_nothing() {
            return Ok(Applied::Unchanged);
        }
        // The objects of an instance that somebody else makes at this moment are not to be mixed with these.
        if preview.is_incomplete()
            && let Some(made) = existing.metadata.creation_timestamp.as_ref()
            && Timestamp::now().duration_since(made.0) < TIME_TO_MAKE
            && preview
                .former
                .as_ref()
                .is_none_or(|former| former.document != *document)
        {
            return Err(PlatformError::Busy {
                name: plan.instance.clone(),
                doing: format!(
                    "is already coming up: another `seaway up` began it at {}",
                    made.0.strftime("%H:%M:%S UTC")
                ),
            });
        }
        self.write(&preview).await?;
        if let Some(former) = &preview.former {
            self.follow_numbers(&former.plan, plan).await?;
        }
        Ok(Applied::Changed)
    }

    async fn create(&self, preview: Preview, plan: &Plan) -> Result<Applied, PlatformError> {
        let inventory = &preview.objects[0];
        // Of several that make it at once, one succeeds here.
        if self
            .cluster
            .create(Resource::ConfigMap, &inventory.body)
            .await?
            .is_none()
        {
            return Err(PlatformError::Busy {
                name: plan.instance.clone(),
                doing: "is already coming up: another `seaway up` began it a moment ago".into(),
            });
        }
        if let Err(error) = self.write(&preview).await {
            // Half an instance is none. What cannot be taken back now is taken back by `seaway down`.
            let take_back = tokio::time::timeout(TAKE_BACK_WITHIN, self.take_back(plan.instance.as_str()));
            if !matches!(take_back.await, Ok(Ok(()))) {
                tracing::warn!(
                    "what was made of {0} is still there; `seaway down {0}` removes it",
                    plan.instance
                );
            }
            return Err(error);
        }
        Ok(Applied::Created)
    }

    async fn take_back(&self, name: &str) -> Result<(), PlatformError> {
        self.begin_removal(name, true).await?;
        while self.look(name).await?.is_some() {
            self.watches.changed(&self.cluster, Duration::from_secs(1)).await;
        }
        Ok(())
    }

    /// Writes what differs, and deletes what goes.
    async fn write(&self, preview: &Preview) -> Result<(), PlatformError> {
        let inventory = &preview.objects[0];
        if preview.going.is_empty() {
            self.cluster.apply(inventory).await?;
        } else {
            self.cluster.apply(&with(inventory, &preview.going)?).await?;
        }
        let differs = |index: usize| preview.differences[index].action != Action::Keep;
        let (pods, rest): (Vec<usize>, Vec<usize>) = (1..preview.objects.len())
            .filter(|&index| differs(index))
            .partition(|&index| matches!(preview.objects[index].kind, "Deployment" | "StatefulSet"));
        // What pods need is there before they are.
        for wave in [rest, pods] {
            try_join_all(
                wave.into_iter()
                    .map(|index| self.cluster.apply(&preview.objects[index])),
            )
            .await?;
        }
        if preview.going.is_empty() {
            return Ok(());
        }
        let instance = preview.instance();
        try_join_all(
            preview
                .going
                .iter()
                .map(|reference| self.delete_gone(instance, reference)),
        )
        .await?;
        self.cluster.apply(inventory).await?;
        Ok(())
    }

    /// Deletes an object that the document no longer has, unless it is somebody else's or to be kept.
    async fn delete_gone(&self, instance: &str, reference: &ObjectReference) -> Result<(), PlatformError> {
        let Some(resource) = Resource::of(&reference.api_version, &reference.kind) else {
            return Ok(());
        };
        let Some(found) = self.cluster.get::<Bare>(resource, &reference.name).await? else {
            return Ok(());
        };
        let label = found
            .metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(INSTANCE));
        let keep = found
            .metadata
            .annotations
            .as_ref()
            .is_some_and(|annotations| annotations.contains_key(KEEP));
        if label.map(String::as_str) != Some(instance) || keep {
            return Ok(());
        }
        let uid = found.metadata.uid.as_deref();
        self.cluster
            .delete(resource, &reference.name, uid, Deletion::Whole)
            .await
    }

    /// What is to be beside what is.
    async fn compare(&self, document: &Value, plan: &Plan) -> Result<Preview, PlatformError> {
        let namespace = self.namespace().await?;
        let name = plan.instance.as_str();
        let secret_name = object_name(&plan.instance, "secrets");
        let (existing, secret, numbers) = futures_util::future::try_join3(
            self.inventory(name),
            self.cluster.get::<Secret>(Resource::Secret, &secret_name),
            self.numbers(plan),
        )
        .await?;
        let former = existing
            .as_ref()
            .and_then(|map| Inventory::read(&json!(map.data)).ok());
        let secrets = secrets(plan, secret.as_ref())?;
        let setting = Setting {
            namespace: &namespace,
            document,
            secrets: &secrets,
            agent_image: &self.options.agent_image,
        };
        let inventory = objects(plan, &setting)?.swap_remove(0);
        let mut objects = objects(
            &as_it_runs(plan, former.as_ref().map(|former| &former.plan), &numbers),
            &setting,
        )?;
        // The inventory says what was asked for, the rest what runs.
        objects[0] = inventory;
        objects.iter_mut().for_each(encode);
        let names = objects
            .iter()
            .map(|object| Ok((resource_of(object)?, object.name.clone())))
            .collect::<Result<Vec<_>, PlatformError>>()?;
        let live = self.cluster.get_all(&names).await?;
        for (object, live) in objects.iter().zip(&live) {
            check_free(&plan.instance, object, live.as_ref())?;
        }
        let tried = try_join_all(objects.iter().map(|object| self.cluster.try_apply(object))).await?;
        let mut differences: Vec<Difference> = objects
            .iter()
            .zip(live.iter().zip(&tried))
            .map(|(object, (live, tried))| {
                let fields = live
                    .as_ref()
                    .map_or_else(Vec::new, |live| difference::fields(live, tried));
                Difference {
                    object: object.path(),
                    action: match live {
                        None => Action::Create,
                        Some(_) if fields.is_empty() => Action::Keep,
                        Some(_) => Action::Change,
                    },
                    fields,
                }
            })
            .collect();
        let going: Vec<ObjectReference> = former
            .iter()
            .flat_map(|former| &former.objects)
            .filter(|reference| {
                !objects
                    .iter()
                    .any(|object| object.kind == reference.kind && object.name == reference.name)
            })
            .cloned()
            .collect();
        differences.extend(going.iter().map(|reference| Difference {
            object: format!("{}/{}", reference.kind, reference.name),
            action: Action::Delete,
            fields: Vec::new(),
        }));
        Ok(Preview {
            namespace,
            existing,
            former,
            objects,
            differences,
            going,
        })
    }

    /// How many tasks the scalable roles of a plan have now.
    async fn numbers(&self, plan: &Plan) -> Result<BTreeMap<Name, u32>, PlatformError> {
        let roles: Vec<&Role> = plan.roles.iter().filter(|role| role.scalable).collect();
        let found = try_join_all(roles.iter().map(|role| {
            let name = object_name(&plan.instance, role.name.as_str());
            async move {
                self.cluster
                    .get::<StatefulSet>(Resource::StatefulSet, &name)
                    .await
            }
        }))
        .await?;
        Ok(roles
            .into_iter()
            .zip(found)
            .filter_map(|(role, set)| {
                let replicas = set?.spec?.replicas?;
                Some((role.name.clone(), u32::try_from(replicas).ok()?))
            })
            .collect())
    }

    /// A document that wants fewer tasks takes them away as `scale` does: what they hold is handed over first.
    async fn follow_numbers(&self, former: &Plan, plan: &Plan) -> Result<(), PlatformError> {
        for role in plan.roles.iter().filter(|role| role.scalable) {
            let was = former.role(role.name.as_str());
            if was.is_some_and(|was| was.replicas != role.replicas) {
                self.set_scale(plan.instance.as_str(), role.name.as_str(), role.replicas, false)
                    .await?;
            }
        }
        Ok(())
    }
}

impl Preview {
    fn instance(&self) -> &str {
        self.objects[0].body["metadata"]["labels"][INSTANCE]
            .as_str()
            .unwrap_or_default()
    }
}

impl std::fmt::Debug for Preview {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Preview")
            .field("namespace", &self.namespace)
            .field("differences", &self.differences)
            .finish_non_exhaustive()
    }
}

/// A plan with the numbers of tasks that there are: those that a user asked for stay while the document's do not
/// change, and fewer are reached one by one, not by applying.
fn as_it_runs(plan: &Plan, former: Option<&Plan>, numbers: &BTreeMap<Name, u32>) -> Plan {
    let mut plan = plan.clone();
    for role in plan.roles.iter_mut().filter(|role| is_numbered(role)) {
        let Some(&now) = numbers.get(&role.name) else {
            continue;
        };
        let was = former.and_then(|former| former.role(role.name.as_str()));
        if was.is_some_and(|was| was.replicas == role.replicas) || now > role.replicas {
            role.replicas = now;
        }
    }
    plan
}

/// The values of a plan's secrets: what the user gives or what is made once, and kept until the
/// instance goes.
fn secrets(plan: &Plan, existing: Option<&Secret>) -> Result<BTreeMap<Name, String>, PlatformError> {
    let kept = |name: &Name| {
        let value = existing?.data.as_ref()?.get(name.as_str())?;
        String::from_utf8(value.0.clone()).ok()
    };
    plan.secrets
        .iter()
        .map(|secret| {
            let value = match kept(&secret.name) {
                Some(value) => value,
                None => secret
                    .given()?
                    .unwrap_or_else(|| hex::encode(rand::random::<[u8; 32]>())),
            };
            Ok((secret.name.clone(), value))
        })
        .collect()
}

/// Secrets as the API server keeps them: what is written as text has another owner than what is read.
fn encode(object: &mut Object) {
    let Some(Value::Object(texts)) = object
        .body
        .as_object_mut()
        .and_then(|body| body.remove("stringData"))
    else {
        return;
    };
    let data: Map<String, Value> = texts
        .into_iter()
        .map(|(name, value)| (name, BASE64.encode(value.as_str().unwrap_or_default()).into()))
        .collect();
    object.body["data"] = data.into();
}

/// Refuses to take over what is somebody else's.
fn check_free(instance: &Name, object: &Object, live: Option<&Value>) -> Result<(), PlatformError> {
    let Some(live) = live else { return Ok(()) };
    if live["metadata"]["labels"][INSTANCE].as_str() == Some(instance.as_str()) {
        return Ok(());
    }
    Err(PlatformError::Occupied {
        object: object.path(),
        instance: instance.clone(),
    })
}

/// An inventory that names these objects too.
fn with(inventory: &Object, more: &[ObjectReference]) -> Result<Object, PlatformError> {
    let mut inventory = inventory.clone();
    let damaged = |error: serde_json::Error| PlatformError::Unsupported {
        platform: "kubernetes",
        what: format!("the inventory as it was rendered: {error}"),
    };
    let text = inventory.body["data"]["objects"].as_str().unwrap_or("[]");
    let mut all: Vec<ObjectReference> = serde_json::from_str(text).map_err(damaged)?;
    all.extend_from_slice(more);
    inventory.body["data"]["objects"] = serde_json::to_string(&all).map_err(damaged)?.into();
    Ok(inventory)
}
