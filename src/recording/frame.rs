//! The frames that a recording consists of: a header of [`FRAME_HEADER`] bytes and a payload, with a checksum over both. Each can
//! be read alone.

use std::io;

use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};
use zstd::bulk::{Compressor, Decompressor};

/// At the start of a file.
pub const PREAMBLE: usize = 16;
const FILE_MAGIC: [u8; 8] = *b"TCCREC\r\n";
/// Of the format: readers refuse another major version.
pub const MAJOR: u16 = 1;
pub const MINOR: u16 = 1;
/// Bytes of a frame's header.
pub const FRAME_HEADER: usize = 48;
/// At the start of a frame: where to continue after damage. The last byte is the major version.
pub const FRAME_MAGIC: [u8; 4] = *b"TCF\x01";
/// The bytes of the header that the checksum covers.
const CHECKED: usize = 40;
/// Most bytes of a payload, compressed or plain.
pub const MOST_BYTES: u32 = 64 << 20;
/// Most records of a data frame.
pub const MOST_RECORDS: u32 = 65_536;
/// The level of compression: the fastest that pays.
const LEVEL: i32 = -1;

/// What a frame has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FrameType {
    /// What the records behind it need to be read.
    Header,
    Data,
    /// Layouts and names that became known later.
    Additions,
    Accounting,
    Clock,
    /// Where frames are.
    Index,
    End,
    /// The header once more, for a file whose start is damaged.
    HeaderCopy,
    /// At the end of a complete file: where its last index and its last header are.
    Locator,
    /// Of a later version: to be skipped.
    Other(u8),
}

impl FrameType {
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            FrameType::Header => 1,
            FrameType::Data => 2,
            FrameType::Additions => 3,
            FrameType::Accounting => 4,
            FrameType::Clock => 5,
            FrameType::Index => 6,
            FrameType::End => 7,
            FrameType::HeaderCopy => 8,
            FrameType::Locator => 9,
            FrameType::Other(number) => number,
        }
    }

    pub(super) fn of(number: u8) -> Self {
        match number {
            1 => FrameType::Header,
            2 => FrameType::Data,
            3 => FrameType::Additions,
            4 => FrameType::Accounting,
            5 => FrameType::Clock,
            6 => FrameType::Index,
            7 => FrameType::End,
            8 => FrameType::HeaderCopy,
            9 => FrameType::Locator,
            number => FrameType::Other(number),
        }
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    pub frame_type: FrameType,
    codec: u8,
    /// Bytes of the payload.
    pub stored: u32,
    /// Bytes of the payload when it is decompressed.
    pub plain: u32,
    /// Records of a data frame.
    pub records: u32,
    /// Number of the frame in the file.
    pub number: u32,
    /// The least and the greatest time of the records, or the time that the payload is about.
    pub first_ns: u64,
    pub last_ns: u64,
    checksum: u64,
}

/// What a frame is about.
#[derive(Clone, Copy, Debug)]
pub struct About {
    pub frame_type: FrameType,
    pub number: u32,
    pub records: u32,
    pub first_ns: u64,
    pub last_ns: u64,
}

/// Bytes that are not a frame, or not one that this program reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadFrame {
    /// No frame starts there.
    Header,
    /// Its bytes are not those that were written.
    Checksum,
    /// It cannot be decompressed.
    Payload,
}

const NONE: u8 = 0;
const ZSTD: u8 = 1;

/// The first bytes of a file.
#[must_use]
pub fn preamble() -> [u8; PREAMBLE] {
    let mut bytes = [0; PREAMBLE];
    bytes[..8].copy_from_slice(&FILE_MAGIC);
    bytes[8..10].copy_from_slice(&MAJOR.to_le_bytes());
    bytes[10..12].copy_from_slice(&MINOR.to_le_bytes());
    bytes
}

