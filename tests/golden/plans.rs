//! JSON and CSV lines are written from a plan that reads the record's bytes. Here the same lines are written value by value, with
//! the standard library where it can, and both must agree for any record.

use std::mem::offset_of;

use proptest::prelude::*;
use tcc_trace::config::Fields;
use tcc_trace::decode::Event;
use tcc_trace::escape;
use tcc_trace::events::fields::{Expander, RecordLayout};
use tcc_trace::events::{EVENT_TYPES, EventType, tcp_probe};
use tcc_trace::session::columns::{Selection, select};
use tcc_trace::sink::{Format, csv, jsonl};
use tcc_trace::skel::{
    self, DropRecord, DropStackRecord, Head, ProbeFullRecord, QueueRecord, ResetSentRecord,
};
use tcc_trace::table::{ColumnSet, Moment, Selected, Value};
use time::OffsetDateTime;

use super::{CODE, REASON, Written, output, sink_into, types};

const ALGORITHMS: &[&[u8]] =
    &[b"cubic", b"bbr", b"dctcp", b"dctcp-reno", b"reno", b"bbr2", b"cubicx", b"", b"a\"b\xff,"];

/// Numbers that mean something special are frequent.
fn word() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => Just(0),
        1 => Just(u64::MAX),
        1 => Just(0x7fff_ffff_7fff_ffff),
        2 => any::<[bool; 8]>().prop_map(|bytes| u64::from_ne_bytes(bytes.map(u8::from))),
        3 => (any::<u64>(), 0..64u32).prop_map(|(word, shift)| word >> shift),
    ]
}

fn address() -> impl Strategy<Value = [u8; 16]> {
    let mapped = |last: [u8; 4]| {
        let mut address = [0; 16];
        address[10..12].fill(0xff);
        address[12..].copy_from_slice(&last);
        address
    };
    prop_oneof![
        any::<[u8; 4]>().prop_map(mapped),
        Just(mapped([0; 4])),
        Just([0; 16]),
        any::<[u8; 16]>(),
        any::<u8>().prop_map(|last| u128::from(last).to_be_bytes()),
    ]
}

fn text() -> impl Strategy<Value = [u8; 16]> {
    prop_oneof![
        "[a-z]{0,16}".prop_map(String::into_bytes),
        r#"[a-z ,;"\\\x1b\u{9b}é]{0,8}"#.prop_map(String::into_bytes),
        any::<[u8; 16]>().prop_map(Vec::from),
    ]
    .prop_map(|mut text| {
        text.resize(16, 0);
        text.try_into().expect("16 bytes")
    })
}

/// A record of that event type: any bytes under a valid head, with names, addresses, reasons and code that there may be.
fn record(event_type: &'static EventType) -> impl Strategy<Value = Vec<u8>> {
    let words = proptest::collection::vec(word(), event_type.record.longest.div_ceil(8));
    let flags = (any::<bool>(), any::<bool>(), 0..3u8);
    let ends = [address(), address()];
    let code = (prop_oneof![Just(REASON), 0..3u32], 0..64u64, 0..70u8);
    (words, flags, ends, [text(), text(), text()], 0..ALGORITHMS.len(), code).prop_map(
        move |(words, (full, wiped, present), ends, texts, algorithm, code)| {
            let mut record: Vec<u8> = words.into_iter().flat_map(u64::to_ne_bytes).collect();
            let sizes = event_type.record;
            record.truncate(if full { sizes.longest } else { sizes.size });
            let len = (record.len() as u16).to_ne_bytes();
            let mut put = |at: usize, bytes: &[u8]| {
                if let Some(place) = record.get_mut(at..at + bytes.len()) {
                    place.copy_from_slice(bytes);
                }
            };
            put(offset_of!(Head, saddr), &ends[0]);
            put(offset_of!(Head, daddr), &ends[1]);
            put(offset_of!(Head, event_type), &[event_type.number]);
            put(offset_of!(Head, flags), &[u8::from(wiped)]);
            put(offset_of!(Head, len), &len);
            if event_type.is_probe() {
                put(offset_of!(ProbeFullRecord, owner.comm), &texts[0]);
                let mut name = ALGORITHMS[algorithm].to_vec();
                name.resize(16, 0);
                put(offset_of!(ProbeFullRecord, ca.name), &name);
            } else {
                put(offset_of!(skel::Event, owner.comm), &texts[0]);
                put(offset_of!(skel::Event, tcp.present), &[present]);
            }
            match event_type.name {
                "queue" => {
                    put(offset_of!(QueueRecord, dev), &texts[1]);
                    put(offset_of!(QueueRecord, qdisc), &texts[2]);
                }
                "drop" => {
                    let (reason, offset, frames) = code;
                    put(offset_of!(DropRecord, location), &(CODE + offset).to_ne_bytes());
                    put(offset_of!(DropRecord, reason), &reason.to_ne_bytes());
                    put(offset_of!(DropRecord, frames), &[frames]);
                    put(offset_of!(DropStackRecord, stack), &(CODE + 1).to_ne_bytes());
                    let third = offset_of!(DropStackRecord, stack) + 16;
                    put(third, &(CODE + offset).to_ne_bytes());
                }
                "reset_sent" => put(offset_of!(ResetSentRecord, reason), &REASON.to_ne_bytes()),
                _ => {}
            }
            record
        },
    )
}

