//! The reader's share of a busy machine's CPUs.

use anyhow::{Result, anyhow};
use rustix::process::{getpriority_process, setpriority_process};

/// Where every CPU is taken, a reader of ordinary weight does not get the time to keep up with the events of those that
/// take them, and loses half of them. With this one a small share of the time is enough.
pub const DEFAULT_NICE: i32 = -10;

/// Takes the niceness that was asked for. Without one the default, unless somebody chose one already or we may not:
/// then it stays as it is.
pub fn set(asked: Option<i32>) -> Result<()> {
    let Some(nice) = asked else {
        if getpriority_process(None) == Ok(0) {
            let _ = setpriority_process(None, DEFAULT_NICE);
        }
        return Ok(());
    };
    setpriority_process(None, nice)
        .map_err(|error| anyhow!("--nice {nice}: {error}; less than now takes CAP_SYS_NICE"))
}
