//! Every event equals what the kernel's own trace prints for the same call of the same tracepoint: as many, in the same
//! order, all values alike.

use serde_json::Value;

use super::{PERF, RING, scenario};
use crate::support::{FAMILIES, Trace, has_tracepoint, is_root, kernel, note, text, u64_of};

fn values<'t>(trace: &'t Trace, event_type: &str, column: &str) -> Vec<&'t str> {
    trace.of_type(event_type).iter().filter_map(|event| event[column].as_str()).collect()
}

/// What `drive` must have made, and what the kernel's trace does not tell.
#[track_caller]
fn check(trace: &Trace, event_type: &str) {
    let events = trace.of_type(event_type);
    match event_type {
        "state" => check_states(trace),
        // One for each end of each connection, each failed attempt, and the listener.
        "destroy" => {
            assert_eq!(events.len(), 3 * FAMILIES.len() + 1);
            for (i, bytes) in [1000, 2000, 3000].into_iter().enumerate() {
                let sent = |event: &&&Value| u64_of(event, "bytes_sent") == bytes;
                let end = events.iter().find(sent).unwrap_or_else(|| panic!("{i}: {events:?}"));
                // Data, SYN, FIN and the ACKs.
                assert!(u64_of(end, "segs_out") >= 3 && u64_of(end, "segs_in") >= 3, "{end}");
                assert_eq!(end["bytes_retrans"], 0, "{end}");
                assert_eq!(u64_of(end, "bytes_acked"), bytes + 2, "SYN and FIN count: {end}");
                assert!(u64_of(end, "data_segs_out") >= 1, "{end}");
            }
        }
        "retransmit" => {
            for event in &events {
                let (seq, una) = (u64_of(event, "seq"), u64_of(event, "snd_una"));
                let nxt = u64_of(event, "snd_nxt") as u32;
                let end = (seq + u64_of(event, "data_len")) as u32;
                // All of it is unacknowledged.
                assert!((seq as u32).wrapping_sub(una as u32) < 1 << 31, "{event}");
                assert!(nxt.wrapping_sub(end) < 1 << 31, "{event}");
                assert!(["rto", "tlp", "slow_start"].contains(&text(event, "class")), "{event}");
            }
        }
        "synack_retransmit" => {
            // Of each request the first, the second …; the timer alone sends them.
            for (i, event) in events.iter().enumerate() {
                let before = events[..i].iter().filter(|e| e["dport"] == event["dport"]).count();
                assert_eq!(u64_of(event, "attempt"), 1 + before as u64, "{event}");
                assert!(event["pid"].is_null() && event["snd_cwnd"].is_null(), "{event}");
            }
        }
        "reset_sent" => {
            let states = values(trace, event_type, "sk_state");
            // A socket that lingers for no time is closed already.
            assert!(states.contains(&"CLOSE"), "{states:?}");
            let bare: Vec<_> = events.iter().filter(|e| e["sk_state"].is_null()).collect();
            // The fact that the kernel tells of them is younger.
            assert_eq!(bare.is_empty(), kernel() < (6, 10), "{events:?}");
            for event in bare {
                assert!(event["pid"].is_null() && event["snd_cwnd"].is_null(), "{event}");
                assert_eq!(event["reason"], "NO_SOCKET", "{event}");
            }
        }
        "reset_received" => assert!(events.len() >= FAMILIES.len() * 4, "{}", events.len()),
        "cong_state" => {
            let states = values(trace, event_type, "new_ca_state");
            assert!(states.contains(&"Recovery") && states.contains(&"Open"), "{states:?}");
            // Each begins where the last one ended.
            for (cookie, events) in trace.by_cookie() {
                let mut now = "Open";
                for event in events {
                    assert_eq!(text(event, "old_ca_state"), now, "{cookie}: {event}");
                    now = text(event, "new_ca_state");
                }
            }
        }
        "rcv_space" => {
            let taken: u64 =
                events.iter().map(|event| u64_of(event, "rcv_space")).max().unwrap_or(0);
            assert!(taken > 1000 && events.len() > FAMILIES.len() * 5, "{} {taken}", events.len());
        }
        "rcvbuf_grow" => {
            // Each is more than ever before, and the buffer does grow.
            for (cookie, events) in trace.by_cookie() {
                let mut most = 0;
                for event in &events {
                    let space = u64_of(event, "rcv_space");
                    assert!(u64_of(event, "copied") > space && space >= most, "{cookie}: {event}");
                    most = space;
                }
            }
            let greatest = |column: &str| events.iter().map(|e| u64_of(e, column)).max();
            assert!(events.len() > FAMILIES.len() * 2, "{events:?}");
            for column in ["inq", "ooo_space", "scaling_ratio"] {
                assert!(greatest(column) > Some(0), "{column}: {events:?}");
            }
        }
        "error" => {
            // Who resets by closing is told so as well.
            let (reset, refused) = ((104, "ECONNRESET", 2), (111, "ECONNREFUSED", 1));
            let event_types = [reset, (32, "EPIPE", 1), (110, "ETIMEDOUT", 1), refused];
            let of = |number: u64, name: &str| {
                let of: Vec<_> = events.iter().filter(|e| e["errno"] == number).collect();
                assert!(of.iter().all(|e| e["error"] == name), "{of:?}");
                of.len()
            };
            for (number, name, count) in event_types {
                assert_eq!(of(number, name), FAMILIES.len() * count, "{name}: {events:?}");
            }
            assert_eq!(events.len(), FAMILIES.len() * 5);
        }
        _ => panic!("{event_type}"),
    }
}

