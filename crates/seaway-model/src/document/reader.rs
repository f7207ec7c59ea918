//! Reads typed values from a tree: a serde deserializer whose errors know the path and the place.

use serde::{
    Deserialize,
    de::{
        self, DeserializeSeed, Deserializer, EnumAccess, Expected, MapAccess, SeqAccess, Unexpected,
        VariantAccess, Visitor,
    },
    forward_to_deserialize_any,
};

use super::{
    error::{Outcome, Problem, shorten},
    node::{Entry, Meaning, Node, Path, Place, Scalar, Segment, Value},
    suggest,
};

/// Reads a value; `path` is where the node stands in its document.
pub(super) fn read<'de, T: Deserialize<'de>>(node: &'de Node, path: &Path) -> Outcome<T> {
    T::deserialize(NodeReader(node)).map_err(|fault| Box::new(fault.at(node).into_problem(path)))
}

/// A serde error on its way up: each level adds its segment of the path.
#[derive(Debug)]
struct Fault(Box<Inner>);

#[derive(Debug)]
struct Inner {
    cause: Cause,
    place: Option<Place>,
    /// Whether the innermost value has been seen, and so the place is right (even when it is none).
    placed: bool,
    /// From the innermost segment outwards.
    path: Vec<Segment>,
    hint: Option<String>,
}

#[derive(Debug)]
enum Cause {
    Message(String),
    /// What was expected; what there is instead is added where the value is known.
    Expected(String),
    UnknownKey(String, &'static [&'static str]),
    UnknownValue(String, &'static [&'static str]),
    MissingKey(&'static str),
}

impl Fault {
    fn new(cause: Cause) -> Self {
        Self(Box::new(Inner {
            cause,
            place: None,
            placed: false,
            path: Vec::new(),
            hint: None,
        }))
    }

    fn placed(mut self, place: Option<Place>) -> Self {
        if !self.0.placed {
            self.0.place = place;
            self.0.placed = true;
        }
        self
    }

    /// The fault of reading this node, if not of one within it.
    fn at(mut self, node: &Node) -> Self {
        if !self.0.placed
            && let Cause::Expected(expected) = &self.0.cause
        {
            self.0.hint = advice(expected, node);
            self.0.cause = Cause::Message(format!(
                "expected {}, found {}",
                plain_words(expected),
                describe(node)
            ));
        }
        self.placed(node.place)
    }

    fn under(mut self, segment: Segment) -> Self {
        self.0.path.push(segment);
        self
    }

    fn into_problem(self, base: &Path) -> Problem {
        let Inner {
            cause,
            place,
            path,
            hint,
            ..
        } = *self.0;
        let path = path
            .into_iter()
            .rev()
            .fold(base.clone(), |path, segment| path.with(segment));
        let (message, hint) = match cause {
            Cause::Message(text) => (format!("`{path}`: {text}"), hint),
            Cause::Expected(expected) => (format!("`{path}`: expected {}", plain_words(&expected)), None),
            Cause::UnknownKey(key, known) => (
                format!("unknown key `{}` in `{path}`", shorten(&key)),
                Some(suggest::hint(&key, "keys", known)),
            ),
            Cause::UnknownValue(given, known) => (
                format!("`{path}`: unknown value `{}`", shorten(&given)),
                Some(suggest::hint(&given, "values", known)),
            ),
            Cause::MissingKey(key) => (format!("missing `{key}` in `{path}`"), None),
        };
        Problem {
            place,
            path,
            message,
            hint,
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&self.0.cause, f)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::new(Cause::Message(message.to_string()))
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Cause::Expected(expected.to_string()))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Cause::Expected(expected.to_string()))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Cause::UnknownKey(field.to_owned(), expected))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Cause::UnknownValue(variant.to_owned(), expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Cause::MissingKey(field))
    }
}

