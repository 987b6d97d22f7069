//! Where a value lies in a record, and how its bytes are read. Offsets come from the generated structs, so the compiler holds
//! them. Any bytes are safe: what lies beyond them has no value.

pub mod names;

use std::ops::Range;

pub use self::names::{KernelEnum, Names};

/// A value in a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    /// Of its first byte.
    pub offset: u16,
    /// In bytes: 1 to 8 of a number, 16 of an address, any of a text.
    pub width: u16,
    pub form: Form,
    /// The number is in two's complement.
    pub signed: bool,
    /// Of a bit field: its lowest bit.
    pub shift: u8,
    /// Of a bit field: its bits, after the shift.
    pub mask: u64,
    pub scale: Scale,
    /// The number, before its scale, that means that there is none. Of a text and an address: 0 if an empty one means that.
    pub unset: Option<u64>,
    /// `unset` is an ordinary value unless this holds.
    pub unset_if: Option<Condition>,
    /// Names of the numbers.
    pub names: Option<Names>,
    /// There is a value only if all of these hold.
    pub when: &'static [Condition],
}

/// What the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Number,
    /// True unless zero.
    Flag,
    /// Ends at the first NUL; any bytes before it.
    Text,
    /// IPv6, or an IPv4-mapped one.
    Address,
    /// The address of kernel code.
    Code,
}

/// From the stored number to the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    One,
    /// Rounded down.
    Divide(u32),
    /// Fixed point with that many fractional bits.
    Fraction(u8),
}

/// A test of a number in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    pub offset: u16,
    /// In bytes, 1 to 8.
    pub width: u16,
    /// Bits that count.
    pub mask: u64,
    pub value: u64,
    /// Whether they must equal `value`, or must differ from it.
    pub equal: bool,
}

/// A value as it was read; numbers with a name are numbers here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Data<'a> {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Flag(bool),
    Text(&'a [u8]),
    Address([u8; 16]),
    Code(u64),
}

/// Integer types of members.
pub trait Integer {
    const SIGNED: bool;
}

macro_rules! integers {
    ($($ty:ty: $signed:literal),*) => { $(impl Integer for $ty { const SIGNED: bool = $signed; })* };
}
integers!(u8: false, u16: false, u32: false, u64: false, i32: true);

impl Slot {
    /// An unsigned number.
    #[must_use]
    pub const fn number(offset: usize, width: usize) -> Self {
        assert!(offset <= u16::MAX as usize && width <= u16::MAX as usize);
        Slot {
            offset: offset as u16,
            width: width as u16,
            form: Form::Number,
            signed: false,
            shift: 0,
            mask: u64::MAX,
            scale: Scale::One,
            unset: None,
            unset_if: None,
            names: None,
            when: &[],
        }
    }

    /// A member of a struct; the function, which is never called, gives its type.
    #[must_use]
    pub const fn integer<R, T: Integer>(offset: usize, _: fn(&R) -> &T) -> Self {
        Slot { signed: T::SIGNED, ..Slot::number(offset, size_of::<T>()) }
    }

    /// The same for a text or an address.
    #[must_use]
    pub const fn array<R, const N: usize>(
        offset: usize,
        _: fn(&R) -> &[u8; N],
        form: Form,
    ) -> Self {
        Slot { form, ..Slot::number(offset, N) }
    }

    /// The first byte after it.
    #[must_use]
    pub const fn end(&self) -> usize {
        self.offset as usize + self.width as usize
    }

    /// The stored number, whatever it means: without scale, conditions and `unset`. `None` if it lies beyond the bytes, or is
    /// wider than a number.
    #[must_use]
    pub fn stored(&self, bytes: &[u8]) -> Option<u64> {
        let word = load(bytes, self.offset, self.width)?;
        if self.signed {
            let unused = 64 - 8 * u32::from(self.width);
            return Some((word.cast_signed() << unused >> unused).cast_unsigned());
        }
        Some(word >> (self.shift & 63) & self.mask)
    }

    /// The number, of a signed one in two's complement, of a flag 0 or 1, of a fixed-point one as it is stored. `None` if there
    /// is none.
    #[must_use]
    pub fn integer_value(&self, bytes: &[u8]) -> Option<u64> {
        if self.when.iter().all(|condition| condition.holds(bytes)) {
            self.unconditional(bytes)
        } else {
            None
        }
    }

    /// The same where the conditions are known to hold.
    #[must_use]
    #[inline]
    pub fn unconditional(&self, bytes: &[u8]) -> Option<u64> {
        let stored = self.stored(bytes)?;
        if self.unset == Some(stored) && self.unset_counts(bytes) {
            return None;
        }
        Some(match (self.form, self.scale) {
            (Form::Flag, _) => (stored != 0).into(),
            (_, Scale::Divide(by)) => stored.checked_div(by.into())?,
            _ => stored,
        })
    }

