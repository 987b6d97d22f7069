//! The time in each state, by the records' own times, from the beginning on and in the middle of a connection's life.

use serde_json::Value;

use crate::support::{
    FAMILIES, Fixture, Launch, SocketOption, Trace, Tracer, guest, is_root, kernel, some_turn,
    u64_of,
};

fn here() -> Launch {
    Launch::here().with_tracefs()
}

/// By the times of the records themselves; null at first.
#[track_caller]
fn check_durations(events: &[&Value], but_first: bool, what: &str) {
    let mut before: Option<u64> = None;
    for (i, event) in events.iter().enumerate() {
        let now = u64_of(event, "mono_ns");
        let expected = before.map(|before| (now - before) / 1000);
        before = Some(now);
        if but_first && i == 0 {
            continue;
        }
        assert_eq!(event["old_state_us"].as_u64(), expected, "{what}: {event}");
    }
}

fn check_state_time(reader: &str) {
    need!(is_root(), "not root");
    // There are hosts that hide events from programs (see support/ftrace.rs, maybe_unseen).
    some_turn(|| state_time(reader));
}

/// False: an event is missing that was hidden.
fn state_time(reader: &str) -> bool {
    let mut fixture = Fixture::new();
    fixture.listen();
    let ports = fixture.ports();
    let args = ["--reader", reader, "--port", &ports];
    // First, so that it makes the cookies that the raw reader cannot make.
    let whole =
        Tracer::events_in(&here(), "state,retransmit", &["--reader", "sock", "--port", &ports]);
    let early = Tracer::events_in(&here(), "state", &args);
    let (client, server) = fixture.connect("a", FAMILIES[0]);
    let late = Tracer::events_in(&here(), "state", &args);
    let marked = Tracer::events_in(&here(), "state", &[&args[..], &["--mark", "77"]].concat());

    // It comes into FIN_WAIT1 with the mark, into FIN_WAIT2 without, and leaves that with it.
    fixture.client.set("a", SocketOption::Mark(77));
    fixture.client.set("a", SocketOption::Tos(0));
    fixture.silence();
    fixture.client.shutdown("a");
    whole.wait_events("FIN once more", |events| events.iter().any(|e| e["type"] == "retransmit"));
    fixture.client.set("a", SocketOption::Mark(0));
    fixture.client.set("a", SocketOption::Tos(0));
    fixture.speak();
    whole.wait_events("its ACK", |events| events.iter().any(|e| e["new_state"] == "FIN_WAIT2"));
    fixture.client.set("a", SocketOption::Mark(77));
    fixture.client.set("a", SocketOption::Tos(0));
    fixture.server.close("a");
    fixture.client.close("a");
    fixture.settle();

    let [whole, early, late, marked] = [whole, early, late, marked].map(Tracer::stop);
    for trace in [&whole, &early, &late, &marked] {
        trace.check_account();
        assert_eq!(trace.end["lost"], 0, "{}", trace.end);
    }
    for (end, count) in [(client, 5), (server, 5)] {
        // Where the program cannot make the first cookie, the socket's first event has none.
        let first = early.of_cookie(end.cookie);
        if kernel() >= (5, 12) {
            // Some kernels tell of an accepted one's first before it has a cookie; it is seen all the same.
            let nameless = first[0]["old_state"] == "SYN_RECV";
            if !guest() && first.len() + usize::from(nameless) < count {
                return false;
            }
            assert_eq!(first.len() + usize::from(nameless), count, "{first:?}");
            assert_ne!(nameless, first[0]["old_state_us"].is_null(), "{first:?}");
            check_durations(&first, nameless, "from the beginning");
        }
        check_durations(&late.of_cookie(end.cookie), false, "from the middle");
        assert_eq!(late.of_cookie(end.cookie).len(), 3);
    }
    let of = |trace: &Trace, state: &str| {
        let of = trace.of_cookie(client.cookie).into_iter();
        let mut of = of.filter(|event| event["old_state"] == state);
        of.next().and_then(|event| event["old_state_us"].as_u64())
    };
    assert_eq!(marked.of_cookie(client.cookie).len(), 2, "{:?}", marked.events);
    let (first, second) = (of(&late, "FIN_WAIT1"), of(&late, "FIN_WAIT2"));
    let (first, second) = (first.expect("a time"), second.expect("a time"));
    // Not of the one that was not shown as well; unknown would be true too.
    let shown = of(&marked, "FIN_WAIT2").unwrap_or(second);
    assert!(shown.abs_diff(second) < first / 2, "{shown}: {first} and {second}");
    true
}

by_sock_and_raw! {
    check_state_time: state_time_by_sock state_time_by_raw;
}
