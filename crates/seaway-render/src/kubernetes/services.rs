//! Services: how tasks and clients find the tasks of a role.

use seaway_model::{
    document::ServiceType,
    plan::{PortPlan, Role},
};
use serde_json::{Value, json};

use super::{Object, RenderError, Scope, is_numbered, labels};

/// The number of a port: the one asked for, else the usual one, which is always free in a pod.
#[must_use]
pub fn number(port: &PortPlan) -> u16 {
    port.fixed.unwrap_or(port.usual)
}

impl Scope<'_> {
    /// The Service of a role.
    pub(super) fn service(&self, role: &Role) -> Result<Object, RenderError> {
        let ports: Vec<Value> = role
            .ports
            .iter()
            .map(|port| json!({"name": port.name, "port": number(port), "targetPort": number(port), "protocol": "TCP"}))
            .collect();
        let mut spec = json!({"selector": labels::selector(self.plan, Some(role))});
        if !ports.is_empty() {
            spec["ports"] = ports.into();
        }
        if is_numbered(role) || role.ports.is_empty() {
            spec["clusterIP"] = "None".into();
            // Tasks that find each other while they start do so by these names.
            spec["publishNotReadyAddresses"] = true.into();
        } else if self
            .plan
            .endpoints
            .iter()
            .any(|endpoint| endpoint.role == role.name)
        {
            spec["type"] = self.plan.kubernetes.service_type.as_str().into();
        } else {
            spec["type"] = ServiceType::ClusterIp.as_str().into();
        }
        let name = self.name_of(role.name.as_str())?;
        Ok(self.object(("v1", "Service"), name, Some(role), json!({"spec": spec})))
    }

    /// The name by which a task of a role is reached within the cluster. It ends in `svc`: the resolver of every pod
    /// adds the cluster's domain, whatever it is.
    pub(super) fn host(&self, role: &Role, index: u32) -> Result<String, RenderError> {
        let service = self.name_of(role.name.as_str())?;
        let namespace = self.setting.namespace;
        Ok(if is_numbered(role) {
            format!("{service}-{index}.{service}.{namespace}.svc")
        } else {
            format!("{service}.{namespace}.svc")
        })
    }
}
