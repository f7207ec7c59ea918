//! Doing things with a platform, and waiting until something is so: looking, and being told when to look again.

use std::time::{Duration, Instant};

use seaway_lifecycle::status;
use seaway_model::status::{InstanceStatus, State, TaskState, TaskStatus};
use seaway_platform::{Applied, Difference, Observation, Platform, PlatformError};
use serde_json::Value;

use crate::{
    harness::PATIENCE,
    toy::{Toy, ask, tell},
};

/// Time between two questions to a task.
const PAUSE: Duration = Duration::from_millis(50);

/// A platform with what cases do with it.
pub(crate) struct Fleet {
    pub(crate) platform: Box<dyn Platform>,
}

impl Fleet {
    pub(crate) fn new(platform: Box<dyn Platform>) -> Self {
        Self { platform }
    }

    pub(crate) async fn apply(&self, toy: &Toy) -> Result<Applied, PlatformError> {
        toy.plan.validate().unwrap();
        self.platform.check(&toy.plan).unwrap();
        self.platform.apply(&toy.document(), &toy.plan).await
    }

    pub(crate) async fn preview(&self, toy: &Toy) -> Vec<Difference> {
        self.platform.preview(&toy.document(), &toy.plan).await.unwrap()
    }

    /// Makes a new instance, and waits until it is ready.
    pub(crate) async fn up(&self, toy: &Toy) -> InstanceStatus {
        assert_eq!(self.apply(toy).await.unwrap(), Applied::Created);
        self.until_ready(toy.instance()).await
    }

    /// Scales, and takes it that this can be done.
    pub(crate) async fn scale(&self, instance: &str, number: u32, forced: bool) {
        self.platform
            .scale(instance, "worker", number, forced)
            .await
            .unwrap();
    }

    pub(crate) async fn observation(&self, instance: &str) -> Option<Observation> {
        self.platform.observe(instance).await.unwrap()
    }

    pub(crate) async fn status(&self, instance: &str) -> InstanceStatus {
        let observation = self.observation(instance).await;
        status(self.platform.kind(), &observation.expect("the instance is there"))
    }

    /// Looks whenever something may have changed, until there is something to see.
    pub(crate) async fn until<T>(
        &self,
        instance: &str,
        what: &str,
        mut look: impl FnMut(Option<&InstanceStatus>) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let observation = self.observation(instance).await;
            let seen = observation
                .map(|observation| (observation.followed, status(self.platform.kind(), &observation)));
            // What is seen of an earlier document says nothing of the later one.
            let followed = seen.as_ref().is_none_or(|(followed, _)| *followed);
            if let Some(found) = look(seen.as_ref().map(|(_, status)| status)).filter(|_| followed) {
                return found;
            }
            assert!(
                Instant::now() < deadline,
                "{what}: not within {PATIENCE:?}; {seen:#?}"
            );
            self.platform.changed(Duration::from_secs(1)).await.unwrap();
        }
    }

    /// Waits until an instance, which is there, is as it should be.
    pub(crate) async fn until_status(
        &self,
        instance: &str,
        what: &str,
        mut look: impl FnMut(&InstanceStatus) -> bool,
    ) -> InstanceStatus {
        let look = |status: Option<&InstanceStatus>| {
            let status = status.unwrap_or_else(|| panic!("{what}: {instance} is gone"));
            look(status).then(|| status.clone())
        };
        self.until(instance, what, look).await
    }

    pub(crate) async fn until_ready(&self, instance: &str) -> InstanceStatus {
        let status = self
            .until_status(instance, "it is ready", |status| status.state == State::Ready)
            .await;
        for (name, role) in status.roles.iter() {
            assert_eq!(role.tasks.len(), role.desired as usize, "{name}: {status:#?}");
            assert!(
                role.tasks.iter().all(|task| task.state == TaskState::Ready),
                "{name}: {status:#?}"
            );
        }
        status
    }

    pub(crate) async fn until_gone(&self, instance: &str) {
        self.until(instance, "it is gone", |status| status.is_none().then_some(()))
            .await;
    }

    /// Where an endpoint is reached from this machine.
    pub(crate) async fn address(&self, instance: &str, endpoint: &str) -> String {
        self.platform.reach(instance).await.unwrap();
        let status = self.status(instance).await;
        let found = status
            .endpoints
            .iter()
            .find(|(name, _)| name.as_str() == endpoint);
        found.expect("there is such an endpoint").1.address.clone()
    }

    /// Asks a task that may not answer yet.
    pub(crate) async fn until_answer(
        &self,
        address: &str,
        path: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = ask(address, path).await;
            match &answer {
                Ok(seen) if wanted(seen) => return seen.clone(),
                _ => assert!(Instant::now() < deadline, "{address}{path}: {answer:?}"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What a task says of itself.
    pub(crate) async fn about(&self, address: &str) -> Value {
        self.until_answer(address, "/about", |_| true).await
    }

    /// What the workers said of themselves to the hub, all of those.
    pub(crate) async fn joined(&self, hub: &str, tasks: &[&str]) -> Value {
        self.until_answer(hub, "/joined", |joined| {
            tasks.iter().all(|task| joined.get(task).is_some())
        })
        .await
    }

    /// Gives a task an order. It may be started again at this moment.
    pub(crate) async fn order(&self, address: &str, path: &str, what: Value) {
        self.about(address).await;
        tell(address, path, what).await.unwrap();
    }
}

/// A task that is there.
pub(crate) fn task<'s>(status: &'s InstanceStatus, name: &str) -> &'s TaskStatus {
    find(status, name).unwrap_or_else(|| panic!("no task {name}: {status:#?}"))
}

pub(crate) fn find<'s>(status: &'s InstanceStatus, name: &str) -> Option<&'s TaskStatus> {
    let mut tasks = status.roles.iter().flat_map(|(_, role)| &role.tasks);
    tasks.find(|task| task.name == name)
}

/// The names of the tasks of a role.
pub(crate) fn names<'s>(status: &'s InstanceStatus, role: &str) -> Vec<&'s str> {
    let tasks = &status.roles.get(role).expect("there is such a role").tasks;
    tasks.iter().map(|task| task.name.as_str()).collect()
}
