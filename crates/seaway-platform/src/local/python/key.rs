//! The name of an environment: a hash of what decides what is in it.

use seaway_model::plan::PythonPackages;
use sha2::{Digest, Sha256};

use super::{PythonError, interpreter::Interpreter};

/// Increased when environments are made in another way, so that those made in the old way are not used.
pub(super) const FORMAT: u32 = 1;

/// The first 16 hexadecimal digits of the hash.
///
/// Of Python's version the first two numbers count, with the name that compiled modules have (it tells
/// implementation, system and processor): a bug-fix release of the system's Python goes on with the same environment.
pub(super) fn key(packages: &PythonPackages, interpreter: &Interpreter) -> Result<String, PythonError> {
    let mut requirements = packages
        .requirements
        .iter()
        .map(|requirement| normalized(requirement))
        .collect::<Result<Vec<_>, _>>()?;
    requirements.sort();
    requirements.dedup();
    let mut constraints: Vec<_> = packages
        .constraints
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| normalized(line).unwrap_or_else(|_| line.to_owned()))
        .collect();
    constraints.sort();
    let parts = serde_json::json!([
        FORMAT,
        interpreter.release(),
        interpreter.suffix,
        requirements,
        constraints
    ]);
    Ok(hex::encode(&Sha256::digest(parts.to_string())[..8]))
}

/// A requirement in a form in which equal ones are written alike: names as PEP 503 says, no idle spaces.
fn normalized(requirement: &str) -> Result<String, PythonError> {
    let text = requirement.trim();
    let wrong = |reason| PythonError::Requirement {
        requirement: requirement.to_owned(),
        reason,
    };
    if text.contains(['\n', '\r']) {
        return Err(wrong("it has more than one line"));
    }
    // A list of requirements is a file for pip and uv, where such a line would be an option.
    if text.starts_with('-') {
        return Err(wrong(
            "options are not taken here; the settings of pip and uv are",
        ));
    }
    let end = text
        .find(|letter: char| !letter.is_ascii_alphanumeric() && !"-_.".contains(letter))
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if !name.starts_with(|letter: char| letter.is_ascii_alphanumeric()) || rest.starts_with(['/', ':', '\\'])
    {
        return Err(wrong("it does not begin with the name of a package"));
    }
    let mut normalized = String::with_capacity(text.len());
    for part in name.split(['-', '_', '.']).filter(|part| !part.is_empty()) {
        if !normalized.is_empty() {
            normalized.push('-');
        }
        normalized.extend(part.chars().map(|letter| letter.to_ascii_lowercase()));
    }
    // Spaces mean something in addresses and markers only.
    let plain = rest.find([';', '@']).unwrap_or(rest.len());
    normalized.extend(rest[..plain].chars().filter(|letter| !letter.is_whitespace()));
    normalized.push_str(rest[plain..].trim());
    Ok(normalized)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lists_have_equal_keys() {
        let interpreter = |version: &str| Interpreter {
            executable: "/usr/bin/python3".into(),
            version: version.into(),
            suffix: ".cpython-312-x86_64-linux-gnu.so".into(),
        };
        let packages = |requirements: &[&str], constraints: &str| PythonPackages {
            python: None,
            requirements: requirements.iter().map(ToString::to_string).collect(),
            constraints: constraints.into(),
            modules: vec![],
        };
        let of = |requirements: &[&str], constraints, version| {
            key(&packages(requirements, constraints), &interpreter(version)).unwrap()
        };
        let one = of(
            &["Zope.Interface >= 5, <7", "dask[complete]==2026.8.0"],
            "six==1.17.0\n# text\n",
            "3.12.1",
        );
        let same = of(
            &[
                "dask[complete] == 2026.8.0",
                " zope_interface>=5,<7",
                "dask[complete]==2026.8.0",
            ],
            "six==1.17.0",
            "3.12.9",
        );
        assert_eq!(one, same);
        assert_eq!(one.len(), 16);
        assert_ne!(
            one,
            of(
                &["zope.interface>=5,<7", "dask==2026.8.0"],
                "six==1.17.0",
                "3.12.1"
            )
        );
        assert_ne!(
            one,
            of(
                &["zope.interface>=5,<7", "dask[complete]==2026.8.0"],
                "six==1.16.0",
                "3.12.1"
            )
        );
        assert_ne!(
            one,
            of(
                &["zope.interface>=5,<7", "dask[complete]==2026.8.0"],
                "six==1.17.0",
                "3.13.1"
            )
        );
    }

    #[test]
    fn what_is_no_requirement_is_refused() {
        for text in [
            "--index-url=http://x",
            "-r file",
            "",
            "./folder",
            "six\n-r file",
            "../x",
            "http://x/y.whl",
            "C:\\x",
        ] {
            assert!(
                matches!(normalized(text), Err(PythonError::Requirement { .. })),
                "{text}"
            );
        }
        for (text, form) in [
            ("A__b @ file:///x y", "a-b@ file:///x y"),
            ("six ; python_version < '3.12'", "six; python_version < '3.12'"),
        ] {
            assert_eq!(normalized(text).unwrap(), form);
        }
    }
}
