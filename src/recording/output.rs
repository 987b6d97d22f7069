//! Writes frames one behind the other, with what makes a file easy to enter: copies of its header, and an index.

use std::io;

use super::frame::{About, FrameHeader, FrameType, Packer, preamble};
use super::frames::Place;
use super::index::{self, Entry, MOST_ENTRIES};

/// The header is repeated after so many bytes, and after the first frame of records.
const COPY_BYTES: u64 = 16 << 20;
/// At the end it is not repeated once more after fewer bytes.
const COPY_BYTES_AT_END: u64 = 1 << 20;

/// A file that can be cut after its last whole frame.
pub trait Target: io::Write {
    fn cut(&mut self, len: u64) -> io::Result<()>;
}

impl Target for std::fs::File {
    fn cut(&mut self, len: u64) -> io::Result<()> {
        (&*self).cut(len)
    }
}

impl Target for &std::fs::File {
    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)?;
        io::Seek::seek(self, io::SeekFrom::Start(len)).map(drop)
    }
}

impl Target for &mut Vec<u8> {
    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.truncate(usize::try_from(len).map_err(io::Error::other)?);
        Ok(())
    }
}

/// What a frame has, without its number.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub frame_type: FrameType,
    pub records: u32,
    pub first_ns: u64,
    pub last_ns: u64,
}

impl Frame {
    /// One without records, that is about some time.
    #[must_use]
    pub fn of(frame_type: FrameType, (first_ns, last_ns): (u64, u64)) -> Self {
        Frame { frame_type, records: 0, first_ns, last_ns }
    }
}

/// The frames of a file.
pub struct Output<T: Target> {
    to: T,
    packer: Packer,
    /// The last frame.
    frame: Vec<u8>,
    /// Of the next frame.
    number: u32,
    /// Bytes that are written as whole frames.
    bytes: u64,
    /// The frames since the last index, and where that is; 0: there is none.
    entries: Vec<Entry>,
    index: u64,
    /// The payload of the header as it is stored, and where it was written last.
    header: Option<(FrameHeader, Vec<u8>)>,
    header_at: u64,
    /// Behind the first frame of records there is a copy.
    is_copied: bool,
}

impl<T: Target> Output<T> {
    pub fn new(to: T) -> io::Result<Self> {
        Ok(Output {
            to,
            packer: Packer::new()?,
            frame: Vec::new(),
            number: 0,
            bytes: 0,
            entries: Vec::new(),
            index: 0,
            header: None,
            header_at: 0,
            is_copied: false,
        })
    }

    /// Bytes that are written.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether nothing but the start of a file is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.number == 0
    }

    /// Writes the start of the file.
    pub fn begin(&mut self) -> io::Result<()> {
        self.write(&preamble())
    }

    /// Writes a frame. A header is kept, to be repeated.
    pub fn frame(&mut self, frame: Frame, plain: &[u8]) -> io::Result<()> {
        self.with_buffer(|output, buffer| {
            output.packer.pack(output.numbered(frame), plain, buffer)?;
            output.packed(buffer)
        })
    }

    /// Writes a frame of another file.
    pub fn copy(&mut self, header: &FrameHeader, payload: &[u8]) -> io::Result<()> {
        self.with_buffer(|output, buffer| {
            header.renumbered(output.number, payload, buffer)?;
            output.packed(buffer)
        })
    }

    fn with_buffer<R>(&mut self, write: impl FnOnce(&mut Self, &mut Vec<u8>) -> R) -> R {
        let mut buffer = std::mem::take(&mut self.frame);
        let result = write(self, &mut buffer);
        self.frame = buffer;
        result
    }

    /// Writes the last frames: a copy of the header, the index, the end, and where these are.
    pub fn finish(&mut self, frame: Frame, plain: &[u8]) -> io::Result<()> {
        if self.bytes.saturating_sub(self.header_at) >= COPY_BYTES_AT_END {
            self.repeat_header()?;
        }
        self.write_index()?;
        let (mut last, mut locator) = (Vec::new(), Vec::new());
        self.packer.pack(self.numbered(frame), plain, &mut last)?;
        self.number += 1;
        let places = Frame::of(FrameType::Locator, (self.index, self.header_at));
        self.packer.pack(self.numbered(places), &[], &mut locator)?;
        last.append(&mut locator);
        // Both at once: who sees the end finds the file complete.
        self.write(&last)
    }

    /// Writes the last frame of a file that cannot be completed.
    pub fn abort(&mut self, frame: Frame, plain: &[u8]) -> io::Result<()> {
        let mut packed = Vec::new();
        self.packer.pack(self.numbered(frame), plain, &mut packed)?;
        self.write(&packed)
    }

    fn numbered(&self, frame: Frame) -> About {
        let Frame { frame_type, records, first_ns, last_ns } = frame;
        About { frame_type, number: self.number, records, first_ns, last_ns }
    }

    /// Writes a frame that is packed, and what belongs behind it.
    fn packed(&mut self, packed: &[u8]) -> io::Result<()> {
        let header = self.add(packed)?;
        match header.frame_type {
            FrameType::Header => {
                self.header =
                    Some((header, packed[packed.len() - header.stored as usize..].to_vec()));
                self.header_at = self.bytes - packed.len() as u64;
            }
            FrameType::Data if !self.is_copied || self.bytes - self.header_at >= COPY_BYTES => {
                self.repeat_header()?;
            }
            _ => {}
        }
        if self.entries.len() >= MOST_ENTRIES { self.write_index() } else { Ok(()) }
    }

    fn add(&mut self, packed: &[u8]) -> io::Result<FrameHeader> {
        let header = packed.first_chunk().and_then(|start| FrameHeader::parse(start).ok());
        let header = header.ok_or_else(|| io::Error::other("a frame is too long"))?;
        let offset = self.bytes;
        self.write(packed)?;
        self.entries.push(Entry::of(&Place { offset, header }));
        // The number of a frame that is not in the file is that of the next one.
        self.number += 1;
        Ok(header)
    }

    fn repeat_header(&mut self) -> io::Result<()> {
        let Some((header, payload)) = self.header.take() else { return Ok(()) };
        let copy = header.with_type(FrameType::HeaderCopy);
        let (at, mut frame) = (self.bytes, Vec::new());
        let written = copy.renumbered(self.number, &payload, &mut frame);
        let written = written.and_then(|()| self.add(&frame));
        self.header = Some((header, payload));
        written?;
        (self.header_at, self.is_copied) = (at, true);
        Ok(())
    }

    fn write_index(&mut self) -> io::Result<()> {
        let times = self.entries.iter().filter(|entry| entry.frame_type == FrameType::Data);
        let first_ns = times.clone().map(|entry| entry.first_ns).min().unwrap_or_default();
        let last_ns = times.map(|entry| entry.last_ns).max().unwrap_or_default();
        let plain = index::pack(self.index, &self.entries);
        let about = self.numbered(Frame::of(FrameType::Index, (first_ns, last_ns)));
        let (at, mut packed) = (self.bytes, Vec::new());
        self.packer.pack(about, &plain, &mut packed)?;
        self.entries.clear();
        self.add(&packed)?;
        self.index = at;
        Ok(())
    }

    /// What was written in part is removed, so that the file ends with a whole frame.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.to.write_all(bytes) {
            Ok(()) => {
                self.bytes += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                // The first error is the one to report.
                let _ = self.to.cut(self.bytes);
                Err(error)
            }
        }
    }
}
