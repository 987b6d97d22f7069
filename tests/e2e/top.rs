//! `top` against what ss says of the same sockets, and against what was sent.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::support::{
    FAMILIES, Fixture, Launch, Netns, Pair, Server, Socket, Ss, TestProcess, Trace, Tracer,
    invalid, is_root, mono_ns, schema, text, traffic_in, u64_of, unique_port, wait_until,
};

#[track_caller]
fn start(args: &[&str]) -> Tracer {
    let mut tracer =
        Tracer::spawn(&Launch::here().with_tracefs(), &[&["top", "-o", "jsonl"], args].concat());
    tracer.wait_ready();
    tracer
}

/// Every row's connection: its port, the peer's, its namespace.
type Ends = (u64, u64, u64);

fn ends(row: &Value) -> Ends {
    let key = &row["key"];
    (u64_of(key, "sport"), u64_of(key, "dport"), u64_of(key, "netns"))
}

/// Received and sent by each connection, over all rows.
fn sums<'r>(rows: impl IntoIterator<Item = &'r Value>) -> BTreeMap<Ends, (u64, u64)> {
    let mut sums: BTreeMap<Ends, (u64, u64)> = BTreeMap::new();
    for row in rows {
        let (rx, tx) = sums.entry(ends(row)).or_default();
        *rx += u64_of(row, "rx_bytes");
        *tx += u64_of(row, "tx_bytes");
    }
    sums
}

