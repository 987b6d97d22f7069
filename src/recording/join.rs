//! Joins the parts of a recording into one file. Frames of records are taken as they are, so this costs little more than a copy.

use std::collections::BTreeMap;
use std::io;

use super::frame::FrameType;
use super::frames::{Bytes, Frames};
use super::header::{AccountingFrame, End};
use super::output::{Frame, Output, Target};

/// Writes the file of all parts, which must be given in their order, and returns the number of its records.
pub fn join<B: Bytes>(parts: impl IntoIterator<Item = B>, to: impl Target) -> io::Result<u64> {
    let mut joined = Joined { output: Output::new(to)?, before: Sums::default() };
    joined.output.begin()?;
    let mut last_ns = 0;
    for part in parts {
        last_ns = joined.add(part)?.max(last_ns);
    }
    let end = End { mono_ns: last_ns, error: None, written: joined.before.written.clone() };
    let frame = Frame::of(FrameType::End, (last_ns, last_ns));
    joined.output.finish(frame, &serde_json::to_vec(&end)?)?;
    Ok(end.written.values().sum())
}

/// What was counted in the parts before.
#[derive(Default)]
struct Sums {
    written: BTreeMap<String, u64>,
    counters: AccountingFrame,
}

struct Joined<T: Target> {
    output: Output<T>,
    before: Sums,
}

impl<T: Target> Joined<T> {
    /// Adds a part; returns when it ended.
    fn add(&mut self, part: impl Bytes) -> io::Result<u64> {
        let is_first = self.output.is_empty();
        let mut frames = Frames::new(part)?;
        let (mut counters, mut end) = (None, End::default());
        while let Some(header) = frames.advance()? {
            match header.frame_type {
                // It says what the first one says, and what frames of the parts before have added.
                FrameType::Header if !is_first => {}
                FrameType::Accounting => {
                    let accounting = self.so_far(serde_json::from_slice(&frames.plain)?);
                    let times_ns = (header.first_ns, header.last_ns);
                    let plain = serde_json::to_vec(&accounting)?;
                    self.output.frame(Frame::of(header.frame_type, times_ns), &plain)?;
                    counters = Some(accounting);
                }
                FrameType::End => end = serde_json::from_slice(&frames.plain)?,
                // The new file has its own.
                FrameType::Index | FrameType::HeaderCopy | FrameType::Locator => {}
                _ => self.output.copy(&header, frames.stored())?,
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
}
