//! `--set key=value`: changes to a document, checked like the document itself.

use super::{
    Document,
    check::common_length,
    error::{DocumentError, DocumentErrors, Outcome, Problem, shorten},
    node::{Entry, Node, Path, Place, Scalar, Segment, Value},
    source::Source,
    suggest, yaml,
};

/// Short names for what is set most often, as (alias, path, description). They are the make variables of the ARL,
/// the Dask and notebook deployment that Seaway takes over from.
pub const SET_ALIASES: &[(&str, &str, &str)] = &[
    ("WORKER_REPLICAS", "spec.workers.replicas", "how many workers"),
    (
        "WORKER_MEM",
        "spec.workers.resources.memory",
        "memory of each worker, for example 512Mi",
    ),
    (
        "WORKER_CPU",
        "spec.workers.resources.cpu",
        "cores of each worker, for example 500m",
    ),
];

/// The keys of a whole document; a path that begins with another one begins within `spec`.
const ROOTS: [&str; 4] = ["apiVersion", "kind", "metadata", "spec"];

/// What errors call the place of an override.
const SOURCE: &str = "--set";

/// One `key=value`.
///
/// The key is a path like `spec.workers.replicas`, `workers.replicas`, `data[0].path`, `data.0.path` or
/// `metadata.labels.example\.com/team`, or one of [`SET_ALIASES`]. The value is a YAML scalar or flow value
/// (`[a, b]`, `{GPU: 2}`); an empty one is an empty text; `null` takes the key out, so that its default applies.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    text: String,
    steps: Vec<Step>,
    value: Node,
}

/// One segment of the path with its column in the text.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    segment: Segment,
    column: usize,
}

impl Override {
    /// Parses `key=value`.
    pub fn parse(text: &str) -> Result<Self, DocumentErrors> {
        parse(text).map_err(|problem| DocumentErrors::one(tie(&problem, &[Source::new(SOURCE, text)])))
    }

    /// The override as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Changes the tree; `source` is the number of this override.
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
        let sources: Vec<_> = overrides
            .iter()
            .map(|each| Source::new(SOURCE, &each.text))
            .collect();
        let fail = |problems: Vec<Problem>| {
            let errors = problems.iter().map(|problem| {
                // What an override makes wrong elsewhere (two values that exclude each other) is told at the
                // override that came nearest.
                let nearest = overrides.iter().enumerate().max_by_key(|(_, each)| {
                    let steps: Vec<_> = each.steps.iter().map(|step| step.segment.clone()).collect();
                    common_length(&problem.path, &steps)
                });
                let source = nearest.map_or(0, |(index, _)| index);
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
            .map_err(|error| fail(vec![Problem::new(None, Path::default(), error.to_string())]))?;
        let mut root = Node::from_json(&json);
        for (index, each) in overrides.iter().enumerate() {
            each.apply(&mut root, index)
                .map_err(|problem| fail(vec![*problem]))?;
        }
        Self::from_node(&root).map_err(fail)
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
    let steps = match SET_ALIASES.iter().find(|(alias, ..)| *alias == key) {
        Some((_, path, _)) => path
            .split('.')
            .map(|key| Step {
                segment: Segment::Key(key.to_owned()),
                column: 1,
            })
            .collect(),
        None => steps(key)?,
    };
    if let [
        Step {
            segment: Segment::Key(key),
            ..
        },
    ] = &steps[..]
        && key.chars().all(|c| c.is_ascii_uppercase() || c == '_')
    {
        let known: Vec<_> = SET_ALIASES.iter().map(|(alias, ..)| *alias).collect();
        return Problem::new(
            at(1),
            Path::default(),
            format!("unknown variable `{}`", shorten(key)),
        )
        .hint(suggest::hint(key, "variables", &known))
        .boxed();
    }
    let within = matches!(steps.first(), Some(Step { segment: Segment::Key(key), .. }) if ROOTS.contains(&key.as_str()));
    let spec = Step {
        segment: Segment::Key("spec".to_owned()),
        column: 1,
    };
    let steps = if within {
        steps
    } else {
        std::iter::once(spec).chain(steps).collect()
    };
    Ok(Override {
        text: text.to_owned(),
        steps,
        value: value(raw, key.chars().count() + 1)?,
    })
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

    #[test]
    fn every_alias_leads_somewhere() {
        let document = Document::preset("dask").unwrap();
        for (alias, path, _) in SET_ALIASES {
            let set = |key: &str| document.with_overrides(&[Override::parse(&format!("{key}=50m")).unwrap()]);
            match (set(alias), set(path)) {
                (Ok(one), Ok(other)) => assert_eq!(one, other),
                (one, other) => {
                    let (one, other) = (one.unwrap_err().to_string(), other.unwrap_err().to_string());
                    assert!(one.contains(&format!("`{path}`: ")), "{one}");
                    assert!(other.contains(&format!("`{path}`: ")), "{other}");
                }
            }
        }
    }
}