/// The books are closed, and every line is what the schema says.
#[track_caller]
fn check(trace: &Trace) {
    trace.aggregated();
    let schema = schema();
    for line in trace.events.iter().chain([&trace.end]) {
        invalid(schema, line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

/// Whose they are, in their order.
fn keys(rows: &[Value]) -> Vec<String> {
    rows.iter().map(|row| row["key"].to_string()).collect()
}

/// `bytes_received` and `bytes_acked` of the end with that port.
fn ss(fixture: &Fixture, sport: u16, dport: u16) -> (u64, u64) {
    let ss = Ss::of(&fixture.ns, sport, dport);
    let number = |name: &str| ss.number(name).unwrap_or(0.0) as u64;
    (number("bytes_received"), number("bytes_acked"))
}

fn check_ss(reader: &str) {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let (port, netns) = (fixture.port, fixture.ns.inode());
    // Those of all families that are there before, and have moved something.
    let open = |fixture: &mut Fixture, when: &str| -> Vec<(String, Socket)> {
        let mut opened = Vec::new();
        for (i, family) in FAMILIES.into_iter().enumerate() {
            let name = format!("{when}{i}");
            let socket = fixture.connect(&name, family).0;
            opened.push((name, socket));
        }
        opened
    };
    let transfer = |fixture: &mut Fixture, all: &[(String, Socket)], bytes: u64| {
        for (i, (name, _)) in all.iter().enumerate() {
            fixture.client.transfer(name, &mut fixture.server, bytes + i as u64);
            fixture.server.transfer(name, &mut fixture.client, bytes / 10);
        }
    };
    // Of all that was sent there is an acknowledgement.
    let acked = |fixture: &Fixture, all: &[(String, Socket)], sent: u64| {
        wait_until("the acknowledgements", || {
            all.iter().enumerate().all(|(i, (_, socket))| {
                let local = socket.local.port();
                let (there, back) = (ss(fixture, local, port), ss(fixture, port, local));
                // Transfers had one byte more for each connection; the SYN counts as one.
                there.1 >= sent + i as u64 && there.1 == back.0 + 1 && there.0 == back.1
            })
        });
    };
    let mut all = open(&mut fixture, "old");
    transfer(&mut fixture, &all, 100_000);
    acked(&fixture, &all, 100_000);
    let read = |fixture: &Fixture, all: &[(String, Socket)]| -> BTreeMap<Ends, (u64, u64)> {
        let mut read = BTreeMap::new();
        for (_, socket) in all {
            let local = socket.local.port();
            for (sport, dport) in [(local, port), (port, local)] {
                read.insert((sport.into(), dport.into(), netns), ss(fixture, sport, dport));
            }
        }
        read
    };
    let before = read(&fixture, &all);
    let port_text = port.to_string();
    let tracer = start(&["-P", &port_text, "--interval", "50ms", "--reader", reader]);
    all.extend(open(&mut fixture, "new"));
    for bytes in [1000, 200_000, 30] {
        transfer(&mut fixture, &all, bytes);
    }
    acked(&fixture, &all, 201_030);
    let after = read(&fixture, &all);
    let trace = tracer.stop();
    check(&trace);
    let reported = sums(&trace.events);
    for (ends, (rx, tx)) in &after {
        let (rx_before, tx_before) = before.get(ends).copied().unwrap_or_default();
        assert_eq!(
            reported.get(ends),
            Some(&(rx - rx_before, tx - tx_before)),
            "{ends:?}: {reported:?}"
        );
    }
    assert_eq!(reported.len(), after.len());
    for row in &trace.events {
        let ours = u64_of(&row["key"], "sport") == u64::from(port);
        let holder = if ours { &fixture.server } else { &fixture.client };
        assert_eq!(row["pid"], holder.pid, "{row}");
        assert_eq!(row["closed"], false);
        assert_eq!(text(row, "state"), "ESTABLISHED");
        let local = if ours { u64_of(&row["key"], "dport") } else { u64_of(&row["key"], "sport") };
        let socket = all.iter().find(|(_, socket)| u64::from(socket.local.port()) == local);
        if !ours {
            assert_eq!(row["key"]["cookie"], socket.expect("one of ours").1.cookie);
        }
    }
}

by_sock_and_raw! {
    check_ss: bytes_are_those_of_ss_sock bytes_are_those_of_ss_raw;
}

/// In two namespaces and several processes, all of them gone before anything was read.
fn check_short_lives(transport: &str) {
    need!(is_root(), "not root");
    let pair = Pair::new();
    let port = unique_port();
    let port_text = port.to_string();
    let args = ["-P", &port_text, "--interval", "1h", "--transport", transport];
    let tracer = start(&args);
    let mut server = TestProcess::start_in(&pair.right.launch());
    let mut clients = [(); 3].map(|()| TestProcess::start_in(&pair.left.launch()));
    server.listen(&format!("[::]:{port}"));
    let mut sent = BTreeMap::new();
    for (i, client) in clients.iter_mut().enumerate() {
        for addr in ["10.0.0.2", "[fd00::2]", "[::ffff:10.0.0.2]"] {
            let bytes = 1 + 10_007 * (sent.len() as u64 + 1);
            let to = format!("{addr}:{port}").parse().expect("an address");
            let local = client.connect("a", to).local.port();
            server.accept("a");
            client.transfer("a", &mut server, bytes);
            server.transfer("a", client, bytes / 7);
            let (first, second) =
                if i == 1 { (&mut server, &mut *client) } else { (&mut *client, &mut server) };
            first.close("a");
            second.close("a");
            sent.insert(u64::from(local), (bytes, client.pid, addr.contains('.')));
        }
    }
    pair.settle();
    let trace = tracer.stop();
    check(&trace);
    assert_eq!(trace.events.len(), 2 * sent.len(), "{:?}", trace.events);
    for row in &trace.events {
        let (sport, dport, netns) = ends(row);
        let ours = sport == u64::from(port);
        let (bytes, pid, ipv4) = sent[if ours { &dport } else { &sport }];
        let (rx, tx) = if ours { (bytes, bytes / 7) } else { (bytes / 7, bytes) };
        // The client's SYN counts, and FINs that came or were acknowledged before the end.
        let more = |name: &str, bytes: u64| u64_of(row, name).checked_sub(bytes);
        assert!(more("rx_bytes", rx).is_some_and(|fin| fin <= 1), "{row}");
        assert!(more("tx_bytes", tx + u64::from(!ours)).is_some_and(|fin| fin <= 1), "{row}");
        assert_eq!(row["closed"], true, "{row}");
        assert_eq!(row["pid"], if ours { server.pid } else { pid }, "{row}");
        assert_eq!(netns, if ours { pair.right.inode() } else { pair.left.inode() });
        assert_eq!(text(&row["key"], "family"), if ipv4 { "ipv4" } else { "ipv6" });
    }
}

#[test]
fn what_comes_and_goes_in_an_interval_is_counted_ringbuf() {
    check_short_lives("ringbuf");
}

#[test]
fn what_comes_and_goes_in_an_interval_is_counted_perfbuf() {
    check_short_lives("perfbuf");
}

/// Over many readings, and ended between two of them: no byte is counted twice, and none is missing.
#[test]
fn intervals_sum_to_what_was_sent() {
    need!(is_root(), "not root");
    let ns = Netns::new();
    let server = Server::start_in(&ns.launch(), "127.0.0.1:0", None);
    let (port, to) = (server.port_text(), server.addr.to_string());
    let tracer = start(&["--netns", &ns.inode().to_string(), "-P", &port, "--interval", "20ms"]);
    let mut sent = BTreeMap::new();
    while tracer.events().len() < 20 {
        let args = ["bulk", "--to", &to, "--bytes", "3000000", "--parallel", "3"];
        for line in traffic_in(&ns.launch(), &args) {
            let local = text(&line, "local").rsplit_once(':').expect("a port").1.to_owned();
            let local: u64 = local.parse().expect("a number");
            // A port may be used again.
            *sent.entry(local).or_insert(0) += u64_of(&line, "bytes");
        }
    }
    server.settle();
    let port = u64::from(server.port());
    // What the clients sent and what the server received, but for the byte that says what is wanted.
    let received = |rows: &[Value]| {
        let of = rows.iter().filter(|row| u64_of(&row["key"], "sport") == port);
        let mut by_port: BTreeMap<u64, u64> = BTreeMap::new();
        for row in of {
            *by_port.entry(u64_of(&row["key"], "dport")).or_default() += u64_of(row, "rx_bytes");
        }
        by_port
    };
    ns.settle();
    let trace = tracer.stop();
    check(&trace);
    // Where the kernel skipped the program (nested runs, from 6.1 on) an end is missing, and the books say so.
    need!(u64_of(&trace.end["aggregate"], "lost") == 0, "the kernel skipped an end", legitimate: true);
    let reported = received(&trace.events);
    assert_eq!(reported.keys().collect::<Vec<_>>(), sent.keys().collect::<Vec<_>>());
    // Beside the data a SYN counts, and FINs that came or were acknowledged before the end.
    let clients = sums(trace.events.iter().filter(|row| u64_of(&row["key"], "dport") == port));
    assert_eq!(clients.len(), sent.len(), "{clients:?}");
    for ((local, ..), (_, tx)) in &clients {
        let (bytes, rx) = (sent[local], reported[local]);
        let connections = bytes / 3_000_000;
        assert!((bytes..=bytes + connections).contains(&rx), "{local}: {rx} of {bytes}");
        let tx_range = bytes + connections..=bytes + 2 * connections;
        assert!(tx_range.contains(tx), "{local}: {tx} of {bytes}");
    }
}

#[test]
fn filters_choose_and_people_get_a_table() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let (port, netns) = (fixture.port.to_string(), fixture.ns.inode().to_string());
    let pid = fixture.client.pid.to_string();
    let by_pid = start(&["-P", &port, "--pid", &pid, "--interval", "50ms"]);
    let elsewhere = start(&["-P", &port, "--netns", "/proc/self/ns/net", "--interval", "50ms"]);
    let args =
        ["top", "--netns", &netns, "-R", &port, "--interval", "1h", "--rows", "2", "--sort", "tx"];
    let mut table = Tracer::spawn(&Launch::here().with_tracefs(), &args);
    table.wait_ready();
    for (i, family) in FAMILIES.into_iter().enumerate() {
        let name = format!("c{i}");
        fixture.connect(&name, family);
        fixture.client.transfer(&name, &mut fixture.server, 50_000 * (i as u64 + 1));
    }
    by_pid.wait_events("all three", |rows| sums(rows).len() == 3);
    let by_pid = by_pid.stop();
    check(&by_pid);
    assert!(
        by_pid.events.iter().all(|row| row["pid"] == fixture.client.pid),
        "{:?}",
        by_pid.events
    );
    let elsewhere = elsewhere.stop();
    check(&elsewhere);
    assert!(elsewhere.events.is_empty(), "{:?}", elsewhere.events);

    let table = table.stop_raw();
    assert!(table.status.success(), "{}", table.stderr);
    assert!(!table.stdout.contains('\x1b'), "{:?}", table.stdout);
    let lines: Vec<&str> = table.stdout.lines().collect();
    assert!(lines[0].contains(" 3 active connections, RX 0 kB, TX 292 kB"), "{}", table.stdout);
    let titles: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!(titles.join(" "), "PID COMM LADDR:LPORT RADDR:RPORT RX_KB TX_KB CWND SRTT_US RETR");
    let tx: Vec<&str> = lines[2..4].iter().map(|l| l.split_whitespace().nth(5).unwrap()).collect();
    assert_eq!(tx, ["146", "98"], "{}", table.stdout);
    assert!(lines[2].starts_with(&format!("{pid:>6} ")), "{}", table.stdout);
    assert_eq!(lines.len(), 5, "two rows and an empty line: {}", table.stdout);
    assert!(lines.iter().all(|line| line.len() <= 100), "{}", table.stdout);
}

/// By every key: that one stands first which was made to, the others follow by their values, and `--rows` takes from the top.
#[test]
fn the_first_row_has_most() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let port = fixture.port;
    let names = ["sends", "receives", "both", "again", "late"];
    let local = names.map(|name| fixture.connect(name, FAMILIES[0]).0.local.port());
    let [.., again, late] = local;
    let port_text = port.to_string();
    let watch =
        Tracer::events_in(&Launch::here().with_tracefs(), "retransmit", &["-P", &port_text]);
    let sorts = ["tx", "rx", "all", "retrans", "rtt"];
    let common = ["-R", &port_text, "--interval", "1h"];
    let tracers = sorts.map(|sort| start(&[&common[..], &["--sort", sort]].concat()));
    let few = sorts.map(|sort| start(&[&common[..], &["--sort", sort, "--rows", "2"]].concat()));
    let unsorted = start(&common);
    for (name, sent, received) in
        [("sends", 60_000, 1000), ("receives", 1000, 60_000), ("both", 50_000, 50_000)]
    {
        fixture.client.transfer(name, &mut fixture.server, sent);
        fixture.server.transfer(name, &mut fixture.client, received);
    }
    // What is lost again and again.
    fixture.rule(&format!("tcp sport {again} drop"));
    fixture.client.send("again", 100);
    watch.wait_events("retransmissions", |events| {
        events.iter().filter(|event| event["sport"] == again).count() >= 3
    });
    fixture.speak();
    fixture.server.receive("again", 100);
    // What has its ACKs late, but before it is sent again: with that of what is sent then.
    for _ in 0..4 {
        fixture.rule(&format!("tcp dport {late} drop"));
        fixture.client.transfer("late", &mut fixture.server, 100);
        let sent = mono_ns();
        wait_until("some time", || mono_ns() - sent > 60_000_000);
        fixture.speak();
        fixture.client.transfer("late", &mut fixture.server, 100);
    }
    wait_until("the last ACKs", || {
        let text = fixture.ns.run(&["ss", "-tinH", "state", "established"]);
        !text.contains("unacked:")
    });
    watch.stop();
    // In the order of the keys.
    let said = |local: u16| {
        let ss = Ss::of(&fixture.ns, local, port);
        let number = |name: &str| ss.number(name).unwrap_or(0.0);
        let (tx, rx) = (number("bytes_acked"), number("bytes_received"));
        let again = ss.numbers("retrans").map_or(0.0, |numbers| numbers[1]);
        (local, [tx, rx, tx + rx, again, number("rtt")])
    };
    let said: BTreeMap<u16, [f64; 5]> = local.into_iter().map(said).collect();
    let rows = |tracer: Tracer| -> Vec<Value> {
        let trace = tracer.stop();
        check(&trace);
        trace.events
    };
    let same = |rows: &[Value]| keys(rows).into_iter().collect::<BTreeSet<_>>();
    let unsorted = rows(unsorted);
    assert_eq!(unsorted.len(), names.len(), "{unsorted:#?}");
    for (i, (tracer, few)) in tracers.into_iter().zip(few).enumerate() {
        let sort = sorts[i];
        let (rows, few) = (rows(tracer), rows(few));
        assert_eq!(same(&rows), same(&unsorted), "{sort}");
        let ports: Vec<u16> = rows.iter().map(|row| u64_of(&row["key"], "sport") as u16).collect();
        // The time is what ss has, whatever a slow machine made of it; of the others, that one was made to be the first.
        let reported: Vec<f64> = ports.iter().map(|port| said[port][i]).collect();
        assert!(reported.is_sorted_by(|a, b| a >= b), "{sort}: {reported:?}: {rows:#?}");
        if i < 3 {
            assert_eq!(ports[0], local[i], "{sort}: {rows:#?}");
        }
        // `all` is what there is without it.
        if sort == "all" {
            assert_eq!(keys(&rows), keys(&unsorted));
        }
        assert_eq!(keys(&few), keys(&rows[..2]), "{sort}: {reported:?}");
    }
}

/// The connections of a command, and only they.
#[test]
fn a_command_has_its_connections_counted() {
    need!(is_root(), "not root");
    let server = Server::start("127.0.0.1:0", None);
    let (port, to) = (server.port_text(), server.addr.to_string());
    let program = crate::support::traffic_program().display().to_string();
    let args = [
        "top", "-o", "jsonl", "-P", &port, "--", &program, "bulk", "--to", &to, "--bytes", "70000",
    ];
    let trace = Tracer::spawn(&Launch::here().with_tracefs(), &args).wait();
    check(&trace);
    let reported = sums(&trace.events);
    assert_eq!(reported.len(), 1, "{reported:?}");
    assert!(reported.keys().all(|ends| ends.1 == u64::from(server.port())), "{reported:?}");
    assert!(reported.values().all(|(_, tx)| (70_001..70_100).contains(tx)), "{reported:?}");
}
