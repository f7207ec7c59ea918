//! With the real Python of this machine, and uv where pip can fetch it. Packages come from the index that pip is set
//! up for.

use std::{
    net::TcpListener,
    os::unix::fs::MetadataExt,
    process::Command,
    sync::Mutex,
    time::{Duration, Instant},
};

use seaway_agent::{environment, identity::marked, process::find_program};
use seaway_model::plan::PythonPackages;
use tempfile::TempDir;

use super::*;

const SIX: &str = "six==1.17.0";

fn packages(requirements: &[&str], constraints: &str, modules: &[&str]) -> PythonEnvironment {
    PythonEnvironment::Packages(PythonPackages {
        python: None,
        requirements: requirements.iter().map(ToString::to_string).collect(),
        constraints: constraints.to_owned(),
        modules: modules.iter().map(ToString::to_string).collect(),
    })
}

/// A cache of its own, and a `PATH` with nothing but a Python that notes each start, and uv if there is one.
struct Place {
    folder: TempDir,
    told: Mutex<Vec<String>>,
}

impl Place {
    /// `None`, with a word about it, where there is no Python.
    async fn new(uv: Option<&Path>) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let place = Self {
            folder,
            told: Mutex::default(),
        };
        let own = Request {
            variables: std::env::vars_os().collect(),
            ..place.request()
        };
        fs::create_dir_all(own.folder()).unwrap();
        let python = match interpreter::find(None, &own).await {
            Ok(python) => python,
            Err(error) => {
                println!("skipped: {error}");
                return None;
            }
        };
        fs::remove_file(own.folder().join("interpreters.json")).unwrap();
        place.program("python3", &python.executable);
        if let Some(uv) = uv {
            place.program("uv", uv);
        }
        Some(place)
    }

    /// Puts a program on the `PATH` that notes its arguments and goes on as another.
    fn program(&self, name: &str, real: &Path) {
        let bin = self.folder.path().join("bin");
        fs::create_dir_all(&bin).unwrap();
        let log = self.folder.path().join("starts");
        let script = format!(
            "#!/bin/sh\necho {name} \"$*\" >> '{}'\nexec '{}' \"$@\"\n",
            log.display(),
            real.display()
        );
        fs::write(bin.join(name), script).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn starts(&self) -> String {
        fs::read_to_string(self.folder.path().join("starts")).unwrap_or_default()
    }

    /// How many environments were begun.
    fn made(&self) -> usize {
        self.told
            .lock()
            .unwrap()
            .iter()
            .filter(|line| line.starts_with("making a Python"))
            .count()
    }

    fn request(&self) -> Request<'static> {
        let mut variables: BTreeMap<_, _> = std::env::vars_os().collect();
        variables.insert("PATH".into(), self.folder.path().join("bin").into());
        Request {
            cache: self.folder.path().join("cache"),
            variables,
            progress: &|_| {},
        }
    }

    async fn prepare(&self, environment: &PythonEnvironment) -> Result<Prepared, PythonError> {
        let progress = |line: &str| self.told.lock().unwrap().push(line.to_owned());
        prepare(
            environment,
            &Request {
                progress: &progress,
                ..self.request()
            },
        )
        .await
    }

    /// The environments that there are, complete or not.
    fn folders(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.request().folder()) else {
            return Vec::new();
        };
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_dir())
            .collect()
    }
}

/// uv, in an environment made for it.
fn uv() -> Option<(TempDir, PathBuf)> {
    let folder = tempfile::tempdir().unwrap();
    let venv = folder.path().join("venv");
    let run = |program: &Path, arguments: &[&str]| {
        Command::new(program)
            .args(arguments)
            .output()
            .ok()
            .filter(|done| done.status.success())
    };
    let made = run(Path::new("python3"), &["-m", "venv", venv.to_str().unwrap()]).and_then(|_| {
        run(
            &venv.join("bin/python"),
            &["-m", "pip", "install", "--no-input", "uv==0.13.8"],
        )
    });
    if made.is_none() {
        println!("skipped: uv cannot be fetched here");
    }
    made.map(|_| (folder, venv.join("bin/uv")))
}

