//! Whose time it is that the records have.

use super::output;
use super::trace::Trace;
use crate::pipeline::clock;

impl Trace<'_, '_> {
    /// Takes the kernel's time for ours.
    pub(super) fn set_clock(&self) {
        let quiet = self.config.output.quiet;
        match clock::set_by(|| self.loaded.kernel_ns()) {
            Ok(0) => {}
            Ok(ahead_ns) if !quiet => output::tell(&format!(
                "note: in this time namespace CLOCK_MONOTONIC is {:.3} s {}; mono_ns and --time mono are the host's",
                ahead_ns.unsigned_abs() as f64 / 1e9,
                if ahead_ns > 0 { "behind the host's" } else { "ahead of the host's" },
            )),
            Err(error) if !quiet => output::tell(&format!(
                "note: {error:#}: in a time namespace times are wrong by its offset"
            )),
            _ => {}
        }
    }
}
