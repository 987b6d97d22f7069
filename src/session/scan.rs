//! Work at intervals: finds owners and layouts that were unknown.

use std::time::{Duration, Instant};

use super::output;
use super::trace::Trace;
use crate::events::ca::ALGORITHMS;
use crate::kernel::{self, Kernel};
use crate::loader::plan::OWNER_SCAN;
use crate::pipeline::Pipeline;

/// How often to check for owner scan requests.
pub const OWNER_TICK: Duration = Duration::from_millis(100);
/// How often to check for modules that were not loaded at the start.
pub(super) const MODULE_TICK: Duration = Duration::from_secs(1);
/// Scans of all open files may take at most one part in this many of the time.
pub const SCAN_SHARE: u32 = 20;

/// Algorithms whose module is not loaded.
pub(super) fn missing_modules() -> Vec<&'static str> {
    ALGORITHMS
        .iter()
        .filter(|algorithm| !kernel::is_loaded(algorithm))
        .map(|algorithm| algorithm.name)
        .collect()
}

impl Trace<'_, '_> {
    /// Scans open files again if the owner of a sample was unknown; returns when to check next.
    pub(super) fn serve_owner_scans(&self, handled: &mut u32) -> Option<Instant> {
        let started = Instant::now();
        let requests = self.loaded.owner_scan_requests();
        if requests != *handled {
            *handled = requests;
            if !self.scan_owners() {
                return None;
            }
        }
        Some(started + (started.elapsed() * SCAN_SHARE).max(OWNER_TICK))
    }

    /// Scans the open files of all processes for owners; false if that fails, and need not be tried again.
    pub(super) fn scan_owners(&self) -> bool {
        let scanned = self.loaded.scan(OWNER_SCAN);
        if let Err(error) = &scanned
            && !self.config.output.quiet
        {
            output::print_line(&format!(
                "note: {error:#}; owners are now found only when a process connects, sends or receives"
            ));
        }
        scanned.is_ok()
    }

    /// Reads the layouts of algorithm modules loaded since the start; returns when to check next.
    pub(super) fn check_modules(
        &self,
        pipeline: &mut Pipeline<'_>,
        missing: &mut Vec<&'static str>,
    ) -> Option<Instant> {
        let now = missing_modules();
        if now != *missing {
            let kernel = Kernel::new(self.config.kernel_options.btf.as_deref());
            pipeline.set_layouts(kernel.ca_layouts());
            *missing = now;
        }
        (!missing.is_empty()).then(|| Instant::now() + MODULE_TICK)
    }
}
