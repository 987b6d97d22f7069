//! A line as it is written: pieces of fixed lengths go to a buffer, whose copies are cheap because the compiler knows how long they
//! are, and from there to the output.

use super::number::Number;

/// The length of a block.
const BLOCK: usize = 32;
/// The longest text that [`Line::quoted`] may be given.
pub const SHORT: usize = 32;
const SIZE: usize = 2048;
/// Room for a block and a value behind it, of which a time is the longest.
const ROOM: usize = 128;
/// The length of a time without fractions: `2023-11-14T22:13:20`.
const SECOND: usize = 19;
const ASCII: u64 = 0x3030_3030_3030_3030;
const EIGHT_DIGITS: u64 = 100_000_000;

/// A text of up to [`BLOCK`] bytes. It is copied as a whole, and what is too much is overwritten.
#[derive(Clone, Copy)]
pub struct Block {
    bytes: [u8; BLOCK],
    len: usize,
}

impl Block {
    pub const EMPTY: Block = Block { bytes: [0; BLOCK], len: 0 };

    /// `None` if the text is too long.
    pub fn new(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; BLOCK];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Block { bytes, len: text.len() })
    }

    /// A text of any length in several blocks, of which the last may be empty.
    pub fn split(text: &[u8]) -> (impl Iterator<Item = Block>, Block) {
        let (full, rest) = text.as_chunks();
        let last = Block::new(rest).unwrap_or(Block::EMPTY);
        (full.iter().map(|&bytes| Block { bytes, len: BLOCK }), last)
    }
}

/// The buffer of a [`Line`], kept from line to line.
pub struct Buffer(Box<[u8; SIZE]>);

impl Default for Buffer {
    fn default() -> Self {
        Buffer(Box::new([0; SIZE]))
    }
}

/// The line. Each cell begins with [`Line::block`], which makes room for one number or short text behind it.
pub struct Line<'l> {
    buffer: &'l mut [u8; SIZE],
    at: usize,
    out: &'l mut Vec<u8>,
}

impl<'l> Line<'l> {
    pub fn new(buffer: &'l mut Buffer, out: &'l mut Vec<u8>) -> Self {
        Line { buffer: &mut buffer.0, at: 0, out }
    }

    #[inline(always)]
    pub fn block(&mut self, block: &Block) {
        if self.at > SIZE - ROOM {
            self.flush();
        }
        self.buffer[self.at..self.at + BLOCK].copy_from_slice(&block.bytes);
        self.at += block.len;
    }

    /// Appends a text of at most eight bytes.
    #[inline(always)]
    pub fn short(&mut self, text: &'static str) {
        let mut eight = [0; 8];
        eight[..text.len()].copy_from_slice(text.as_bytes());
        self.eight(u64::from_le_bytes(eight), text.len());
    }

    /// Appends a text of at most [`SHORT`] bytes in quotes.
    #[inline(always)]
    pub fn quoted(&mut self, text: &[u8], quote: &'static str) {
        self.short(quote);
        self.buffer[self.at..self.at + text.len()].copy_from_slice(text);
        self.at += text.len();
        self.short(quote);
    }

    /// Appends an IPv4 address in quotes.
    #[inline(always)]
    pub fn ipv4(&mut self, octets: [u8; 4], quote: &'static str) {
        self.short(quote);
        for octet in octets {
            let [digits @ .., len] = OCTETS[usize::from(octet)];
            self.buffer[self.at..self.at + 4].copy_from_slice(&digits);
            self.at += usize::from(len) + 1;
        }
        // Without the last dot.
        self.at -= 1;
        self.short(quote);
    }

    /// Appends a time in quotes: `second`, and the nanoseconds in it.
    #[inline(always)]
    pub fn time(&mut self, second: &[u8; SECOND], ns: i64, quote: &'static str) {
        self.short(quote);
        self.buffer[self.at..self.at + SECOND].copy_from_slice(second);
        self.at += SECOND;
        let ns = ns.rem_euclid(1_000_000_000).cast_unsigned();
        self.eight(u64::from(b'.') | ((ns / EIGHT_DIGITS + u64::from(b'0')) << 8), 2);
        self.eight(eight(ns % EIGHT_DIGITS) | ASCII, 8);
        self.short("Z");
        self.short(quote);
    }

    #[inline(always)]
    pub fn unsigned(&mut self, number: u64) {
        self.at = put(self.buffer, self.at, number);
    }

    #[inline(always)]
    pub fn signed(&mut self, number: i64) {
        if number < 0 {
            self.short("-");
        }
        self.unsigned(number.unsigned_abs());
    }

    /// Appends several numbers, each after its text. Most of a line is this loop.
    #[inline(always)]
    pub fn numbers(&mut self, numbers: &[(Block, Number)], bytes: &[u8], null: &'static str) {
        for (text, number) in numbers {
            self.block(text);
            match number.value(bytes) {
                Some(value) if number.signed => self.signed(value.cast_signed()),
                Some(value) => self.unsigned(value),
                None => self.short(null),
            }
        }
    }

