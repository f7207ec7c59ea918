//! What an alias changes in the tree of a document.

use super::{Alias, CPU, DATA, Effect, THREADS};
use crate::document::{
    error::{Outcome, Problem},
    node::{Entry, Node, Path, Place, Scalar, Segment, Value},
    overrides::{Change, Step},
};

impl Alias {
    /// What the override is to change. `steps` are those of its key, `source` is its number.
    pub(in crate::document) fn changes(
        &self,
        root: &Node,
        steps: &[Step],
        value: &Node,
        source: usize,
    ) -> Outcome<Vec<Change>> {
        let change = |path: &str, rest: &[Step], value: Node| {
            let keys = path.split('.').map(|key| Segment::Key(key.to_owned()));
            let steps = keys.map(|segment| Step { segment, column: 1 });
            Change {
                steps: steps.chain(rest.iter().cloned()).collect(),
                value,
            }
        };
        let place = value.place;
        let texts = Texts {
            alias: self,
            value,
            source,
        };
        Ok(match self.effect {
            Effect::At(path) => {
                let own = self.name.split(['.', '[']).count();
                vec![change(path, steps.get(own..).unwrap_or_default(), value.clone())]
            }
            Effect::Cores => {
                // Where the document gives no number of threads, nothing is taken out of it.
                let keys: Vec<&str> = THREADS.split('.').collect();
                let given = root
                    .get(&Path::of(&keys))
                    .map(|_| change(THREADS, &[], Node::null(place)));
                given
                    .into_iter()
                    .chain([change(CPU, &[], value.clone())])
                    .collect()
            }
            Effect::OnlyItem(path) => {
                texts.given()?;
                vec![change(
                    path,
                    &[],
                    Node::new(place, Value::List(vec![value.clone()])),
                )]
            }
            Effect::ImageRepository(path) => {
                let repository = texts.given()?;
                let tag = image(root, path).and_then(|image| split(image).1);
                let whole = tag.map_or_else(|| repository.to_owned(), |tag| format!("{repository}:{tag}"));
                vec![change(path, &[], text(place, &whole))]
            }
            Effect::ImageTag(path) => {
                let tag = texts.given()?;
                let Some(image) = image(root, path) else {
                    return texts.refuse(
                        "there is no image yet whose tag this could be",
                        "give `image.repository` before it",
                    );
                };
                vec![change(
                    path,
                    &[],
                    text(place, &format!("{}:{tag}", split(image).0)),
                )]
            }
            Effect::DataServer => {
                texts.given()?;
                let server = || map(place, [("server", value.clone())]);
                let nfs = || map(place, [("nfs", server())]);
                match data(root) {
                    Ok((index, is_nfs)) => {
                        let (below, value) = if is_nfs {
                            (&["volume", "nfs", "server"][..], value.clone())
                        } else {
                            (&["volume"][..], nfs())
                        };
                        vec![change("spec.data", &below_item(index, below), value)]
                    }
                    Err(next) => {
                        let path = text(None, DATA.1);
                        let item = [("name", text(None, DATA.0)), ("path", path), ("volume", nfs())];
                        vec![change("spec.data", &below_item(next, &[]), map(place, item))]
                    }
                }
            }
            Effect::DataPath => {
                texts.given()?;
                match data(root) {
                    Ok((index, _)) => {
                        vec![change("spec.data", &below_item(index, &["path"]), value.clone())]
                    }
                    Err(next) => {
                        let item = [("name", text(None, DATA.0)), ("path", value.clone())];
                        vec![change("spec.data", &below_item(next, &[]), map(place, item))]
                    }
                }
            }
            // Only an empty value comes here, which says nothing.
            Effect::Refused { .. } => Vec::new(),
        })
    }
}

/// A value that has to be a text.
struct Texts<'a> {
    alias: &'a Alias,
    value: &'a Node,
    source: usize,
}

impl<'a> Texts<'a> {
    fn given(&self) -> Outcome<&'a str> {
        match &self.value.value {
            Value::Scalar(scalar) if !self.value.is_null() && !scalar.written.is_empty() => {
                Ok(&scalar.written)
            }
            _ => self.refuse("expected a text", ""),
        }
    }

    fn refuse<T>(&self, message: &str, hint: &str) -> Outcome<T> {
        let place = self.value.place.map(|place| Place {
            source: self.source,
            ..place
        });
        let problem = Problem::new(
            place,
            Path::default(),
            format!("`{}`: {message}", self.alias.name),
        );
        if hint.is_empty() {
            problem.boxed()
        } else {
            problem.hint(hint).boxed()
        }
    }
}

/// The image that the document has at a path.
fn image<'n>(root: &'n Node, path: &str) -> Option<&'n str> {
    let keys: Vec<&str> = path.split('.').collect();
    match &root.get(&Path::of(&keys))?.value {
        Value::Scalar(scalar) => Some(&scalar.written),
        _ => None,
    }
}

/// An image without its tag, and the tag. A digest goes: it is that of another image.
fn split(image: &str) -> (&str, Option<&str>) {
    let named = image.split_once('@').map_or(image, |(named, _)| named);
    // A colon before the last slash is that of the registry's port.
    match named.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (named, None),
    }
}

/// The number of the item for the ARL's data, and whether it is on an NFS server already; the number of the next item
/// when there is none.
fn data(root: &Node) -> Result<(usize, bool), usize> {
    let Some(Value::List(items)) = root.get(&Path::of(&["spec", "data"])).map(|node| &node.value) else {
        return Err(0);
    };
    let named = |item: &&Node| {
        let name = item.entry("name").map(|name| &name.value.value);
        matches!(name, Some(Value::Scalar(scalar)) if scalar.written == DATA.0)
    };
    let Some((index, item)) = items.iter().enumerate().find(|(_, item)| named(item)) else {
        return Err(items.len());
    };
    let nfs = item.get(&Path::of(&["volume", "nfs"]));
    Ok((index, nfs.is_some()))
}

fn below_item(index: usize, keys: &[&str]) -> Vec<Step> {
    let keys = keys.iter().map(|key| Segment::Key((*key).to_owned()));
    std::iter::once(Segment::Index(index))
        .chain(keys)
        .map(|segment| Step { segment, column: 1 })
        .collect()
}

fn text(place: Option<Place>, text: &str) -> Node {
    Node::new(place, Value::Scalar(Scalar::text(text)))
}

fn map<const N: usize>(place: Option<Place>, entries: [(&str, Node); N]) -> Node {
    let entries = entries.map(|(key, value)| Entry {
        key: key.to_owned(),
        place,
        value,
    });
    Node::new(place, Value::Map(entries.into()))
}
