//! `observe --detail`: the events that match an expression, beside the totals of all.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{
    FAMILIES, Fixture, Launch, TempDir, Tracer, cells, flooding, is_root, text, u64_of,
};

const TYPES: &str = "probe,state,destroy,reset_sent,reset_received";
const EXPR: &str = "data_len > 10000 || new_state == \"CLOSE_WAIT\" || old_state == \"SYN_SENT\"";

/// What does not depend on who looks, and when.
fn same_for_all(event: &Value) -> BTreeMap<String, Value> {
    let mut cells = cells(event);
    cells.retain(|name, _| name != "time" && !name.ends_with("_ns") && !name.ends_with("_us"));
    cells.insert("type".to_owned(), event["type"].clone());
    cells
}

fn check_detail(reader: &str) {
    need!(is_root(), "not root");
    let _quiet = flooding();
    let dir = TempDir::new();
    let file = dir.path().join("events.jsonl");
    let output = format!("jsonl={}", file.display());
    let mut fixture = Fixture::new();
    fixture.listen();
    let launch = Launch::here().with_tracefs();
    let ports = fixture.ports();
    let common = ["--reader", reader, "--port", &ports];
    let where_args = [&common[..], &["--where", EXPR]].concat();
    let filtered = Tracer::events_in(&launch, TYPES, &where_args);
    let metrics = ["--metrics", "connections,rtt,resets"];
    let detail = ["--detail", EXPR, "--events", &output];
    let tracer =
        Tracer::command_in(&launch, &["observe"], &[&common[..], &metrics, &detail].concat());
    let plain = Tracer::command_in(&launch, &["observe"], &[&common[..], &metrics].concat());
    fixture.exchange();
    fixture.connect("a", FAMILIES[0]);
    fixture.client.send("a", 100);
    fixture.server.close("a");
    fixture.client.close("a");
    fixture.refused(FAMILIES[1]);
    fixture.settle();
    let (filtered, summary, plain) = (filtered.stop(), tracer.stop(), plain.stop());
    let written = std::fs::read_to_string(&file).expect("the events");
    let lines: Vec<Value> =
        written.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let events: Vec<&Value> =
        lines.iter().filter(|line| TYPES.split(',').any(|name| line["type"] == name)).collect();
    let truth: Vec<_> = filtered.events.iter().map(same_for_all).collect();
    let found: Vec<_> = events.iter().map(|event| same_for_all(event)).collect();
    assert!(truth.len() > 10, "{}", truth.len());
    assert_eq!(found, truth);
    let types: Vec<&str> = events.iter().map(|event| text(event, "type")).collect();
    assert!(types.contains(&"probe") && types.contains(&"state"), "{types:?}");
    // The totals are of all events, and the accounting has both.
    assert_eq!(summary.aggregated(), plain.aggregated());
    let end = &summary.end;
    assert_eq!(u64_of(end, "emitted"), events.len() as u64, "{end}");
    assert!(u64_of(end, "filtered") > 0, "{end}");
    let values = |rows: &[Value]| -> Vec<(Value, Value, Value)> {
        rows.iter()
            .map(|row| (row["metric"].clone(), row["label"].clone(), row["value"].clone()))
            .collect()
    };
    assert_eq!(values(&summary.events), values(&plain.events));
}

by_sock_and_raw! {
    check_detail: details_are_the_events_that_match_by_sock details_are_the_events_that_match_by_raw;
}

/// What the kernel cannot decide is refused, and named.
#[test]
fn what_the_kernel_cannot_decide_is_refused() {
    need!(is_root(), "not root");
    let refused = |args: &[&str]| {
        let args = [&["observe", "--metrics", "rtt"], args].concat();
        let output = Tracer::spawn(&Launch::here(), &args).wait_raw();
        assert_eq!(output.status.code(), Some(2), "{}", output.stderr);
        output.stderr
    };
    let events = ["--events", "jsonl=/dev/null"];
    let computed =
        refused(&[&events[..], &["--detail", "bytes_in_flight > 10 && snd_cwnd > 1"]].concat());
    assert!(computed.contains("cannot decide `bytes_in_flight > 10` for probe"), "{computed}");
    let mistake = refused(&[&events[..], &["--detail", "snd_cwndd > 1"]].concat());
    assert!(mistake.contains("snd_cwnd"), "{mistake}");
    let nowhere = refused(&["--detail", "snd_cwnd > 1"]);
    assert!(nowhere.contains("--events"), "{nowhere}");
}
