//! `queue`: a slow qdisc on a device of its own name and number, which the kernel's own trace of that device is of; packet
//! by packet they agree on lengths and times. The qdisc's counters, and the connection's, tell how many there were.

use serde_json::Value;
use std::collections::BTreeMap;

use crate::support::{
    FAMILIES, Fixture, Launch, Link, LinkPacket, RIGHT, TestProcess, Trace, Tracer, again, guest,
    has_qdisc, invalid, is_root, pairs, record, schema, tc_counted, text, time_us, u64_of,
};

const EVENT_TYPE: &str = "queue";
/// 1.2 ms for a packet of 1514 bytes.
const SLOW: &[&str] = &["tbf", "rate", "10mbit", "burst", "4kb", "limit", "1mb"];
/// 6 ms for such a packet, and too short for a connection's first window.
const SHORT: &[&str] = &["tbf", "rate", "2mbit", "burst", "4kb", "limit", "7kb"];
/// More than one of them takes.
const MIN_US: u64 = 9_000;
const ETHERNET: u64 = 14;

/// Every event with the kernel's own account of it: of as many bytes, and nearest in time. What is missing was hidden, and what
/// has none near it stood still on its way from one account to the other, as an emulated CPU may.
#[track_caller]
fn compared<'a>(ours: &'a [Value], reported: &'a [LinkPacket]) -> Vec<(&'a Value, &'a LinkPacket)> {
    let mut both: BTreeMap<usize, &Value> = BTreeMap::new();
    let mut far = Vec::new();
    let off = |event: &Value, reported: &LinkPacket| {
        (u64_of(event, "mono_ns") / 1000).abs_diff(reported.at)
    };
    for event in ours {
        let same = |(_, reported): &(usize, &LinkPacket)| reported.len == u64_of(event, "skb_len");
        let nearest = reported
            .iter()
            .enumerate()
            .filter(same)
            .min_by_key(|(_, reported)| off(event, reported));
        let (at, nearest) = nearest.unwrap_or_else(|| panic!("the kernel does not tell: {event}"));
        if off(event, nearest) < 20_000 {
            both.insert(at, event);
        } else {
            far.push(event);
        }
    }
    let most = if guest() { ours.len() / 20 } else { 0 };
    assert!(far.len() <= most, "not as the kernel tells it: {far:#?}");
    let enough = |part: usize| part * 5 >= reported.len().max(ours.len()) * 4;
    assert!(enough(both.len()), "{} of {} and {}", both.len(), ours.len(), reported.len());
    let both: Vec<_> = both.into_iter().map(|(at, event)| (event, &reported[at])).collect();
    // Nor is what was not seen as it came.
    let known = both.iter().filter(|(event, _)| event["queue_us"].is_u64());
    let known: Vec<_> = known.copied().collect();
    assert!(enough(known.len()), "{} of {}", known.len(), both.len());
    known
}

/// Times in µs that are equal but for what passes between two programs at one place; a guest may stand still meanwhile.
#[track_caller]
fn check_times(what: &str, times: &[(u64, u64)]) {
    let near = times.iter().filter(|(ours, theirs)| ours.abs_diff(*theirs) <= 150).count();
    let twentieths = if guest() { 18 } else { 19 };
    let enough = near * 20 >= times.len() * twentieths;
    assert!(!times.is_empty() && enough, "{what}: {near}: {times:?}");
}

#[track_caller]
fn check_schema(trace: &Trace) {
    let schema = schema();
    for event in &trace.events {
        let valid = invalid(record(schema, EVENT_TYPE), event);
        valid.unwrap_or_else(|error| panic!("{error}: {event}"));
    }
}