/// The ways of RFC 793.
#[track_caller]
fn check_states(trace: &Trace) {
    // The first events of a socket have no cookie where the program cannot make one.
    let first = |event: &&Value| event["new_state"] == "SYN_RECV";
    let mut rest = trace.events.iter().filter(|event| !first(event));
    if rest.any(|event| event["cookie"].is_null()) {
        assert!(trace.stderr.contains("(reader raw,") || kernel() < (5, 12), "{}", trace.stderr);
        return;
    }
    let mut ways: Vec<String> = Vec::new();
    for events in trace.by_cookie().into_values() {
        // Accepted sockets: some kernels tell of this before there is a cookie.
        let events: Vec<_> = events.into_iter().filter(|event| !first(event)).collect();
        let Some(first) = events.first().map(|event| text(event, "old_state")) else { continue };
        let next = events.iter().map(|event| text(event, "new_state"));
        ways.push([first].into_iter().chain(next).collect::<Vec<_>>().join(" "));
    }
    let client = "CLOSE SYN_SENT ESTABLISHED";
    let server = "SYN_RECV ESTABLISHED";
    let (active, passive) = ("FIN_WAIT1 FIN_WAIT2 CLOSE", "CLOSE_WAIT LAST_ACK CLOSE");
    for (way, count) in [
        (format!("{client} {active}"), 2),
        (format!("{client} {passive}"), 1),
        (format!("{server} {active}"), 1),
        (format!("{server} {passive}"), 2),
        ("CLOSE SYN_SENT CLOSE".to_owned(), 3),
        ("CLOSE LISTEN CLOSE".to_owned(), 1),
    ] {
        assert_eq!(ways.iter().filter(|w| **w == way).count(), count, "{way}: {ways:#?}");
    }
    assert_eq!(ways.len(), 10, "{ways:#?}");
}

/// What the drive of that name makes has the events of these types that are looked at.
fn drive_of(event_type: &str) -> &str {
    match event_type {
        "destroy" => "state",
        "reset_received" => "reset_sent",
        own => own,
    }
}

/// What is compared with the kernel's trace, and what is looked at besides.
fn columns(event_type: &str) -> String {
    let own = match event_type {
        "state" => "old_state,new_state",
        "destroy" => "bytes_sent,bytes_acked,bytes_retrans,segs_out,segs_in,data_segs_out",
        "retransmit" => "state,err,seq,data_len,snd_una,snd_nxt,class",
        "synack_retransmit" => "attempt,pid,snd_cwnd",
        "reset_sent" => "sk_state,reason,pid,snd_cwnd",
        "reset_received" => "state",
        "cong_state" => "old_ca_state,new_ca_state",
        "rcv_space" => "rcv_space",
        "rcvbuf_grow" => {
            "time_us,rcv_rtt_us,copied,inq,rcv_space,ooo_space,scaling_ratio,rcvbuf,rcv_ssthresh,\
             window_clamp,rcv_wnd"
        }
        "error" => "errno,error",
        _ => panic!("{event_type}"),
    };
    format!("mono_ns,cookie,saddr,sport,daddr,dport,{own}")
}

/// Every event of that type in the whole scenario, and what its drive must have made.
fn check_event_type(event_type: &str, reader: &str, transport: &str) {
    need!(is_root(), "not root");
    need!(has_tracepoint(event_type), "this kernel has no such tracepoint", legitimate: true);
    let mut trace = scenario().by(reader, transport).events(event_type, &columns(event_type));
    let compared = scenario().told.compare(&trace, event_type);
    let lost = u64_of(&trace.end["event_types"][event_type], "lost");
    let act = scenario().act(drive_of(event_type)).expect("its drive");
    trace.events.retain(|event| {
        act.ports.iter().any(|port| event["sport"] == *port || event["dport"] == *port)
    });
    assert!(!trace.events.is_empty(), "no {event_type}");
    if compared.unseen == 0 && lost == 0 {
        check(&trace, event_type);
    } else {
        note(&format!("{event_type} by {reader}: {} hidden, {lost} lost", compared.unseen));
    }
}

macro_rules! cases {
    ($($event_type:literal: $sock:ident $raw:ident;)+) => {
        $(
            #[test]
            fn $sock() {
                check_event_type($event_type, "sock", RING);
            }

            #[test]
            fn $raw() {
                check_event_type($event_type, "raw", RING);
            }
        )+

        const EVENT_TYPES: &[&str] = &[$($event_type),+];
    };
}

cases! {
    "state": state_by_sock state_by_raw;
    "retransmit": retransmit_by_sock retransmit_by_raw;
    "synack_retransmit": synack_retransmit_by_sock synack_retransmit_by_raw;
    "reset_sent": reset_sent_by_sock reset_sent_by_raw;
    "reset_received": reset_received_by_sock reset_received_by_raw;
    "destroy": destroy_by_sock destroy_by_raw;
    "cong_state": cong_state_by_sock cong_state_by_raw;
    "rcv_space": rcv_space_by_sock rcv_space_by_raw;
    "error": error_by_sock error_by_raw;
    "rcvbuf_grow": rcvbuf_grow_by_sock rcvbuf_grow_by_raw;
}

fn check_perfbuf(reader: &str) {
    need!(is_root(), "not root");
    for event_type in EVENT_TYPES.iter().filter(|event_type| has_tracepoint(event_type)) {
        check_event_type(event_type, reader, PERF);
    }
}

by_sock_and_raw! {
    check_perfbuf: perfbuf_by_sock perfbuf_by_raw;
}