/// What both installers must do.
async fn builds_once_and_says_why_not(place: &Place) {
    let environment = packages(&["Six == 1.17.0"], "six==1.17.0\n", &["six"]);
    // Many at once: one makes it.
    let all = futures_util::future::join_all((0..8).map(|_| place.prepare(&environment))).await;
    let prepared = all.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    assert!(prepared.iter().all(|one| *one == prepared[0]));
    let prepared = &prepared[0];
    assert_eq!(place.made(), 1);
    assert!(
        place
            .told
            .lock()
            .unwrap()
            .iter()
            .any(|line| line.starts_with("waiting for another"))
    );
    assert!(
        place
            .told
            .lock()
            .unwrap()
            .iter()
            .any(|line| line == "installing 1 package")
    );
    assert!(
        place
            .told
            .lock()
            .unwrap()
            .iter()
            .any(|line| line == "checking that six can be imported")
    );
    let check = "import six, sys; assert sys.prefix != sys.base_prefix; print(six.__version__)";
    let output = Command::new(prepared.bin.join("python"))
        .args(["-c", check])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "1.17.0");
    assert!(
        fs::read_to_string(prepared.root.join("lock.txt"))
            .unwrap()
            .contains("six==1.17.0\n")
    );
    let log = prepared.root.with_extension("log");
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);

    // Once more: nothing is started and nothing is written.
    let (starts, marker) = (
        place.starts(),
        fs::metadata(prepared.root.join("complete.json")).unwrap(),
    );
    let begin = Instant::now();
    let again = place
        .prepare(&packages(&["six==1.17.0", SIX], "# the same\nsix==1.17.0", &[]))
        .await
        .unwrap();
    println!("found in {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_millis(100));
    assert_eq!(again, *prepared);
    assert_eq!(place.starts(), starts);
    let now = fs::metadata(prepared.root.join("complete.json")).unwrap();
    assert_eq!((now.ino(), now.mtime_nsec()), (marker.ino(), marker.mtime_nsec()));

    // The same packages with another module: it is tried, nothing is made anew.
    place.prepare(&packages(&[SIX], SIX, &["json"])).await.unwrap();
    let error = place
        .prepare(&packages(&[SIX], SIX, &["no_such_module"]))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, PythonError::Import { module, .. } if module == "no_such_module"),
        "{error:?}"
    );
    assert!(error.to_string().contains("ModuleNotFoundError"), "{error}");
    assert_eq!(place.made(), 1);

    // What cannot be had is named, and leaves nothing but the log.
    let error = place
        .prepare(&packages(&["nosuchpackage-of-seaway==1.0"], "", &[]))
        .await
        .unwrap_err();
    let PythonError::NotInstallable { requirement, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(
        requirement.starts_with("nosuchpackage-of-seaway"),
        "{requirement}"
    );
    assert!(
        fs::read_to_string(error.log().unwrap())
            .unwrap()
            .contains("nosuchpackage-of-seaway")
    );
    let error = place
        .prepare(&packages(&[SIX], "six==1.16.0", &[]))
        .await
        .unwrap_err();
    assert!(matches!(error, PythonError::Conflict { .. }), "{error:?}");
    assert_eq!(place.folders(), std::slice::from_ref(&prepared.root));

    // An environment whose Python has gone, or that was never completed, is made anew.
    fs::remove_file(prepared.root.join("bin/python")).unwrap();
    std::os::unix::fs::symlink("/nowhere/python3", prepared.root.join("bin/python")).unwrap();
    fs::write(prepared.root.join("left over"), "").unwrap();
    place.prepare(&environment).await.unwrap();
    assert!(!prepared.root.join("left over").exists());
}

