//! `export`: values against the namespace's counters, the sockets' own and `ss`, and how series come and go.

use std::fs;
use std::path::Path;

use rustix::process::Signal;

use crate::support::{
    Exporter, FAMILIES, Fixture, Launch, Scrape, TempDir, Tracer, again, flooding, is_root,
    wait_until,
};

/// Connections of all families, with losses, a refusal and a reset.
fn traffic_of_all_sorts(fixture: &mut Fixture) {
    fixture.lossy_transfers(2_000_000, ["reno", "cubic", "reno"]);
    fixture.listen();
    fixture.refused(FAMILIES[0]);
    fixture.connect("a", FAMILIES[0]);
    fixture.client.transfer("a", &mut fixture.server, 10_000);
    fixture.client.reset("a");
    assert!(fixture.server.wait_error("a").is_some());
    fixture.server.close("a");
    fixture.settle();
}

fn check_counters(reader: &str) {
    need!(is_root(), "not root");
    let _quiet = flooding();
    // See events_counters.rs: there are hosts that skip programs.
    for _ in 0..3 {
        let mut fixture = Fixture::new();
        let netns = fixture.ns.inode().to_string();
        let exporter = Exporter::start(&["--reader", reader, "--netns", &netns]);
        let begin = exporter.scrape();
        let before = fixture.ns.counters();
        traffic_of_all_sorts(&mut fixture);
        let after = fixture.ns.counters();
        let grew = |name: &str| (after[name] - before[name]) as f64;
        // Four, with both ends.
        let scrape = exporter.wait("all connections closed", |scrape| {
            scrape.sum("tcctrace_connections_open", &[]) == 0.0
                && scrape.sum("tcctrace_connections_established_total", &[]) == 8.0
                && scrape.sum("tcctrace_connections_closed_total", &[]) == 8.0
        });
        scrape.check_grown_from(&begin);
        let value = |name: &str, labels: &[(&str, &str)]| {
            scrape.sum(&format!("tcctrace_{name}"), labels)
                - begin.sum(&format!("tcctrace_{name}"), labels)
        };
        // As in observe.rs.
        let twins = (grew("PassiveOpens") - 4.0).max(0.0);
        let pairs = [
            ("ActiveOpens", value("connections_opened_total", &[("open", "active_opens")])),
            ("PassiveOpens", value("connections_opened_total", &[("open", "passive_opens")])),
            ("AttemptFails", value("connections_failed_total", &[]) - twins),
            ("EstabResets", value("connections_aborted_total", &[])),
            ("RetransSegs", value("retransmitted_segments_total", &[])),
            ("TCPFastRetrans", value("retransmitted_segments_total", &[("class", "fast")])),
        ];
        let wrong: Vec<String> = pairs
            .iter()
            .filter(|(name, found)| grew(name) != *found)
            .map(|(name, found)| format!("{name} {} != {found}", grew(name)))
            .collect();
        // Only what is said to be lost may be missing.
        if !wrong.is_empty() && value("events_lost_total", &[]) > 0.0 {
            again(&format!("{wrong:?}"));
            continue;
        }
        assert!(wrong.is_empty(), "{wrong:?}: {}", scrape.text);
        // Both ends are here, and both algorithms.
        let payload = (3 * 2_000_000 + 10_000) as f64;
        let sent = value("sent_bytes_total", &[]) - value("retransmitted_bytes_total", &[]);
        assert_eq!(sent, payload, "{}", scrape.text);
        let received = value("received_bytes_total", &[]);
        assert!(received >= payload && received < payload + 20.0, "{received}: {}", scrape.text);
        let reno = value("sent_bytes_total", &[("cc", "reno")])
            - value("retransmitted_bytes_total", &[("cc", "reno")]);
        assert!(reno >= 4_000_000.0 && reno < payload, "{reno}: {}", scrape.text);
        // Events at the hook are also those that the filter rejects.
        let count = value("rtt_seconds_count", &[]);
        let infinite = value("rtt_seconds_bucket", &[("le", "+Inf")]);
        let unset = value("samples_without_value_total", &[("metric", "rtt_seconds")]);
        let seen = value("events_total", &[("type", "probe")]);
        assert!(count > 100.0 && count == infinite && count + unset <= seen, "{}", scrape.text);
        assert_eq!(scrape.sum("tcctrace_series_dropped_total", &[]), 0.0);
        let lost = scrape.find("tcctrace_events_lost_total", &[]).count();
        assert!(lost >= 8 && value("events_lost_total", &[]) == 0.0, "{}", scrape.text);
        assert_eq!(scrape.sum("tcctrace_build_info", &[]), 1.0);
        let output = exporter.tracer.stop_raw();
        assert!(output.status.success() && output.stdout.is_empty(), "{}", output.stderr);
        return;
    }
    panic!("no account is complete");
}

