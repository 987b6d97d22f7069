//! The command whose connections are traced.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow};
use rustix::event::PollFlags;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::signals::{self, Signals};
use crate::escape;
use crate::loader::files;
use crate::skel::start_as_inherited;
use crate::stdio::{tell, wait_for};

/// A running command.
pub struct Child {
    program: String,
    quiet: bool,
    signals: &'static Signals,
    process: std::process::Child,
    pidfd: OwnedFd,
    /// It was sent SIGTERM.
    told_to_end: bool,
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
    pub fn spawn(
        program: &OsString,
        args: &[OsString],
        signals: &'static Signals,
        quiet: bool,
    ) -> Result<Self> {
        let stdout = std::io::stderr()
            .as_fd()
            .try_clone_to_owned()
            .map_or_else(|_| Stdio::null(), Stdio::from);
        let mut command = Command::new(program);
        command.args(args).stdout(stdout);
        let inherited = signals.inherited();
        start_as_inherited(&mut command, inherited.blocked, &inherited.ignored, files::inherited());
        let mut process = command.spawn().map_err(|error| {
            let status = if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
            let message = format!("cannot start {}: {error}", escape::path(program));
            CannotStart { status, message }
        })?;
        let pid = i32::try_from(process.id())
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| anyhow!("no pid"))?;
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => {
                let program = escape::path(program);
                signals.set_command(pidfd.try_clone().ok());
                Ok(Child { program, quiet, signals, process, pidfd, told_to_end: false })
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

    /// Sends it SIGTERM, once. It is traced until it has ended.
    pub fn tell_to_end(&mut self) {
        if self.send_term() && !self.quiet {
            tell(&format!("note: asked to end before {}, which is sent SIGTERM", self.program));
        }
    }

    /// False: it was sent that before.
    fn send_term(&mut self) -> bool {
        let first = !std::mem::replace(&mut self.told_to_end, true);
        if first {
            let _ = pidfd_send_signal(&self.pidfd, Signal::TERM);
            // While it is stopped it does not see that.
            let _ = pidfd_send_signal(&self.pidfd, Signal::CONT);
        }
        first
    }

    /// Never unnoticed, not even where nothing but errors is asked for.
    fn warn_of_untraced(&self, sent: bool) {
        let sent = if sent { "is sent SIGTERM" } else { "was sent SIGTERM before" };
        tell(&format!(
            "warning: the trace ended before {}, which {sent}; until it ends it runs untraced",
            self.program
        ));
    }

    /// Its status, as a shell gives it, once it has ended. If it still runs, the trace ended first: then it is told to end
    /// too. It is killed where somebody does not want to wait for that; then the status is that of their signal.
    pub fn finish(&mut self) -> Result<u8> {
        if self.process.try_wait().context("wait")?.is_none() {
            // It has been told to end: whoever asks now does so for the second time.
            self.signals.force_by_next();
            let sent = self.send_term();
            if self.signals.forced_by().is_none() {
                self.warn_of_untraced(sent);
            }
        }
        let ended = wait_for(self.pidfd(), PollFlags::IN);
        if !ended {
            let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
            if !self.quiet {
                tell(&format!("note: {} did not end, and is killed", self.program));
            }
        }
        let status = self.process.wait().context("wait")?;
        self.signals.set_command(None);
        if let Some(signal) = self.signals.forced_by().filter(|_| !ended) {
            return Ok(signals::status(signal));
        }
        let code =
            status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
        Ok(u8::try_from(code).unwrap_or(1))
    }

    #[must_use]
    pub fn program(&self) -> &str {
        &self.program
    }
}

/// It does not go on untraced, whatever ended the trace.
impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.finish();
    }
}
