//! Texts with references to what only the platform knows: addresses, names of tasks, files of secrets.
//!
//! A plan is data, so a command cannot be a closure over addresses. It is a text with `${…}` in it, parsed when
//! the plan is made and resolved by the platform when it starts the task.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use crate::Name;

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// `${` without `}`.
    #[error("`{0}` has a `${{` without its `}}`")]
    Open(String),
    /// A reference of a form that does not exist.
    #[error("`${{{0}}}` is not a reference; {FORMS}")]
    Reference(String),
}

const FORMS: &str = "references are ${instance}, ${task}, ${task.index}, ${work}, ${scratch}, ${data.NAME}, \
                     ${file.NAME}, ${secret.NAME}, ${secret.NAME.file} and \
                     ${ROLE.PORT.host|port|address|listen} with `self` for the task's own role";

/// Something only the platform knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reference {
    /// `${instance}`: the instance's name.
    Instance,
    /// `${task}`: the task's name, `worker-0`; unique within the instance and kept over restarts.
    Task,
    /// `${task.index}`: the number at the end of the task's name.
    TaskIndex,
    /// `${work}`: the task's working directory.
    Work,
    /// `${scratch}`: a directory for the task's temporary data; emptied when the task goes.
    Scratch,
    /// `${data.NAME}`: where a data directory of the instance is seen by the task.
    Data(Name),
    /// `${file.NAME}`: directory that holds a file of the plan (see [`PlanFile`](super::PlanFile)).
    File(Name),
    /// `${secret.NAME}`: the secret itself; allowed in environments only.
    Secret(Name),
    /// `${secret.NAME.file}`: a file that holds the secret and that only the task's user can read.
    SecretFile(Name),
    /// `${ROLE.PORT.part}`: where a port of a role is reached. For a role of several tasks the parts of all of
    /// them, joined with commas in the order of their indexes.
    Port {
        /// The role; `None` is the task itself, written `self`.
        role: Option<Name>,
        /// The port's name.
        port: Name,
        /// Which part of the address.
        part: AddressPart,
    },
}

/// A part of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressPart {
    /// Name or IP address that other tasks use.
    Host,
    /// Port number.
    Port,
    /// `host:port`.
    Address,
    /// The host part to bind; of use only for the task's own ports.
    Listen,
}

impl AddressPart {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Host, "host"),
        (Self::Port, "port"),
        (Self::Address, "address"),
        (Self::Listen, "listen"),
    ];
}

