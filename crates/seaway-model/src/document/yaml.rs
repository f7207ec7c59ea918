//! One YAML document as a tree with places.
//!
//! Built from the parser's events and not through serde, because only the events have the text of a scalar as it
//! was written (`3.10`), the place of every key, and the place where an aliased value really stands.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{
    ErrorKind, Event, Marker, Options, Parser, ScalarStyle, ScanError, StrInput, Tag,
};

use super::{
    error::{Outcome, Problem, shorten},
    node::{Entry, Node, Path, Place, Scalar, Value},
};

/// How deep values may be nested; an instance document needs seven levels.
const MAX_DEPTH: usize = 64;

/// How many values a document may have once its aliases are expanded: nine lines of aliases make 10^9.
const MAX_VALUES: usize = 100_000;

/// Where a text begins within its source.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Origin {
    pub(super) source: usize,
    pub(super) lines_before: usize,
    /// Characters before the text on its first line.
    pub(super) columns_before: usize,
}

/// Reads one document.
pub(super) fn read(text: &str, origin: Origin) -> Outcome<Node> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    let parser = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader {
        parser,
        text,
        origin,
        tag: origin.place(1, 1),
        anchors: HashMap::new(),
        values: 0,
        copied: 0,
    };
    let mut root = None;
    while let Some((event, place)) = reader.next()? {
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => {}
            event if root.is_none() => root = Some(reader.node(event, place, 1)?),
            _ => {
                return problem(place, "a second document begins here")
                    .hint("separate documents with `---`")
                    .boxed();
            }
        }
    }
    Ok(root.unwrap_or_else(|| Node::null(Some(origin.place(1, 1)))))
}

impl Origin {
    const fn place(&self, line: usize, column: usize) -> Place {
        let shift = if line == 1 { self.columns_before } else { 0 };
        Place {
            source: self.source,
            line: line + self.lines_before,
            column: column + shift,
        }
    }

    fn of(&self, marker: &Marker) -> Place {
        self.place(marker.line().max(1), marker.col() + 1)
    }
}

