//! Finds the frames of a file, also behind damage. Any bytes are safe.

use std::collections::VecDeque;
use std::io;

use serde::Serialize;

pub use super::bytes::Bytes;
use super::frame::{
    BadFrame, FRAME_HEADER, FRAME_MAGIC, FrameHeader, FrameType, PREAMBLE, Unpacker,
};
use super::index::{self, Entry, Skip};

/// Bytes that are searched at a time.
const WINDOW: usize = 64 << 10;
/// Most bytes of seeming frames that are checked in search of a real one.
const MOST_CHECKED: u64 = 1 << 28;
/// Most bytes of a payload other than records.
const MOST_TEXT: u32 = 16 << 20;
/// Most gaps that are kept one by one.
const MOST_GAPS: usize = 1000;
/// Most parts of a file, and bytes of them, that are read in advance.
const MOST_HINTS: usize = 1024;
const READ_AHEAD: u64 = 8 << 20;
/// Frames that are not data are hardly longer.
const PAGE: u64 = 4096;
/// Most frames of which the places are kept.
const MOST_ENTRIES: usize = 1 << 20;

/// A part of the file that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Where in the file.
    pub offset: u64,
    pub bytes: u64,
    /// Frames that are missing, as their numbers show. 0: not known.
    pub frames: u32,
    /// The greatest time of the frames before it, and the least of the one behind it. `None`: there is none.
    pub after_ns: Option<u64>,
    pub before_ns: Option<u64>,
}

/// Reads frames from the start to the end.
pub struct Frames<B: Bytes> {
    bytes: B,
    /// Where the next frame starts.
    at: u64,
    /// Its number.
    number: u32,
    last_ns: Option<u64>,
    unpacker: Unpacker,
    payload: Vec<u8>,
    /// The payload of the last frame.
    pub plain: Vec<u8>,
    /// Frames read.
    pub count: u64,
    gaps: Vec<Gap>,
    /// Gaps that were too many to keep.
    more_gaps: u64,
    checked: u64,
    /// What is not read, in the file's order.
    skips: VecDeque<Skip>,
}

/// What is at a place of the file.
enum Found {
    Frame(FrameHeader),
    /// The file ends before the frame does.
    Incomplete,
    Bad,
}

impl<B: Bytes> Frames<B> {
    /// Of a file whose preamble was read.
    pub fn new(bytes: B) -> io::Result<Self> {
        Ok(Frames {
            bytes,
            at: PREAMBLE as u64,
            number: 0,
            last_ns: None,
            unpacker: Unpacker::new()?,
            payload: Vec::new(),
            plain: Vec::new(),
            count: 0,
            gaps: Vec::new(),
            more_gaps: 0,
            checked: 0,
            skips: VecDeque::new(),
        })
    }

    /// Begins again at the start of the file.
    pub fn rewind(&mut self) {
        (self.at, self.number, self.last_ns, self.count) = (PREAMBLE as u64, 0, None, 0);
        self.gaps.clear();
        (self.more_gaps, self.checked) = (0, 0);
    }

    /// Passes over these frames. The kernel is told what lies between them, so that a disk has all of it in its queue at once.
    pub fn skip(&mut self, skips: Vec<Skip>) {
        let mut at = PREAMBLE as u64;
        let mut left = READ_AHEAD;
        for skip in skips.iter().take(MOST_HINTS) {
            left = self.want(at, skip.from, left);
            at = skip.to;
        }
        if let (Some(last), Ok(size)) = (skips.last(), self.bytes.size()) {
            self.want(last.to, size, left);
        }
        self.skips = skips.into();
    }

    /// What is left of so many bytes.
    fn want(&self, from: u64, to: u64, left: u64) -> u64 {
        let len = to.saturating_sub(from).min(left);
        if len > 0 {
            self.bytes.is_wanted(from, len);
        }
        left - len
    }

