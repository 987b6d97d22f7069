//! The reader's share of a busy machine's CPUs.

use anyhow::{Context, Result, anyhow};
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
    change(nice)
}

/// Whether that will be allowed. A thread of its own tries it: on Linux a niceness is a thread's, and ours must not change
/// before the command is started, which inherits it.
pub fn check(asked: Option<i32>) -> Result<()> {
    let Some(nice) = asked else {
        return Ok(());
    };
    let tried = std::thread::Builder::new().spawn(move || change(nice)).context("--nice")?;
    tried.join().unwrap_or_else(|_| Err(anyhow!("--nice {nice} cannot be tried")))
}

fn change(nice: i32) -> Result<()> {
    setpriority_process(None, nice)
        .map_err(|error| anyhow!("--nice {nice}: {error}; less than now takes CAP_SYS_NICE"))
}
