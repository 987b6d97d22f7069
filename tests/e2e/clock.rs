//! Somebody sets the clock while it traces: what was recorded before keeps the old time, what came after has the new one. In
//! guests, as there is one such clock for the whole machine.

use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::support::{Launch, Server, Tracer, guest, is_root, mono_ns, text, traffic, u64_of};

const HOUR: i64 = 3_600_000_000_000;
/// What is so fresh when the clock is set may not have been fetched, and has the new time then.
const FRESH_NS: u64 = 200_000_000;

fn set_back_or_forth(by_s: i64) {
    let now = clock_gettime(ClockId::Realtime);
    let then = Timespec { tv_sec: now.tv_sec + by_s, tv_nsec: now.tv_nsec };
    clock_settime(ClockId::Realtime, then).expect("the clock");
}

/// CLOCK_REALTIME less CLOCK_MONOTONIC, as the event has it.
fn offset_ns(event: &Value) -> i64 {
    let wall = OffsetDateTime::parse(text(event, "time"), &Rfc3339).expect("a time");
    let wall = i64::try_from(wall.unix_timestamp_nanos()).expect("in range");
    wall - u64_of(event, "mono_ns").cast_signed()
}

#[test]
fn a_step_of_the_clock_is_none_of_events_before_it() {
    need!(is_root(), "not root");
    need!(guest(), "it would set this machine's clock", legitimate: true);
    let server = Server::start("127.0.0.1:0", None);
    let to = format!("127.0.0.1:{}", server.port());
    let tracer = Tracer::start_in(&Launch::here(), &["--port", &server.port_text()]);
    let talk = || traffic(&["pingpong", "--to", &to, "--count", "50", "--interval", "2ms"]);
    let mut steps = vec![(mono_ns(), 0)];
    for hours in [1, -1] {
        talk();
        set_back_or_forth(hours * 3600);
        steps.push((mono_ns(), steps.last().expect("one").1 + hours * HOUR));
        talk();
    }
    server.settle();
    let trace = tracer.stop();
    trace.check_account();
    let first = offset_ns(&trace.events[0]);
    for (i, &(since, moved)) in steps.iter().enumerate() {
        let until = steps.get(i + 1).map_or(u64::MAX, |step| step.0);
        let between = |event: &&Value| (since..until).contains(&u64_of(event, "mono_ns"));
        let events: Vec<&Value> = trace.events.iter().filter(between).collect();
        assert!(events.len() > 50, "{} after step {i}", events.len());
        for event in events {
            // An emulated clock drifts by that, and the reading of two clocks takes some time.
            let off = offset_ns(event) - first;
            let fresh = u64_of(event, "mono_ns").saturating_add(FRESH_NS) > until;
            let next = steps.get(i + 1).filter(|_| fresh).map(|step| step.1);
            let near = |moved: i64| (off - moved).abs() < 20_000_000;
            assert!(near(moved) || next.is_some_and(near), "{off} ns after step {i}: {event}");
        }
    }
}
