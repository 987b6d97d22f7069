//! What each format prints of each event type, byte for byte: a fixed record goes through the program's own reading,
//! choice of columns and sinks, and comes out as it stands in EVENT_TYPE.txt, .jsonl and .csv. UPDATE=1 writes them anew.

mod borders;
mod exports;
#[path = "../support/predicate/mod.rs"]
mod generated;
mod plans;
mod predicate;
mod records;

use std::fs;
use std::path::{Path, PathBuf};

use generated::Written;
use records::{CODE, REASON, records};
use tcc_trace::config::{Destination, Fields, Output};
use tcc_trace::decode::Event;
use tcc_trace::environment::{ClockReading, Environment};
use tcc_trace::events::ca::{Bits, Layouts};
use tcc_trace::events::{EVENT_TYPES, EventType, Types, ca_mainline};
use tcc_trace::session::columns::{Selection, select};
use tcc_trace::session::output;
use tcc_trace::sink::{FORMATS, Format, Sink, text};
use tcc_trace::skel::{Head, ProbeRecord, ProbeStd, bytes};
use tcc_trace::symbols::Symbols;
use tcc_trace::table::{Column, Member, Moment, Type, Value};

/// From CLOCK_MONOTONIC to the wall clock.
const OFFSET_NS: i64 = 1_700_000_000_000_000_000;

/// What a kernel has: names for numbers, and places for the members of the algorithms' state.
fn types() -> Types {
    let mut words = 0;
    let layouts = Layouts::new(|algorithm, member| {
        ca_mainline::locate(algorithm.type_name, member).or_else(|| {
            words += 1;
            Some(Bits { offset: words * 32, size: 32 })
        })
    });
    Types {
        layouts,
        reset_reasons: [(REASON.into(), "NO_SOCKET".to_owned())].into(),
        drop_reasons: [(REASON.into(), "NETFILTER_DROP".to_owned())].into(),
        symbols: Symbols::parse(&format!("{CODE:x} T tcp_drop\n")),
        ..Types::default()
    }
}

fn decode<'t>(record: &'t [u8], types: &'t Types) -> Event<'t> {
    let moment = |ns: u64| Moment::Wall(OFFSET_NS + ns.cast_signed());
    Event::decode(record, types, moment).expect("a record of this event type")
}

fn output(format: &'static Format, fields: Fields) -> Output {
    let destinations = vec![Destination::new(format, None)];
    // All of them, also those that --all-fields leaves out.
    let limits = fields == Fields::All;
    Output { destinations, fields, header: true, limits, ..Output::default() }
}

fn sink_into(written: Written, output: &Output, selection: &Selection) -> Box<dyn Sink> {
    output::sink_into(written, &output.destinations[0], output, selection)
}

fn selection(event_type: &'static EventType, output: &Output) -> Selection {
    select(&[event_type], output, |_| true).expect("no field was named")
}

/// Those that print the requested fields as text.
fn text_formats() -> impl Iterator<Item = &'static Format> {
    FORMATS.iter().copied().filter(|format| ["text", "jsonl", "csv"].contains(&format.name))
}

/// The standard fields, then all of them.
fn printed(event_type: &'static EventType, format: &'static Format, types: &Types) -> Vec<u8> {
    let written = Written::default();
    for fields in [Fields::Standard, Fields::All] {
        let output = output(format, fields);
        let mut sink = sink_into(written.clone(), &output, &selection(event_type, &output));
        sink.begin().unwrap();
        for record in records(event_type) {
            sink.event(&decode(&record, types)).unwrap();
        }
        sink.finish().unwrap();
    }
    written.0.take()
}

fn golden(name: &str, extension: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.{extension}"))
}

