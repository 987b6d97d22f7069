//! What is read from a recording is what was printed live, to the byte: every event type that the kernel has.

use super::{PERF, RING, scenario};
use crate::recording::{assert_same, event_lines};
use crate::support::{is_root, parse, u64_of};

fn check(reader: &str, transport: &str) {
    need!(is_root(), "not root");
    let recorded = scenario().by(reader, transport);
    let live = &recorded.output.stdout;
    let replayed = recorded.read(&["events", "all", "-a", "--stack", "-o", "jsonl"]).stdout;
    assert_same(&event_lines(live), &event_lines(&replayed));
    // The counters are those of the trace.
    let [live, replayed] =
        [live, &replayed].map(|output| parse(output.lines().last().expect("an end")));
    for event_type in ["probe", "state", "destroy", "retransmit", "reset_sent", "drop", "life"] {
        assert!(u64_of(&live["event_types"][event_type], "emitted") > 0, "no {event_type}");
    }
    for (event_type, counts) in live["event_types"].as_object().expect("counters") {
        assert_eq!(&replayed["event_types"][event_type], counts, "{event_type}");
    }
}

#[test]
fn by_sock_and_ringbuf() {
    check("sock", RING);
}

#[test]
fn by_raw_and_perfbuf() {
    check("raw", PERF);
}
