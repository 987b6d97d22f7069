//! Output buffering: lines are collected and written in large pieces, with a count of the bytes written.

use std::io::{self, ErrorKind, Write};
use std::ops::{Deref, DerefMut};

/// The size at which the buffer is written.
const PIECE: usize = 60 * 1024;

/// Bytes of output so far, and those written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub made: u64,
    pub written: u64,
}

/// The sinks' output buffer: a vector of the bytes not written yet.
pub(super) struct Out<W: Write> {
    to: W,
    buffer: Vec<u8>,
    written: u64,
}

impl<W: Write> Deref for Out<W> {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.buffer
    }
}

impl<W: Write> DerefMut for Out<W> {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }
}

impl<W: Write> Out<W> {
    pub(super) fn new(to: W) -> Self {
        Out { to, buffer: Vec::with_capacity(PIECE + 4 * 1024), written: 0 }
    }

    /// Called after each line.
    pub(super) fn line(&mut self) -> io::Result<()> {
        if self.buffer.len() >= PIECE { self.flush() } else { Ok(()) }
    }

    /// Writes everything so far. After an error, the bytes already written are not repeated.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let mut rest = &self.buffer[..];
        let mut done = Ok(());
        while done.is_ok() && !rest.is_empty() {
            match self.to.write(rest) {
                Ok(0) => done = Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    rest = &rest[count..];
                    self.written += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => done = Err(error),
            }
        }
        let left = rest.len();
        self.buffer.drain(..self.buffer.len() - left);
        done.and_then(|()| self.to.flush())
    }

    pub(super) fn progress(&self) -> Progress {
        Progress { made: self.written + self.buffer.len() as u64, written: self.written }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with room for a number of bytes. Each call takes three, and every other one is interrupted.
    struct Disk {
        room: usize,
        interrupt: bool,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.interrupt = !self.interrupt;
            if self.interrupt {
                return Err(ErrorKind::Interrupted.into());
            }
            let count = bytes.len().min(3).min(self.room);
            self.room -= count;
            if count == 0 { Err(ErrorKind::StorageFull.into()) } else { Ok(count) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_written_is_known_to_the_byte() {
        let mut out = Out::new(Disk { room: 14, interrupt: false });
        out.extend_from_slice(b"0123456\n");
        assert_eq!(out.progress(), Progress { made: 8, written: 0 });
        out.flush().unwrap();
        assert_eq!(out.progress(), Progress { made: 8, written: 8 });
        out.extend_from_slice(b"0123456\n");
        assert_eq!(out.flush().unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(out.progress(), Progress { made: 16, written: 14 });
    }
}
