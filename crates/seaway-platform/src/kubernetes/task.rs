//! A pod as the task that it is, with the reason in words for which it is not ready.
//!
//! Pure functions of what the API server says at one moment: the pod, the events about it, the claims it waits for. Reasons
//! of Kubernetes that its users meet are in `field.md` of the requirements and in the source of the kubelet
//! (`pkg/kubelet/images/types.go`, `pkg/kubelet/kuberuntime`).

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateTerminated, ContainerStatus, Event, PersistentVolumeClaim, Pod,
    PodCondition,
};
use seaway_agent::Exit;
use seaway_model::{
    plan::Restart,
    status::{TaskState, TaskStatus},
};
use seaway_render::kubernetes::MAIN;

/// What the kubelet calls a container whose image it cannot have.
const NO_IMAGE: [&str; 6] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
];

/// What the kubelet calls a container that cannot be made from what its pod says.
const NOT_MADE: [&str; 4] = [
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "PreCreateHookError",
];

/// Lines of a container's last words that are kept.
const LAST_LINES: usize = 10;

/// What the container runtime says of an image that will not be there by waiting for it.
const NEVER_THERE: [&str; 7] = [
    "not found",
    "manifest unknown",
    "does not exist",
    "access denied",
    "authorization failed",
    "unauthorized",
    "401",
];

/// What a task's state depends on beside its pod.
#[derive(Debug)]
pub(super) struct Context<'a> {
    /// What controllers and nodes said lately in the namespace.
    pub(super) events: &'a [Event],
    /// The claims of the instance.
    pub(super) claims: &'a [PersistentVolumeClaim],
    /// When a task that ends again and again is given up.
    pub(super) restart: Restart,
    pub(super) now: Timestamp,
}

/// How a task is, and why.
pub(super) fn status(name: &str, pod: &Pod, context: &Context<'_>) -> TaskStatus {
    let main = container(pod, MAIN);
    let events: Vec<&Event> = context
        .events
        .iter()
        .filter(|event| event.involved_object.uid.is_some() && event.involved_object.uid == pod.metadata.uid)
        .collect();
    let restarts = main.map_or(0, |status| {
        u32::try_from(status.restart_count).unwrap_or_default()
    });
    let ended = main.and_then(last_end);
    let (state, reason) = state(pod, main, &events, context);
    TaskStatus {
        name: name.to_owned(),
        pid: None,
        state,
        reason,
        since: since(pod, state).unwrap_or(context.now),
        restarts,
        last_exit: ended.map(exit),
        last_log: ended.map_or_else(Vec::new, last_words),
    }
}

/// A task that should be there and has no pod.
pub(super) fn missing(name: &str, controller: &str, context: &Context<'_>) -> TaskStatus {
    // What its controller met, or the ReplicaSet of it: a quota that is used up, a pod that admission refuses.
    let events: Vec<&Event> = context
        .events
        .iter()
        .filter(|event| {
            let object = event.involved_object.name.as_deref().unwrap_or_default();
            event.reason.as_deref() == Some("FailedCreate")
                && (object == controller
                    || object
                        .rsplit_once('-')
                        .is_some_and(|(deployment, _)| deployment == controller))
        })
        .collect();
    let reason = newest(&events, |_| true)
        .and_then(|event| event.message.as_deref())
        .map_or_else(|| "it has no pod yet".to_owned(), refusal);
    TaskStatus {
        name: name.to_owned(),
        pid: None,
        state: TaskState::Waiting,
        reason,
        since: context.now,
        restarts: 0,
        last_exit: None,
        last_log: Vec::new(),
    }
}

/// Whether a pod's task is ready.
pub(super) fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|ready| ready.status == "True")
        && pod.metadata.deletion_timestamp.is_none()
}

/// Whether a pod is over and stays only to be read.
pub(super) fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded"))
}

