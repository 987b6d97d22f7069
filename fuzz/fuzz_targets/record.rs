//! A record of any bytes is an event or an error, and an event can be printed in every format.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tcc_trace::config::{Fields, Format, Output};
use tcc_trace::decode::Event;
use tcc_trace::events::Types;
use tcc_trace::events::ca::{Bits, Layouts};
use tcc_trace::session::columns::select;
use tcc_trace::session::output::sink_into;
use tcc_trace::sink::jsonl::Jsonl;
use tcc_trace::sink::Sink;
use tcc_trace::table::{ColumnSet, Moment};

fuzz_target!(|bytes: &[u8]| {
    let layouts = Layouts::new(|_, _| Some(Bits { offset: 3, size: 9 }));
    let types = Types {
        layouts,
        reset_reasons: [(1, "NO_SOCKET".to_owned())].into(),
        ..Types::default()
    };
    let moment = |ns: u64| Moment::Wall(ns.cast_signed());
    let Ok(event) = Event::decode(bytes, &types, moment) else { return };
    for format in [Format::Jsonl, Format::Csv, Format::Text] {
        let output = Output { format, fields: Fields::All, ..Output::default() };
        let selection = select(&[event.event_type()], &output, |_| true).expect("all fields");
        let mut sink = sink_into(std::io::sink(), &output, &selection);
        sink.event(&event).unwrap();
        sink.flush().unwrap();
        if format == Format::Jsonl {
            let tables: Vec<ColumnSet> =
                selection.tables.iter().map(|(_, table)| table.clone()).collect();
            let mut line = Vec::new();
            let mut jsonl = Jsonl::new(&mut line, &tables);
            jsonl.event(&event).unwrap();
            jsonl.flush().unwrap();
            drop(jsonl);
            serde_json::from_slice::<serde_json::Value>(&line).expect("a line is JSON");
        }
    }
});
