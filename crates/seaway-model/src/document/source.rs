//! The text of an input: checked before anything parses it, cut into lines and documents.

use super::error::{DocumentError, DocumentErrors};

/// The largest input. A document has a few kilobytes; whatever is larger is not one.
pub(super) const MAX_SIZE: usize = 1 << 20;

const BEGINNING: &str = "an instance document begins with `apiVersion: seaway.dev/v1alpha1`";

/// A named text with an index of its lines.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) text: String,
    /// Begin and end of each line, without its break. A lone carriage return breaks lines in YAML too.
    lines: Vec<(usize, usize)>,
}

/// One document of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk<'a> {
    pub(super) text: &'a str,
    /// How many lines of the source are before it.
    pub(super) lines_before: usize,
}

impl Source {
    pub(super) fn new(name: &str, text: &str) -> Self {
        let mut lines = Vec::new();
        let bytes = text.as_bytes();
        let (mut start, mut index) = (0, 0);
        while index < bytes.len() {
            let length = match (bytes[index], bytes.get(index + 1)) {
                (b'\r', Some(b'\n')) => 2,
                (b'\r' | b'\n', _) => 1,
                _ => 0,
            };
            if length > 0 {
                lines.push((start, index));
                start = index + length;
            }
            index += length.max(1);
        }
        lines.push((start, bytes.len()));
        Self {
            name: name.to_owned(),
            text: text.to_owned(),
            lines,
        }
    }

    /// A line by its number, counted from 1; empty behind the end.
    pub(super) fn line(&self, number: usize) -> &str {
        self.lines
            .get(number.wrapping_sub(1))
            .map_or("", |(start, end)| &self.text[*start..*end])
    }

    /// A place in the text; one behind the end becomes the end of the last line that has something on it.
    pub(super) fn clamp(&self, line: usize, column: usize) -> (usize, usize) {
        if line == 0 {
            return (1, 1);
        }
        if line < self.lines.len() || !self.line(line).is_empty() {
            return (line, column.max(1));
        }
        let last = (1..=self.lines.len())
            .rev()
            .find(|number| !self.line(*number).trim().is_empty())
            .unwrap_or(1);
        (last, self.line(last).chars().count() + 1)
    }

