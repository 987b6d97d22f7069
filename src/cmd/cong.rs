//! `cong`: changes of congestion state and the time in each; as events or sums.

use anyhow::Result;

use crate::config::Config;
use crate::events::cong_state;
use crate::session;

/// Traces until the end; returns the exit status.
pub fn run(config: &Config) -> Result<u8> {
    session::run(config, &[&cong_state::EVENT_TYPE])
}
