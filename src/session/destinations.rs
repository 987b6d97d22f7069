//! Opens the files of the outputs.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::columns::Selection;
use super::directory::Directory;
use super::output::{print_line, sink_in, sink_into};
use super::signals::Signals;
use crate::config::{Destination, Output, Usage};
use crate::escape;
use crate::pipeline::tee::Branch;
use crate::privilege;
use crate::stdio::Writer;

/// How often to try a FIFO that has no reader yet.
const READER_TICK: Duration = Duration::from_millis(50);

/// An output whose file is open.
pub(super) struct Opened<'c> {
    destination: &'c Destination,
    place: Place,
}

/// Where it goes.
enum Place {
    Stream(Writer),
    Directory(Directory),
}

/// Opens all outputs. A file is emptied only after all could be opened, and not if it is one of those that are read.
pub(super) fn open<'c>(
    output: &'c Output,
    signals: &Signals,
    read: &[&File],
) -> Result<Vec<Opened<'c>>> {
    let mut opened: Vec<Opened<'c>> = Vec::new();
    for destination in &output.destinations {
        let place = match &destination.path {
            None => Place::Stream(Writer::stdout().context("standard output")?),
            Some(path) => if destination.format.needs_directory() {
                Directory::create(path).map(Place::Directory)
            } else {
                open_file(path, output.quiet, signals).and_then(Writer::new).map(Place::Stream)
            }
            .with_context(|| format!("cannot open {}", escape::path(path)))?,
        };
        let new = Opened { destination, place };
        if let Some(other) = opened.iter().find(|other| other.is_same_file(&new)) {
            bail!(Usage(format!(
                "-o {} and -o {} write to the same file; give each output its own path",
                name(other.destination),
                name(destination)
            )));
        }
        if let Place::Stream(writer) = &new.place
            && read.iter().any(|file| is_same(file, writer.file()))
        {
            bail!(Usage(format!("-o {}: this file is read", name(destination))));
        }
        opened.push(new);
    }
    for Opened { destination, place } in opened.iter().filter(|o| o.destination.path.is_some()) {
        if let Place::Stream(writer) = place
            && writer.file().metadata().is_ok_and(|metadata| metadata.is_file())
        {
            let error = || format!("cannot empty {}", name(destination));
            writer.file().set_len(0).with_context(error)?;
        }
    }
    Ok(opened)
}

/// `csv=events.csv`.
fn name(destination: &Destination) -> String {
    let path = destination.path.as_ref().map(|path| format!("={}", escape::path(path)));
    format!("{}{}", destination.format.name, path.unwrap_or_default())
}

/// Opens a file with the caller's permissions. A new one is for its owner only, as events have sequence numbers and
/// addresses of all users. A FIFO is waited for until it has a reader.
fn open_file(path: &Path, quiet: bool, signals: &Signals) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let flags = OFlags::NONBLOCK.union(OFlags::NOCTTY).bits().cast_signed();
    options.write(true).create(true).mode(0o600).custom_flags(flags);
    let mut noted = quiet;
    loop {
        match privilege::as_caller(|| options.open(path)) {
            Err(error)
                if Errno::from_io_error(&error) == Some(Errno::NXIO)
                    && path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo())
                    && signals.ended_by().is_none() =>
            {
                if !std::mem::replace(&mut noted, true) {
                    print_line(&format!("note: waiting for a reader of {}", escape::path(path)));
                }
                std::thread::sleep(READER_TICK);
            }
            opened => return opened,
        }
    }
}

/// Whether two descriptors are of one regular file.
pub(super) fn is_same(one: &File, other: &File) -> bool {
    let id = |file: &File| {
        let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        Some((metadata.dev(), metadata.ino()))
    };
    id(one).is_some_and(|one| id(other) == Some(one))
}

impl Opened<'_> {
    /// Of devices such as /dev/null, two writers do not disturb each other.
    fn is_same_file(&self, other: &Self) -> bool {
        let id = |opened: &Self| {
            let metadata = match &opened.place {
                Place::Stream(writer) => writer.file().metadata().ok()?,
                Place::Directory(directory) => directory.metadata().ok()?,
            };
            let shared = metadata.is_file() || metadata.is_dir() || metadata.file_type().is_fifo();
            shared.then(|| (metadata.dev(), metadata.ino()))
        };
        id(self).is_some_and(|own| id(other) == Some(own))
    }

    /// The file, if it has a reader, which may go away.
    pub(super) fn read_by_others(&self) -> Option<BorrowedFd<'_>> {
        match &self.place {
            Place::Stream(writer) if writer.has_reader() => Some(writer.file().as_fd()),
            _ => None,
        }
    }

    /// It has to be flushed even if there are no events.
    pub(super) fn is_delayed(&self) -> bool {
        self.destination.format.delayed
    }

    /// Checks, without writing, that it can be written to.
    pub(super) fn check(&self) -> Result<()> {
        let path = self.destination.path.as_ref().map(escape::path);
        let what = path.as_deref().unwrap_or("the output");
        match &self.place {
            Place::Stream(writer) => writer.check().with_context(|| format!("cannot write {what}")),
            Place::Directory(_) => Ok(()),
        }
    }

    /// The output with its sink.
    pub(super) fn branch(&self, output: &Output, selection: &Selection) -> io::Result<Branch> {
        let Opened { destination, place } = self;
        let sink = match place {
            Place::Stream(writer) => sink_into(writer.try_clone()?, destination, output, selection),
            Place::Directory(directory) => {
                sink_in(directory.try_clone()?, destination, output, selection)
                    .ok_or(io::ErrorKind::NotADirectory)?
            }
        };
        let alone = output.destinations.len() == 1 && output.recording.is_none();
        Ok(Branch {
            content: destination.content,
            format: destination.format.name,
            path: destination.path.as_ref().map(escape::path),
            essential: output.strict || alone || destination.path.is_none(),
            sink,
        })
    }
}
