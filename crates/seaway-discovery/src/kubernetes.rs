//! A Kubernetes namespace: what an entry says becomes a Service that every pod reaches by its name.
//!
//! Each entry has a Lease, `seaway-NAME`, which is changed only in the version that was read: it decides who holds the
//! entry, and until when. The Service, and for an engine outside of the cluster the addresses behind it, are applied by
//! the holder alone, and belong to the Lease (to the pod, for an engine inside), so that they go with it. Every write
//! is of one field manager, `seaway`, and nothing that does not carry our label is ever touched.
//!
//! Times are judged by the API server's clock, so that machines whose clocks differ agree.

pub mod access;
pub mod api;
mod claim;
mod held;
mod objects;
mod reach;
mod record;
mod sweep;

use std::{
    fmt,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::try_join_all;
use k8s_openapi::api::coordination::v1::Lease;
use seaway_model::{
    Name, Period,
    discovery::{self, KubernetesPlacement},
};
use tokio::time::Instant;

pub use record::from_answer;

use self::{
    api::{Connection, Resource, Settings, Target, What, configuration, lease_name},
    held::{Held, Kept},
    objects::{MANAGED_BY, MANAGER, Owner},
    sweep::List,
};
use crate::{Defaults, Directory, Entry, Error, LOOK_AGAIN, Result, file, route};

/// Lease where the document names none.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(30);

/// Shortest time between two looks at what changes: renewals are changes too, and there may be many.
const CALM: Duration = Duration::from_millis(250);

/// A Kubernetes namespace.
pub struct KubernetesDirectory {
    connection: Connection,
    spec: discovery::KubernetesDirectory,
    lease: Duration,
    held: Held,
    /// Version of the last list, from which changes are waited for.
    seen: Mutex<Option<String>>,
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
            held: Held::default(),
            seen: Mutex::default(),
        })
    }

    fn placement(&self) -> KubernetesPlacement {
        self.connection.settings.placement
    }

    /// Puts everything there as it should be.
    async fn put(&self, entry: &Entry) -> Result<()> {
        let confirmed = Instant::now();
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
        let applied = match work.await {
            Ok(applied) => applied,
            Err(error) => {
                if claim.fresh {
                    // Half an entry is none. It would not come back to life either: the Lease says so.
                    if let Err(error) = self.withdraw(entry).await {
                        tracing::debug!(name = %entry.name, "not taken back: {error}");
                    }
                }
                return Err(error);
            }
        };
        // A pod may lose its label, and a host its address, without a new version of what we applied.
        let told_by_versions = !inside && resolved.endpoints == entry.endpoints;
        self.held.keep(Kept {
            entry: entry.clone(),
            version: claim.version,
            marks: told_by_versions.then(|| applied.into_iter().collect()),
            confirmed,
        });
        Ok(())
    }
}

/// A lease in whole seconds, rounded up.
fn seconds(lease: Duration) -> u32 {
    let whole = lease
        .as_secs()
        .saturating_add(u64::from(lease.subsec_nanos() > 0));
    u32::try_from(whole).unwrap_or(u32::MAX)
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
        // The Lease first: what stands beside it can wait, and the Lease cannot.
        if let Some(version) = self.held.version(entry, self.lease)
            && self.extend(&entry.name, &version).await?
            && self.stands(&entry.name).await?
        {
            return Ok(());
        }
        self.put(entry).await
    }

    async fn withdraw(&self, entry: &Entry) -> Result<()> {
        self.held.forget(&entry.name);
        self.give_back(entry).await
    }

    async fn list(&self) -> Result<Vec<Entry>> {
        let list: List<Lease> = self.select(Resource::Lease, &[]).await?;
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
                what: What::Changes(Self::selector(&[]), version, LOOK_AGAIN.as_secs()),
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
        self.collect().await
    }
}