    #[inline(always)]
    fn eight(&mut self, bytes: u64, len: usize) {
        self.buffer[self.at..self.at + 8].copy_from_slice(&bytes.to_le_bytes());
        self.at += len;
    }

    /// The output, for what has no fixed length.
    pub fn out(&mut self) -> &mut Vec<u8> {
        self.flush();
        self.out
    }

    pub fn flush(&mut self) {
        self.out.extend_from_slice(&self.buffer[..self.at]);
        self.at = 0;
    }
}

/// Writes a number to the buffer, and returns where it ends.
#[inline(always)]
fn put(buffer: &mut [u8; SIZE], at: usize, number: u64) -> usize {
    if number < 10 {
        buffer[at] = b'0' + number as u8;
        return at + 1;
    }
    let (digits, most) = if number < 10_000 {
        (four(number), 4)
    } else if number < EIGHT_DIGITS {
        (eight(number), 8)
    } else {
        return put_long(buffer, at, number);
    };
    // Without the zeros in front.
    let zeros = digits.trailing_zeros() / 8;
    let text = (digits >> (8 * zeros)) | ASCII;
    buffer[at..at + 8].copy_from_slice(&text.to_le_bytes());
    at + most - zeros as usize
}

/// A number of more than eight digits.
fn put_long(buffer: &mut [u8; SIZE], at: usize, number: u64) -> usize {
    let (high, low) = (number / EIGHT_DIGITS, number % EIGHT_DIGITS);
    let at = if high < EIGHT_DIGITS { put(buffer, at, high) } else { put_long(buffer, at, high) };
    buffer[at..at + 8].copy_from_slice(&(eight(low) | ASCII).to_le_bytes());
    at + 8
}

/// The digits of a number below 10^8, the first in the lowest byte.
#[inline(always)]
fn eight(number: u64) -> u64 {
    four(number / 10_000) | (four(number % 10_000) << 32)
}

/// The digits of a number below 10^4.
#[inline(always)]
fn four(number: u64) -> u64 {
    let two = |number: u64| u64::from(PAIRS[(number % 128) as usize]);
    two(number / 100) | (two(number % 100) << 16)
}

/// The two digits of each number below 100.
static PAIRS: [u16; 128] = {
    let (mut pairs, mut at) = ([0; 128], 0);
    while at < 100 {
        pairs[at] = u16::from_le_bytes([at as u8 / 10, at as u8 % 10]);
        at += 1;
    }
    pairs
};

/// Each octet with a dot behind it, and how many digits it has.
static OCTETS: [[u8; 5]; 256] = {
    let (mut octets, mut at) = ([[b'.'; 5]; 256], 0);
    while at < 256 {
        let octet = at as u8;
        let digits = [b'0' + octet / 100, b'0' + octet / 10 % 10, b'0' + octet % 10];
        let (mut len, mut next) = (0, if octet < 10 { 2 } else { (octet < 100) as usize });
        while next < 3 {
            octets[at][len] = digits[next];
            (len, next) = (len + 1, next + 1);
        }
        octets[at][4] = len as u8;
        at += 1;
    }
    octets
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Line<'_>)) -> String {
        let (mut buffer, mut out) = (Buffer::default(), Vec::new());
        let mut line = Line::new(&mut buffer, &mut out);
        write(&mut line);
        line.flush();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_of_every_length_are_written() {
        for power in 0..20 {
            let ten = 10u64.pow(power);
            for number in [ten - 1, ten, ten + 1, ten.saturating_mul(9), u64::MAX] {
                assert_eq!(written(|line| line.unsigned(number)), number.to_string());
            }
        }
        assert_eq!(written(|line| line.signed(i64::MIN)), i64::MIN.to_string());
    }

    #[test]
    fn a_line_may_be_longer_than_its_buffer() {
        let text = "0123456789abcdefghijklmnopqrstuvwxyz".repeat(3);
        let (full, last) = Block::split(text.as_bytes());
        let blocks: Vec<Block> = full.chain([last]).collect();
        let line = written(|line| {
            for _ in 0..100 {
                blocks.iter().for_each(|block| line.block(block));
                line.unsigned(u64::MAX);
                line.out().extend_from_slice(b"; ");
            }
        });
        assert_eq!(line, format!("{text}{}; ", u64::MAX).repeat(100));
    }

    #[test]
    fn octets_have_one_to_three_digits() {
        for octet in 0..=255 {
            let address = std::net::Ipv4Addr::new(octet, 0, 255 - octet, octet);
            let line = written(|line| line.ipv4(address.octets(), "\""));
            assert_eq!(line, format!("\"{address}\""));
        }
    }

    proptest! {
        #[test]
        fn numbers_are_written_as_the_standard_library_does(number in any::<i64>(), shift in 0..64) {
            let number = number >> shift;
            prop_assert_eq!(written(|line| line.signed(number)), number.to_string());
            let number = number.cast_unsigned();
            prop_assert_eq!(written(|line| line.unsigned(number)), number.to_string());
        }
    }
}
