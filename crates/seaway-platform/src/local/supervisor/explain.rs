//! Why a process ended, in words.

use seaway_agent::Exit;
use seaway_model::{Memory, Name, status::MemoryKeeper};

use crate::local::ports;

/// What is known when a process has ended.
pub(crate) struct Ended<'a> {
    pub(crate) exit: Exit,
    /// Whether the kernel says that it killed the process for memory.
    pub(crate) out_of_memory: bool,
    pub(crate) memory: Option<(Memory, MemoryKeeper)>,
    /// Its last lines.
    pub(crate) log: &'a [String],
    /// Its ports: name, host, number.
    pub(crate) ports: &'a [(Name, String, u16)],
}

/// The reason in words: what the process's last lines show, if they show something one can act on, else how it
/// ended with its last line.
pub(crate) fn explain(ended: &Ended<'_>) -> String {
    let exit = ended.exit;
    if ended.out_of_memory {
        return match ended.memory {
            Some((limit, _)) => format!("was killed for memory: it used more than its limit of {limit}"),
            None => "was killed for memory by the kernel".to_owned(),
        };
    }
    let line_with = |needle: &str| ended.log.iter().rev().find(|line| line.contains(needle));
    if line_with("Address already in use").is_some() || line_with("address already in use").is_some() {
        let taken = ended
            .ports
            .iter()
            .find_map(|(name, host, port)| ports::check(host, *port, name).err());
        return match taken {
            Some(taken) => taken.to_string(),
            None => format!("{exit}: an address that it wanted was in use"),
        };
    }
    if line_with("No space left on device").is_some() {
        return format!("{exit}: the disk is full");
    }
    if let Some(line) = line_with("ModuleNotFoundError: ") {
        return format!("{exit}: {}", line.trim());
    }
    match (exit, ended.log.iter().rev().find(|line| !line.trim().is_empty())) {
        (Exit::Signal(9), _) => "was killed (SIGKILL), by hand or by the kernel for memory".to_owned(),
        (Exit::Unseen | Exit::Signal(_), _) | (_, None) => exit.to_string(),
        (Exit::Code(_), Some(line)) => format!("{exit}: {}", crop(line.trim())),
    }
}

/// Short enough for a table.
fn crop(line: &str) -> String {
    const LONGEST: usize = 160;
    if line.chars().count() <= LONGEST {
        line.to_owned()
    } else {
        line.chars().take(LONGEST - 1).chain(['…']).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(exit: Exit, out_of_memory: bool, log: &[&str], port: Option<u16>) -> String {
        let log: Vec<String> = log.iter().map(|&line| line.to_owned()).collect();
        let ports: Vec<_> = port
            .map(|port| (Name::literal("client"), "127.0.0.1".to_owned(), port))
            .into_iter()
            .collect();
        let memory = Some(("512Mi".parse().unwrap(), MemoryKeeper::Cgroup));
        explain(&Ended {
            exit,
            out_of_memory,
            memory,
            log: &log,
            ports: &ports,
        })
    }

    #[test]
    fn what_people_need_to_know() {
        assert_eq!(
            reason(Exit::Signal(9), true, &[], None),
            "was killed for memory: it used more than its limit of 512Mi"
        );
        assert_eq!(
            reason(
                Exit::Code(1),
                false,
                &["ModuleNotFoundError: No module named 'dask'", ""],
                None
            ),
            "ended with code 1: ModuleNotFoundError: No module named 'dask'"
        );
        assert_eq!(
            reason(Exit::Code(2), false, &["first", "it broke", " "], None),
            "ended with code 2: it broke"
        );
        assert_eq!(
            reason(Exit::Signal(15), false, &["bye"], None),
            "was ended by SIGTERM"
        );
        assert!(
            reason(
                Exit::Code(1),
                false,
                &["OSError: [Errno 28] No space left on device"],
                None
            )
            .contains("disk is full")
        );
    }

    #[test]
    fn a_taken_port_is_named_with_its_owner() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let text = reason(
            Exit::Code(1),
            false,
            &["OSError: [Errno 98] Address already in use"],
            Some(port),
        );
        assert!(
            text.starts_with(&format!("port {port} (client) is taken by")),
            "{text}"
        );
    }
}
