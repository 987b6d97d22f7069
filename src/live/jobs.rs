//! Job control: Ctrl-Z, `kill -TSTP`, `fg`.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGCONT, SIGTSTP};
use signal_hook::{flag, low_level};

/// The signals of job control that were received.
pub struct Jobs {
    stop: Arc<AtomicBool>,
    wake: UnixStream,
}

impl Jobs {
    pub fn new() -> Result<Self> {
        let stop = Arc::default();
        let (wake, waker) = UnixStream::pair().context("cannot handle signals")?;
        wake.set_nonblocking(true).context("cannot handle signals")?;
        let install = || -> std::io::Result<()> {
            flag::register(SIGTSTP, Arc::clone(&stop))?;
            for signal in [SIGTSTP, SIGCONT] {
                low_level::pipe::register(signal, waker.try_clone()?)?;
            }
            Ok(())
        };
        install().context("cannot handle signals")?;
        Ok(Jobs { stop, wake })
    }

    /// Readable after a signal.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    pub fn drain(&self) {
        let mut bytes = [0; 64];
        while matches!((&self.wake).read(&mut bytes), Ok(n) if n > 0) {}
    }

    /// Whether a stop was requested since the last call. Else the process went on.
    pub fn take_stop(&self) -> bool {
        self.stop.swap(false, Ordering::Relaxed)
    }

    /// Stops the process, as without a handler; returns when it goes on.
    pub fn stop() -> Result<()> {
        low_level::emulate_default_handler(SIGTSTP).context("cannot stop")
    }
}
