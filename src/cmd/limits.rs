//! `limits`: where the time of each connection goes.

use anyhow::Result;

use crate::config::Config;
use crate::events::{cong_state, destroy, retransmit, send, state, tcp_probe};
use crate::session;

/// Classifies until the end; returns the exit status.
pub fn run(config: &Config) -> Result<u8> {
    if config.read.is_wanted() {
        let recorded = [
            &tcp_probe::EVENT_TYPE,
            &state::EVENT_TYPE,
            &retransmit::EVENT_TYPE,
            &cong_state::EVENT_TYPE,
            &send::EVENT_TYPE,
        ];
        return session::run(config, &recorded);
    }
    session::run(config, &[&destroy::EVENT_TYPE])
}
