//! Writes a recording, frame by frame.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::codec::{ByteOrder, Encoder};
use super::frame::FrameType;
use super::header::{AccountingFrame, Additions, ClockSample, End, Header};
use super::output::{Frame, Output, Target};
use crate::events::EVENT_TYPES;

/// A frame of records is written at this many encoded bytes …
const ENCODED: usize = 256 << 10;
/// … this many records …
const RECORDS: u32 = 16_384;
/// … this much state of its identities …
const STATE: usize = 4 << 20;
/// … or this long after its first record.
const AGE: Duration = Duration::from_secs(1);

/// Builds and writes frames.
pub struct Writer<T: Target> {
    output: Output<T>,
    order: ByteOrder,
    encoder: Encoder,
    plain: Vec<u8>,
    /// When the frame in progress got its first record.
    started: Option<Instant>,
    first_ns: u64,
    last_ns: u64,
    /// By number of the event type: records in the frame in progress, and in those that are written.
    pending: Vec<u64>,
    written: Vec<u64>,
    /// Records of all types that are written.
    records: u64,
}

impl<T: Target> Writer<T> {
    pub fn new(to: T, order: ByteOrder) -> io::Result<Self> {
        Ok(Writer {
            output: Output::new(to)?,
            order,
            encoder: Encoder::new(order),
            plain: Vec::new(),
            started: None,
            first_ns: u64::MAX,
            last_ns: 0,
            pending: vec![0; EVENT_TYPES.len()],
            written: vec![0; EVENT_TYPES.len()],
            records: 0,
        })
    }

    /// Writes the start of the file.
    pub fn begin(&mut self, header: &Header) -> io::Result<()> {
        self.output.begin()?;
        let now_ns = header.environment.clock.start_ns;
        self.json(FrameType::Header, (now_ns, now_ns), header)
    }

    /// Adds a record of that event type. One that cannot be is an error of the input.
    pub fn record(&mut self, event_type: usize, record: &[u8]) -> io::Result<()> {
        if self.encoder.push(record).is_err() {
            return Err(io::Error::new(ErrorKind::InvalidData, "a record is malformed"));
        }
        let time_ns = self.order.time(record).unwrap_or_default();
        self.first_ns = self.first_ns.min(time_ns);
        self.last_ns = self.last_ns.max(time_ns);
        if let Some(count) = self.pending.get_mut(event_type) {
            *count += 1;
        }
        if self.started.is_none() {
            self.started = Some(Instant::now());
        }
        let full = self.encoder.encoded() >= ENCODED
            || self.encoder.records() >= RECORDS
            || self.encoder.state() >= STATE;
        if full { self.cut() } else { Ok(()) }
    }

    /// Writes the frame in progress if it is old enough.
    pub fn cut_if_due(&mut self) -> io::Result<()> {
        match self.started {
            Some(started) if started.elapsed() >= AGE => self.cut(),
            _ => Ok(()),
        }
    }

    /// Writes the frame in progress, if any.
    pub fn cut(&mut self) -> io::Result<()> {
        if self.encoder.records() == 0 {
            return Ok(());
        }
        let frame = Frame {
            frame_type: FrameType::Data,
            records: self.encoder.records(),
            first_ns: self.first_ns,
            last_ns: self.last_ns,
        };
        let mut plain = std::mem::take(&mut self.plain);
        plain.clear();
        self.encoder.finish(&mut plain);
        (self.started, self.first_ns, self.last_ns) = (None, u64::MAX, 0);
        let records = u64::from(frame.records);
        let result = self.output.frame(frame, &plain);
        self.plain = plain;
        self.records += if result.is_ok() { records } else { 0 };
        for (pending, written) in self.pending.iter_mut().zip(&mut self.written) {
            let count = std::mem::take(pending);
            *written += if result.is_ok() { count } else { 0 };
        }
        result
    }

    /// Notes what became known, ahead of the next records. Symbols may also come before earlier ones; layouts may not.
    pub fn additions(&mut self, now_ns: u64, additions: &Additions) -> io::Result<()> {
        if additions.layouts.is_some() {
            self.cut()?;
        }
        self.json(FrameType::Additions, (now_ns, now_ns), additions)
    }

    /// Notes where the wall clock is, ahead of the next records.
    pub fn clock(&mut self, samples: &[ClockSample]) -> io::Result<()> {
        let times = samples.iter().map(|sample| sample.after_ns);
        let first = times.clone().min().unwrap_or_default();
        self.json(FrameType::Clock, (first, times.max().unwrap_or_default()), samples)
    }

    /// Writes the counters, and all records that they are about.
    pub fn accounting(&mut self, accounting: &AccountingFrame) -> io::Result<()> {
        self.cut()?;
        let AccountingFrame { from_ns, to_ns, .. } = *accounting;
        let accounting = AccountingFrame { written: self.written(), ..accounting.clone() };
        self.json(FrameType::Accounting, (from_ns, to_ns), &accounting)
    }

    /// Writes the last frame.
    pub fn end(&mut self, now_ns: u64, error: Option<String>) -> io::Result<()> {
        // If that fails, the file still gets an end.
        let cut = self.cut();
        let is_whole = error.is_none() && cut.is_ok();
        let end = End { mono_ns: now_ns, error, written: self.written() };
        let (frame, plain) =
            (Frame::of(FrameType::End, (now_ns, now_ns)), serde_json::to_vec(&end)?);
        // After an error there may be no room for more.
        cut.and(match is_whole {
            true => self.output.finish(frame, &plain),
            false => self.output.abort(frame, &plain),
        })
    }

    fn written(&self) -> BTreeMap<String, u64> {
        let all = EVENT_TYPES.iter().zip(&self.written).filter(|(_, count)| **count > 0);
        all.map(|(of, count)| (of.name.to_owned(), *count)).collect()
    }

    /// Records that are written.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Bytes that are written.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.output.bytes()
    }

    fn json(
        &mut self,
        frame_type: FrameType,
        times_ns: (u64, u64),
        payload: &(impl Serialize + ?Sized),
    ) -> io::Result<()> {
        let plain = serde_json::to_vec(payload)?;
        self.output.frame(Frame::of(frame_type, times_ns), &plain)
    }
}
