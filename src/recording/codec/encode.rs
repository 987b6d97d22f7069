//! Builds a data frame.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use xxhash_rust::xxh3::Xxh3Default;

use super::{
    ByteOrder, GROUP, HEAD, IDENTITY, Identity, LANE, LEN, SLACK, Shapes, Unfit, write_varint,
    zigzag, zigzag32,
};

/// Builds a data frame.
pub struct Encoder {
    order: ByteOrder,
    numbers: HashMap<Identity, u32, BuildHasherDefault<Xxh3Default>>,
    /// By number.
    identities: Vec<Known>,
    /// The number of the previous record's identity.
    last: usize,
    bodies: Vec<u8>,
    shapes: Shapes,
    time_ns: u64,
    records: u32,
    ctl: Vec<u8>,
    time: Vec<u8>,
    mask: Vec<u8>,
    code: Vec<u8>,
    /// Values, and room for more.
    values: Vec<u8>,
    values_len: usize,
    /// Length codes that are not in `code` yet, and how many bits they have.
    bits: u64,
    filled: u32,
}

struct Known {
    identity: Identity,
    /// Where the body of its last record is in `bodies`.
    place: usize,
    /// The number of the identity whose record came next: where connections take turns, it does so again.
    next: usize,
}

/// How much more room for values is made at a time.
const ROOM: usize = 64 << 10;

impl Encoder {
    #[must_use]
    pub fn new(order: ByteOrder) -> Self {
        Encoder {
            order,
            numbers: HashMap::default(),
            identities: Vec::new(),
            last: 0,
            bodies: Vec::new(),
            shapes: Shapes::default(),
            time_ns: 0,
            records: 0,
            ctl: Vec::new(),
            time: Vec::new(),
            mask: Vec::new(),
            code: Vec::new(),
            values: Vec::new(),
            values_len: 0,
            bits: 0,
            filled: 0,
        }
    }

    /// Records so far.
    #[must_use]
    pub fn records(&self) -> u32 {
        self.records
    }

    /// Bytes of the frame so far.
    #[must_use]
    pub fn encoded(&self) -> usize {
        self.ctl.len() + self.time.len() + self.mask.len() + self.code.len() + self.values_len
    }

    /// Bytes of the bodies that are kept.
    #[must_use]
    pub fn state(&self) -> usize {
        self.bodies.len()
    }

    /// Adds a record.
    pub fn push(&mut self, record: &[u8]) -> Result<(), Unfit> {
        let time_ns = self.order.time(record).ok_or(Unfit)?;
        let identity: Identity =
            record.get(IDENTITY).and_then(|bytes| bytes.try_into().ok()).ok_or(Unfit)?;
        let len = self.order.load_len([identity[LEN.start], identity[LEN.start + 1]]);
        let body = &record[HEAD..];
        if record.len() != usize::from(len) || !body.len().is_multiple_of(LANE) {
            return Err(Unfit);
        }
        let difference = time_ns.wrapping_sub(self.time_ns).cast_signed();
        write_varint(zigzag(difference), &mut self.time);
        self.time_ns = time_ns;
        let place = self.place(&identity, body.len());
        self.differences(place, body);
        self.shapes.replace(&identity, place);
        self.records += 1;
        Ok(())
    }

    /// Where the previous body of that identity is.
    fn place(&mut self, identity: &Identity, len: usize) -> usize {
        let number = self.number(identity).unwrap_or(self.identities.len());
        if let Some(last) = self.identities.get_mut(self.last) {
            last.next = number;
        }
        self.last = number;
        if let Some(known) = self.identities.get(number) {
            write_varint(number as u64 + 1, &mut self.ctl);
            return known.place;
        }
        self.ctl.push(0);
        self.ctl.extend_from_slice(identity);
        let place = self.bodies.len();
        self.bodies.resize(place + len, 0);
        if let Some(from) = self.shapes.replace(identity, place) {
            self.bodies.copy_within(from..from + len, place);
        }
        self.numbers.insert(*identity, number as u32);
        self.identities.push(Known { identity: *identity, place, next: number });
        place
    }

