//! `--set key=value`: changes to a document, checked like the document itself.

use super::{
    Document, Kind,
    aliases::{self, Effect},
    check::common_length,
    dask::DaskSpec,
    error::{DocumentError, DocumentErrors, Outcome, Problem, shorten},
    node::{Entry, Node, Path, Place, Scalar, Segment, Value},
    source::Source,
    suggest, yaml,
};

/// The keys of a whole document; a path that begins with another one begins within `spec`.
const ROOTS: [&str; 4] = ["apiVersion", "kind", "metadata", "spec"];

/// What errors call the place of an override.
const SOURCE: &str = "--set";

/// One `key=value`.
///
/// The key is a path like `spec.workers.replicas`, `workers.replicas`, `data[0].path`, `data.0.path` or
/// `metadata.labels.example\.com/team`, or one of the kind's [`aliases`](super::aliases). The value is a YAML scalar or flow value
/// (`[a, b]`, `{GPU: 2}`); an empty one is an empty text; `null` takes the key out, so that its default applies.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    text: String,
    steps: Vec<Step>,
    value: Node,
}

/// One segment of the path with its column in the text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub(super) segment: Segment,
    pub(super) column: usize,
}

/// One value to put into a document. An override makes one, and an alias may make others of it.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) steps: Vec<Step>,
    pub(super) value: Node,
}

impl Override {
    /// Parses `key=value`.
    pub fn parse(text: &str) -> Result<Self, DocumentErrors> {
        parse(text).map_err(|problem| DocumentErrors::one(tie(&problem, &[source(text)])))
    }

    /// The override as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What is to be changed in the tree of a document of that kind; `source` is the number of this override.
    fn changes(&self, kind: Kind, root: &Node, source: usize) -> Outcome<Vec<Change>> {
        let key = self.text.split_once('=').map_or("", |(key, _)| key);
        if let Some(alias) = aliases::find(kind, key) {
            return alias.changes(root, &self.steps, &self.value, source);
        }
        let within = matches!(self.steps.first(), Some(Step { segment: Segment::Key(key), .. }) if ROOTS.contains(&key.as_str()));
        let spec = Step {
            segment: Segment::Key("spec".to_owned()),
            column: 1,
        };
        let steps = (!within).then_some(spec).into_iter();
        Ok(vec![Change {
            steps: steps.chain(self.steps.iter().cloned()).collect(),
            value: self.value.clone(),
        }])
    }
}

impl Change {
    /// Changes the tree; `source` is the number of the override.
    fn apply(&self, root: &mut Node, source: usize) -> Outcome<()> {
        let mut node = root;
        let mut path = Path::default();
        let Some((last, way)) = self.steps.split_last() else {
            return Ok(());
        };
        for step in way {
            node = Self::child(node, step, &path, source)?;
            path = path.with(step.segment.clone());
        }
        if let (true, Segment::Key(key), Value::Map(entries)) =
            (self.value.is_null(), &last.segment, &mut node.value)
        {
            entries.retain(|entry| entry.key != *key);
            return Ok(());
        }
        let target = Self::child(node, last, &path, source)?;
        *target = self.value.clone();
        target.number(source);
        Ok(())
    }

    /// The value a step leads to, made when it is not there.
    fn child<'n>(node: &'n mut Node, step: &Step, path: &Path, source: usize) -> Outcome<&'n mut Node> {
        let place = Some(Place {
            source,
            line: 1,
            column: step.column,
        });
        let refuse = |message: String| Problem::new(place, path.clone(), message).boxed::<&'n mut Node>();
        let index = match &step.segment {
            Segment::Index(index) => Some(*index),
            Segment::Key(key) if !matches!(node.value, Value::Map(_)) => key.parse().ok(),
            Segment::Key(_) => None,
        };
        if matches!(node.value, Value::Scalar(_)) {
            // Whatever stands there is not what the path says it is: let the reader judge the result.
            node.value = if index.is_some() {
                Value::List(Vec::new())
            } else {
                Value::Map(Vec::new())
            };
            node.place = place;
        }
        match (&mut node.value, index, &step.segment) {
            (Value::List(nodes), Some(index), _) => {
                let length = nodes.len();
                if index == length {
                    nodes.push(Node::null(place));
                }
                nodes.get_mut(index).map_or_else(
                    || refuse(format!("`{path}` has {length} items, so there is no `[{index}]`; the next is `[{length}]`")),
                    Ok,
                )
            }
            (Value::List(_), None, Segment::Key(key)) => refuse(format!(
                "`{path}` is a list: `{}` is not the number of an item",
                shorten(key)
            )),
            (Value::Map(entries), _, Segment::Key(key)) => {
                let position = entries.iter().position(|entry| entry.key == *key);
                let position = position.unwrap_or_else(|| {
                    entries.push(Entry {
                        key: key.clone(),
                        place,
                        value: Node::null(place),
                    });
                    entries.len() - 1
                });
                entries[position].place = place;
                Ok(&mut entries[position].value)
            }
            (_, _, segment) => refuse(format!(
                "`{path}` is a mapping, so there is no `{}`",
                Path(vec![segment.clone()])
            )),
        }
    }
}

