//! `observe` under a flood, with a tiny buffer, few rows and every limit at once: both of its accounts add up.

use crate::support::{Flood, Launch, TempDir, Tracer, is_root, u64_of, wait_until};

const PARTS: [&str; 6] =
    ["emitted", "filtered", "sampled_out", "rate_limited", "lost", "malformed"];

fn check_flood(transport: &str) {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let file = dir.path().join("events.jsonl");
    let output = format!("jsonl={}", file.display());
    let mut flood = Flood::ready();
    let port = flood.server.port_text();
    let kept = ["--by", "conn", "--metrics", "all", "--max-rows", "2", "--max-conns", "2"];
    let limits = ["--detail", "snd_cwnd > 1", "--sample", "2", "--every", "1ms", "--rate", "50/s"];
    let buffer = ["--transport", transport, "--buffer-size", "4096", "--events", &output, "-a"];
    let rest = ["--port", &port, "-i", "100ms", "--stats", "100ms"];
    let args = [&kept[..], &limits, &buffer, &rest].concat();
    let tracer = Tracer::command_in(&Launch::here(), &["observe"], &args);
    flood.begin();
    wait_until("each limit to leave something out", || {
        tracer.stats().last().is_some_and(|stats| {
            ["sampled_out", "rate_limited"].iter().all(|part| u64_of(stats, part) > 100)
                && u64_of(&stats["aggregate"], "overflow") > 100
        })
    });
    let trace = tracer.stop();
    // Each event that was seen is in one part of each account, and the rows have all that were counted.
    assert!(trace.aggregated() > 0, "{}", trace.end);
    let types = trace.end["event_types"].as_object().expect("event types");
    for (name, counts) in types {
        let sum: u64 = PARTS.iter().map(|part| u64_of(counts, part)).sum();
        assert_eq!(u64_of(counts, "seen"), sum, "{name}: {counts}");
        let aggregated = &trace.end["aggregate"]["event_types"][name];
        assert_eq!(counts["seen"], aggregated["seen"], "{name}");
    }
    let written = std::fs::read_to_string(&file).expect("the events");
    let events = written.lines().filter(|line| line.starts_with("{\"type\":\"probe\""));
    assert_eq!(events.count() as u64, u64_of(&types["probe"], "emitted"));
}

#[test]
fn all_adds_up_ringbuf() {
    check_flood("ringbuf");
}

#[test]
fn all_adds_up_perfbuf() {
    check_flood("perfbuf");
}
