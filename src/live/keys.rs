//! Keys, read by a thread of their own: reading waits for the rest of an escape sequence, which may never come.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use anyhow::{Context, Result};
use ratatui::crossterm::event::{self, Event, KeyEvent};

/// Keys that wait at most; then the terminal keeps them.
const MOST: usize = 64;

/// The keys that were pressed.
pub struct Keys {
    pressed: Receiver<KeyEvent>,
    wake: UnixStream,
}

impl Keys {
    /// The thread ends with the terminal, or with the process.
    pub fn start() -> Result<Self> {
        let (wake, waker) = UnixStream::pair().context("cannot read keys")?;
        wake.set_nonblocking(true).context("cannot read keys")?;
        waker.set_nonblocking(true).context("cannot read keys")?;
        let (sender, pressed) = sync_channel(MOST);
        let read = move || read(&sender, waker);
        thread::Builder::new().spawn(read).context("cannot read keys")?;
        Ok(Keys { pressed, wake })
    }

    /// Readable after a key.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// The keys since the last call.
    pub fn take(&self) -> Vec<KeyEvent> {
        let mut bytes = [0; 64];
        while matches!((&self.wake).read(&mut bytes), Ok(n) if n > 0) {}
        self.pressed.try_iter().collect()
    }
}

fn read(pressed: &SyncSender<KeyEvent>, mut waker: UnixStream) {
    while let Ok(event) = event::read() {
        let Event::Key(key) = event else { continue };
        if pressed.send(key).is_err() {
            return;
        }
        // If it is full, the loop is already being woken.
        let _ = waker.write(&[0]);
    }
}