/// What derived code expects, in words that are not Rust's.
fn plain_words(expected: &str) -> &str {
    match expected {
        "a boolean" => "`true` or `false`",
        "a string" => "a text",
        "path string" => "a path",
        "a sequence" => "a list",
        "a map" => "a mapping (`key: value` lines)",
        "f64" => "a number",
        other if other.starts_with("struct ") || other.starts_with("enum ") => {
            "a mapping (`key: value` lines)"
        }
        other => other,
    }
}

/// What to do about the commonest wrong types.
fn advice(expected: &str, node: &Node) -> Option<String> {
    match (expected, &node.value) {
        ("a string", Value::Scalar(_)) if node.is_null() => {
            Some("write `\"\"` for an empty text, `\"null\"` for the word".to_owned())
        }
        ("a sequence", Value::Scalar(scalar)) => Some(format!(
            "write `[{}]`, or each item on a line after `- `",
            shorten(&scalar.written)
        )),
        _ => None,
    }
}

/// A value in words, for messages.
pub(super) fn describe(node: &Node) -> String {
    match &node.value {
        Value::List(_) => "a list".into(),
        Value::Map(_) => "a mapping".into(),
        Value::Scalar(Scalar { meaning, written }) => match meaning {
            Meaning::Null => "nothing".into(),
            Meaning::Bool(_) => format!("`{written}`"),
            Meaning::Text if written.is_empty() => "an empty text".into(),
            Meaning::Text => format!("the text `{}`", shorten(written)),
            _ => format!("the number `{}`", shorten(written)),
        },
    }
}

struct NodeReader<'de>(&'de Node);

impl<'de> NodeReader<'de> {
    fn any<V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.value {
            Value::List(nodes) => visitor.visit_seq(Items { nodes, next: 0 }),
            Value::Map(entries) => visitor.visit_map(Entries { entries, next: 0 }),
            Value::Scalar(scalar) => match scalar.meaning {
                Meaning::Null => visitor.visit_unit(),
                Meaning::Bool(flag) => visitor.visit_bool(flag),
                Meaning::Unsigned(number) => visitor.visit_u64(number),
                Meaning::Signed(number) => visitor.visit_i64(number),
                Meaning::Float(number) => visitor.visit_f64(number),
                Meaning::Huge(_) | Meaning::Text => visitor.visit_borrowed_str(&scalar.written),
            },
        }
    }

    /// Every scalar is a text where a text is asked for, exactly as it was written.
    fn text<V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.value {
            Value::Scalar(scalar) if scalar.meaning != Meaning::Null => {
                visitor.visit_borrowed_str(&scalar.written)
            }
            _ => self.any(visitor),
        }
    }

    /// `workers:` with all of its lines commented out is a mapping without entries.
    fn entries(&self) -> Option<&'de [Entry]> {
        match &self.0.value {
            Value::Map(entries) => Some(entries),
            _ => self.0.is_null().then_some(&[]),
        }
    }
}

macro_rules! scalars_are_texts {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.text(visitor).map_err(|fault| fault.at(self.0))
        })*
    };
}

impl<'de> Deserializer<'de> for NodeReader<'de> {
    type Error = Fault;

    scalars_are_texts! { deserialize_str deserialize_string deserialize_char deserialize_identifier }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.any(visitor).map_err(|fault| fault.at(self.0))
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.value {
            Value::Scalar(Scalar {
                meaning: Meaning::Huge(number),
                ..
            }) => visitor.visit_f64(*number),
            _ => self.any(visitor),
        }
        .map_err(|fault| fault.at(self.0))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let node = self.0;
        if node.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
        .map_err(|fault| fault.at(node))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let node = self.0;
        visitor.visit_newtype_struct(self).map_err(|fault| fault.at(node))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.0.is_null() {
            visitor.visit_seq(Items { nodes: &[], next: 0 })
        } else {
            self.any(visitor)
        }
        .map_err(|fault| fault.at(self.0))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.entries() {
            Some(entries) => visitor.visit_map(Entries { entries, next: 0 }),
            None => self.any(visitor),
        }
        .map_err(|fault| fault.at(self.0))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.0.value {
            // A derived struct could be read from a list, in the order of its fields: not in a document.
            Value::List(_) => Err(Fault::new(Cause::Expected("a map".into())).at(self.0)),
            _ => self.deserialize_map(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let chosen = match &self.0.value {
            Value::Scalar(scalar) if scalar.meaning != Meaning::Null => Choice::Text(&scalar.written, self.0),
            Value::Map(entries) if entries.len() == 1 => Choice::Entry(&entries[0]),
            Value::Map(entries) => {
                let message = format!(
                    "expected one key ({}), found {}",
                    variants.join(", "),
                    entries.len()
                );
                return Err(Fault::new(Cause::Message(message)).at(self.0));
            }
            _ => {
                let expected = format!("one of {}", variants.join(", "));
                return Err(Fault::new(Cause::Expected(expected)).at(self.0));
            }
        };
        visitor.visit_enum(chosen).map_err(|fault| fault.at(self.0))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 bytes byte_buf unit unit_struct tuple tuple_struct
        ignored_any
    }
}

