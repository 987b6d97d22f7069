//! `drop`: every packet that nft drops between two namespaces as it leaves or arrives, and SYNs that nobody wants, by the kernel's
//! own trace of the same calls (when, why, where, by which call chain) and by nft's counters (how many, how long).

use rustix::io::Errno;
use serde_json::Value;

use super::{PERF, Played, Ports, RING, scenario};
use crate::support::{
    DropCalls, Hidden, Lossy, OF_CONNECTIONS, RIGHT, Socket, Trace, Truth, check_addresses,
    compared, enough, is_root, kernel, text, u64_of, wait_until,
};

/// What is known of the act.
pub struct Drops {
    port: u16,
    closed: u16,
    /// The network namespaces of client and server, and their processes.
    netns: [u64; 2],
    pids: [u32; 2],
    paths: Vec<Path>,
    calls: DropCalls,
}

/// A connection whose packets were dropped in one place.
struct Path {
    out: bool,
    client: Socket,
    server: Socket,
    /// By nft's counter.
    packets: u64,
    bytes: u64,
}

pub fn play(ports: &mut Ports, closed: u16) -> Played<Drops> {
    Played::play(|| {
        let port = ports.next();
        let mut lossy = Lossy::at(port, closed);
        lossy.listen();
        let truth = Truth::start();
        let hidden = Hidden::watch(port, OF_CONNECTIONS);
        let ends = RIGHT.map(|family| lossy.connect(family, family));
        let mut paths = Vec::new();
        let of_clients = ends.map(|(client, _)| format!("tcp sport {}", client.local.port()));
        for (out, size) in [(true, 3000), (false, 5000)] {
            lossy.silence_each(out, &of_clients);
            for family in RIGHT {
                lossy.client.send(family, size);
            }
            let twice_each = || lossy.dropped_each(out).iter().all(|(packets, _)| *packets >= 2);
            wait_until("drops", twice_each);
            lossy.speak(out);
            for family in RIGHT {
                lossy.server.receive(family, size);
            }
            let dropped = lossy.dropped_each(out);
            lossy.forget_rules(out);
            paths.extend(ends.into_iter().zip(dropped).map(
                |((client, server), (packets, bytes))| Path { out, client, server, packets, bytes },
            ));
        }
        for family in RIGHT {
            assert_eq!(lossy.client.try_connect(lossy.closed(family)), Some(Errno::CONNREFUSED));
        }
        for family in RIGHT {
            lossy.client.close(family);
            lossy.server.close(family);
        }
        lossy.pair.settle();
        let netns = [lossy.pair.left.inode(), lossy.pair.right.inode()];
        let pids = [lossy.client.pid, lossy.server.pid];
        let calls = truth.calls();
        (Drops { port, closed, netns, pids, paths, calls }, hidden.check())
    })
}

/// Of one connection that place has dropped these. Whether one of them had several segments.
#[track_caller]
fn check_path(events: &[&Value], path: &Path, drops: &Drops) -> bool {
    let Path { out, client, server, packets, bytes } = *path;
    let named = drops.calls.has_reason();
    let (local, peer, at) =
        if out { (client.local, server.local, 0) } else { (server.local, client.local, 1) };
    let (mut len, mut several) = (0, false);
    for event in events {
        check_addresses(event, local, peer);
        assert_eq!(event["reason"].as_str(), named.then_some("NETFILTER_DROP"), "{event}");
        assert_eq!(event["sk_state"], "ESTABLISHED", "{event}");
        assert_eq!(event["pid"], drops.pids[at], "{event}");
        assert_eq!(event["netns"], drops.netns[at], "{event}");
        assert!(["ACK", "PSH|ACK"].contains(&text(event, "flags")), "{event}");
        // IP's and TCP's, the latter with time stamps.
        let headers = if event["family"] == "ipv4" { 20 + 32 } else { 40 + 32 };
        let data = u64_of(event, "data_len");
        assert_eq!(data + headers, u64_of(event, "skb_len"), "{event}");
        assert!(data > 0 && u64_of(event, "segs") == data.div_ceil(1448), "{event}");
        several |= u64_of(event, "segs") > 1;
        if out {
            let (seq, una) = (u64_of(event, "seq") as u32, u64_of(event, "snd_una") as u32);
            assert!(seq.wrapping_sub(una) < 3000, "{event}");
        } else {
            assert_eq!(u64_of(event, "ack_seq"), u64_of(event, "snd_nxt"), "{event}");
        }
        len += u64_of(event, "skb_len");
    }
    let (found, all) = (events.len(), packets as usize);
    assert!(enough(found, all, 50), "{found} of {all}: {events:#?}");
    assert!(if found == all { len == bytes } else { len < bytes }, "{len} of {bytes}");
    compared(found, 8 * found + 2);
    several
}