fn problem(place: Place, message: impl Into<String>) -> Problem {
    Problem::new(Some(place), Path::default(), message)
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    text: &'t str,
    origin: Origin,
    /// Where the tag of the last event begins, when it has one.
    tag: Place,
    /// What anchors stand for, with size and height.
    anchors: HashMap<usize, (Node, usize, usize)>,
    values: usize,
    /// How many of the values are copies made for anchors and aliases.
    copied: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Outcome<Option<(Event<'t>, Place)>> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok((event, span))) => {
                let place = self.origin.of(&span.start);
                self.tag = span.tag_start().map_or(place, |start| self.origin.of(&start));
                Ok(Some((event, place)))
            }
            Some(Err(error)) => {
                let found = self.text.chars().nth(error.marker().index());
                Err(Box::new(syntax(self.origin.of(error.marker()), &error, found)))
            }
        }
    }

    fn count(&mut self, more: usize, place: Place) -> Outcome<()> {
        self.values = self.values.saturating_add(more);
        if self.values <= MAX_VALUES {
            return Ok(());
        }
        if self.copied > 0 {
            return problem(
                place,
                format!("the aliases of this document expand to more than {MAX_VALUES} values"),
            )
            .hint("write the values out, or refer to them from fewer places")
            .boxed();
        }
        problem(place, format!("this document has more than {MAX_VALUES} values")).boxed()
    }

    fn node(&mut self, event: Event<'t>, place: Place, depth: usize) -> Outcome<Node> {
        if depth > MAX_DEPTH {
            return problem(place, too_deep()).boxed();
        }
        self.count(1, place)?;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => (
                Value::Scalar(scalar(&text, style, tag.as_deref(), self.tag)?),
                anchor,
            ),
            Event::SequenceStart(_, anchor, tag) => {
                check_tag(tag.as_deref(), "seq", self.tag)?;
                (Value::List(self.list(place, depth)?), anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                check_tag(tag.as_deref(), "map", self.tag)?;
                (Value::Map(self.map(place, depth)?), anchor)
            }
            Event::Alias(anchor) => return self.alias(anchor, place, depth),
            _ => return problem(place, "not valid YAML").boxed(),
        };
        let node = Node::new(Some(place), value);
        if anchor != 0 {
            let (size, height) = node.measure();
            self.copied += size;
            self.count(size, place)?;
            self.anchors.insert(anchor, (node.clone(), size, height));
        }
        Ok(node)
    }

    fn alias(&mut self, anchor: usize, place: Place, depth: usize) -> Outcome<Node> {
        let Some((size, height)) = self
            .anchors
            .get(&anchor)
            .map(|(_, size, height)| (*size, *height))
        else {
            return problem(place, "this alias refers to the value it is a part of").boxed();
        };
        if depth + height > MAX_DEPTH {
            return problem(place, too_deep()).boxed();
        }
        self.copied += size;
        self.count(size, place)?;
        match self.anchors.get(&anchor) {
            Some((node, ..)) => Ok(node.clone()),
            None => problem(place, "not valid YAML").boxed(),
        }
    }

    /// The next event within a collection; the parser ends every collection it began.
    fn within(&mut self, place: Place) -> Outcome<(Event<'t>, Place)> {
        match self.next()? {
            Some(next) => Ok(next),
            None => problem(place, "the document ends within this value").boxed(),
        }
    }

    fn list(&mut self, start: Place, depth: usize) -> Outcome<Vec<Node>> {
        let mut nodes = Vec::new();
        loop {
            match self.within(start)? {
                (Event::SequenceEnd, _) => return Ok(nodes),
                (event, place) => nodes.push(self.node(event, place, depth + 1)?),
            }
        }
    }

    fn map(&mut self, start: Place, depth: usize) -> Outcome<Vec<Entry>> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut merged = Vec::new();
        loop {
            let (key, key_place) = match self.within(start)? {
                (Event::MappingEnd, _) => break,
                (event, place) => {
                    let merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
                    (
                        if merge {
                            None
                        } else {
                            Some(self.key(event, place, depth)?)
                        },
                        place,
                    )
                }
            };
            let (event, place) = self.within(start)?;
            let value = self.node(event, place, depth + 1)?;
            let name = key.as_deref().unwrap_or("<<");
            if let Some(first) = seen.insert(name.to_owned(), key_place.line) {
                let message = format!("duplicate key `{}`; the first is on line {first}", shorten(name));
                return problem(key_place, message).hint("remove one of them").boxed();
            }
            match key {
                Some(key) => entries.push(Entry {
                    key,
                    place: Some(key_place),
                    value,
                }),
                None => merged.push((value, key_place)),
            }
        }
        for (node, place) in merged {
            merge(node, place, &mut entries, &mut seen)?;
        }
        Ok(entries)
    }

    fn key(&mut self, event: Event<'t>, place: Place, depth: usize) -> Outcome<String> {
        match self.node(event, place, depth + 1)?.value {
            // The parser's word for a key, or a value, that is not there.
            Value::Scalar(scalar) if scalar == Scalar::plain("~") => {
                problem(place, "a key is missing before `:`").boxed()
            }
            Value::Scalar(scalar) => Ok(scalar.written),
            _ => problem(place, "a key is a text, not a list or a mapping")
                .hint("quote it if it begins with `[` or `{`")
                .boxed(),
        }
    }
}

