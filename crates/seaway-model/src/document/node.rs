//! A document as a tree that remembers where each value is written.
//!
//! YAML, stored JSON and `--set` overrides all become this tree, so that one reader gives one kind of message
//! for all three.

use std::fmt;

/// Where something is written: line and column count from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Which of the sources: the file, or one of the overrides.
    pub(super) source: usize,
    pub(super) line: usize,
    pub(super) column: usize,
}

/// A value and its place; values that come from JSON have none.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) place: Option<Place>,
    pub(super) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A scalar keeps its text as it was written: `3.10` is a version, not the number 3.1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scalar {
    pub(super) meaning: Meaning,
    pub(super) written: String,
}

/// What a scalar stands for under YAML 1.2's core schema.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Meaning {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    /// An integer with more digits than any machine number has.
    Huge(f64),
    Text,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Option<Place>,
    pub(super) value: Node,
}

impl Node {
    pub(super) const fn new(place: Option<Place>, value: Value) -> Self {
        Self { place, value }
    }

    pub(super) fn null(place: Option<Place>) -> Self {
        Self::new(
            place,
            Value::Scalar(Scalar {
                meaning: Meaning::Null,
                written: String::new(),
            }),
        )
    }

    pub(super) const fn is_null(&self) -> bool {
        matches!(
            &self.value,
            Value::Scalar(Scalar {
                meaning: Meaning::Null,
                ..
            })
        )
    }

    /// The entry of a mapping.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// How many values the tree has, and how deep it is.
    pub(super) fn measure(&self) -> (usize, usize) {
        let children: &mut dyn Iterator<Item = &Self> = match &self.value {
            Value::Scalar(_) => return (1, 1),
            Value::List(nodes) => &mut nodes.iter(),
            Value::Map(entries) => &mut entries.iter().map(|entry| &entry.value),
        };
        let (size, height) = children.map(Self::measure).fold((0, 0), |(size, height), child| {
            (size + child.0, height.max(child.1))
        });
        (size + 1, height + 1)
    }

    /// The tree of a JSON value; it has no places.
    pub(super) fn from_json(value: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let scalar = |meaning, written: String| Value::Scalar(Scalar { meaning, written });
        let value = match value {
            Json::Null => return Self::null(None),
            Json::Bool(flag) => scalar(Meaning::Bool(*flag), flag.to_string()),
            Json::Number(number) => {
                let meaning = match (number.as_u64(), number.as_i64(), number.as_f64()) {
                    (Some(unsigned), ..) => Meaning::Unsigned(unsigned),
                    (_, Some(signed), _) => Meaning::Signed(signed),
                    (.., float) => Meaning::Float(float.unwrap_or(f64::NAN)),
                };
                scalar(meaning, number.to_string())
            }
            Json::String(text) => scalar(Meaning::Text, text.clone()),
            Json::Array(items) => Value::List(items.iter().map(Self::from_json).collect()),
            Json::Object(members) => Value::Map(
                members
                    .iter()
                    .map(|(key, value)| Entry {
                        key: key.clone(),
                        place: None,
                        value: Self::from_json(value),
                    })
                    .collect(),
            ),
        };
        Self::new(None, value)
    }

    /// What a path leads to.
    pub(super) fn get(&self, path: &Path) -> Option<&Self> {
        path.0
            .iter()
            .try_fold(self, |node, segment| match (segment, &node.value) {
                (Segment::Key(key), _) => node.entry(key).map(|entry| &entry.value),
                (Segment::Index(index), Value::List(nodes)) => nodes.get(*index),
                _ => None,
            })
    }

    /// The place of what a path leads to, or of the nearest thing around it that has one.
    pub(super) fn locate(&self, path: &Path, at: At) -> Option<Place> {
        let mut node = self;
        let mut place = node.place;
        for (index, segment) in path.0.iter().enumerate() {
            let last = index + 1 == path.0.len();
            let (key, next) = match (segment, &node.value) {
                (Segment::Key(key), Value::Map(_)) => match node.entry(key) {
                    Some(entry) => (entry.place, &entry.value),
                    None => break,
                },
                (Segment::Index(index), Value::List(nodes)) => match nodes.get(*index) {
                    Some(node) => (None, node),
                    None => break,
                },
                _ => break,
            };
            place = match at {
                At::Key if last => key.or(next.place).or(place),
                _ => next.place.or(key).or(place),
            };
            node = next;
        }
        place
    }

