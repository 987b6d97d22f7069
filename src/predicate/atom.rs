//! A test of a record's bytes that the kernel and user space make alike.

use super::syntax::Net;
use crate::slot::{Condition, Slot};

/// What is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    U8,
    U16,
    U32,
    U64,
    /// In two's complement.
    S32,
    /// Sixteen bytes.
    Bytes,
}

impl Load {
    /// Of a slot's number; `None` for bit fields and other widths.
    #[must_use]
    pub fn of(slot: &Slot) -> Option<Self> {
        Some(match (slot.width, slot.signed) {
            _ if slot.shift != 0 => return None,
            (1, false) => Load::U8,
            (2, false) => Load::U16,
            (4, false) => Load::U32,
            (8, false) => Load::U64,
            (4, true) => Load::S32,
            _ => return None,
        })
    }

    #[must_use]
    pub fn width(self) -> usize {
        match self {
            Load::U8 => 1,
            Load::U16 => 2,
            Load::U32 | Load::S32 => 4,
            Load::U64 => 8,
            Load::Bytes => 16,
        }
    }
}

/// Of a number: whether, masked, it is `span` or less above `low`, modulo 2^64. Of bytes: whether, masked, they are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Atom {
    pub load: Load,
    pub offset: u16,
    /// Of a number, the first word only.
    pub mask: [u64; 2],
    /// Of a number, `low` and `span`.
    pub value: [u64; 2],
    /// The test must fail.
    pub negated: bool,
}

impl Atom {
    /// Whether a number is in the range.
    #[must_use]
    pub fn number(load: Load, offset: u16, mask: u64, (from, to): (i128, i128)) -> Self {
        // Two's complement, as the programs calculate.
        let value = [from as u64, (to - from) as u64];
        Atom { load, offset, mask: [mask, 0], value, negated: false }
    }

    /// `None` if the kernel could not load it.
    #[must_use]
    pub fn condition(condition: &Condition) -> Option<Self> {
        let load = Load::of(&Slot::number(condition.offset.into(), condition.width.into()))?;
        let range = (i128::from(condition.value), i128::from(condition.value));
        let atom = Atom::number(load, condition.offset, condition.mask, range);
        Some(Atom { negated: !condition.equal, ..atom })
    }

    /// Whether an address is in the network.
    #[must_use]
    pub fn net(offset: u16, net: Net) -> Self {
        Atom::bytes(offset, net.mask().to_be_bytes(), net.address)
    }

    /// Whether a text is that one, up to its NUL. It is shorter than 16 bytes.
    #[must_use]
    pub fn text(offset: u16, text: &[u8]) -> Self {
        let (mut mask, mut value) = ([0; 16], [0; 16]);
        for (at, byte) in text.iter().chain(&[0]).take(16).enumerate() {
            (mask[at], value[at]) = (0xff, *byte);
        }
        Atom::bytes(offset, mask, value)
    }

    fn bytes(offset: u16, mask: [u8; 16], value: [u8; 16]) -> Self {
        let [mask, value] = [mask, value].map(words);
        Atom { load: Load::Bytes, offset, mask, value, negated: false }
    }

    /// The first byte after what it loads.
    #[must_use]
    pub fn end(&self) -> usize {
        usize::from(self.offset) + self.load.width()
    }

    /// Whether the kernel can load it on any machine.
    #[must_use]
    pub fn is_aligned(&self) -> bool {
        usize::from(self.offset) % self.load.width().min(8) == 0
    }

    /// Whether it holds; false if it lies beyond the bytes.
    #[must_use]
    #[inline]
    pub fn holds(&self, record: &[u8]) -> bool {
        let Some(bytes) = record.get(self.offset.into()..) else { return false };
        let number = match self.load {
            Load::U8 => bytes.first().map(|byte| (*byte).into()),
            Load::U16 => bytes.first_chunk().map(|word| u16::from_ne_bytes(*word).into()),
            Load::U32 => bytes.first_chunk().map(|word| u32::from_ne_bytes(*word).into()),
            Load::U64 => bytes.first_chunk().map(|word| u64::from_ne_bytes(*word)),
            Load::S32 => {
                let number = bytes.first_chunk().map(|word| i32::from_ne_bytes(*word));
                number.map(|number| i64::from(number).cast_unsigned())
            }
            Load::Bytes => {
                let Some(bytes) = bytes.first_chunk::<16>() else { return false };
                let words = words(*bytes);
                let differs = |at: usize| (words[at] ^ self.value[at]) & self.mask[at] != 0;
                return (differs(0) || differs(1)) == self.negated;
            }
        };
        let Some(number) = number else { return false };
        ((number & self.mask[0]).wrapping_sub(self.value[0]) <= self.value[1]) != self.negated
    }
}

fn words(bytes: [u8; 16]) -> [u64; 2] {
    let word = |at: usize| u64::from_ne_bytes(std::array::from_fn(|byte| bytes[at + byte]));
    [word(0), word(8)]
}
