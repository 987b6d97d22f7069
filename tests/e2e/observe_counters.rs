//! `observe --counters-only`: no program at packets, and the rest as in another run.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{Fixture, Launch, Trace, Tracer, drive, is_root, text};

/// Values by metric and label.
fn values(trace: &Trace) -> BTreeMap<String, &Value> {
    let name = |row: &Value| format!("{} {}", text(row, "metric"), row["label"]);
    trace.events.iter().map(|row| (name(row), &row["value"])).collect()
}

#[test]
fn what_takes_time_at_packets_is_left_out() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    let ports = fixture.ports();
    let start = |more: &[&str]| {
        let args = ["--metrics", "all", "-v", "--port", &ports];
        Tracer::command_in(
            &Launch::here().with_tracefs(),
            &["observe"],
            &[&args[..], more].concat(),
        )
    };
    let (all, few) = (start(&[]), start(&["--counters-only"]));
    drive(&mut fixture, "cong_state");
    let (all, few) = (all.stop_raw(), few.stop_raw());
    let at_packets = |programs: &std::collections::BTreeSet<String>| {
        programs
            .iter()
            .filter(|name| name.starts_with("tcp_probe") || name.contains("xmit"))
            .count()
    };
    assert!(at_packets(&all.programs()) > 0);
    assert_eq!(at_packets(&few.programs()), 0, "{:?}", few.programs());
    let (all, few) = (all.trace(), few.trace());
    let (all, few) = (values(&all), values(&few));
    assert!(few.contains_key("retransmits \"fast\"") && few.contains_key("latency_us null"));
    for name in ["srtt_us", "min_rtt_us", "snd_cwnd", "queue_us", "limit_time_us"] {
        let has = |of: &BTreeMap<String, &Value>| of.keys().any(|row| row.starts_with(name));
        assert!(has(&all) && !has(&few), "{name}: {few:?}");
    }
    // Times in states go on until the end, which is not the same.
    for (name, value) in few.iter().filter(|(name, _)| !name.starts_with("ca_state_time_us")) {
        assert_eq!(all.get(name), Some(value), "{name}");
    }
}
