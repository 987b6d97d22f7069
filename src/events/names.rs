//! Names of numbers that are the same on every kernel.

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

/// The name of a number; null if there is none.
#[must_use]
pub fn name(names: &'static [&'static str], number: u8) -> Value<'static> {
    names.get(usize::from(number)).map_or(Null, |name| Str(name))
}

/// Errors that TCP raises, by their generic numbers (asm-generic/errno.h).
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

/// The name of an error; null for 0, and for errors that TCP itself does not raise.
#[must_use]
pub fn errno(number: u32) -> Value<'static> {
    ERRORS.iter().find(|(known, _)| *known == number).map_or(Null, |(_, name)| Str(name))
}
