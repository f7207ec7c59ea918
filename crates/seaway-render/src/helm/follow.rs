//! What in an object follows the cores or the memory that a role gets.

use seaway_model::{Cpu, Memory};
use serde_json::Value;

use super::{
    HelmError, REVISION, go_string,
    node::{Node, texts},
};

/// What a role gets, while objects are compared.
#[derive(Debug, Clone, Copy)]
pub(super) enum Amount {
    Cpu(Cpu),
    Memory(Memory),
}

/// The amount with the expression that is its value in the chart.
#[derive(Debug, Clone)]
pub(super) struct Followed {
    pub(super) amount: Amount,
    pub(super) expression: String,
}

/// A change of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Edit {
    path: Vec<String>,
    text: Option<String>,
    when: Option<String>,
}

impl Edit {
    pub(super) fn apply(&self, node: &mut Node) {
        if let Some(entry) = node.entry(&self.path) {
            if let Some(text) = &self.text {
                entry.node = Node::Text(text.clone());
            }
            if self.when.is_some() {
                entry.when.clone_from(&self.when);
            }
        }
    }

    /// The first key of its path.
    pub(super) fn top(&self) -> Option<&String> {
        self.path.first()
    }
}

impl Followed {
    /// What makes a text from the amount.
    fn derived(&self, text: &str) -> Option<String> {
        let value = &self.expression;
        match self.amount {
            Amount::Cpu(cpu) if text == cpu.to_string() => Some(format!(r#"include "seaway.cpu" {value}"#)),
            Amount::Cpu(cpu) if text == cpu.cores_rounded_up().to_string() => {
                Some(format!(r#"include "seaway.cores" {value}"#))
            }
            Amount::Cpu(_) => None,
            Amount::Memory(memory) if text == memory.to_string() => {
                Some(format!(r#"include "seaway.memory" {value}"#))
            }
            Amount::Memory(memory) => (1..=100)
                .find(|percent| text == memory.percent(*percent).to_string())
                .map(|percent| format!(r#"include "seaway.percent" (list {value} {percent})"#)),
        }
    }

    /// What differs between a value that has the amount and one that has not.
    pub(super) fn edits(&self, with: &Value, without: &Value) -> Result<Vec<Edit>, HelmError> {
        let mut edits = Vec::new();
        self.compare(with, without, &mut Vec::new(), &mut edits)?;
        Ok(edits)
    }

    fn compare(
        &self,
        with: &Value,
        without: &Value,
        here: &mut Vec<String>,
        edits: &mut Vec<Edit>,
    ) -> Result<(), HelmError> {
        let unknown = |here: &[String]| HelmError::Unknown {
            value: self.expression.clone(),
            path: here.join("."),
        };
        match (with, without) {
            (with, without) if with == without => {}
            (Value::Object(with), Value::Object(without)) => {
                if without.keys().any(|key| !with.contains_key(key)) {
                    return Err(unknown(here));
                }
                for (key, value) in with.iter().filter(|(key, _)| *key != REVISION) {
                    here.push(key.clone());
                    if let Some(other) = without.get(key) {
                        self.compare(value, other, here, edits)?;
                    } else {
                        self.only_with(value, here, edits);
                    }
                    here.pop();
                }
            }
            (Value::Array(with), Value::Array(without)) if with.len() == without.len() => {
                for (index, (with, without)) in with.iter().zip(without).enumerate() {
                    here.push(index.to_string());
                    self.compare(with, without, here, edits)?;
                    here.pop();
                }
            }
            (Value::Array(with), Value::Array(without)) if with.len() > without.len() => {
                let more = with.len() - without.len();
                let begin = with.iter().zip(without).take_while(|(a, b)| a == b).count();
                if with[begin + more..] != without[begin..] {
                    return Err(unknown(here));
                }
                for (index, value) in with.iter().enumerate().skip(begin).take(more) {
                    here.push(index.to_string());
                    self.only_with(value, here, edits);
                    here.pop();
                }
            }
            (Value::Bool(with), Value::Bool(without)) => edits.push(Edit {
                path: here.clone(),
                text: Some(format!(
                    "{{{{ if {} }}}}{with}{{{{ else }}}}{without}{{{{ end }}}}",
                    self.expression
                )),
                when: None,
            }),
            (Value::String(with), Value::String(without)) => {
                let derived = self.derived(with).ok_or_else(|| unknown(here))?;
                let otherwise = go_string(without);
                edits.push(Edit {
                    path: here.clone(),
                    text: Some(format!("{{{{ {derived} | default {otherwise} | quote }}}}")),
                    when: None,
                });
            }
            _ => return Err(unknown(here)),
        }
        Ok(())
    }

    /// A part that is only there with the amount.
    fn only_with(&self, value: &Value, here: &mut Vec<String>, edits: &mut Vec<Edit>) {
        edits.push(Edit {
            path: here.clone(),
            text: None,
            when: Some(self.expression.clone()),
        });
        texts(value, here, &mut |path, text| {
            if let Some(derived) = self.derived(text) {
                edits.push(Edit {
                    path: path.to_vec(),
                    text: Some(format!("{{{{ {derived} | quote }}}}")),
                    when: None,
                });
            }
        });
    }
}
