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
use super::destinations::is_same;
use super::flight::{FlightRecorder, Reason};
use super::parts::PartFiles;
use crate::accounting::{Accounting, ActionCounts};
use crate::config::{Content, Flight, Recording, Usage};
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
pub struct RecordingFile {
    path: PathBuf,
    file: File,
    /// It did not exist before.
    created: bool,
    /// If it is the first of several files: the others.
    parts: Cell<Option<PartFiles>>,
    flight: Option<Flight>,
    pub(super) size: Rc<Size>,
}

/// How much is in the file.
#[derive(Default)]
pub(super) struct Size {
    pub(super) records: Cell<u64>,
    pub(super) bytes: Cell<u64>,
    /// Files that were written; 0: it is not divided.
    pub(super) parts: Cell<u32>,
    /// The newest part has reached its size.
    pub(super) is_full: Cell<bool>,
}

/// Opens and locks a file to record in, with the caller's permissions, and whether it is new.
pub(super) fn open_locked(path: &Path, force: bool) -> Result<(File, bool)> {
    let shown = escape::path(path);
    let mut open = OpenOptions::new();
    let flags = OFlags::NONBLOCK.union(OFlags::NOCTTY).bits().cast_signed();
    open.write(true).mode(0o600).custom_flags(flags);
    let new = privilege::as_caller(|| open.clone().create_new(true).open(path));
    let (file, created) = match new {
        Ok(file) => (file, true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let error = || format!("cannot open {shown}");
            let file = privilege::as_caller(|| open.open(path)).with_context(error)?;
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
    if !created && !force {
        bail!("-w {shown}: the file exists; choose another name, or overwrite it with --force");
    }
    Ok((file, created))
}

impl RecordingFile {
    /// Opens and locks the file, or the first of its parts. An existing one is not changed yet.
    pub fn open(options: &Recording) -> Result<Self> {
        let (parts, path) = match &options.parts {
            None => (None, options.path.clone()),
            Some(policy) => {
                let (parts, first) = PartFiles::new(&options.path, policy, options.force)?;
                (Some(parts), first)
            }
        };
        let (file, created) = open_locked(&path, options.force)?;
        let flight = options.parts.as_ref().and_then(|parts| parts.flight.clone());
        Ok(RecordingFile {
            path,
            file,
            created,
            parts: Cell::new(parts),
            flight,
            size: Rc::default(),
        })
    }

    /// Empties it. All outputs could be opened.
    pub(super) fn empty(&self) -> Result<()> {
        self.file.set_len(0).with_context(|| format!("cannot empty {}", escape::path(&self.path)))
    }

    pub(super) fn is_flight(&self) -> bool {
        self.flight.is_some()
    }

    #[must_use]
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The output that records events.
    pub fn branch(&self, mut header: Header, symbols: Symbols) -> io::Result<Branch> {
        let layout = &header.environment.layout;
        let addresses = Addresses::new(symbols, layout, privilege::elevated());
        let flight = self.flight.as_ref().map(FlightRecorder::new);
        let division = self.parts.take().map(|files| Division {
            files,
            flight,
            counted: AccountingFrame::default(),
            symbols: Vec::new(),
            records: 0,
            bytes: 0,
        });
        header.part = u32::from(division.is_some());
        self.size.parts.set(header.part);
        let recorder = Recorder {
            writer: self.writer()?,
            counted_ns: header.environment.clock.start_ns,
            header,
            addresses,
            division,
            record: Vec::new(),
            made: 0,
            lost: BTreeMap::new(),
            size: Rc::clone(&self.size),
        };
        Ok(self.branch_of(Box::new(recorder)))
    }

    /// Writes into the file.
    pub(super) fn writer(&self) -> io::Result<Writer<File>> {
        Writer::new(self.file.try_clone()?, ByteOrder::NATIVE)
    }

    /// The output of a sink that writes into the file.
    pub(super) fn branch_of(&self, sink: Box<dyn Sink>) -> Branch {
        let path = Some(escape::path(&self.path));
        Branch { content: Content::Events, format: FORMAT, path, essential: true, sink }
    }

    /// What is read is not overwritten.
    pub(super) fn check_not_one_of(&self, files: &[&File]) -> Result<()> {
        if files.iter().any(|file| is_same(file, &self.file)) {
            bail!(Usage(format!("-w {}: this file is read", escape::path(&self.path))));
        }
        Ok(())
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
    division: Option<Division>,
    record: Vec<u8>,
    /// Records taken.
    made: u64,
    /// When the counters were last written, and what was lost by then.
    counted_ns: u64,
    lost: BTreeMap<&'static str, u64>,
    size: Rc<Size>,
}

/// The other files of a recording that is divided.
struct Division {
    files: PartFiles,
    flight: Option<FlightRecorder>,
    /// The counters when the newest part began.
    counted: AccountingFrame,
    /// All that records have needed so far.
    symbols: Vec<(u64, String)>,
    /// What the parts before it have.
    records: u64,
    bytes: u64,
}

impl Recorder {
    /// After an error the file still gets an end, which says why.
    fn or_end(&mut self, result: io::Result<()>) -> io::Result<()> {
        let (records, bytes) = (self.writer.records(), self.writer.bytes());
        let before = self.division.as_ref().map_or((0, 0), |before| (before.records, before.bytes));
        let is_full = |division: &Division| records > 0 && division.files.is_full(bytes);
        self.size.is_full.set(self.division.as_ref().is_some_and(is_full));
        self.size.records.set(before.0 + records);
        self.size.bytes.set(before.1 + bytes);
        result.inspect_err(|error| {
            let _ = self.writer.end(mono_ns(), Some(error.to_string()));
        })
    }

    /// Writes the counters, with what was lost since the last ones.
    fn write_counters(&mut self, accounting: &Accounting) -> io::Result<()> {
        let (from_ns, to_ns) = (self.counted_ns, mono_ns());
        let lost = self.newly_lost(accounting);
        // A program that runs while the counters are read has lost its event until it ends. The most that was seen stays, so
        // that no such event is new again and again.
        for (name, counts) in &accounting.event_types {
            let known = self.lost.entry(name).or_default();
            *known = (*known).max(counts.lost());
        }
        self.counted_ns = to_ns;
        let mut counters = AccountingFrame::of(accounting);
        if let Some(division) = &self.division {
            counters = counters.combine(&division.counted, u64::saturating_sub);
        }
        let frame = AccountingFrame { from_ns, to_ns, lost, ..counters };
        let written = self.writer.accounting(&frame);
        self.or_end(written)
    }

    /// Ends a part that is due, and seals what is to be sealed. The counters are of all records so far.
    fn divide(&mut self, accounting: &Accounting) -> io::Result<()> {
        let Some(division) = &mut self.division else { return Ok(()) };
        let seal = division.flight.as_mut().and_then(FlightRecorder::take_due);
        if seal.is_none() {
            if !division.files.is_due(self.writer.bytes()) {
                return Ok(());
            }
            if self.writer.records() == 0 {
                division.files.begin_again();
                return Ok(());
            }
        }
        self.write_counters(accounting)?;
        let ended = self.writer.end(mono_ns(), None).and_then(|()| self.next_part(accounting));
        self.or_end(ended)?;
        let Some(division) = &mut self.division else { return Ok(()) };
        // Sealed parts are open by then.
        if let (Some(reason), Some(flight)) = (seal, &mut division.flight) {
            flight.seal(&division.files, reason)?;
        }
        division.files.retire()
    }

    fn next_part(&mut self, accounting: &Accounting) -> io::Result<()> {
        let Some(division) = &mut self.division else { return Ok(()) };
        division.records += self.writer.records();
        division.bytes += self.writer.bytes();
        division.counted = AccountingFrame::of(accounting);
        let file = division.files.next().map_err(|error| io::Error::other(format!("{error:#}")))?;
        self.writer = Writer::new(file, ByteOrder::NATIVE)?;
        self.header.part += 1;
        self.size.parts.set(self.header.part);
        self.writer.begin(&self.header)?;
        let symbols = division.symbols.clone();
        self.writer.additions(mono_ns(), &Additions { symbols, layouts: None })
    }

    /// At the end of the trace a flight recorder seals what it keeps, or throws it away.
    fn land(&mut self) -> io::Result<()> {
        let Some(Division { files, flight: Some(flight), .. }) = &mut self.division else {
            return Ok(());
        };
        let sealed = match flight.at_exit() {
            Some(reason) => {
                files.close();
                flight.seal(files, reason)
            }
            None => Ok(()),
        };
        let sealed = sealed.and(flight.finish());
        // What could not be sealed stays.
        sealed.and_then(|()| files.remove_all())
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
            if let Some(division) = &mut self.division {
                division.symbols.extend_from_slice(&known);
            }
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
            self.or_end(ended)?;
            return self.land();
        }
        Ok(())
    }

    fn note(&mut self, note: &Note<'_>) -> io::Result<()> {
        // A later part begins with what is known by then.
        let environment = &mut self.header.environment;
        let written = match note {
            Note::Clock(samples) => {
                if let Some(newest) = samples.last() {
                    environment.clock.wall_offset_ns = newest.wall_offset_ns;
                }
                self.writer.clock(samples)
            }
            Note::Layouts(layouts) => {
                environment.types.layouts = (*layouts).clone();
                let layouts = Some((*layouts).clone());
                self.writer.additions(mono_ns(), &Additions { layouts, symbols: Vec::new() })
            }
            Note::Counters(accounting) => {
                if self.newly_lost(accounting).is_empty() {
                    self.counted_ns = mono_ns();
                } else {
                    self.write_counters(accounting)?;
                }
                return self.divide(accounting);
            }
            Note::Seal | Note::Trigger => {
                if let Some(Division { flight: Some(flight), .. }) = &mut self.division {
                    match note {
                        Note::Seal => flight.request(Reason::Signal),
                        _ => flight.trigger(),
                    }
                }
                Ok(())
            }
            // The counters have it.
            Note::LeftOut(..) | Note::Sources { .. } => Ok(()),
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
        Progress { made: self.made, written: self.size.records.get() }
    }
}
