//! What rows of `observe` are of, how many there are, and how they are printed.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{
    Cgroup, FAMILIES, Fixture, Launch, TestProcess, Trace, Tracer, cgroup2, check_schema, is_root,
    text, u64_of, unique,
};

#[track_caller]
fn observe(fixture: &Fixture, more: &str) -> Tracer {
    let words = format!("--port {} {more}", fixture.ports());
    Tracer::command_in(&Launch::here(), &["observe"], &words.split_whitespace().collect::<Vec<_>>())
}

/// Of these rows the values with that metric and label, by key.
fn values<'t>(trace: &'t Trace, metric: &str, label: Option<&str>) -> Vec<(&'t Value, u64)> {
    let of = |row: &&Value| text(row, "metric") == metric && row["label"].as_str() == label;
    trace.events.iter().filter(of).map(|row| (&row["key"], u64_of(row, "value"))).collect()
}

/// Bytes sent, without retransmissions, by key.
fn sent_once(trace: &Trace) -> Vec<(&Value, u64)> {
    let again = values(trace, "bytes", Some("retrans"));
    let of = |key: &Value| again.iter().find(|(of, _)| *of == key).map_or(0, |(_, bytes)| *bytes);
    let sent = values(trace, "bytes", Some("sent")).into_iter();
    sent.map(|(key, bytes)| (key, bytes - of(key))).collect()
}

#[test]
fn each_key() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let keys = [
        "cc",
        "lport",
        "rport",
        "raddr --prefix 8 --prefix6 64",
        "pid",
        "comm",
        "netns",
        "iface",
        "conn",
    ];
    let tracers: Vec<Tracer> =
        keys.iter().map(|by| observe(&fixture, &format!("--by {by}"))).collect();
    fixture.client.use_cc("reno");
    let (client, _) = fixture.connect("a", FAMILIES[0]);
    fixture.client.transfer("a", &mut fixture.server, 100_000);
    fixture.client.close("a");
    fixture.server.close("a");
    fixture.settle();
    let traces: Vec<Trace> = tracers.into_iter().map(Tracer::stop).collect();
    traces.iter().for_each(check_schema);
    let sent: Vec<Vec<(&Value, u64)>> = traces.iter().map(sent_once).collect();
    // One end has sent all there was.
    for (by, sent) in keys.iter().zip(&sent) {
        let all: u64 = sent.iter().map(|(_, value)| value).sum();
        assert_eq!((sent.len(), all), (1, 100_000), "--by {by}: {sent:?}");
    }
    let key = |at: usize| sent[at][0].0;
    let netns = fixture.ns.inode();
    assert_eq!(key(0)["ca_name"], "reno");
    assert_eq!(key(1)["sport"], client.local.port());
    assert_eq!(key(2)["dport"], fixture.port);
    assert_eq!(key(3)["daddr"], "127.0.0.0/8");
    assert_eq!(key(4)["pid"], fixture.client.pid);
    assert_eq!(key(4)["comm"], key(5)["comm"]);
    assert_eq!(key(6)["netns"], netns);
    assert_eq!((key(7)["netns"].as_u64(), key(7)["ifindex"].as_u64()), (Some(netns), Some(1)));
    assert!(key(7)["ifname"].is_null(), "another namespace's: {}", key(7));
    assert_eq!((&key(8)["sport"], &key(8)["dport"]), (&key(1)["sport"], &key(2)["dport"]));
    assert_eq!(key(8)["cookie"], client.cookie);
    // Samples have the same key as the connection's bytes, and so have opens.
    for (by, trace) in keys.iter().zip(&traces) {
        let opened = values(trace, "connections", Some("active_opens"));
        assert_eq!(opened.len(), 1, "--by {by}: {opened:?}");
        let sampled: Vec<&Value> =
            values(trace, "srtt_us", None).into_iter().map(|(key, _)| key).collect();
        assert!(sampled.contains(&opened[0].0), "--by {by}: {opened:?} {sampled:?}");
    }
}

#[test]
fn cgroups_by_path() {
    need!(is_root(), "not root");
    let Some(root) = cgroup2() else {
        return crate::support::skip("no cgroup2", false);
    };
    let group = Cgroup::new(root.join(unique("observe")));
    let mut fixture = Fixture::new();
    fixture.listen();
    fixture.client = TestProcess::start_in(&group.launch(fixture.ns.launch()));
    let tracer = observe(&fixture, "--by cgroup");
    fixture.connect("a", FAMILIES[0]);
    fixture.client.transfer("a", &mut fixture.server, 7_000);
    fixture.client.close("a");
    fixture.server.close("a");
    fixture.settle();
    let trace = tracer.stop();
    let sent = values(&trace, "bytes", Some("sent"));
    assert_eq!(sent.len(), 1, "{sent:?}");
    let path = text(sent[0].0, "cgroup");
    assert!(path.starts_with('/') && group.name().ends_with(path), "{path} {}", group.name());
}

