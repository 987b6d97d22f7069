//! Reads a data frame.

use std::ops::Range;

use super::{
    ByteOrder, GROUP, HEAD, IDENTITY, Identity, LANE, LEN, LENGTHS, MOST_STATE, Malformed, SLACK,
    Shapes, TIME, unzigzag, unzigzag32,
};

/// A stream of a frame: what is left of it.
#[derive(Clone, Default)]
struct Stream {
    at: usize,
    end: usize,
}

impl Stream {
    fn take<'p>(&mut self, plain: &'p [u8], len: usize) -> Result<&'p [u8], Malformed> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.end).ok_or(Malformed)?;
        let bytes = plain.get(self.at..end).ok_or(Malformed)?;
        self.at = end;
        Ok(bytes)
    }

    fn byte(&mut self, plain: &[u8]) -> Result<u8, Malformed> {
        let byte = *plain.get(self.at).filter(|_| self.at < self.end).ok_or(Malformed)?;
        self.at += 1;
        Ok(byte)
    }

    fn varint(&mut self, plain: &[u8]) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte(plain)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }
}

/// Reads a data frame record by record. Any bytes are safe.
pub struct Decoder {
    order: ByteOrder,
    plain: Vec<u8>,
    /// Records that are left.
    left: u32,
    ctl: Stream,
    time: Stream,
    mask: Stream,
    code: Stream,
    values: Stream,
    /// The last record of each identity, one behind the other.
    records: Vec<u8>,
    places: Vec<Range<usize>>,
    shapes: Shapes,
    time_ns: u64,
    bits: u64,
    filled: u32,
}

impl Decoder {
    /// Of the plain bytes of a frame with that many records.
    pub fn new(order: ByteOrder, plain: Vec<u8>, records: u32) -> Result<Self, Malformed> {
        let mut streams: [Stream; 5] = Default::default();
        let mut at = LENGTHS;
        let lengths = plain.get(..LENGTHS).ok_or(Malformed)?.as_chunks::<LANE>().0;
        for (stream, len) in streams.iter_mut().zip(lengths) {
            let end = at.checked_add(u32::from_le_bytes(*len) as usize).ok_or(Malformed)?;
            *stream = Stream { at, end };
            at = end;
        }
        let end = plain.len().checked_sub(SLACK).filter(|end| at <= *end).ok_or(Malformed)?;
        streams[4] = Stream { at, end };
        let [ctl, time, mask, code, values] = streams;
        Ok(Decoder {
            order,
            plain,
            left: records,
            ctl,
            time,
            mask,
            code,
            values,
            records: Vec::new(),
            places: Vec::new(),
            shapes: Shapes::default(),
            time_ns: 0,
            bits: 0,
            filled: 0,
        })
    }

    /// Records that are left.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.left
    }

    /// Bytes of the records that are kept.
    #[must_use]
    pub fn state(&self) -> usize {
        self.records.len()
    }

    /// The frame's bytes, to be used again.
    #[must_use]
    pub fn into_buffer(self) -> Vec<u8> {
        self.plain
    }

    /// Decodes the next record; `None` behind the last one. [`Decoder::record`] has its bytes.
    pub fn advance(&mut self) -> Result<Option<Range<usize>>, Malformed> {
        if self.left == 0 {
            return Ok(None);
        }
        let difference = unzigzag(self.time.varint(&self.plain)?);
        let time_ns = self.time_ns.wrapping_add_signed(difference);
        let place = self.place()?;
        self.apply(place.start + HEAD..place.end)?;
        self.time_ns = time_ns;
        self.records[place.start..place.start + TIME]
            .copy_from_slice(&self.order.store_time(time_ns));
        self.left -= 1;
        Ok(Some(place))
    }

    /// The identities of all records that are left, and how many records each has, without decoding the records.
    pub fn identities(&mut self) -> Result<Vec<(Identity, u64)>, Malformed> {
        let mut identities: Vec<(Identity, u64)> = Vec::new();
        for _ in 0..std::mem::take(&mut self.left) {
            match self.ctl.varint(&self.plain)?.checked_sub(1) {
                Some(number) => {
                    let number = usize::try_from(number).map_err(|_| Malformed)?;
                    identities.get_mut(number).ok_or(Malformed)?.1 += 1;
                }
                None => {
                    let identity = self.ctl.take(&self.plain, IDENTITY.len())?;
                    identities.push((identity.try_into().map_err(|_| Malformed)?, 1));
                }
            }
        }
        Ok(identities)
    }

    /// The bytes of the record that was decoded last.
    #[must_use]
    pub fn record(&self, place: Range<usize>) -> &[u8] {
        self.records.get(place).unwrap_or_default()
    }

    /// The place of the next record, which still has the previous body.
    fn place(&mut self) -> Result<Range<usize>, Malformed> {
        let number = self.ctl.varint(&self.plain)?;
        if let Some(number) = number.checked_sub(1) {
            let number = usize::try_from(number).map_err(|_| Malformed)?;
            let place = self.places.get(number).cloned().ok_or(Malformed)?;
            let identity = self.records[place.start + IDENTITY.start..place.start + HEAD]
                .try_into()
                .map_err(|_| Malformed)?;
            self.shapes.replace(&identity, place.start);
            return Ok(place);
        }
        let identity: Identity =
            self.ctl.take(&self.plain, IDENTITY.len())?.try_into().map_err(|_| Malformed)?;
        let len = usize::from(self.order.load_len([identity[LEN.start], identity[LEN.start + 1]]));
        let start = self.records.len();
        if len < HEAD || !(len - HEAD).is_multiple_of(LANE) || start + len > MOST_STATE {
            return Err(Malformed);
        }
        let place = start..start + len;
        self.records.resize(place.end, 0);
        self.records[start + TIME..start + HEAD].copy_from_slice(&identity);
        if let Some(from) = self.shapes.replace(&identity, start) {
            self.records.copy_within(from + HEAD..from + len, start + HEAD);
        }
        self.places.push(place.clone());
        Ok(place)
    }

    /// Applies the next differences to a body.
    fn apply(&mut self, body: Range<usize>) -> Result<(), Malformed> {
        let Decoder { order, plain, mask, code, values, records, bits, filled, .. } = self;
        let body = &mut records[body];
        let groups = body.len().div_ceil(GROUP);
        let present = mask.take(plain, groups.div_ceil(8))?;
        for (index, group) in body.chunks_mut(GROUP).enumerate() {
            if present[index / 8] >> (index % 8) & 1 == 0 {
                continue;
            }
            let mut changed = mask.byte(plain)?;
            let lanes = group.as_chunks_mut::<LANE>().0;
            while changed != 0 {
                let lane = lanes.get_mut(changed.trailing_zeros() as usize).ok_or(Malformed)?;
                changed &= changed - 1;
                if *filled == 0 {
                    let next = code.take(plain, 8)?;
                    *bits = u64::from_le_bytes(next.try_into().map_err(|_| Malformed)?);
                    *filled = 64;
                }
                let len = (*bits & 3) as usize + 1;
                *bits >>= 2;
                *filled -= 2;
                // The slack behind the values makes four bytes readable wherever one is.
                let at = values.at;
                values.take(plain, len)?;
                let value = plain.get(at..at + LANE).ok_or(Malformed)?;
                let value = u32::from_le_bytes(value.try_into().map_err(|_| Malformed)?);
                let value = value & (u32::MAX >> (32 - 8 * len));
                let new = order.load(*lane).wrapping_add(unzigzag32(value));
                *lane = order.store(new);
            }
        }
        Ok(())
    }
}
