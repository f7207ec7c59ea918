//! Names that stand for what only Helm knows, and texts of the user as a template can hold them.

use seaway_model::Name;
use serde_json::Value;

use super::HelmError;

/// What takes the name's place in a template.
const NAME: &str = r#"include "seaway.name" ."#;
/// What takes the namespace's place.
const NAMESPACE: &str = ".Release.Namespace";

/// The names of an instance and of a namespace that occur nowhere else.
#[derive(Debug, Clone)]
pub(super) struct Sentinels {
    pub(super) name: Name,
    pub(super) namespace: Name,
    /// Whether Helm reads the text as a template.
    pub(super) template: bool,
}

impl Sentinels {
    /// Names that are in none of the texts. They are short, so that nothing that is made from them becomes too long.
    pub(super) fn avoiding(texts: &[&str]) -> Result<Self, HelmError> {
        let free = |kind: char| {
            (0..10_000)
                .map(|number| format!("q{kind}z{number}q"))
                .find(|candidate| !texts.iter().any(|text| text.contains(candidate)))
                .and_then(|text| text.parse().ok())
                .ok_or(HelmError::NoSentinel)
        };
        Ok(Self {
            name: free('x')?,
            namespace: free('y')?,
            template: true,
        })
    }

    /// A value as YAML on one line.
    pub(super) fn scalar(&self, value: &Value) -> String {
        match value {
            Value::String(text) => self.text(text),
            other => other.to_string(),
        }
    }

    /// A text as a scalar of YAML.
    pub(super) fn text(&self, text: &str) -> String {
        if text == self.name.as_str() {
            // A release can be called `true`.
            return format!("{{{{ {NAME} | quote }}}}");
        }
        if text == self.namespace.as_str() {
            return format!("{{{{ {NAMESPACE} | quote }}}}");
        }
        if is_plain(text) {
            self.escape(text)
        } else {
            self.escape(&quoted(text))
        }
    }

    /// A text that Helm leaves as it is, but for the sentinels.
    pub(super) fn escape(&self, text: &str) -> String {
        if !self.template {
            return text.to_owned();
        }
        let mut escaped = String::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix(self.name.as_str()) {
                escaped.push_str(&format!("{{{{ {NAME} }}}}"));
                rest = after;
                continue;
            }
            if let Some(after) = rest.strip_prefix(self.namespace.as_str()) {
                escaped.push_str(&format!("{{{{ {NAMESPACE} }}}}"));
                rest = after;
                continue;
            }
            rest = &rest[first.len_utf8()..];
            let opens = rest.starts_with('{')
                || rest.starts_with(self.name.as_str())
                || rest.starts_with(self.namespace.as_str());
            if first == '{' && opens {
                escaped.push_str(r#"{{ "{" }}"#);
            } else {
                escaped.push(first);
            }
        }
        escaped
    }
}

/// Whether YAML takes a text for a text without quotation marks.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-' | ':');
    let begin = text.strip_prefix("--").unwrap_or(text);
    begin.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(allowed)
        && !text.ends_with(':')
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

/// A text in quotation marks, for YAML: JSON with those characters escaped that YAML does not take as they are.
pub(super) fn quoted(text: &str) -> String {
    let json = Value::from(text).to_string();
    json.chars()
        .map(|c| match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                format!("\\u{:04x}", u32::from(c))
            }
            other => other.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_survive_helm_and_yaml() {
        let sentinels = Sentinels::avoiding(&["qxz0q"]).unwrap();
        assert_eq!(
            (sentinels.name.as_str(), sentinels.namespace.as_str()),
            ("qxz1q", "qyz0q")
        );
        for (text, written) in [
            ("--host", "--host"),
            ("0.0.0.0", r#""0.0.0.0""#),
            ("yes", r#""yes""#),
            ("a: b", r#""a: b""#),
            ("a:", r#""a:""#),
            ("{{ x }}", r#""{{ "{" }}{ x }}""#),
            ("{{{", r#""{{ "{" }}{{ "{" }}{""#),
            ("\u{feff}\u{85}", r#""\ufeff\u0085""#),
            ("qxz1q", r#"{{ include "seaway.name" . | quote }}"#),
            ("qxz1q-worker", r#"{{ include "seaway.name" . }}-worker"#),
            ("{qxz1q}", r#""{{ "{" }}{{ include "seaway.name" . }}}""#),
            ("x.qyz0q.svc", "x.{{ .Release.Namespace }}.svc"),
        ] {
            assert_eq!(sentinels.text(text), written, "{text:?}");
        }
    }
}
