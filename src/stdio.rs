//! Standard output and standard error.
//!
//! Either may be a pipe or a terminal that takes nothing for a while, and whoever else holds it may have set O_NONBLOCK. So we
//! wait until it takes more, or until the user no longer wants to wait (see `session::signals`).

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::escape;

/// What polls as writable takes this much without blocking (PIPE_BUF).
const PIECE: usize = 4096;

/// Readable once nobody wants to wait any more.
static GIVE_UP: OnceLock<OwnedFd> = OnceLock::new();

/// From the moment when that file is readable no wait in here goes on.
pub fn give_up_on(file: OwnedFd) {
    // The first one stays: there is one process, and one who ends it.
    let _ = GIVE_UP.set(file);
}

/// Waits until the file is ready for that. False: nobody wants to wait any more.
#[must_use]
pub fn wait_for(file: BorrowedFd<'_>, ready: PollFlags) -> bool {
    loop {
        let mut files = vec![PollFd::from_borrowed_fd(file, ready)];
        files.extend(GIVE_UP.get().map(|give_up| PollFd::new(give_up, PollFlags::IN)));
        match poll(&mut files, None) {
            Err(Errno::INTR) => {}
            // Errors and hang-ups of the file count as ready: its next call names them.
            _ => return files[0].revents() != PollFlags::empty(),
        }
    }
}

/// Standard output without its line buffer: the sinks write in large pieces and know when.
pub struct Stdout {
    file: File,
    /// It may be full: a pipe, a socket, a terminal.
    waits: bool,
}

impl Stdout {
    /// Another handle on it.
    pub fn new() -> io::Result<Self> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let event_type = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
        let waits = matches!(event_type, FileType::Fifo | FileType::Socket) || file.is_terminal();
        Ok(Stdout { file, waits })
    }

    /// Whether something can be written there now, as far as that can be known without writing.
    pub fn check(&self) -> io::Result<()> {
        // Says whether it is open for writing, and of /dev/full that it is full.
        rustix::io::write(&self.file, &[])?;
        let mut files = [PollFd::new(&self.file, PollFlags::empty())];
        let _ = poll(&mut files, Some(&rustix::event::Timespec::default()));
        if self.waits && files[0].revents().intersects(PollFlags::ERR) {
            return Err(ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.waits { write_piece(self.file.as_fd(), bytes) } else { self.file.write(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As much as is taken at once.
fn write_piece(file: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    loop {
        if !wait_for(file, PollFlags::OUT) {
            return Err(io::Error::new(ErrorKind::TimedOut, "nobody takes it"));
        }
        match rustix::io::write(file, &bytes[..bytes.len().min(PIECE)]) {
            // Somebody else who writes there was faster.
            Err(Errno::AGAIN | Errno::INTR) => {}
            written => return Ok(written?),
        }
    }
}

/// A line on standard error, in one piece: the command that is traced writes there too.
pub fn tell(line: &str) {
    tell_raw(&format!("tcc-trace: {}\n", escape::line(line)));
}

/// Text on standard error. Where that takes nothing there is nobody to tell, and nothing else changes.
pub fn tell_raw(text: &str) {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        match write_piece(io::stderr().as_fd(), rest) {
            Ok(written) if written > 0 => rest = &rest[written..],
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use rustix::fs::{OFlags, fcntl_setfl};

    use super::*;

    /// A reader that starts late, of a pipe that does not block its writer.
    #[test]
    fn a_full_pipe_is_waited_for_with_and_without_nonblock() {
        const LEN: usize = 1 << 20;
        for flags in [OFlags::empty(), OFlags::NONBLOCK] {
            let (mut reader, writer) = io::pipe().unwrap();
            fcntl_setfl(&writer, flags).unwrap();
            let mut out = Stdout { file: File::from(OwnedFd::from(writer)), waits: true };
            let bytes: Vec<u8> = (0..LEN).map(|i| (i % 251) as u8).collect();
            let expected = bytes.clone();
            let written = std::thread::spawn(move || out.write_all(&bytes));
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            written.join().unwrap().unwrap();
            assert!(read == expected);
        }
    }

    #[test]
    fn what_cannot_be_written_is_known_before() {
        let open = |path: &str, write: bool| {
            let file = File::options().read(!write).write(write).open(path).unwrap();
            Stdout { file, waits: false }.check().map_err(|error| error.raw_os_error())
        };
        assert_eq!(open("/dev/null", true), Ok(()));
        assert_eq!(open("/dev/null", false), Err(Some(Errno::BADF.raw_os_error())));
        assert_eq!(open("/dev/full", true), Err(Some(Errno::NOSPC.raw_os_error())));
        let (reader, writer) = io::pipe().unwrap();
        let out = Stdout { file: File::from(OwnedFd::from(writer)), waits: true };
        assert!(out.check().is_ok());
        drop(reader);
        assert_eq!(out.check().unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}
