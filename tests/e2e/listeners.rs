//! `listeners` and `listen_drop` against the kernel's counters, `ss -l` and /proc/net/tcp.

use serde_json::Value;

use crate::support::{
    FAMILIES, Fixture, Netns, Reader, SYN_RECV, SocketEntry, Tcc, TestProcess, Trace,
    assert_events, invalid, is_root, mono_ns, schema, turns, u64_of, unique_port, wait_until,
};

/// What is dropped for want of room, as the namespace counts it.
fn dropped(ns: &Netns) -> u64 {
    let counters = ns.counters();
    assert!(counters["ListenDrops"] >= counters["ListenOverflows"], "{counters:?}");
    counters["ListenDrops"]
}

/// The listener's own count, as ss has it: `skmem:(…,d12)`.
fn ss_drops(ns: &Netns, port: u16) -> u64 {
    let text = ns.run(&["ss", "-tlnmH", &format!("sport = :{port}")]);
    let drops = text.rsplit_once(",d").and_then(|(_, rest)| rest.split_once(')'));
    drops.and_then(|(drops, _)| drops.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

/// How many may wait to be accepted: Send-Q.
fn ss_limit(ns: &Netns, port: u16) -> u64 {
    let text = ns.run(&["ss", "-tlnH", &format!("sport = :{port}")]);
    text.split_whitespace().nth(2).and_then(|word| word.parse().ok()).expect("Send-Q")
}

/// Of /proc/net/tcp, where a listener has no limit.
fn listener(ns: &Netns, port: u16) -> SocketEntry {
    let is_it = |entry: &SocketEntry| entry.local.port() == port && entry.peer.port() == 0;
    ns.sockets().into_iter().find(is_it).expect("a listener")
}

/// Four SYNs are dropped, as the queue is full, and nobody tries again.
fn overflow(fixture: &mut Fixture, family: &str) {
    let (addr, before) = (fixture.addr(family), dropped(&fixture.ns));
    for i in 0..4 {
        fixture.client.start_connect(&format!("dropped{i}"), addr);
    }
    wait_until("dropped SYNs", || dropped(&fixture.ns) >= before + 4);
    (0..4).for_each(|i| fixture.client.close(&format!("dropped{i}")));
}

/// Nobody accepts: two connections fill the queue.
fn full_queue() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.ns.sysctl("core/somaxconn", "1");
    fixture.listen();
    for name in ["waits", "waits, too"] {
        let addr = fixture.addr(FAMILIES[0]);
        fixture.client.connect(name, addr);
    }
    fixture
}

fn check_events(reader: Reader) {
    need!(is_root(), "not root");
    turns(|| events_turn(reader));
}

fn events_turn(reader: Reader) -> Result<(), String> {
    let mut fixture = full_queue();
    let (port, netns) = (fixture.port, fixture.ns.inode().to_string());
    overflow(&mut fixture, FAMILIES[0]);
    let before = dropped(&fixture.ns);
    let tcc = Tcc::events(&["listen_drop"]).all_fields().reader(reader);
    let tracer = tcc.option("--netns", &netns).start();
    let sum = |events: &[Value]| events.iter().map(|event| u64_of(event, "drops")).sum::<u64>();
    for family in FAMILIES {
        overflow(&mut fixture, family);
        let now = dropped(&fixture.ns);
        tracer.wait_events("its drops", |events| sum(events) == now - before);
    }
    let (entry, total) = (listener(&fixture.ns, port), ss_drops(&fixture.ns, port));
    let limit = ss_limit(&fixture.ns, port);
    // The drops since the last snapshot come with the end.
    overflow(&mut fixture, FAMILIES[0]);
    let all = dropped(&fixture.ns);
    let ends_ns = mono_ns();
    fixture.server.unlisten();
    tracer.wait_events("the end", |events| sum(events) == all - before);
    let trace = tracer.stop();
    trace.check_accounts(&["listen_drop"]);
    let schema = schema();
    for event in &trace.events {
        invalid(schema, event).unwrap_or_else(|error| panic!("{error}: {event}"));
    }
    let expected = trace.events.iter().map(|_| {
        event!(listen_drop {
            saddr: "::",
            sport: port,
            dport: 0_u16,
            pid: fixture.server.pid,
            backlog: entry.rx_queue,
            max_backlog: limit,
            syn_backlog: 0_u64,
            syncookies: false,
            drops: 1..,
            interval_us: 1..,
            state: "LISTEN",
        })
    });
    assert_events(&trace.events, expected);
    assert_eq!((entry.rx_queue, limit), (2, 1));
    let totals: Vec<u64> = trace.events.iter().map(|event| u64_of(event, "total_drops")).collect();
    assert!(totals.is_sorted() && totals.contains(&total), "{totals:?}, ss: {total}");
    assert_eq!(totals.last(), Some(&all));
    let (last, others) = trace.events.split_last().expect("an event");
    assert!(others.iter().all(|event| event["closed"] == false), "{others:?}");
    if last["closed"] == true {
        return Ok(());
    }
    assert!(u64_of(last, "mono_ns") < ends_ns, "{last}");
    Err("a snapshot had all drops before the end".to_owned())
}

#[test]
fn drops_are_those_of_the_counters_sock() {
    check_events(Reader::Sock);
}

#[test]
fn drops_are_those_of_the_counters_raw() {
    check_events(Reader::Raw);
}

/// `listeners` at short intervals, of these namespaces.
fn start(namespaces: &[&Netns], reader: Reader) -> crate::support::Tracer {
    let tcc = Tcc::command("listeners").option("--interval", "50ms").reader(reader);
    let with = |tcc: Tcc, ns: &&Netns| tcc.option("--netns", &ns.inode().to_string());
    namespaces.iter().fold(tcc, with).start()
}

/// Who called listen() hands the socket to a child and closes it, as a daemon does.
#[test]
fn a_listener_that_is_handed_on_is_the_childs() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let tracer = start(&[&fixture.ns], Reader::Sock);
    let of = |rows: &[Value], pid: u32| {
        rows.iter().any(|row| row["key"]["sport"] == fixture.port && row["pid"] == pid)
    };
    tracer.wait_events("the parent's row", |rows| of(rows, fixture.server.pid));
    let child = fixture.server.fork_listener();
    fixture.server.unlisten();
    tracer.wait_events("the child's row", |rows| of(rows, child.pid));
    let trace = tracer.stop();
    let owners: Vec<&Value> = rows(&trace, fixture.port).iter().map(|row| &row["pid"]).collect();
    let handed_on = owners.iter().position(|pid| **pid == child.pid).expect("the child's row");
    assert!(owners[handed_on..].iter().all(|pid| **pid == child.pid), "{owners:?}");
}

