//! Metrics, in the text form of OpenMetrics.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::{Registry, Unit},
};
use seaway_discovery::DirectoryState;

use super::health::{Health, is_announced};

/// The type of what [`render`] gives back.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;
type Number = Gauge<f64, AtomicU64>;

/// All metrics as they are now. Their labels are names from the command line and words known beforehand, so that
/// there are never more of them than at the start.
pub(super) fn render(health: &Health) -> String {
    let mut registry = Registry::default();
    registry.register(
        "seaway_build",
        "The program that tells this",
        Info::new(vec![("version", env!("CARGO_PKG_VERSION").to_owned())]),
    );
    registry.register(
        "seaway_agent",
        "What the agent looks after",
        Info::new(vec![("name", health.name.clone())]),
    );
    let now = health.now();
    let ready: Gauge = Gauge::default();
    ready.set(now.is_ready().into());
    registry.register("seaway_agent_ready", "Whether all probes are answered", ready);
    let up = Family::<Labels, Gauge>::default();
    for (name, probe) in &health.endpoints {
        let answered = probe.map_or(now.readiness.ready, |probe| {
            now.readiness.answered.get(probe).copied().unwrap_or(false)
        });
        up.get_or_create(&vec![("endpoint", name.clone())])
            .set(answered.into());
    }
    registry.register(
        "seaway_endpoint_up",
        "Whether the endpoint's own probe was answered when it was last asked; all probes, where it has none",
        up,
    );
    directories(&mut registry, health);
    let mut page = String::new();
    // Nothing can go wrong with a text in memory.
    let _ = text::encode(&mut page, &registry);
    page
}

fn directories(registry: &mut Registry, health: &Health) {
    let info = Family::<Labels, Gauge>::default();
    let registered = Family::<Labels, Gauge>::default();
    let held = Family::<Labels, Gauge>::default();
    let registrations = Family::<Labels, Counter>::default();
    let renewals = Family::<Labels, Counter>::default();
    let withdrawals = Family::<Labels, Counter>::default();
    let failures = Family::<Labels, Counter>::default();
    let last_error = Family::<Labels, Number>::default();
    let lease = Family::<Labels, Number>::default();
    let age = Family::<Labels, Number>::default();
    let reports = health.directories();
    for (index, report) in reports.iter().enumerate() {
        let kind = report.status.kind;
        let earlier = reports[..index].iter().filter(|one| one.status.kind == kind);
        let directory = match earlier.count() {
            0 => kind.to_owned(),
            earlier => format!("{kind}-{}", earlier + 1),
        };
        let label = vec![("directory", directory.clone())];
        let with = |key, value: &str| vec![("directory", directory.clone()), (key, value.to_owned())];
        let counts = &report.counts;
        info.get_or_create(&with("place", &report.status.directory))
            .set(1);
        registered.get_or_create(&label).set(is_announced(report).into());
        let is_held = matches!(report.status.state, DirectoryState::Failed { held: true, .. });
        held.get_or_create(&label).set(is_held.into());
        registrations.get_or_create(&label).inc_by(counts.registrations);
        renewals.get_or_create(&label).inc_by(counts.renewals);
        withdrawals.get_or_create(&label).inc_by(counts.withdrawals);
        for (kind, count) in &counts.failures {
            failures.get_or_create(&with("kind", kind)).inc_by(*count);
        }
        if let Some((kind, at)) = counts.last_failure {
            last_error
                .get_or_create(&with("kind", kind))
                .set(at.as_duration().as_secs_f64());
        }
        if let Some(time) = report.lease {
            lease.get_or_create(&label).set(time.as_secs_f64());
        }
        if let Some(confirmed) = counts.confirmed {
            age.get_or_create(&label).set(confirmed.elapsed().as_secs_f64());
        }
    }
    registry.register("seaway_directory_info", "Which directory is which", info);
    registry.register(
        "seaway_directory_registered",
        "Whether clients find the entry there: it was confirmed within its lease",
        registered,
    );
    registry.register(
        "seaway_directory_held",
        "Whether another owner holds the entry there",
        held,
    );
    let counters = [
        ("registrations", "Entries put in", registrations),
        ("renewals", "Entries renewed", renewals),
        ("withdrawals", "Entries taken out", withdrawals),
        ("failures", "Attempts that failed, by what went wrong", failures),
    ];
    for (name, help, family) in counters {
        registry.register(format!("seaway_directory_{name}"), help, family);
    }
    let numbers = [
        (
            "last_error_timestamp",
            "When an attempt last failed, and of what",
            last_error,
        ),
        (
            "lease",
            "How long an entry is believed that is not renewed",
            lease,
        ),
        (
            "lease_age",
            "Time since the directory last confirmed the entry",
            age,
        ),
    ];
    for (name, help, family) in numbers {
        registry.register_with_unit(format!("seaway_directory_{name}"), help, Unit::Seconds, family);
    }
}
