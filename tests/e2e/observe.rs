//! `observe` against the namespace's counters, the sockets' own, and the events that it is made of.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{
    FAMILIES, Fixture, Launch, Ss, TempDir, Trace, Tracer, again, check_schema, flooding, is_root,
    text, u64_of,
};

/// `metric label`.
type Values = BTreeMap<String, u64>;

fn name(row: &Value) -> String {
    let label = row["label"].as_str().unwrap_or("-");
    format!("{} {label}", text(row, "metric"))
}

/// Of all intervals together, by key.
#[track_caller]
fn by_key(trace: &Trace) -> BTreeMap<String, Values> {
    check_schema(trace);
    let mut keys: BTreeMap<String, Values> = BTreeMap::new();
    for row in &trace.events {
        let values = keys.entry(row["key"].to_string()).or_default();
        let value = values.entry(name(row)).or_default();
        if name(row) == "connections open" {
            *value = u64_of(row, "value");
        } else {
            *value += u64_of(row, "value");
        }
    }
    keys
}

/// Of a run without keys.
#[track_caller]
fn totals(trace: &Trace) -> Values {
    let mut keys = by_key(trace);
    let totals = keys.remove("{}").expect("a row");
    assert!(keys.is_empty(), "{keys:?}");
    totals
}

/// Of those, how many are accepted.
const ACCEPTED: u64 = 6;

/// Connections of all families, with losses, refusals and resets.
fn traffic_of_all_sorts(fixture: &mut Fixture) {
    fixture.lossy_transfers(2_000_000, ["reno"; 3]);
    fixture.listen();
    for (i, family) in FAMILIES.into_iter().enumerate() {
        fixture.refused(family);
        fixture.connect("a", family);
        fixture.client.transfer("a", &mut fixture.server, 10_000 * (1 + i as u64));
        if i == 0 {
            fixture.client.reset("a");
            assert!(fixture.server.wait_error("a").is_some());
        } else {
            fixture.client.close("a");
        }
        fixture.server.close("a");
    }
    fixture.settle();
}

