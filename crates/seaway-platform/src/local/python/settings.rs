//! The environment variables that installers are started with: the user's, so that indexes, proxies and certificates
//! apply, without those that would put packages elsewhere.
//!
//! pip's settings are the ones that people and companies have. Where uv does the work and has none of its own, it is
//! given pip's.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
};

use super::Request;

/// Variables that would change where packages go, which Python is used or what is said.
const LEFT_OUT: [&str; 23] = [
    "CONDA_PREFIX",
    "PIP_DRY_RUN",
    "PIP_IGNORE_INSTALLED",
    "PIP_PREFIX",
    "PIP_PYTHON",
    "PIP_QUIET",
    "PIP_REPORT",
    "PIP_ROOT",
    "PIP_TARGET",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONPYCACHEPREFIX",
    "PYTHONSTARTUP",
    "UV_BREAK_SYSTEM_PACKAGES",
    "UV_PREFIX",
    "UV_PROJECT",
    "UV_PROJECT_ENVIRONMENT",
    "UV_PYTHON",
    "UV_SYSTEM_PYTHON",
    "UV_TARGET",
    "UV_WORKING_DIR",
    "VIRTUAL_ENV",
    "__PYVENV_LAUNCHER__",
];

/// Variables that are set for every installer.
const SET: [(&str, &str); 6] = [
    ("NO_COLOR", "1"),
    ("PIP_PROGRESS_BAR", "off"),
    // Users who have `user = true` in pip.conf mean other places.
    ("PIP_USER", "0"),
    ("PYTHONNOUSERSITE", "1"),
    ("PYTHONUNBUFFERED", "1"),
    ("UV_NO_PROJECT", "1"),
];

/// A setting of pip, the variable of uv with the same meaning, and others by which the user may have said it to uv.
struct Meaning {
    pip: &'static str,
    uv: &'static str,
    others: &'static [&'static str],
    /// What stands between several values.
    between: &'static str,
}

const MEANINGS: [Meaning; 7] = [
    Meaning {
        pip: "index-url",
        uv: "UV_DEFAULT_INDEX",
        others: &["UV_INDEX_URL"],
        between: " ",
    },
    Meaning {
        pip: "extra-index-url",
        uv: "UV_INDEX",
        others: &["UV_EXTRA_INDEX_URL"],
        between: " ",
    },
    Meaning {
        pip: "find-links",
        uv: "UV_FIND_LINKS",
        others: &[],
        between: ",",
    },
    Meaning {
        pip: "no-index",
        uv: "UV_NO_INDEX",
        others: &[],
        between: " ",
    },
    Meaning {
        pip: "trusted-host",
        uv: "UV_INSECURE_HOST",
        others: &[],
        between: " ",
    },
    Meaning {
        pip: "cert",
        uv: "SSL_CERT_FILE",
        others: &["SSL_CERT_DIR"],
        between: " ",
    },
    Meaning {
        pip: "proxy",
        uv: "ALL_PROXY",
        others: &[
            "all_proxy",
            "HTTPS_PROXY",
            "https_proxy",
            "HTTP_PROXY",
            "http_proxy",
        ],
        between: " ",
    },
];

/// The variables for Python and pip.
pub(super) fn for_pip(request: &Request<'_>) -> BTreeMap<OsString, OsString> {
    let mut variables = request.variables.clone();
    for name in LEFT_OUT {
        variables.remove(OsStr::new(name));
    }
    variables.extend(SET.map(|(name, value)| (name.into(), value.into())));
    variables
}

/// The variables for uv.
pub(super) fn for_uv(request: &Request<'_>) -> BTreeMap<OsString, OsString> {
    for_uv_in(Path::new("/"), request)
}

/// The variables for uv, with the system's settings below another root: those of this machine are none of a test's
/// business.
fn for_uv_in(system: &Path, request: &Request<'_>) -> BTreeMap<OsString, OsString> {
    let mut variables = for_pip(request);
    if uv_has_indexes(system, request) {
        return variables;
    }
    let files: Vec<String> = pip_files(system, request)
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .collect();
    for meaning in MEANINGS {
        if std::iter::once(&meaning.uv)
            .chain(meaning.others)
            .any(|name| request.variable(name).is_some())
        {
            continue;
        }
        let name = format!("PIP_{}", meaning.pip.replace('-', "_").to_uppercase());
        let values = match request.variable(&name) {
            Some(value) => value
                .to_string_lossy()
                .split_whitespace()
                .map(ToOwned::to_owned)
                .collect(),
            // Later files take precedence.
            None => files
                .iter()
                .rev()
                .map(|text| option(text, meaning.pip))
                .find(|v| !v.is_empty())
                .unwrap_or_default(),
        };
        if values.is_empty() {
            continue;
        }
        variables.insert(meaning.uv.into(), values.join(meaning.between).into());
        if meaning.pip == "extra-index-url" && request.variable("UV_INDEX_STRATEGY").is_none() {
            // As pip does: the best version of all indexes, not the first index that has the package.
            variables.insert("UV_INDEX_STRATEGY".into(), "unsafe-best-match".into());
        }
    }
    variables
}

fn home_file(request: &Request<'_>, file: &str) -> Option<PathBuf> {
    request.variable("HOME").map(|home| Path::new(home).join(file))
}

