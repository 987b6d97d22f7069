//! `export`: the totals of `observe` as metrics for Prometheus.

use anyhow::Result;

use super::observe::event_types;
use crate::config::Config;
use crate::session;

/// Serves them until the end; returns the exit status.
pub fn run(config: &Config) -> Result<u8> {
    let observe = config.summary.as_ref().and_then(|summary| summary.rows.observe());
    session::run(config, &observe.map(event_types).unwrap_or_default())
}