    /// The first text or key with a NUL in it: no argument, variable or path can carry one.
    pub(super) fn find_nul(&self, path: &Path) -> Option<(Path, Option<Place>)> {
        match &self.value {
            Value::Scalar(scalar) => scalar.written.contains('\0').then(|| (path.clone(), self.place)),
            Value::List(nodes) => nodes
                .iter()
                .enumerate()
                .find_map(|(index, node)| node.find_nul(&path.index(index))),
            Value::Map(entries) => entries.iter().find_map(|entry| {
                if entry.key.contains('\0') {
                    Some((path.clone(), entry.place))
                } else {
                    entry.value.find_nul(&path.key(&entry.key))
                }
            }),
        }
    }
}

impl Scalar {
    /// A scalar without quotes, read by YAML 1.2's core schema (`yes` and `no` are texts).
    pub(super) fn plain(written: &str) -> Self {
        Self {
            meaning: meaning(written),
            written: written.to_owned(),
        }
    }

    pub(super) fn text(written: &str) -> Self {
        Self {
            meaning: Meaning::Text,
            written: written.to_owned(),
        }
    }
}

fn meaning(written: &str) -> Meaning {
    match written {
        "" | "~" | "null" | "Null" | "NULL" => return Meaning::Null,
        "true" | "True" | "TRUE" => return Meaning::Bool(true),
        "false" | "False" | "FALSE" => return Meaning::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Meaning::Float(f64::NAN),
        _ => {}
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = written.strip_prefix(prefix)
            && digits.starts_with(|c: char| c.is_digit(radix))
        {
            return u64::from_str_radix(digits, radix).map_or(Meaning::Text, Meaning::Unsigned);
        }
    }
    let (negative, rest) = match written.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, written.strip_prefix('+').unwrap_or(written)),
    };
    if matches!(rest, ".inf" | ".Inf" | ".INF") {
        return Meaning::Float(if negative {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        });
    }
    // What Rust takes for a float beyond YAML's (`inf`, `nan`, `infinity`) has no digit.
    if !rest.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || !rest.contains(|c: char| c.is_ascii_digit())
    {
        return Meaning::Text;
    }
    let digits = rest.bytes().all(|byte| byte.is_ascii_digit());
    match written.parse::<f64>() {
        Err(_) => Meaning::Text,
        Ok(float) if !digits => Meaning::Float(float),
        Ok(float) => match (written.parse::<u64>(), written.parse::<i64>()) {
            (Ok(unsigned), _) => Meaning::Unsigned(unsigned),
            (_, Ok(signed)) => Meaning::Signed(signed),
            _ => Meaning::Huge(float),
        },
    }
}

/// Whether a place is asked for of the key or of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    Key,
    Value,
}

/// The way from the root of a document to a value: `spec.data[0].path`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Path(pub(super) Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    Key(String),
    Index(usize),
}

impl Path {
    /// The path of nested keys.
    pub(super) fn of(keys: &[&str]) -> Self {
        Self(keys.iter().map(|key| Segment::Key((*key).to_owned())).collect())
    }

    pub(super) fn key(&self, key: &str) -> Self {
        self.with(Segment::Key(key.to_owned()))
    }

    pub(super) fn index(&self, index: usize) -> Self {
        self.with(Segment::Index(index))
    }

    pub(super) fn with(&self, segment: Segment) -> Self {
        let mut path = self.clone();
        path.0.push(segment);
        path
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(number) => write!(f, "[{number}]")?,
                Segment::Key(key) => {
                    if index > 0 {
                        f.write_str(".")?;
                    }
                    // A dot within a key is written as `--set` reads it.
                    f.write_str(&key.replace('.', "\\."))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_mean_what_yaml_1_2_says() {
        for text in [
            "yes", "no", "on", "1.2.3", "0x", "0xzz", "inf", "nan", "-", ".", "+", "1_000", "infinity", "e5",
            "12e",
        ] {
            assert_eq!(meaning(text), Meaning::Text, "{text}");
        }
        assert_eq!(meaning("0x1F"), Meaning::Unsigned(31));
        assert_eq!(meaning("0o17"), Meaning::Unsigned(15));
        assert_eq!(meaning("007"), Meaning::Unsigned(7));
        assert_eq!(meaning("+5"), Meaning::Unsigned(5));
        assert_eq!(meaning("-5"), Meaning::Signed(-5));
        assert_eq!(meaning("1.50"), Meaning::Float(1.5));
        assert_eq!(meaning("-1e3"), Meaning::Float(-1000.0));
        assert_eq!(meaning("-.inf"), Meaning::Float(f64::NEG_INFINITY));
        assert!(matches!(meaning("99999999999999999999999"), Meaning::Huge(_)));
        assert!(matches!(meaning("1."), Meaning::Float(_)));
        assert!(matches!(meaning(".5"), Meaning::Float(_)));
    }
}
