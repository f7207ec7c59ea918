//! Cleaning up after a test process that could not do it itself: it was killed, or it kept an instance that tests
//! share, which nothing in it can tell when to drop.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use super::scratch;

/// Waits until the test process is gone (its end of the pipe is closed then, whatever ended it), and takes down what
/// is in its homes.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
read never
for home in "$1"/*/; do
    [ -d "$home" ] || continue
    XDG_STATE_HOME="${home}state" "$2" down --all --force
    # What is left has nothing to end with, such as the way to a cluster that is gone.
    kill -9 $(grep -ls "XDG_STATE_HOME=${home}state" /proc/[0-9]*/environ | cut -d / -f 3)
    grep -o " ${home}[^ ]*" /proc/mounts | while read mount; do umount -l "$mount"; done
    rm -rf "$home"
done
rmdir "$1"
"#;

/// The folder for the homes of this test process, with somebody who clears it when the process is gone.
pub(crate) fn homes() -> PathBuf {
    static REAPER: OnceLock<(Child, PathBuf)> = OnceLock::new();
    let (_, folder) = REAPER.get_or_init(|| {
        let folder = scratch().join("homes").join(std::process::id().to_string());
        fs::create_dir_all(&folder).expect("the folder for homes can be made");
        let reaper = Command::new("sh")
            .args(["-c", SCRIPT, "reaper"])
            .arg(&folder)
            .arg(env!("CARGO_BIN_EXE_seaway"))
            .current_dir("/")
            // Ctrl-C in the terminal is not for it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("there is a shell");
        (reaper, folder)
    });
    folder.clone()
}
