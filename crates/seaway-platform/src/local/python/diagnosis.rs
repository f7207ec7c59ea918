//! Finds out from an installer's output why it failed.

use std::path::Path;

use super::PythonError;
use crate::local::logs::clean;

/// How many of the installer's lines an error shows.
const SHOWN: usize = 6;

/// Signs of a network that does not work, in the words of pip (and the libraries in it) and uv. pip's warnings about
/// a try that failed are none, since another may follow; the one about its last try is.
const NETWORK: [&str; 17] = [
    "Retry(total=0",
    "Max retries exceeded",
    "Failed to fetch",
    "Request failed after",
    "error sending request",
    "dns error",
    "Temporary failure in name resolution",
    "Name or service not known",
    "Network is unreachable",
    "Connection refused",
    "Connection reset",
    "ReadTimeoutError",
    "ConnectTimeoutError",
    "CERTIFICATE_VERIFY_FAILED",
    "invalid peer certificate",
    "Cannot connect to proxy",
    "HTTP error ",
];

/// What failed, in the words before the name of a package; the name ends with a space or one of [`ENDS`].
const NOT_INSTALLABLE: [&str; 9] = [
    "No matching distribution found for ",
    "Could not find a version that satisfies the requirement ",
    "there is no version of ",
    "there are no versions of ",
    "Failed building wheel for ",
    "Failed to build installable wheels for some pyproject.toml based projects (",
    "Failed to build `",
    "Failed to build '",
    "Failed to download and build `",
];

/// What ends the name of a package.
const ENDS: [char; 6] = ['`', '\'', ',', ')', ';', '╰'];

/// Why an installer failed, from what it said; `None` when that does not tell.
pub(super) fn diagnose(output: &str, log: &Path, folder: &Path) -> Option<PythonError> {
    let log = log.to_path_buf();
    let says = |sign: &str| output.contains(sign);
    if [
        "No space left on device",
        "os error 28",
        "Errno 28",
        "Disk quota exceeded",
        "os error 122",
    ]
    .iter()
    .any(|sign| says(sign))
    {
        return Some(PythonError::DiskFull {
            folder: folder.to_path_buf(),
            log: Some(log),
        });
    }
    let lines = last_words(output);
    if NETWORK.iter().any(|sign| says(sign)) {
        // pip says what did not work in a warning, and afterwards that nothing was found.
        let reason = output
            .lines()
            .rev()
            .find(|line| line.contains("after connection broken by"));
        let lines = reason.map_or(lines, |line| vec![crop(line)]);
        return Some(PythonError::Network { lines, log });
    }
    if says("ResolutionImpossible") {
        return Some(PythonError::Conflict {
            lines: pip_conflict(output),
            log,
        });
    }
    if let Some(requirement) = not_installable(output) {
        return Some(PythonError::NotInstallable {
            requirement,
            lines,
            log,
        });
    }
    if says("No solution found when resolving") {
        return Some(PythonError::Conflict { lines, log });
    }
    None
}

/// The package that cannot be installed.
fn not_installable(output: &str) -> Option<String> {
    // uv breaks long lines, also between these words.
    let flat = output.split_whitespace().collect::<Vec<_>>().join(" ");
    let named = |after: &str| {
        let rest = &flat[flat.find(after)? + after.len()..];
        let name = rest
            .split(|letter: char| letter.is_whitespace() || ENDS.contains(&letter))
            .next()?;
        (!name.is_empty()).then(|| name.to_owned())
    };
    NOT_INSTALLABLE
        .iter()
        .find_map(|words| named(words))
        .or_else(|| {
            // `Because nosuchpackage was not found in the package registry and you require …`
            [
                "was not found in",
                "has no wheels with a matching",
                "has no usable wheels",
                "needs to be downloaded from",
            ]
            .iter()
            .find_map(|words| {
                flat[..flat.find(words)?]
                    .split_whitespace()
                    .next_back()
                    .map(ToOwned::to_owned)
            })
        })
        .or_else(|| {
            // `Package 'x' requires a different Python: 3.11.7 not in '>=3.12'`
            says_other_python(&flat).then(|| named("Package '"))?
        })
}

fn says_other_python(flat: &str) -> bool {
    flat.contains("requires a different Python")
}

/// pip explains a conflict before it gives advice.
fn pip_conflict(output: &str) -> Vec<String> {
    let lines = output
        .lines()
        .skip_while(|line| !line.starts_with("ERROR: Cannot install"))
        .take_while(|line| !line.starts_with("To fix this"))
        .filter(|line| !line.trim().is_empty());
    let lines: Vec<_> = lines.take(SHOWN + 2).map(crop).collect();
    if lines.is_empty() {
        last_words(output)
    } else {
        lines
    }
}

