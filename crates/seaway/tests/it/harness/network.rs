//! A network of a test's own: a bridge with an address that is not loopback, and nobody else on it.

use std::process::Command;

/// Addresses for documentation (RFC 5737), which no real network has.
const NET: &str = "198.51.100";

/// A bridge that goes with the value.
pub(crate) struct Network {
    device: String,
    /// The address of this machine on it.
    pub(crate) address: String,
}

impl Network {
    /// Makes the bridge; says why when it cannot be made, which only root can.
    pub(crate) fn new() -> Result<Self, String> {
        let id = std::process::id();
        let network = Self {
            // Names of devices have at most 15 characters.
            device: format!("swt{id}"),
            address: format!("{NET}.{}", 1 + id % 254),
        };
        ip(&["link", "add", &network.device, "type", "bridge"])?;
        ip(&[
            "address",
            "add",
            &format!("{}/32", network.address),
            "dev",
            &network.device,
        ])?;
        ip(&["link", "set", &network.device, "up"])?;
        Ok(network)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = ip(&["link", "delete", &self.device]);
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .map_err(|error| format!("`ip`: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}