/// The rows of that port, which the schema allows.
#[track_caller]
fn rows(trace: &Trace, port: u16) -> Vec<&Value> {
    let schema = schema();
    let ours = trace.events.iter().filter(|row| row["key"]["sport"] == port);
    ours.inspect(|row| invalid(schema, row).unwrap_or_else(|error| panic!("{error}: {row}")))
        .collect()
}

fn check_rows(reader: Reader) {
    need!(is_root(), "not root");
    let mut fixture = full_queue();
    let mut other = Fixture::new();
    other.server.listen(&format!("127.0.0.1:{}", other.port));
    // Several processes hold it, and it is one row.
    let _child = other.server.fork_listener();
    overflow(&mut fixture, FAMILIES[1]);
    let before = dropped(&fixture.ns);
    let tracer = start(&[&fixture.ns, &other.ns], reader);
    overflow(&mut fixture, FAMILIES[0]);
    let (now, total) = (dropped(&fixture.ns), ss_drops(&fixture.ns, fixture.port));
    let entry = listener(&fixture.ns, fixture.port);
    tracer.wait_events("its drops", |rows| {
        rows.iter().any(|row| row["key"]["sport"] == fixture.port && row["total_drops"] == total)
    });
    fixture.server.unlisten();
    tracer.wait_events("its end", |rows| rows.iter().any(|row| row["closed"] == true));
    let trace = tracer.stop();
    assert_eq!(trace.aggregated(), 1, "the listener that was closed");

    let ours = rows(&trace, fixture.port);
    let (last, open) = ours.split_last().expect("a row");
    assert_eq!(ours.iter().map(|row| u64_of(row, "drops")).sum::<u64>(), now - before);
    assert_eq!((&last["closed"], u64_of(last, "total_drops")), (&true.into(), total));
    for row in open {
        assert_eq!(row["closed"], false);
        assert_eq!((&row["pid"], &row["max_backlog"]), (&fixture.server.pid.into(), &1.into()));
        assert_eq!(row["backlog"], entry.rx_queue, "{row}");
        assert_eq!(row["key"]["saddr"], "::");
    }
    let theirs = rows(&trace, other.port);
    let mut times: Vec<&Value> = theirs.iter().map(|row| &row["time"]).collect();
    times.dedup();
    assert_eq!(times.len(), theirs.len(), "one row an interval: {theirs:?}");
    for row in theirs {
        let key = &row["key"];
        assert_eq!((&key["saddr"], &key["netns"]), (&"127.0.0.1".into(), &other.ns.inode().into()));
        assert_eq!((&row["drops"], &row["pid"]), (&0.into(), &other.server.pid.into()), "{row}");
    }
}

