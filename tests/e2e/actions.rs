//! What is done with the events of a type: a summary and its events in one run, or counters alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{
    FAMILIES, Fixture, Flood, Launch, Server, Tcc, TempDir, Trace, Tracer, check_row, check_schema,
    flooding, is_root, text, traffic_in, u64_of, wait_until,
};

/// A summary in a file, and its events on standard output.
struct Both {
    tracer: Tracer,
    path: PathBuf,
}

impl Both {
    #[track_caller]
    fn start(dir: &Path, name: &str, command: &[&str], port: u16) -> Self {
        let path = dir.join(name);
        let (output, port) = (format!("jsonl={}", path.display()), port.to_string());
        let more = ["-o", &output, "--events", "jsonl", "--port", &port];
        let mut tracer = Tracer::spawn(&Launch::here().with_tracefs(), &[command, &more].concat());
        tracer.wait_ready();
        Both { tracer, path }
    }

    /// The events, and the rows of the only summary. Both actions have seen the same.
    #[track_caller]
    fn stop(self) -> (Trace, Vec<Value>) {
        let trace = self.tracer.stop();
        trace.check_account();
        check_schema(&trace);
        assert_eq!(trace.aggregated(), trace.events.len() as u64, "{}", trace.end);
        assert_eq!(trace.end["aggregate"]["seen"], trace.end["seen"]);
        let lines = fs::read_to_string(&self.path).expect("the summary");
        let lines: Vec<Value> =
            lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let (end, rows) = lines.split_last().expect("an account");
        assert_eq!(*end, trace.end, "each output has the account");
        assert!(rows.iter().all(|row| row["type"] == "summary"), "{rows:?}");
        let [summary, events] = &trace.end["outputs"].as_array().expect("two outputs")[..] else {
            panic!("{}", trace.end);
        };
        assert_eq!(u64_of(summary, "written"), rows.len() as u64, "{summary}");
        assert_eq!(u64_of(events, "written"), trace.events.len() as u64, "{events}");
        (trace, rows.to_vec())
    }
}

/// Segments that are lost and sent again, in each family.
fn lossy(fixture: &Fixture) {
    let port = fixture.port;
    fixture.ns.run(&["ip", "link", "set", "lo", "mtu", "1500"]);
    let listen = format!("[::]:{port}");
    let server = Server::start_in(&fixture.ns.launch(), &listen, Some("reno"));
    fixture.rule(&format!("tcp dport {port} tcp flags & syn == 0 numgen inc mod 20 == 7 drop"));
    for family in FAMILIES {
        let to = fixture.addr(family).to_string();
        let args = ["bulk", "--to", &to, "--bytes", "1000000", "--cc", "reno"];
        traffic_in(&fixture.ns.launch(), &args);
    }
    fixture.speak();
    drop(server);
    fixture.settle();
}

/// Of each aggregate that the programs make.
#[test]
fn a_summary_is_what_its_events_add_up_to() {
    need!(is_root(), "not root");
    let _quiet = flooding();
    let (dir, fixture) = (TempDir::new(), Fixture::new());
    let start = |name, command: &[&str]| Both::start(dir.path(), name, command, fixture.port);
    let retrans = start("retrans", &["retrans", "--by", "all"]);
    let cong = start("cong", &["cong", "--by", "all"]);
    let rtt = start("rtt", &["rtt", "--by", "all"]);
    let opened = start("connlat", &["connlat", "--histogram"]);
    lossy(&fixture);

    let (trace, rows) = retrans.stop();
    assert!(trace.events.len() > FAMILIES.len(), "{}", trace.end);
    assert_eq!(u64_of(&rows[0], "events"), trace.events.len() as u64);
    let mut by_class: BTreeMap<&str, u64> = BTreeMap::new();
    for event in &trace.events {
        *by_class.entry(text(event, "class")).or_default() += u64_of(event, "segs");
    }
    for (class, segs) in by_class {
        assert_eq!(u64_of(&rows[0], &format!("{class}_segs")), segs, "{}", rows[0]);
    }

    let (trace, rows) = cong.stop();
    assert!(trace.events.len() > 2 * FAMILIES.len(), "{}", trace.end);
    assert_eq!(u64_of(&rows[0], "changes"), trace.events.len() as u64);
    // A state that was left for another took as long by either; the last one goes on to the connection's end.
    for state in ["Disorder", "CWR", "Recovery", "Loss"] {
        let times = trace.events.iter().filter(|event| event["old_ca_state"] == state);
        let of_events: u64 = times.map(|event| u64_of(event, "old_ca_state_us")).sum();
        let row = u64_of(&rows[0], &format!("{}_us", state.to_lowercase()));
        assert!(row + 1 >= of_events, "{state}: {row} of {of_events}");
    }

    let (trace, rows) = rtt.stop();
    let mut values: Vec<u64> = trace.events.iter().map(|event| u64_of(event, "srtt_us")).collect();
    values.sort_unstable();
    let known: Vec<u64> = values.iter().copied().filter(|value| *value > 0).collect();
    check_row(&rows[0], &known, (values.len() - known.len()) as u64);

    let (trace, rows) = opened.stop();
    for (event_type, field) in [("connect", "latency_us"), ("accept", "wait_us")] {
        let events = trace.of_type(event_type);
        assert_eq!(events.len(), FAMILIES.len(), "{}", trace.end);
        let row = rows.iter().find(|row| row["field"] == field).expect("a histogram");
        let mut values: Vec<u64> = events.iter().map(|event| u64_of(event, field)).collect();
        values.sort_unstable();
        check_row(row, &values, 0);
    }
}