/// Each waits as long, in what and behind what, as the kernel's own trace has it.
fn check_each(reader: &str) {
    need!(is_root(), "not root");
    need!(has_qdisc(SLOW), "this kernel has no tbf", legitimate: true);
    let mut link = Link::new(reader, SLOW, true, &[]);
    link.transfer(&RIGHT, 60_000);
    let (pid, port) = (link.client.pid, link.port);
    let (trace, ours, reported, pair) = link.stop();
    check_schema(&trace);
    let mut both = compared(&ours, &reported);
    // Of some the kernel's own trace has but the end.
    let all = both.len();
    both.retain(|(_, reported)| reported.queued_at.is_some());
    assert!(both.len() * 20 >= all * 19, "{} of {all}", both.len());
    let times = |ours: &str, theirs: &dyn Fn(&LinkPacket) -> Option<u64>| -> Vec<(u64, u64)> {
        let times = both.iter().map(|(event, reported)| {
            (
                u64_of(event, ours),
                theirs(reported).unwrap_or_else(|| panic!("{reported:?} {event}")),
            )
        });
        times.collect()
    };
    let queue = times("queue_us", &|t| Some(t.at - t.queued_at?));
    check_times("queue_us", &queue);
    // How much TCP lets wait below it differs between kernels.
    let slow = queue.iter().filter(|(_, theirs)| *theirs > 1_500).count();
    assert!(slow > 30, "nothing waits: {queue:?}");
    check_times(
        "qdisc_us",
        &times("qdisc_us", &|t| {
            Some(t.dequeued_at?.saturating_sub(t.enqueued_at.or(t.queued_at)?))
        }),
    );
    let mut off = 0;
    for (event, reported) in &both {
        let (qlen, backlog) = reported.qlen.expect("its way");
        let near = u64_of(event, "qlen").abs_diff(qlen) <= 1
            && u64_of(event, "backlog_bytes").abs_diff(backlog) <= 1600;
        // Another CPU's packets have their lines in another order.
        off += u64::from(!near);
        assert_eq!(u64_of(event, "segs"), reported.segs, "{event}");
        assert_eq!((text(event, "qdisc"), &event["queue_mapping"]), ("tbf", &0.into()), "{event}");
        assert_eq!((&event["ifindex"], &event["dport"]), (&port.into(), &port.into()), "{event}");
        assert_eq!(event["dev_netns"], event["netns"], "{event}");
        assert_eq!(u64_of(event, "netns"), pair.left.inode(), "{event}");
    }
    assert!(off * 20 <= both.len() as u64, "{off} of {both:#?}");
    let most = both.iter().map(|(event, _)| u64_of(event, "qlen")).max();
    assert!(most > Some(1), "nothing stands in the queue: {most:?}");
    let owned = ours.iter().filter(|event| event["pid"] == pid).count();
    assert!(owned * 2 > ours.len(), "{owned} of {}", ours.len());
    // SYN-ACKs are not of it, and those have the other side.
    let [bytes, packets, dropped] = tc_counted(&pair);
    assert_eq!(dropped, 0);
    let segs: u64 = reported.iter().map(|reported| reported.segs).sum();
    assert_eq!(segs, packets, "the kernel's trace is not complete");
    if ours.len() == reported.len() {
        // Of several segments it counts the headers that each will have.
        let wire = ours.iter().map(|event| {
            let (len, data) = (u64_of(event, "skb_len"), u64_of(event, "data_len"));
            data + (len - data) * u64_of(event, "segs")
        });
        assert_eq!(wire.sum::<u64>(), bytes);
    }
    // Each byte was sent once; its headers are those of the wire.
    for family in ["ipv4", "ipv6"] {
        let ip = if family == "ipv4" { 20 } else { 40 };
        let of = ours.iter().filter(|event| event["family"] == family);
        for event in of.filter(|event| u64_of(event, "data_len") > 0) {
            let headers = u64_of(event, "skb_len") - u64_of(event, "data_len");
            assert_eq!(headers, ETHERNET + ip + 32, "{event}");
            assert!(text(event, "flags").contains("ACK"), "{event}");
        }
    }
    let syns: Vec<_> = ours.iter().filter(|event| event["flags"] == "SYN").collect();
    assert!(syns.len() <= RIGHT.len() && syns.len() + 1 >= RIGHT.len(), "{syns:#?}");
    assert!(syns.iter().all(|event| event["data_len"] == 0), "{syns:#?}");
}

/// Packets that tbf cuts: a part has waited since the whole came, which the bytes tell.
fn check_cut(reader: &str) {
    need!(is_root(), "not root");
    need!(has_qdisc(SLOW), "this kernel has no tbf", legitimate: true);
    let mut link = Link::new(reader, SLOW, false, &[]);
    let before = link.pair.left.counters();
    link.transfer(&RIGHT[..1], 300_000);
    let again = link.pair.left.counters()["RetransSegs"] - before["RetransSegs"];
    assert_eq!(again, 0, "every byte goes once");
    let headers = ETHERNET + 20 + 32;
    // Where in the stream each whole one ends, and when it came.
    let mut wholes: Vec<(u64, u64)> = Vec::new();
    for line in link.kernel.lines() {
        let Some((head, fields)) = line.split_once(": net_dev_queue: ") else { continue };
        let len = pairs(fields).find_map(|(key, n)| (key == "len").then_some(n)).expect("len");
        let data = len.parse::<u64>().expect("a number") - headers.min(len.parse().expect("n"));
        // The SYN has more options, and no data.
        let syn = wholes.is_empty();
        let end = wholes.last().map_or(0, |(end, _)| *end) + if syn { 0 } else { data };
        wholes.push((end, time_us(head).expect("a time")));
    }
    let (trace, ours, reported, _pair) = link.stop();
    check_schema(&trace);
    let both = compared(&ours, &reported);
    let first = ours.iter().find(|event| event["flags"] == "SYN").expect("the SYN");
    let first = u64_of(first, "seq") as u32;
    let (mut times, mut cut) = (Vec::new(), 0);
    for (event, reported) in both.iter().filter(|(event, _)| u64_of(event, "data_len") > 0) {
        let at = u64::from((u64_of(event, "seq") as u32).wrapping_sub(first).wrapping_sub(1));
        let (_, queued_at) = wholes.iter().find(|(end, _)| *end > at).expect("its whole");
        cut += u64::from(reported.queued_at.is_none());
        times.push((u64_of(event, "queue_us"), reported.at - queued_at));
        assert!(event["qdisc_us"].is_u64() && event["qlen"].is_u64(), "{event}");
        assert!(u64_of(event, "qdisc_us") <= u64_of(event, "queue_us"), "{event}");
    }
    assert!(cut > 50, "{cut} parts");
    check_times("queue_us", &times);
}

