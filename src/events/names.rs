//! Names of numbers that are the same on every kernel.

use crate::slot::Names;
use crate::slot::names::Flags;
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

/// `enum tcc_cause`, as in the columns of `limits`.
pub const LIMIT_CAUSES: &[&str] = &[
    "handshake",
    "idle",
    "application",
    "sndbuf",
    "rwnd",
    "zero_window",
    "pacing_cap",
    "pacing",
    "local_queue",
    "slow_start",
    "cwnd",
    "path",
    "recovery",
    "rto",
    "undecided",
];

/// The same where 0 is none.
pub const LIMITS_MAIN: [&str; LIMIT_CAUSES.len() + 1] = {
    let mut names = [""; LIMIT_CAUSES.len() + 1];
    let mut cause = 0;
    while cause < LIMIT_CAUSES.len() {
        names[cause + 1] = LIMIT_CAUSES[cause];
        cause += 1;
    }
    names
};

/// The name of a number; null if there is none.
#[must_use]
pub fn name(names: &'static [&'static str], number: u8) -> Value<'static> {
    names.get(usize::from(number)).map_or(Null, |name| Str(name))
}

/// Errors that TCP raises, by their generic numbers (asm-generic/errno.h). Others have no name.
pub const ERRORS: Names = Names::Pairs(&[
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
]);

/// The TCP header's flags, from its lowest bit on.
pub const TCP_FLAGS: Names = Names::Flags(&FLAGS);
static FLAGS: Flags = Flags::new(&["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "AE"]);