/// What nobody wants.
#[track_caller]
fn check_refused(trace: &Trace, drops: &Drops) -> usize {
    let named = drops.calls.has_reason();
    let refused: Vec<_> = trace.events.iter().filter(|e| e["sport"] == drops.closed).collect();
    assert_eq!(refused.len(), RIGHT.len(), "{refused:#?}");
    for event in &refused {
        assert_eq!(event["reason"].as_str(), named.then_some("NO_SOCKET"), "{event}");
        assert_eq!((&event["flags"], &event["direction"]), (&"SYN".into(), &"in".into()));
        assert_eq!((u64_of(event, "data_len"), u64_of(event, "segs")), (0, 1), "{event}");
        assert_eq!(event["netns"], drops.netns[1], "{event}");
        assert!(u64_of(event, "ifindex") > 1, "{event}");
        for column in ["cookie", "sk_state", "pid", "uid", "snd_cwnd"] {
            assert!(event[column].is_null(), "{column}: {event}");
        }
    }
    refused.len()
}

#[track_caller]
fn frames(event: &Value) -> Vec<&str> {
    let frames = event["stack"].as_array().unwrap_or_else(|| panic!("no stack: {event}"));
    frames.iter().filter_map(Value::as_str).collect()
}

/// Of each event the place, and the functions that led there.
#[track_caller]
fn check_stacks(trace: &Trace) {
    for event in &trace.events {
        let frames = frames(event);
        assert_eq!(frames[0], text(event, "location"), "{event}");
        let outer =
            if event["direction"] == "out" { "__tcp_transmit_skb+" } else { "net_rx_action+" };
        assert!(frames.iter().any(|frame| frame.starts_with(outer)), "{frames:?}");
    }
}

fn check(reader: &str, transport: &str) {
    need!(is_root(), "not root");
    let act = &scenario().drops;
    let drops = &act.truth;
    let trace = scenario().by(reader, transport).all_fields("drop", &[drops.port]);
    let closed = scenario().by(reader, transport).all_fields("drop", &[drops.closed]);
    // Other acts use that port, too, each in a namespace of its own.
    let own = closed.events.into_iter().filter(|event| event["netns"] == drops.netns[1]);
    let mut trace = Trace { events: trace.events.into_iter().chain(own).collect(), ..trace };
    trace.events.sort_by_key(|event| u64_of(event, "mono_ns"));
    assert_eq!(drops.calls.has_reason(), kernel() >= (5, 17));
    assert!(drops.calls.compare(&trace) > 0, "no call chain to compare");
    // Neither a closed socket's queue with the peer's FIN nor an acknowledgment in TIME_WAIT is a loss.
    let is_closed =
        |event: &Value| event["sport"] == drops.closed || event["dport"] == drops.closed;
    // Nor is what arrives twice, as a slow machine's timer was early.
    let is_copy = |event: &Value| frames(event).iter().any(|at| at.starts_with("tcp_data_queue+"));
    trace
        .events
        .retain(|event| is_closed(event) || event["sk_state"] == "ESTABLISHED" && !is_copy(event));
    // Whose the connection is was seen in its handshake.
    let unknown = |event: &Value| event["sk_state"] == "ESTABLISHED" && event["pid"].is_null();
    if act.explains(trace.events.iter().any(unknown)) {
        return;
    }
    let (mut several, mut found) = (false, 0);
    for path in &drops.paths {
        let (direction, own) = if path.out { ("out", path.client) } else { ("in", path.server) };
        let events = trace.of_cookie(own.cookie);
        let events: Vec<_> =
            events.into_iter().filter(|event| event["direction"] == direction).collect();
        several |= check_path(&events, path, drops);
        found += events.len();
    }
    assert!(several, "a packet of several segments is dropped as one: {:#?}", trace.events);
    found += check_refused(&trace, drops);
    assert_eq!(found, trace.events.len(), "{:#?}", trace.events);
    check_stacks(&trace);
}

fn check_ring(reader: &str) {
    check(reader, RING);
}

fn check_perf(reader: &str) {
    check(reader, PERF);
}

by_sock_and_raw! {
    check_ring: drops_by_sock drops_by_raw;
    check_perf: drops_by_sock_and_perfbuf drops_by_raw_and_perfbuf;
}