fn state(
    pod: &Pod,
    main: Option<&ContainerStatus>,
    events: &[&Event],
    context: &Context<'_>,
) -> (TaskState, String) {
    if pod.metadata.deletion_timestamp.is_some() {
        return (TaskState::Stopping, "it was asked to end".to_owned());
    }
    let status = pod.status.as_ref();
    if let Some(evicted) = status.filter(|status| status.phase.as_deref() == Some("Failed")) {
        let said = [evicted.reason.as_deref(), evicted.message.as_deref()];
        let said: Vec<&str> = said.into_iter().flatten().collect();
        let reason = if said.is_empty() {
            "its pod failed".to_owned()
        } else {
            said.join(": ")
        };
        return (TaskState::BackOff, reason);
    }
    if is_ready(pod) {
        return (TaskState::Ready, String::new());
    }
    if is_node_lost(pod, events) {
        return (
            TaskState::NotReady,
            format!("its node {} does not answer", node(pod)),
        );
    }
    if let Some(unscheduled) = condition(pod, "PodScheduled").filter(|scheduled| scheduled.status == "False")
    {
        let message = unscheduled.message.as_deref().unwrap_or("no node takes it");
        let claims = unbound(pod, context);
        return (
            TaskState::Waiting,
            format!("no node can run it: {message}{claims}"),
        );
    }
    if let Some(problem) =
        all_containers(pod).find_map(|container| waiting_problem(container, context.restart))
    {
        return problem;
    }
    if let Some(mount) = newest(events, |event| {
        matches!(
            event.reason.as_deref(),
            Some("FailedMount" | "FailedAttachVolume")
        )
    }) && !all_containers(pod).any(has_begun)
    {
        let message = mount.message.as_deref().unwrap_or_default();
        return (
            TaskState::Waiting,
            format!("a volume cannot be mounted: {message}"),
        );
    }
    if let Some(waiter) =
        initial_containers(pod).find(|container| is_running(container) && container.name.starts_with("wait-"))
    {
        let on = waiter.name.trim_start_matches("wait-");
        return (TaskState::Waiting, format!("waits until {on} is ready"));
    }
    match main.and_then(|main| main.state.as_ref()) {
        Some(ContainerState { running: Some(_), .. }) => match main.and_then(|main| main.started) {
            Some(true) if was_ready(pod, main) => (
                TaskState::NotReady,
                unanswered(events, "does not answer any more"),
            ),
            _ => {
                let waits = unanswered(events, "does not answer yet");
                let reason = match main.and_then(last_end) {
                    Some(end) => format!("{} and was started again; it {waits}", exit(end)),
                    None => waits,
                };
                (TaskState::Starting, reason)
            }
        },
        Some(ContainerState {
            terminated: Some(end),
            ..
        }) => (TaskState::BackOff, exit(end)),
        _ => (TaskState::Starting, "its container is being made".to_owned()),
    }
}

/// Whether a pod is not ready because nothing is heard of its node any more.
fn is_node_lost(pod: &Pod, events: &[&Event]) -> bool {
    let reason = condition(pod, "Ready").and_then(|ready| ready.reason.as_deref());
    if matches!(reason, Some("NodeLost" | "NodeNotReady" | "NodeStatusUnknown")) {
        return true;
    }
    // Of today's Kubernetes only an event says so. A probe that failed later was asked by a node that is back.
    let last = newest(events, |event| {
        matches!(event.reason.as_deref(), Some("NodeNotReady" | "Unhealthy"))
    });
    last.is_some_and(|event| event.reason.as_deref() == Some("NodeNotReady"))
}

/// What is said of the claims that a pod waits for.
fn unbound(pod: &Pod, context: &Context<'_>) -> String {
    let volumes = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.volumes.as_deref())
        .unwrap_or_default();
    let wanted = volumes
        .iter()
        .filter_map(|volume| Some(&volume.persistent_volume_claim.as_ref()?.claim_name));
    let mut text = String::new();
    for name in wanted {
        let pending = context.claims.iter().any(|claim| {
            let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
            claim.metadata.name.as_ref() == Some(name) && phase != Some("Bound")
        });
        let events: Vec<&Event> = context
            .events
            .iter()
            .filter(|event| {
                let object = &event.involved_object;
                object.kind.as_deref() == Some("PersistentVolumeClaim") && object.name.as_ref() == Some(name)
            })
            .collect();
        if let Some(message) = newest(&events, |_| pending).and_then(|event| event.message.as_deref()) {
            text.push_str(&format!("; claim {name}: {message}"));
        }
    }
    text
}