    /// These frames are read next.
    pub fn want_all<'e>(&self, entries: impl Iterator<Item = &'e Entry>) {
        entries.take(MOST_HINTS).for_each(|entry| self.bytes.is_wanted(entry.offset, PAGE));
    }

    /// The next frame that can be read, whose payload is in `plain` then. `None`: there is none so far.
    pub fn advance(&mut self) -> io::Result<Option<FrameHeader>> {
        while let Some(skip) = self.skips.front().filter(|skip| skip.from <= self.at) {
            if skip.from == self.at {
                (self.at, self.number) = (skip.to, skip.number);
            }
            self.skips.pop_front();
        }
        let (at, header) = match self.frame_at(self.at)? {
            Found::Frame(header) => (self.at, header),
            // It may still be growing, or it was cut off.
            Found::Incomplete if !self.is_behind(self.at)? => return Ok(None),
            Found::Incomplete | Found::Bad => match self.search(self.at + 1)? {
                Some(found) => found,
                None => return Ok(None),
            },
        };
        let frames = header.number.saturating_sub(self.number);
        if at > self.at || frames > 0 {
            let before_ns = Some(header.first_ns);
            self.add_gap(Gap {
                offset: self.at,
                bytes: at - self.at,
                frames,
                after_ns: self.last_ns,
                before_ns,
            });
        }
        self.at = at + FRAME_HEADER as u64 + u64::from(header.stored);
        self.number = header.number.saturating_add(1);
        self.count += 1;
        if header.frame_type == FrameType::Data {
            self.last_ns = self.last_ns.max(Some(header.last_ns));
        }
        Ok(Some(header))
    }

    /// The payload of the last frame as it is stored.
    #[must_use]
    pub fn stored(&self) -> &[u8] {
        &self.payload
    }

    /// Whether a frame that seems to go on behind the end of the file is followed by one that does not: then its length is wrong.
    fn is_behind(&mut self, at: u64) -> io::Result<bool> {
        Ok(self.search(at + 1)?.is_some())
    }

    /// Notes damage of the start of the file.
    pub fn preamble_is_damaged(&mut self) {
        let bytes = PREAMBLE as u64;
        self.add_gap(Gap { offset: 0, bytes, frames: 0, after_ns: None, before_ns: None });
    }

    /// The payload of a frame of that type at that place.
    pub fn payload_at(&mut self, at: u64, of: FrameType) -> io::Result<Option<&[u8]>> {
        Ok(match self.frame_at(at)? {
            Found::Frame(header) if header.frame_type == of => Some(&self.plain),
            _ => None,
        })
    }

    /// Where the last frame says that the last index and the last header are. A file that is not complete has no such frame.
    pub fn locator(&mut self) -> io::Result<Option<(u64, u64)>> {
        let Some(at) = self.bytes.size()?.checked_sub(FRAME_HEADER as u64) else { return Ok(None) };
        Ok(match self.frame_at(at)? {
            Found::Frame(header) if header.frame_type == FrameType::Locator => {
                Some((header.first_ns, header.last_ns))
            }
            _ => None,
        })
    }

    /// All frames, and where the last one ends: by the index, or else from header to header. `None`: there are too many.
    pub fn entries(&mut self) -> io::Result<Option<(Vec<Entry>, u64)>> {
        if let Some((at, _)) = self.locator()?
            && let Some(entries) = self.indexed(at)?
        {
            return Ok(Some((entries, at)));
        }
        let mut entries = Vec::new();
        let mut end = PREAMBLE as u64;
        self.bytes.skips(true);
        let walked = each_place(&self.bytes, |place| {
            entries.push(Entry::of(&place));
            end = place.offset + FRAME_HEADER as u64 + u64::from(place.header.stored);
            entries.len() <= MOST_ENTRIES
        });
        self.bytes.skips(false);
        walked?;
        Ok((entries.len() <= MOST_ENTRIES).then_some((entries, end)))
    }

    /// The entries of the index at that place and of those before it.
    fn indexed(&mut self, at: u64) -> io::Result<Option<Vec<Entry>>> {
        let (mut all, mut count, mut next) = (Vec::new(), 0, at);
        while next != 0 {
            let Some((before, entries)) =
                self.payload_at(next, FrameType::Index)?.and_then(index::unpack)
            else {
                return Ok(None);
            };
            count += entries.len();
            if before >= next || count > MOST_ENTRIES {
                return Ok(None);
            }
            all.push(entries);
            next = before;
        }
        let entries: Vec<Entry> = all.into_iter().rev().flatten().collect();
        Ok(Some(entries).filter(|entries| index::is_plausible(entries, at)))
    }

    /// Notes that a frame's records cannot be read although its bytes are those that were written.
    pub fn malformed(&mut self, header: &FrameHeader) {
        let bytes = FRAME_HEADER as u64 + u64::from(header.stored);
        self.add_gap(Gap {
            offset: self.at - bytes,
            bytes,
            frames: 1,
            after_ns: Some(header.first_ns),
            before_ns: Some(header.last_ns),
        });
    }

    fn add_gap(&mut self, gap: Gap) {
        if self.gaps.len() < MOST_GAPS {
            self.gaps.push(gap);
        } else {
            self.more_gaps += 1;
        }
    }

    /// What could not be read so far, and how many gaps more there are.
    #[must_use]
    pub fn gaps(&self) -> (&[Gap], u64) {
        (&self.gaps, self.more_gaps)
    }

    /// Bytes behind the last frame.
    pub fn rest(&self) -> io::Result<u64> {
        Ok(self.bytes.size()?.saturating_sub(self.at))
    }

    /// The whole file, in bytes.
    pub fn size(&self) -> io::Result<u64> {
        self.bytes.size()
    }

    fn frame_at(&mut self, at: u64) -> io::Result<Found> {
        let mut start = [0; FRAME_HEADER];
        if self.bytes.read_at(&mut start, at)? < FRAME_HEADER {
            return Ok(Found::Incomplete);
        }
        let Ok(header) = FrameHeader::parse(&start) else { return Ok(Found::Bad) };
        let len = header.stored as usize;
        let payload_at = at + FRAME_HEADER as u64;
        if self.bytes.size()? < payload_at + u64::from(header.stored) {
            return Ok(Found::Incomplete);
        }
        if header.frame_type != FrameType::Data && header.plain > MOST_TEXT {
            return Ok(Found::Bad);
        }
        self.payload.resize(len, 0);
        if self.bytes.read_at(&mut self.payload, payload_at)? < len {
            return Ok(Found::Incomplete);
        }
        let checked = header.check(&start, &self.payload);
        let unpack = |()| self.unpacker.unpack(&header, &self.payload, &mut self.plain);
        Ok(match checked.and_then(unpack) {
            Ok(()) => Found::Frame(header),
            Err(BadFrame::Header | BadFrame::Checksum | BadFrame::Payload) => Found::Bad,
        })
    }

    /// The next frame from that place on.
    fn search(&mut self, from: u64) -> io::Result<Option<(u64, FrameHeader)>> {
        let mut window = vec![0; WINDOW];
        let mut at = from;
        loop {
            let read = self.bytes.read_at(&mut window, at)?;
            if read < FRAME_HEADER {
                return Ok(None);
            }
            let places = window[..read].windows(FRAME_MAGIC.len()).enumerate();
            let places: Vec<usize> =
                places.filter(|(_, bytes)| *bytes == FRAME_MAGIC).map(|(place, _)| place).collect();
            for place in places {
                let place = at + place as u64;
                if self.checked > MOST_CHECKED {
                    return Ok(None);
                }
                if let Found::Frame(header) = self.frame_at(place)? {
                    return Ok(Some((place, header)));
                }
                self.checked += FRAME_HEADER as u64 + self.payload.len() as u64;
            }
            // A magic may lie across two windows.
            at += (read - (FRAME_MAGIC.len() - 1)) as u64;
        }
    }
}

/// A frame, and where it is, by its header alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub offset: u64,
    pub header: FrameHeader,
}

/// The places of all frames up to the first damage.
pub fn places(bytes: &impl Bytes) -> io::Result<Vec<Place>> {
    let mut places = Vec::new();
    each_place(bytes, |place| {
        places.push(place);
        true
    })?;
    Ok(places)
}

/// Goes from header to header, up to the first damage, without reading what is between them, for as long as that is wanted.
fn each_place(bytes: &impl Bytes, mut visit: impl FnMut(Place) -> bool) -> io::Result<()> {
    let (len, mut offset) = (bytes.size()?, PREAMBLE as u64);
    let mut start = [0; FRAME_HEADER];
    while bytes.read_at(&mut start, offset)? == FRAME_HEADER {
        let Ok(header) = FrameHeader::parse(&start) else { break };
        let end = offset + FRAME_HEADER as u64 + u64::from(header.stored);
        if end > len || !visit(Place { offset, header }) {
            break;
        }
        offset = end;
    }
    Ok(())
}
