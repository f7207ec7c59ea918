//! Ports: free ones found, taken ones explained.

use std::net::{TcpListener, ToSocketAddrs};

use rand::RngExt;
use seaway_model::{Name, plan::PortPlan};
use thiserror::Error;

use super::store::{PortRecord, Records, StoreError};

/// Why a task has no port.
#[derive(Debug, Error)]
pub enum PortError {
    /// The port that the user asked for is in use.
    #[error("port {port} ({name}) is taken by {by}")]
    Taken {
        /// The number.
        port: u16,
        /// The port's name.
        name: Name,
        /// Who has it, as far as one can see.
        by: String,
    },
    /// The address that the user asked for is not one of this machine.
    #[error("port {port} ({name}) cannot be bound at `{host}`: {source}")]
    Bind {
        /// The number.
        port: u16,
        /// The port's name.
        name: Name,
        /// The address.
        host: String,
        /// Why.
        source: std::io::Error,
    },
    /// Nothing is free.
    #[error("no free port was found for {0}")]
    NoneFree(Name),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The lowest port given without being asked for.
const FIRST: u16 = 10_000;
/// Above the last one. It ends where the range for outgoing connections begins (Linux: 32768), so that between
/// the choice and the start of the task no connection can take the port.
const END: u16 = 32_768;
/// Tries before giving up; the range is never that full.
const TRIES: u32 = 2_000;

/// Whether a port can be bound now.
fn bindable(host: &str, port: u16) -> std::io::Result<()> {
    let mut error = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for address in (host, port).to_socket_addrs()? {
        match TcpListener::bind(address) {
            Ok(_) => return Ok(()),
            Err(source) => error = source,
        }
    }
    Err(error)
}

/// Chooses a port for a task and notes it in the store. To be called in a transaction.
pub fn assign(
    records: Records<'_>,
    instance: &str,
    role: &Name,
    index: u32,
    plan: &PortPlan,
    default_host: &str,
) -> Result<PortRecord, PortError> {
    let host = plan.host.clone().unwrap_or_else(|| default_host.to_owned());
    let record = |port| PortRecord {
        role: role.clone(),
        index,
        name: plan.name.clone(),
        host: host.clone(),
        port,
    };
    if let Some(port) = plan.fixed {
        if let Some(holder) = records.holder_of_port(port)? {
            let by = format!("instance `{holder}`");
            return Err(PortError::Taken {
                port,
                name: plan.name.clone(),
                by,
            });
        }
        check(&host, port, &plan.name)?;
        let record = record(port);
        records.insert_port(instance, &record)?;
        return Ok(record);
    }
    let mut random = rand::rng();
    // The usual number first: it is the one that people know.
    let candidates = std::iter::once(plan.usual).chain((0..TRIES).map(|_| random.random_range(FIRST..END)));
    for port in candidates {
        if records.holder_of_port(port)?.is_some() {
            continue;
        }
        match bindable(&host, port) {
            Ok(()) => {
                let record = record(port);
                records.insert_port(instance, &record)?;
                return Ok(record);
            }
            Err(source) if source.kind() == std::io::ErrorKind::AddrNotAvailable => {
                return Err(PortError::Bind {
                    port,
                    name: plan.name.clone(),
                    host,
                    source,
                });
            }
            Err(_) => {}
        }
    }
    Err(PortError::NoneFree(plan.name.clone()))
}

/// Whether a port is still free; says who has it otherwise.
pub fn check(host: &str, port: u16, name: &Name) -> Result<(), PortError> {
    match bindable(host, port) {
        Ok(()) => Ok(()),
        Err(source) if source.kind() == std::io::ErrorKind::AddrInUse => Err(PortError::Taken {
            port,
            name: name.clone(),
            by: owner(port).unwrap_or_else(|| "another program".to_owned()),
        }),
        Err(source) => Err(PortError::Bind {
            port,
            name: name.clone(),
            host: host.to_owned(),
            source,
        }),
    }
}

/// The process that listens on a port: `python3 (pid 123)`. Only processes of the same user can be seen.
fn owner(port: u16) -> Option<String> {
    let wanted = listeners(port)?;
    let processes = std::fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        has_socket(pid, &wanted)?.then_some(())?;
        let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        Some(format!("`{}` (pid {pid})", name.trim()))
    })
}

/// Whether a process listens on a port; `None` where that cannot be seen.
pub(crate) fn listens(pid: i32, port: u16) -> Option<bool> {
    has_socket(pid, &listeners(port)?)
}

/// The sockets that listen on a port, as links to them read.
fn listeners(port: u16) -> Option<Vec<String>> {
    let tables: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .collect();
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    let inodes = lines.filter_map(|line| listening_inode(line, port));
    (!tables.is_empty()).then(|| inodes.map(|inode| format!("socket:[{inode}]")).collect())
}

/// Whether a process has one of these sockets open; `None` where that cannot be seen.
fn has_socket(pid: i32, sockets: &[String]) -> Option<bool> {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    Some(descriptors.flatten().any(|descriptor| {
        std::fs::read_link(descriptor.path())
            .is_ok_and(|target| sockets.iter().any(|socket| target.as_os_str() == socket.as_str()))
    }))
}

/// The inode of the socket in a line of `/proc/net/tcp`, when it listens on the port.
fn listening_inode(line: &str, port: u16) -> Option<String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, local) = fields.get(1)?.rsplit_once(':')?;
    let listens = *fields.get(3)? == "0A";
    (listens && u16::from_str_radix(local, 16).ok()? == port)
        .then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_names_its_owner() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let message = check("127.0.0.1", port, &Name::literal("client"))
            .unwrap_err()
            .to_string();
        assert!(
            message.starts_with(&format!("port {port} (client) is taken by ")),
            "{message}"
        );
        if cfg!(target_os = "linux") {
            assert!(
                message.contains(&format!("(pid {})", std::process::id())),
                "{message}"
            );
            let own = i32::try_from(std::process::id()).unwrap();
            assert_eq!(
                (listens(own, port), listens(own, port ^ 1)),
                (Some(true), Some(false))
            );
        }
        drop(listener);
        check("127.0.0.1", port, &Name::literal("client")).unwrap();
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        let message = check("192.0.2.1", 9000, &Name::literal("client"))
            .unwrap_err()
            .to_string();
        assert!(message.contains("cannot be bound at `192.0.2.1`"), "{message}");
    }
}