fn check_totals(reader: &str) {
    need!(is_root(), "not root");
    let _quiet = flooding();
    // See events_counters.rs: there are hosts that skip programs.
    for _ in 0..3 {
        let mut fixture = Fixture::new();
        let netns = fixture.ns.inode().to_string();
        let launch = Launch::here().with_tracefs();
        let args = ["--reader", reader, "--netns", &netns];
        let once = Tracer::command_in(&launch, &["observe"], &args);
        // In the two ways in which connections are read: by an iterator if the kernel accepts one, and one by one.
        let args = [&args[..], &["--interval", "100ms", "--one-by-one"]].concat();
        let intervals = Tracer::command_in(&launch, &["observe"], &args);
        let before = fixture.ns.counters();
        traffic_of_all_sorts(&mut fixture);
        let after = fixture.ns.counters();
        let grew = |name: &str| after[name] - before[name];
        let (once, intervals) = (once.stop(), intervals.stop());
        let found = totals(&once);
        let value = |name: &str| found.get(name).copied().unwrap_or(0);
        let of = |metric: &str| -> u64 {
            let labels = found.iter().filter(|(name, _)| name.split(' ').next() == Some(metric));
            labels.map(|(_, value)| value).sum()
        };
        // Two packets that end a handshake on two CPUs make two sockets. inet_ehash_nolisten() closes one, and counts no failure.
        let twins = grew("PassiveOpens").saturating_sub(ACCEPTED);
        let pairs = [
            ("ActiveOpens", value("connections active_opens")),
            ("PassiveOpens", value("connections passive_opens")),
            ("AttemptFails", value("connections failed").saturating_sub(twins)),
            ("EstabResets", value("connections aborted")),
            ("RetransSegs", of("retransmits")),
            ("TCPFastRetrans", value("retransmits fast")),
            ("TCPSlowStartRetrans", value("retransmits slow_start")),
        ];
        let wrong = pairs
            .iter()
            .filter(|(name, found)| grew(name) != *found)
            .map(|(name, found)| format!("{name} {} != {found}", grew(name)));
        // The intervals have the same. A program that one tracer skips is not the other's.
        let sum = totals(&intervals);
        let kept =
            found.iter().filter(|(name, _)| *name != "srtt_us -" && *name != "connections open");
        // tcp_disconnect() sends its RST after the state that ends the connection, where only a scan under way still sees it.
        let resets = grew("OutRsts").saturating_sub(grew("AttemptFails"));
        let alike = |name: &str, once: u64| {
            let more = if name == "segments out" { resets } else { 0 };
            sum.get(name).is_some_and(|sum| (once..=once + more).contains(sum))
        };
        let differing = kept.filter(|(name, value)| !alike(name, **value));
        let differing =
            differing.map(|(name, value)| format!("{name} {:?} != {value}", sum.get(name)));
        let wrong: Vec<String> = wrong.chain(differing).collect();
        // Only what is said to be lost may be missing.
        let is_lossy = |trace: &Trace| u64_of(&trace.end["aggregate"], "lost") > 0;
        if !wrong.is_empty() && (is_lossy(&once) || is_lossy(&intervals)) {
            again(&format!("{wrong:?}"));
            continue;
        }
        assert!(wrong.is_empty(), "{wrong:?}: {found:?}");
        assert!(
            value("retransmits fast") > 0 && value("connections failed") == 3 + twins,
            "{found:?}"
        );
        // Both ends are here: what one has sent and the other acknowledged is what it has received.
        assert_eq!(value("connections established"), value("connections closed"), "{found:?}");
        assert_eq!(value("connections open"), 0, "{found:?}");
        assert_eq!(value("connections untracked"), 0, "{found:?}");
        let payload = 3 * 2_000_000 + 10_000 * (1 + 2 + 3);
        let received = value("bytes received");
        // With a FIN for each that was closed in order.
        assert!((payload..payload + 20).contains(&received), "{received}: {found:?}");
        assert_eq!(value("bytes sent") - value("bytes retrans"), payload, "sent once: {found:?}");
        // A probe may also be new data.
        assert!(value("retransmits tlp") <= grew("TCPLossProbes"), "{found:?}");
        // OutSegs is without retransmissions, and has what no connection sends: SYN-ACKs, RSTs, and ACKs in TIME_WAIT.
        let sent = grew("OutSegs") + grew("RetransSegs");
        let others = grew("PassiveOpens") + grew("OutRsts");
        let known = value("segments out") + others;
        assert!((known..=known + 5).contains(&sent), "{sent} {others}: {found:?}");
        if grew("OutRsts") != of("resets_sent") {
            // Before 6.10 those without a socket are not reported.
            assert!(of("resets_sent") < grew("OutRsts"), "{found:?}");
        }
        return;
    }
    panic!("no account is complete");
}

by_sock_and_raw! {
    check_totals: totals_are_those_of_the_counters_by_sock totals_are_those_of_the_counters_by_raw;
}

