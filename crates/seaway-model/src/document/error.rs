//! What is wrong with a document, and where: one form for syntax, types and meaning.

use std::fmt::Write as _;

use thiserror::Error;

use super::{
    node::{Path, Place},
    source::Source,
};

/// How many characters of a line are shown at most.
const SHOWN: usize = 100;

/// How many errors one look at a file tells; who has more of them fixes these first.
pub(super) const MOST: usize = 20;

/// One thing that is wrong with a document, with the place where it is.
///
/// Shown in full it names the place, shows the line and says what to do:
///
/// ```text
/// dask.yaml:7:5: unknown key `replica` in `spec.workers`
///   |
/// 7 |     replica: 4
///   |     ^
/// hint: did you mean `replicas`? known keys: replicas, threads, resources, tags, env, args
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", self.render())]
pub struct DocumentError {
    /// The file, or `--set` for an override.
    pub source_name: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// The line itself, ready to be shown: cropped around the column when long, control characters escaped.
    pub line_text: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// How many columns of a terminal are left of the caret under `line_text`.
    indent: usize,
}

impl DocumentError {
    pub(super) fn new(
        source: &Source,
        line: usize,
        column: usize,
        message: &str,
        hint: Option<&str>,
    ) -> Self {
        let (line_text, indent) = show(source.line(line), column);
        Self {
            source_name: printable(&source.name),
            line,
            column,
            line_text,
            message: printable(message),
            hint: hint.map(printable),
            indent,
        }
    }

    fn render(&self) -> String {
        let Self {
            source_name,
            line,
            column,
            line_text,
            message,
            hint,
            indent,
        } = self;
        let margin = " ".repeat(line.to_string().len());
        let blank = if line_text.is_empty() { "" } else { " " };
        let mut text =
            format!("{source_name}:{line}:{column}: {message}\n{margin} |\n{line} |{blank}{line_text}\n");
        // Writing to a string does not fail.
        let _ = write!(text, "{margin} | {}^", " ".repeat(*indent));
        if let Some(hint) = hint {
            let _ = write!(text, "\nhint: {hint}");
        }
        text
    }
}

/// Everything found wrong in one input; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", self.render())]
pub struct DocumentErrors {
    errors: Vec<DocumentError>,
    /// Whether there are more than these.
    more: bool,
}

impl DocumentErrors {
    /// The errors, in the order of the input.
    #[must_use]
    pub fn errors(&self) -> &[DocumentError] {
        &self.errors
    }

    pub(super) fn one(error: DocumentError) -> Self {
        Self {
            errors: vec![error],
            more: false,
        }
    }

    pub(super) fn of(mut errors: Vec<DocumentError>) -> Self {
        let more = errors.len() > MOST;
        errors.truncate(MOST);
        Self { errors, more }
    }

    fn render(&self) -> String {
        let mut parts: Vec<_> = self.errors.iter().map(ToString::to_string).collect();
        if self.more {
            parts.push("there are more errors, which are not shown".to_owned());
        }
        parts.join("\n\n")
    }
}

/// Something wrong that is not yet tied to the text of its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) place: Option<Place>,
    pub(super) path: Path,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// What reading gives; boxed because a problem is much larger than most of what is read.
pub(super) type Outcome<T> = Result<T, Box<Problem>>;

impl Problem {
    pub(super) fn new(place: Option<Place>, path: Path, message: impl Into<String>) -> Self {
        Self {
            place,
            path,
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn boxed<T>(self) -> Outcome<T> {
        Err(Box::new(self))
    }

    /// Tied to its source; without a place of its own it stands where `otherwise` says.
    pub(super) fn tie(&self, sources: &[Source], otherwise: Place) -> DocumentError {
        let place = self.place.unwrap_or(otherwise);
        let empty = Source::new("", "");
        let source = sources.get(place.source).unwrap_or(&empty);
        DocumentError::new(
            source,
            place.line,
            place.column,
            &self.message,
            self.hint.as_deref(),
        )
    }
}

/// A text short enough, and safe, to stand in a message.
pub(super) fn shorten(text: &str) -> String {
    if text.chars().count() <= 60 {
        printable(text)
    } else {
        printable(&text.chars().take(60).chain(['…']).collect::<String>())
    }
}

/// A text without anything that moves a terminal's cursor or turns its writing around.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        escape(c, &mut out);
    }
    out
}

