//! Standard error, and the files that output is written to.
//!
//! Any may be a pipe or a terminal that is full for a while, and another process that shares it may have set O_NONBLOCK. So
//! writes wait until it is writable, or until the user forces the end (see `session::signals`).

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::escape;

/// A writable pipe takes this much without blocking (PIPE_BUF).
const PIECE: usize = 4096;

/// Becomes readable when the user forces the end.
static GIVE_UP: OnceLock<OwnedFd> = OnceLock::new();

/// Ends all waits in this module once that file is readable.
pub fn give_up_on(file: OwnedFd) {
    let _ = GIVE_UP.set(file);
}

/// Waits until the file is ready. False: the user forced the end.
#[must_use]
pub fn wait_for(file: BorrowedFd<'_>, ready: PollFlags) -> bool {
    loop {
        let mut files = vec![PollFd::from_borrowed_fd(file, ready)];
        files.extend(GIVE_UP.get().map(|give_up| PollFd::new(give_up, PollFlags::IN)));
        match poll(&mut files, None) {
            Err(Errno::INTR) => {}
            // Errors and hang-ups count as ready: the next call on the file returns them.
            _ => return files[0].revents() != PollFlags::empty(),
        }
    }
}

/// A file without a buffer, as the sinks do their own buffering.
pub struct Writer {
    file: File,
    /// A pipe or a socket.
    has_reader: bool,
    /// Writes may block: it has a reader, or is a terminal.
    waits: bool,
}

impl Writer {
    /// Standard output.
    pub fn stdout() -> io::Result<Self> {
        Writer::new(File::from(io::stdout().as_fd().try_clone_to_owned()?))
    }

    pub fn new(file: File) -> io::Result<Self> {
        let file_type = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
        let has_reader = matches!(file_type, FileType::Fifo | FileType::Socket);
        let waits = has_reader || file.is_terminal();
        Ok(Writer { file, has_reader, waits })
    }

    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Writer { file: self.file.try_clone()?, ..*self })
    }

    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Whether its reader may go away. A file has none, and a terminal that closes sends a signal.
    #[must_use]
    pub fn has_reader(&self) -> bool {
        self.has_reader
    }

    /// Checks, without writing, that it can be written to.
    pub fn check(&self) -> io::Result<()> {
        // Fails if it is not open for writing, and for /dev/full.
        rustix::io::write(&self.file, &[])?;
        let mut files = [PollFd::new(&self.file, PollFlags::empty())];
        let _ = poll(&mut files, Some(&rustix::event::Timespec::default()));
        if self.waits && files[0].revents().intersects(PollFlags::ERR) {
            return Err(ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.waits { write_piece(self.file.as_fd(), bytes) } else { self.file.write(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes as much as is accepted at once.
fn write_piece(file: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    loop {
        if !wait_for(file, PollFlags::OUT) {
            return Err(io::Error::new(ErrorKind::TimedOut, "the reader does not take it"));
        }
        match rustix::io::write(file, &bytes[..bytes.len().min(PIECE)]) {
            // Another writer filled it first.
            Err(Errno::AGAIN | Errno::INTR) => {}
            written => return Ok(written?),
        }
    }
}

/// Of syslog.
const ERROR: u8 = 3;
const WARNING: u8 = 4;
const NOTICE: u8 = 5;
const INFO: u8 = 6;

/// Prints a line to standard error in a single write, as the traced command writes there too.
pub fn print_line(line: &str) {
    let priority = match line.split_once(": ") {
        Some(("warning", _)) => WARNING,
        Some(("note", _)) => NOTICE,
        _ => INFO,
    };
    print_with(priority, line);
}

/// The same of an error that ends the program.
pub fn print_error(line: &str) {
    print_with(ERROR, line);
}

/// Prints lines that belong to an error, without a name before them.
pub fn print_excerpt(text: &str) {
    let prefix = if is_journal() { format!("<{ERROR}>") } else { String::new() };
    let lines = text.lines().map(|line| format!("{prefix}{line}\n"));
    print_raw(&lines.collect::<String>());
}

/// The journal knows who writes, and takes the priority from the line.
fn print_with(priority: u8, line: &str) {
    let line = escape::line(line);
    if is_journal() {
        print_raw(&format!("<{priority}>{line}\n"));
    } else {
        print_raw(&format!("tcc-trace: {line}\n"));
    }
}

/// Whether standard error goes to the journal: its file is the one that the service manager names.
#[must_use]
pub fn is_journal() -> bool {
    static JOURNAL: OnceLock<bool> = OnceLock::new();
    *JOURNAL.get_or_init(|| {
        let named = std::env::var("JOURNAL_STREAM").unwrap_or_default();
        let of_stderr = rustix::fs::fstat(io::stderr());
        of_stderr.is_ok_and(|stat| named == format!("{}:{}", stat.st_dev, stat.st_ino))
    })
}

/// Prints text to standard error. Write errors are ignored.
pub fn print_raw(text: &str) {
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
            let mut out = Writer::new(File::from(OwnedFd::from(writer))).unwrap();
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
            Writer::new(file).unwrap().check().map_err(|error| error.raw_os_error())
        };
        assert_eq!(open("/dev/null", true), Ok(()));
        assert_eq!(open("/dev/null", false), Err(Some(Errno::BADF.raw_os_error())));
        assert_eq!(open("/dev/full", true), Err(Some(Errno::NOSPC.raw_os_error())));
        let (reader, writer) = io::pipe().unwrap();
        let out = Writer::new(File::from(OwnedFd::from(writer))).unwrap();
        assert!(out.check().is_ok());
        drop(reader);
        assert_eq!(out.check().unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}
