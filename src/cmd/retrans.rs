//! `retrans`: retransmissions and their class, in the columns of bcc's tcpretrans and a few more; as events or sums.

use anyhow::Result;

use crate::config::Config;
use crate::events::{EventType, View, retransmit, synack_retransmit};
use crate::session;

const EVENT_TYPES: &[&EventType] = &[&retransmit::EVENT_TYPE, &synack_retransmit::EVENT_TYPE];

const VIEW: View = &[
    ("TIME", "time", 15),
    ("PID", "pid", 6),
    ("IP", "family", 4),
    ("LADDR:LPORT", "saddr:sport", 15),
    ("T>", "class", 10),
    ("RADDR:RPORT", "daddr:dport", 15),
    ("STATE", "state", 11),
    ("segs", "segs", 4),
    ("len", "data_len", 5),
    ("cwnd", "snd_cwnd", 4),
];

/// Traces until the end; returns the exit status.
pub fn run(mut config: Config) -> Result<u8> {
    config.output.view = Some(VIEW);
    session::run(&config, EVENT_TYPES)
}