/// Adds what a merge key (`<<`) brings; what a mapping says itself comes first.
fn merge(
    node: Node,
    place: Place,
    entries: &mut Vec<Entry>,
    seen: &mut HashMap<String, usize>,
) -> Outcome<()> {
    match node.value {
        Value::Map(more) => {
            for entry in more {
                if !seen.contains_key(&entry.key) {
                    seen.insert(entry.key.clone(), place.line);
                    entries.push(entry);
                }
            }
            Ok(())
        }
        Value::List(nodes) if nodes.iter().all(|node| matches!(node.value, Value::Map(_))) => nodes
            .into_iter()
            .try_for_each(|node| merge(node, place, entries, seen)),
        _ => problem(place, "`<<` merges a mapping or a list of mappings").boxed(),
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, place: Place) -> Outcome<Scalar> {
    match tag {
        None if style == ScalarStyle::Plain => Ok(Scalar::plain(text)),
        None => Ok(Scalar::text(text)),
        // `! text` is YAML's way to say that something is not to be resolved.
        Some(tag) if tag.core_suffix() == Some("str") || tag.original() == "!" => Ok(Scalar::text(text)),
        Some(tag) if matches!(tag.core_suffix(), Some("int" | "float" | "bool" | "null")) => {
            Ok(Scalar::plain(text))
        }
        Some(tag) => check_tag(Some(tag), "str", place).map(|()| Scalar::text(text)),
    }
}

fn check_tag(tag: Option<&Tag>, allowed: &str, place: Place) -> Outcome<()> {
    match tag {
        Some(tag) if tag.core_suffix() != Some(allowed) && tag.original() != "!" => problem(
            place,
            format!("the tag `{}` means nothing here", shorten(&tag.original())),
        )
        .hint("remove it; quote the text if it begins with `!`")
        .boxed(),
        _ => Ok(()),
    }
}

fn too_deep() -> String {
    format!("values are nested more than {MAX_DEPTH} levels deep")
}

/// The parser's complaint in the words of somebody who writes a file, not a parser.
fn syntax(place: Place, error: &ScanError, found: Option<char>) -> Problem {
    let (message, hint) = match error.kind() {
        ErrorKind::ExpectedNodeContent
        | ErrorKind::UnexpectedEof
        | ErrorKind::UnexpectedEofBlockSequence
        | ErrorKind::UnexpectedEofBlockMapping
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofImplicitFlowMapping
            if let Some(character) = found.filter(|c| ",]}".contains(*c)) =>
        {
            return problem(place, format!("`{character}` is not expected here"))
                .hint("remove it, or quote the text it belongs to");
        }
        ErrorKind::UnexpectedEof
        | ErrorKind::UnexpectedEofBlockSequence
        | ErrorKind::UnexpectedEofBlockMapping => (
            "the document ends in the middle of something",
            "is the file complete?",
        ),
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar
        | ErrorKind::InvalidBlockEntryWhitespace
        | ErrorKind::InvalidMappingValueWhitespace => (
            "a tab is used for indentation, which YAML does not allow",
            "use spaces",
        ),
        ErrorKind::UnclosedQuotedScalar => (
            "a quote is not closed",
            "close it, or double it if it is a part of the text",
        ),
        ErrorKind::InvalidQuotedScalarIndent => (
            "a quote is not closed on its line, and the next line is not indented",
            "close it, or indent the rest",
        ),
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            let closing = if *open == '[' { ']' } else { '}' };
            return problem(place, format!("`{open}` is closed by `{close}`"))
                .hint(format!("close it by `{closing}`"));
        }
        ErrorKind::UnclosedFlowCollection { open } => {
            return problem(place, format!("`{open}` is not closed"))
                .hint(format!("add `{}`", if *open == '[' { ']' } else { '}' }));
        }
        ErrorKind::UnexpectedEofFlowSequence | ErrorKind::ExpectedFlowSequenceSeparator => (
            "expected `,` or `]` in a list",
            "quote texts with special characters",
        ),
        ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::ExpectedFlowMappingSeparator => (
            "expected `,` or `}` in a mapping",
            "quote texts with special characters",
        ),
        ErrorKind::RecursionLimitExceeded => return problem(place, too_deep()),
        ErrorKind::UnknownAnchor => (
            "this alias has no anchor before it in the document",
            "quote the text if it begins with `*`",
        ),
        ErrorKind::MappingValueNotAllowed
        | ErrorKind::MappingKeyNotAllowed
        | ErrorKind::InvalidColonPlacement => (
            "a `key: value` is not allowed here",
            "check the indentation; quote a text that has `: ` in it",
        ),
        ErrorKind::InvalidIndentation
        | ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::BlockSequenceEntryNotAllowed => (
            "the indentation does not fit the lines above",
            "keys of one mapping, and items of one list, begin in the same column",
        ),
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => (
            "expected `key: value`",
            "a `:` and a space are between a key and its value",
        ),
        ErrorKind::UnexpectedCharacter { character } => {
            return problem(place, format!("a text cannot begin with `{character}`")).hint("quote it");
        }
        ErrorKind::InvalidTrailingDoubleQuotedScalar | ErrorKind::InvalidTrailingSingleQuotedScalar => (
            "something follows a quoted text",
            "put the whole text within the quotes",
        ),
        ErrorKind::UnknownQuotedScalarEscape => (
            "`\\` begins an escape that YAML does not have",
            "write `\\\\` for `\\`, or use single quotes",
        ),
        _ => return problem(place, format!("not valid YAML: {}", error.info())),
    };
    problem(place, message).hint(hint)
}
