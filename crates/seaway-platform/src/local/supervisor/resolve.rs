//! Fills in what a plan leaves to the platform: addresses, folders, secrets.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

use seaway_agent::{
    environment,
    process::{Launch, Output, search_path},
};
use seaway_model::{
    Name,
    plan::{AddressPart, Plan, PortReference, Reference, Role, Template},
};
use thiserror::Error;

use crate::local::{endpoints::reachable, paths::InstancePaths, python::Prepared, store::PortRecord};

/// Why a reference of the plan leads nowhere.
#[derive(Debug, Error)]
pub(crate) enum ResolveError {
    /// No port was given yet.
    #[error("port `{port}` of role `{role}` is not assigned yet")]
    Port { role: Name, port: Name },
    /// The secret's file cannot be read.
    #[error("secret `{name}` cannot be read: {source}")]
    Secret { name: Name, source: std::io::Error },
    /// The plan does not have it; a plan that was validated never leads here.
    #[error("`{0}` is not in the plan")]
    Unknown(String),
}

/// What is known of an instance when one of its tasks starts.
pub(crate) struct Context<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) paths: &'a InstancePaths,
    pub(crate) instance_id: &'a str,
    pub(crate) ports: &'a [PortRecord],
    /// The user's environment at the time the instance was brought up.
    pub(crate) environment: &'a BTreeMap<OsString, OsString>,
    /// The Python environments, by the plan's names.
    pub(crate) prepared: &'a BTreeMap<Name, Prepared>,
}

/// `host:port` with brackets where needed.
pub(crate) fn socket_address(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

impl Context<'_> {
    fn part(record: &PortRecord, part: AddressPart) -> String {
        match part {
            AddressPart::Host => reachable(&record.host).to_owned(),
            AddressPart::Listen => record.host.clone(),
            AddressPart::Port => record.port.to_string(),
            AddressPart::Address => socket_address(reachable(&record.host), record.port),
        }
    }

    /// The text of a template for a task.
    pub(crate) fn text(&self, template: &Template, role: &Name, index: u32) -> Result<String, ResolveError> {
        template.resolve(|reference| self.reference(reference, role, index))
    }

    fn reference(&self, reference: &Reference, own: &Name, index: u32) -> Result<String, ResolveError> {
        let task = || format!("{own}-{index}");
        let shown = |path: PathBuf| path.display().to_string();
        Ok(match reference {
            Reference::Instance => self.plan.instance.to_string(),
            Reference::Task => task(),
            Reference::TaskIndex => index.to_string(),
            Reference::Work => shown(self.paths.work(&task())),
            Reference::Scratch => shown(self.paths.scratch(&task())),
            Reference::Data(name) => {
                let found = self.plan.data.iter().find(|data| data.name == *name);
                shown(
                    found
                        .ok_or_else(|| ResolveError::Unknown(reference.to_string()))?
                        .path
                        .clone(),
                )
            }
            Reference::File(name) => shown(self.paths.file_folder(name.as_str())),
            Reference::SecretFile(name) => shown(self.paths.secret(name.as_str())),
            Reference::Secret(name) => {
                std::fs::read_to_string(self.paths.secret(name.as_str())).map_err(|source| {
                    ResolveError::Secret {
                        name: name.clone(),
                        source,
                    }
                })?
            }
            Reference::Port { role, port, part } => {
                let of = role.as_ref().unwrap_or(own);
                let mut records = self
                    .ports
                    .iter()
                    .filter(|record| {
                        record.role == *of
                            && record.name == *port
                            && (role.is_some() || record.index == index)
                    })
                    .peekable();
                if records.peek().is_none() {
                    return Err(ResolveError::Port {
                        role: of.clone(),
                        port: port.clone(),
                    });
                }
                records
                    .map(|record| Self::part(record, *part))
                    .collect::<Vec<_>>()
                    .join(",")
            }
        })
    }

    /// `host:port` of a port as seen by a task.
    pub(crate) fn address(
        &self,
        port: &PortReference,
        own: &Name,
        index: u32,
    ) -> Result<String, ResolveError> {
        let reference = Reference::Port {
            role: port.role.clone(),
            port: port.port.clone(),
            part: AddressPart::Address,
        };
        self.reference(&reference, own, index)
    }

    /// The environment of a task: the user's, the plan's, and the marks by which the process is found.
    pub(crate) fn environment(
        &self,
        role: &Role,
        index: u32,
        start_id: &str,
    ) -> Result<BTreeMap<OsString, OsString>, ResolveError> {
        let mut all = self.environment.clone();
        if let Some(prepared) = role.environment.as_ref().and_then(|name| self.prepared.get(name)) {
            let mut folders = vec![prepared.bin.clone()];
            folders.extend(search_path(
                all.get::<OsString>(&"PATH".into())
                    .map_or("".as_ref(), |path| path),
            ));
            if let Ok(path) = std::env::join_paths(folders) {
                all.insert("PATH".into(), path);
            }
            all.insert("VIRTUAL_ENV".into(), prepared.root.clone().into());
            // Settings of another environment would reach into this one.
            all.remove::<OsString>(&"PYTHONHOME".into());
            all.remove::<OsString>(&"PYTHONPATH".into());
        }
        for (name, template) in &role.env {
            all.insert(name.into(), self.text(template, &role.name, index)?.into());
        }
        let task = format!("{}-{index}", role.name);
        for (name, value) in [
            (environment::INSTANCE_ID, self.instance_id),
            (environment::START_ID, start_id),
            (environment::INSTANCE, self.plan.instance.as_str()),
            (environment::TASK, &task),
        ] {
            all.insert(name.into(), value.into());
        }
        Ok(all)
    }

    /// Everything needed to start a task.
    pub(crate) fn launch(&self, role: &Role, index: u32, start_id: &str) -> Result<Launch, ResolveError> {
        let task = format!("{}-{index}", role.name);
        let environment = self.environment(role, index, start_id)?;
        Ok(Launch {
            command: role
                .command
                .iter()
                .map(|word| self.text(word, &role.name, index))
                .collect::<Result<_, _>>()?,
            path: search_path(
                environment
                    .get::<OsString>(&"PATH".into())
                    .map_or("".as_ref(), |path| path),
            ),
            environment,
            working_directory: Some(
                role.working_directory
                    .clone()
                    .unwrap_or_else(|| self.paths.work(&task)),
            ),
            output: Output::File(self.paths.log(&task)),
            inherit_input: false,
        })
    }
}
