//! `export`: the totals of `observe` as metrics for Prometheus.

use anyhow::Result;

use super::observe::event_types;
use crate::config::{Config, Reload};
use crate::session;

/// Serves them until the end; returns the exit status. `reload`: what reads the configuration again.
pub fn run(mut config: Config, reload: Option<Reload>) -> Result<u8> {
    if let Some(export) = &mut config.export {
        export.reload = reload;
    }
    let observe = config.summary.as_ref().and_then(|summary| summary.rows.observe());
    session::run(&config, &observe.map(event_types).unwrap_or_default())
}
