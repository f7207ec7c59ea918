//! The lines of an instance's tasks, from the API server.

use std::{collections::BTreeSet, pin::Pin};

use async_trait::async_trait;
use futures_util::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use seaway_discovery::kubernetes::api::Resource;
use seaway_model::plan::{Plan, Role};
use seaway_render::kubernetes::{ANNOUNCER, Inventory, MAIN, is_numbered};
use serde_json::json;
use tokio::{sync::mpsc, task::JoinHandle};

use super::{KubernetesPlatform, observe::of_role, of_instance, reach::Pods};
use crate::{LogLine, LogRequest, LogStream, PlatformError, local::logs::clean};

/// Lines that wait to be taken, over all pods.
const WAITING: usize = 1024;

/// The lines of the tasks of an instance.
pub(super) struct Lines<'a> {
    platform: &'a KubernetesPlatform,
    name: String,
    only: Option<String>,
    tail: usize,
    follow: bool,
    /// The containers whose lines come: task, identity of the pod, how often the container was started.
    known: BTreeSet<(String, String, i32)>,
    sender: Option<mpsc::Sender<Result<LogLine, PlatformError>>>,
    arrived: mpsc::Receiver<Result<LogLine, PlatformError>>,
    readers: Vec<JoinHandle<()>>,
    /// Whether some pods were seen already; the lines of later ones are all wanted.
    began: bool,
}

impl Drop for Lines<'_> {
    fn drop(&mut self) {
        for reader in &self.readers {
            reader.abort();
        }
    }
}

/// A container to be read.
struct Source {
    task: String,
    pod: String,
    uid: String,
    restarts: i32,
}

impl<'a> Lines<'a> {
    pub(super) async fn open(
        platform: &'a KubernetesPlatform,
        name: &str,
        request: LogRequest<'_>,
    ) -> Result<Self, PlatformError> {
        let (sender, arrived) = mpsc::channel(WAITING);
        let mut all = Self {
            platform,
            name: name.to_owned(),
            only: request.only.map(str::to_owned),
            tail: request.tail,
            follow: request.follow,
            known: BTreeSet::new(),
            sender: Some(sender),
            arrived,
            readers: Vec::new(),
            began: false,
        };
        if !all.look().await? {
            return Err(platform.not_found(name).await);
        }
        if !request.follow {
            all.sender = None;
        }
        Ok(all)
    }

    /// The container whose lines are wanted: that of the engine, unless the agent that announces was asked for.
    fn container(&self) -> &'static str {
        match self.only.as_deref() {
            Some(ANNOUNCER) => ANNOUNCER,
            _ => MAIN,
        }
    }

    /// Begins to read containers that were not there before; `false` when the instance is gone.
    async fn look(&mut self) -> Result<bool, PlatformError> {
        let Some(inventory) = self.platform.inventory(&self.name).await? else {
            return Ok(false);
        };
        let Ok(read) = Inventory::read(&json!(inventory.data)) else {
            return Ok(false);
        };
        let (pods, _) = self
            .platform
            .cluster
            .list::<Pod>(Resource::Pod, &of_instance(&self.name))
            .await?;
        let container = self.container();
        let sources = sources(&read.plan, &pods, container);
        let wanted: Vec<Source> = sources
            .into_iter()
            .filter(|source| {
                let role = source.task.rsplit_once('-').map_or("", |(role, _)| role);
                let only = self.only.as_deref().filter(|_| container == MAIN);
                only.is_none_or(|only| only == source.task || only == role)
            })
            .collect();
        if let Some(only) = &self.only
            && wanted.is_empty()
            && !self.began
            && read.plan.role(only).is_none()
            && container == MAIN
        {
            return Err(PlatformError::NoRole {
                instance: read.plan.instance.clone(),
                role: only.clone(),
                known: read.plan.roles.iter().map(|role| role.name.to_string()).collect(),
            });
        }
        for source in wanted {
            let key = (source.task.clone(), source.uid.clone(), source.restarts);
            if !self.known.insert(key) {
                continue;
            }
            let Some(sender) = self.sender.clone() else {
                continue;
            };
            let parameters = LogParams {
                container: Some(container.to_owned()),
                follow: self.follow,
                tail_lines: (!self.began).then(|| i64::try_from(self.tail).unwrap_or(i64::MAX)),
                ..LogParams::default()
            };
            self.readers.push(tokio::spawn(read_one(
                self.platform.pods(),
                source,
                parameters,
                sender,
            )));
        }
        self.began = true;
        Ok(true)
    }
}

#[async_trait(?Send)]
impl LogStream for Lines<'_> {
    fn tasks(&self) -> Vec<String> {
        let tasks: BTreeSet<&String> = self.known.iter().map(|(task, ..)| task).collect();
        tasks.into_iter().cloned().collect()
    }

    async fn next(&mut self) -> Result<Option<LogLine>, PlatformError> {
        loop {
            if !self.follow {
                return self.arrived.recv().await.transpose();
            }
            let changed = self
                .platform
                .watches
                .changed(&self.platform.cluster, std::time::Duration::from_secs(60));
            tokio::select! {
                biased;
                line = self.arrived.recv() => return line.transpose(),
                () = changed => {}
            }
            if !self.look().await? {
                return Ok(None);
            }
        }
    }
}

/// The containers that have something to be read.
fn sources(plan: &Plan, pods: &[Pod], container: &str) -> Vec<Source> {
    let mut all = Vec::new();
    for role in &plan.roles {
        for pod in pods.iter().filter(|pod| of_role(pod, role)) {
            all.extend(source(role, pod, container));
        }
    }
    all.sort_by(|a, b| a.task.cmp(&b.task));
    all
}

fn source(role: &Role, pod: &Pod, container: &str) -> Option<Source> {
    let name = pod.metadata.name.clone()?;
    let status = pod.status.as_ref()?;
    let main = [&status.container_statuses, &status.init_container_statuses]
        .into_iter()
        .flatten()
        .flatten()
        .find(|one| one.name == container)?;
    let state = main.state.as_ref()?;
    if state.running.is_none() && state.terminated.is_none() && main.last_state.is_none() {
        return None;
    }
    let index = if is_numbered(role) {
        name.rsplit_once('-')?.1.to_owned()
    } else {
        "0".to_owned()
    };
    Some(Source {
        task: format!("{}-{index}", role.name),
        uid: pod.metadata.uid.clone()?,
        pod: name,
        restarts: main.restart_count,
    })
}

async fn read_one(
    pods: Pods,
    source: Source,
    parameters: LogParams,
    sender: mpsc::Sender<Result<LogLine, PlatformError>>,
) {
    let result = async {
        let path = format!("pods/{}/log", source.pod);
        let stream = pods
            .api()
            .await?
            .log_stream(&source.pod, &parameters)
            .await
            .map_err(|error| pods.failed(&error, &path))?;
        let mut lines: Pin<Box<_>> = Box::pin(stream.lines());
        // A pod that goes takes its log with it.
        while let Ok(Some(line)) = lines.try_next().await {
            let line = LogLine {
                task: source.task.clone(),
                text: clean(line.as_bytes()),
            };
            if sender.send(Ok(line)).await.is_err() {
                break;
            }
        }
        Ok(())
    };
    if let Err(error) = result.await {
        // One that is not started yet has nothing to be read; it is looked at again when it is.
        tracing::debug!("{} is not read: {error}", source.task);
        if !matches!(
            &error,
            PlatformError::Cluster(seaway_discovery::Error::Http {
                status: 400 | 404,
                ..
            })
        ) {
            let _ = sender.send(Err(error)).await;
        }
    }
}