#[test]
fn every_event_type_is_printed_as_before() {
    let types = types();
    let mut different = Vec::new();
    for event_type in EVENT_TYPES {
        for format in text_formats() {
            let extension = if format == &text::FORMAT { "txt" } else { format.name };
            let path = golden(event_type.name, extension);
            let now = printed(event_type, format, &types);
            if std::env::var_os("UPDATE").is_some() {
                fs::write(&path, &now).unwrap();
            }
            let before = fs::read(&path).unwrap_or_default();
            if now != before {
                let [before, now] = [&before, &now].map(|text| String::from_utf8_lossy(text));
                let line = before.lines().zip(now.lines()).find(|(before, now)| before != now);
                different.push(format!("{}: {line:#?}", path.display()));
            }
        }
    }
    assert!(
        different.is_empty(),
        "{}\nIf that is meant: UPDATE=1 cargo test --test golden",
        different.join("\n")
    );
}

/// An environment that was stored decodes the records to the same output, and selects the same columns.
#[test]
fn a_stored_environment_decodes_the_same() {
    let mut environment = Environment {
        host: "host".to_owned(),
        kernel: "6.18.0".to_owned(),
        clock: ClockReading { start_ns: 5, wall_offset_ns: OFFSET_NS },
        types: types(),
        ..Environment::default()
    };
    let columns = (EVENT_TYPES[0].columns)();
    let needed: Vec<Member> = columns.iter().filter_map(|column| column.need).collect();
    environment.add_missing(needed[0]);
    let json = serde_json::to_string(&environment).unwrap();
    let stored: Environment = serde_json::from_str(&json).unwrap();
    assert_eq!(stored, environment);
    assert!(!stored.has(needed[0]) && needed.iter().any(|&member| stored.has(member)));
    for event_type in EVENT_TYPES {
        for format in text_formats() {
            let [now, before] =
                [&stored, &environment].map(|e| printed(event_type, format, &e.types));
            assert!(now == before, "{}: {}", event_type.name, format.name);
        }
    }
    // Every column has a value in a record, so what was not stored would be missed.
    let empty = printed(&EVENT_TYPES[0], FORMATS[0], &Types::default());
    assert!(empty != printed(&EVENT_TYPES[0], FORMATS[0], &stored.types));
}

/// The longest IPv4 ends and large values do not move a sample's cells from under their titles.
#[test]
fn a_sample_is_a_line_of_a_terminal() {
    let types = types();
    let event_type = &EVENT_TYPES[0];
    let addr = |a| [[0; 10].as_slice(), &[0xff; 2], &[192, 168, 100, a]].concat();
    let head = Head {
        mono_ns: 5_000_123_456_789,
        saddr: addr(200).try_into().expect("16 bytes"),
        daddr: addr(255).try_into().expect("16 bytes"),
        sport: 54_321,
        dport: 65_535,
        event_type: event_type.number,
        len: size_of::<ProbeRecord>() as u16,
        ..Head::default()
    };
    #[rustfmt::skip]
    let std = ProbeStd {
        data_len: 65_535, snd_nxt: 14_000_000, snd_cwnd: 9_999, ssthresh: 99_999, srtt_us: 999_999,
        snd_wnd: 9_999_999, ..ProbeStd::default()
    };
    let written = Written::default();
    let output = output(&text::FORMAT, Fields::Standard);
    let mut sink = sink_into(written.clone(), &output, &selection(event_type, &output));
    sink.begin().unwrap();
    let small = ProbeRecord { head, ..ProbeRecord::default() };
    for record in [small, ProbeRecord { head, std }] {
        sink.event(&decode(bytes(&record), &types)).unwrap();
    }
    sink.flush().unwrap();
    let text = String::from_utf8(written.0.take()).expect("UTF-8");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.iter().all(|line| line.len() <= 100), "{text}");
    // Words begin below their title, numbers end there.
    let edges = |line: &str| {
        let end = |word: &str| word.as_ptr().addr() - line.as_ptr().addr() + word.len();
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let edges = words.iter().enumerate();
        edges.map(|(i, word)| end(word) - if i < 3 { word.len() } else { 0 }).collect::<Vec<_>>()
    };
    assert_eq!(edges(lines[0]).len(), event_type.view.len(), "{text}");
    for line in &lines[2..] {
        assert_eq!(edges(line), edges(lines[0]), "{text}");
    }
    assert!(lines[3].contains(" 192.168.100.255:65535 9999 99999 999999 9999999 "), "{text}");
}