impl Document {
    /// The document with each of the overrides applied in turn, checked again as a whole.
    pub fn with_overrides(&self, overrides: &[Override]) -> Result<Self, DocumentErrors> {
        let sources: Vec<_> = overrides.iter().map(|each| source(&each.text)).collect();
        let fail = |problems: Vec<Problem>, changes: &[(usize, Change)]| {
            let errors = problems.iter().map(|problem| {
                // What an override makes wrong elsewhere (two values that exclude each other) is told at the
                // override that came nearest.
                let nearest = changes.iter().max_by_key(|(_, change)| {
                    let steps: Vec<_> = change.steps.iter().map(|step| step.segment.clone()).collect();
                    common_length(&problem.path, &steps)
                });
                let source = nearest.map_or(0, |(index, _)| *index);
                problem.tie(
                    &sources,
                    Place {
                        source,
                        line: 1,
                        column: 1,
                    },
                )
            });
            DocumentErrors::of(errors.collect())
        };
        let json = serde_json::to_value(self)
            .map_err(|error| fail(vec![Problem::new(None, Path::default(), error.to_string())], &[]))?;
        let mut root = Node::from_json(&json);
        let mut done = Vec::new();
        for (index, each) in overrides.iter().enumerate() {
            let changes = each
                .changes(self.kind(), &root, index)
                .map_err(|problem| fail(vec![*problem], &done))?;
            for change in changes {
                change
                    .apply(&mut root, index)
                    .map_err(|problem| fail(vec![*problem], &done))?;
                done.push((index, change));
            }
        }
        Self::from_node(&root).map_err(|problems| fail(problems, &done))
    }
}

impl Node {
    /// Says which source the places are in.
    fn number(&mut self, source: usize) {
        if let Some(place) = &mut self.place {
            place.source = source;
        }
        match &mut self.value {
            Value::Scalar(_) => {}
            Value::List(nodes) => nodes.iter_mut().for_each(|node| node.number(source)),
            Value::Map(entries) => {
                for entry in entries {
                    if let Some(place) = &mut entry.place {
                        place.source = source;
                    }
                    entry.value.number(source);
                }
            }
        }
    }
}

/// An override as errors show it: with its value, unless that is a secret.
fn source(text: &str) -> Source {
    match text.split_once('=') {
        Some((key, _)) if aliases::is_secret(key) => Source::new(SOURCE, &format!("{key}=…")),
        _ => Source::new(SOURCE, text),
    }
}

fn tie(problem: &Problem, sources: &[Source]) -> DocumentError {
    problem.tie(
        sources,
        Place {
            source: 0,
            line: 1,
            column: 1,
        },
    )
}

fn parse(text: &str) -> Outcome<Override> {
    let at = |column: usize| {
        Some(Place {
            source: 0,
            line: 1,
            column,
        })
    };
    let Some((key, raw)) = text.split_once('=') else {
        return Problem::new(
            at(text.chars().count() + 1),
            Path::default(),
            "expected `key=value`",
        )
        .hint("write it like `workers.replicas=4`")
        .boxed();
    };
    let steps = steps(key)?;
    let refuse = |what: &str, near: String| {
        Problem::new(
            at(1),
            Path::default(),
            format!("unknown {what} `{}`", shorten(key)),
        )
        .hint(near)
        .boxed()
    };
    if let Some(alias) = aliases::any(key) {
        if let (Effect::Refused { why, instead }, false) = (alias.effect, raw.trim().is_empty()) {
            return Problem::new(at(1), Path::default(), format!("`{key}` cannot be set: {why}"))
                .hint(instead)
                .boxed();
        }
        // As `helm` would take them.
        let mut others = raw.split(',').skip(1).filter_map(|other| other.split_once('='));
        if let Some((other, _)) = others.find(|(other, _)| aliases::any(other.trim()).is_some()) {
            let message = format!("`{}` stands in the value of `{key}`", other.trim());
            return Problem::new(at(key.chars().count() + 2), Path::default(), message)
                .hint("give each of them with a `--set` of its own")
                .boxed();
        }
    } else if key
        .chars()
        .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    {
        return refuse("variable", suggest::hint(key, "variables", &aliases::variables()));
    } else if let Some(near) = near_chart_value(key, &steps) {
        return refuse("key", format!("did you mean `{near}`?"));
    }
    Ok(Override {
        text: text.to_owned(),
        steps,
        value: value(raw, key.chars().count() + 1)?,
    })
}

