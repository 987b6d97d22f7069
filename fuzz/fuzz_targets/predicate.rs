//! Any text is an expression or a mistake in it; an expression can be compiled and evaluated on any record.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tcc_trace::decode::Event;
use tcc_trace::environment::Environment;
use tcc_trace::events::{EVENT_TYPES, EventType};
use tcc_trace::predicate::{Compiled, Predicate};
use tcc_trace::table::Moment;

fuzz_target!(|input: (&str, &[u8])| {
    let (text, record) = input;
    let event_types: Vec<&'static EventType> = EVENT_TYPES.iter().collect();
    let environment = Environment::default();
    let Ok(predicate) = Predicate::parse(text) else { return };
    let Ok(checked) = predicate.check(&event_types, None) else { return };
    let compiled = checked.compile(&event_types, &environment);
    let user = Compiled::in_user_space(&checked, &environment);
    let moment = |ns: u64| Moment::Wall(ns.cast_signed());
    if let Ok(event) = Event::decode(record, &environment.types, moment) {
        let _ = compiled.matches(&event);
        let _ = user.matches(&event);
    }
});
