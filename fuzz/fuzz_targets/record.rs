//! A record of any bytes is an event or an error, and an event can be printed in every format.
#![no_main]

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use libfuzzer_sys::fuzz_target;
use tcc_trace::config::{Destination, Fields, Output};
use tcc_trace::decode::Event;
use tcc_trace::events::Types;
use tcc_trace::events::ca::{Bits, Layouts};
use tcc_trace::session::columns::select;
use tcc_trace::session::output::sink_into;
use tcc_trace::sink::{FORMATS, jsonl};
use tcc_trace::table::Moment;

#[derive(Clone, Default)]
struct Written(Rc<RefCell<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let layouts = Layouts::new(|_, _| Some(Bits { offset: 3, size: 9 }));
    let types = Types {
        layouts,
        reset_reasons: [(1, "NO_SOCKET".to_owned())].into(),
        ..Types::default()
    };
    let moment = |ns: u64| Moment::Wall(ns.cast_signed());
    let Ok(event) = Event::decode(bytes, &types, moment) else { return };
    for format in FORMATS {
        let destinations = vec![Destination::new(format, None)];
        let output = Output { destinations, fields: Fields::All, ..Output::default() };
        let selection = select(&[event.event_type()], &output, |_| true).expect("all fields");
        let written = Written::default();
        let mut sink = sink_into(written.clone(), &output.destinations[0], &output, &selection);
        sink.event(&event).unwrap();
        sink.flush().unwrap();
        if **format == jsonl::FORMAT {
            let line = written.0.borrow();
            serde_json::from_slice::<serde_json::Value>(&line).expect("a line is JSON");
        }
    }
});
