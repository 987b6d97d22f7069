//! Those of bcc's libbpf-tools that make histograms beside ours, on the same connections: what they count alike is alike.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::peers::{Peer, address, number};
use crate::support::{
    FAMILIES, Fixture, Launch, Trace, Tracer, flooding, has_qdisc, is_whole, printed, some_turn,
    text, u64_of, wait_until,
};

/// Counts by the smallest value of each row that has any.
type Slots = BTreeMap<u64, u64>;

/// Slow enough that data makes round trips longer.
const SLOW: [&str; 7] = ["tbf", "rate", "20mbit", "burst", "70000", "latency", "200ms"];

/// The histograms that were printed, each with the line above its own heading. The rows are made alike here and there.
fn histograms(lines: &[Vec<String>]) -> Vec<(String, Slots)> {
    let mut histograms: Vec<(String, Slots)> = Vec::new();
    let mut above = String::new();
    for words in lines {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            [_, ":", "count", "distribution"] => {
                histograms.push((std::mem::take(&mut above), Slots::new()));
            }
            [from, "->", _, ":", count, ..] => {
                let (_, slots) = histograms.last_mut().expect("a heading");
                slots.insert(number(from) as u64, number(count) as u64);
            }
            [] => {}
            _ => above = words.join(" "),
        }
    }
    histograms.iter_mut().for_each(|(_, slots)| slots.retain(|_, count| *count > 0));
    histograms
}

/// The only one.
#[track_caller]
fn histogram(lines: &[Vec<String>]) -> (String, Slots) {
    let mut all = histograms(lines);
    assert_eq!(all.len(), 1, "{lines:#?}");
    all.remove(0)
}

/// The row that a value is counted in: by its highest bit.
fn slot(value: u64) -> u64 {
    if value < 2 { 0 } else { 1 << value.ilog2() }
}

/// Ours in their rows. What has no value yet is 0 there.
fn in_slots(row: &Value) -> Slots {
    let mut slots = Slots::new();
    let buckets = printed(row).into_iter().map(|((from, _), count)| (slot(from), count));
    for (slot, count) in buckets.chain([(0, u64_of(row, "unset"))]) {
        *slots.entry(slot).or_default() += count;
    }
    slots.retain(|_, count| *count > 0);
    slots
}

/// Round trips of all lengths, of a connection that is there and of one more in each family.
fn talk(fixture: &mut Fixture) {
    for (i, family) in [None].into_iter().chain(FAMILIES.map(Some)).enumerate() {
        if let Some(family) = family {
            fixture.connect("a", family);
        }
        fixture.client.transfer("a", &mut fixture.server, 1);
        fixture.server.transfer("a", &mut fixture.client, 1);
        fixture.client.transfer("a", &mut fixture.server, 100_000 * (1 + i as u64));
        fixture.server.transfer("a", &mut fixture.client, 20_000 * (1 + i as u64));
        fixture.client.close("a");
        fixture.server.close("a");
    }
    fixture.settle();
}

#[track_caller]
fn rtt(args: &[&str]) -> Tracer {
    let mut tracer =
        Tracer::spawn(&Launch::here().with_tracefs(), &[&["rtt", "-o", "jsonl"], args].concat());
    tracer.wait_ready();
    tracer
}

/// One histogram of theirs, of all samples of one of ours.
#[track_caller]
fn same_times(ours: &Trace, (heading, theirs): &(String, Slots)) {
    let [row] = &ours.events[..] else { panic!("{:#?}", ours.events) };
    assert_eq!(&in_slots(row), theirs, "{row}");
    let count = u64_of(row, "count") + u64_of(row, "unset");
    let average = format!("[AVG {}]", u64_of(row, "sum_us") / count);
    assert!(heading.ends_with(&average), "{heading}: {average}");
}

/// Not with its filters by the local end, nor by the local address: with those version 0.26 does not load where there is
/// fentry (`access beyond struct sock`). What is local to the server is the peer's of a client.
#[test]
fn tcprtt_has_the_same_times() {
    need_peer!("tcprtt", kprobes);
    need!(has_qdisc(&SLOW), "no tbf");
    let _quiet = flooding();
    some_turn(|| {
        let mut fixture = Fixture::new();
        fixture.ns.run(&[&["tc", "qdisc", "add", "dev", "lo", "root"], &SLOW[..]].concat());
        fixture.listen();
        let client = fixture.connect("a", FAMILIES[0]).0;
        let (port, client) = (fixture.port.to_string(), client.local.port().to_string());
        let ours = [&["-R", &port][..], &["-R", &client], &["-R", &port, "--by", "raddr"]].map(rtt);
        let theirs = [
            &["-e", "-P", &port][..],
            &["-e", "-P", &client],
            &["-P", &port, "-B"],
            &["-P", &port, "-m"],
        ];
        let theirs = theirs.map(|args| Peer::start("tcprtt", args, "Tracing TCP RTT"));
        talk(&mut fixture);
        let whole = theirs.iter().all(|peer| peer.skipped() == 0);
        let [all, one, addresses] = ours.map(Tracer::stop);
        let [of_all, of_one, by_address, in_ms] = theirs.map(Peer::stop);
        if ![&all, &one, &addresses].into_iter().all(is_whole) || !whole {
            return false;
        }
        same_times(&all, &histogram(&of_all));
        same_times(&one, &histogram(&of_one));
        same_addresses(&addresses, &histograms(&by_address));
        same_in_ms(&all.events[0], &histogram(&in_ms).1);
        true
    });
}