by_sock_and_raw! {
    check_counters: values_are_those_of_the_counters_by_sock values_are_those_of_the_counters_by_raw;
}

/// Open connections are read at each scrape: what they have transferred, and how many there are.
#[test]
fn open_connections_are_read_at_each_scrape() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    fixture.connect("old", FAMILIES[0]);
    let port = fixture.port.to_string();
    let args = ["-R", &port, "--labels", "rport,comm", "--metrics", "connections,bytes"];
    let exporter = Exporter::start(&args);
    let labels = [("rport", port.as_str())];
    let sent = |scrape: &Scrape| {
        scrape.sum("tcctrace_sent_bytes_total", &labels)
            - scrape.sum("tcctrace_retransmitted_bytes_total", &labels)
    };
    let open = |scrape: &Scrape| scrape.sum("tcctrace_connections_open", &labels);
    exporter.wait("one is open", |scrape| open(scrape) == 1.0);
    fixture.client.transfer("old", &mut fixture.server, 12_345);
    exporter.wait("what it sent", |scrape| sent(scrape) == 12_345.0);
    fixture.connect("new", FAMILIES[1]);
    fixture.client.transfer("new", &mut fixture.server, 1_000);
    let before = exporter.wait("both", |scrape| open(scrape) == 2.0 && sent(scrape) == 13_345.0);
    for name in ["old", "new"] {
        fixture.client.close(name);
        fixture.server.close(name);
    }
    fixture.settle();
    let after = exporter.wait("none is open", |scrape| open(scrape) == 0.0);
    after.check_grown_from(&before);
    // Metrics that were not requested are absent.
    assert!(!after.text.contains("rtt_seconds"), "{}", after.text);
}

/// The connection that a scrape comes by is the exporter's, like any other of a process that receives.
#[test]
fn its_own_connections_are_its_own() {
    need!(is_root(), "not root");
    let exporter = Exporter::start(&["--labels", "comm", "--metrics", "connections"]);
    exporter.wait("its own", |scrape| {
        scrape.sum("tcctrace_connections_open", &[("comm", "tcc-trace")]) >= 1.0
    });
}

/// More label sets than the budget has room for: the rest is counted together, and nothing twice.
#[test]
fn label_sets_without_room_share_one() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let ports = fixture.ports();
    let start = |labels: &str, series: &str| {
        let args = ["--port", &ports, "--labels", labels, "--max-series", series];
        Exporter::start(&[&args[..], &["--metrics", "bytes"]].concat())
    };
    let (few, all) = (start("lport,rport", "20"), start("none", "20"));
    fixture.exchange();
    fixture.settle();
    let sent = |scrape: &Scrape| scrape.sum("tcctrace_sent_bytes_total", &[]);
    let whole = all.wait("all closed", |scrape| sent(scrape) >= 3.0 * 340_000.0);
    let parts = few.wait("all closed", |scrape| sent(scrape) == sent(&whole));
    let series: Vec<_> = parts.find("tcctrace_sent_bytes_total", &[]).collect();
    // Eight series for each label set.
    assert_eq!(series.len(), 2 + 1, "{series:?}");
    let other = [("lport", "other"), ("rport", "other")];
    assert!(parts.sum("tcctrace_sent_bytes_total", &other) > 0.0, "{series:?}");
    assert!(parts.sum("tcctrace_events_overflow_total", &[]) > 0.0, "{}", parts.text);
    assert_eq!(whole.sum("tcctrace_events_overflow_total", &[]), 0.0);
}