/// What both installers must do when nobody waits for them any more.
async fn a_dropped_future_leaves_nothing_running(place: &Place) {
    let environment = packages(&[SIX], "", &["six"]);
    // An index that takes the question and never answers.
    let index = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/simple", index.local_addr().unwrap());
    let instance = format!(
        "test-{}-{}",
        std::process::id(),
        index.local_addr().unwrap().port()
    );
    let mut request = place.request();
    request
        .variables
        .insert(environment::INSTANCE_ID.into(), instance.clone().into());
    for name in ["PIP_INDEX_URL", "UV_DEFAULT_INDEX"] {
        request.variables.insert(name.into(), address.clone().into());
    }
    for name in ["PIP_FIND_LINKS", "UV_FIND_LINKS"] {
        request.variables.remove(OsStr::new(name));
    }
    let connection = tokio::select! {
        result = prepare(&environment, &request) => panic!("it ended: {result:?}"),
        connection = index.accept() => connection.unwrap(),
    };
    // The future is dropped by now, while the installer waits for an answer.
    let deadline = Instant::now() + Duration::from_secs(20);
    while cfg!(target_os = "linux") && !marked(&instance).is_empty() {
        assert!(Instant::now() < deadline, "{:?}", marked(&instance));
        tokio::task::yield_now().await;
    }
    drop(connection);
    assert!(
        place
            .folders()
            .iter()
            .all(|folder| !folder.join("complete.json").exists())
    );
    let prepared = place.prepare(&environment).await.unwrap();
    assert!(prepared.root.join("complete.json").exists());
}

#[tokio::test]
async fn with_pip() {
    let Some(place) = Place::new(None).await else {
        return;
    };
    builds_once_and_says_why_not(&place).await;
    assert!(!place.starts().contains("uv "));
}

#[tokio::test]
async fn with_pip_when_dropped() {
    let Some(place) = Place::new(None).await else {
        return;
    };
    a_dropped_future_leaves_nothing_running(&place).await;
}

#[tokio::test]
async fn with_uv() {
    let Some((_folder, uv)) = uv() else { return };
    let Some(place) = Place::new(Some(&uv)).await else {
        return;
    };
    builds_once_and_says_why_not(&place).await;
    assert!(place.starts().contains("uv pip install"));
    let Some(place) = Place::new(Some(&uv)).await else {
        return;
    };
    a_dropped_future_leaves_nothing_running(&place).await;
}

#[tokio::test]
async fn an_installer_whose_seaway_was_killed_is_ended() {
    use std::os::unix::process::CommandExt;
    let Some(place) = Place::new(None).await else {
        return;
    };
    let environment = packages(&[SIX], "", &[]);
    let prepared = place.prepare(&environment).await.unwrap();
    // As if Seaway had been killed while this made the environment: it holds the lock by its input.
    fs::remove_file(prepared.root.join("complete.json")).unwrap();
    let lock = fs::File::options()
        .write(true)
        .open(prepared.root.with_extension("lock"))
        .unwrap();
    lock.try_lock().unwrap();
    let mut installer = Command::new("sleep")
        .arg("600")
        .stdin(lock)
        .process_group(0)
        .spawn()
        .unwrap();
    let identity = seaway_agent::ProcessIdentity::of(i32::try_from(installer.id()).unwrap()).unwrap();
    let record = serde_json::json!({
        "boot": seaway_agent::boot_id(),
        "seaway": { "pid": std::process::id(), "started": "of an earlier process" },
        "installer": identity,
    });
    fs::write(prepared.root.with_extension("builder.json"), record.to_string()).unwrap();
    assert_eq!(place.prepare(&environment).await.unwrap(), prepared);
    assert!(!identity.is_alive());
    installer.wait().unwrap();
    assert!(prepared.root.join("complete.json").exists());
    assert!(!prepared.root.with_extension("builder.json").exists());
}