/// The version that a file's first bytes name; `None` if it is not a recording.
#[must_use]
pub fn version(bytes: &[u8]) -> Option<(u16, u16)> {
    let version = bytes.get(..PREAMBLE)?.strip_prefix(&FILE_MAGIC)?;
    let number = |at: usize| Some(u16::from_le_bytes(*version.get(at..)?.first_chunk()?));
    Some((number(0)?, number(2)?))
}

impl FrameHeader {
    /// Reads a header. Its checksum covers the payload too: see [`FrameHeader::check`].
    pub fn parse(bytes: &[u8; FRAME_HEADER]) -> Result<Self, BadFrame> {
        let u32_at =
            |at: usize| bytes[at..].first_chunk().map_or(0, |word| u32::from_le_bytes(*word));
        let u64_at =
            |at: usize| bytes[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        let header = FrameHeader {
            frame_type: FrameType::of(bytes[4]),
            codec: bytes[5],
            stored: u32_at(8),
            plain: u32_at(12),
            records: u32_at(16),
            number: u32_at(20),
            first_ns: u64_at(24),
            last_ns: u64_at(32),
            checksum: u64_at(CHECKED),
        };
        let fits = bytes[..4] == FRAME_MAGIC
            && header.stored <= MOST_BYTES
            && header.plain <= MOST_BYTES
            && header.records <= MOST_RECORDS;
        if fits { Ok(header) } else { Err(BadFrame::Header) }
    }

    /// The same frame with another number, in place of the bytes in `frame`.
    pub fn renumbered(&self, number: u32, payload: &[u8], frame: &mut Vec<u8>) -> io::Result<()> {
        let FrameHeader { frame_type, records, first_ns, last_ns, .. } = *self;
        frame.clear();
        frame.resize(FRAME_HEADER, 0);
        frame.extend_from_slice(payload);
        let about = About { frame_type, number, records, first_ns, last_ns };
        fill_header(frame, about, self.codec, self.plain as usize)
    }

    /// The same of another type, to be given a number.
    #[must_use]
    pub fn with_type(self, frame_type: FrameType) -> Self {
        FrameHeader { frame_type, ..self }
    }

    /// Whether header and payload are as they were written.
    pub fn check(&self, bytes: &[u8; FRAME_HEADER], payload: &[u8]) -> Result<(), BadFrame> {
        if checksum(&bytes[..CHECKED], payload) == self.checksum {
            Ok(())
        } else {
            Err(BadFrame::Checksum)
        }
    }
}

fn checksum(header: &[u8], payload: &[u8]) -> u64 {
    if payload.is_empty() {
        return xxh3_64(header);
    }
    let mut hash = Xxh3Default::new();
    hash.update(header);
    hash.update(payload);
    hash.digest()
}

/// Builds frames.
pub struct Packer(Compressor<'static>);

impl Packer {
    pub fn new() -> io::Result<Self> {
        Ok(Packer(Compressor::new(LEVEL)?))
    }

    /// The bytes of a frame, which replace those in `frame`.
    pub fn pack(&mut self, about: About, plain: &[u8], frame: &mut Vec<u8>) -> io::Result<()> {
        frame.clear();
        frame.resize(FRAME_HEADER + zstd::zstd_safe::compress_bound(plain.len()), 0);
        let stored = self.0.compress_to_buffer(plain, &mut frame[FRAME_HEADER..])?;
        let codec = if stored < plain.len() { ZSTD } else { NONE };
        if codec == NONE {
            frame.truncate(FRAME_HEADER);
            frame.extend_from_slice(plain);
        } else {
            frame.truncate(FRAME_HEADER + stored);
        }
        fill_header(frame, about, codec, plain.len())
    }
}

/// The frame whose payload follows the room for its header.
fn fill_header(frame: &mut [u8], about: About, codec: u8, plain: usize) -> io::Result<()> {
    let (header, payload) = frame.split_at_mut(FRAME_HEADER);
    let length = |bytes: usize| u32::try_from(bytes).map_err(io::Error::other);
    header[..4].copy_from_slice(&FRAME_MAGIC);
    header[4..6].copy_from_slice(&[about.frame_type.number(), codec]);
    header[8..12].copy_from_slice(&length(payload.len())?.to_le_bytes());
    header[12..16].copy_from_slice(&length(plain)?.to_le_bytes());
    header[16..20].copy_from_slice(&about.records.to_le_bytes());
    header[20..24].copy_from_slice(&about.number.to_le_bytes());
    header[24..32].copy_from_slice(&about.first_ns.to_le_bytes());
    header[32..40].copy_from_slice(&about.last_ns.to_le_bytes());
    let sum = checksum(&header[..CHECKED], payload);
    header[CHECKED..].copy_from_slice(&sum.to_le_bytes());
    Ok(())
}

/// Decompresses payloads.
pub struct Unpacker(Decompressor<'static>);

impl Unpacker {
    pub fn new() -> io::Result<Self> {
        Ok(Unpacker(Decompressor::new()?))
    }

    /// The plain bytes, which replace those in `plain`.
    pub fn unpack(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        plain: &mut Vec<u8>,
    ) -> Result<(), BadFrame> {
        plain.clear();
        match header.codec {
            NONE => plain.extend_from_slice(payload),
            ZSTD => {
                plain.reserve_exact(header.plain as usize);
                self.0.decompress_to_buffer(payload, plain).map_err(|_| BadFrame::Payload)?;
            }
            _ => return Err(BadFrame::Payload),
        }
        if plain.len() == header.plain as usize { Ok(()) } else { Err(BadFrame::Payload) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(plain: &[u8]) -> Vec<u8> {
        let about =
            About { frame_type: FrameType::Clock, number: 7, records: 3, first_ns: 5, last_ns: 9 };
        let mut frame = Vec::new();
        Packer::new().unwrap().pack(about, plain, &mut frame).unwrap();
        frame
    }

    fn unpacked(frame: &[u8]) -> Result<(FrameHeader, Vec<u8>), BadFrame> {
        let (start, payload) = frame.split_first_chunk().ok_or(BadFrame::Header)?;
        let header = FrameHeader::parse(start)?;
        header.check(start, payload)?;
        let mut plain = vec![1; 3];
        Unpacker::new().unwrap().unpack(&header, payload, &mut plain)?;
        Ok((header, plain))
    }

    #[test]
    fn a_frame_comes_back_as_it_was() {
        let long = vec![b'a'; 10_000];
        for plain in [&b""[..], b"x", b"{\"a\":1}", &long] {
            let frame = packed(plain);
            let (header, back) = unpacked(&frame).unwrap();
            assert_eq!(
                (header.frame_type, header.number, header.records),
                (FrameType::Clock, 7, 3)
            );
            assert_eq!((header.first_ns, header.last_ns), (5, 9));
            assert!(back == plain && frame.len() <= FRAME_HEADER + plain.len());
        }
    }

    /// Also in bytes that are zero today.
    #[test]
    fn every_flipped_bit_is_noticed() {
        let frame = packed(b"{\"from\":1,\"from\":1,\"from\":1,\"from\":1}");
        for (at, bit) in (0..frame.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut frame = frame.clone();
            frame[at] ^= 1 << bit;
            assert!(unpacked(&frame).is_err(), "byte {at}, bit {bit}");
        }
    }

    #[test]
    fn lengths_are_bounded() {
        for (at, value) in [(8, MOST_BYTES + 1), (12, MOST_BYTES + 1), (16, MOST_RECORDS + 1)] {
            let mut frame = packed(b"");
            frame[at..at + 4].copy_from_slice(&value.to_le_bytes());
            assert_eq!(unpacked(&frame).unwrap_err(), BadFrame::Header);
        }
    }

    #[test]
    fn a_file_names_its_version() {
        assert_eq!(version(&preamble()), Some((MAJOR, MINOR)));
        assert_eq!(version(&preamble()[..15]), None);
        assert_eq!(version(b"{\"type\":\"probe\"}"), None);
    }
}