/// Why a container waits, when that is more than a matter of time.
fn waiting_problem(container: &ContainerStatus, restart: Restart) -> Option<(TaskState, String)> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    let message = waiting.message.as_deref().unwrap_or_default();
    let image = &container.image;
    if reason == "ErrImageNeverPull" {
        let text = format!("the node does not have the image {image}, and imagePullPolicy is Never");
        return Some((TaskState::Failed, text));
    }
    if NO_IMAGE.contains(&reason) {
        let hopeless = reason == "InvalidImageName" || NEVER_THERE.iter().any(|sign| message.contains(sign));
        let state = if hopeless {
            TaskState::Failed
        } else {
            TaskState::BackOff
        };
        return Some((state, format!("the image {image} cannot be had: {message}")));
    }
    if NOT_MADE.contains(&reason) {
        return Some((
            TaskState::BackOff,
            format!("its container cannot be made: {message}"),
        ));
    }
    if reason == "CrashLoopBackOff" {
        let end = last_end(container);
        let how = end.map_or_else(|| "ended again and again".to_owned(), exit);
        let failures = u32::try_from(container.restart_count).unwrap_or_default();
        let stable = end.is_some_and(|end| lasted(end) >= restart.stable_after.duration());
        return Some(if failures >= restart.limit && !stable {
            (TaskState::Failed, format!("{how}, {failures} times in a row"))
        } else {
            (
                TaskState::BackOff,
                format!("{how}; it is started again after a pause"),
            )
        });
    }
    None
}

/// How long a container ran.
fn lasted(end: &ContainerStateTerminated) -> std::time::Duration {
    let (Some(started), Some(finished)) = (&end.started_at, &end.finished_at) else {
        return std::time::Duration::ZERO;
    };
    // One that could not be started began at no time.
    if started.0 <= Timestamp::UNIX_EPOCH {
        return std::time::Duration::ZERO;
    }
    let ran: SignedDuration = finished.0.duration_since(started.0);
    ran.try_into().unwrap_or_default()
}

/// How a container ended, in words.
fn exit(end: &ContainerStateTerminated) -> String {
    match (end.reason.as_deref(), end.signal, end.exit_code) {
        (Some("OOMKilled"), ..) => "was killed for memory".to_owned(),
        (Some("ContainerCannotRun" | "StartError"), ..) => {
            format!(
                "cannot be started: {}",
                end.message.as_deref().unwrap_or_default()
            )
        }
        (_, Some(signal), _) if signal > 0 => Exit::Signal(signal).to_string(),
        // What a shell and containerd make of a signal.
        (_, _, code @ 129..=159) => Exit::Signal(code - 128).to_string(),
        (_, _, code) => Exit::Code(code).to_string(),
    }
}

/// The last lines of a container that failed: the kubelet puts them into its status.
fn last_words(end: &ContainerStateTerminated) -> Vec<String> {
    let lines: Vec<&str> = end.message.as_deref().unwrap_or_default().lines().collect();
    let skip = lines.len().saturating_sub(LAST_LINES);
    lines[skip..].iter().map(|line| (*line).to_owned()).collect()
}

fn last_end(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    let now = container
        .state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    now.or_else(|| {
        container
            .last_state
            .as_ref()
            .and_then(|state| state.terminated.as_ref())
    })
}

/// What keeps a controller from making a pod.
fn refusal(message: &str) -> String {
    if message.contains("exceeded quota") {
        return format!("a quota of the namespace is used up: {message}");
    }
    if message.contains("violates PodSecurity") {
        return format!("the namespace's Pod Security profile forbids it: {message}");
    }
    format!("its pod cannot be made: {message}")
}

