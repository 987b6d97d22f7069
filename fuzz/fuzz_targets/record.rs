//! A record of any bytes is an event or an error, and an event can be printed in every format.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tcc_trace::event::Event;
use tcc_trace::probe::ca::{Bits, Layouts};
use tcc_trace::probe::tcp_probe::KIND;
use tcc_trace::sink::{Sink, csv::Csv, jsonl::Jsonl};
use tcc_trace::table::{Moment, Selected};

fuzz_target!(|bytes: &[u8]| {
    let layouts = Layouts::new(|_, _| Some(Bits { offset: 3, size: 9 }));
    let moment = |ns: u64| Moment::Wall(ns.cast_signed());
    let Ok(event) = Event::decode(bytes, &layouts, moment) else { return };
    let columns: Vec<Selected> = (KIND.columns)()
        .into_iter()
        .enumerate()
        .map(|(index, column)| Selected { index, column, present: true })
        .collect();
    let mut lines = Vec::new();
    let mut jsonl = Jsonl::new(&mut lines, KIND.name, &columns);
    jsonl.event(&event).unwrap();
    jsonl.flush().unwrap();
    drop(jsonl);
    serde_json::from_slice::<serde_json::Value>(&lines).expect("a line is JSON");
    let mut csv = Csv::new(Vec::new(), KIND.name, &columns, true);
    csv.event(&event).unwrap();
    csv.flush().unwrap();
});
