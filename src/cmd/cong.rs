//! `cong`: the senders' recovery states, and how long each lasted; or the sums of that.

use anyhow::Result;

use crate::config::Config;
use crate::events::cong_state;
use crate::session;

/// Traces until the end; the exit status.
pub fn run(config: &Config) -> Result<u8> {
    session::run(config, &[&cong_state::EVENT_TYPE])
}