#[tokio::test]
async fn a_missing_or_unfit_python_is_told() {
    let Some(place) = Place::new(None).await else {
        return;
    };
    let mut environment = packages(&[SIX], "", &[]);
    let PythonEnvironment::Packages(wanted) = &mut environment else {
        unreachable!()
    };
    wanted.python = Some("3.1".into());
    let error = place.prepare(&environment).await.unwrap_err();
    assert!(matches!(error, PythonError::PythonMissing { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .starts_with("Python 3.1 was not found on PATH: `"),
        "{error}"
    );
    assert!(
        error
            .hint()
            .unwrap()
            .contains("apt install python3.1 python3.1-venv")
    );
    fs::remove_file(place.folder.path().join("bin/python3")).unwrap();
    // A script that finds nothing behind it, as pyenv's.
    fs::write(
        place.folder.path().join("bin/python3.12"),
        "#!/bin/sh\nexit 127\n",
    )
    .unwrap();
    fs::set_permissions(
        place.folder.path().join("bin/python3.12"),
        fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    let error = place.prepare(&packages(&[SIX], "", &[])).await.unwrap_err();
    assert_eq!(error.to_string(), "Python 3.10 or newer was not found on PATH");
    assert!(error.hint().unwrap().contains("conda create"));
    assert!(place.folders().is_empty());
}

#[tokio::test]
async fn a_python_without_venv_and_a_broken_network_are_told() {
    let Some(place) = Place::new(None).await else {
        return;
    };
    let environment = packages(&[SIX], "", &[]);
    // A port where nobody listens.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut request = place.request();
    request.variables.insert(
        "PIP_INDEX_URL".into(),
        format!("http://127.0.0.1:{port}/simple").into(),
    );
    request.variables.insert("PIP_RETRIES".into(), "1".into());
    request.variables.remove(OsStr::new("PIP_FIND_LINKS"));
    let error = prepare(&environment, &request).await.unwrap_err();
    assert!(matches!(error, PythonError::Network { .. }), "{error:?}");
    assert!(place.folders().is_empty());

    // Debian's Python without python3-venv: it answers questions and says this.
    let python = find_program("python3", &place.request().path()).unwrap();
    let real = place.folder.path().join("real");
    fs::rename(&python, &real).unwrap();
    let executable = place.folder.path().join("bin/python3");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *venv*) echo 'The virtual environment was not created successfully because ensurepip is \
         not available.'; exit 1;; *import*) echo '{}'; echo 3.12.1; echo .so;; esac\n",
        executable.display()
    );
    fs::write(&executable, script).unwrap();
    fs::set_permissions(&executable, fs::Permissions::from_mode(0o755)).unwrap();
    let error = place.prepare(&environment).await.unwrap_err();
    assert!(
        matches!(
            error,
            PythonError::VenvMissing {
                missing: "ensurepip",
                ..
            }
        ),
        "{error:?}"
    );
    assert!(error.hint().unwrap().contains("python3.12-venv"));
}

#[tokio::test]
async fn an_environment_of_the_user_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("mine");
    let request = Request {
        cache: folder.path().join("cache"),
        variables: BTreeMap::new(),
        progress: &|_| {},
    };
    let check = || async { prepare(&PythonEnvironment::Existing(root.clone()), &request).await };
    let error = check().await.unwrap_err();
    assert!(matches!(error, PythonError::NoFolder(_)));
    assert!(error.hint().unwrap().contains("python3 -m venv"));
    fs::create_dir_all(root.join("bin")).unwrap();
    assert!(
        check()
            .await
            .unwrap_err()
            .to_string()
            .contains("has no `bin/python`")
    );
    std::os::unix::fs::symlink("/nowhere/python3", root.join("bin/python")).unwrap();
    assert!(
        check()
            .await
            .unwrap_err()
            .to_string()
            .contains("`/nowhere/python3`, which is gone")
    );
    fs::remove_file(root.join("bin/python")).unwrap();
    fs::write(root.join("bin/python"), "").unwrap();
    assert!(matches!(check().await, Err(PythonError::NotExecutable(_))));
    fs::set_permissions(root.join("bin/python"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(
        check().await.unwrap(),
        Prepared {
            bin: root.join("bin"),
            root: root.clone()
        }
    );
    assert!(!folder.path().join("cache").exists());
}
