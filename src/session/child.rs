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
use crate::stdio::{print_line, wait_for};

/// A running command.
pub struct Child {
    program: String,
    quiet: bool,
    signals: &'static Signals,
    process: std::process::Child,
    pidfd: OwnedFd,
    /// SIGTERM was sent.
    term_sent: bool,
}

/// The command cannot be started; `status` is what a shell returns.
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
    /// Starts the command. Its standard output goes to our standard error, as ours is for data only.
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
                Ok(Child { program, quiet, signals, process, pidfd, term_sent: false })
            }
            Err(error) => {
                let _ = process.kill();
                let _ = process.wait();
                Err(anyhow!("cannot watch the command: pidfd_open: {error}"))
            }
        }
    }

    /// Readable once it has exited.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Sends SIGTERM, once. The command is traced until it exits.
    pub fn terminate(&mut self) {
        if self.send_term() && !self.quiet {
            print_line(&format!(
                "note: sent SIGTERM to {}; the trace ends when it exits",
                self.program
            ));
        }
    }

    /// False: SIGTERM was sent before.
    fn send_term(&mut self) -> bool {
        let first = !std::mem::replace(&mut self.term_sent, true);
        if first {
            let _ = pidfd_send_signal(&self.pidfd, Signal::TERM);
            // A stopped process does not handle signals.
            let _ = pidfd_send_signal(&self.pidfd, Signal::CONT);
        }
        first
    }

    /// Printed even with --quiet.
    fn warn_untraced(&self, sent: bool) {
        let sent = if sent { "SIGTERM was sent to it" } else { "it had been sent SIGTERM" };
        print_line(&format!(
            "warning: the trace ended before {} exited; {sent}, and it runs untraced until it exits",
            self.program
        ));
    }

    /// Waits for the command to exit and returns its status as a shell would. If it still runs, as the trace ended first, it is
    /// sent SIGTERM. If the user forces the end it is killed, and the status is that of the user's signal.
    pub fn finish(&mut self) -> Result<u8> {
        if self.process.try_wait().context("cannot wait for the command")?.is_none() {
            // It was already asked to exit, so the next signal forces the end.
            self.signals.force_by_next();
            let sent = self.send_term();
            if self.signals.forced_by().is_none() {
                self.warn_untraced(sent);
            }
        }
        let ended = wait_for(self.pidfd(), PollFlags::IN);
        if !ended {
            let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
            if !self.quiet {
                print_line(&format!("note: {} did not exit: sent SIGKILL", self.program));
            }
        }
        let status = self.process.wait().context("cannot wait for the command")?;
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

/// The command must not continue untraced, whatever ended the trace.
impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.finish();
    }
}
