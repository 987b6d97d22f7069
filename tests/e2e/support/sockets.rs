//! The TCP sockets of a network namespace, as /proc/net/tcp and tcp6 list them.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// The states that tests wait for, by their numbers in include/net/tcp_states.h.
pub const ESTABLISHED: u8 = 1;
pub const SYN_RECV: u8 = 3;
pub const FIN_WAIT2: u8 = 5;
pub const TIME_WAIT: u8 = 6;
pub const CLOSE_WAIT: u8 = 8;
pub const LAST_ACK: u8 = 9;
pub const LISTEN: u8 = 10;

#[derive(Clone, Debug)]
pub struct SocketEntry {
    pub local: SocketAddr,
    pub peer: SocketAddr,
    pub state: u8,
    /// Bytes that are not acknowledged, or of a listener the limit of its accept queue.
    pub tx_queue: u64,
    /// Bytes that are not read, or of a listener the length of its accept queue.
    pub rx_queue: u64,
    /// Timeouts, or SYN-ACKs sent again.
    pub retransmits: u64,
}

impl SocketEntry {
    /// A listener, or one that waits for nothing but time.
    pub fn is_over(&self) -> bool {
        [LISTEN, TIME_WAIT].contains(&self.state)
    }

    /// Is it a connection of these ports?
    pub fn is_of(&self, sport: u16, dport: u16) -> bool {
        (self.local.port(), self.peer.port()) == (sport, dport)
    }
}

/// Those of this thread's namespace.
#[track_caller]
pub fn sockets() -> Vec<SocketEntry> {
    let mut all = Vec::new();
    for name in ["tcp", "tcp6"] {
        // Without IPv6 there is no tcp6.
        if name == "tcp6" && !Path::new("/proc/net/if_inet6").exists() {
            continue;
        }
        let text = fs::read_to_string(format!("/proc/thread-self/net/{name}")).expect(name);
        let entry = |line| parse(line).unwrap_or_else(|| panic!("not understood: {line}"));
        all.extend(text.lines().skip(1).map(entry));
    }
    all
}

/// `sl local rem st tx_queue:rx_queue tr:tm->when retrnsmt …`, all hexadecimal.
fn parse(line: &str) -> Option<SocketEntry> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, local, peer, state, queues, _, retransmits, ..] = words[..] else { return None };
    let (tx_queue, rx_queue) = queues.split_once(':')?;
    let number = |hex| u64::from_str_radix(hex, 16).ok();
    Some(SocketEntry {
        local: address(local)?,
        peer: address(peer)?,
        state: u8::from_str_radix(state, 16).ok()?,
        tx_queue: number(tx_queue)?,
        rx_queue: number(rx_queue)?,
        retransmits: number(retransmits)?,
    })
}

/// Words of 32 bits as this machine has them, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(ip.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    Some(match ip.len() {
        8 => (Ipv4Addr::from(word(0)?), port).into(),
        32 => {
            let octets: [u8; 16] =
                [word(0)?, word(8)?, word(16)?, word(24)?].concat().try_into().ok()?;
            (Ipv6Addr::from(octets), port).into()
        }
        _ => return None,
    })
}