/// The lines with which an installer says why it failed: those marked as errors, and of uv what follows them.
pub(super) fn last_words(output: &str) -> Vec<String> {
    let lines: Vec<&str> = output.lines().filter(|line| !line.trim().is_empty()).collect();
    let marked: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("ERROR:"))
        .map(|line| crop(line))
        .collect();
    if !marked.is_empty() {
        return marked.into_iter().rev().take(SHOWN).rev().collect();
    }
    let begin = lines
        .iter()
        .position(|line| line.starts_with("error:") || line.trim_start().starts_with('×'))
        .unwrap_or_else(|| lines.len().saturating_sub(SHOWN));
    lines[begin..].iter().take(SHOWN).map(|line| crop(line)).collect()
}

fn crop(line: &str) -> String {
    let shown = clean(line.trim_end().as_bytes());
    if shown.chars().count() > 400 {
        shown.chars().take(400).chain(['…']).collect()
    } else {
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(output: &str) -> PythonError {
        diagnose(output, Path::new("/log"), Path::new("/cache")).unwrap()
    }

    #[test]
    fn missing_packages_are_named() {
        for (output, name, shown) in [
            (
                "Looking in indexes: x\nERROR: Could not find a version that satisfies the requirement nosuch==1 (from \
                 versions: none)\nERROR: No matching distribution found for nosuch==1\n",
                "nosuch==1",
                "ERROR: No matching distribution found for nosuch==1",
            ),
            (
                "error: No solution found when resolving dependencies\n  cause: Because nosuch was not found in the package \
                 registry and you require nosuch==1, we can conclude that your requirements are unsatisfiable.\n",
                "nosuch",
                "we can conclude",
            ),
            (
                "  × No solution found when resolving dependencies:\n  ╰─▶ Because there is no version of six==99 and you \
                 require six==99, we can conclude\n      that your requirements are unsatisfiable.\n",
                "six==99",
                "No solution found",
            ),
            (
                "  × Failed to build `broken==1.0`\n  ├─▶ The build backend returned an error\n",
                "broken==1.0",
                "build backend",
            ),
            (
                "  error: subprocess-exited-with-error\nERROR: Failed building wheel for broken\n",
                "broken",
                "Failed building",
            ),
            (
                "ERROR: Package 'new' requires a different Python: 3.11.7 not in '>=3.12'\n",
                "new",
                "requires a different Python",
            ),
        ] {
            let error = of(output);
            let PythonError::NotInstallable { requirement, .. } = &error else {
                panic!("{error:?}")
            };
            assert_eq!(requirement, name);
            let message = error.to_string();
            assert!(
                message.contains(&format!("package `{name}` cannot be installed")) && message.contains(shown),
                "{message}"
            );
            assert!(error.hint().unwrap().contains("/log"));
        }
    }

    #[test]
    fn conflicts_are_told() {
        let pip = "ERROR: Cannot install six==1.17.0 because these package versions have conflicting \
                   dependencies.\n\nThe conflict is caused by:\n    The user requested six==1.17.0\n    The user requested \
                   (constraint) six==1.16.0\n\nTo fix this you could try to:\n1. loosen the range\n\nERROR: \
                   ResolutionImpossible: for help visit https://x\n";
        let uv = "error: No solution found when resolving dependencies\n  cause: Because you require six==1.17.0 and \
                  six==1.16.0, we can conclude that your requirements are unsatisfiable.\n";
        for output in [pip, uv] {
            let error = of(output);
            assert!(matches!(error, PythonError::Conflict { .. }), "{error:?}");
            assert!(error.to_string().contains("six==1.16.0"), "{error}");
        }
    }

    #[test]
    fn a_broken_network_is_not_a_missing_package() {
        let pip = "WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection \
                   broken by 'NewConnectionError('[Errno 111] Connection refused')': /simple/six/\nERROR: Could not find a \
                   version that satisfies the requirement six (from versions: none)\nERROR: No matching distribution found \
                   for six\n";
        let uv = "error: Failed to fetch: http://nosuch.invalid/simple/six/\n  cause: error sending request\n  cause: dns error\n";
        for output in [pip, uv] {
            let error = of(output);
            assert!(matches!(error, PythonError::Network { .. }), "{error:?}");
            assert!(error.hint().unwrap().contains("PIP_INDEX_URL"));
        }
        let passing = "WARNING: Retrying (Retry(total=4)) after connection broken by 'X': /simple/a/\nERROR: No matching \
                       distribution found for nosuch\n";
        assert!(matches!(of(passing), PythonError::NotInstallable { .. }));
    }

    #[test]
    fn a_full_disk_comes_first() {
        let error =
            of("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n");
        assert!(matches!(error, PythonError::DiskFull { .. }));
        assert!(diagnose("something else\n", Path::new("/log"), Path::new("/cache")).is_none());
        assert_eq!(last_words("a\n\nb\n"), ["a", "b"]);
    }
}
