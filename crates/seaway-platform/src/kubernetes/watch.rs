//! Being told of changes: one watch for each kind of object that says how an instance is.

use std::{
    cell::{Cell, RefCell},
    ops::ControlFlow,
    sync::Arc,
    time::Duration,
};

use seaway_discovery::kubernetes::api::{Connection, Resource, Target, What};
use tokio::{sync::watch, task::JoinHandle, time::Instant};

use super::{cluster::Cluster, ours};

/// What is watched. Events say what controllers meet before there is a pod.
const WATCHED: [Resource; 6] = [
    Resource::ConfigMap,
    Resource::Deployment,
    Resource::StatefulSet,
    Resource::Pod,
    Resource::PersistentVolumeClaim,
    Resource::Event,
];

/// How long the API server is asked to keep a watch. A new one tells all that is there, so that nothing is missed.
const SECONDS: u64 = 240;

/// Time before a watch that broke is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// Changes come in groups; a look after each would see half of one.
const CALM: Duration = Duration::from_millis(100);

/// Watches that run from the first time that somebody waits until the platform is dropped.
#[derive(Default)]
pub(super) struct Watches {
    running: RefCell<Option<Running>>,
    seen: Cell<u64>,
}

struct Running {
    sender: Arc<watch::Sender<u64>>,
    count: watch::Receiver<u64>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Watches {
    /// What tells that something changed which no watch sees.
    pub(super) fn nudge(&self, cluster: &Cluster) -> impl Fn() + Send + use<> {
        let sender = Arc::clone(
            &self
                .running
                .borrow_mut()
                .get_or_insert_with(|| start(&cluster.connection))
                .sender,
        );
        move || sender.send_modify(|count| *count += 1)
    }

    /// Returns when something may have changed since the last call, or after that time.
    pub(super) async fn changed(&self, cluster: &Cluster, longest: Duration) {
        let deadline = Instant::now() + longest;
        let mut count = self
            .running
            .borrow_mut()
            .get_or_insert_with(|| start(&cluster.connection))
            .count
            .clone();
        let seen = self.seen.get();
        let news = count.wait_for(|count| *count != seen);
        if tokio::time::timeout_at(deadline, news).await.is_ok() {
            tokio::time::sleep(CALM).await;
        }
        self.seen.set(*count.borrow());
    }
}

fn start(connection: &Arc<Connection>) -> Running {
    let (sender, count) = watch::channel(0);
    let sender = Arc::new(sender);
    let tasks = WATCHED
        .into_iter()
        .map(|resource| {
            let (connection, sender) = (Arc::clone(connection), Arc::clone(&sender));
            tokio::spawn(async move {
                loop {
                    let labels = if resource == Resource::Event {
                        String::new()
                    } else {
                        ours()
                    };
                    let target = Target {
                        resource,
                        what: What::Changes(labels, String::new(), SECONDS),
                    };
                    let tell = || {
                        sender.send_modify(|count| *count += 1);
                        ControlFlow::Continue(())
                    };
                    let result = connection.follow(&target, tell).await;
                    // Something may have changed while nobody was told.
                    sender.send_modify(|count| *count += 1);
                    if let Err(error) = result {
                        tracing::debug!("changes of {} are not told: {error}", resource.plural());
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            })
        })
        .collect();
    Running { sender, count, tasks }
}
