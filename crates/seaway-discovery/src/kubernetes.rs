//! A Kubernetes namespace: what an entry says becomes a Service that every pod reaches by its name.
//!
//! Each entry has a Lease, `seaway-NAME`, which is changed only in the version that was read: it decides who holds the
//! entry, and until when. The Service, and for an engine outside of the cluster the addresses behind it, are applied by
//! the holder alone, and belong to the Lease (to the pod, for an engine inside), so that they go with it. Every write
//! is of one field manager, `seaway`, and nothing that does not carry our label is ever touched.
//!
//! Times are judged by the API server's clock, so that machines whose clocks differ agree.

pub mod access;
mod connection;
mod objects;
mod record;
mod resource;
mod settings;

use std::{
    collections::BTreeMap,
    fmt,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};
use http::{Method, StatusCode};
use jiff::Timestamp;
use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use seaway_model::{
    Name, Period,
    discovery::{self, KubernetesPlacement},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

pub use record::from_answer;

use self::{
    connection::{Connection, Form},
    objects::{ENTRY, LEASE_UID, MANAGED_BY, MANAGER, Object, Owner},
    record::Holder,
    resource::{Resource, Target, What, lease_name},
    settings::{Settings, configuration},
};
use crate::{Defaults, Directory, Entry, Error, LOOK_AGAIN, Result, file, route};

/// Lease where the document names none.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(30);

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a Lease that somebody else changes at the same moment is looked at again.
const TURNS: usize = 16;

/// Shortest time between two looks at what changes: renewals are changes too, and there may be many.
const CALM: Duration = Duration::from_millis(250);

/// A Kubernetes namespace.
pub struct KubernetesDirectory {
    connection: Connection,
    spec: discovery::KubernetesDirectory,
    lease: Duration,
    /// What we hold, as it was when we last saw it.
    kept: Mutex<BTreeMap<Name, Kept>>,
    /// Version of the last list, from which changes are waited for.
    seen: Mutex<Option<String>>,
}

/// An entry that we hold.
#[derive(Debug, Clone)]
struct Kept {
    entry: Entry,
    version: String,
    /// When the Service and what is behind it were last confirmed.
    confirmed: Instant,
}

/// A Lease that is ours.
#[derive(Debug)]
struct Claim {
    uid: String,
    version: String,
    /// Whether there was none before.
    fresh: bool,
}

/// A list of objects, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(bound = "T: serde::de::DeserializeOwned")]
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

/// An object of which only its name, its labels and who made it matter.
#[derive(Debug, Deserialize)]
struct Bare {
    metadata: ObjectMeta,
}

impl Bare {
    fn label(&self, key: &str) -> Option<&str> {
        Some(self.metadata.labels.as_ref()?.get(key)?.as_str())
    }

    fn lease(&self) -> Option<&str> {
        Some(self.metadata.annotations.as_ref()?.get(LEASE_UID)?.as_str())
    }

    fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    fn manager(&self) -> String {
        let managers = self.metadata.managed_fields.as_deref().unwrap_or_default();
        managers
            .first()
            .and_then(|first| first.manager.clone())
            .unwrap_or_default()
    }
}

impl fmt::Debug for KubernetesDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubernetesDirectory")
            .field("settings", &self.connection.settings)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

impl KubernetesDirectory {
    /// The directory a document asks for. Nothing is read or contacted before the first use.
    pub fn open(spec: &discovery::KubernetesDirectory, defaults: &Defaults) -> Result<Self> {
        let lease = spec.lease.map_or(DEFAULT_LEASE, Period::duration);
        file::check_lease("kubernetes", lease)?;
        if seconds(lease) > i32::MAX.unsigned_abs() {
            return Err(configuration(
                "lease",
                "Kubernetes takes no lease as long as that",
            ));
        }
        Ok(Self {
            connection: Connection::new(Settings::new(spec, &defaults.variables)?),
            spec: spec.clone(),
            lease,
            kept: Mutex::default(),
            seen: Mutex::default(),
        })
    }

    fn placement(&self) -> KubernetesPlacement {
        self.connection.settings.placement
    }

    fn kept(&self, name: &Name) -> Option<Kept> {
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    fn keep(&self, name: &Name, kept: Option<Kept>) {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match kept {
            Some(kept) => {
                all.insert(name.clone(), kept);
            }
            None => {
                all.remove(name);
            }
        }
    }

    async fn read_lease(&self, name: &Name) -> Result<Option<Lease>> {
        let target = Target::named(Resource::Lease, lease_name(name));
        let answer = self
            .connection
            .send(Method::GET, &target, None, &[StatusCode::NOT_FOUND])
            .await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        answer
            .read(&format!("the Lease `{}`", lease_name(name)))
            .map(Some)
    }

    /// Makes the Lease ours: a new one, our own, or one that nobody holds any more.
    async fn claim(&self, entry: &Entry, pod: Option<&Owner>) -> Result<Claim> {
        let duration = seconds(self.lease);
        for _ in 0..TURNS {
            let wanted = objects::lease(entry, duration, self.connection.clock.now(), pod)?;
            let target = Target {
                resource: Resource::Lease,
                what: What::New,
            };
            let answer = self
                .connection
                .send(
                    Method::POST,
                    &target,
                    Some((Form::Json, &wanted)),
                    &[StatusCode::CONFLICT],
                )
                .await?;
            if answer.status != StatusCode::CONFLICT {
                return claim_of(&answer.read::<Lease>("the new Lease")?, true);
            }
            let Some(present) = self.read_lease(&entry.name).await? else {
                continue;
            };
            self.check_holder(entry, &present)?;
            if let Some(claim) = self.take_over(entry, wanted, &present).await? {
                return Ok(claim);
            }
        }
        Err(Error::Deadline {
            directory: self.describe(),
            after: self.connection.settings.timeout,
        })
    }

    /// Whether another owner holds the Lease.
    fn check_holder(&self, entry: &Entry, present: &Lease) -> Result<()> {
        let labels = present.metadata.labels.as_ref();
        if labels.and_then(|all| all.get(MANAGED_BY)).map(String::as_str) != Some(MANAGER) {
            return Err(Error::Occupied {
                what: format!("Lease `{}`", lease_name(&entry.name)),
                directory: self.describe(),
                holder: String::new(),
            });
        }
        match record::holder(present, self.connection.clock.now()) {
            Holder::Until(owner, end) if owner != entry.owner => Err(Error::Held {
                name: entry.name.clone(),
                owner,
                until: Some(self.connection.clock.to_local(end)),
                directory: self.describe(),
            }),
            _ => Ok(()),
        }
    }

    /// Replaces the Lease, unless it has been changed since it was read.
    async fn take_over(&self, entry: &Entry, mut wanted: Value, present: &Lease) -> Result<Option<Claim>> {
        let before = present.spec.clone().unwrap_or_default();
        wanted["metadata"]["resourceVersion"] = json!(present.metadata.resource_version);
        let transitions = before.lease_transitions.unwrap_or_default();
        if before.holder_identity.as_deref() == Some(entry.owner.as_str()) {
            wanted["spec"]["acquireTime"] = json!(before.acquire_time);
            wanted["spec"]["leaseTransitions"] = json!(transitions);
        } else {
            wanted["spec"]["leaseTransitions"] = json!(transitions.saturating_add(1));
        }
        let target = Target::named(Resource::Lease, lease_name(&entry.name));
        let answer = self
            .connection
            .send(
                Method::PUT,
                &target,
                Some((Form::Json, &wanted)),
                &[StatusCode::CONFLICT, StatusCode::NOT_FOUND],
            )
            .await?;
        if !answer.status.is_success() {
            return Ok(None);
        }
        claim_of(&answer.read::<Lease>("the Lease")?, false).map(Some)
    }

    /// The pod the engine runs in.
    async fn pod(&self) -> Result<Owner> {
        let name = self.connection.settings.pod.clone().ok_or_else(|| {
            configuration(
                "placement",
                "this is not a pod, so that the engine cannot be inside of the cluster; `POD_NAME` may name one",
            )
        })?;
        let target = Target::named(Resource::Pod, name.clone());
        let answer = self.connection.send(Method::GET, &target, None, &[]).await?;
        let pod: Pod = answer.read(&format!("the pod `{name}`"))?;
        Ok(Owner {
            resource: Resource::Pod,
            name,
            uid: pod.metadata.uid.unwrap_or_default(),
        })
    }

    /// Labels the pod, so that the Service finds it.
    async fn label_pod(&self, pod: &Owner, entry: &Entry) -> Result<()> {
        let target = Target::named(Resource::Pod, pod.name.clone());
        let body = json!({ "metadata": { "labels": { ENTRY: entry.name } } });
        self.connection
            .send(Method::PATCH, &target, Some((Form::Merge, &body)), &[])
            .await
            .map(drop)
    }

    /// Fails when something that is not ours has the name of one of our objects.
    async fn check_free(&self, object: &Object, entry: &Entry) -> Result<()> {
        let target = Target::named(object.resource, object.name.clone());
        let answer = self
            .connection
            .send(Method::GET, &target, None, &[StatusCode::NOT_FOUND])
            .await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(());
        }
        let what = format!("{} `{}`", object.resource.kind(), object.name);
        let present: Bare = answer.read(&what)?;
        match present.label(ENTRY) {
            Some(name) if name == entry.name.as_str() => Ok(()),
            Some(other) => Err(Error::Occupied {
                what,
                directory: self.describe(),
                holder: format!("the entry `{other}`"),
            }),
            None => Err(Error::Occupied {
                what,
                directory: self.describe(),
                holder: present.manager(),
            }),
        }
    }

    async fn apply(&self, object: &Object, owner: &Owner, lease_uid: &str) -> Result<()> {
        let target = Target {
            resource: object.resource,
            what: What::Applied(object.name.clone()),
        };
        let body = object.owned(owner, lease_uid);
        self.connection
            .send(Method::PATCH, &target, Some((Form::Apply, &body)), &[])
            .await
            .map(drop)
    }

    /// Kinds of object that an entry may have beside its Lease.
    fn kinds(&self) -> impl Iterator<Item = Resource> + use<> {
        let outside = match (self.placement(), self.spec.legacy_endpoints) {
            (KubernetesPlacement::Inside, _) => None,
            (KubernetesPlacement::Outside, true) => Some(Resource::Endpoints),
            (KubernetesPlacement::Outside, false) => Some(Resource::EndpointSlice),
        };
        std::iter::once(Resource::Service).chain(outside)
    }

    /// The entry's own labels, which all its objects carry.
    fn selector(name: Option<&Name>) -> String {
        match name {
            Some(name) => format!("{MANAGED_BY}={MANAGER},{ENTRY}={name}"),
            None => format!("{MANAGED_BY}={MANAGER},{ENTRY}"),
        }
    }

    async fn select<T: serde::de::DeserializeOwned>(
        &self,
        resource: Resource,
        name: Option<&Name>,
    ) -> Result<List<T>> {
        let mut all: Option<List<T>> = None;
        loop {
            let next = all.as_ref().and_then(|list| list.metadata.next.clone());
            let target = Target {
                resource,
                what: What::Selected(Self::selector(name), next),
            };
            let answer = self.connection.send(Method::GET, &target, None, &[]).await?;
            let page: List<T> = answer.read(&format!("the list of {}", resource.plural()))?;
            let more = page.metadata.next.as_deref().is_some_and(|next| !next.is_empty());
            all = Some(match all {
                None => page,
                Some(mut list) => {
                    list.items.extend(page.items);
                    list.metadata = page.metadata;
                    list
                }
            });
            if !more {
                return Ok(all.unwrap_or_else(|| List {
                    metadata: ListMetadata::default(),
                    items: Vec::new(),
                }));
            }
        }
    }

    /// Deletes an object in just this version; one that has been changed since, or is gone, is left.
    async fn delete(&self, resource: Resource, metadata: &ObjectMeta) -> Result<bool> {
        let name = metadata.name.clone().unwrap_or_default();
        let body = json!({ "preconditions": {
            "uid": metadata.uid,
            "resourceVersion": metadata.resource_version,
        } });
        let answer = self
            .connection
            .send(
                Method::DELETE,
                &Target::named(resource, name),
                Some((Form::Json, &body)),
                &[StatusCode::NOT_FOUND, StatusCode::CONFLICT],
            )
            .await?;
        Ok(answer.status != StatusCode::CONFLICT)
    }

    /// Deletes objects, in whatever version; those that another Lease made in the meantime stay.
    async fn delete_objects(&self, resource: Resource, objects: &[&Bare]) -> Result<()> {
        let all = objects.iter().map(|object| async {
            // The control plane changes Services and Endpoints on its own account.
            let metadata = ObjectMeta {
                resource_version: None,
                ..object.metadata.clone()
            };
            self.delete(resource, &metadata).await
        });
        try_join_all(all).await.map(drop)
    }

    /// Removes what the entry had before and does not have now: a Service of another name, addresses of another
    /// family.
    async fn remove_former(&self, entry: &Entry, objects: &[Object]) -> Result<()> {
        for resource in self.kinds() {
            let present: List<Bare> = self.select(resource, Some(&entry.name)).await?;
            let former: Vec<&Bare> = present
                .items
                .iter()
                .filter(|one| {
                    !objects
                        .iter()
                        .any(|object| object.resource == resource && object.name == one.name())
                })
                .collect();
            self.delete_objects(resource, &former).await?;
        }
        Ok(())
    }

    /// The entry with IP addresses instead of host names, as endpoint slices want them.
    async fn resolved(&self, entry: &Entry) -> Result<Entry> {
        let mut entry = entry.clone();
        if self.placement() == KubernetesPlacement::Inside {
            return Ok(entry);
        }
        for endpoint in &mut entry.endpoints {
            if endpoint.host.parse::<IpAddr>().is_ok() {
                continue;
            }
            let unknown = |reason: String| {
                configuration(
                    "endpoints",
                    format!("`{}` has no IP address: {reason}", endpoint.host),
                )
            };
            let found = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port))
                .await
                .map_err(|error| unknown(error.to_string()))?;
            let mut found: Vec<IpAddr> = found.map(|address| address.ip()).collect();
            // The same each time, or every renewal would move it.
            found.sort();
            endpoint.host = found
                .first()
                .ok_or_else(|| unknown("the name is known, but not where it is".to_owned()))?
                .to_string();
        }
        Ok(entry)
    }

    /// Puts everything there as it should be.
    async fn put(&self, entry: &Entry) -> Result<()> {
        let inside = self.placement() == KubernetesPlacement::Inside;
        let resolved = self.resolved(entry).await?;
        let objects = objects::reachable(&resolved, &self.spec, self.placement())?;
        let pod = if inside { Some(self.pod().await?) } else { None };
        let free = try_join_all(objects.iter().map(|object| self.check_free(object, entry)));
        let (claim, free) = tokio::join!(self.claim(entry, pod.as_ref()), free);
        let claim = claim?;
        let owner = pod.clone().unwrap_or_else(|| Owner {
            resource: Resource::Lease,
            name: lease_name(&entry.name),
            uid: claim.uid.clone(),
        });
        let work = async {
            free?;
            if let Some(pod) = pod.as_ref().filter(|_| self.spec.selector.is_empty()) {
                self.label_pod(pod, entry).await?;
            }
            if !claim.fresh {
                self.remove_former(entry, &objects).await?;
            }
            try_join_all(
                objects
                    .iter()
                    .map(|object| self.apply(object, &owner, &claim.uid)),
            )
            .await
        };
        if let Err(error) = work.await {
            if claim.fresh {
                // Half an entry is none. It would not come back to life either: the Lease says so.
                if let Err(error) = self.withdraw(entry).await {
                    tracing::debug!(name = %entry.name, "not taken back: {error}");
                }
            }
            return Err(error);
        }
        let kept = Kept {
            entry: entry.clone(),
            version: claim.version,
            confirmed: Instant::now(),
        };
        self.keep(&entry.name, Some(kept));
        Ok(())
    }

    /// Moves the end of the Lease, if nobody has changed it since we last did.
    async fn extend(&self, kept: &Kept) -> Result<bool> {
        let body = json!({
            "metadata": { "resourceVersion": kept.version },
            "spec": { "renewTime": objects::micro(self.connection.clock.now()) },
        });
        let target = Target::named(Resource::Lease, lease_name(&kept.entry.name));
        let answer = self
            .connection
            .send(
                Method::PATCH,
                &target,
                Some((Form::Merge, &body)),
                &[StatusCode::CONFLICT, StatusCode::NOT_FOUND],
            )
            .await?;
        if !answer.status.is_success() {
            return Ok(false);
        }
        let claim = claim_of(&answer.read::<Lease>("the Lease")?, false)?;
        let kept = Kept {
            version: claim.version,
            ..kept.clone()
        };
        self.keep(&kept.entry.name.clone(), Some(kept));
        Ok(true)
    }

    fn entries(&self, leases: &[Lease]) -> Vec<Entry> {
        let mut entries: Vec<Entry> = leases
            .iter()
            .filter_map(|lease| match record::read(lease, &self.connection.clock) {
                Ok(entry) => Some(entry),
                Err(error) => {
                    tracing::warn!("left out: {error}");
                    None
                }
            })
            .collect();
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        entries
    }
}