/// Every value is on the terminal, in a cell or behind its name: of one event type and of several in one stream, the values of
/// the view with the standard fields, and all values with all fields.
#[test]
fn every_value_is_in_text() {
    let types = types();
    for (i, event_type) in EVENT_TYPES.iter().enumerate() {
        let other = &EVENT_TYPES[(i + 1) % EVENT_TYPES.len()];
        let in_view = |column: &str| {
            event_type.view.iter().any(|(_, of, _)| of.split(':').any(|of| of == column))
        };
        for event_types in [&[event_type][..], &[event_type, other], &[other, event_type]] {
            let is_common =
                |column: &str| ["time", "saddr", "sport", "daddr", "dport"].contains(&column);
            let in_cell = |column: &str| {
                if event_types.len() == 1 { in_view(column) } else { is_common(column) }
            };
            for fields in [Fields::Standard, Fields::All] {
                let output = output(&text::FORMAT, fields.clone());
                let selection = select(event_types, &output, |_| true).expect("no field was named");
                let wanted = |column: &Column| {
                    // A list has lines of its own.
                    column.ty != Type::TextList && (fields == Fields::All || in_view(column.name))
                };
                for record in records(event_type) {
                    let written = Written::default();
                    let mut sink = sink_into(written.clone(), &output, &selection);
                    let event = decode(&record, &types);
                    sink.event(&event).unwrap();
                    sink.flush().unwrap();
                    let text = String::from_utf8(written.0.take()).expect("UTF-8");
                    let columns = (event_type.columns)();
                    for column in columns.iter().filter(|column| wanted(column)) {
                        let behind = text.contains(&format!(" {}:", column.name));
                        let nothing = event.value(column) == Value::Null;
                        assert!(
                            in_cell(column.name) || behind || nothing,
                            "{}: {}:\n{text}",
                            event_type.name,
                            column.name
                        );
                    }
                }
            }
        }
    }
}

/// Fields that are named are columns in that order, of several event types, too; those that a type does not have are empty.
#[test]
fn named_fields_of_several_types_are_a_table() {
    let types = types();
    let named = ["sport", "class", "old_state", "pid"].map(str::to_owned);
    let output = output(&text::FORMAT, Fields::Named(named.into()));
    let event_types =
        ["retransmit", "state"].map(|name| tcc_trace::events::event_type(name).unwrap());
    let selection = select(&event_types, &output, |_| true).expect("these fields");
    let written = Written::default();
    let mut sink = sink_into(written.clone(), &output, &selection);
    sink.begin().unwrap();
    for event_type in event_types {
        sink.event(&decode(&records(event_type)[0], &types)).unwrap();
    }
    sink.flush().unwrap();
    let text = String::from_utf8(written.0.take()).expect("UTF-8");
    let cells: Vec<Vec<&str>> =
        text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(cells[0], ["sport", "EVENT", "class", "old_state", "pid"], "{text}");
    let [retransmit, state] = &cells[1..] else { panic!("{text}") };
    assert_eq!((retransmit[1], retransmit[3]), ("retransmit", "-"), "{text}");
    assert_eq!((state[1], state[2]), ("state", "-"), "{text}");
    assert_eq!((retransmit.len(), state.len()), (5, 5), "{text}");
}

/// What is null in every record would not be noticed when it changes.
#[test]
fn every_column_has_a_value_in_a_record() {
    let types = types();
    for event_type in EVENT_TYPES {
        let records = records(event_type);
        let empty = |column: &&'static Column| {
            records.iter().all(|record| decode(record, &types).value(column) == Value::Null)
        };
        let columns = (event_type.columns)().into_iter();
        let empty: Vec<_> = columns.filter(empty).map(|column| column.name).collect();
        assert!(empty.is_empty(), "{}: {empty:?}", event_type.name);
    }
}

/// Files of event types that there are no more.
#[test]
fn every_file_is_of_an_event_type() {
    for entry in fs::read_dir(golden("x", "y").parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let is_rust = path.extension().is_some_and(|extension| extension == "rs");
        assert!(
            is_rust || EVENT_TYPES.iter().any(|event_type| event_type.name == stem),
            "{}",
            path.display()
        );
    }
}
