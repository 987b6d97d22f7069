//! Any file is read to its end or refused, and each record in it is an event or malformed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tcc_trace::decode::Event;
use tcc_trace::recording::codec::{ByteOrder, Decoder};
use tcc_trace::recording::index;
use tcc_trace::recording::reader::{Recording, Step};
use tcc_trace::table::Moment;

fuzz_target!(|bytes: &[u8]| {
    read(bytes, false);
    read(bytes, true);
    if let Some((before, entries)) = index::unpack(bytes) {
        assert_eq!(index::pack(before, &entries).len(), bytes.len());
    }
    // What is behind the checksums, too.
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let Ok(mut decoder) = Decoder::new(order, bytes.to_vec(), 1000) else { continue };
        while let Ok(Some(place)) = decoder.advance() {
            assert!(decoder.record(place).len() >= 56);
        }
    }
});

fn read(bytes: &[u8], skips: bool) {
    let Ok(mut recording) = Recording::open(bytes) else { return };
    if skips {
        // Of the latter half of all times.
        recording.skip(|_, first, last| last > u64::MAX / 2 || first > last).expect("bytes in memory");
    }
    while let Ok(Step::Record) = recording.advance() {
        let types = recording.types.clone();
        let record = recording.record().to_vec();
        let event = Event::decode(&record, &types, |ns| Moment::Wall(ns.cast_signed()));
        let event = event.expect("an adapted record is valid");
        for column in (event.event_type().columns)() {
            let _ = event.value(column);
        }
    }
    assert!(recording.gaps().0.len() <= 1000);
}