/// By the peer's address. Up to version 0.28 that is IPv4's, whatever the socket is: of an IPv6 peer it is 0.0.0.0, of one
/// that is both the same as that of an IPv4 socket.
#[track_caller]
fn same_addresses(ours: &Trace, theirs: &[(String, Slots)]) {
    let mut by_address: BTreeMap<String, Slots> = BTreeMap::new();
    for (heading, slots) in theirs {
        let reported =
            heading.strip_prefix("Remote Address = ").unwrap_or_else(|| panic!("{heading}"));
        let reported = if reported == "0.0.0.0" { "::1".into() } else { address(reported) };
        let sums = by_address.entry(reported).or_default();
        slots.iter().for_each(|(slot, count)| *sums.entry(*slot).or_default() += count);
    }
    let rows = ours.events.iter().map(|row| (text(&row["key"], "daddr").to_owned(), in_slots(row)));
    assert_eq!(rows.collect::<BTreeMap<_, _>>(), by_address);
}

/// Of whole milliseconds: rows begin at other values than ours, but each of our buckets is in one or two of them.
#[track_caller]
fn same_in_ms(row: &Value, theirs: &Slots) {
    let (mut least, mut most) = (Slots::new(), Slots::new());
    for ((from, to), count) in printed(row).into_iter().chain([((0, 0), u64_of(row, "unset"))]) {
        let [from, to] = [from, to].map(|us| slot(us / 1000));
        for slot in if from == to { vec![from] } else { vec![from, to] } {
            *most.entry(slot).or_default() += count;
        }
        *least.entry(from).or_default() += if from == to { count } else { 0 };
    }
    assert_eq!(theirs.values().sum::<u64>(), u64_of(row, "count") + u64_of(row, "unset"), "{row}");
    let of = |slots: &Slots, slot| slots.get(&slot).copied().unwrap_or(0);
    for slot in theirs.keys().chain(least.keys()) {
        let reported = of(theirs, *slot);
        assert!(
            (of(&least, *slot)..=of(&most, *slot)).contains(&reported),
            "{slot} {reported}: {row}"
        );
    }
    assert!(theirs.len() > 1, "{theirs:?}");
}

/// How many wait in the queue of its listener.
fn waiting(fixture: &Fixture) -> u64 {
    let text = fixture.ns.run(&["ss", "-tlnH", &format!("sport = :{}", fixture.port)]);
    number(text.split_whitespace().nth(1).expect("Recv-Q")) as u64
}

/// It looks at the queue as a connection comes into it, ours as one is taken out: of a queue that was empty before and is
/// empty in the end it is equally often that it grows from a length and that it shrinks to it. What comes by IPv4 to an
/// IPv6 listener goes through both of the functions that it looks at, and counts twice there.
#[test]
fn tcpsynbl_sees_queues_grow_as_often_as_they_shrink() {
    need_peer!("tcpsynbl", kprobes);
    let _quiet = flooding();
    // Its histograms are by the longest that a queue may be, which of others is none of these.
    let cases = [("127.0.0.1", 21, 1), ("[::1]", 22, 1), ("[::]", 23, 2)];
    some_turn(|| {
        let mut scenes = cases.map(|(addr, limit, _)| {
            let mut fixture = Fixture::new();
            let limit = format!("echo {limit} > /proc/sys/net/core/somaxconn");
            fixture.ns.run(&["sh", "-c", &limit]);
            fixture.server.listen(&format!("{addr}:{}", fixture.port));
            fixture
        });
        let ports = scenes.each_ref().map(|fixture| fixture.port.to_string()).join(",");
        let args = ["accept", "-o", "jsonl", "--port", &ports];
        let mut tracer = Tracer::spawn(&Launch::here().with_tracefs(), &args);
        tracer.wait_ready();
        let peer = Peer::start("tcpsynbl", &[], "Tracing SYN backlog");
        for (fixture, family) in scenes.iter_mut().zip(FAMILIES) {
            let addr = fixture.addr(family);
            let mut names = (0..).map(|i| format!("c{i}"));
            for (connected, accepted) in [(3, 2), (6, 4), (1, 4)] {
                let before = waiting(fixture);
                for name in names.by_ref().take(connected) {
                    fixture.client.connect(&name, addr);
                }
                // connect() may return before the server has the ACK.
                wait_until("the queue", || waiting(fixture) == before + connected as u64);
                (0..accepted).for_each(|_| _ = fixture.server.accept("a"));
            }
        }
        let skipped = peer.skipped();
        let (trace, lines) = (tracer.stop(), peer.stop());
        trace.check_accounts(&["accept"]);
        if !is_whole(&trace) || skipped > 0 {
            return false;
        }
        let theirs: BTreeMap<String, Slots> = histograms(&lines).into_iter().collect();
        for (fixture, (_, limit, times)) in scenes.iter().zip(cases) {
            let mut ours = Slots::new();
            for event in trace.events.iter().filter(|event| event["sport"] == fixture.port) {
                assert_eq!(event["max_backlog"], limit, "{event}");
                *ours.entry(slot(u64_of(event, "backlog"))).or_default() += times;
            }
            // 0 1 2, 1 2 3 4 5 6, and 3.
            assert_eq!(ours, Slots::from([(0, 3 * times), (2, 4 * times), (4, 3 * times)]));
            assert_eq!(theirs.get(&format!("backlog_max = {limit}")), Some(&ours), "{lines:#?}");
        }
        true
    });
}