fn configuration_file(request: &Request<'_>, file: &str) -> Option<PathBuf> {
    match request.variable("XDG_CONFIG_HOME") {
        Some(folder) => Some(Path::new(folder).join(file)),
        None => home_file(request, &format!(".config/{file}")),
    }
}

/// Whether the user has told uv itself where packages are.
fn uv_has_indexes(system: &Path, request: &Request<'_>) -> bool {
    let files = [
        request.variable("UV_CONFIG_FILE").map(PathBuf::from),
        configuration_file(request, "uv/uv.toml"),
        Some(system.join("etc/xdg/uv/uv.toml")),
        Some(system.join("etc/uv/uv.toml")),
    ];
    files
        .into_iter()
        .flatten()
        .filter_map(|file| fs::read_to_string(file).ok())
        .any(|text| text.contains("index") || text.contains("find-links"))
}

/// The files that pip reads, in its order.
fn pip_files(system: &Path, request: &Request<'_>) -> Vec<PathBuf> {
    let own = request.variable("PIP_CONFIG_FILE");
    if own == Some(OsStr::new("/dev/null")) {
        return Vec::new();
    }
    [
        Some(system.join("etc/xdg/pip/pip.conf")),
        Some(system.join("etc/pip.conf")),
        cfg!(target_os = "macos").then(|| system.join("Library/Application Support/pip/pip.conf")),
        home_file(request, ".pip/pip.conf"),
        configuration_file(request, "pip/pip.conf"),
        home_file(request, "Library/Application Support/pip/pip.conf").filter(|_| cfg!(target_os = "macos")),
        own.map(PathBuf::from),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The values of an option in a pip.conf: of `[install]`, else of `[global]`.
fn option(text: &str, name: &str) -> Vec<String> {
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let (mut section, mut current) = ("", false);
    for line in text.lines() {
        let content = line.trim();
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        let mut values = content;
        if let Some(name) = content.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            (section, current) = (name.trim(), false);
            continue;
        }
        // Indented lines go on with the values of the option before.
        if !line.starts_with([' ', '\t']) {
            let (key, value) = content.split_once(['=', ':']).unwrap_or((content, ""));
            current = key.trim().replace('_', "-").eq_ignore_ascii_case(name);
            values = value;
        }
        if current {
            found
                .entry(section)
                .or_default()
                .extend(values.split_whitespace().map(ToOwned::to_owned));
        }
    }
    found
        .remove("install")
        .or_else(|| found.remove("global"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(set: &[(&str, &str)]) -> BTreeMap<OsString, OsString> {
        set.iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    fn request(set: &[(&str, &str)]) -> Request<'static> {
        Request {
            cache: "/cache".into(),
            variables: variables(set),
            progress: &|_| {},
        }
    }

    #[test]
    fn uv_is_given_the_settings_of_pip() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join(".config/pip")).unwrap();
        let text = "[global]\nindex-url = https://a/simple\n# extra_index_url = x\nextra_index_url =\n    https://b/simple\n    \
                    https://c/simple\n[install]\ntrusted-host: a\n[freeze]\ncert = /no\n";
        fs::write(home.path().join(".config/pip/pip.conf"), text).unwrap();
        fs::create_dir_all(home.path().join("etc")).unwrap();
        fs::write(
            home.path().join("etc/pip.conf"),
            "[global]\nindex-url = https://no\nproxy = http://p:1\n",
        )
        .unwrap();
        let home = home.path().to_str().unwrap();
        let given =
            |set: &[(&str, &str)]| for_uv_in(Path::new(home), &request(&[&[("HOME", home)], set].concat()));
        let of = |given: &BTreeMap<OsString, OsString>, name: &str| {
            given
                .get(OsStr::new(name))
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let plain = given(&[
            ("PIP_FIND_LINKS", "/x /y"),
            ("PIP_TARGET", "/t"),
            ("VIRTUAL_ENV", "/v"),
        ]);
        for (name, value) in [
            ("UV_DEFAULT_INDEX", Some("https://a/simple")),
            ("UV_INDEX", Some("https://b/simple https://c/simple")),
            ("UV_INDEX_STRATEGY", Some("unsafe-best-match")),
            ("UV_FIND_LINKS", Some("/x,/y")),
            ("UV_INSECURE_HOST", Some("a")),
            ("ALL_PROXY", Some("http://p:1")),
            ("SSL_CERT_FILE", None),
            ("PIP_TARGET", None),
            ("VIRTUAL_ENV", None),
            ("PIP_USER", Some("0")),
        ] {
            assert_eq!(of(&plain, name).as_deref(), value, "{name}");
        }
        let said = given(&[
            ("PIP_INDEX_URL", "https://d"),
            ("UV_EXTRA_INDEX_URL", "https://e"),
        ]);
        assert_eq!(
            of(&said, "UV_DEFAULT_INDEX").unwrap(),
            "https://d",
            "variables before files"
        );
        assert_eq!(of(&said, "UV_INDEX"), None, "uv's own before pip's");
        fs::create_dir_all(Path::new(home).join(".config/uv")).unwrap();
        fs::write(
            Path::new(home).join(".config/uv/uv.toml"),
            "[[index]]\nurl = 'https://f'\n",
        )
        .unwrap();
        assert_eq!(of(&given(&[]), "UV_DEFAULT_INDEX"), None);
    }
}