fn escape(c: char, out: &mut String) {
    match c {
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {
            out.extend(c.escape_unicode());
        }
        c if c.is_control() => out.extend(c.escape_debug()),
        c => out.push(c),
    }
}

/// The part of a line around a column, and how many terminal columns stand before that column in it.
fn show(line: &str, column: usize) -> (String, usize) {
    let before = column.saturating_sub(1);
    let long = line.chars().nth(SHOWN).is_some();
    let start = if long { before.saturating_sub(SHOWN / 2) } else { 0 };
    let mut text = String::new();
    if start > 0 {
        text.push('…');
    }
    let mut indent = None;
    let mut rest = line.chars().skip(start);
    for (offset, c) in rest.by_ref().take(SHOWN).enumerate() {
        if start + offset == before {
            indent = Some(width(&text));
        }
        escape(c, &mut text);
    }
    // A column behind the end of the line: something is missing there.
    let indent = indent.unwrap_or_else(|| width(&text));
    if rest.next().is_some() {
        text.push('…');
    }
    (text, indent)
}

/// How many columns a terminal uses: two for the wide characters of East Asia and for emoji.
fn width(text: &str) -> usize {
    text.chars()
        .map(|c| match u32::from(c) {
            0x0300..=0x036f | 0xfe00..=0xfe0f => 0,
            0x1100..=0x115f
            | 0x2e80..=0xa4cf
            | 0xac00..=0xd7a3
            | 0xf900..=0xfaff
            | 0xfe30..=0xfe6f
            | 0xff00..=0xff60
            | 0xffe0..=0xffe6
            | 0x1f300..=0x1faff
            | 0x20000..=0x3fffd => 2,
            _ => 1,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str, column: usize) -> String {
        DocumentError::new(&Source::new("a.yaml", text), 1, column, "wrong", Some("do right")).to_string()
    }

    #[test]
    fn the_caret_is_under_the_character() {
        assert_eq!(
            rendered("a: b", 4),
            "a.yaml:1:4: wrong\n  |\n1 | a: b\n  |    ^\nhint: do right"
        );
        assert!(rendered("\ta: b", 2).contains("1 | \\ta: b\n  |   ^\n"));
        assert!(rendered("名: b", 2).contains("1 | 名: b\n  |   ^\n"));
        assert!(rendered("ab", 9).contains("1 | ab\n  |   ^\n"));
        assert!(rendered("", 1).contains("1 |\n  | ^\n"));
    }

    #[test]
    fn long_lines_are_cropped_around_the_column() {
        let line = format!("{}X{}", "a".repeat(5000), "b".repeat(5000));
        let text = rendered(&line, 5001);
        let lines: Vec<_> = text.lines().collect();
        let caret = lines[3].chars().position(|c| c == '^').unwrap();
        assert_eq!(lines[2].chars().nth(caret), Some('X'));
        assert!(lines[2].chars().count() < 110);
        assert!(lines[2].ends_with('…') && lines[2].contains(" …a"));
    }

    #[test]
    fn nothing_reaches_the_terminal_raw() {
        let text = rendered("a: \u{1b}[31m\u{202e}x", 4);
        assert!(text.contains("a: \\u{1b}[31m\\u{202e}x"), "{text}");
        let source = Source::new("a\n\u{7}b", "x");
        assert!(
            DocumentError::new(&source, 1, 1, "\u{1b}[2J", None)
                .to_string()
                .starts_with("a\\n\\u{7}b:1:1: \\u{1b}[2J\n")
        );
    }
}