/// What open connections have transferred is known at each interval: of idle ones, of half-closed ones, of those that nobody accepts.
#[test]
fn open_connections_are_read_at_each_interval() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    // Before the trace: only what comes later counts.
    fixture.connect("old", FAMILIES[0]);
    fixture.client.transfer("old", &mut fixture.server, 50_000);
    let port = fixture.port.to_string();
    let args = ["-R", &port, "--interval", "50ms", "--metrics", "connections,bytes"];
    let tracer = Tracer::command_in(&Launch::here(), &["observe"], &args);
    let sum = |rows: &[Value], wanted: &str| -> u64 {
        rows.iter().filter(|row| name(row) == wanted).map(|row| u64_of(row, "value")).sum()
    };
    // Some of it may be sent twice.
    let sent = |rows: &[Value]| sum(rows, "bytes sent") - sum(rows, "bytes retrans");
    fixture.client.transfer("old", &mut fixture.server, 1_000);
    tracer.wait_events("its bytes", |rows| sent(rows) == 1_000);
    // The client's FIN is out, and data goes the other way, of which tcp_probe shows nothing.
    let (client, _) = fixture.connect("half", FAMILIES[0]);
    fixture.client.shutdown("half");
    fixture.server.transfer("half", &mut fixture.client, 200_000);
    tracer.wait_events("what came", |rows| sum(rows, "bytes received") == 200_000);
    // Waits in the accept queue; the client's end counts, of which the process has not closed anything.
    let addr = fixture.addr(FAMILIES[0]);
    fixture.client.connect("waiting", addr);
    fixture.client.send("waiting", 3_000);
    tracer.wait_events("what it sent", |rows| sent(rows) == 4_000);
    let open = |rows: &[Value]| {
        let open = rows.iter().rev().find(|row| name(row) == "connections open");
        open.map(|row| u64_of(row, "value"))
    };
    tracer.wait_events("three are open", |rows| open(rows) == Some(3));
    // As ss shows it.
    let ss = Ss::of(&fixture.ns, client.local.port(), fixture.port);
    assert!(ss.text.is_empty(), "it is half closed: {}", ss.text);
    let trace = tracer.stop();
    let rows = &trace.events;
    assert_eq!(sum(rows, "connections active_opens"), 2, "{rows:?}");
    assert_eq!(sum(rows, "connections established"), 2);
    assert_eq!(sum(rows, "connections closed"), 0);
}

/// Buckets of each row, as the samples of a recording make them, which is made in the same run.
#[test]
fn distributions_are_those_of_the_recording() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let file = dir.path().join("run.tcc");
    let path = file.to_str().expect("UTF-8");
    let mut fixture = Fixture::new();
    fixture.listen();
    let port = fixture.port.to_string();
    let args = ["--port", &port, "--by", "lport,cc", "--metrics", "rtt", "-w", path, "-a"];
    let tracer = Tracer::command_in(&Launch::here().with_tracefs(), &["observe"], &args);
    fixture.exchange();
    fixture.client.use_cc("reno");
    fixture.exchange();
    fixture.settle();
    let trace = tracer.stop();
    check_schema(&trace);
    let args = ["probe", "-o", "jsonl", "--fields", "sport,ca_name,srtt_us", "-r", path];
    let samples = Tracer::spawn(&Launch::here(), &args).wait_raw().trace();
    let mut wanted: BTreeMap<String, (Vec<u64>, u64)> = BTreeMap::new();
    for sample in &samples.events {
        let key = json!({"sport": sample["sport"], "ca_name": sample["ca_name"]});
        let (values, unset) = wanted.entry(key.to_string()).or_default();
        match sample["srtt_us"].as_u64() {
            Some(value) => values.push(value),
            None => *unset += 1,
        }
    }
    assert!(wanted.len() >= 4, "{wanted:?}");
    assert_eq!(trace.events.len(), wanted.len(), "{:?}", trace.events);
    for row in &trace.events {
        let key = json!({"sport": row["key"]["sport"], "ca_name": row["key"]["ca_name"]});
        let (values, unset) = wanted.get_mut(&key.to_string()).expect("a key of samples");
        values.sort_unstable();
        let buckets = row["buckets"].as_array().expect("buckets");
        let buckets: Vec<[u64; 3]> = buckets
            .iter()
            .map(|bucket| ["from", "to", "count"].map(|name| u64_of(bucket, name)))
            .collect();
        let truth: Vec<[u64; 3]> = crate::support::buckets(values)
            .into_iter()
            .map(|((from, to), count)| [from, to, count])
            .collect();
        assert_eq!(buckets, truth, "{row}");
        let sum: u64 = values.iter().sum();
        assert_eq!(
            ["value", "unset", "sum"].map(|name| u64_of(row, name)),
            [values.len() as u64, *unset, sum],
            "{row}"
        );
        assert_eq!(row["min"].as_u64(), values.first().copied(), "{row}");
        assert_eq!(row["max"].as_u64(), values.last().copied(), "{row}");
    }
}
