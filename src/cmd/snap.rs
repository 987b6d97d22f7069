//! `snap`: asks a flight recorder to seal what it keeps.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Sends SIGUSR2, which would end any other tcc-trace.
pub fn run(pid: i32) -> Result<u8> {
    let cannot = || format!("cannot signal process {pid}");
    let Some(raw) = Pid::from_raw(pid).filter(|_| pid > 0) else {
        bail!("{pid} is not a process ID");
    };
    let process = pidfd_open(raw, PidfdFlags::empty()).with_context(cannot)?;
    // Whose process that is cannot change any more.
    let path = format!("/proc/{pid}/cmdline");
    let command = std::fs::read(&path).with_context(|| format!("cannot read {path}"))?;
    if !is_flight_recorder(&command) {
        bail!("process {pid} is not tcc-trace with --flight");
    }
    pidfd_send_signal(process, Signal::USR2).with_context(cannot)?;
    Ok(0)
}

/// By its command line, as in /proc/PID/cmdline.
fn is_flight_recorder(command: &[u8]) -> bool {
    let mut args = command.split(|byte| *byte == 0);
    let program = args.next().map(|path| Path::new(std::ffi::OsStr::from_bytes(path)));
    let is_ours = program
        .and_then(Path::file_name)
        .is_some_and(|name| name.as_bytes().starts_with(env!("CARGO_PKG_NAME").as_bytes()));
    is_ours
        && args
            .take_while(|arg| *arg != b"--")
            .any(|arg| arg == b"--flight" || arg.starts_with(b"--flight="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flight_recorder_is_known_by_its_command_line() {
        let is = |command: &str| is_flight_recorder(command.replace(' ', "\0").as_bytes());
        assert!(is("tcc-trace record --flight 1min"));
        assert!(is("/usr/bin/tcc-trace --flight=5s -w a"));
        for other in ["tcc-trace record", "tcc-trace -w a -- x --flight 1s", "cat --flight 1s", ""]
        {
            assert!(!is(other), "{other}");
        }
    }
}
