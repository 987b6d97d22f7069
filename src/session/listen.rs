//! Snapshots of the listening sockets, from which the programs report drops.

use std::time::{Duration, Instant};

use super::output;
use super::scan::SCAN_SHARE;
use super::trace::Trace;
use crate::loader::plan::LISTEN_SCAN;

/// How often snapshots are taken.
pub const TICK: Duration = Duration::from_millis(250);

impl Trace<'_, '_> {
    /// Whether to take snapshots here. A summary takes its own.
    pub(super) fn listen_snapshots(&self) -> bool {
        self.plan.listen_snapshots && self.aggregate.is_none()
    }

    /// Has the programs report drops since the last snapshot; returns when the next one is due.
    pub(super) fn listen_snapshot(&self) -> Option<Instant> {
        let started = Instant::now();
        match self.loaded.scan(LISTEN_SCAN) {
            Ok(()) => Some(started + (started.elapsed() * SCAN_SHARE).max(TICK)),
            Err(error) => {
                if !self.config.output.quiet {
                    output::print_line(&format!(
                        "note: {error:#}; listen_drop is now reported only when a socket stops listening"
                    ));
                }
                None
            }
        }
    }
}