impl FromStr for Reference {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let wrong = || TemplateError::Reference(text.to_owned());
        let name = |part: &str| part.parse::<Name>().map_err(|_| wrong());
        let parts: Vec<&str> = text.split('.').collect();
        Ok(match *parts.as_slice() {
            ["instance"] => Self::Instance,
            ["task"] => Self::Task,
            ["task", "index"] => Self::TaskIndex,
            ["work"] => Self::Work,
            ["scratch"] => Self::Scratch,
            ["data", data] => Self::Data(name(data)?),
            ["file", file] => Self::File(name(file)?),
            ["secret", secret] => Self::Secret(name(secret)?),
            ["secret", secret, "file"] => Self::SecretFile(name(secret)?),
            [role, of_port, part] => Self::Port {
                role: if role == "self" { None } else { Some(name(role)?) },
                port: name(of_port)?,
                part: AddressPart::ALL
                    .into_iter()
                    .find_map(|(value, text)| (text == part).then_some(value))
                    .ok_or_else(wrong)?,
            },
            _ => return Err(wrong()),
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance => f.write_str("instance"),
            Self::Task => f.write_str("task"),
            Self::TaskIndex => f.write_str("task.index"),
            Self::Work => f.write_str("work"),
            Self::Scratch => f.write_str("scratch"),
            Self::Data(name) => write!(f, "data.{name}"),
            Self::File(name) => write!(f, "file.{name}"),
            Self::Secret(name) => write!(f, "secret.{name}"),
            Self::SecretFile(name) => write!(f, "secret.{name}.file"),
            Self::Port { role, port, part } => {
                let part = AddressPart::ALL
                    .iter()
                    .find(|(value, _)| value == part)
                    .map_or("", |(_, text)| text);
                write!(f, "{}.{port}.{part}", role.as_ref().map_or("self", Name::as_str))
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Part {
    Text(String),
    Reference(Reference),
}

/// A text with references in `${…}`; a dollar sign before a brace is written `$${`.
///
/// ```
/// # use seaway_model::plan::{Reference, Template};
/// let template: Template = "tcp://${scheduler.client.address}".parse().unwrap();
/// let text = template.resolve(|reference: &Reference| match reference {
///     Reference::Port { .. } => Ok::<_, ()>("127.0.0.1:8786".into()),
///     _ => Err(()),
/// });
/// assert_eq!(text.unwrap(), "tcp://127.0.0.1:8786");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Template(Vec<Part>);

impl Template {
    /// A text that is taken as it is, whatever it holds.
    #[must_use]
    pub fn literal(text: impl Into<String>) -> Self {
        let text = text.into();
        Self(if text.is_empty() {
            Vec::new()
        } else {
            vec![Part::Text(text)]
        })
    }

    /// The text with every reference replaced by what `lookup` answers.
    pub fn resolve<E>(&self, lookup: impl FnMut(&Reference) -> Result<String, E>) -> Result<String, E> {
        fn plain(text: &str) -> Cow<'_, str> {
            Cow::Borrowed(text)
        }
        self.resolve_quoted(plain, lookup)
    }

    /// The same for a reader that replaces references of its own: `quote` makes plain text safe from it.
    pub fn resolve_quoted<E>(
        &self,
        quote: impl Fn(&str) -> Cow<'_, str>,
        mut lookup: impl FnMut(&Reference) -> Result<String, E>,
    ) -> Result<String, E> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(literal) => text.push_str(&quote(literal)),
                Part::Reference(reference) => text.push_str(&lookup(reference)?),
            }
        }
        Ok(text)
    }

    /// The references in the text, in order.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.0.iter().filter_map(|part| match part {
            Part::Reference(reference) => Some(reference),
            Part::Text(_) => None,
        })
    }
}

impl From<Reference> for Template {
    fn from(reference: Reference) -> Self {
        Self(vec![Part::Reference(reference)])
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            literal.push_str(&rest[..at]);
            if literal.ends_with('$') {
                literal.push('{');
                rest = &rest[at + 2..];
                continue;
            }
            let inner = &rest[at + 2..];
            let end = inner
                .find('}')
                .ok_or_else(|| TemplateError::Open(text.to_owned()))?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Reference(inner[..end].parse()?));
            rest = &inner[end + 1..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self(parts))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Text(text) => f.write_str(&text.replace("${", "$${"))?,
                Part::Reference(reference) => write!(f, "${{{reference}}}")?,
            }
        }
        Ok(())
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl JsonSchema for Template {
    fn schema_name() -> Cow<'static, str> {
        "Template".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": format!("Text with references; {FORMS}") })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_what_is_no_reference() {
        for wrong in [
            "${",
            "${x}",
            "${a.b}",
            "${a.b.c}",
            "${self.Port.host}",
            "${secret.a.b}",
        ] {
            assert!(wrong.parse::<Template>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_literal_is_never_a_reference() {
        let template = Template::literal("cost: ${task}");
        assert_eq!(template.to_string(), "cost: $${task}");
        assert_eq!(template.references().count(), 0);
        let read: Template = template.to_string().parse().unwrap();
        assert_eq!(read.resolve(|_| Err(())).unwrap(), "cost: ${task}");
    }

    proptest! {
        #[test]
        fn literals_survive_the_round_trip(text in "[a-z${}.]{0,30}|\\PC{0,30}") {
            // A dollar right before `${` cannot be told from its escape; nothing else is lost.
            prop_assume!(!text.contains("$${"));
            let read: Template = Template::literal(text.clone()).to_string().parse().unwrap();
            prop_assert_eq!(read.resolve(|_| Err(())), Ok(text));
        }

        #[test]
        fn parsing_never_panics(text in "[a-z${}.]{0,40}|\\PC{0,40}") {
            if let Ok(template) = text.parse::<Template>() {
                prop_assert_eq!(template.to_string().parse::<Template>().unwrap(), template);
            }
        }
    }
}
