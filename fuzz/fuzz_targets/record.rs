//! A record of any bytes, whatever its layout, is an event or an error, and an event can be printed in every format.
#![no_main]

#[path = "../../tests/support/written.rs"]
mod written;


use libfuzzer_sys::fuzz_target;
use tcc_trace::config::{Destination, Fields, Output};
use tcc_trace::decode::Event;
use tcc_trace::events::Types;
use tcc_trace::events::ca::{Bits, Layouts};
use tcc_trace::events::fields::{Expander, RecordLayout};
use tcc_trace::session::columns::select;
use tcc_trace::session::output::sink_into;
use tcc_trace::sink::FORMATS;
use tcc_trace::table::Moment;

use written::Written;

/// A layout with a field group in the middle, and one of other parts.
const LAYOUTS: [&str; 2] = [
    r#"{"len":104,"parts":[{"at":96,"slots":168,"len":8}]}"#,
    r#"{"len":100,"parts":[{"at":90,"slots":640,"len":60},{"at":0,"slots":65535,"len":9}]}"#,
];

fuzz_target!(|bytes: &[u8]| {
    let layouts = Layouts::new(|_, _| Some(Bits { offset: 3, size: 9 }));
    let types =
        Types { layouts, reset_reasons: [(1, "NO_SOCKET".to_owned())].into(), ..Types::default() };
    for layout in LAYOUTS {
        let layout: RecordLayout = serde_json::from_str(layout).expect("a layout");
        print(Expander::new(layout).expand(bytes), &types);
    }
});

fn print(bytes: &[u8], types: &Types) {
    let moment = |ns: u64| Moment::Wall(ns.cast_signed());
    let Ok(event) = Event::decode(bytes, types, moment) else { return };
    for format in FORMATS {
        let destination = Destination::new(format, None);
        let output = Output { fields: Fields::All, ..Output::default() };
        let selection = select(&[event.event_type()], &output, |_| true).expect("all fields");
        let written = Written::default();
        let mut sink = sink_into(written.clone(), &destination, &output, &selection);
        sink.event(&event).unwrap();
        sink.flush().unwrap();
        if format.name == "jsonl" {
            let line = written.0.take();
            serde_json::from_slice::<serde_json::Value>(&line).expect("a line is JSON");
        }
    }
}
