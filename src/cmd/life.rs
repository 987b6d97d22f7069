//! `life`: connections as they end, and those open at the start.

use std::time::Duration;

use anyhow::Result;

use crate::config::{Config, EventFilters};
use crate::events::{View, life};
use crate::session;

/// Two columns of the usual ones make room for the cause and its share.
const LIMITS_VIEW: View = &[
    ("TIME", "time", 15),
    ("LOCAL", "saddr:sport", 15),
    ("PEER", "daddr:dport", 15),
    ("PID", "pid", 6),
    ("TX", "bytes_acked", 7),
    ("RX", "bytes_received", 7),
    ("us", "duration_us", 6),
    ("rtx", "total_retrans", 3),
    ("LIMIT", "limits_main", 10),
    ("%", "limits_main_percent", 3),
    ("END", "reason", 3),
];

/// Traces until the end; returns the exit status.
pub fn run(mut config: Config, min_duration: Option<Duration>, limits: bool) -> Result<u8> {
    if limits {
        config.output.limits = true;
        config.output.view = Some(LIMITS_VIEW);
    }
    let config = Config {
        event_filters: EventFilters { min_duration, list_open: true, ..config.event_filters },
        ..config
    };
    session::run(&config, &[&life::EVENT_TYPE])
}
