//! Every standard field of every event equals what the kernel's own trace prints for the same call.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{MARK_OF_CLIENTS, MARK_OF_SERVERS, PERF, RING, scenario};
use crate::support::{Seen, Trace, align, compared, is_root, kernel, note, text, u64_of};

/// What both sides tell of a call, in a form in which equal is equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Call {
    cookie: u64,
    local: (String, u64),
    peer: (String, u64),
    family: &'static str,
    mark: u64,
    /// The kernel's record has 16 bits for it.
    data_len: u64,
    snd_nxt: u64,
    snd_una: u64,
    snd_cwnd: u64,
    ssthresh: Option<u64>,
    snd_wnd: u64,
    srtt_us: Option<u64>,
    rcv_wnd: u64,
}

impl Call {
    fn theirs(seen: &Seen) -> Self {
        Call {
            cookie: seen.cookie,
            local: (seen.local.ip().to_string(), seen.local.port().into()),
            peer: (seen.peer.ip().to_string(), seen.peer.port().into()),
            family: if seen.peer.is_ipv4() { "ipv4" } else { "ipv6" },
            mark: seen.mark,
            data_len: seen.data_len,
            snd_nxt: seen.snd_nxt,
            snd_una: seen.snd_una,
            snd_cwnd: seen.snd_cwnd,
            ssthresh: (seen.ssthresh != 0x7fff_ffff).then_some(seen.ssthresh),
            snd_wnd: seen.snd_wnd,
            srtt_us: (seen.srtt != 0).then_some(seen.srtt),
            rcv_wnd: seen.rcv_wnd,
        }
    }

    fn ours(event: &Value, reader: &str) -> Self {
        let n = |key: &str| u64_of(event, key);
        let unset = |key: &str| {
            if event[key].is_null() { None } else { Some(n(key)) }
        };
        if reader == "record" {
            assert!(n("data_len") < 65536, "{event}");
        }
        let in_flight = (n("snd_nxt") as u32).wrapping_sub(n("snd_una") as u32);
        assert_eq!(n("bytes_in_flight"), u64::from(in_flight), "{event}");
        Call {
            cookie: n("cookie"),
            local: (text(event, "saddr").into(), n("sport")),
            peer: (text(event, "daddr").into(), n("dport")),
            family: if text(event, "family") == "ipv4" { "ipv4" } else { "ipv6" },
            mark: n("mark"),
            data_len: n("data_len") % 65536,
            snd_nxt: n("snd_nxt"),
            snd_una: n("snd_una"),
            snd_cwnd: n("snd_cwnd"),
            ssthresh: unset("ssthresh"),
            snd_wnd: n("snd_wnd"),
            srtt_us: unset("srtt_us"),
            rcv_wnd: n("rcv_wnd"),
        }
    }
}

/// Every call that the kernel tells is among our events with all values equal, or accounted for as lost (the kernel does
/// not run a program that it has interrupted), or may have been hidden from us; and no event of ours is one that the kernel
/// does not tell. In each connection they come in the same order.
#[track_caller]
fn compare(trace: &Trace, seen: &[Seen], reader: &str) {
    trace.check_account();
    assert!(seen.len() > 100, "too little traffic to say anything: {}", seen.len());
    let sure = seen.iter().filter(|seen| !seen.maybe_unseen).count() as u64;
    // Before 6.7 the kernel does not count that it skips the program of the record, which it does while a map is updated there.
    let uncounted = if reader == "record" && kernel() < (6, 7) { sure / 100 } else { 0 };
    assert!(u64_of(&trace.end, "seen") + uncounted >= sure, "{} < {sure}", trace.end);

    let mut ours: BTreeMap<u64, Vec<Call>> = BTreeMap::new();
    for event in &trace.events {
        ours.entry(u64_of(event, "cookie")).or_default().push(Call::ours(event, reader));
    }
    let mut theirs: BTreeMap<u64, Vec<(Call, bool)>> = BTreeMap::new();
    for seen in seen {
        let call = (Call::theirs(seen), seen.maybe_unseen);
        theirs.entry(seen.cookie).or_default().push(call);
    }
    assert!(ours.keys().eq(theirs.keys()), "cookies: {:?} {:?}", ours.keys(), theirs.keys());
    let mut missing = 0;
    for (cookie, theirs) in &theirs {
        let ours = &ours[cookie];
        let absent = align(ours, theirs).unwrap_or_else(|| {
            panic!("not as the kernel tells it:\nours {ours:#?}\nthe kernel's {theirs:#?}")
        });
        if absent.missing > 0 {
            eprintln!("{absent:?}:\nours {ours:#?}\nthe kernel's {theirs:#?}");
        }
        missing += absent.missing as u64;
    }
    // Twelve values of each, beside the cookie.
    compared(trace.events.len(), 12 * trace.events.len());
    let (lost, all) = (u64_of(&trace.end, "lost"), seen.len() as u64);
    assert!(missing <= lost + uncounted, "{missing} are missing, {lost} are accounted for as lost");
    note(&format!("{reader}: {missing} of {all} are missing"));
    // The kernel skips a program of this tracer where it has interrupted one of another.
    assert!(missing * 100 <= all, "{missing} of {all} are missing");
}

/// What is compared, and what the order of time is by.
const COLUMNS: &str = "mono_ns,cookie,saddr,sport,daddr,dport,family,mark,data_len,snd_nxt,snd_una,bytes_in_flight,\
                       snd_cwnd,ssthresh,snd_wnd,srtt_us,rcv_wnd";

/// All samples of the scenario.
fn check(reader: &str, transport: &str) {
    need!(is_root(), "not root");
    let trace = scenario().by(reader, transport).samples(Some(COLUMNS), None);
    compare(&trace, &scenario().seen, reader);
    let how = if transport == RING { "ring buffer" } else { "perf buffers" };
    assert!(trace.stderr.contains(&format!("(reader {reader}, {how} of ")), "{}", trace.stderr);
    for (act, family, addr) in [
        ("mapped", "ipv4", "127.0.0.1"),
        ("transfers cubic", "ipv4", "127.0.0.1"),
        ("transfers cubic", "ipv6", "::1"),
    ] {
        let port = scenario().port_of(act);
        let mut events = trace.events.iter().filter(|event| event["dport"] == port);
        let found = events.any(|event| event["family"] == family && event["daddr"] == addr);
        assert!(found, "{act}: no {family}");
    }
    // The mark is the packet's: it arrives with it where nothing is between, so it is the peer's SO_MARK or its rule's.
    let port = scenario().port_of("mapped");
    for event in &trace.events {
        if event["sport"] == port {
            assert_eq!(event["mark"], MARK_OF_CLIENTS, "{event}");
        } else if event["dport"] == port {
            assert_eq!(event["mark"], MARK_OF_SERVERS, "{event}");
        }
    }
}

#[test]
fn record_by_ringbuf_equals_the_kernels_trace() {
    check("record", RING);
}

#[test]
fn record_by_perfbuf_equals_the_kernels_trace() {
    check("record", PERF);
}

#[test]
fn sock_by_ringbuf_equals_the_kernels_trace() {
    check("sock", RING);
}

#[test]
fn sock_by_perfbuf_equals_the_kernels_trace() {
    check("sock", PERF);
}

#[test]
fn raw_by_ringbuf_equals_the_kernels_trace() {
    check("raw", RING);
}

#[test]
fn raw_by_perfbuf_equals_the_kernels_trace() {
    check("raw", PERF);
}
