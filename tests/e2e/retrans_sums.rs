//! `retrans --by` against the events that it is made of, which another tracer prints, and the namespace's own counters.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::{Value, json};

use crate::support::{
    FAMILIES, Fixture, Launch, Server, Trace, Tracer, again, flooding, invalid, is_root, schema,
    text, traffic_in, u64_of,
};

const EVENT_TYPES: [&str; 2] = ["retransmit", "synack_retransmit"];
const CLASSES: [&str; 7] = ["other", "fast", "rto", "slow_start", "tlp", "syn", "synack"];
const ENDS: [&str; 5] = ["netns", "saddr", "sport", "daddr", "dport"];

/// Events, and segments by class.
type Sums = (u64, [u64; 7]);
/// `--by`, and what is then expected.
type Case = (&'static str, &'static [&'static str], Option<(u8, u8)>);
/// By the row's key, as printed with its members in order.
type Rows = BTreeMap<String, Sums>;

fn printed(key: &BTreeMap<String, Value>) -> String {
    json!(key).to_string()
}

/// What the events make by that key.
fn expected(events: &[Value], netns: u64, key: &[&str], prefix: Option<(u8, u8)>) -> Rows {
    let mut rows = Rows::new();
    for event in events {
        let value = |name: &&str| match (*name, prefix) {
            ("netns", _) => json!(netns),
            ("saddr" | "daddr", Some((v4, v6))) => {
                let ip: IpAddr = text(event, name).parse().expect("an address");
                let len = if ip.is_ipv4() { v4 } else { v6 };
                let network = ipnet::IpNet::new(ip, len).expect("a length").network();
                json!(format!("{network}/{len}"))
            }
            _ => event[*name].clone(),
        };
        let key = key.iter().map(|name| ((*name).to_owned(), value(name))).collect();
        let row = rows.entry(printed(&key)).or_default();
        row.0 += 1;
        if event["type"] == "synack_retransmit" {
            row.1[6] += 1;
        } else {
            let class = CLASSES.iter().position(|class| *class == text(event, "class"));
            row.1[class.expect("a class")] += u64_of(event, "segs");
        }
    }
    rows
}

/// What was printed, of several intervals together.
#[track_caller]
fn reported(trace: &Trace) -> Rows {
    let (schema, mut rows) = (schema(), Rows::new());
    for row in &trace.events {
        invalid(schema, row).unwrap_or_else(|error| panic!("{error}: {row}"));
        let key = match row["key"].as_object() {
            None => "others".to_owned(),
            Some(key) => printed(&key.iter().map(|(k, v)| (k.clone(), v.clone())).collect()),
        };
        let sums = rows.entry(key).or_default();
        sums.0 += u64_of(row, "events");
        let segs = CLASSES.map(|class| u64_of(row, &format!("{class}_segs")));
        assert_eq!(u64_of(row, "segs"), segs.iter().sum::<u64>(), "{row}");
        sums.1.iter_mut().zip(segs).for_each(|(sum, segs)| *sum += segs);
    }
    rows
}

/// Losses of data and ACKs (not at random: of so few packets all might come), of SYNs, and of the last ACK of a handshake.
fn lose(fixture: &mut Fixture, tracer: &Tracer) {
    let port = fixture.port;
    fixture.ns.run(&["ip", "link", "set", "lo", "mtu", "1500"]);
    let listen = format!("[::]:{port}");
    let server = Server::start_in(&fixture.ns.launch(), &listen, Some("reno"));
    fixture.rule(&format!("tcp dport {port} tcp flags syn numgen inc mod 2 == 0 drop"));
    for side in ["dport", "sport"] {
        fixture
            .rule(&format!("tcp {side} {port} tcp flags & syn == 0 numgen inc mod 20 == 7 drop"));
    }
    for family in FAMILIES {
        let to = fixture.addr(family).to_string();
        let args = ["bulk", "--to", &to, "--bytes", "3000000", "--cc", "reno"];
        traffic_in(&fixture.ns.launch(), &args);
    }
    fixture.speak();
    fixture.settle();
    drop(server);
    fixture.listen();
    fixture.rule(&format!("tcp dport {port} tcp flags & (syn | ack) == ack drop"));
    let addr = fixture.addr(FAMILIES[1]);
    fixture.client.connect("b", addr);
    tracer.wait_events("a SYN-ACK", |events| {
        events.iter().any(|event| event["type"] == "synack_retransmit")
    });
    fixture.speak();
    fixture.client.send("b", 1);
    fixture.server.accept("b");
    fixture.client.close("b");
    fixture.server.close("b");
    fixture.settle();
}

fn check_sums(reader: &str) {
    need!(is_root(), "not root");
    let _quiet = flooding();
    // See events_counters.rs: there are hosts that skip programs.
    for _ in 0..3 {
        let mut fixture = Fixture::new();
        let port = fixture.port.to_string();
        let launch = Launch::here().with_tracefs();
        let args = ["--all-fields", "--reader", reader, "--port", &port];
        let events = Tracer::events_in(&launch, &EVENT_TYPES.join(","), &args);
        let cases: [Case; 5] = [
            ("conn", &ENDS, None),
            ("conn --interval 100ms", &ENDS, None),
            ("raddr,netns --prefix 8 --prefix6 64", &["netns", "daddr"], Some((8, 64))),
            ("all", &[], None),
            ("conn --max-rows 2", &ENDS, None),
        ];
        let tracers = cases.map(|(by, ..)| {
            let words = format!("--reader {reader} --port {port} --by {by}");
            Tracer::command_in(&launch, &["retrans"], &words.split(' ').collect::<Vec<_>>())
        });
        let before = fixture.ns.counters()["RetransSegs"];
        lose(&mut fixture, &events);
        let grew = fixture.ns.counters()["RetransSegs"] - before;
        let events = events.stop();
        events.check_accounts(&EVENT_TYPES);
        let traces = tracers.map(Tracer::stop);
        for ((by, key, prefix), trace) in cases.iter().zip(&traces) {
            assert_eq!(trace.aggregated(), events.events.len() as u64, "--by {by}");
            let wanted = expected(&events.events, fixture.ns.inode(), key, *prefix);
            let reported = reported(trace);
            if !by.contains("max-rows") {
                assert_eq!(reported, wanted, "--by {by}");
                continue;
            }
            let all = |rows: &Rows| {
                rows.values().fold(Sums::default(), |mut sum, row| {
                    sum.0 += row.0;
                    sum.1.iter_mut().zip(row.1).for_each(|(sum, n)| *sum += n);
                    sum
                })
            };
            assert!(
                wanted.len() > 3 && reported.len() == 3 && reported.contains_key("others"),
                "{reported:?}"
            );
            assert_eq!(all(&reported), all(&wanted), "--by {by}");
        }
        let rows = &traces[0].events;
        check_cookies(rows, &events);
        let segs: Vec<u64> = rows.iter().map(|row| u64_of(row, "segs")).collect();
        assert!(segs.is_sorted_by(|a, b| a >= b), "most first: {segs:?}");
        let all = &reported(&traces[3])["{}"];
        for (class, segs) in CLASSES.iter().zip(all.1) {
            let some = ["fast", "syn", "synack"].contains(class);
            assert!(!some || segs > 0, "no {class}: {all:?}");
        }
        if all.1.iter().sum::<u64>() == grew {
            return;
        }
        again(&format!("{all:?} of {grew} segments"));
    }
    panic!("no account is complete");
}

/// Each row has the cookie of its connection's last retransmission that has one; a SYN-ACK has none of it.
#[track_caller]
fn check_cookies(rows: &[Value], events: &Trace) {
    for row in rows {
        let of = events.of_type("retransmit").into_iter();
        let of = of.filter(|event| ENDS[1..].iter().all(|end| event[*end] == row["key"][*end]));
        let cookie = of.filter_map(|event| event["cookie"].as_u64()).next_back();
        assert_eq!(row["cookie"].as_u64(), cookie, "{row}");
    }
    assert!(rows.iter().any(|row| row["cookie"].is_u64()), "{rows:?}");
}

by_sock_and_raw! {
    check_sums: retransmissions_are_counted_by_sock retransmissions_are_counted_by_raw;
}

/// Rows that have been idle make room for new ones, and come again; the intervals and the totals have every event.
#[test]
fn idle_rows_make_room() {
    need!(is_root(), "not root");
    const ROOM: usize = 8;
    const BATCH: usize = 4;
    let mut fixture = Fixture::new();
    fixture.listen();
    let words = format!("--port {} --by conn --interval 50ms --max-rows {ROOM}", fixture.port);
    let words: Vec<&str> = words.split(' ').collect();
    let tracer = Tracer::command_in(&Launch::here(), &["retrans"], &words);
    fixture.silence();
    let addr = fixture.addr(FAMILIES[0]);
    let keys = |rows: &[Value]| {
        let ports = rows.iter().filter_map(|row| row["key"]["sport"].as_u64());
        ports.collect::<BTreeSet<u64>>().len()
    };
    for batch in 1..=3 {
        for i in 0..BATCH {
            fixture.client.start_connect(&format!("b{batch}c{i}"), addr);
        }
        tracer.wait_events("their rows", |rows| keys(rows) >= batch * BATCH);
    }
    let trace = tracer.stop();
    assert!(keys(&trace.events) > ROOM, "{:?}", trace.events);
    let reported: u64 = trace.events.iter().map(|row| u64_of(row, "events")).sum();
    assert_eq!(trace.aggregated(), reported);
}

#[test]
fn retransmissions_are_counted_in_tables_and_in_csv() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let port = fixture.port.to_string();
    let start = |more: &str| {
        let words = format!("retrans --port {port} {more}");
        let mut tracer =
            Tracer::spawn(&Launch::here(), &words.split_whitespace().collect::<Vec<_>>());
        tracer.wait_ready();
        tracer
    };
    let (text, csv) = (start("--by conn --max-rows 1"), start("--by rport -o csv"));
    fixture.rule(&format!("tcp dport {port} tcp flags syn numgen inc mod 2 == 0 drop"));
    for family in ["127.0.0.1", "[::1]"] {
        fixture.connect("a", family);
        fixture.client.close("a");
        fixture.server.close("a");
    }
    fixture.speak();
    fixture.settle();
    let (text, csv) = (text.stop_raw(), csv.stop_raw());
    assert!(text.status.success() && csv.status.success(), "{} {}", text.stderr, csv.stderr);
    let lines: Vec<Vec<&str>> =
        text.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        lines[1].join(" "),
        "LADDR:LPORT RADDR:RPORT EVENTS SEGS FAST RTO SLOW TLP SYN SYNACK OTHER"
    );
    let remote = format!("127.0.0.1:{port}");
    assert_eq!(
        (lines[2][1], &lines[2][2..]),
        (&*remote, &["1", "1", "0", "0", "0", "0", "1", "0", "0"][..])
    );
    assert_eq!(lines[3][..4], ["all", "others", "1", "1"]);
    assert!(text.stdout.lines().all(|line| line.len() <= 100), "{}", text.stdout);
    let mut lines = csv.stdout.lines();
    let header: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let row: Vec<&str> = lines.next().expect("a row").split(',').collect();
    let of = |name: &str| row[header.iter().position(|column| *column == name).expect(name)];
    assert_eq!([of("dport"), of("events"), of("segs"), of("syn_segs")], [&*port, "2", "2", "2"]);
    assert_eq!(row.len(), header.len());
}
