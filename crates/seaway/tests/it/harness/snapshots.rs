//! Making output comparable: what differs from run to run becomes a word in brackets.

use super::Home;

/// Settings in which snapshots of what happens in a home are compared.
pub(crate) fn filters(home: &Home) -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    let folder = home.folder().display().to_string();
    settings.add_filter(&escape(&folder), "[HOME]");
    settings.add_filter(&escape(&super::cache().display().to_string()), "[CACHE]");
    settings.add_filter(r"\(pid \d+\)", "(pid [PID])");
    settings.add_filter(r"127\.0\.0\.1:\d+", "127.0.0.1:[PORT]");
    settings.add_filter(r"instances/([a-z0-9-]+)-[0-9a-f]{8}\b", "instances/$1-[ID]");
    settings.set_prepend_module_to_snapshot(false);
    settings
}

/// A text with each number as `N`.
pub(crate) fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '0'..='9' if out.ends_with('N') => {}
            '0'..='9' => out.push('N'),
            other => out.push(other),
        }
    }
    out
}

/// A text as a regular expression for itself.
fn escape(text: &str) -> String {
    let mut pattern = String::new();
    for letter in text.chars() {
        if !letter.is_alphanumeric() && letter != '/' && letter != '_' {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}
