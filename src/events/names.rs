//! The kernel's names of numbers that every kernel has the same.

use crate::table::Value::{self, Null, Str};

/// `TCP_INFINITE_SSTHRESH`.
pub const INFINITE_SSTHRESH: u64 = 0x7fff_ffff;

/// `enum` in tcp_states.h.
pub const TCP_STATES: &[&str] = &[
    "",
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT1",
    "FIN_WAIT2",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
    "NEW_SYN_RECV",
];
/// `enum tcp_ca_state`.
pub const CA_STATES: &[&str] = &["Open", "Disorder", "CWR", "Recovery", "Loss"];

/// That number's name; null for one that we do not know.
#[must_use]
pub fn name(names: &'static [&'static str], number: u8) -> Value<'static> {
    names.get(usize::from(number)).map_or(Null, |name| Str(name))
}

/// The errors that TCP reports, by Linux' numbers on the architectures that have the generic ones.
const ERRORS: &[(u32, &str)] = &[
    (1, "EPERM"),
    (13, "EACCES"),
    (32, "EPIPE"),
    (71, "EPROTO"),
    (90, "EMSGSIZE"),
    (99, "EADDRNOTAVAIL"),
    (100, "ENETDOWN"),
    (101, "ENETUNREACH"),
    (103, "ECONNABORTED"),
    (104, "ECONNRESET"),
    (110, "ETIMEDOUT"),
    (111, "ECONNREFUSED"),
    (112, "EHOSTDOWN"),
    (113, "EHOSTUNREACH"),
];

/// The error's name; null for none, and for one that TCP does not report by itself.
#[must_use]
pub fn errno(number: u32) -> Value<'static> {
    ERRORS.iter().find(|(known, _)| *known == number).map_or(Null, |(_, name)| Str(name))
}
