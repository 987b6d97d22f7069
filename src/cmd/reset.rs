//! `reset`: RSTs that were sent and received, with their reasons.

use anyhow::Result;

use crate::config::Config;
use crate::probe::{Kind, View, reset_received, reset_sent};
use crate::session;

const KINDS: &[&Kind] = &[&reset_sent::KIND, &reset_received::KIND];

const VIEW: View = &[
    ("TIME", "time", 15),
    ("PID", "pid", 6),
    ("LOCAL", "saddr:sport", 15),
    ("EVENT", "type", 14),
    ("PEER", "daddr:dport", 15),
    ("STATE", "sk_state", 11),
    ("REASON", "reason", 10),
];

/// Traces until the end; the exit status.
pub fn run(mut config: Config) -> Result<u8> {
    config.output.view = Some(VIEW);
    session::run(&config, KINDS)
}
