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