/// A lease in whole seconds, rounded up.
fn seconds(lease: Duration) -> u32 {
    let whole = lease
        .as_secs()
        .saturating_add(u64::from(lease.subsec_nanos() > 0));
    u32::try_from(whole).unwrap_or(u32::MAX)
}

fn claim_of(lease: &Lease, fresh: bool) -> Result<Claim> {
    match (&lease.metadata.uid, &lease.metadata.resource_version) {
        (Some(uid), Some(version)) => Ok(Claim {
            uid: uid.clone(),
            version: version.clone(),
            fresh,
        }),
        _ => Err(configuration(
            "server",
            "it answered with a Lease that has no identity; this is no Kubernetes API server",
        )),
    }
}

#[async_trait]
impl Directory for KubernetesDirectory {
    fn kind(&self) -> &'static str {
        "kubernetes"
    }

    fn describe(&self) -> String {
        let settings = &self.connection.settings;
        let cluster = settings.describe();
        match &settings.namespace {
            Some(namespace) => format!("Kubernetes namespace `{namespace}` ({cluster})"),
            None => format!("Kubernetes ({cluster})"),
        }
    }

    fn lease(&self) -> Option<Duration> {
        Some(Duration::from_secs(u64::from(seconds(self.lease))))
    }

    async fn register(&self, entry: &Entry) -> Result<()> {
        self.put(entry).await
    }

    async fn renew(&self, entry: &Entry) -> Result<()> {
        // Once in a lease everything is put in place again, in case somebody has removed a part of it.
        if let Some(kept) = self.kept(&entry.name)
            && kept.entry.announces_the_same(entry)
            && kept.confirmed.elapsed() < self.lease
            && self.extend(&kept).await?
        {
            return Ok(());
        }
        self.put(entry).await
    }

    async fn withdraw(&self, entry: &Entry) -> Result<()> {
        self.keep(&entry.name, None);
        for _ in 0..TURNS {
            let Some(lease) = self.read_lease(&entry.name).await? else {
                return Ok(());
            };
            let spec = lease.spec.as_ref();
            if spec.and_then(|spec| spec.holder_identity.as_deref()) != Some(entry.owner.as_str()) {
                return Ok(());
            }
            let removals = join_all(self.kinds().map(|resource| async move {
                let present: List<Bare> = self.select(resource, Some(&entry.name)).await?;
                self.delete_objects(resource, &present.items.iter().collect::<Vec<_>>())
                    .await
            }));
            for removal in removals.await {
                removal?;
            }
            // The Lease last: until then nobody else can take the name.
            if self.delete(Resource::Lease, &lease.metadata).await? {
                return Ok(());
            }
        }
        Err(Error::Deadline {
            directory: self.describe(),
            after: self.connection.settings.timeout,
        })
    }

    async fn list(&self) -> Result<Vec<Entry>> {
        let list: List<Lease> = self.select(Resource::Lease, None).await?;
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(list.metadata.resource_version);
        Ok(self.entries(&list.items))
    }

    async fn get(&self, name: &Name) -> Result<Option<Entry>> {
        self.read_lease(name)
            .await?
            .map(|lease| record::read(&lease, &self.connection.clock))
            .transpose()
    }

    /// That of the route towards the API server. When that is loopback (the API server is on this machine, or
    /// reached through a tunnel), that of the route to other networks: Kubernetes takes no loopback address.
    async fn own_address(&self) -> Result<IpAddr> {
        let session = self.connection.session().await?;
        let address = route::own_address_towards(&session.url, &session.host, session.port).await?;
        if !address.is_loopback() {
            return Ok(address);
        }
        Ok(route::own_address_outside().await.unwrap_or(address))
    }

    async fn changed(&self) -> Result<()> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
        let begun = Instant::now();
        if let Some(version) = seen {
            let target = Target {
                resource: Resource::Lease,
                what: What::Changes(Self::selector(None), version, LOOK_AGAIN.as_secs()),
            };
            match tokio::time::timeout(LOOK_AGAIN, self.connection.watch(&target)).await {
                // The version is too old to go on from it: look at everything again.
                Ok(Err(Error::Http { status: 410, .. })) | Err(_) => {}
                Ok(result) => result?,
            }
        }
        tokio::time::sleep_until(begun + CALM).await;
        Ok(())
    }

    async fn remove_expired(&self) -> Result<Vec<Entry>> {
        // Objects before Leases: of an object in this list, its Lease is in the next one, or gone for good.
        let mut objects = Vec::new();
        for resource in self.kinds() {
            let list: List<Bare> = self.select(resource, None).await?;
            objects.extend(list.items.into_iter().map(|object| (resource, object)));
        }
        let leases: List<Lease> = self.select(Resource::Lease, None).await?;
        let now: Timestamp = self.connection.clock.now();
        let mut removed = Vec::new();
        let mut live: Vec<String> = Vec::new();
        for lease in &leases.items {
            let uid = lease.metadata.uid.clone().unwrap_or_default();
            // In just this version: one that is renewed at this moment stays.
            let expired = record::holder(lease, now) == Holder::None && !is_foreign_form(lease);
            if expired && self.delete(Resource::Lease, &lease.metadata).await? {
                removed.extend(self.entries(std::slice::from_ref(lease)));
            } else {
                live.push(uid);
            }
        }
        for (resource, object) in &objects {
            let orphan = object
                .lease()
                .is_some_and(|uid| !live.iter().any(|live| live == uid));
            // Whoever has taken it over since has written another Lease into it, which makes it another version.
            if orphan {
                self.delete(*resource, &object.metadata).await?;
            }
        }
        Ok(removed)
    }
}

/// Whether a newer Seaway wrote it in a form that we do not know; it may well be live.
fn is_foreign_form(lease: &Lease) -> bool {
    let text = lease
        .metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(record::ANNOTATION));
    matches!(
        text.map(|text| Entry::from_json(text.as_bytes())),
        Some(Err(crate::EntryError::Version(_)))
    )
}
