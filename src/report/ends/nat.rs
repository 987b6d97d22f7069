//! Addresses that are translated on the way between the two ends.

use std::net::{IpAddr, SocketAddr};

use crate::report::connection::Ends;

/// An address, and the port if it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub ip: IpAddr,
    pub port: Option<u16>,
}

/// The same end of connections in the two recordings. Both have a port, or neither; then the ports may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// As the second recording has it.
    pub there: Endpoint,
    /// As the first one has it.
    pub here: Endpoint,
}

/// Stands for a port that is not known. No connection has it.
const ANY: u16 = 0;

/// As the first recording has that end of the second one.
fn translated(end: SocketAddr, translations: &[Translation]) -> SocketAddr {
    let fits = |of: &&Translation| {
        of.there.ip == end.ip() && of.there.port.is_none_or(|port| port == end.port())
    };
    // One with a port is meant before one for the whole address.
    let with_port = translations.iter().filter(fits).find(|of| of.there.port.is_some());
    let found = with_port.or_else(|| translations.iter().find(fits));
    found.map_or(end, |of| SocketAddr::new(of.here.ip, of.here.port.unwrap_or(ANY)))
}

/// The ends of a connection of the second recording, as the first one has them.
pub fn as_here(ends: Ends, translations: &[Translation]) -> Ends {
    Ends { local: translated(ends.local, translations), peer: translated(ends.peer, translations) }
}

/// These ends, and as they are where a port is not known.
pub fn keys(ends: Ends) -> [Ends; 4] {
    let any = |end: SocketAddr| SocketAddr::new(end.ip(), ANY);
    let Ends { local, peer } = ends;
    [
        ends,
        Ends { local: any(local), peer },
        Ends { local, peer: any(peer) },
        Ends { local: any(local), peer: any(peer) },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        match text.parse::<SocketAddr>() {
            Ok(end) => Endpoint { ip: end.ip(), port: Some(end.port()) },
            Err(_) => Endpoint { ip: text.parse().unwrap(), port: None },
        }
    }

    #[test]
    fn a_translation_with_a_port_is_meant_first() {
        let of = |(there, here)| Translation { there: endpoint(there), here: endpoint(here) };
        let translations = [
            ("198.51.100.7", "10.0.0.2"),
            ("198.51.100.7:443", "10.0.0.3:8443"),
            ("2001:db8::1", "fd00::1"),
        ]
        .map(of);
        for (there, here) in [
            ("198.51.100.7:443", "10.0.0.3:8443"),
            ("198.51.100.7:80", "10.0.0.2:0"),
            ("198.51.100.8:80", "198.51.100.8:80"),
            ("[2001:db8::1]:80", "[fd00::1]:0"),
        ] {
            assert_eq!(translated(there.parse().unwrap(), &translations), here.parse().unwrap());
        }
    }
}