    /// The value; `None` if there is none.
    #[must_use]
    pub fn read<'a>(&self, bytes: &'a [u8]) -> Option<Data<'a>> {
        let number = match self.form {
            Form::Text => return self.text(bytes).map(Data::Text),
            Form::Address => return self.address(bytes).map(Data::Address),
            _ => self.integer_value(bytes)?,
        };
        Some(match (self.form, self.scale) {
            (Form::Flag, _) if self.names.is_none() => Data::Flag(number != 0),
            (Form::Code, _) => Data::Code(number),
            (_, Scale::Fraction(bits)) => Data::Float(number as f64 / 2f64.powi(bits.into())),
            _ if self.signed => Data::Signed(number.cast_signed()),
            _ => Data::Unsigned(number),
        })
    }

    /// A text up to its NUL; `None` if there is none.
    #[must_use]
    pub fn text<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let bytes = self.array_bytes(bytes)?;
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        (end > 0 || self.unset.is_none()).then_some(&bytes[..end])
    }

    /// An address; `None` if there is none.
    #[must_use]
    pub fn address(&self, bytes: &[u8]) -> Option<[u8; 16]> {
        let address: [u8; 16] = self.array_bytes(bytes)?.try_into().ok()?;
        let unspecified = || std::net::Ipv6Addr::from(address).to_canonical().is_unspecified();
        let unset = self.unset.is_some() && unspecified() && self.unset_counts(bytes);
        (!unset).then_some(address)
    }

    fn array_bytes<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let holds = self.when.iter().all(|condition| condition.holds(bytes));
        bytes.get(self.offset.into()..self.end()).filter(|_| holds)
    }

    fn unset_counts(&self, bytes: &[u8]) -> bool {
        self.unset_if.is_none_or(|condition| condition.holds(bytes))
    }
}

impl Condition {
    /// Holds for no record.
    pub const NEVER: Condition =
        Condition { offset: u16::MAX, width: 1, mask: 0, value: 0, equal: true };

    /// The member has that value.
    #[must_use]
    pub const fn is(slot: Slot, value: u64) -> Self {
        let Slot { offset, width, mask, .. } = slot;
        Condition { offset, width, mask, value, equal: true }
    }

    /// The member has another value.
    #[must_use]
    pub const fn is_not(slot: Slot, value: u64) -> Self {
        Condition { equal: false, ..Condition::is(slot, value) }
    }

    /// The text at that offset is `text`, of at most seven bytes: its terminating NUL counts.
    #[must_use]
    pub const fn text(offset: usize, text: &'static str) -> Self {
        let (text, mut word, mut mask, mut at) = (text.as_bytes(), [0; 8], [0; 8], 0);
        assert!(text.len() < 8);
        while at <= text.len() {
            word[at] = if at < text.len() { text[at] } else { 0 };
            mask[at] = 0xff;
            at += 1;
        }
        Condition {
            offset: offset as u16,
            width: 8,
            mask: u64::from_ne_bytes(mask),
            value: u64::from_ne_bytes(word),
            equal: true,
        }
    }

    /// The bytes that it tests.
    #[must_use]
    pub fn place(&self) -> Range<usize> {
        let offset = usize::from(self.offset);
        offset..offset + usize::from(self.width)
    }

    /// False if the number lies beyond the bytes.
    #[must_use]
    pub fn holds(&self, bytes: &[u8]) -> bool {
        load(bytes, self.offset, self.width)
            .is_some_and(|word| (word & self.mask == self.value) == self.equal)
    }
}

/// A number of up to eight bytes. Of three, five, six or seven, which only bit fields have, the first is the lowest.
fn load(bytes: &[u8], offset: u16, width: u16) -> Option<u64> {
    let bytes = bytes.get(offset.into()..)?;
    match width {
        1 => bytes.first().map(|&byte| byte.into()),
        2 => bytes.first_chunk().map(|&word| u16::from_ne_bytes(word).into()),
        4 => bytes.first_chunk().map(|&word| u32::from_ne_bytes(word).into()),
        8 => bytes.first_chunk().map(|&word| u64::from_ne_bytes(word)),
        0 => None,
        _ => {
            let mut word = [0; 8];
            word.get_mut(..width.into())?.copy_from_slice(bytes.get(..width.into())?);
            Some(u64::from_le_bytes(word))
        }
    }
}

#[cfg(test)]
mod tests;