    fn number(&self, identity: &Identity) -> Option<usize> {
        let next = self.identities.get(self.last)?.next;
        match self.identities.get(next) {
            Some(known) if known.identity == *identity => Some(next),
            _ => self.numbers.get(identity).map(|number| *number as usize),
        }
    }

    /// Writes the lanes of a body that differ from the previous one, which it replaces.
    fn differences(&mut self, place: usize, body: &[u8]) {
        let previous = &mut self.bodies[place..place + body.len()];
        let groups = body.len().div_ceil(GROUP);
        let first = self.mask.len();
        self.mask.resize(first + groups.div_ceil(8), 0);
        // Each value is written as a whole lane.
        let most = self.values_len + body.len() + LANE;
        if self.values.len() < most {
            self.values.resize(most + ROOM, 0);
        }
        let (old_groups, old_rest) = previous.as_chunks_mut::<GROUP>();
        let (new_groups, new_rest) = body.as_chunks::<GROUP>();
        let groups = old_groups.iter_mut().zip(new_groups).enumerate();
        let mut changes = Changes {
            order: self.order,
            code: &mut self.code,
            values: &mut self.values,
            values_len: self.values_len,
            bits: self.bits,
            filled: self.filled,
        };
        let mut changed = |index: usize, lanes| {
            self.mask[first + index / 8] |= 1 << (index % 8);
            self.mask.push(lanes);
        };
        for (index, (old, new)) in groups {
            if old != new {
                changed(index, changes.group(old, new));
            }
        }
        let rest = changes.group(old_rest, new_rest);
        if rest != 0 {
            changed(new_groups.len(), rest);
        }
        (self.values_len, self.bits, self.filled) =
            (changes.values_len, changes.bits, changes.filled);
    }

    /// Appends the frame's bytes, and begins the next frame.
    pub fn finish(&mut self, plain: &mut Vec<u8>) {
        if self.filled > 0 {
            self.code.extend_from_slice(&self.bits.to_le_bytes());
        }
        for stream in [&self.ctl, &self.time, &self.mask, &self.code] {
            plain.extend_from_slice(&(stream.len() as u32).to_le_bytes());
        }
        let values = &self.values[..self.values_len];
        for stream in [&self.ctl, &self.time, &self.mask, &self.code, values] {
            plain.extend_from_slice(stream);
        }
        plain.extend_from_slice(&[0; SLACK]);
        for stream in [&mut self.ctl, &mut self.time, &mut self.mask, &mut self.code] {
            stream.clear();
        }
        self.numbers.clear();
        self.identities.clear();
        self.bodies.clear();
        self.shapes.0.clear();
        (self.last, self.time_ns, self.records) = (0, 0, 0);
        (self.values_len, self.bits, self.filled) = (0, 0, 0);
    }
}

/// Where changed lanes go.
struct Changes<'a> {
    order: ByteOrder,
    code: &'a mut Vec<u8>,
    values: &'a mut [u8],
    values_len: usize,
    bits: u64,
    filled: u32,
}

impl Changes<'_> {
    /// Writes the lanes that differ; which ones, a bit each.
    #[inline]
    fn group(&mut self, old: &mut [u8], new: &[u8]) -> u8 {
        let mut changed = 0;
        let lanes = old.as_chunks_mut().0.iter_mut().zip(new.as_chunks().0);
        for (lane, (old, new)) in lanes.enumerate() {
            if old == new {
                continue;
            }
            changed |= 1 << lane;
            let difference = self.order.load(*new).wrapping_sub(self.order.load(*old));
            *old = *new;
            self.value(zigzag32(difference));
        }
        changed
    }

    #[inline]
    fn value(&mut self, value: u32) {
        let len = 4 - (value | 1).leading_zeros() / 8;
        self.values[self.values_len..self.values_len + LANE].copy_from_slice(&value.to_le_bytes());
        self.values_len += len as usize;
        self.bits |= u64::from(len - 1) << self.filled;
        self.filled += 2;
        if self.filled == 64 {
            self.code.extend_from_slice(&self.bits.to_le_bytes());
            (self.bits, self.filled) = (0, 0);
        }
    }
}
