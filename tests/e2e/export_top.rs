//! `export --top`: values of single connections against those of `ss`, and that series are bounded and end.

use std::fs;
use std::process::Stdio;

use crate::support::run::Running;
use crate::support::{
    ESTABLISHED, Exporter, FAMILIES, Fixture, LISTEN, Scrape, Server, Socket, Ss, TempDir, is_root,
    traffic_program, wait_until,
};

const METRICS: usize = 8;

/// The value of a connection's series.
fn value(scrape: &Scrape, name: &str, cookie: u64) -> Option<f64> {
    let cookie = cookie.to_string();
    let (name, labels) = (format!("tcctrace_connection_{name}"), [("cookie", cookie.as_str())]);
    scrape.find(&name, &labels).map(|(_, value)| value).next()
}

/// The series of all connections that have some.
fn named(scrape: &Scrape) -> Vec<&String> {
    scrape.series.keys().filter(|series| series.starts_with("tcctrace_connection_")).collect()
}

/// All values of an end that is idle, against ss.
#[track_caller]
fn check(scrape: &Scrape, fixture: &Fixture, socket: Socket, peer: Socket) {
    let ss = Ss::of_cookie(&fixture.ns, socket.cookie);
    let number = |name: &str| ss.number(name).unwrap_or(0.0);
    let wanted = [
        ("sent_bytes_total", number("bytes_sent")),
        ("acked_bytes_total", number("bytes_acked")),
        ("received_bytes_total", number("bytes_received")),
        ("retransmitted_segments_total", ss.total_retrans() as f64),
        ("srtt_seconds", number("rtt") / 1e3),
        ("min_rtt_seconds", number("minrtt") / 1e3),
        ("congestion_window_segments", number("cwnd")),
        ("delivery_rate_bytes_per_second", number("delivery_rate") / 8.0),
    ];
    for (name, wanted) in wanted {
        let found = value(scrape, name, socket.cookie).unwrap_or(0.0);
        // ss divides times and rates in its own way.
        let near = (found - wanted).abs() <= wanted.abs() * 1e-6 + 1e-9;
        assert!(near, "{name}: {found}, and {wanted} in {}: {}", ss.text, scrape.text);
    }
    let labels = [
        ("netns", fixture.ns.inode().to_string()),
        ("laddr", socket.local.ip().to_canonical().to_string()),
        ("lport", socket.local.port().to_string()),
        ("raddr", peer.local.ip().to_canonical().to_string()),
        ("rport", peer.local.port().to_string()),
    ];
    let labels: Vec<(&str, &str)> =
        labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let cookie = socket.cookie.to_string();
    let labels = [&labels[..], &[("cookie", &cookie)]].concat();
    let series: Vec<_> = scrape.find("tcctrace_connection_acked_bytes_total", &labels).collect();
    let [(series, _)] = &series[..] else { panic!("{labels:?}: {}", scrape.text) };
    let cc = series.split("cc=\"").nth(1).and_then(|rest| rest.split('"').next());
    assert!(cc.is_some_and(|cc| ss.has(cc)), "{series}: {}", ss.text);
    let comm = fs::read_to_string("/proc/self/comm").expect("a name");
    // One that is chosen before its process is known has no such label.
    let is_named = series.contains(&format!("comm=\"{}\"", comm.trim()));
    assert!(is_named || !series.contains("comm="), "{series}, and not {comm}");
}

