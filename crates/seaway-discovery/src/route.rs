//! This machine's address, as seen from somewhere else.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::UdpSocket;

use crate::{Error, Result};

/// The address that packets to this place come from. Nothing is sent: the system is asked for the route only.
pub(crate) async fn own_address_towards(place: &str, host: &str, port: u16) -> Result<IpAddr> {
    let failed = |reason: std::io::Error| Error::Connect {
        url: place.to_owned(),
        reason: reason.to_string(),
    };
    let mut last = None;
    for target in tokio::net::lookup_host((host, port)).await.map_err(failed)? {
        match source_of(target).await {
            Ok(address) => return Ok(address),
            Err(error) => last = Some(error),
        }
    }
    Err(failed(last.unwrap_or_else(|| {
        std::io::Error::new(std::io::ErrorKind::NotFound, "its name has no address")
    })))
}

/// The address that packets to other networks come from; `None` where there is no way to other networks.
pub(crate) async fn own_address_outside() -> Option<IpAddr> {
    // An address of the block for documentation, which is routed like any far away.
    let far = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9));
    source_of(far).await.ok().filter(|address| !address.is_loopback())
}

async fn source_of(target: SocketAddr) -> std::io::Result<IpAddr> {
    let any: SocketAddr = if target.is_ipv6() {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(target).await?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn loopback_is_reached_from_loopback() {
        let address = own_address_towards("http://127.0.0.1", "127.0.0.1", 9)
            .await
            .unwrap();
        assert_eq!(address, IpAddr::V4(Ipv4Addr::LOCALHOST));
    }

    #[tokio::test]
    async fn a_name_without_address_says_so() {
        let error = own_address_towards("http://nowhere.invalid:80", "nowhere.invalid", 80).await;
        assert!(
            error
                .unwrap_err()
                .to_string()
                .starts_with("cannot reach http://nowhere.invalid:80: ")
        );
    }
}