/// What the kubelet says of the last probe that failed.
fn unanswered(events: &[&Event], otherwise: &str) -> String {
    let last = newest(events, |event| event.reason.as_deref() == Some("Unhealthy"));
    match last.and_then(|event| event.message.as_deref()) {
        Some(message) => format!("{otherwise}: {message}"),
        None => otherwise.to_owned(),
    }
}

/// Whether it was ready since its container started: a pod is unready from before its containers start, until it is
/// ready for the first time.
fn was_ready(pod: &Pod, main: Option<&ContainerStatus>) -> bool {
    let since = condition(pod, "Ready").and_then(|ready| ready.last_transition_time.as_ref());
    let started = main
        .and_then(|main| main.state.as_ref()?.running.as_ref())
        .and_then(|running| running.started_at.as_ref());
    since
        .zip(started)
        .is_some_and(|(since, started)| since.0 > started.0)
}

fn newest<'e>(events: &[&'e Event], wanted: impl Fn(&Event) -> bool) -> Option<&'e Event> {
    events
        .iter()
        .copied()
        .filter(|event| wanted(event))
        .max_by_key(|event| time_of(event))
}

fn time_of(event: &Event) -> Option<Timestamp> {
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let series = event
        .series
        .as_ref()
        .and_then(|series| series.last_observed_time.as_ref())
        .map(|time| time.0);
    let micro = event.event_time.as_ref().map(|time| time.0);
    last.max(series).max(micro)
}

fn since(pod: &Pod, state: TaskState) -> Option<Timestamp> {
    let of = |condition: &PodCondition| condition.last_transition_time.as_ref().map(|time| time.0);
    match state {
        TaskState::Stopping => pod.metadata.deletion_timestamp.as_ref().map(|time| time.0),
        _ => condition(pod, "Ready")
            .and_then(of)
            .or_else(|| pod.metadata.creation_timestamp.as_ref().map(|time| time.0)),
    }
}

fn condition<'p>(pod: &'p Pod, kind: &str) -> Option<&'p PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}

fn container<'p>(pod: &'p Pod, name: &str) -> Option<&'p ContainerStatus> {
    let all = pod.status.as_ref()?.container_statuses.as_ref()?;
    all.iter().find(|status| status.name == name)
}

fn initial_containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let all = pod
        .status
        .as_ref()
        .and_then(|status| status.init_container_statuses.as_ref());
    all.into_iter().flatten()
}

fn all_containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let all = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    initial_containers(pod).chain(all.into_iter().flatten())
}

/// Whether a container was started, now or before: what its pod mounts is there since then.
fn has_begun(container: &ContainerStatus) -> bool {
    container
        .state
        .as_ref()
        .is_some_and(|state| state.running.is_some() || state.terminated.is_some())
        || last_end(container).is_some()
}

fn is_running(container: &ContainerStatus) -> bool {
    container
        .state
        .as_ref()
        .is_some_and(|state| state.running.is_some())
}

