//! In a time namespace our CLOCK_MONOTONIC is not that of the kernel's programs.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::support::{
    Launch, Server, Tracer, is_root, mono_ns, run, text, traffic, u64_of, wait_until,
};

fn wall_ns(event: &Value) -> i128 {
    let wall = OffsetDateTime::parse(text(event, "time"), &Rfc3339).expect("a time");
    wall.unix_timestamp_nanos()
}

fn now_ns() -> i128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    now.as_nanos().cast_signed()
}

/// Events come while it traces, with the host's times, be the offset what it may.
#[test]
fn times_are_the_hosts_in_any_time_namespace() {
    need!(is_root(), "not root");
    let offset = |seconds: &str| {
        // A process is in its new namespace when it has forked.
        Launch::here().within(&["unshare", "--time", "--monotonic", seconds, "--fork"])
    };
    let mut possible = offset("0").command("true");
    possible.stdout(std::process::Stdio::null());
    need!(run::output(possible).is_ok(), "no time namespaces (5.6, util-linux)", legitimate: true);
    for (seconds, note) in [
        ("-3", Some("3.000 s behind the host's")),
        ("7200", Some("7200.000 s ahead of the host's")),
        ("0", None),
    ] {
        for transport in ["ringbuf", "perfbuf"] {
            let server = Server::start("127.0.0.1:0", None);
            let (port, to) = (server.port_text(), server.addr.to_string());
            let args = ["-o", "jsonl", "-P", &port, "--count", "6", "--transport", transport];
            let mut tracer = Tracer::spawn(&offset(seconds), &args);
            tracer.wait_ready();
            let before = (mono_ns(), now_ns());
            traffic(&["pingpong", "--to", &to, "--count", "2", "--interval", "0ms"]);
            wait_until("events while it traces", || tracer.events().len() >= 4);
            let after = (mono_ns(), now_ns());
            for event in tracer.events() {
                let mono = u64_of(&event, "mono_ns");
                assert!((before.0..=after.0).contains(&mono), "{before:?} {event}");
                // The clocks are not read at the same moment.
                let wall = wall_ns(&event);
                let slack = 1_000_000;
                assert!((before.1 - slack..=after.1 + slack).contains(&wall), "{before:?} {event}");
            }
            traffic(&["pingpong", "--to", &to, "--count", "2", "--interval", "0ms"]);
            let trace = tracer.wait();
            trace.check_account();
            assert_eq!(u64_of(&trace.end, "late"), 0, "{}", trace.end);
            let reported = trace.stderr.contains("in this time namespace");
            assert_eq!(reported, note.is_some(), "{}", trace.stderr);
            assert!(trace.stderr.contains(note.unwrap_or_default()), "{}", trace.stderr);
        }
    }
}