/// What is dropped at the qdisc leaves nothing behind that a later packet is taken for.
fn check_dropped(reader: &str) {
    need!(is_root(), "not root");
    need!(has_qdisc(SHORT), "this kernel has no tbf", legitimate: true);
    let mut link = Link::new(reader, SHORT, true, &["--min", &format!("{MIN_US}us")]);
    link.transfer_at_once(RIGHT[1], 5, 40_000);
    let (trace, mut ours, reported, pair) = link.stop();
    assert!(tc_counted(&pair)[2] > 0, "nothing was dropped");
    let all = ours.len();
    ours.retain(|event| event["queue_us"].is_u64());
    assert!(ours.len() * 20 >= all * 19, "{} of {all}", ours.len());
    // Only those that waited so long; the others are in the books.
    let reported: Vec<LinkPacket> = reported
        .into_iter()
        .filter(|reported| {
            let Some(waited) = reported.queued_at.map(|at| reported.at - at) else { return false };
            let seen = ours.iter().any(|event| {
                u64_of(event, "skb_len") == reported.len
                    && (u64_of(event, "mono_ns") / 1000).abs_diff(reported.at) < 200
            });
            // At the limit either may be.
            waited >= MIN_US && (seen || waited > MIN_US + 200)
        })
        .collect();
    let both = compared(&ours, &reported);
    assert!(both.len() > 20 && u64_of(&trace.end, "filtered") > 20, "{}", trace.end);
    let times = both.iter().map(|(event, reported)| {
        let queued_at = reported.queued_at.expect("its way");
        (u64_of(event, "queue_us"), reported.at - queued_at)
    });
    check_times("queue_us", &times.collect::<Vec<_>>());
    assert!(ours.iter().all(|event| u64_of(event, "queue_us") >= MIN_US), "{ours:#?}");
}

/// A device goes away with what stands in its queue; the next one of the same name and number is another.
fn check_removed(reader: &str) {
    need!(is_root(), "not root");
    need!(has_qdisc(SLOW), "this kernel has no tbf", legitimate: true);
    let mut link = Link::new(reader, SLOW, true, &[]);
    let addr = format!("{}:{}", RIGHT[0], link.port).parse().expect("an address");
    link.client.connect("a", addr);
    link.server.accept("a");
    // No more than there is room for, as the device will never take the rest.
    link.client.send("a", 40_000);
    let dev = link.pair.dev.clone();
    link.tracer.wait_events("some packets", |events| events.len() > 10);
    link.pair.left.run(&["ip", "link", "del", &dev]);
    // On this one there is nobody else; its owner is another, and its queue is none.
    let (mut client, mut server) = (
        TestProcess::start_in(&link.pair.left.launch()),
        TestProcess::start_in(&link.pair.left.launch()),
    );
    let number = link.port.to_string();
    let again = format!("link add {dev} index {number} type veth peer name eth9");
    link.pair.left.run(&[&["ip"], &again.split(' ').collect::<Vec<_>>()[..]].concat());
    server.listen(&format!("127.0.0.1:{}", link.port));
    let addr = format!("127.0.0.1:{}", link.port).parse().expect("an address");
    client.connect("b", addr);
    let accepted = server.accept("b");
    client.transfer("b", &mut server, 10_000);
    let cookie = accepted.cookie;
    link.tracer.wait_events("the other's", |events| events.iter().any(|e| e["cookie"] == cookie));
    let trace = link.tracer.stop();
    trace.check_accounts(&[EVENT_TYPE]);
    check_schema(&trace);
    let later: Vec<_> = trace.events.iter().filter(|event| event["dev"] == "lo").collect();
    assert!(later.len() > 3, "{later:#?}");
    for event in later {
        assert_eq!((text(event, "qdisc"), &event["ifindex"]), ("noqueue", &1.into()), "{event}");
    }
}