/// Limits and losses are of the events; the summary has all of them. What finds no row is counted apart.
#[test]
fn limits_and_losses_leave_the_summary_complete() {
    need!(is_root(), "not root");
    let mut flood = Flood::ready();
    let port = flood.server.port_text();
    let command = "rtt --by conn --max-rows 1 --interval 200ms -o jsonl=/dev/null --events jsonl --stats 50ms \
                   --buffer-size 4096 --sample 2 --rate 3000/s -a --port";
    let args: Vec<&str> = command.split_whitespace().chain([&*port]).collect();
    let mut tracer = Tracer::spawn(&Launch::here(), &args);
    tracer.wait_ready();
    flood.begin();
    wait_until("losses and limits", || {
        let stats = tracer.stats();
        let some = |name: &str| stats.last().is_some_and(|stats| u64_of(stats, name) > 0);
        some("lost") && some("sampled_out") && some("rate_limited")
    });
    drop(flood);
    let trace = tracer.stop();
    trace.check_account();
    let aggregate = &trace.end["aggregate"];
    let [seen, filtered] = ["seen", "filtered"].map(|name| u64_of(&trace.end, name));
    assert_eq!((u64_of(aggregate, "seen"), u64_of(aggregate, "filtered")), (seen, filtered));
    assert_eq!(trace.aggregated(), seen - filtered - u64_of(aggregate, "lost"));
    assert!(u64_of(aggregate, "overflow") > 0, "{aggregate}");
    for stats in &trace.stats {
        let parts = ["aggregated", "overflow", "filtered", "lost"];
        let sum: u64 = parts.iter().map(|part| u64_of(&stats["aggregate"], part)).sum();
        assert_eq!(u64_of(&stats["aggregate"], "seen"), sum, "{stats}");
    }
}

/// As many of each type as another tracer prints; and no record leaves the kernel.
#[test]
fn counters_alone_count_what_others_print() {
    need!(is_root(), "not root");
    let _quiet = flooding();
    for reader in ["sock", "raw"] {
        let mut fixture = Fixture::new();
        fixture.listen();
        let ports = fixture.ports();
        let start = |name: &str, more: &[&str]| {
            let args = [&["--reader", reader, "--port", &ports], more].concat();
            Tracer::events_in(&Launch::here().with_tracefs(), name, &args)
        };
        let types =
            "probe,state,retransmit,reset_sent,reset_received,destroy,connect,life,accept,error";
        let printed = start(types, &[]);
        let counted = start(types, &["--counters-only"]);
        fixture.exchange();
        FAMILIES.iter().for_each(|family| fixture.refused(family));
        fixture.settle();
        let (printed, counted) = (printed.stop(), counted.stop());
        printed.check_account();
        assert!(counted.events.is_empty() && counted.end["seen"].is_null(), "{}", counted.end);
        check_schema(&counted);
        for (event_type, count) in counted.counted() {
            // A run that the kernel skipped for one of the two is in its account.
            let lost = |end: &Value| u64_of(&end["event_types"][&event_type], "lost");
            let missing = lost(&printed.end) + lost(&counted.end["count"]);
            let events = printed.of_type(&event_type).len() as u64;
            assert!(events.abs_diff(count) <= missing, "{event_type}: {count} of {events}");
            assert!(count > 0 || event_type == "retransmit", "{event_type}: {}", counted.end);
        }
    }
}

/// Its lines are for people, too.
#[test]
fn counters_alone_are_printed_as_lines() {
    need!(is_root(), "not root");
    let output = Tcc::events(&["state", "drop"])
        .default_output()
        .flag("--counters-only")
        .option("--duration", "50ms")
        .run();
    assert!(output.status.success() && output.stdout.is_empty(), "{}", output.stderr);
    for event_type in ["state", "drop"] {
        let start = format!("tcc-trace: {event_type}: ");
        let line = output.stderr.lines().find_map(|line| line.strip_prefix(&start));
        assert!(line.is_some_and(|line| line.contains(" counted + ")), "{}", output.stderr);
    }
}
