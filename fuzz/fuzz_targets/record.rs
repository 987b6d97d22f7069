//! A record of any bytes is an event or an error, and an event can be printed in every format.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tcc_trace::event::Event;
use tcc_trace::events::Types;
use tcc_trace::events::ca::{Bits, Layouts};
use tcc_trace::sink::{Sink, csv::Csv, jsonl::Jsonl};
use tcc_trace::table::{Moment, Selected, Table};

fuzz_target!(|bytes: &[u8]| {
    let layouts = Layouts::new(|_, _| Some(Bits { offset: 3, size: 9 }));
    let types = Types {
        layouts,
        reset_reasons: [(1, "NO_SOCKET".to_owned())].into(),
        ..Types::default()
    };
    let moment = |ns: u64| Moment::Wall(ns.cast_signed());
    let Ok(event) = Event::decode(bytes, &types, moment) else { return };
    let event_type = event.event_type();
    let select = |(index, column)| Selected { index, column, present: true };
    let columns = (event_type.columns)().into_iter().enumerate().map(select).collect();
    let table = Table { event_type: event_type.number.into(), name: event_type.name, columns };
    let mut lines = Vec::new();
    let mut jsonl = Jsonl::new(&mut lines, std::slice::from_ref(&table));
    jsonl.event(&event).unwrap();
    jsonl.flush().unwrap();
    drop(jsonl);
    serde_json::from_slice::<serde_json::Value>(&lines).expect("a line is JSON");
    let mut csv = Csv::new(Vec::new(), std::slice::from_ref(&table), true);
    csv.event(&event).unwrap();
    csv.flush().unwrap();
});
