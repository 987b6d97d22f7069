//! The terminal: taken over, written without ever blocking, and restored whatever ends the program.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::panic;
use std::rc::Rc;
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::config::Usage;

/// The longest time that the restoring of a slow terminal is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// A frame that is not written by then is followed by no other.
const MOST_PENDING: usize = 1 << 20;

/// The screen of a terminal that was taken over, for a panic.
static TAKEN: Mutex<Option<File>> = Mutex::new(None);

/// Bytes that the terminal has not taken yet.
#[derive(Clone, Default)]
struct Pending(Rc<RefCell<Vec<u8>>>);

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A terminal that was taken over. Dropping it restores it.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Pending>>,
    pending: Pending,
    file: File,
}

/// Checks that there is a terminal for keys and for the screen.
pub fn check() -> Result<()> {
    let (input, output) = (io::stdin().is_terminal(), io::stdout().is_terminal());
    if !input || !output || std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
        let what = match (input, output) {
            (_, false) => "standard output is not a terminal",
            (false, _) => "standard input is not a terminal",
            _ => "TERM=dumb has no cursor",
        };
        bail!(Usage(format!("live needs a terminal: {what}; to print tables, use tcc-trace top")));
    }
    Ok(())
}

/// Whether colours are wanted.
#[must_use]
pub fn has_colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The terminal by a description of our own, which can be non-blocking without effect on others.
fn open() -> io::Result<File> {
    let flags = OFlags::NONBLOCK.union(OFlags::NOCTTY).bits().cast_signed();
    let open = |path: &str| OpenOptions::new().write(true).custom_flags(flags).open(path);
    open("/proc/self/fd/1").or_else(|_| open("/dev/tty"))
}

impl Screen {
    /// Takes the terminal over.
    pub fn enter() -> Result<Self> {
        let file = open().context("cannot open the terminal")?;
        restore_on_panic();
        let copy = file.try_clone().context("cannot open the terminal")?;
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(copy);
        let pending = Pending::default();
        let terminal = Terminal::new(CrosstermBackend::new(pending.clone()));
        let terminal = terminal.context("cannot use the terminal")?;
        let mut screen = Screen { terminal, pending, file };
        screen.take()?;
        Ok(screen)
    }

    /// Takes it over, at the start or after a stop; the whole screen is drawn with the next frame.
    pub fn take(&mut self) -> Result<()> {
        enable_raw_mode().context("cannot use the terminal")?;
        execute!(self.pending, EnterAlternateScreen, Hide).context("cannot use the terminal")?;
        self.redraw()
    }

    /// Draws everything with the next frame.
    pub fn redraw(&mut self) -> Result<()> {
        // Not `clear`, which reads the place of the cursor from the terminal.
        let size = self.terminal.size().context("cannot use the terminal")?;
        self.terminal.resize(size.into()).context("cannot use the terminal")
    }

    /// Gives it back, before a stop and at the end.
    pub fn leave(&mut self) {
        // A frame that was written in part is of no use any more.
        self.pending.0.borrow_mut().clear();
        restore(&self.file);
    }

    /// Draws a frame, unless the terminal still has to take the last one. The error: it has gone away.
    pub fn draw(&mut self, draw: impl FnOnce(&mut ratatui::Frame<'_>)) -> io::Result<()> {
        if self.flush()? {
            self.terminal.draw(draw)?;
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what the terminal takes at once; whether that was all.
    pub fn flush(&mut self) -> io::Result<bool> {
        let mut pending = self.pending.0.borrow_mut();
        let mut written = 0;
        let result = loop {
            if written == pending.len() {
                break Ok(());
            }
            match rustix::io::write(&self.file, &pending[written..]) {
                Ok(0) | Err(Errno::AGAIN) => break Ok(()),
                Ok(more) => written += more,
                Err(Errno::INTR) => {}
                Err(error) => break Err(error),
            }
        };
        pending.drain(..written);
        if pending.len() > MOST_PENDING {
            return Err(io::ErrorKind::TimedOut.into());
        }
        result?;
        Ok(pending.is_empty())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.leave();
        TAKEN.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Whether nobody is at the other end of the terminal any more.
#[must_use]
pub fn has_gone() -> bool {
    let stdin = io::stdin();
    let mut files = [PollFd::new(&stdin, PollFlags::empty())];
    let _ = poll(&mut files, Some(&Timespec::default()));
    files[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)
}

/// Leaves the screen and raw mode; a terminal that takes nothing is given up after a while.
fn restore(file: &File) {
    let mut bytes = Vec::new();
    let _ = execute!(bytes, LeaveAlternateScreen, Show);
    let deadline = Instant::now() + PATIENCE;
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        match rustix::io::write(file, rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if Instant::now() < deadline => {
                let tick = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
                let _ = poll(&mut [PollFd::new(file, PollFlags::OUT)], Some(&tick));
            }
            Err(_) => break,
        }
    }
    let _ = disable_raw_mode();
}

/// The message of a panic is printed on the restored terminal.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if let Some(file) = &*TAKEN.lock().unwrap_or_else(PoisonError::into_inner) {
                restore(file);
            }
            print(info);
        }));
    });
}
