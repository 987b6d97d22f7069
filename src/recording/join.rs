//! Joins the parts of a recording into one file. Frames of records are taken as they are, so this costs little more than a copy.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::frame::{About, FrameHeader, FrameType, Packer, preamble};
use super::frames::{Bytes, Frames};
use super::header::{AccountingFrame, End};

/// Writes the file of all parts, which must be given in their order, and returns the number of its records.
pub fn join<B: Bytes>(parts: impl IntoIterator<Item = B>, to: impl Write) -> io::Result<u64> {
    let mut joined = Joined {
        to,
        packer: Packer::new()?,
        number: 0,
        frame: Vec::new(),
        before: Sums::default(),
    };
    joined.to.write_all(&preamble())?;
    let mut last_ns = 0;
    for part in parts {
        last_ns = joined.add(part)?.max(last_ns);
    }
    let end = End { mono_ns: last_ns, error: None, written: joined.before.written.clone() };
    joined.json(FrameType::End, (last_ns, last_ns), &end)?;
    joined.to.flush()?;
    Ok(end.written.values().sum())
}

/// What was counted in the parts before.
#[derive(Default)]
struct Sums {
    written: BTreeMap<String, u64>,
    counters: AccountingFrame,
}

struct Joined<W> {
    to: W,
    packer: Packer,
    /// Of the next frame.
    number: u32,
    frame: Vec<u8>,
    before: Sums,
}

impl<W: Write> Joined<W> {
    /// Adds a part; returns when it ended.
    fn add(&mut self, part: impl Bytes) -> io::Result<u64> {
        let is_first = self.number == 0;
        let mut frames = Frames::new(part)?;
        let (mut counters, mut end) = (None, End::default());
        while let Some(header) = frames.advance()? {
            match header.frame_type {
                // It says what the first one says, and what frames of the parts before have added.
                FrameType::Header if !is_first => {}
                FrameType::Accounting => {
                    let accounting = self.so_far(serde_json::from_slice(&frames.plain)?);
                    self.json(header.frame_type, (header.first_ns, header.last_ns), &accounting)?;
                    counters = Some(accounting);
                }
                FrameType::End => end = serde_json::from_slice(&frames.plain)?,
                _ => self.copy(&header, frames.stored())?,
            }
        }
        for (name, count) in end.written {
            *self.before.written.entry(name).or_default() += count;
        }
        self.before.counters =
            counters.unwrap_or_else(|| std::mem::take(&mut self.before.counters));
        Ok(end.mono_ns)
    }

    /// The counters of a part, with those of the parts before.
    fn so_far(&self, part: AccountingFrame) -> AccountingFrame {
        let mut sum = part.combine(&self.before.counters, u64::saturating_add);
        for (name, count) in &self.before.written {
            *sum.written.entry(name.clone()).or_default() += count;
        }
        sum
    }

    fn copy(&mut self, header: &FrameHeader, payload: &[u8]) -> io::Result<()> {
        header.renumbered(self.number, payload, &mut self.frame)?;
        self.number += 1;
        self.to.write_all(&self.frame)
    }

    fn json(
        &mut self,
        frame_type: FrameType,
        (first_ns, last_ns): (u64, u64),
        payload: &impl serde::Serialize,
    ) -> io::Result<()> {
        let about = About { frame_type, number: self.number, records: 0, first_ns, last_ns };
        let packed = self.packer.pack(about, &serde_json::to_vec(payload)?)?;
        self.number += 1;
        self.to.write_all(packed)
    }
}
