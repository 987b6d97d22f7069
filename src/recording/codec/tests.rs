//! What was encoded is decoded, byte by byte; other bytes are an error at most.

use proptest::prelude::*;

use super::*;

/// A record with that time, identity and body.
pub fn record(order: ByteOrder, time_ns: u64, identity: u8, shape: u8, body: &[u8]) -> Vec<u8> {
    let mut record = order.store_time(time_ns).to_vec();
    record.resize(HEAD, identity);
    record[52..54].copy_from_slice(&[shape, 0]);
    let len = (HEAD + body.len()) as u16;
    let len = if order == ByteOrder::Big { len.to_be_bytes() } else { len.to_le_bytes() };
    record[54..56].copy_from_slice(&len);
    record.extend_from_slice(body);
    record
}

fn encode(order: ByteOrder, records: &[Vec<u8>]) -> Vec<u8> {
    let (mut encoder, mut plain) = (Encoder::new(order), Vec::new());
    records.iter().for_each(|record| encoder.push(record).unwrap());
    assert_eq!(encoder.records() as usize, records.len());
    encoder.finish(&mut plain);
    plain
}

fn decode(order: ByteOrder, plain: &[u8], count: u32) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut decoder = Decoder::new(order, plain.to_vec(), count)?;
    let mut records = Vec::new();
    while let Some(place) = decoder.advance()? {
        records.push(decoder.record(place).to_vec());
    }
    Ok(records)
}

#[test]
fn an_unchanged_record_takes_three_bytes() {
    let first = record(ByteOrder::Little, 1000, 1, 0, &[7; 40]);
    let second = record(ByteOrder::Little, 1001, 1, 0, &[7; 40]);
    let one = encode(ByteOrder::Little, std::slice::from_ref(&first));
    let two = encode(ByteOrder::Little, &[first, second]);
    // Its identity, its time, and that no group has changed.
    assert_eq!(two.len() - one.len(), 3);
}

#[test]
fn what_is_not_a_record_is_refused() {
    let good = record(ByteOrder::Little, 1, 1, 0, &[0; 8]);
    let mut encoder = Encoder::new(ByteOrder::Little);
    for bad in [&good[..63], &good[..55], &[], &[&good[..], &[0]].concat()] {
        assert_eq!(encoder.push(bad), Err(Unfit));
    }
    let odd = record(ByteOrder::Little, 1, 1, 0, &[0; 9]);
    assert_eq!(encoder.push(&odd), Err(Unfit));
    assert_eq!((encoder.records(), encoder.encoded()), (0, 0));
    assert_eq!(encoder.push(&good), Ok(()));
}

#[test]
fn a_frame_that_would_take_much_memory_is_refused() {
    // Each identity takes 49 bytes, and 64 KiB when it is decoded.
    let mut ctl = Vec::new();
    for number in 0..2000_u16 {
        let mut identity = [0; 48];
        identity[..2].copy_from_slice(&number.to_le_bytes());
        identity[46..].copy_from_slice(&(HEAD as u16 + 0xffb8).to_le_bytes());
        ctl.push(0);
        ctl.extend_from_slice(&identity);
    }
    let mut plain = Vec::new();
    let streams = [ctl, vec![0; 2000], vec![0; 2000 * 256], Vec::new()];
    streams.iter().for_each(|s| plain.extend_from_slice(&(s.len() as u32).to_le_bytes()));
    streams.iter().for_each(|stream| plain.extend_from_slice(stream));
    plain.extend_from_slice(&[0; SLACK]);
    let mut decoder = Decoder::new(ByteOrder::Little, plain, 2000).unwrap();
    while matches!(decoder.advance(), Ok(Some(_))) {}
    assert_eq!(decoder.advance(), Err(Malformed));
    assert!(decoder.state() <= MOST_STATE && decoder.left() > 0);
}

/// Bodies that change a little from record to record.
fn any_records(order: ByteOrder) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let lengths = [0, 4, 40, 64, 552];
    let change =
        proptest::collection::vec((any::<prop::sample::Index>(), any::<u32>(), 0..4u8), 0..4);
    let one = (0..3u8, 0..lengths.len(), any::<u32>(), change);
    proptest::collection::vec(one, 0..80).prop_map(move |all| {
        let mut bodies = vec![Vec::new(); lengths.len()];
        let mut records = Vec::new();
        let mut time = 1 << 40;
        for (identity, shape, step, changes) in all {
            let body: &mut Vec<u8> = &mut bodies[shape];
            body.resize(lengths[shape], 0);
            for (index, value, small) in changes.into_iter().filter(|_| lengths[shape] > 0) {
                let lane = index.index(lengths[shape] / 4) * 4;
                let value = value >> (8 * u32::from(small));
                body[lane..lane + 4].copy_from_slice(&value.to_le_bytes());
            }
            time = u64::wrapping_add(time, u64::from(step)).wrapping_sub(1 << 30);
            records.push(record(order, time, identity, shape as u8, body));
        }
        records
    })
}

proptest! {
    #[test]
    fn records_come_back_as_they_were(
        (order, records) in prop_oneof![Just(ByteOrder::Little), Just(ByteOrder::Big)]
            .prop_flat_map(|order| (Just(order), any_records(order)))
    ) {
        let plain = encode(order, &records);
        prop_assert_eq!(decode(order, &plain, records.len() as u32), Ok(records));
    }

    #[test]
    fn an_encoder_begins_each_frame_anew(records in any_records(ByteOrder::NATIVE)) {
        let (mut encoder, mut frames) = (Encoder::new(ByteOrder::NATIVE), [Vec::new(), Vec::new()]);
        for frame in &mut frames {
            records.iter().for_each(|record| encoder.push(record).unwrap());
            encoder.finish(frame);
        }
        prop_assert_eq!(&frames[0], &frames[1]);
    }

    #[test]
    fn any_bytes_are_records_or_an_error(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        lengths in any::<[u8; 4]>(),
    ) {
        let mut plain = bytes;
        for (place, len) in plain.chunks_mut(4).zip(lengths) {
            let len = u32::from(len).to_le_bytes();
            place.copy_from_slice(&len[..place.len()]);
        }
        let _ = decode(ByteOrder::Little, &plain, 100);
    }

    #[test]
    fn a_flipped_bit_is_records_or_an_error(
        records in any_records(ByteOrder::Little),
        at in any::<prop::sample::Index>(),
        bit in 0..8u8,
    ) {
        let mut plain = encode(ByteOrder::Little, &records);
        let at = at.index(plain.len());
        plain[at] ^= 1 << bit;
        let _ = decode(ByteOrder::Little, &plain, records.len() as u32);
    }
}
