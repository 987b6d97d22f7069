//! Zones of link-local addresses: the interface of such an address.

use std::net::SocketAddr;

use ipnet::IpNet;

/// An address or a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    pub net: IpNet,
    /// Its zone; 0: any.
    pub ifindex: u32,
}

/// The zone of a connection's end; 0: any.
#[must_use]
pub fn of_end(end: SocketAddr) -> u32 {
    match end {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(end) => end.scope_id(),
    }
}
