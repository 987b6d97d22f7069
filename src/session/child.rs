//! The command whose connections are traced.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use super::output::tell;
use crate::escape;
use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// A running command.
pub struct Child {
    program: String,
    quiet: bool,
    process: std::process::Child,
    pidfd: OwnedFd,
}

/// The command cannot be started: the shell's statuses for it.
#[derive(Debug)]
pub struct CannotStart {
    pub status: u8,
    message: String,
}

impl std::fmt::Display for CannotStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CannotStart {}

impl Child {
    /// Starts it. Its standard output is our standard error: ours carries nothing but data.
    pub fn spawn(program: &OsString, args: &[OsString], quiet: bool) -> Result<Self> {
        let stdout = std::io::stderr()
            .as_fd()
            .try_clone_to_owned()
            .map_or_else(|_| Stdio::null(), Stdio::from);
        let mut process =
            Command::new(program).args(args).stdout(stdout).spawn().map_err(|error| {
                let status = if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
                CannotStart {
                    status,
                    message: format!("cannot start {}: {error}", escape::path(program)),
                }
            })?;
        let pid = i32::try_from(process.id())
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| anyhow!("no pid"))?;
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => {
                let program = escape::path(program);
                Ok(Child { program, quiet, process, pidfd })
            }
            Err(error) => {
                let _ = process.kill();
                let _ = process.wait();
                Err(anyhow!("cannot watch the command (pidfd_open): {error}"))
            }
        }
    }

    /// Readable once it has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Its status, as a shell gives it. If it still runs, the trace ended first: then it is asked to end too, and that is
    /// said.
    pub fn finish(&mut self) -> Result<u8> {
        if self.process.try_wait().context("wait")?.is_none()
            && let Some(pid) = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw)
        {
            // It is our child and not waited for: the pid cannot be another's.
            let _ = kill_process(pid, Signal::TERM);
            if !self.quiet {
                tell(&format!(
                    "note: the trace ended before {}, which is sent SIGTERM",
                    self.program
                ));
            }
        }
        let status = self.process.wait().context("wait")?;
        let code =
            status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
        Ok(u8::try_from(code).unwrap_or(1))
    }
}

/// It does not go on untraced, whatever ended the trace.
impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.finish();
    }
}
