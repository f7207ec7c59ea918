//! The NetworkPolicy of an instance: its tasks reach each other, clients reach its endpoints, nobody reaches the rest.

use seaway_model::plan::EndpointPlan;
use serde_json::{Value, json};

use super::{AGENT_PORT, Object, Scope, labels, object_name, services::number};

impl Scope<'_> {
    pub(super) fn network_policy(&self) -> Option<Object> {
        if !self.plan.kubernetes.network_policy {
            return None;
        }
        let open = |endpoint: &EndpointPlan| {
            let port = self
                .plan
                .role(endpoint.role.as_str())?
                .port(endpoint.port.as_str())?;
            Some(json!({"protocol": "TCP", "port": number(port)}))
        };
        let mut ports: Vec<Value> = self.plan.endpoints.iter().filter_map(open).collect();
        // For who collects metrics.
        ports.push(json!({"protocol": "TCP", "port": AGENT_PORT}));
        let spec = json!({
            "podSelector": {"matchLabels": labels::selector(self.plan, None)},
            "policyTypes": ["Ingress"],
            "ingress": [
                {"from": [{"podSelector": {"matchLabels": labels::selector(self.plan, None)}}]},
                {"ports": ports},
            ],
        });
        let name = object_name(&self.plan.instance, "seaway");
        Some(self.object(
            ("networking.k8s.io/v1", "NetworkPolicy"),
            name,
            None,
            json!({"spec": spec}),
        ))
    }
}
