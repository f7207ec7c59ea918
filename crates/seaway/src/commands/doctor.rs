//! `seaway doctor`: what this machine has and lacks, and how to get it.

mod kubernetes;

use std::{os::unix::fs::PermissionsExt, path::Path, process::Command};

use seaway_agent::process::{find_program, search_path};
use seaway_platform::local::{Paths, cgroup, disk_is_full, paths::private_folder};
use serde::Serialize;

use crate::{
    cli::{DoctorArguments, DoctorOf},
    failure::{FAILED, Outcome},
    output,
};

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// All is well.
    Ok,
    /// It works without, less well.
    Optional,
    /// Something that most people need does not work.
    Missing,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Check {
    what: &'static str,
    verdict: Verdict,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Check {
    fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self {
            what,
            verdict: Verdict::Ok,
            found: found.into(),
            remedy: None,
        }
    }

    fn not(
        what: &'static str,
        verdict: Verdict,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            what,
            verdict,
            found: found.into(),
            remedy: Some(remedy.into()),
        }
    }
}

pub(crate) use kubernetes::KubernetesArguments;

pub(crate) async fn run(arguments: &DoctorArguments, paths: &Paths) -> Outcome {
    if let Some(DoctorOf::Kubernetes(arguments)) = &arguments.of {
        return kubernetes::run(arguments).await;
    }
    let checks = [
        folder("state folder", &paths.state),
        folder("cache folder", &paths.cache),
        python(),
        venv(),
        uv(),
        memory_limits(),
        processes(),
    ];
    output::emit(arguments.output, &checks, || text(&checks))?;
    Ok(if checks.iter().any(|check| check.verdict == Verdict::Missing) {
        FAILED
    } else {
        0
    })
}

fn text(checks: &[Check]) -> String {
    let rows = checks
        .iter()
        .map(|check| {
            let word = match check.verdict {
                Verdict::Ok => "ok",
                Verdict::Optional => "optional",
                Verdict::Missing => "MISSING",
            };
            vec![check.what.to_owned(), word.to_owned(), check.found.clone()]
        })
        .collect();
    let mut text = output::table(&["CHECK", "RESULT", "FOUND"], rows);
    for check in checks {
        if let Some(remedy) = &check.remedy {
            text.push_str(&format!("\n\n{}: {remedy}", check.what));
        }
    }
    text
}

fn folder(what: &'static str, path: &Path) -> Check {
    let existed = path.exists();
    if let Err(error) = private_folder(path) {
        return Check::not(
            what,
            Verdict::Missing,
            format!("`{}` cannot be made: {error}", path.display()),
            "set XDG_STATE_HOME and XDG_CACHE_HOME to folders that you can write to",
        );
    }
    let trial = path.join(".doctor");
    let written = std::fs::write(&trial, "x");
    // A write that fails can leave an empty file.
    let removed = std::fs::remove_file(&trial);
    let written = written.and(removed);
    if !existed {
        // Looking should leave nothing behind.
        let _ = std::fs::remove_dir(path);
    }
    match (written, disk_is_full(path)) {
        (_, Some(full)) => Check::not(what, Verdict::Missing, full, "make room on that disk"),
        (Err(error), None) => Check::not(
            what,
            Verdict::Missing,
            format!("`{}` cannot be written to: {error}", path.display()),
            "make it yours (`chown`, `chmod`), or set XDG_STATE_HOME and XDG_CACHE_HOME elsewhere",
        ),
        (Ok(()), None) => Check::ok(what, path.display().to_string()),
    }
}

/// What a program prints on its first line when asked with these arguments; `None` when there is none or it fails.
fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = find_program(program, &search_path(&path)).ok()?;
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output
        .status
        .success()
        .then(|| text.lines().next().unwrap_or("").trim().to_owned())
}

const GET_PYTHON: &str = "Debian, Ubuntu: `sudo apt install python3 python3-venv`; macOS: `brew install python`; anywhere: \
                          `uv python install`";

fn python() -> Check {
    match ask(
        "python3",
        &["-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"],
    ) {
        None => Check::not("Python", Verdict::Missing, "no `python3` on PATH", GET_PYTHON),
        Some(version) => {
            let minor: u32 = version
                .split('.')
                .nth(1)
                .and_then(|minor| minor.parse().ok())
                .unwrap_or(0);
            if version.starts_with("3.") && minor >= 10 {
                Check::ok("Python", version)
            } else {
                Check::not(
                    "Python",
                    Verdict::Missing,
                    format!("{version}; 3.10 or later is needed"),
                    GET_PYTHON,
                )
            }
        }
    }
}

fn venv() -> Check {
    match ask("python3", &["-c", "import ensurepip, venv; print('present')"]) {
        Some(_) => Check::ok("venv and pip", "present"),
        None if ask("uv", &["--version"]).is_some() => Check::ok("venv and pip", "not needed with uv"),
        None => Check::not(
            "venv and pip",
            Verdict::Missing,
            "`python3 -m venv` does not work",
            "Debian, Ubuntu: `sudo apt install python3-venv`; or install uv",
        ),
    }
}

fn uv() -> Check {
    ask("uv", &["--version"]).map_or_else(
        || {
            Check::not(
                "uv",
                Verdict::Optional,
                "not on PATH; pip is used",
                "environments are made several times faster with it: `pip install uv`",
            )
        },
        |version| Check::ok("uv", version),
    )
}

fn memory_limits() -> Check {
    match cgroup::available() {
        Ok(place) => Check::ok(
            "memory limits",
            format!("kept by control groups in {}", place.folder().display()),
        ),
        Err(reason) => Check::not(
            "memory limits",
            Verdict::Optional,
            format!("not kept by control groups: {reason}"),
            "engines keep their limits themselves then (Dask spills and pauses); on a machine with systemd, start \
             Seaway with `systemd-run --user --scope -p Delegate=yes seaway …`",
        ),
    }
}

fn processes() -> Check {
    let proc = Path::new("/proc/self/environ");
    match proc.metadata() {
        Ok(meta) if meta.permissions().mode() & 0o400 != 0 => {
            Check::ok("process clean-up", "processes are found by their marks in /proc")
        }
        _ => Check::not(
            "process clean-up",
            Verdict::Optional,
            "no /proc: processes that leave their process group cannot be found",
            "nothing to do on macOS; on Linux mount /proc",
        ),
    }
}
