//! The clock of the records.

use super::output;
use super::trace::Trace;
use crate::pipeline::clock;

impl Trace<'_, '_> {
    /// Switches to the host's clock, which the records use.
    pub(super) fn set_clock(&self) {
        let quiet = self.config.output.quiet;
        match clock::set_by(|| self.loaded.kernel_ns()) {
            Ok(0) => {}
            Ok(ahead_ns) if !quiet => output::print_line(&format!(
                "note: in this time namespace CLOCK_MONOTONIC is {:.3} s {}; mono_ns and --time mono show the host's",
                ahead_ns.unsigned_abs() as f64 / 1e9,
                if ahead_ns > 0 { "behind the host's" } else { "ahead of the host's" },
            )),
            Err(error) if !quiet => output::print_line(&format!(
                "note: {error:#}; in a time namespace, times are off by its clock offset"
            )),
            _ => {}
        }
    }
}
