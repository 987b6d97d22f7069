//! The signals that end the trace or ask for the accounting.
//!
//! One thread takes them, and the others block them: the kernel gives up on verifying a program (EAGAIN) when a signal is
//! pending for the thread that loads it, and libbpf tries again only five times.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};
use rustix::process::pidfd_send_signal;
use signal_hook::consts::{
    SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2,
    SIGVTALRM, SIGXCPU, SIGXFSZ,
};
use signal_hook::iterator::Signals as Taken;
use signal_hook::low_level;

use crate::stdio;

/// Taken even where they are inherited as ignored: a script's background jobs have SIGINT so.
const END: [i32; 2] = [SIGINT, SIGTERM];
/// What else would end us without a word; where one is ignored (`nohup`) it stays so.
const ALSO_END: [i32; 10] = [
    SIGHUP,
    SIGQUIT,
    SIGALRM,
    SIGUSR2,
    SIGXCPU,
    SIGVTALRM,
    SIGPROF,
    SIGIO,
    Signal::SIGPWR as i32,
    Signal::SIGSTKFLT as i32,
];
/// For their side effects only. Where SIGCHLD is ignored the kernel keeps no status of the command; without a handler
/// SIGXFSZ ends us where the write's error would end the trace in good order.
const TAKEN: [i32; 2] = [SIGCHLD, SIGXFSZ];

/// What comes so soon after the first request to end is the same request: `timeout` sends its signal to the process
/// and to its group. Later ones come from somebody who does not want to wait.
const SAME_REQUEST: Duration = Duration::from_millis(250);
/// How long a forced end may take where the output is stuck in a way that cannot be polled (a terminal's).
const LAST_RESORT: Duration = Duration::from_secs(2);

static SIGNALS: OnceLock<Signals> = OnceLock::new();

/// What was asked for by signals.
pub struct Signals {
    asked: Arc<Asked>,
    wake: UnixStream,
    inherited: Inherited,
}

#[derive(Default)]
struct Asked {
    /// The first signal to end.
    end: AtomicI32,
    /// One that came later than that.
    force: AtomicI32,
    /// Already the first one does not want to wait.
    force_by_next: AtomicBool,
    stats: AtomicBool,
    /// The command: the last resort ends it, too.
    command: Mutex<Option<OwnedFd>>,
}

/// How signals were handled before: the command gets it so.
#[derive(Clone)]
pub struct Inherited {
    pub blocked: SigSet,
    pub ignored: Vec<Signal>,
}

impl Signals {
    /// From the first call on the signals are ours; so before anything that takes long.
    pub fn start() -> Result<&'static Signals> {
        if let Some(signals) = SIGNALS.get() {
            return Ok(signals);
        }
        let signals = Signals::new().context("cannot handle signals")?;
        Ok(SIGNALS.get_or_init(|| signals))
    }

    fn new() -> Result<Self> {
        let ignored = ignored();
        let is_ignored = |signal: &i32| ignored & (1 << (signal - 1)) != 0;
        let ends = END.into_iter().chain(ALSO_END.into_iter().filter(|signal| !is_ignored(signal)));
        let all: Vec<i32> = ends.chain([SIGUSR1]).chain(TAKEN).collect();
        let named = |numbers: &mut dyn Iterator<Item = &i32>| -> Vec<Signal> {
            numbers.filter_map(|&number| Signal::try_from(number).ok()).collect()
        };
        let inherited = Inherited {
            blocked: SigSet::thread_get_mask()?,
            ignored: named(&mut all.iter().filter(|signal| is_ignored(signal))),
        };
        let (wake, waker) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        waker.set_nonblocking(true)?;
        let (give_up, force) = UnixStream::pair()?;
        stdio::give_up_on(give_up.into());
        let taken = Taken::new(&all)?;
        let mask: SigSet = named(&mut all.iter()).into_iter().collect();
        mask.thread_block()?;
        let asked: Arc<Asked> = Arc::default();
        let thread = Thread { asked: Arc::clone(&asked), waker, force, mask };
        std::thread::Builder::new().spawn(move || thread.run(taken))?;
        Ok(Signals { asked, wake, inherited })
    }

    /// The signal that asked for the end.
    #[must_use]
    pub fn ended_by(&self) -> Option<i32> {
        some(&self.asked.end)
    }

    /// The signal of somebody who does not want to wait for the end.
    #[must_use]
    pub fn forced_by(&self) -> Option<i32> {
        some(&self.asked.force)
    }

    /// The end has begun without a signal, and any that comes from here on is of somebody who does not want to wait.
    pub(super) fn force_by_next(&self) {
        self.asked.force_by_next.store(true, Ordering::Relaxed);
    }

    /// Was the accounting asked for, since the last call?
    #[must_use]
    pub fn take_stats(&self) -> bool {
        self.asked.stats.swap(false, Ordering::Relaxed)
    }

    #[must_use]
    pub fn inherited(&self) -> &Inherited {
        &self.inherited
    }

    /// The command that the last resort must not leave behind.
    pub(super) fn set_command(&self, pidfd: Option<OwnedFd>) {
        *self.asked.command.lock().unwrap_or_else(PoisonError::into_inner) = pidfd;
    }

    /// Readable when one came.
    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    pub(super) fn drain(&self) {
        let mut bytes = [0; 64];
        while matches!((&self.wake).read(&mut bytes), Ok(n) if n > 0) {}
    }
}

fn some(signal: &AtomicI32) -> Option<i32> {
    Some(signal.load(Ordering::Relaxed)).filter(|signal| *signal != 0)
}

/// The shell's status of what a signal has ended.
#[must_use]
pub fn status(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(1)
}

struct Thread {
    asked: Arc<Asked>,
    waker: UnixStream,
    force: UnixStream,
    mask: SigSet,
}

impl Thread {
    fn run(mut self, mut taken: Taken) {
        // They may be inherited as blocked, too.
        let _ = self.mask.thread_unblock();
        let mut first: Option<Instant> = None;
        for signal in taken.forever() {
            match (signal, first) {
                (SIGUSR1, _) => self.asked.stats.store(true, Ordering::Relaxed),
                (SIGCHLD | SIGXFSZ, _) => continue,
                (_, None) if self.asked.force_by_next.load(Ordering::Relaxed) => self.force(signal),
                (_, None) => {
                    first = Some(Instant::now());
                    self.asked.end.store(signal, Ordering::Relaxed);
                }
                (_, Some(first)) if first.elapsed() >= SAME_REQUEST => self.force(signal),
                _ => {}
            }
            self.wake();
        }
    }

    fn wake(&mut self) {
        // Where it is full it wakes already.
        let _ = self.waker.write(&[0]);
    }

    fn force(&mut self, signal: i32) -> ! {
        self.asked.force.store(signal, Ordering::Relaxed);
        let _ = self.force.write(&[0]);
        self.wake();
        // No later signal changes anything; and another thread could be one too many.
        std::thread::sleep(LAST_RESORT);
        let command = self.asked.command.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(command) = &*command {
            let _ = pidfd_send_signal(command, rustix::process::Signal::KILL);
        }
        low_level::exit(status(signal).into())
    }
}

/// The signals that we ignore, as the kernel shows them: a bit each.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bits = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0)
}