fn check_values(reader: &str, more: &[&str]) {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let (netns, port) = (fixture.ns.inode().to_string(), fixture.port);
    // One is open before.
    let (a, a_peer) = fixture.connect("a", FAMILIES[0]);
    let dir = TempDir::new();
    let prom = dir.path().join("tcc.prom");
    let text = format!(
        "top = 4\ntop-interval = '1ms'\ninterval = '50ms'\ntextfile = '{}'\n",
        prom.display()
    );
    let config = dir.path().join("export.toml");
    fs::write(&config, text).expect("a file");
    let config = config.to_str().expect("UTF-8");
    let args = ["--reader", reader, "--netns", &netns, "--metrics", "rtt", "--config", config];
    let exporter = Exporter::start(&[&args, more].concat());
    let (b, b_peer) = fixture.connect("b", FAMILIES[1]);
    let (c, _) = fixture.connect("c", FAMILIES[2]);
    fixture.client.transfer("c", &mut fixture.server, 10);
    fixture.rule(&format!("tcp dport {port} tcp flags & psh != 0 numgen inc mod 5 == 2 drop"));
    for (name, count) in [("a", 30), ("b", 20)] {
        for _ in 0..count {
            fixture.client.transfer(name, &mut fixture.server, 3000);
            fixture.server.transfer(name, &mut fixture.client, 500);
        }
    }
    fixture.speak();
    let ends = [(a, a_peer), (a_peer, a), (b, b_peer), (b_peer, b)];
    let is_idle = |scrape: &Scrape| {
        ends.iter().all(|(end, _)| {
            let ss = Ss::of_cookie(&fixture.ns, end.cookie);
            let is = |name: &str| {
                let counted = value(scrape, &format!("{name}_bytes_total"), end.cookie);
                counted == Some(ss.count(&format!("bytes_{name}")) as f64)
            };
            !ss.has("unacked") && is("sent") && is("acked") && is("received")
        })
    };
    let scrape = exporter.wait("all that was sent and acknowledged", is_idle);
    for (end, peer) in ends {
        check(&scrape, &fixture, end, peer);
    }
    let lost = Ss::of_cookie(&fixture.ns, a.cookie).total_retrans();
    assert!(lost > 0, "nothing was lost");
    // A client and a server of each are all that may be there.
    let series = named(&scrape);
    assert_eq!(series.len(), 4 * METRICS, "{series:?}");
    assert_eq!(value(&scrape, "sent_bytes_total", c.cookie), None);
    assert!(scrape.sum("tcctrace_connections_named_total", &[]) >= 4.0);
    // What is not requested is not there, though connections are read for it.
    assert!(!scrape.text.contains("tcctrace_connections_open"), "{}", scrape.text);
    wait_until("the file", || {
        let file = Scrape::parse(&fs::read_to_string(&prom).unwrap_or_default());
        named(&file).len() == 4 * METRICS
    });
    // Another one moves more.
    fixture.client.transfer("c", &mut fixture.server, 2_000_000);
    let later = exporter
        .wait("another connection", |scrape| value(scrape, "sent_bytes_total", c.cookie).is_some());
    later.check_grown_from(&scrape);
    // Series end with their connections.
    for name in ["a", "b", "c"] {
        fixture.client.close(name);
        fixture.server.close(name);
    }
    fixture.settle();
    exporter.wait("no connection", |scrape| named(scrape).is_empty());
    assert!(exporter.tracer.stop_raw().status.success());
}

fn check_in_one_reading(reader: &str) {
    check_values(reader, &[]);
}

by_sock_and_raw! {
    check_in_one_reading: values_are_those_of_ss_by_sock values_are_those_of_ss_by_raw;
}

/// As on a kernel that refuses iterators over maps.
#[test]
fn values_read_one_by_one_are_those_of_ss_by_sock() {
    check_values("sock", &["--one-by-one"]);
}

/// More connections than the kernel's buffer for an iterator has room for: each is read once, and counted once.
#[test]
fn many_connections_are_read_once() {
    need!(is_root(), "not root");
    const CONNECTIONS: usize = 600;
    let fixture = Fixture::new();
    let (netns, launch) = (fixture.ns.inode().to_string(), fixture.ns.launch());
    let server = Server::start_in(&launch, &format!("[::]:{}", fixture.port), None);
    let mut command = launch.command(traffic_program());
    let (to, count) = (fixture.addr(FAMILIES[0]).to_string(), CONNECTIONS.to_string());
    command.args(["hold", "--to", &to, "--connections", &count]);
    let hold = Running::spawn(command.stdin(Stdio::piped()).stdout(Stdio::null()));
    // What is open before the trace is found by its file, which it has once it is accepted.
    wait_until("all to be accepted", || {
        let sockets = fixture.ns.sockets();
        let open = sockets.iter().filter(|entry| entry.state == ESTABLISHED).count();
        let waiting = sockets.iter().any(|entry| entry.state == LISTEN && entry.rx_queue > 0);
        open == 2 * CONNECTIONS && !waiting
    });
    let exporter = Exporter::start(&["--netns", &netns, "--top", "1000", "--top-interval", "1ms"]);
    let plain = Exporter::start(&["--netns", &netns]);
    let both = 2.0 * CONNECTIONS as f64;
    let open = |scrape: &Scrape| scrape.sum("tcctrace_connections_open", &[]) == both;
    let scrape = exporter.wait("all connections", open);
    plain.wait("all connections", open);
    let took = |scrape: &Scrape| scrape.sum("tcctrace_read_seconds", &[]);
    let mut last = took(&scrape);
    for _ in 0..3 {
        let again = exporter.wait("another reading", |scrape| took(scrape) != last);
        assert!(open(&again), "{}", again.text);
        again.check_grown_from(&scrape);
        last = took(&again);
    }
    // Those of the clients, which have sent a byte each, and of the server, which has received it.
    let names: Vec<_> = scrape.find("tcctrace_connection_received_bytes_total", &[]).collect();
    assert_eq!(names.len(), 1000);
    assert!(scrape.sum("tcctrace_connections_named_total", &[]) >= 1000.0);
    let plain = plain.scrape();
    assert!(named(&plain).is_empty() && !plain.text.contains("named"), "{}", plain.text);
    drop(hold);
    drop(server);
}
