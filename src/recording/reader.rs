//! Reads a recording, record by record, in the form of this program's records.

use std::io;

use super::adapt::Adapter;
use super::codec::{ByteOrder, Decoder, Identity};
use super::frame::{FRAME_MAGIC, FrameHeader, FrameType, MAJOR, PREAMBLE, version};
use super::frames::{Bytes, Frames, Gap};
use super::header::{AccountingFrame, Additions, ClockSample, End, Header};
use super::index::{self, Entry};
use super::schema::Shape;
use crate::environment::Environment;
use crate::events::{EVENT_TYPES, EventType, Types};
use crate::table::Column;

/// Most clock samples and symbols that are kept.
const MOST_SAMPLES: usize = 1 << 18;
const MOST_SYMBOLS: usize = 1 << 18;
/// Most times of loss that are kept one by one.
const MOST_LOSSES: usize = 1000;

/// Why a file is not a recording that can be read.
#[derive(Debug)]
pub enum Unreadable {
    Io(io::Error),
    /// It does not start as one.
    NotARecording,
    /// Of a later version.
    Version(u16),
    /// It says nothing about its records.
    NoHeader,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unreadable::Io(error) => error.fmt(f),
            Unreadable::NotARecording => f.write_str("not a recording of tcc-trace"),
            Unreadable::Version(major) => write!(
                f,
                "format version {major}, but this tcc-trace reads up to version {MAJOR}; use a newer one"
            ),
            Unreadable::NoHeader => {
                f.write_str("its header is damaged or missing, so its records cannot be read")
            }
        }
    }
}

impl std::error::Error for Unreadable {}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Unreadable::Io(error)
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A record.
    Record,
    /// Nothing more so far: the file ends, but the recording does not.
    Wait,
    /// The end of the recording.
    End,
}

/// A file, and what was read from it so far.
pub struct Recording<B: Bytes> {
    pub(super) frames: Frames<B>,
    pub header: Header,
    adapters: Vec<Adapter>,
    /// Names and layouts as they are at the last record.
    pub types: Types,
    /// How often they have changed.
    pub revision: u64,
    pub clock: Vec<ClockSample>,
    /// The newest counters.
    pub accounting: Option<AccountingFrame>,
    /// When events were lost.
    pub losses: Vec<AccountingFrame>,
    pub end: Option<End>,
    /// The least and the greatest time of the records.
    pub times_ns: Option<(u64, u64)>,
    /// Records that were read, by number of the event type.
    pub read: Vec<u64>,
    /// Records of event types that this program does not know.
    pub unknown: u64,
    decoder: Option<(FrameHeader, Decoder)>,
    record: Vec<u8>,
    buffer: Vec<u8>,
    /// The adapter of the last record.
    last: usize,
    symbols: usize,
}

impl<B: Bytes> Recording<B> {
    /// Reads the header.
    pub fn open(bytes: B) -> Result<Self, Unreadable> {
        let mut start = [0; PREAMBLE + FRAME_MAGIC.len()];
        let read = bytes.read_at(&mut start, 0)?;
        let mut frames = Frames::new(bytes)?;
        let is_damaged = match version(&start[..read]) {
            Some((MAJOR, _)) => false,
            // What follows shows that it is one.
            _ if start[PREAMBLE..] == FRAME_MAGIC || frames.locator()?.is_some() => true,
            Some((major, _)) => return Err(Unreadable::Version(major)),
            None => return Err(Unreadable::NotARecording),
        };
        let header = header(&mut frames)?.ok_or(Unreadable::NoHeader)?;
        if is_damaged {
            frames.preamble_is_damaged();
        }
        let mut recording = Recording {
            frames,
            header: Header::default(),
            adapters: Vec::new(),
            types: Types::default(),
            revision: 0,
            clock: Vec::new(),
            accounting: None,
            losses: Vec::new(),
            end: None,
            times_ns: None,
            read: vec![0; EVENT_TYPES.len()],
            unknown: 0,
            decoder: None,
            record: Vec::new(),
            buffer: Vec::new(),
            last: 0,
            symbols: 0,
        };
        recording.adopt(header);
        Ok(recording)
    }

