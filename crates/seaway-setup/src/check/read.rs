//! From texts to objects: YAML and JSON with several documents, and Markdown with such blocks, as instructions are written.

use serde_json::Value;

use super::{Finding, object::Object};

/// A text, and where it is from.
#[derive(Debug, Clone)]
pub struct Source {
    /// Name of the file.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// What was in it.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) objects: Vec<Object>,
    pub(super) findings: Vec<Finding>,
    /// Kind and name of what commands make.
    pub(super) mentioned: Vec<(String, String)>,
}

/// A part of a text, with the number of its first line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block<'a> {
    pub(super) line: usize,
    pub(super) lines: Vec<&'a str>,
}

impl Source {
    fn ends_with(&self, endings: &[&str]) -> bool {
        endings
            .iter()
            .any(|ending| self.name.to_lowercase().ends_with(ending))
    }

    /// Whether commands stand in it.
    pub(super) fn has_commands(&self) -> bool {
        self.ends_with(&[".md", ".markdown", ".sh"])
    }

    /// What may be a manifest.
    fn blocks(&self) -> Vec<Block<'_>> {
        let lines: Vec<&str> = self.text.lines().collect();
        let whole = Block { line: 1, lines };
        let blocks = if self.ends_with(&[".md", ".markdown"]) {
            fenced(&whole)
        } else {
            vec![whole]
        };
        if !self.has_commands() {
            return blocks;
        }
        // `kubectl apply -f - <<EOF`.
        blocks
            .into_iter()
            .flat_map(|block| {
                let inner = here_documents(&block);
                if inner.is_empty() { vec![block] } else { inner }
            })
            .collect()
    }
}

/// The blocks between fences.
fn fenced<'a>(text: &Block<'a>) -> Vec<Block<'a>> {
    let mut found = Vec::new();
    let mut open: Option<Block<'a>> = None;
    for (number, line) in text.lines.iter().enumerate() {
        if line.trim_start().starts_with("```") {
            match open.take() {
                Some(block) => found.push(block),
                None => {
                    open = Some(Block {
                        line: text.line + number + 1,
                        lines: Vec::new(),
                    });
                }
            }
        } else if let Some(block) = &mut open {
            block.lines.push(line);
        }
    }
    // The end of the file is the end of its last block.
    found.extend(open);
    found
}

fn here_documents<'a>(text: &Block<'a>) -> Vec<Block<'a>> {
    let mut found = Vec::new();
    let mut open: Option<(String, Block<'a>)> = None;
    for (number, line) in text.lines.iter().enumerate() {
        if let Some((end, block)) = &mut open {
            if line.trim() == end {
                found.extend(open.take().map(|(_, block)| block));
            } else {
                block.lines.push(line);
            }
        } else if let Some((_, rest)) = line.split_once("<<") {
            let end: String = rest
                .trim_start_matches(['-', ' ', '\'', '"', '\\'])
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            if !end.is_empty() {
                let block = Block {
                    line: text.line + number + 1,
                    lines: Vec::new(),
                };
                open = Some((end, block));
            }
        }
    }
    found
}

/// The YAML documents of a block.
fn documents<'a>(block: &Block<'a>) -> Vec<Block<'a>> {
    let mut found = vec![Block {
        line: block.line,
        lines: Vec::new(),
    }];
    for (number, line) in block.lines.iter().enumerate() {
        let is_mark = *line == "---" || line.starts_with("--- ");
        if is_mark {
            found.push(Block {
                line: block.line + number + 1,
                lines: Vec::new(),
            });
        } else if let Some(last) = found.last_mut() {
            last.lines.push(line);
        }
    }
    found
}

/// Reads all objects of a text.
pub(super) fn read(source: &Source) -> Read {
    let mut read = Read::default();
    let strict = !source.has_commands();
    for block in source.blocks() {
        for document in documents(&block) {
            let text = document.lines.join("\n");
            let looks_so = |word: &str| {
                document
                    .lines
                    .iter()
                    .any(|line| line.trim_start_matches(['{', ' ', '"']).starts_with(word))
            };
            if !looks_so("apiVersion") && !looks_so("kind") {
                continue;
            }
            // Where the object itself begins, behind blank lines and comments.
            let blank = |line: &&&str| line.trim().is_empty() || line.trim_start().starts_with('#');
            let line = document.line + document.lines.iter().take_while(blank).count();
            match serde_saphyr::from_str::<Value>(&text) {
                Ok(value) => add(&mut read, source, line, value),
                Err(error) if strict => {
                    let finding = unreadable(source, line, &text, &error.to_string());
                    read.findings.push(finding);
                }
                Err(_) => {}
            }
        }
    }
    if source.has_commands() {
        read.mentioned = mentioned(&source.text);
    } else if read.objects.is_empty() && read.findings.is_empty() {
        read.findings.push(Finding {
            place: source.name.clone(),
            line: None,
            object: "file".to_owned(),
            rule: "no-object",
            what: "there is no Kubernetes object in it".to_owned(),
            why: "nothing was checked",
            hint: "give manifests; the values of a chart are none, but `helm template` makes some of them"
                .to_owned(),
        });
    }
    read
}