/// A label with a limit has that many values and `other`, and the label beside it is as it was.
#[test]
fn a_full_label_is_other_alone() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let netns = fixture.ns.inode().to_string();
    let exporter = Exporter::start(&["--netns", &netns, "--labels", "cc,lport:1"]);
    let mut last = exporter.scrape();
    for (count, name) in (1..).zip(["a", "b", "c", "d"]) {
        fixture.connect(name, FAMILIES[0]);
        fixture.client.transfer(name, &mut fixture.server, 1000);
        let sent = |scrape: &Scrape| {
            let sum = |name: &str| scrape.sum(&format!("tcctrace_{name}_bytes_total"), &[]);
            sum("sent") - sum("retransmitted")
        };
        let is_all = |scrape: &Scrape| sent(scrape) == 1000.0 * f64::from(count);
        let scrape = exporter.wait("what it sent", is_all);
        scrape.check_grown_from(&last);
        // The server's port, and one for each client.
        let folded = scrape.sum("tcctrace_series_dropped_total", &[("label", "lport")]);
        assert_eq!(folded, f64::from(count), "{}", scrape.text);
        let series: Vec<_> = scrape.find("tcctrace_sent_bytes_total", &[]).collect();
        let is_other = |series: &&(&str, f64)| series.0.contains("lport=\"other\"");
        assert_eq!((series.len(), series.iter().filter(is_other).count()), (2, 1), "{series:?}");
        assert!(!scrape.text.contains("cc=\"other\""), "{}", scrape.text);
        last = scrape;
    }
    assert!(!last.text.contains("label=\"cc\""), "{}", last.text);
    assert!(exporter.tracer.stop_raw().status.success());
}

/// A file that node_exporter can read at any time; it goes away with the exporter.
#[test]
fn a_textfile_is_replaced_at_each_interval() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let path = dir.path().join("tcc.prom");
    let mut fixture = Fixture::new();
    fixture.listen();
    let (port, file) = (fixture.port.to_string(), path.to_str().expect("UTF-8"));
    let args = ["export", "--textfile", file, "--interval", "50ms", "-R", &port];
    let mut tracer = Tracer::spawn(&Launch::here().with_tracefs(), &args);
    tracer.wait_ready();
    assert!(!tracer.stderr().contains("metrics at"), "no server: {}", tracer.stderr());
    fixture.connect("a", FAMILIES[0]);
    fixture.client.transfer("a", &mut fixture.server, 54_321);
    let read = || fs::read_to_string(&path).map(|text| Scrape::parse(&text)).unwrap_or_default();
    wait_until("what it sent", || {
        let scrape = read();
        let [sent, again] = ["sent", "retransmitted"]
            .map(|name| scrape.sum(&format!("tcctrace_{name}_bytes_total"), &[]));
        sent - again == 54_321.0
    });
    let text = read().text;
    assert!(text.contains("\n# TYPE tcctrace_sent_bytes_total counter\n"), "{text}");
    assert!(!text.contains("# EOF") && !text.contains("# UNIT"), "{text}");
    let files = fs::read_dir(dir.path()).expect("the directory").count();
    assert!(files <= 2, "the file, and one that is being written");
    let output = tracer.stop_raw();
    assert!(output.status.success(), "{}", output.stderr);
    assert_eq!(fs::read_dir(dir.path()).expect("the directory").count(), 0);
}

#[test]
fn what_cannot_be_served_is_an_error_before_the_trace() {
    need!(is_root(), "not root");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("its address").to_string();
    let output = Tracer::spawn(&Launch::here(), &["export", "--listen", &addr]).wait_raw();
    assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
    let line = format!("tcc-trace: --listen {addr}: cannot listen: Address already in use");
    assert!(output.stderr.starts_with(&line), "{}", output.stderr);
    // The file's directory may come later.
    let dir = TempDir::new();
    let path = dir.path().join("later/tcc.prom");
    let file = path.to_str().expect("UTF-8");
    let args = ["export", "--textfile", file, "--interval", "20ms"];
    let mut tracer = Tracer::spawn(&Launch::here().with_tracefs(), &args);
    tracer.wait_for_line(&format!("tcc-trace: warning: cannot write {file}: No such file"));
    fs::create_dir(path.parent().unwrap_or(Path::new("/"))).expect("a directory");
    wait_until("the file", || path.exists());
    tracer.signal(Signal::TERM);
    assert!(tracer.wait_raw().status.success());
}
