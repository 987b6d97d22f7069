//! Records as differences: each is compared with the previous record of the same identity (the head without its time), in 32-bit
//! lanes, and only the lanes that changed are stored. It needs no knowledge of fields.
//!
//! A data frame, plain: the lengths of the first four streams (u32), the streams ctl, time, mask, code and values, and
//! [`SLACK`] zero bytes. See docs/recording-format.md.

mod decode;
mod encode;

use std::ops::Range;

use serde::{Deserialize, Serialize};

pub use self::decode::Decoder;
pub use self::encode::Encoder;

/// Bytes of a record's head. The time comes first; the others are its identity.
pub const HEAD: usize = 56;
const TIME: usize = 8;
const IDENTITY: Range<usize> = TIME..HEAD;
/// Within the identity: event type, flags and length. A new identity begins as the last record that has the same ones.
const SHAPE: Range<usize> = 44..48;
/// Within the identity: the record's length.
const LEN: Range<usize> = 46..48;
const LANE: usize = 4;
/// Lanes whose changes are in one byte of the mask.
const GROUP: usize = 8 * LANE;
/// Zero bytes behind the values.
pub const SLACK: usize = 8;
/// Lengths at the start.
const LENGTHS: usize = 16;
/// Most bytes of state that a frame may need to be decoded.
const MOST_STATE: usize = 64 << 20;

/// Byte order of the machine that made the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    pub const NATIVE: ByteOrder =
        if cfg!(target_endian = "big") { ByteOrder::Big } else { ByteOrder::Little };

    #[inline]
    fn load(self, bytes: [u8; LANE]) -> u32 {
        match self {
            ByteOrder::Little => u32::from_le_bytes(bytes),
            ByteOrder::Big => u32::from_be_bytes(bytes),
        }
    }

    #[inline]
    fn store(self, lane: u32) -> [u8; LANE] {
        match self {
            ByteOrder::Little => lane.to_le_bytes(),
            ByteOrder::Big => lane.to_be_bytes(),
        }
    }

    fn load_len(self, bytes: [u8; 2]) -> u16 {
        match self {
            ByteOrder::Little => u16::from_le_bytes(bytes),
            ByteOrder::Big => u16::from_be_bytes(bytes),
        }
    }

    /// The time of a record.
    #[must_use]
    pub fn time(self, record: &[u8]) -> Option<u64> {
        let bytes = *record.first_chunk()?;
        Some(match self {
            ByteOrder::Little => u64::from_le_bytes(bytes),
            ByteOrder::Big => u64::from_be_bytes(bytes),
        })
    }

    fn store_time(self, time: u64) -> [u8; TIME] {
        match self {
            ByteOrder::Little => time.to_le_bytes(),
            ByteOrder::Big => time.to_be_bytes(),
        }
    }
}

/// A record that cannot be encoded: shorter than a head, not as long as the head says, or not of whole lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfit;

/// A record's head without its time.
pub type Identity = [u8; IDENTITY.end - IDENTITY.start];

/// The last record of each shape: its shape, and where its body is.
#[derive(Default)]
struct Shapes(Vec<([u8; 4], usize)>);

impl Shapes {
    /// Where the last body of that shape is, which is `at` from now on.
    fn replace(&mut self, identity: &Identity, at: usize) -> Option<usize> {
        let shape: [u8; 4] = identity[SHAPE].try_into().unwrap_or_default();
        match self.0.iter_mut().find(|(known, _)| *known == shape) {
            Some((_, last)) => Some(std::mem::replace(last, at)),
            None => {
                self.0.push((shape, at));
                None
            }
        }
    }
}

/// Bytes that are not a data frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn zigzag32(difference: u32) -> u32 {
    let value = difference.cast_signed();
    (value << 1 ^ value >> 31).cast_unsigned()
}

fn unzigzag32(value: u32) -> u32 {
    ((value >> 1).cast_signed() ^ -(value & 1).cast_signed()).cast_unsigned()
}

#[cfg(test)]
mod tests;
