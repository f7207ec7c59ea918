//! How clients find the endpoints of an instance beside the Services of its roles: Services by the names that the
//! document gives, and an agent that announces in directories outside of the cluster.

use std::collections::BTreeMap;

use seaway_model::{
    Name,
    discovery::DirectorySpec,
    plan::{EndpointPlan, Role},
};
use serde_json::{Value, json};

use super::{ANNOUNCER, Object, RenderError, Scope, labels, object_name, services::number, volumes::Volumes};

/// The file with the directories, for the agent.
const FILE: &str = "discovery.json";
/// Where the agent has it.
const FOLDER: &str = "/seaway/discovery";

/// Whether an agent in a pod has something to do with a directory: a cluster needs none for its own Services, and a
/// file in a pod is seen by nobody.
const fn is_outside(spec: &DirectorySpec) -> bool {
    matches!(
        spec,
        DirectorySpec::Http(_) | DirectorySpec::Consul(_) | DirectorySpec::Redis(_)
    )
}

/// What is made for one further Service.
struct Alias<'a> {
    role: &'a Role,
    ports: Vec<Value>,
}

impl Scope<'_> {
    /// The Services that the document asks for in its directories `kubernetes`. Without a name of their own, the
    /// endpoints of the first role that has some are reached under the instance's name.
    pub(super) fn aliases(&self) -> Result<Vec<Object>, RenderError> {
        let mut objects = Vec::new();
        for (index, directory) in self.plan.discovery.iter().enumerate() {
            let DirectorySpec::Kubernetes(spec) = directory else {
                continue;
            };
            let mut aliases: BTreeMap<Name, Alias<'_>> = BTreeMap::new();
            let first = self.plan.endpoints.first().map(|endpoint| &endpoint.role);
            for endpoint in &self.plan.endpoints {
                let asked = spec.services.get(&endpoint.name);
                let named = asked.and_then(|service| service.name.clone());
                if named.is_none() && Some(&endpoint.role) != first {
                    continue;
                }
                let name = named.unwrap_or_else(|| self.plan.instance.clone());
                let (Some(role), Some(target)) =
                    (self.plan.role(endpoint.role.as_str()), self.port_of(endpoint))
                else {
                    continue;
                };
                let port = asked.and_then(|service| service.port).unwrap_or(target);
                let alias = aliases.entry(name.clone()).or_insert_with(|| Alias {
                    role,
                    ports: Vec::new(),
                });
                if alias.role.name != role.name {
                    return Err(RenderError::Unsupported {
                        field: format!("spec.discovery[{index}].kubernetes.services.{}", endpoint.name),
                        why: format!(
                            "Service `{name}` leads to the pods of one role, here `{}`; give the endpoints of \
                             `{}` another one",
                            alias.role.name, role.name
                        ),
                    });
                }
                alias.ports.push(
                    json!({"name": endpoint.name, "port": port, "targetPort": target, "protocol": "TCP"}),
                );
            }
            for (name, alias) in aliases {
                let spec = json!({
                    "selector": labels::selector(self.plan, Some(alias.role)),
                    "type": self.plan.kubernetes.service_type.as_str(),
                    "ports": alias.ports,
                });
                let name = self.check_length(name.to_string(), super::LONGEST)?;
                objects.push(self.object(("v1", "Service"), name, Some(alias.role), json!({"spec": spec})));
            }
        }
        Ok(objects)
    }

    /// The directories for the agent, as a document of the instance.
    pub(super) fn discovery_file(&self) -> Option<(String, Value)> {
        let outside: Vec<&DirectorySpec> = self
            .plan
            .discovery
            .iter()
            .filter(|spec| is_outside(spec))
            .collect();
        if outside.is_empty() {
            return None;
        }
        let document = json!({
            "apiVersion": "seaway.dev/v1alpha1",
            "kind": self.plan.kind,
            "metadata": {"name": self.plan.instance},
            "spec": {"discovery": outside},
        });
        Some((FILE.to_owned(), document.to_string().into()))
    }

    /// The agent that announces the endpoints, in the pod of the first role that has one. It ends with the pod, and the
    /// entries with their lease when nobody lets it withdraw them.
    pub(super) fn announcer(&self, role: &Role, volumes: &mut Volumes) -> Result<Option<Value>, RenderError> {
        if self.discovery_file().is_none()
            || self.plan.endpoints.first().map(|endpoint| &endpoint.role) != Some(&role.name)
        {
            return Ok(None);
        }
        let source = json!({
            "name": object_name(&self.plan.instance, "files"),
            "items": [{"key": FILE, "path": FILE}],
        });
        let mount = volumes.beside("discovery", FOLDER, ("configMap", source));
        let kinds: Vec<&str> = self
            .plan
            .discovery
            .iter()
            .filter(|spec| is_outside(spec))
            .map(DirectorySpec::kind)
            .collect();
        let mut args: Vec<String> = ["agent", "--name", self.plan.instance.as_str(), "--register"]
            .map(str::to_owned)
            .to_vec();
        args.push(kinds.join(","));
        args.extend(["--document".to_owned(), format!("{FOLDER}/{FILE}")]);
        // A restart of the container takes its own entry over.
        args.extend(["--owner".to_owned(), "$(SEAWAY_POD_UID)".to_owned()]);
        for endpoint in &self.plan.endpoints {
            let (Some(of), Some(port)) = (self.plan.role(endpoint.role.as_str()), self.port_of(endpoint))
            else {
                continue;
            };
            let EndpointPlan {
                name, scheme, path, ..
            } = endpoint;
            let host = self.host(of, 0)?;
            args.extend([
                "--endpoint".to_owned(),
                format!("{name}={scheme}://{host}:{port}{path}"),
            ]);
        }
        for (key, value) in &self.plan.labels {
            args.extend(["--label".to_owned(), format!("{key}={value}").replace('$', "$$")]);
        }
        let uid = json!({"name": "SEAWAY_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}});
        let mut container = self.helper(ANNOUNCER, &args, vec![uid]);
        container["restartPolicy"] = "Always".into();
        // Tokens and certificates are in volumes of the user's.
        let mut mounts: Vec<Value> = volumes
            .mounts
            .iter()
            .filter(|mount| {
                mount["name"]
                    .as_str()
                    .is_some_and(|name| name.starts_with("volume-"))
            })
            .cloned()
            .collect();
        mounts.push(mount);
        container["volumeMounts"] = mounts.into();
        Ok(Some(container))
    }

    fn port_of(&self, endpoint: &EndpointPlan) -> Option<u16> {
        let role = self.plan.role(endpoint.role.as_str())?;
        role.port(endpoint.port.as_str()).map(number)
    }
}
