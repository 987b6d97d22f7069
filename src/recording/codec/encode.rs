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
    identities: HashMap<Identity, u32, BuildHasherDefault<Xxh3Default>>,
    /// The identity of the previous record, and its number.
    last: Option<(Identity, u32)>,
    /// Where the body of each identity's last record is in `bodies`.
    places: Vec<usize>,
    bodies: Vec<u8>,
    shapes: Shapes,
    time_ns: u64,
    records: u32,
    ctl: Vec<u8>,
    time: Vec<u8>,
    mask: Vec<u8>,
    code: Vec<u8>,
    values: Vec<u8>,
    /// Length codes that are not in `code` yet, and how many bits they have.
    bits: u64,
    filled: u32,
}

impl Encoder {
    #[must_use]
    pub fn new(order: ByteOrder) -> Self {
        Encoder {
            order,
            identities: HashMap::default(),
            last: None,
            places: Vec::new(),
            bodies: Vec::new(),
            shapes: Shapes::default(),
            time_ns: 0,
            records: 0,
            ctl: Vec::new(),
            time: Vec::new(),
            mask: Vec::new(),
            code: Vec::new(),
            values: Vec::new(),
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
        self.ctl.len() + self.time.len() + self.mask.len() + self.code.len() + self.values.len()
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
        let known = match &self.last {
            Some((last, number)) if last == identity => Some(*number),
            _ => self.identities.get(identity).copied(),
        };
        if let Some(number) = known {
            self.last = Some((*identity, number));
            write_varint(u64::from(number) + 1, &mut self.ctl);
            return self.places[number as usize];
        }
        self.ctl.push(0);
        self.ctl.extend_from_slice(identity);
        let place = self.bodies.len();
        self.bodies.resize(place + len, 0);
        if let Some(from) = self.shapes.replace(identity, place) {
            self.bodies.copy_within(from..from + len, place);
        }
        let number = self.places.len() as u32;
        self.places.push(place);
        self.identities.insert(*identity, number);
        self.last = Some((*identity, number));
        place
    }

    /// Writes the lanes of a body that differ from the previous one, which it replaces.
    fn differences(&mut self, place: usize, body: &[u8]) {
        let previous = &mut self.bodies[place..place + body.len()];
        let groups = body.len().div_ceil(GROUP);
        let first = self.mask.len();
        self.mask.resize(first + groups.div_ceil(8), 0);
        // Room for the values of all lanes, so that each is written as a whole.
        let mut end = self.values.len();
        self.values.resize(end + body.len() + LANE, 0);
        let pairs = previous.chunks_mut(GROUP).zip(body.chunks(GROUP));
        for (index, (old, new)) in pairs.enumerate() {
            if old == new {
                continue;
            }
            let mut changed = 0;
            let lanes = old.as_chunks_mut().0.iter_mut().zip(new.as_chunks().0);
            for (lane, (old, new)) in lanes.enumerate() {
                if old == new {
                    continue;
                }
                changed |= 1 << lane;
                let difference = self.order.load(*new).wrapping_sub(self.order.load(*old));
                *old = *new;
                let value = zigzag32(difference);
                let len = 4 - (value | 1).leading_zeros() / 8;
                self.values[end..end + LANE].copy_from_slice(&value.to_le_bytes());
                end += len as usize;
                self.bits |= u64::from(len - 1) << self.filled;
                self.filled += 2;
                if self.filled == 64 {
                    self.code.extend_from_slice(&self.bits.to_le_bytes());
                    (self.bits, self.filled) = (0, 0);
                }
            }
            self.mask[first + index / 8] |= 1 << (index % 8);
            self.mask.push(changed);
        }
        self.values.truncate(end);
    }

    /// Appends the frame's bytes, and begins the next frame.
    pub fn finish(&mut self, plain: &mut Vec<u8>) {
        if self.filled > 0 {
            self.code.extend_from_slice(&self.bits.to_le_bytes());
        }
        for stream in [&self.ctl, &self.time, &self.mask, &self.code] {
            plain.extend_from_slice(&(stream.len() as u32).to_le_bytes());
        }
        for stream in [&self.ctl, &self.time, &self.mask, &self.code, &self.values] {
            plain.extend_from_slice(stream);
        }
        plain.extend_from_slice(&[0; SLACK]);
        for stream in
            [&mut self.ctl, &mut self.time, &mut self.mask, &mut self.code, &mut self.values]
        {
            stream.clear();
        }
        self.identities.clear();
        self.places.clear();
        self.bodies.clear();
        self.shapes.0.clear();
        (self.last, self.time_ns, self.records) = (None, 0, 0);
        (self.bits, self.filled) = (0, 0);
    }
}
