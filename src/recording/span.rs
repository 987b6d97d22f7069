//! The time that a recording has records of, before they are read.

use std::io;

use super::frame::FrameType;
use super::frames::Bytes;
use super::reader::Recording;

impl<B: Bytes> Recording<B> {
    /// The least and the greatest time of the frames of records that are wanted, by their times. `None`: there are none.
    pub fn span(&mut self, wanted: impl Fn(u64, u64) -> bool) -> io::Result<Option<(u64, u64)>> {
        let Some((entries, _)) = self.frames.entries()? else { return Ok(None) };
        let data = entries.iter().filter(|entry| entry.frame_type == FrameType::Data);
        let times = data.map(|entry| (entry.first_ns, entry.last_ns));
        let wanted = times.filter(|(first_ns, last_ns)| wanted(*first_ns, *last_ns));
        Ok(wanted.reduce(|span, (first_ns, last_ns)| (span.0.min(first_ns), span.1.max(last_ns))))
    }
}
