//! Snapshots of the listening sockets, from which the programs report what has been dropped.

use std::time::{Duration, Instant};

use super::output;
use super::trace::{SCAN_SHARE, Trace};
use crate::loader::plan::LISTEN_SCAN;

/// How often they are taken.
pub const TICK: Duration = Duration::from_millis(250);

impl Trace<'_, '_> {
    /// Are they ours to take? A summary takes them itself.
    pub(super) fn listen_snapshots(&self) -> bool {
        self.plan.listen_snapshots && self.aggregate.is_none()
    }

    /// Has the programs report what listening sockets have dropped since the last time; returns when to do so next.
    pub(super) fn listen_snapshot(&self) -> Option<Instant> {
        let started = Instant::now();
        match self.loaded.scan(LISTEN_SCAN) {
            Ok(()) => Some(started + (started.elapsed() * SCAN_SHARE).max(TICK)),
            Err(error) => {
                if !self.config.output.quiet {
                    output::tell(&format!(
                        "note: {error:#}: from now on listen_drop is reported only when a socket stops listening"
                    ));
                }
                None
            }
        }
    }
}