fn node(pod: &Pod) -> &str {
    pod.spec
        .as_ref()
        .and_then(|spec| spec.node_name.as_deref())
        .unwrap_or("(none)")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: &Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "lab-worker-0", "uid": "1"}, "spec": {"containers": [], "nodeName": "n1"}, "status": status})).unwrap()
    }

    fn event(reason: &str, message: &str, second: u32) -> Event {
        let time = format!("2026-11-21T10:00:{second:02}Z");
        serde_json::from_value(json!({
            "metadata": {}, "involvedObject": {"uid": "1", "name": "lab-worker"}, "reason": reason, "message": message, "lastTimestamp": time,
        }))
        .unwrap()
    }

    fn context(events: &[Event]) -> Context<'_> {
        Context {
            events,
            claims: &[],
            restart: Restart::default(),
            now: Timestamp::UNIX_EPOCH,
        }
    }

    fn seen(status: &Value, events: &[Event]) -> (TaskState, String) {
        let status = super::status("worker-0", &pod(status), &context(events));
        (status.state, status.reason)
    }

    fn main(state: &Value, last: &Value) -> Value {
        json!({"containerStatuses": [{
            "name": "main", "image": "i:1", "imageID": "", "ready": false, "restartCount": 2, "state": state, "lastState": last,
        }]})
    }

    #[test]
    fn reasons_in_words() {
        let unschedulable = json!({"conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available: 1 Insufficient cpu.",
        }]});
        assert_eq!(
            seen(&unschedulable, &[]),
            (
                TaskState::Waiting,
                "no node can run it: 0/1 nodes are available: 1 Insufficient cpu.".into()
            )
        );
        let waiting = |reason: &str, message: &str| {
            main(
                &json!({"waiting": {"reason": reason, "message": message}}),
                &json!({}),
            )
        };
        assert_eq!(
            seen(&waiting("ImagePullBackOff", "Back-off pulling image"), &[]),
            (
                TaskState::BackOff,
                "the image i:1 cannot be had: Back-off pulling image".into()
            )
        );
        assert_eq!(
            seen(
                &waiting("CreateContainerConfigError", "secret \"s\" not found"),
                &[]
            ),
            (
                TaskState::BackOff,
                "its container cannot be made: secret \"s\" not found".into()
            )
        );
        let crash = main(
            &json!({"waiting": {"reason": "CrashLoopBackOff"}}),
            &json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
        );
        assert_eq!(
            seen(&crash, &[]),
            (
                TaskState::BackOff,
                "was killed for memory; it is started again after a pause".into()
            )
        );
        let nowhere = waiting(
            "ErrImagePull",
            "failed to resolve reference \"i:1\": i:1: not found",
        );
        assert_eq!(seen(&nowhere, &[]).0, TaskState::Failed);
        let running = main(&json!({"running": {}}), &json!({}));
        let probe = event("Unhealthy", "Startup probe failed: connection refused", 1);
        assert_eq!(
            seen(&running, &[probe]),
            (
                TaskState::Starting,
                "does not answer yet: Startup probe failed: connection refused".into()
            )
        );
        let lost = json!({"conditions": [{"type": "Ready", "status": "False", "reason": "NodeNotReady"}]});
        assert_eq!(
            seen(&lost, &[]),
            (TaskState::NotReady, "its node n1 does not answer".into())
        );
        let unheard = [
            event("NodeNotReady", "Node is not ready", 2),
            event("Unhealthy", "Readiness probe failed", 1),
        ];
        assert_eq!(
            seen(&running, &unheard),
            (TaskState::NotReady, "its node n1 does not answer".into())
        );
        let again = main(
            &json!({"running": {}}),
            &json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
        );
        assert_eq!(
            seen(&again, &[]).1,
            "was killed for memory and was started again; it does not answer yet"
        );
        let mount = event(
            "FailedMount",
            "MountVolume.SetUp failed for volume \"data-arl\"",
            1,
        );
        let creating = waiting("ContainerCreating", "");
        assert_eq!(
            seen(&creating, &[mount]).1,
            "a volume cannot be mounted: MountVolume.SetUp failed for volume \"data-arl\""
        );
    }

    #[test]
    fn a_task_without_a_pod_says_what_its_controller_met() {
        let events = [
            event("FailedCreate", "pods \"a\" is forbidden: exceeded quota: q", 2),
            event("FailedCreate", "older", 1),
        ];
        let status = missing("worker-0", "lab-worker", &context(&events));
        assert_eq!(
            status.reason,
            "a quota of the namespace is used up: pods \"a\" is forbidden: exceeded quota: q"
        );
    }

    #[test]
    fn the_last_words_of_a_crash_are_kept() {
        let crashed = main(
            &json!({"waiting": {"reason": "CrashLoopBackOff"}}),
            &json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "Traceback\nKeyError: 'a'\n"}}),
        );
        let status = super::status("worker-0", &pod(&crashed), &context(&[]));
        assert_eq!(status.last_exit.as_deref(), Some("ended with code 1"));
        assert_eq!(status.last_log, ["Traceback", "KeyError: 'a'"]);
        assert_eq!(status.restarts, 2);
    }
}
