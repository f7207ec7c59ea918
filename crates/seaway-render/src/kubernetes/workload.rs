//! The controller of a role's pods.

use seaway_model::plan::Role;
use serde_json::json;

use super::{LONGEST_SET, Object, RenderError, Scope, is_numbered, labels};

impl Scope<'_> {
    /// A Deployment for a role of one task: when its node is lost, another one takes it. A StatefulSet for any other:
    /// its pods keep their names, and scaling down takes the last ones, which have been emptied.
    pub(super) fn workload(&self, role: &Role) -> Result<Object, RenderError> {
        let mut name = self.name_of(role.name.as_str())?;
        if is_numbered(role) {
            name = self.check_length(name, LONGEST_SET)?;
        }
        let template = self.pod_template(role)?;
        let selector = json!({"matchLabels": labels::selector(self.plan, Some(role))});
        let (kind, spec) = if is_numbered(role) {
            let spec = json!({
                "replicas": role.replicas,
                "serviceName": name,
                // Tasks wait for others by themselves; nothing is gained by starting them one by one.
                "podManagementPolicy": "Parallel",
                "selector": selector,
                "template": template,
            });
            ("StatefulSet", spec)
        } else {
            let spec = json!({
                "replicas": role.replicas,
                // Two of what there is one of would take each other's work.
                "strategy": {"type": "Recreate"},
                "selector": selector,
                "template": template,
            });
            ("Deployment", spec)
        };
        Ok(self.object(("apps/v1", kind), name, Some(role), json!({"spec": spec})))
    }
}