    /// The input as text: not too large, UTF-8, without NUL; a byte order mark is dropped.
    pub(super) fn read(name: &str, bytes: &[u8]) -> Result<Self, DocumentErrors> {
        let refuse = |offset: usize, message: String, hint: &str| {
            // The text up to the place is enough to find the line; the line itself is shown as far as it goes.
            let end = bytes.len().min(offset + 200);
            let before = String::from_utf8_lossy(&bytes[..offset]);
            let source = Self::new(name, &String::from_utf8_lossy(&bytes[..end]));
            let before = Self::new(name, &before);
            let line = before.lines.len();
            let column = before.line(line).chars().count() + 1;
            Err(DocumentErrors::one(DocumentError::new(
                &source,
                line,
                column,
                &message,
                Some(hint),
            )))
        };
        if bytes.len() > MAX_SIZE {
            let message = format!(
                "the file has {} bytes; an instance file has at most {MAX_SIZE} (1 MiB)",
                bytes.len()
            );
            return refuse(
                0,
                message,
                "is it the right file? data is referred to by `spec.data`, not put in",
            );
        }
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            return refuse(0, "the file is UTF-16, not UTF-8".into(), "save it as UTF-8");
        }
        let nul = bytes.iter().position(|byte| *byte == 0);
        let text = std::str::from_utf8(bytes);
        let invalid = text.err().map(|error| error.valid_up_to());
        match (text, nul) {
            (Ok(text), None) => Ok(Self::new(name, text.strip_prefix('\u{feff}').unwrap_or(text))),
            (_, Some(offset)) if invalid.is_none_or(|invalid| offset < invalid) => {
                let message = format!("the file is binary, not YAML: NUL at byte {offset}");
                refuse(offset, message, "is it the right file?")
            }
            _ => {
                let offset = invalid.unwrap_or(0);
                let message = format!(
                    "the file is not UTF-8 text: byte {offset} is 0x{:02x}",
                    bytes[offset]
                );
                refuse(
                    offset,
                    message,
                    "is it the right file? if it is, save it as UTF-8",
                )
            }
        }
    }

    /// The documents of the text; a text without one is an error.
    ///
    /// Each is parsed on its own, so that one that is wrong does not hide the others. A line that begins with
    /// `---` ends a document whatever is around it, even within a quoted or block text, so no parser is needed.
    pub(super) fn documents(&self) -> Result<Vec<Chunk<'_>>, DocumentErrors> {
        let mut chunks = Vec::new();
        // The line the document begins on; whether it has more than comments, directives, a `---`.
        let (mut start, mut content, mut directive, mut opened) = (0, false, false, false);
        for (number, (from, to)) in self.lines.iter().enumerate() {
            let line = &self.text[*from..*to];
            if let Some(rest) = marker(line, "---") {
                if content {
                    chunks.push(self.chunk(start, number));
                }
                // Directives before `---` belong to the document that it begins.
                if content || opened || !directive {
                    start = number;
                }
                (content, directive, opened) = (!is_blank(rest), false, true);
            } else if marker(line, "...").is_some_and(is_blank) {
                if content {
                    chunks.push(self.chunk(start, number));
                }
                (start, content, directive, opened) = (number + 1, false, false, false);
            } else if !content && !opened && line.starts_with('%') {
                directive = true;
            } else if !is_blank(line) {
                content = true;
            }
        }
        if content || directive {
            chunks.push(self.chunk(start, self.lines.len()));
        }
        if !chunks.is_empty() {
            return Ok(chunks);
        }
        let message = if self.text.trim().is_empty() {
            "the file is empty"
        } else if self.text.contains('#') {
            "the file has only comments"
        } else {
            "the file has only document markers"
        };
        Err(DocumentErrors::one(DocumentError::new(
            self,
            1,
            1,
            message,
            Some(BEGINNING),
        )))
    }

    fn chunk(&self, first: usize, end: usize) -> Chunk<'_> {
        let offset = |line: usize| self.lines.get(line).map_or(self.text.len(), |(start, _)| *start);
        Chunk {
            text: &self.text[offset(first)..offset(end)],
            lines_before: first,
        }
    }
}

/// What follows a marker at the beginning of a line.
fn marker<'a>(line: &'a str, marker: &str) -> Option<&'a str> {
    line.strip_prefix(marker)
        .filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

/// Nothing but blanks or a comment.
fn is_blank(line: &str) -> bool {
    let line = line.trim_matches([' ', '\t']);
    line.is_empty() || line.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<(usize, String)> {
        let source = Source::new("a", text);
        source
            .documents()
            .unwrap()
            .iter()
            .map(|chunk| (chunk.lines_before, chunk.text.to_owned()))
            .collect()
    }

    #[test]
    fn documents_keep_their_lines() {
        assert_eq!(
            split("a: 1\n---\nb: 2\n"),
            [(0, "a: 1\n".into()), (1, "---\nb: 2\n".into())]
        );
        assert_eq!(
            split("# c\n---\n---\n# d\n--- {a: 1}\n...\n"),
            [(4, "--- {a: 1}\n".into())]
        );
        assert_eq!(
            split("a: 1\r\n---\r\nb: 2\r\n"),
            [(0, "a: 1\r\n".into()), (1, "---\r\nb: 2\r\n".into())]
        );
        assert_eq!(
            split("%YAML 1.2\n---\na: 1"),
            [(0, "%YAML 1.2\n---\na: 1".into())]
        );
        assert_eq!(
            split("a: |\n  ---\n---x: 1\n"),
            [(0, "a: |\n  ---\n---x: 1\n".into())]
        );
        assert_eq!(
            split("a: 1\n... # end\nb: 2"),
            [(0, "a: 1\n".into()), (2, "b: 2".into())]
        );
    }

    #[test]
    fn lines_end_as_in_yaml() {
        let source = Source::new("a", "one\r\ntwo\rthree\n");
        assert_eq!(
            (1..=5).map(|n| source.line(n)).collect::<Vec<_>>(),
            ["one", "two", "three", "", ""]
        );
        assert_eq!(source.clamp(4, 1), (3, 6));
        assert_eq!(source.clamp(2, 2), (2, 2));
        assert_eq!(source.clamp(9, 2), (3, 6));
    }
}
