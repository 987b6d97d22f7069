//! The loop's waits: for records, signals, the exit of the command, and the closing of the output.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::epoll;
use rustix::fs::FileType;

use super::child::Child;
use super::signals::Signals;
use crate::loader::source::Source;

const RING: u64 = 0;
const SIGNAL: u64 = 1;
const CHILD: u64 = 2;
const OUTPUT: u64 = 3;

/// Whether it is a pipe or a socket. A file has no reader, and a terminal that closes sends a signal.
fn has_reader(output: BorrowedFd<'_>) -> bool {
    rustix::fs::fstat(output).is_ok_and(|stat| {
        matches!(FileType::from_raw_mode(stat.st_mode), FileType::Fifo | FileType::Socket)
    })
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeReason {
    Records,
    Other,
}

/// The loop's epoll.
pub struct Waiter<'s> {
    epoll: OwnedFd,
    signals: &'s Signals,
    child_ended: AtomicBool,
    reader_gone: AtomicBool,
}

impl<'s> Waiter<'s> {
    pub fn new(ring: Option<BorrowedFd<'_>>, signals: &'s Signals) -> Result<Self> {
        let waiter = Waiter {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll")?,
            signals,
            child_ended: AtomicBool::new(false),
            reader_gone: AtomicBool::new(false),
        };
        if let Some(ring) = ring {
            waiter.add(ring, RING, epoll::EventFlags::IN | epoll::EventFlags::ET)?;
        }
        waiter.add(signals.file(), SIGNAL, epoll::EventFlags::IN)?;
        let stdout = std::io::stdout();
        if has_reader(stdout.as_fd()) {
            // EPOLLERR and EPOLLHUP are always reported.
            waiter.add(stdout.as_fd(), OUTPUT, epoll::EventFlags::empty())?;
        }
        Ok(waiter)
    }

    /// Adds the command, whose exit ends a wait.
    pub fn add_child(&self, child: &Child) -> Result<()> {
        self.add(child.pidfd(), CHILD, epoll::EventFlags::IN)
    }

    fn add(&self, fd: BorrowedFd<'_>, data: u64, flags: epoll::EventFlags) -> Result<()> {
        epoll::add(&self.epoll, fd, epoll::EventData::new_u64(data), flags).context("epoll")
    }

    /// Waits until something happens, or until the limit.
    pub fn wait(&self, source: &Source<'_>, limit: Duration) -> Result<WakeReason> {
        let mut events = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }; 4];
        let limit = if source.ring_fd().is_some() {
            limit
        } else {
            // libbpf waits for perf buffers; everything else is polled in between.
            source.wait_perf(limit.min(Duration::from_millis(50)));
            Duration::ZERO
        };
        let timeout = rustix::event::Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        };
        // Only Linux 5.11 and newer take nanoseconds here; rustix falls back to milliseconds.
        let count = match epoll::wait(&self.epoll, &mut events[..], Some(&timeout)) {
            Ok(count) => count,
            Err(rustix::io::Errno::INTR) => 0,
            Err(error) => return Err(error).context("epoll"),
        };
        let mut reason = WakeReason::Other;
        for event in &events[..count] {
            match event.data.u64() {
                RING => reason = WakeReason::Records,
                SIGNAL => self.signals.drain(),
                CHILD => self.child_ended.store(true, Ordering::Relaxed),
                OUTPUT => self.reader_gone.store(true, Ordering::Relaxed),
                _ => {}
            }
        }
        Ok(reason)
    }

    /// Whether the command has exited.
    #[must_use]
    pub fn child_ended(&self) -> bool {
        self.child_ended.load(Ordering::Relaxed)
    }

    /// Whether the output was closed by its reader.
    #[must_use]
    pub fn reader_gone(&self) -> bool {
        self.reader_gone.load(Ordering::Relaxed)
    }
}
