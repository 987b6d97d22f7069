//! Random records and expressions, and an evaluator of its own that reads the JSON output.

#![allow(dead_code, reason = "each test uses its own part")]

pub mod random;
pub mod reference;
#[path = "../written.rs"]
mod written;

use serde_json::Value;
use tcc_trace::config::{Destination, Fields, Output};
use tcc_trace::decode::Event;
use tcc_trace::environment::Environment;
use tcc_trace::events::ca::{Bits, Layouts};
use tcc_trace::events::fields::{FieldGroups, RecordLayout};
use tcc_trace::events::{Types, ca_mainline};
use tcc_trace::session::columns::select;
use tcc_trace::session::output;
use tcc_trace::sink::jsonl;
use tcc_trace::table::Moment;

pub use self::written::Written;

/// A kernel with a few names and the mainline's layouts.
#[must_use]
pub fn environment() -> Environment {
    let names = |names: &[&str]| (1..).zip(names.iter().map(|name| (*name).to_owned())).collect();
    let types = Types {
        layouts: Layouts::new(|algorithm, member| {
            ca_mainline::locate(algorithm.type_name, member).or(Some(Bits { offset: 64, size: 16 }))
        }),
        reset_reasons: names(&["NOT_SPECIFIED", "NO_SOCKET", "TCP_STATE"]),
        drop_reasons: names(&["NO_SOCKET", "TCP_CSUM", "NETFILTER_DROP", "TCP_RESET"]),
        ..Types::default()
    };
    let layout = RecordLayout::new(FieldGroups::ALL);
    Environment { layout, types, ..Environment::default() }
}

#[must_use]
pub fn decode<'r>(record: &'r [u8], types: &'r Types) -> Event<'r> {
    Event::decode(record, types, |ns| Moment::Wall(ns.cast_signed())).expect("a valid record")
}

/// All fields of an event, as the program prints them.
#[must_use]
pub fn json(event: &Event<'_>) -> Value {
    let destinations = vec![Destination::new(&jsonl::FORMAT, None)];
    let output = Output { destinations, fields: Fields::All, limits: true, ..Output::default() };
    let selection = select(&[event.event_type()], &output, |_| true).unwrap();
    let written = Written::default();
    let mut sink = output::sink_into(written.clone(), &output.destinations[0], &output, &selection);
    sink.event(event).unwrap();
    sink.flush().unwrap();
    let line = written.0.take();
    serde_json::from_slice(&line).unwrap()
}