/// More keys than rows: the rest is counted together.
#[test]
fn keys_without_room_share_a_row() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let tracers = ["--by conn --max-rows 2", "--by all"].map(|more| observe(&fixture, more));
    fixture.exchange();
    fixture.settle();
    let [some, all] = tracers.map(Tracer::stop);
    let sums = |trace: &Trace| {
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for row in &trace.events {
            let name = format!("{} {}", row["metric"], row["label"]);
            *sums.entry(name).or_default() += u64_of(row, "value");
        }
        sums.retain(|_, sum| *sum > 0);
        sums
    };
    assert_eq!(sums(&some), sums(&all));
    let rest: Vec<_> =
        values(&some, "bytes", Some("sent")).into_iter().filter(|(key, _)| key.is_null()).collect();
    assert_eq!(rest.len(), 1, "{:?}", some.events);
    assert!(u64_of(&some.end["aggregate"], "overflow") > 0, "{}", some.end);
}

/// Reasons are those of the events.
#[test]
fn reasons_are_those_of_the_events() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let port = fixture.port;
    let ports = fixture.ports();
    let launch = Launch::here().with_tracefs();
    let events = Tracer::events_in(&launch, "drop,reset_sent,reset_received", &["--port", &ports]);
    let tracer = observe(&fixture, "--metrics resets,drops");
    fixture.refused(FAMILIES[0]);
    fixture.rule(&format!("tcp dport {port} tcp flags syn numgen inc mod 2 == 0 drop"));
    for family in FAMILIES {
        fixture.connect("a", family);
        fixture.client.reset("a");
        fixture.server.wait_error("a");
        fixture.server.close("a");
    }
    fixture.settle();
    let (events, trace) = (events.stop(), tracer.stop());
    let mut wanted: BTreeMap<String, u64> = BTreeMap::new();
    for event in &events.events {
        let metric = match text(event, "type") {
            "drop" => "drops",
            "reset_sent" => "resets_sent",
            _ => "resets_received",
        };
        *wanted.entry(format!("{metric} {}", event["reason"])).or_default() += 1;
    }
    let found = trace
        .events
        .iter()
        .map(|row| (format!("{} {}", text(row, "metric"), row["label"]), u64_of(row, "value")));
    let found: BTreeMap<String, u64> = found.collect();
    assert_eq!(found, wanted);
    assert!(wanted["resets_received null"] == 4, "{wanted:?}");
}

#[test]
fn a_page_and_csv() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let start = |more: &str| {
        let words = format!("observe --port {} {more}", fixture.port);
        let mut tracer =
            Tracer::spawn(&Launch::here(), &words.split_whitespace().collect::<Vec<_>>());
        tracer.wait_ready();
        tracer
    };
    let (page, csv) = (start("--by cc"), start("--by rport -o csv"));
    fixture.exchange();
    fixture.settle();
    let (page, csv) = (page.stop_raw(), csv.stop_raw());
    assert!(page.status.success() && csv.status.success(), "{} {}", page.stderr, csv.stderr);
    let lines: Vec<&str> = page.stdout.lines().collect();
    assert!(lines[0].contains("0 connections open, "), "{}", page.stdout);
    assert!(lines[1].starts_with("ca_name="), "{}", page.stdout);
    assert!(lines[2].starts_with("  connections      active_opens 3"), "{}", page.stdout);
    assert!(lines.iter().any(|line| line.starts_with("  srtt_us ")), "{}", page.stdout);
    assert!(lines.iter().all(|line| line.len() <= 100), "{}", page.stdout);
    let mut lines = csv.stdout.lines();
    let header: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert!(rows.iter().all(|row| row.len() == header.len()), "{}", csv.stdout);
    let at = |name: &str| header.iter().position(|column| *column == name).expect(name);
    let of = |metric: &str, label: &str| {
        let row = rows.iter().find(|row| {
            row[at("metric")] == metric
                && row[at("label")] == label
                && row[at("dport")] == fixture.port.to_string()
        });
        row.unwrap_or_else(|| panic!("{metric} {label}: {}", csv.stdout))
    };
    assert_eq!(of("connections", "active_opens")[at("value")], "3");
    // Some of it may have been sent twice.
    let sent: u64 = of("bytes", "sent")[at("value")].parse().expect("a number");
    assert!(sent >= 900_000, "{sent}");
    assert!(of("srtt_us", "")[at("bucket_count")].parse::<u64>().is_ok_and(|count| count > 0));
}
