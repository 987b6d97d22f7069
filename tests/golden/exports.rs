//! Formats for other programs have the values of the JSON lines.

use tcc_trace::events::EVENT_TYPES;
use tcc_trace::sink::{FORMATS, Format, jsonl};

use super::{printed, types};

fn format(name: &str) -> &'static Format {
    FORMATS.iter().find(|format| format.name == name).expect("a format")
}

#[test]
fn compressed_lines_are_the_lines() {
    let types = types();
    for event_type in EVENT_TYPES {
        let compressed = printed(event_type, format("jsonl.zst"), &types);
        let lines = zstd::decode_all(&compressed[..]).expect("zstd");
        assert!(lines == printed(event_type, &jsonl::FORMAT, &types), "{}", event_type.name);
        assert!(compressed.len() < lines.len());
    }
}

/// Every event type, alone: an array of events, whose numbers are those of the fields.
#[test]
fn a_trace_for_perfetto_is_json() {
    let types = types();
    let mut phases = String::new();
    for event_type in EVENT_TYPES {
        let text =
            String::from_utf8(printed(event_type, format("perfetto"), &types)).expect("UTF-8");
        let traces: Vec<serde_json::Value> =
            serde_json::Deserializer::from_str(&text).into_iter().map(Result::unwrap).collect();
        assert_eq!(traces.len(), 2, "{}", event_type.name);
        for event in traces.iter().flat_map(|trace| trace.as_array().expect("an array")) {
            phases += event["ph"].as_str().expect("a phase");
            assert!(event["pid"].as_u64().is_some() && event["name"].is_string(), "{event}");
        }
    }
    for phase in ["M", "C", "X", "i"] {
        assert!(phases.contains(phase), "{phase}: {phases}");
    }
}
