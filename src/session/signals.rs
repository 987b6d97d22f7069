//! Signals that end the trace or request the accounting.
//!
//! One thread handles them and all others block them: the kernel stops verifying a program (EAGAIN) when the loading thread
//! has a pending signal, and libbpf retries only five times.

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
use signal_hook::iterator::Signals as SignalIterator;
use signal_hook::low_level;

use crate::stdio;

/// Handled even if inherited as ignored, as a script's background jobs inherit SIGINT.
const END: [i32; 2] = [SIGINT, SIGTERM];
/// Other signals that terminate by default. Those inherited as ignored (`nohup`) stay ignored.
const ALSO_END: [i32; 10] = [
    SIGHUP, // Unless it reads the configuration again.
    SIGQUIT,
    SIGALRM,
    SIGUSR2, // Unless it seals.
    SIGXCPU,
    SIGVTALRM,
    SIGPROF,
    SIGIO,
    Signal::SIGPWR as i32,
    Signal::SIGSTKFLT as i32,
];
/// Handled only to replace their disposition. If SIGCHLD is ignored the kernel keeps no exit status of the command; without a
/// handler SIGXFSZ would kill the tracer, instead of a write error that ends the trace in order.
const CAUGHT: [i32; 2] = [SIGCHLD, SIGXFSZ];

/// Signals this soon after the first one belong to the same request: `timeout` signals the process and its group. Later ones
/// force the end.
const SAME_REQUEST: Duration = Duration::from_millis(250);
/// How long a forced end may take if the output blocks in a way that cannot be polled (a terminal).
const LAST_RESORT: Duration = Duration::from_secs(2);

static SIGNALS: OnceLock<Signals> = OnceLock::new();

/// The signals received.
pub struct Signals {
    requests: Arc<Requests>,
    wake: UnixStream,
    inherited: Inherited,
}

#[derive(Default)]
struct Requests {
    /// The first signal to end.
    end: AtomicI32,
    /// The signal that forces the end.
    force: AtomicI32,
    /// The next signal forces the end.
    force_by_next: AtomicBool,
    stats: AtomicBool,
    /// SIGUSR2 seals what a flight recorder keeps, in place of ending the trace; and was received.
    seals: AtomicBool,
    seal: AtomicBool,
    /// The same of SIGHUP, which reads the configuration again.
    reloads: AtomicBool,
    reload: AtomicBool,
    /// The command, which the last resort kills.
    command: Mutex<Option<OwnedFd>>,
}

/// The signal mask and dispositions at the start, which the command inherits.
#[derive(Clone)]
pub struct Inherited {
    pub blocked: SigSet,
    pub ignored: Vec<Signal>,
}

impl Signals {
    /// Installs the handlers on the first call, which must come before anything slow.
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
        let all: Vec<i32> = ends.chain([SIGUSR1]).chain(CAUGHT).collect();
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
        let taken = SignalIterator::new(&all)?;
        let mask: SigSet = named(&mut all.iter()).into_iter().collect();
        mask.thread_block()?;
        let requests: Arc<Requests> = Arc::default();
        let thread = Thread { requests: Arc::clone(&requests), waker, force, mask };
        std::thread::Builder::new().spawn(move || thread.run(taken))?;
        Ok(Signals { requests, wake, inherited })
    }

    /// The signal that ended the trace.
    #[must_use]
    pub fn ended_by(&self) -> Option<i32> {
        some(&self.requests.end)
    }

    /// The signal that forced the end.
    #[must_use]
    pub fn forced_by(&self) -> Option<i32> {
        some(&self.requests.force)
    }

    /// The end has begun without a signal: the next signal forces it.
    pub(super) fn force_by_next(&self) {
        self.requests.force_by_next.store(true, Ordering::Relaxed);
    }

    /// Whether the accounting was requested since the last call.
    #[must_use]
    pub fn take_stats(&self) -> bool {
        self.requests.stats.swap(false, Ordering::Relaxed)
    }

    /// From here on SIGUSR2 does not end the trace.
    pub(super) fn seal_by_usr2(&self) {
        self.requests.seals.store(true, Ordering::Relaxed);
    }

    /// Whether a seal was requested since the last call.
    #[must_use]
    pub fn take_seal(&self) -> bool {
        self.requests.seal.swap(false, Ordering::Relaxed)
    }

    /// From here on SIGHUP does not end the trace.
    pub(super) fn reload_by_hup(&self) {
        self.requests.reloads.store(true, Ordering::Relaxed);
    }

    /// Whether the configuration is to be read again since the last call.
    #[must_use]
    pub fn take_reload(&self) -> bool {
        self.requests.reload.swap(false, Ordering::Relaxed)
    }

    #[must_use]
    pub fn inherited(&self) -> &Inherited {
        &self.inherited
    }

    /// Sets the command that the last resort kills.
    pub(super) fn set_command(&self, pidfd: Option<OwnedFd>) {
        *self.requests.command.lock().unwrap_or_else(PoisonError::into_inner) = pidfd;
    }

    /// Readable after a signal.
    #[must_use]
    pub fn file(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    pub fn drain(&self) {
        let mut bytes = [0; 64];
        while matches!((&self.wake).read(&mut bytes), Ok(n) if n > 0) {}
    }
}

fn some(signal: &AtomicI32) -> Option<i32> {
    Some(signal.load(Ordering::Relaxed)).filter(|signal| *signal != 0)
}

/// The status that a shell returns for a process ended by that signal.
#[must_use]
pub fn status(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(1)
}

struct Thread {
    requests: Arc<Requests>,
    waker: UnixStream,
    force: UnixStream,
    mask: SigSet,
}

impl Thread {
    fn run(mut self, mut taken: SignalIterator) {
        // They may be inherited as blocked.
        let _ = self.mask.thread_unblock();
        let mut first: Option<Instant> = None;
        for signal in taken.forever() {
            match (signal, first) {
                (SIGUSR1, _) => self.requests.stats.store(true, Ordering::Relaxed),
                (SIGUSR2, _) if self.requests.seals.load(Ordering::Relaxed) => {
                    self.requests.seal.store(true, Ordering::Relaxed);
                }
                // `snap` may have found a recorder in a configuration file that was changed since the start.
                (SIGUSR2, _) if self.requests.reloads.load(Ordering::Relaxed) => continue,
                (SIGHUP, _) if self.requests.reloads.load(Ordering::Relaxed) => {
                    self.requests.reload.store(true, Ordering::Relaxed);
                }
                (SIGCHLD | SIGXFSZ, _) => continue,
                (_, None) if self.requests.force_by_next.load(Ordering::Relaxed) => {
                    self.force(signal)
                }
                (_, None) => {
                    first = Some(Instant::now());
                    self.requests.end.store(signal, Ordering::Relaxed);
                }
                (_, Some(first)) if first.elapsed() >= SAME_REQUEST => self.force(signal),
                _ => {}
            }
            self.wake();
        }
    }

    fn wake(&mut self) {
        // If it is full, the loop is already being woken.
        let _ = self.waker.write(&[0]);
    }

    fn force(&mut self, signal: i32) -> ! {
        self.requests.force.store(signal, Ordering::Relaxed);
        let _ = self.force.write(&[0]);
        self.wake();
        // Later signals change nothing. No new thread for this, as that could fail.
        std::thread::sleep(LAST_RESORT);
        let command = self.requests.command.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(command) = &*command {
            let _ = pidfd_send_signal(command, rustix::process::Signal::KILL);
        }
        low_level::exit(status(signal).into())
    }
}

/// The ignored signals, a bit each.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bits = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0)
}