fn unreadable(source: &Source, line: usize, text: &str, error: &str) -> Finding {
    let template = text.contains("{{");
    Finding {
        place: source.name.clone(),
        line: Some(line),
        object: "document".to_owned(),
        rule: "unreadable",
        what: format!("it is no YAML: {}", error.lines().next().unwrap_or_default()),
        why: "kubectl does not read it either",
        hint: if template {
            "it is a template: check what `helm template` makes of it"
        } else {
            "mend it, and look for tabs and indentation first"
        }
        .to_owned(),
    }
}

fn add(read: &mut Read, source: &Source, line: usize, value: Value) {
    if value["kind"] == "List"
        || (value["items"].is_array() && value["kind"].as_str().is_some_and(|kind| kind.ends_with("List")))
    {
        for item in super::object::all(&value["items"]) {
            add(read, source, line, item.clone());
        }
        return;
    }
    if value["kind"].is_string() && value["apiVersion"].is_string() {
        read.objects.push(Object {
            place: source.name.clone(),
            line: Some(line),
            value,
            judged: true,
        });
    }
}

/// What `kubectl create` in a text makes.
fn mentioned(text: &str) -> Vec<(String, String)> {
    let joined = text.replace("\\\n", " ");
    let mut found = Vec::new();
    for line in joined.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        for (at, word) in words.iter().enumerate() {
            if *word != "create" {
                continue;
            }
            let rest: Vec<&str> = words[at + 1..]
                .iter()
                .copied()
                .filter(|word| !word.starts_with('-'))
                .collect();
            let (kind, name) = match rest.as_slice() {
                ["secret", _, name, ..] => ("Secret", name),
                ["serviceaccount" | "sa", name, ..] => ("ServiceAccount", name),
                ["configmap" | "cm", name, ..] => ("ConfigMap", name),
                ["namespace" | "ns", name, ..] => ("Namespace", name),
                ["role", name, ..] => ("Role", name),
                ["clusterrole", name, ..] => ("ClusterRole", name),
                _ => continue,
            };
            found.push((kind.to_owned(), (*name).to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_found_in_documents_lists_fences_and_here_documents() {
        let source = |name: &str, text: &str| Source {
            name: name.into(),
            text: text.into(),
        };
        let lines = |source: &Source| -> Vec<(usize, String)> {
            let read = read(source);
            assert_eq!(read.findings, [], "{}", source.text);
            read.objects
                .iter()
                .map(|one| (one.line.unwrap(), one.title()))
                .collect()
        };
        let yaml = "# first\n\napiVersion: v1\nkind: A\nmetadata: {name: a}\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: B, metadata: {name: b}}\n";
        assert_eq!(
            lines(&source("x.yaml", yaml)),
            [(3, "A a".into()), (7, "B b".into())]
        );
        let json = r#"{"apiVersion": "v1", "kind": "A", "metadata": {"name": "a"}}"#;
        assert_eq!(lines(&source("x.json", json)), [(1, "A a".into())]);
        let markdown = "text\n```yaml\napiVersion: v1\nkind: A\nmetadata:\n  name: a\n```\n```bash\ncat <<EOF | kubectl apply -f -\napiVersion: v1\nkind: B\nmetadata:\n  name: $(whoami)\nEOF\nkubectl create secret generic s --from-file=a\n```\n";
        let markdown = source("x.md", markdown);
        assert_eq!(lines(&markdown), [(3, "A a".into()), (10, "B $(whoami)".into())]);
        assert_eq!(read(&markdown).mentioned, [("Secret".to_owned(), "s".to_owned())]);
        let rules = |text: &str| {
            read(&source("x.yaml", text))
                .findings
                .iter()
                .map(|one| one.rule)
                .collect::<Vec<_>>()
        };
        assert_eq!(rules("kind: [\n"), ["unreadable"]);
        assert_eq!(rules("a: b\n"), ["no-object"]);
    }
}
