//! Whatever bytes the kernel has for names, no format lets through what a terminal would act upon or not show.

use proptest::prelude::*;
use tcc_trace::config::{Destination, Fields, Output};
use tcc_trace::escape::unescape;
use tcc_trace::events::EVENT_TYPES;
use tcc_trace::session::columns::select;
use tcc_trace::sink::template::{Align, Piece};
use tcc_trace::sink::{jsonl, text};

use super::records::records;
use super::{Written, decode, sink_into, text_formats, types};

/// Controls, and the format characters of Unicode 15 as its file of general categories lists them.
fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
            | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2064}'
            | '\u{2066}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}'
            | '\u{e0020}'..='\u{e007f}')
}

/// Names that do harm where they are printed as they are.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let text = r#"([\x1b\r\n\t,"\\{}]|\[2J|\u{9b}|\u{202e}|\u{2028}|\u{feff}|[a-zé]){1,8}"#;
    (text, proptest::option::of(128u8..)).prop_map(|(text, byte)| {
        let mut name = text.into_bytes();
        name.extend(byte);
        name.truncate(15);
        name.retain(|&byte| byte != 0);
        name
    })
}

/// The names that the records have, and the columns that show them.
const NAMES: &[(&[u8], &str)] =
    &[(b"server", "comm"), (b"cubic", "ca_name"), (b"eth0", "dev"), (b"fq_codel", "qdisc")];

/// The record with that name in place of each of those.
fn renamed(mut record: Vec<u8>, name: &[u8]) -> Vec<u8> {
    for (old, _) in NAMES {
        let at: Vec<usize> =
            (0..record.len()).filter(|&at| record[at..].starts_with(old)).collect();
        for at in at {
            let len = old.len().max(name.len());
            record[at..at + len].fill(0);
            record[at..at + name.len()].copy_from_slice(name);
        }
    }
    record
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_name_commands_a_terminal_or_a_reader(name in name(), at in 0..EVENT_TYPES.len()) {
        let (kind, types, mut shown_names) = (&EVENT_TYPES[at], types(), 0);
        let cell = |name: &str| Piece::Column { name: name.into(), align: Align::ByType, width: 0 };
        let line = vec![cell("comm"), Piece::Text("|".into()), cell("time")];
        let formats = text_formats().map(|format| (format, None));
        for (format, template) in formats.chain([(&text::FORMAT, Some(line))]) {
            let fields = match template {
                Some(_) => Fields::Named(vec!["comm".into(), "time".into()]),
                None => Fields::All,
            };
            let destinations = vec![Destination::new(format, None)];
            let output = Output { destinations, fields, template, header: true, ..Output::default() };
            let selection = select(&[kind], &output, |_| true).expect("columns that there are");
            let written = Written::default();
            let mut sink = sink_into(written.clone(), &output, &selection);
            sink.begin().unwrap();
            for record in records(kind) {
                sink.event(&decode(&renamed(record, &name), &types)).unwrap();
            }
            sink.flush().unwrap();
            let text = String::from_utf8(written.0.take()).expect("UTF-8");
            prop_assert!(!text.replace('\n', "").contains(hidden), "{}: {text:?}", format.name);
            if format == &jsonl::FORMAT {
                for line in text.lines() {
                    let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
                    for (_, column) in NAMES {
                        // A short record has empty names; two keep theirs, as they choose the columns.
                        let kept = ["", "bbr", "dctcp"];
                        let shown = event[column].as_str().filter(|shown| !kept.contains(shown));
                        let Some(shown) = shown else { continue };
                        prop_assert_eq!(unescape(shown), &name[..], "{}", line);
                        shown_names += 1;
                    }
                }
                prop_assert!(shown_names > 0, "{text}");
            }
        }
    }
}
