//! "Did you mean": the nearest of the known words.

/// The known word that was most likely meant, when one is near enough to be worth a guess.
#[must_use]
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |word: &str| word.replace(['-', '_'], "").to_lowercase();
    let given = plain(given);
    // Somebody who writes a word of a thousand letters does not mean any of ours, and the distance is quadratic.
    let length = given.chars().count();
    if length == 0 || length > 64 {
        return None;
    }
    let within = (length / 3).max(1);
    known
        .into_iter()
        .map(|word| {
            let lower = plain(word);
            let beginning = length >= 3 && lower.starts_with(&given);
            let distance = strsim::damerau_levenshtein(&given, &lower);
            (word, if beginning { distance.min(1) } else { distance })
        })
        .filter(|(_, distance)| *distance <= within)
        .min_by_key(|(_, distance)| *distance)
        .map(|(word, _)| word)
}

/// A hint that names the nearest word and lists all of them.
pub(super) fn hint(given: &str, what: &str, known: &[&str]) -> String {
    let list = format!("known {what}: {}", known.join(", "));
    match nearest(given, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? {list}"),
        None => list,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_leaves_strangers_alone() {
        let known = [
            "replicas",
            "threads",
            "resources",
            "tags",
            "env",
            "args",
            "readOnly",
        ];
        let near = |given| nearest(given, known);
        assert_eq!(near("replica"), Some("replicas"));
        assert_eq!(near("rpelicas"), Some("replicas"));
        assert_eq!(near("read-only"), Some("readOnly"));
        assert_eq!(near("Threads"), Some("threads"));
        assert_eq!(near("repl"), Some("replicas"));
        assert_eq!(near("colour"), None);
        assert_eq!(near(""), None);
        assert_eq!(near(&"r".repeat(100_000)), None);
    }
}