struct Items<'de> {
    nodes: &'de [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(node) = self.nodes.get(self.next) else {
            return Ok(None);
        };
        let index = self.next;
        self.next += 1;
        seed.deserialize(NodeReader(node))
            .map(Some)
            .map_err(|fault| fault.at(node).under(Segment::Index(index)))
    }
}

struct Entries<'de> {
    entries: &'de [Entry],
    /// The entry whose key is read next; its value is that of the one before.
    next: usize,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some(entry) = self.entries.get(self.next) else {
            return Ok(None);
        };
        self.next += 1;
        seed.deserialize(KeyReader(entry))
            .map(Some)
            .map_err(|fault| fault.placed(entry.place))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some(entry) = self.entries.get(self.next.wrapping_sub(1)) else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(NodeReader(&entry.value))
            .map_err(|fault| fault.at(&entry.value).under(Segment::Key(entry.key.clone())))
    }
}

struct KeyReader<'de>(&'de Entry);

impl<'de> Deserializer<'de> for KeyReader<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_borrowed_str(&self.0.key)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// A variant: a text, or the only key of a mapping with the variant's content as its value.
enum Choice<'de> {
    Text(&'de str, &'de Node),
    Entry(&'de Entry),
}

impl<'de> EnumAccess<'de> for Choice<'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let value = match &self {
            Self::Text(text, node) => seed
                .deserialize(de::value::BorrowedStrDeserializer::new(text))
                .map_err(|fault: Fault| fault.at(node))?,
            Self::Entry(entry) => seed.deserialize(KeyReader(entry)).map_err(|mut fault| {
                if let Cause::UnknownValue(given, known) = fault.0.cause {
                    fault.0.cause = Cause::UnknownKey(given, known);
                }
                fault.placed(entry.place)
            })?,
        };
        Ok((value, self))
    }
}

impl<'de> VariantAccess<'de> for Choice<'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self {
            Self::Text(..) => Ok(()),
            Self::Entry(entry) => {
                let message = format!("`{}` is a word of its own, without `:` and a value", entry.key);
                Err(Fault::new(Cause::Message(message)).placed(entry.place))
            }
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        match self {
            Self::Text(text, node) => {
                let message = format!("`{text}` is a key here: write `{text}: {{}}`");
                Err(Fault::new(Cause::Message(message)).at(node))
            }
            Self::Entry(entry) => seed
                .deserialize(NodeReader(&entry.value))
                .map_err(|fault| fault.at(&entry.value).under(Segment::Key(entry.key.clone()))),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        match self {
            Self::Entry(entry) => NodeReader(&entry.value).deserialize_seq(visitor),
            Self::Text(..) => Err(Fault::new(Cause::Expected("a sequence".into()))),
        }
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self {
            Self::Entry(entry) => NodeReader(&entry.value).deserialize_map(visitor),
            Self::Text(..) => Err(Fault::new(Cause::Expected("a map".into()))),
        }
    }
}