/// The value of the ARL's chart that was meant, when the key can be none of a document's.
fn near_chart_value(key: &str, steps: &[Step]) -> Option<&'static str> {
    let [
        Step {
            segment: Segment::Key(first),
            ..
        },
        _,
        ..,
    ] = steps
    else {
        return None;
    };
    let known = DaskSpec::KEYS.into_iter().chain(ROOTS);
    if suggest::nearest(first, known).is_some() {
        return None;
    }
    suggest::nearest(key, aliases::chart_values())
}

/// The path of a key: segments with dots between them, `\` before a dot that is a part of one, `[0]` for items.
fn steps(key: &str) -> Outcome<Vec<Step>> {
    let refuse = |column: usize, message: &str| {
        Problem::new(
            Some(Place {
                source: 0,
                line: 1,
                column,
            }),
            Path::default(),
            message,
        )
        .hint("a key is a path like `workers.replicas` or `data[0].path`")
        .boxed()
    };
    let mut steps = Vec::new();
    let mut characters = key.chars().enumerate().peekable();
    loop {
        let begin = characters.peek().map_or(key.chars().count(), |(index, _)| *index);
        let mut segment = String::new();
        let mut indices = Vec::new();
        let mut more = false;
        while let Some((index, c)) = characters.next() {
            match c {
                '.' => {
                    more = true;
                    break;
                }
                '\\' if characters
                    .peek()
                    .is_some_and(|(_, next)| matches!(next, '.' | '[' | '\\')) =>
                {
                    segment.extend(characters.next().map(|(_, c)| c));
                }
                '[' => {
                    let mut digits = String::new();
                    let closed = characters
                        .by_ref()
                        .map(|(_, c)| c)
                        .take_while(|c| {
                            digits.push(*c);
                            *c != ']'
                        })
                        .count();
                    match digits.strip_suffix(']').and_then(|digits| digits.parse().ok()) {
                        Some(number) if closed > 0 => {
                            indices.push(Step {
                                segment: Segment::Index(number),
                                column: index + 1,
                            });
                        }
                        _ => return refuse(index + 1, "expected the number of an item, like `[0]`"),
                    }
                }
                _ if !indices.is_empty() => return refuse(index + 1, "expected `.` after `]`"),
                c => segment.push(c),
            }
        }
        if segment.trim().is_empty() {
            return refuse(begin + 1, "a key is missing");
        }
        steps.push(Step {
            segment: Segment::Key(segment),
            column: begin + 1,
        });
        steps.append(&mut indices);
        if !more {
            return Ok(steps);
        }
    }
}

/// The value behind `=`. Only what is quoted or in brackets is YAML; everything else is one plain scalar, so that
/// `a: b`, `#1` and `*` need no quotes in addition to those of the shell.
fn value(raw: &str, columns_before: usize) -> Outcome<Node> {
    let trimmed = raw.trim();
    let columns_before = columns_before + raw.chars().take_while(|c| c.is_whitespace()).count();
    if trimmed.starts_with(['[', '{', '"', '\'']) {
        let origin = yaml::Origin {
            columns_before,
            ..yaml::Origin::default()
        };
        return yaml::read(trimmed, origin);
    }
    let place = Some(Place {
        source: 0,
        line: 1,
        column: columns_before + 1,
    });
    let scalar = if trimmed.is_empty() {
        Scalar::text("")
    } else {
        Scalar::plain(trimmed)
    };
    Ok(Node::new(place, Value::Scalar(scalar)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(key: &str) -> Result<String, String> {
        let steps = steps(key).map_err(|problem| problem.message)?;
        Ok(Path(steps.into_iter().map(|step| step.segment).collect()).to_string())
    }

    #[test]
    fn keys() {
        assert_eq!(path("workers.replicas").unwrap(), "workers.replicas");
        assert_eq!(path("data[0].path").unwrap(), "data[0].path");
        assert_eq!(path("data[0][12]").unwrap(), "data[0][12]");
        assert_eq!(
            path(r"labels.example\.com/team").unwrap(),
            r"labels.example\.com/team"
        );
        for wrong in [
            "", ".", "a.", ".a", "a..b", "[0]", "a[", "a[]", "a[x]", "a[0]b", "a[-1]",
        ] {
            assert!(path(wrong).is_err(), "{wrong}");
        }
    }
}
