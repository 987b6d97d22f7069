//! `reset`: RSTs sent and received, with their reasons.

use anyhow::Result;

use crate::config::Config;
use crate::events::{EventType, View, reset_received, reset_sent};
use crate::session;

const EVENT_TYPES: &[&EventType] = &[&reset_sent::EVENT_TYPE, &reset_received::EVENT_TYPE];

const VIEW: View = &[
    ("TIME", "time", 15),
    ("PID", "pid", 6),
    ("LOCAL", "saddr:sport", 15),
    ("EVENT", "type", 14),
    ("PEER", "daddr:dport", 15),
    ("STATE", "sk_state", 11),
    ("REASON", "reason", 10),
];

/// Traces until the end; returns the exit status.
pub fn run(mut config: Config) -> Result<u8> {
    config.output.view = Some(VIEW);
    session::run(&config, EVENT_TYPES)
}
