//! Makes short lines for people from what installers say.

/// Reads an installer's output line by line.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Packages that are known to be needed so far.
    packages: usize,
    /// Whether that is all of them.
    all: bool,
}

impl Progress {
    /// What to tell people after this line, if it brings anything new.
    pub(super) fn line(&mut self, line: &str) -> Option<String> {
        let line = line.trim();
        let mut words = line.split_whitespace();
        let first = words.next()?;
        let rest = line[first.len()..].trim_start();
        match first {
            // pip: one line for each package, then its file.
            "Collecting" => {
                self.packages += 1;
                Some(self.doing("finding", rest.split(" (from").next().unwrap_or(rest)))
            }
            "Downloading" => {
                Some(self.doing(if self.all { "installing" } else { "finding" }, &package(rest)))
            }
            "Using" if rest.starts_with("cached ") => {
                Some(self.doing("finding", &package(&rest["cached ".len()..])))
            }
            "Building" | "Built" if !self.all || rest.contains(['=', '@']) => {
                Some(format!("building {}", rest.trim_end_matches("...")))
            }
            "Installing" if rest.starts_with("collected packages") => {
                let count = rest.split(',').count();
                Some(format!("installing {}", packages(count)))
            }
            // uv: totals.
            "Resolved" => {
                self.packages = words.next()?.parse().ok()?;
                self.all = true;
                Some(format!("installing {}", packages(self.packages)))
            }
            "Prepared" => Some(format!("prepared {}", packages(words.next()?.parse().ok()?))),
            // What follows is said only when it is done, and takes longest.
            "Installed" => Some(format!("compiling {}", packages(words.next()?.parse().ok()?))),
            _ => None,
        }
    }

    fn doing(&self, what: &str, package: &str) -> String {
        format!("{what} {}: {package}", packages(self.packages.max(1)))
    }
}

fn packages(count: usize) -> String {
    if count == 1 {
        "1 package".to_owned()
    } else {
        format!("{count} packages")
    }
}

/// `numpy 2.3.1 (16.6 MB)` of the name of a wheel or source archive and its size.
fn package(text: &str) -> String {
    let (file, size) = text.split_once(' ').unwrap_or((text, ""));
    let file = file.rsplit('/').next().unwrap_or(file);
    let name = file.trim_end_matches(".metadata");
    let stem = name
        .strip_suffix(".whl")
        .or_else(|| name.strip_suffix(".tar.gz"))
        .or_else(|| name.strip_suffix(".zip"));
    let short = stem.map_or_else(
        || file.to_owned(),
        |stem| {
            stem.splitn(3, '-')
                .take(2)
                .collect::<Vec<_>>()
                .join(" ")
                .replace('_', "-")
        },
    );
    if size.is_empty() {
        short
    } else {
        format!("{short} {size}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        let mut progress = Progress::default();
        text.lines().filter_map(|line| progress.line(line)).collect()
    }

    #[test]
    fn of_pip() {
        let text = "Looking in indexes: http://x\nCollecting python-dateutil (from -r r.txt (line 1))\n  \
                    Downloading python_dateutil-2.9.0-py2.py3-none-any.whl (229 kB)\nCollecting numpy>=2\n  Using cached \
                    numpy-2.3.1-cp312-cp312-manylinux.whl.metadata (62 kB)\nBuilding wheels for collected packages: \
                    x\nInstalling collected packages: six, numpy, python-dateutil\nSuccessfully installed six-1.17.0";
        assert_eq!(
            all(text),
            [
                "finding 1 package: python-dateutil",
                "finding 1 package: python-dateutil 2.9.0 (229 kB)",
                "finding 2 packages: numpy>=2",
                "finding 2 packages: numpy 2.3.1 (62 kB)",
                "building wheels for collected packages: x",
                "installing 3 packages",
            ]
        );
    }

    #[test]
    fn of_uv() {
        let text = "Using Python 3.12.1 environment at: e\nResolved 84 packages in 117ms\nDownloading numpy (15.9MiB)\n \
                    Downloaded numpy\nPrepared 84 packages in 17ms\nInstalled 84 packages in 6ms\nBytecode compiled 9000 \
                    files in 2s\n + six==1.17.0\n";
        assert_eq!(
            all(text),
            [
                "installing 84 packages",
                "installing 84 packages: numpy (15.9MiB)",
                "prepared 84 packages",
                "compiling 84 packages",
            ]
        );
    }
}