fn text_of(value: Value<'_>) -> Option<String> {
    let mut out = Vec::new();
    match value {
        Value::Str(text) => return Some(text.to_owned()),
        Value::Ip(address) => return Some(address.to_string()),
        Value::Code(address, symbols) => return symbols.shown(address),
        Value::Time(Moment::Wall(ns)) => {
            let time = OffsetDateTime::from_unix_timestamp_nanos(ns.into()).expect("a time");
            let form = "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:9]Z";
            let form = time::format_description::parse_borrowed::<2>(form).expect("a form");
            return Some(time.format(&form).expect("a text"));
        }
        Value::Name(name) => escape::name(name, &mut out),
        _ => return None,
    }
    Some(String::from_utf8(out).expect("UTF-8"))
}

fn number_of(value: Value<'_>) -> Option<String> {
    Some(match value {
        Value::Bool(flag) => flag.to_string(),
        Value::U64(number) => number.to_string(),
        Value::I64(number) => number.to_string(),
        Value::F64(number) => format!("{number:?}"),
        _ => return None,
    })
}

fn json(value: Value<'_>) -> String {
    if let Value::Stack(frames, symbols) = value {
        let frames = frames.iter().map(|frame| json(Value::Code(frame, symbols)));
        return format!("[{}]", frames.collect::<Vec<_>>().join(","));
    }
    let quoted = |text: String| {
        let mut out = Vec::new();
        match value {
            Value::Name(name) => escape::json_name(name, &mut out),
            _ => escape::json(&text, &mut out),
        }
        String::from_utf8(out).expect("UTF-8")
    };
    number_of(value).or_else(|| text_of(value).map(quoted)).unwrap_or_else(|| "null".to_owned())
}

fn json_line(event: &Event<'_>, table: &ColumnSet) -> String {
    let mut line = format!("{{\"type\":\"{}\"", table.name);
    let mut group = None;
    for selected in &table.columns {
        let column = selected.column;
        if column.group() != group && group.is_some() {
            line += if event.has_group(group.unwrap_or_default()) { "}" } else { "" };
        }
        let Some(name) = column.group() else {
            line += &format!(",\"{}\":{}", column.name, json(event.selected(Some(selected))));
            continue;
        };
        let begins = group.replace(name) != Some(name);
        if !event.has_group(name) {
            line += &if begins { format!(",\"{name}\":null") } else { String::new() };
            continue;
        }
        line += &if begins { format!(",\"{name}\":{{") } else { ",".to_owned() };
        line += &format!("\"{}\":{}", column.leaf(), json(event.selected(Some(selected))));
    }
    line += if group.is_some_and(|group| event.has_group(group)) { "}" } else { "" };
    line + "}\n"
}

fn csv_line(event: &Event<'_>, table: &ColumnSet, all: &[&str]) -> String {
    let mut line = table.name.to_owned();
    for name in all {
        let selected: Option<&Selected> = table.columns.iter().find(|s| s.column.name == *name);
        let value = event.selected(selected);
        let cell = match value {
            Value::Stack(frames, symbols) => {
                let frames = frames.iter().map(|frame| symbols.shown(frame).unwrap_or_default());
                frames.collect::<Vec<_>>().join(";")
            }
            value => number_of(value).or_else(|| text_of(value)).unwrap_or_default(),
        };
        let quote = if cell.contains([',', '"']) { "\"" } else { "" };
        line += &format!(",{quote}{}{quote}", cell.replace('"', "\"\""));
    }
    line + "\n"
}

