//! The reader's niceness.

use anyhow::{Context, Result, anyhow};
use rustix::process::{getpriority_process, setpriority_process};

/// With all CPUs busy, a reader at niceness 0 does not get enough CPU time to keep up and loses half of the events.
pub const DEFAULT_NICE: i32 = -10;

/// Sets the requested niceness, or the default unless it was already changed or may not be set.
pub fn set(requested: Option<i32>) -> Result<()> {
    let Some(nice) = requested else {
        if getpriority_process(None) == Ok(0) {
            let _ = setpriority_process(None, DEFAULT_NICE);
        }
        return Ok(());
    };
    change(nice)
}

/// Checks that the niceness may be set. On Linux, niceness is per thread: a separate thread tries it, as ours must not change
/// before the command starts, which inherits it.
pub fn check(requested: Option<i32>) -> Result<()> {
    let Some(nice) = requested else {
        return Ok(());
    };
    let tried = std::thread::Builder::new().spawn(move || change(nice)).context("--nice")?;
    tried.join().unwrap_or_else(|_| Err(anyhow!("--nice {nice}: cannot try it")))
}

fn change(nice: i32) -> Result<()> {
    setpriority_process(None, nice).map_err(|error| {
        anyhow!("--nice {nice}: {error}; a lower value than the current one needs CAP_SYS_NICE")
    })
}