#[test]
fn each_listening_socket_is_a_row_of_each_interval_sock() {
    check_rows(Reader::Sock);
}

#[test]
fn each_listening_socket_is_a_row_of_each_interval_raw() {
    check_rows(Reader::Raw);
}

#[test]
fn handshakes_that_are_not_finished_are_the_syn_queue() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    // The SYN-ACK is lost.
    fixture.rule(&format!("tcp sport {} drop", fixture.port));
    let tracer = start(&[&fixture.ns], Reader::Sock);
    let of_port = |rows: &[Value], wanted: u64| {
        let ours = |row: &&Value| row["key"]["sport"] == fixture.port;
        rows.iter().filter(ours).any(|row| row["syn_backlog"] == wanted)
    };
    tracer.wait_events("an empty one", |rows| of_port(rows, 0));
    let (client, ns) = (&mut fixture.client, &fixture.ns);
    let addr = format!("127.0.0.1:{}", fixture.port).parse().expect("an address");
    for i in 0..3 {
        client.start_connect(&format!("a{i}"), addr);
    }
    let half_open = || ns.sockets().iter().filter(|entry| entry.state == SYN_RECV).count();
    assert_eq!(half_open(), 3);
    tracer.wait_events("all of them", |rows| of_port(rows, 3));
    tracer.stop().aggregated();
}

/// With SYN cookies for everybody: of one socket, and of a group that shares an address.
fn check_cookies(shared: bool) {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.ns.sysctl("ipv4/tcp_syncookies", "2");
    let mut second = TestProcess::start_in(&fixture.ns.launch());
    if shared {
        let addr = format!("127.0.0.1:{}", fixture.port).parse().expect("an address");
        fixture.server.listen_shared(addr);
        second.listen_shared(addr);
    } else {
        fixture.listen();
    }
    // No cookie was asked for there.
    let idle = unique_port();
    let mut third = TestProcess::start_in(&fixture.ns.launch());
    third.listen(&format!("127.0.0.1:{idle}"));
    let tracer = start(&[&fixture.ns], Reader::Sock);
    tracer.wait_events("a row", |rows| !rows.is_empty());
    fixture.client.connect("a", fixture.addr(FAMILIES[0]));
    assert!(fixture.ns.counters()["SyncookiesSent"] >= 1);
    let of = |rows: &[Value], port: u16, sent: bool| {
        let ours = |row: &&Value| row["key"]["sport"] == port;
        rows.iter().filter(ours).filter(|row| row["syncookies"] == sent).count()
    };
    tracer.wait_events("a cookie", |rows| of(rows, fixture.port, true) > 0);
    // After a second that is over.
    let over = |rows: &[Value]| {
        let mut ours = rows.iter().rev().filter(|row| row["key"]["sport"] == fixture.port);
        ours.next().is_some_and(|row| row["syncookies"] == false)
    };
    tracer.wait_events("the end of it", over);
    let trace = tracer.stop();
    assert!(of(&trace.events, fixture.port, false) > 0);
    assert_eq!(of(&trace.events, idle, true), 0);
}

#[test]
fn syn_cookies_in_use_are_reported() {
    check_cookies(false);
}

#[test]
fn syn_cookies_of_a_group_are_those_of_each_of_its_sockets() {
    check_cookies(true);
}
