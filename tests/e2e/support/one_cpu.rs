//! One CPU for all that happens.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Keeps this thread, and what it starts from now on, on the first CPU. What a program prints from buffers of each CPU is not
/// mixed then.
pub struct OneCpu {
    before: CpuSet,
}

impl OneCpu {
    pub fn new() -> Self {
        let before = sched_getaffinity(None).expect("sched_getaffinity");
        let mut first = CpuSet::new();
        first.set(0);
        sched_setaffinity(None, &first).expect("sched_setaffinity");
        OneCpu { before }
    }
}

impl Drop for OneCpu {
    fn drop(&mut self) {
        let _ = sched_setaffinity(None, &self.before);
    }
}