/// What the sink wrote of the records, in lines of their own.
fn written(
    format: &'static Format,
    fields: &Fields,
    selection: &Selection,
    events: &[Event<'_>],
) -> String {
    let written = Written::default();
    let mut sink = sink_into(written.clone(), &output(format, fields.clone()), selection);
    for event in events {
        sink.event(event).unwrap();
    }
    sink.flush().unwrap();
    String::from_utf8(written.0.take()).expect("UTF-8")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_writes_what_the_values_are(
        (first, second) in (0..EVENT_TYPES.len(), 0..EVENT_TYPES.len())
            .prop_flat_map(|(a, b)| (record(&EVENT_TYPES[a]), record(&EVENT_TYPES[b]))),
        all_fields in any::<bool>(),
        has_members in any::<bool>(),
        both in any::<bool>(),
    ) {
        let types = types();
        let decode = |record| {
            let moment = |ns: u64| Moment::Wall(ns.cast_signed());
            Event::decode(record, &types, moment).expect("a record of its event type")
        };
        let mut events = vec![decode(&first), decode(&second)];
        let mut event_types: Vec<&'static EventType> =
            events.iter().map(|event| event.event_type()).collect();
        if !both || event_types[0].number == event_types[1].number {
            events.truncate(1);
            event_types.truncate(1);
        }
        let fields = if all_fields { Fields::All } else { Fields::Standard };
        let output = output(&jsonl::FORMAT, fields.clone());
        let selection = select(&event_types, &output, |_| has_members).expect("no field was named");
        let tables: Vec<&ColumnSet> = selection.tables.iter().map(|(_, table)| table).collect();
        let mut names: Vec<&str> = Vec::new();
        for selected in tables.iter().flat_map(|table| &table.columns) {
            if !names.contains(&selected.column.name) {
                names.push(selected.column.name);
            }
        }
        let lines = |line: &dyn Fn(&Event<'_>, &ColumnSet) -> String| -> String {
            events.iter().zip(&tables).map(|(event, table)| line(event, table)).collect()
        };
        prop_assert_eq!(
            written(&jsonl::FORMAT, &fields, &selection, &events),
            lines(&json_line)
        );
        prop_assert_eq!(
            written(&csv::FORMAT, &fields, &selection, &events),
            lines(&|event, table| csv_line(event, table, &names))
        );
    }

    #[test]
    fn a_record_with_the_needed_field_groups_has_the_same_values(
        records in [full(), full()],
        names in prop_oneof![names(1..8), names(8..100)],
    ) {
        let types = types();
        let moment = |ns: u64| Moment::Wall(ns.cast_signed());
        let fields = Fields::Named(names);
        let output = output(&jsonl::FORMAT, fields.clone());
        let selection = select(&[&tcp_probe::EVENT_TYPE], &output, |_| true).expect("known fields");
        let layout = RecordLayout::new(selection.groups);
        let mut expander = Expander::new(layout.clone());
        for record in &records {
            let short = loaded(record, &layout);
            let short = Event::decode(expander.expand(&short), &types, moment).expect("a record");
            let whole = Event::decode(record, &types, moment).expect("a record");
            for format in [&jsonl::FORMAT, &csv::FORMAT] {
                let line = |event| written(format, &fields, &selection, std::slice::from_ref(event));
                prop_assert_eq!(line(&short), line(&whole));
            }
        }
    }
}

/// A record of `probe` with all field groups.
fn full() -> impl Strategy<Value = Vec<u8>> {
    let longest = tcp_probe::EVENT_TYPE.record.longest;
    record(&tcp_probe::EVENT_TYPE).prop_filter("all groups", move |record| record.len() == longest)
}

/// Some columns of `probe`.
fn names(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<String>> {
    let columns = (tcp_probe::EVENT_TYPE.columns)();
    let names: Vec<String> = columns.iter().map(|column| column.name.to_owned()).collect();
    proptest::sample::subsequence(names, count)
}

/// A record as the kernel emits it with that layout.
fn loaded(record: &[u8], layout: &RecordLayout) -> Vec<u8> {
    let mut loaded = vec![0; layout.record_len().into()];
    for (offset, byte) in record.iter().enumerate() {
        if let Some(at) = layout.locate(offset) {
            loaded[at] = *byte;
        }
    }
    let len = offset_of!(Head, len);
    loaded[len..len + 2].copy_from_slice(&layout.record_len().to_ne_bytes());
    loaded
}