    /// Passes over frames of records that are not wanted, by the clock samples of the whole file and the least and the greatest time
    /// of a frame.
    pub fn skip(&mut self, wanted: impl Fn(&[ClockSample], u64, u64) -> bool) -> io::Result<()> {
        let Some((entries, end)) = self.frames.entries()? else { return Ok(()) };
        let mut samples = self.clock.clone();
        let clocks = || entries.iter().filter(|entry| entry.frame_type == FrameType::Clock);
        self.frames.want_all(clocks());
        for entry in clocks() {
            let room = MOST_SAMPLES.saturating_sub(samples.len());
            let plain = self.frames.payload_at(entry.offset, FrameType::Clock)?;
            let more: Vec<ClockSample> = plain.and_then(|p| parsed(p).ok()).unwrap_or_default();
            samples.extend(more.into_iter().take(room));
        }
        samples.sort_by_key(|sample| sample.after_ns);
        let is_wanted = |entry: &Entry| {
            entry.frame_type != FrameType::Data || wanted(&samples, entry.first_ns, entry.last_ns)
        };
        self.frames.skip(index::skips(&entries, end, is_wanted));
        Ok(())
    }

    fn adopt(&mut self, header: Header) {
        let order = header.byte_order;
        let adapters = header.shapes.iter().filter_map(|shape| Adapter::new(shape, order));
        self.adapters = adapters.collect();
        self.last = 0;
        self.types = header.environment.types.clone();
        self.revision += 1;
        let clock = header.environment.clock;
        self.clock.push(ClockSample { after_ns: 0, wall_offset_ns: clock.wall_offset_ns });
        self.header = header;
    }

