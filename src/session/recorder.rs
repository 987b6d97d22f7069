//! Records events into a file: the output of `-w`.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use super::addresses::Addresses;
use crate::accounting::{Accounting, ActionCounts};
use crate::config::{Content, Recording};
use crate::decode::Event;
use crate::escape;
use crate::pipeline::clock::mono_ns;
use crate::pipeline::tee::Branch;
use crate::privilege;
use crate::recording::codec::ByteOrder;
use crate::recording::header::{AccountingFrame, Additions, Header};
use crate::recording::writer::Writer;
use crate::sink::{Note, Progress, Sink, Stage};
use crate::symbols::Symbols;
use crate::table::Moment;
use crate::table::summary::Summary;

/// The name of the format in messages and in the accounting.
const FORMAT: &str = "recording";

/// The open file of a recording.
pub(super) struct RecordingFile {
    path: PathBuf,
    file: File,
    /// It did not exist before.
    created: bool,
    pub(super) size: Rc<Size>,
}

/// How much is in the file.
#[derive(Default)]
pub(super) struct Size {
    pub(super) records: Cell<u64>,
    pub(super) bytes: Cell<u64>,
}

impl RecordingFile {
    /// Opens and locks the file, with the caller's permissions. An existing one is not changed yet.
    pub(super) fn open(options: &Recording) -> Result<Self> {
        let path = options.path.clone();
        let shown = escape::path(&path);
        let mut open = OpenOptions::new();
        let flags = OFlags::NONBLOCK.union(OFlags::NOCTTY).bits().cast_signed();
        open.write(true).mode(0o600).custom_flags(flags);
        let new = privilege::as_caller(|| open.clone().create_new(true).open(&path));
        let (file, created) = match new {
            Ok(file) => (file, true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let error = || format!("cannot open {shown}");
                let file = privilege::as_caller(|| open.open(&path)).with_context(error)?;
                (file, false)
            }
            Err(error) => return Err(error).with_context(|| format!("cannot create {shown}")),
        };
        if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            bail!("-w {shown}: a recording needs a regular file");
        }
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => bail!("-w {shown}: another tcc-trace is writing it"),
            Err(error) => bail!("-w {shown}: cannot lock the file: {error}"),
        }
        if !created && !options.force {
            bail!("-w {shown}: the file exists; choose another name, or overwrite it with --force");
        }
        Ok(RecordingFile { path, file, created, size: Rc::default() })
    }

    /// Empties it. All outputs could be opened.
    pub(super) fn empty(&self) -> Result<()> {
        self.file.set_len(0).with_context(|| format!("cannot empty {}", escape::path(&self.path)))
    }

    #[must_use]
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The output that records events.
    pub(super) fn branch(&self, header: Header, symbols: Symbols) -> io::Result<Branch> {
        let layout = &header.environment.layout;
        let addresses = Addresses::new(symbols, layout, privilege::elevated());
        Ok(Branch {
            content: Content::Events,
            format: FORMAT,
            path: Some(escape::path(&self.path)),
            essential: true,
            sink: Box::new(Recorder {
                writer: Writer::new(self.file.try_clone()?, ByteOrder::NATIVE)?,
                counted_ns: header.environment.clock.start_ns,
                header,
                addresses,
                record: Vec::new(),
                made: 0,
                lost: BTreeMap::new(),
                size: Rc::clone(&self.size),
            }),
        })
    }
}

/// A new file in which nothing was recorded is removed: the trace did not start.
impl Drop for RecordingFile {
    fn drop(&mut self) {
        if self.created && self.file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            let _ = privilege::as_caller(|| std::fs::remove_file(&self.path));
        }
    }
}

/// The sink.
struct Recorder {
    writer: Writer<File>,
    header: Header,
    addresses: Addresses,
    record: Vec<u8>,
    /// Records taken.
    made: u64,
    /// When the counters were last written, and what was lost by then.
    counted_ns: u64,
    lost: BTreeMap<&'static str, u64>,
    size: Rc<Size>,
}

impl Recorder {
    /// After an error the file still gets an end, which says why.
    fn or_end(&mut self, result: io::Result<()>) -> io::Result<()> {
        self.size.records.set(self.writer.records());
        self.size.bytes.set(self.writer.bytes());
        result.inspect_err(|error| {
            let _ = self.writer.end(mono_ns(), Some(error.to_string()));
        })
    }

    /// Writes the counters, with what was lost since the last ones.
    fn write_counters(&mut self, accounting: &Accounting) -> io::Result<()> {
        let (from_ns, to_ns) = (self.counted_ns, mono_ns());
        let lost = self.newly_lost(accounting);
        for (name, counts) in &accounting.event_types {
            self.lost.insert(name, counts.lost());
        }
        self.counted_ns = to_ns;
        let frame = AccountingFrame { from_ns, to_ns, lost, ..AccountingFrame::of(accounting) };
        let written = self.writer.accounting(&frame);
        self.or_end(written)
    }

    fn newly_lost(&self, accounting: &Accounting) -> BTreeMap<String, u64> {
        let new = accounting.event_types.iter().filter_map(|(name, counts)| {
            let known = self.lost.get(name).copied().unwrap_or_default();
            let lost = counts.lost().saturating_sub(known);
            (lost > 0).then(|| ((*name).to_owned(), lost))
        });
        new.collect()
    }
}

impl Sink for Recorder {
    fn begin(&mut self) -> io::Result<()> {
        let begun = self.writer.begin(&self.header);
        self.or_end(begun)
    }

    fn event(&mut self, event: &Event<'_>) -> io::Result<()> {
        let number = usize::from(event.event_type().number);
        let mut known = Vec::new();
        let record = self.addresses.of(event, &mut self.record, &mut known);
        let mut written = Ok(());
        if !known.is_empty() {
            let additions = Additions { symbols: known, layouts: None };
            written = self.writer.additions(mono_ns(), &additions);
        }
        let written = written.and_then(|()| self.writer.record(number, record));
        self.made += u64::from(written.is_ok());
        self.or_end(written)
    }

    fn summary(&mut self, _: &Summary<'_>) -> io::Result<()> {
        Ok(())
    }

    fn account(&mut self, stage: Stage, _: Moment, accounting: &Accounting) -> io::Result<()> {
        self.write_counters(accounting)?;
        if stage == Stage::End {
            let ended = self.writer.end(mono_ns(), None);
            return self.or_end(ended);
        }
        Ok(())
    }

    fn note(&mut self, note: &Note<'_>) -> io::Result<()> {
        let written = match note {
            Note::Clock(samples) => self.writer.clock(samples),
            Note::Layouts(layouts) => {
                let layouts = Some((*layouts).clone());
                self.writer.additions(mono_ns(), &Additions { layouts, symbols: Vec::new() })
            }
            Note::Counters(accounting) if self.newly_lost(accounting).is_empty() => {
                self.counted_ns = mono_ns();
                Ok(())
            }
            Note::Counters(accounting) => return self.write_counters(accounting),
        };
        self.or_end(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let cut = self.writer.cut_if_due();
        self.or_end(cut)
    }

    fn settle(&mut self) -> io::Result<()> {
        let cut = self.writer.cut();
        self.or_end(cut)
    }

    /// In records, of which those of whole frames are written.
    fn progress(&self) -> Progress {
        Progress { made: self.made, written: self.writer.records() }
    }
}
