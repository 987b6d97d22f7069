//! What the loop waits for: records, signals, the end of the command, that of whoever reads the output.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::epoll;
use rustix::fs::FileType;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::{flag, low_level};

use super::child::Child;
use crate::loader::source::Source;

const RING: u64 = 0;
const SIGNAL: u64 = 1;
const CHILD: u64 = 2;
const OUTPUT: u64 = 3;

/// SIGINT, SIGTERM and, but under `nohup`, SIGHUP end the trace, SIGUSR1 asks for the books. A flag each, and a socket that wakes.
pub struct Signals {
    stop: Arc<AtomicBool>,
    stats: Arc<AtomicBool>,
    wake: UnixStream,
}

/// What comes so soon after the first request to end is the same request: `timeout` sends its signal to the process
/// and to its group. Later ones come from somebody who does not want to wait for a stuck output, and end us at once.
const SAME_REQUEST: Duration = Duration::from_millis(250);

impl Signals {
    /// From here on the signals are ours; so before anything is loaded.
    pub fn new() -> Result<Self> {
        let (wake, ring) = UnixStream::pair().context("cannot handle signals")?;
        wake.set_nonblocking(true)?;
        let signals = Signals { stop: Arc::default(), stats: Arc::default(), wake };
        let (mut asked, ask) = UnixStream::pair().context("cannot handle signals")?;
        let force = Arc::new(AtomicBool::new(false));
        let hangup = (!hangup_ignored()).then_some(SIGHUP);
        for signal in [SIGINT, SIGTERM].into_iter().chain(hangup) {
            // First of all: from here on the signal does nothing else any more.
            flag::register(signal, Arc::clone(&signals.stop))?;
            low_level::pipe::register(signal, ring.try_clone()?)?;
            low_level::pipe::register(signal, ask.try_clone()?)?;
            flag::register_conditional_shutdown(signal, 130, Arc::clone(&force))?;
        }
        // A thread, for the loop may be what is stuck.
        std::thread::Builder::new()
            .spawn(move || {
                if asked.read_exact(&mut [0]).is_ok() {
                    std::thread::sleep(SAME_REQUEST);
                    force.store(true, Ordering::Relaxed);
                }
            })
            .context("cannot handle signals")?;
        flag::register(SIGUSR1, Arc::clone(&signals.stats))?;
        low_level::pipe::register(SIGUSR1, ring)?;
        Ok(signals)
    }

    /// Was the end asked for?
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Were the books asked for, since the last call?
    #[must_use]
    pub fn take_stats(&self) -> bool {
        self.stats.swap(false, Ordering::Relaxed)
    }

    fn drain(&self) {
        let mut bytes = [0; 64];
        while matches!((&self.wake).read(&mut bytes), Ok(n) if n > 0) {}
    }
}

/// Were we started by `nohup`?
fn hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bits = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .is_some_and(|bits| bits & (1 << (SIGHUP - 1)) != 0)
}

/// Is it a pipe or a socket? A file has no other end, and a terminal's tells by a signal.
fn has_reader(output: BorrowedFd<'_>) -> bool {
    rustix::fs::fstat(output).is_ok_and(|stat| {
        matches!(FileType::from_raw_mode(stat.st_mode), FileType::Fifo | FileType::Socket)
    })
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    ByRecords,
    Otherwise,
}

/// The loop's epoll.
pub struct Waiter<'s> {
    epoll: OwnedFd,
    signals: &'s Signals,
    child_ended: AtomicBool,
    reader_gone: AtomicBool,
}

impl<'s> Waiter<'s> {
    pub fn new(
        ring: Option<BorrowedFd<'_>>,
        signals: &'s Signals,
        child: Option<&Child>,
    ) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll")?;
        let add = |fd: BorrowedFd<'_>, data: u64, flags: epoll::EventFlags| {
            epoll::add(&epoll, fd, epoll::EventData::new_u64(data), flags).context("epoll")
        };
        if let Some(ring) = ring {
            add(ring, RING, epoll::EventFlags::IN | epoll::EventFlags::ET)?;
        }
        add(signals.wake.as_fd(), SIGNAL, epoll::EventFlags::IN)?;
        if let Some(child) = child {
            add(child.pidfd(), CHILD, epoll::EventFlags::IN)?;
        }
        let stdout = std::io::stdout();
        if has_reader(stdout.as_fd()) {
            // That the other end is closed is told unasked.
            add(stdout.as_fd(), OUTPUT, epoll::EventFlags::empty())?;
        }
        Ok(Waiter {
            epoll,
            signals,
            child_ended: AtomicBool::new(false),
            reader_gone: AtomicBool::new(false),
        })
    }

    /// Until something happens, or the time is over.
    pub fn wait(&self, source: &Source<'_>, limit: Duration) -> Result<Woken> {
        let mut events = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }; 4];
        let limit = if source.ring_fd().is_some() {
            limit
        } else {
            // Perf buffers are waited for by libbpf; the rest is looked at in between.
            source.wait_perf(limit.min(Duration::from_millis(50)));
            Duration::ZERO
        };
        let timeout = rustix::event::Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        };
        // Only newer kernels (5.11) have nanoseconds here; rustix falls back to whole milliseconds.
        let count = match epoll::wait(&self.epoll, &mut events[..], Some(&timeout)) {
            Ok(count) => count,
            Err(rustix::io::Errno::INTR) => 0,
            Err(error) => return Err(error).context("epoll"),
        };
        let mut woken = Woken::Otherwise;
        for event in &events[..count] {
            match event.data.u64() {
                RING => woken = Woken::ByRecords,
                SIGNAL => self.signals.drain(),
                CHILD => self.child_ended.store(true, Ordering::Relaxed),
                OUTPUT => self.reader_gone.store(true, Ordering::Relaxed),
                _ => {}
            }
        }
        Ok(woken)
    }

    /// Has the command ended?
    #[must_use]
    pub fn child_ended(&self) -> bool {
        self.child_ended.load(Ordering::Relaxed)
    }

    /// Is there nobody any more who would read the output?
    #[must_use]
    pub fn reader_gone(&self) -> bool {
        self.reader_gone.load(Ordering::Relaxed)
    }
}