    /// The event types of its records, as far as this program knows them.
    #[must_use]
    pub fn event_types(&self) -> Vec<&'static EventType> {
        let mut event_types: Vec<&'static EventType> =
            self.adapters.iter().map(|adapter| adapter.event_type).collect();
        event_types.sort_by_key(|event_type| event_type.number);
        event_types.dedup_by_key(|event_type| event_type.number);
        event_types
    }

    /// Whether its records of that event type have all that a column is read from. The kernel may still not have had it.
    #[must_use]
    pub fn has(&self, event_type: &EventType, column: &Column) -> bool {
        let of = |adapter: &&Adapter| adapter.event_type.number == event_type.number;
        self.adapters.iter().filter(of).any(|adapter| adapter.has(column))
    }

    /// The shapes of the records that it passes on, of these event types.
    #[must_use]
    pub fn shapes(&self, event_types: &[&EventType], environment: &Environment) -> Vec<Shape> {
        let chosen = |adapter: &&Adapter| {
            event_types.iter().any(|of| of.number == adapter.event_type.number)
        };
        self.adapters.iter().filter(chosen).filter_map(|of| of.made(environment)).collect()
    }

    /// Whether its records are of another byte order.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.header.byte_order != ByteOrder::NATIVE
    }

    /// Moves on to the next record.
    pub fn advance(&mut self) -> io::Result<Step> {
        loop {
            if let Some((frame, decoder)) = &mut self.decoder {
                match decoder.advance() {
                    Ok(Some(place)) => {
                        let bytes = decoder.record(place);
                        self.record.clear();
                        self.record.extend_from_slice(bytes);
                        if self.adapt() {
                            return Ok(Step::Record);
                        }
                        continue;
                    }
                    Ok(None) => {}
                    Err(_) => self.frames.malformed(&frame.clone()),
                }
                let Some((_, decoder)) = self.decoder.take() else { continue };
                self.frames.plain = decoder.into_buffer();
            }
            let Some(frame) = self.frames.advance()? else {
                return Ok(if self.end.is_some() { Step::End } else { Step::Wait });
            };
            self.take(frame);
        }
    }

    /// Reads all frames to the end without decoding records: passes on the identities of each frame, with their event type and
    /// how many records they have.
    pub fn skim(
        &mut self,
        mut visit: impl FnMut(&'static EventType, &Identity, u64),
    ) -> io::Result<Step> {
        while let Some(frame) = self.frames.advance()? {
            self.take(frame);
            let Some((frame, mut decoder)) = self.decoder.take() else { continue };
            let Ok(identities) = decoder.identities() else {
                self.frames.malformed(&frame);
                continue;
            };
            self.frames.plain = decoder.into_buffer();
            for (identity, records) in identities {
                let number = identity[44];
                let fits = |adapter: &&Adapter| adapter.number == number;
                match self.adapters.iter().find(fits) {
                    Some(adapter) => {
                        self.read[usize::from(adapter.event_type.number)] += records;
                        visit(adapter.event_type, &identity, records);
                    }
                    None => self.unknown += records,
                }
            }
        }
        Ok(if self.end.is_some() { Step::End } else { Step::Wait })
    }

    /// Takes a frame.
    fn take(&mut self, frame: FrameHeader) {
        let plain = &self.frames.plain;
        let known = match frame.frame_type {
            FrameType::Data => {
                let (first, last) = self.times_ns.unwrap_or((u64::MAX, 0));
                self.times_ns = Some((first.min(frame.first_ns), last.max(frame.last_ns)));
                let plain = std::mem::take(&mut self.frames.plain);
                match Decoder::new(self.header.byte_order, plain, frame.records) {
                    Ok(decoder) => {
                        self.decoder = Some((frame, decoder));
                        Ok(())
                    }
                    Err(_) => Err(()),
                }
            }
            FrameType::Header => parsed(plain).map(|header| self.adopt(header)),
            FrameType::Additions => parsed(plain).map(|additions| self.add(additions)),
            FrameType::Accounting => parsed(plain).map(|accounting| self.account(accounting)),
            FrameType::Clock => parsed(plain).map(|samples: Vec<ClockSample>| {
                let room = MOST_SAMPLES.saturating_sub(self.clock.len());
                self.clock.extend(samples.into_iter().take(room));
            }),
            FrameType::End => parsed(plain).map(|end| self.end = Some(end)),
            FrameType::Index | FrameType::HeaderCopy | FrameType::Locator | FrameType::Other(_) => {
                Ok(())
            }
        };
        if known.is_err() {
            self.frames.malformed(&frame);
        }
    }

    fn add(&mut self, additions: Additions) {
        if let Some(layouts) = additions.layouts {
            self.types.layouts = layouts;
        }
        if self.symbols + additions.symbols.len() <= MOST_SYMBOLS {
            self.symbols += additions.symbols.len();
            self.types.symbols.add(additions.symbols);
        }
        self.revision += 1;
    }

    fn account(&mut self, accounting: AccountingFrame) {
        if accounting.lost.values().any(|lost| *lost > 0) && self.losses.len() < MOST_LOSSES {
            self.losses.push(accounting.clone());
        }
        self.accounting = Some(accounting);
    }

    /// Brings the record into this program's form; false if it does not know the event type.
    fn adapt(&mut self) -> bool {
        let number = self.record.get(52).copied().unwrap_or_default();
        let len = self.record.len();
        let fits = |adapter: &Adapter| adapter.number == number && usize::from(adapter.len) == len;
        if !self.adapters.get(self.last).is_some_and(fits) {
            match self.adapters.iter().position(fits) {
                Some(found) => self.last = found,
                None => {
                    self.unknown += 1;
                    return false;
                }
            }
        }
        let adapter = &self.adapters[self.last];
        self.read[usize::from(adapter.event_type.number)] += 1;
        true
    }

    /// The last record.
    pub fn record(&mut self) -> &[u8] {
        match self.adapters.get(self.last) {
            Some(adapter) => adapter.adapt(&self.record, &mut self.buffer),
            None => &[],
        }
    }

    /// Its time.
    #[must_use]
    pub fn time_ns(&self) -> u64 {
        self.header.byte_order.time(&self.record).unwrap_or_default()
    }

    /// Frames that were read.
    #[must_use]
    pub fn frame_count(&self) -> u64 {
        self.frames.count
    }

    /// What could not be read so far, and how many gaps more there are.
    #[must_use]
    pub fn gaps(&self) -> (&[Gap], u64) {
        self.frames.gaps()
    }

    /// Bytes behind the last frame that can be read.
    pub fn rest(&self) -> io::Result<u64> {
        self.frames.rest()
    }

    /// The whole file, in bytes.
    pub fn size(&self) -> io::Result<u64> {
        self.frames.size()
    }
}

/// The first header that can be read: the first frame, unless it is damaged. The frames begin behind the former, and before the latter.
fn header<B: Bytes>(frames: &mut Frames<B>) -> io::Result<Option<Header>> {
    let first = frames.advance()?;
    if first.is_some_and(|first| first.frame_type == FrameType::Header)
        && let Ok(header) = parsed(&frames.plain)
    {
        return Ok(Some(header));
    }
    let mut found = None;
    if let Some((_, at)) = frames.locator()? {
        for of in [FrameType::HeaderCopy, FrameType::Header] {
            let plain = frames.payload_at(at, of)?;
            found = found.or(plain.and_then(|plain| parsed(plain).ok()));
        }
    }
    frames.rewind();
    while found.is_none() {
        match frames.advance()? {
            None => return Ok(None),
            Some(frame) if frame.frame_type == FrameType::HeaderCopy => {
                found = parsed(&frames.plain).ok();
            }
            Some(_) => {}
        }
    }
    frames.rewind();
    Ok(found)
}

fn parsed<T: serde::de::DeserializeOwned>(plain: &[u8]) -> Result<T, ()> {
    serde_json::from_slice(plain).map_err(|_| ())
}