/// Without a queue: as many packets as the connection counts, with its bytes, on either side.
fn check_loopback(reader: &str) {
    need!(is_root(), "not root");
    for attempt in 1.. {
        let mut fixture = Fixture::new();
        fixture.listen();
        let port = fixture.port.to_string();
        let args = ["--all-fields", "--reader", reader, "--port", &port];
        let tracer = Tracer::events_in(&Launch::here().with_tracefs(), "queue,destroy", &args);
        for family in FAMILIES {
            fixture.connect("a", family);
            fixture.client.transfer("a", &mut fixture.server, 200_000);
            fixture.client.close("a");
            fixture.server.close("a");
        }
        fixture.settle();
        let trace = tracer.stop();
        trace.check_accounts(&["queue", "destroy"]);
        let ends =
            |event: &Value| ["saddr", "sport", "daddr", "dport"].map(|key| event[key].clone());
        let mut missing = 0;
        let destroyed = trace.of_type("destroy");
        let of_connections = destroyed.iter().filter(|event| u64_of(event, "segs_out") > 0);
        let of_connections: Vec<_> = of_connections.filter(|event| event["dport"] != 0).collect();
        assert_eq!(of_connections.len(), 2 * FAMILIES.len(), "{destroyed:#?}");
        for destroy in of_connections {
            let own =
                trace.of_type(EVENT_TYPE).into_iter().filter(|event| ends(event) == ends(destroy));
            let own: Vec<_> = own.collect();
            let sum = |key: &str| own.iter().map(|event| u64_of(event, key)).sum::<u64>();
            missing += u64_of(destroy, "segs_out").abs_diff(sum("segs"));
            missing += u64_of(destroy, "bytes_sent").abs_diff(sum("data_len"));
            for event in &own {
                assert_eq!(
                    (text(event, "dev"), text(event, "qdisc")),
                    ("lo", "noqueue"),
                    "{event}"
                );
                let nulls = ["qlen", "backlog_bytes", "qdisc_us"];
                assert!(nulls.iter().all(|key| event[*key].is_null()), "{event}");
                assert!(event["queue_us"].as_u64().is_none_or(|us| us < 20_000), "{event}");
            }
            let known = own.iter().filter(|event| event["queue_us"].is_u64()).count();
            assert!(known * 20 >= own.len() * 19, "{known} of {}", own.len());
        }
        if missing == 0 {
            return;
        }
        again(&format!("{missing} are missing"));
        assert!(attempt < 4, "events are missing in each of the accounts");
    }
}

#[test]
fn the_command_says_a_line_a_packet() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let args = ["queue", "--port", &fixture.port.to_string()];
    let mut tracer = Tracer::spawn(&Launch::here().with_tracefs(), &args);
    tracer.wait_ready();
    let (client, _) = fixture.connect("a", FAMILIES[0]);
    fixture.client.transfer("a", &mut fixture.server, 10_000);
    fixture.client.close("a");
    fixture.server.close("a");
    fixture.settle();
    let output = tracer.stop_raw();
    assert!(output.status.success(), "{}", output.stderr);
    let mut lines = output.stdout.lines();
    let titles: Vec<&str> = lines.next().expect("titles").split_whitespace().collect();
    let own = ["PID", "DEV", "QDISC", "len", "qlen", "backlog", "wait"];
    assert_eq!(titles, [&["TIME", "LOCAL", "PEER"], &own[..]].concat());
    let lines: Vec<Vec<&str>> =
        lines.skip(1).map(|line| line.split_whitespace().collect()).collect();
    let (local, pid) = (client.local.to_string(), fixture.client.pid.to_string());
    let ours: Vec<_> = lines.iter().filter(|line| line[1] == local && line[3] == pid).collect();
    assert!(ours.len() > 3, "{}", output.stdout);
    for line in ours {
        assert_eq!(
            (&line[4..6], &line[7..9]),
            (&["lo", "noqueue"][..], &["-", "-"][..]),
            "{line:?}"
        );
        assert!(line[6].parse::<u64>().is_ok_and(|len| len >= 66), "{line:?}");
    }
    assert!(output.stdout.lines().all(|line| line.chars().count() <= 100), "{}", output.stdout);
}

by_sock_and_raw! {
    check_each: each_by_sock each_by_raw;
    check_cut: cut_by_sock cut_by_raw;
    check_dropped: dropped_by_sock dropped_by_raw;
    check_removed: removed_by_sock removed_by_raw;
    check_loopback: loopback_by_sock loopback_by_raw;
}
