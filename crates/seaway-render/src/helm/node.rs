//! An object as the text of a template: YAML with the places where Helm puts something.

use serde_json::Value;

use super::Sentinels;

/// A part of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// A value that stays, or an empty mapping or list.
    Leaf(Value),
    /// What Helm is to put here.
    Text(String),
    Map(Vec<Entry>),
    List(Vec<Entry>),
}

/// A part of a mapping or of a list.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// The key in a mapping.
    key: String,
    pub(super) node: Node,
    /// The condition under which it is there.
    pub(super) when: Option<String>,
    /// Whether the node is lines of a template that stand for any number of entries. `@2@` in them is the indentation of
    /// the entry and two more.
    lines: bool,
}

impl Entry {
    fn new(key: &str, node: Node) -> Self {
        Self {
            key: key.to_owned(),
            node,
            when: None,
            lines: false,
        }
    }
}

impl From<&Value> for Node {
    fn from(value: &Value) -> Self {
        match value {
            Value::Object(map) if !map.is_empty() => Self::Map(
                map.iter()
                    .map(|(key, value)| Entry::new(key, value.into()))
                    .collect(),
            ),
            Value::Array(list) if !list.is_empty() => {
                Self::List(list.iter().map(|value| Entry::new("", value.into())).collect())
            }
            other => Self::Leaf(other.clone()),
        }
    }
}

impl Node {
    /// The entry at a path; the numbers of a list are those that it had at first.
    pub(super) fn entry(&mut self, path: &[String]) -> Option<&mut Entry> {
        let (first, rest) = path.split_first()?;
        let entry = match self {
            Self::Map(entries) => entries
                .iter_mut()
                .find(|entry| !entry.lines && entry.key == *first),
            Self::List(entries) => entries.get_mut(first.parse::<usize>().ok()?),
            Self::Leaf(_) | Self::Text(_) => None,
        }?;
        if rest.is_empty() {
            Some(entry)
        } else {
            entry.node.entry(rest)
        }
    }

    /// Puts a template at a path; whether there was something.
    pub(super) fn put(&mut self, path: &[String], text: impl Into<String>) -> bool {
        let entry = self.entry(path);
        let found = entry.is_some();
        if let Some(entry) = entry {
            entry.node = Self::Text(text.into());
        }
        found
    }

    /// The mapping or list at a path; an empty one becomes one that can be added to.
    fn container(&mut self, path: &[String]) -> Option<&mut Vec<Entry>> {
        let node = if path.is_empty() {
            self
        } else {
            &mut self.entry(path)?.node
        };
        if let Self::Leaf(value) = node {
            *node = match value {
                Value::Object(_) => Self::Map(Vec::new()),
                Value::Array(_) => Self::List(Vec::new()),
                _ => return None,
            };
        }
        match node {
            Self::Map(entries) | Self::List(entries) => Some(entries),
            Self::Leaf(_) | Self::Text(_) => None,
        }
    }

    /// Adds lines at the end of a mapping or list.
    pub(super) fn add_lines(&mut self, path: &[String], lines: impl Into<String>) {
        if let Some(entries) = self.container(path) {
            entries.push(Entry {
                lines: true,
                ..Entry::new("", Self::Text(lines.into()))
            });
        }
    }

    /// Adds an entry at the end of a mapping.
    pub(super) fn add(&mut self, path: &[String], key: &str, node: Self) {
        if let Some(entries) = self.container(path) {
            entries.push(Entry::new(key, node));
        }
    }

    /// Takes an entry out of a mapping.
    pub(super) fn remove(&mut self, path: &[String], key: &str) {
        if let Some(entries) = self.container(path) {
            entries.retain(|entry| entry.key != key);
        }
    }

    /// Puts lines in the place of an entry of a list.
    pub(super) fn replace_with_lines(&mut self, path: &[String], lines: impl Into<String>) {
        if let Some(entry) = self.entry(path) {
            entry.node = Self::Text(lines.into());
            entry.lines = true;
        }
    }

    /// The text of the template.
    pub(super) fn write(&self, sentinels: &Sentinels) -> String {
        let mut text = String::new();
        self.write_at(&mut text, 0, sentinels);
        text
    }

    fn write_at(&self, text: &mut String, indentation: usize, sentinels: &Sentinels) {
        let (entries, list) = match self {
            Self::Map(entries) => (entries, false),
            Self::List(entries) => (entries, true),
            Self::Leaf(value) => {
                text.push_str(&sentinels.scalar(value));
                text.push('\n');
                return;
            }
            Self::Text(inserted) => {
                text.push_str(inserted);
                text.push('\n');
                return;
            }
        };
        let margin = " ".repeat(indentation);
        let mut open = None;
        for entry in entries {
            if open != entry.when.as_ref() {
                if open.is_some() {
                    text.push_str(&format!("{margin}{{{{- end }}}}\n"));
                }
                if let Some(condition) = &entry.when {
                    text.push_str(&format!("{margin}{{{{- if {condition} }}}}\n"));
                }
                open = entry.when.as_ref();
            }
            if entry.lines {
                if let Self::Text(lines) = &entry.node {
                    for line in lines.lines() {
                        text.push_str(&format!("{margin}{}\n", indented(line, indentation)));
                    }
                }
                continue;
            }
            if list {
                // The first line of a mapping stands behind the dash.
                let mut inner = String::new();
                entry.node.write_at(&mut inner, indentation + 2, sentinels);
                text.push_str(&format!("{margin}- {}", inner.trim_start_matches(' ')));
            } else {
                text.push_str(&format!("{margin}{}:", sentinels.text(&entry.key)));
                if matches!(entry.node, Self::Map(_) | Self::List(_)) {
                    text.push('\n');
                    entry.node.write_at(text, indentation + 2, sentinels);
                } else {
                    text.push(' ');
                    entry.node.write_at(text, 0, sentinels);
                }
            }
        }
        if open.is_some() {
            text.push_str(&format!("{margin}{{{{- end }}}}\n"));
        }
    }
}

/// A line in which `@2@` is the indentation and two more.
fn indented(line: &str, indentation: usize) -> String {
    let mut parts = line.split('@');
    let mut text = parts.next().unwrap_or_default().to_owned();
    while let Some(part) = parts.next() {
        match (part.parse::<usize>(), parts.next()) {
            (Ok(more), Some(rest)) => text.push_str(&format!("{}{rest}", indentation + more)),
            (_, rest) => {
                text.push_str(&format!("@{part}"));
                if let Some(rest) = rest {
                    text.push_str(&format!("@{rest}"));
                }
            }
        }
    }
    text
}

/// Every text in a value with its path.
pub(super) fn texts(value: &Value, here: &mut Vec<String>, visit: &mut dyn FnMut(&[String], &str)) {
    match value {
        Value::String(text) => visit(here, text),
        Value::Object(map) => {
            for (key, value) in map {
                here.push(key.clone());
                texts(value, here, visit);
                here.pop();
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                here.push(index.to_string());
                texts(value, here, visit);
                here.pop();
            }
        }
        _ => {}
    }
}
