//! The metrics of `observe` that are counted on request, against the events that the same run records.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::support::{
    FAMILIES, Fixture, Launch, TempDir, Trace, Tracer, buckets, check_schema, is_root, text, u64_of,
};

/// A run without keys, which records what it counts, and what it has recorded.
struct Run {
    summary: Trace,
    events: Trace,
}

#[track_caller]
fn run(fixture: &mut Fixture, reader: &str, drive: impl FnOnce(&mut Fixture)) -> Run {
    let dir = TempDir::new();
    let file = dir.path().join("run.tcc");
    let path = file.to_str().expect("UTF-8");
    let ports = fixture.ports();
    let args = ["--reader", reader, "--port", &ports, "--metrics", "all", "-w", path, "-a"];
    let tracer = Tracer::command_in(&Launch::here().with_tracefs(), &["observe"], &args);
    drive(fixture);
    let summary = tracer.stop();
    check_schema(&summary);
    let output = read(&["events", "all", "-a", "-o", "jsonl"], &file);
    Run { summary, events: output }
}

#[track_caller]
fn read(args: &[&str], file: &Path) -> Trace {
    let path = file.to_str().expect("UTF-8");
    let output = Tracer::spawn(&Launch::here(), &[args, &["-r", path]].concat()).wait_raw();
    assert!(output.status.success(), "{}", output.stderr);
    output.trace()
}

impl Run {
    /// The values of a metric by label.
    fn labels(&self, metric: &str) -> BTreeMap<String, u64> {
        let rows = self.summary.events.iter().filter(|row| text(row, "metric") == metric);
        let values = rows.map(|row| (text(row, "label").to_owned(), u64_of(row, "value")));
        values.filter(|(_, value)| *value > 0).collect()
    }

    /// Recorded events of that type, by what the function makes of them.
    fn counted(&self, of: &str, label: impl Fn(&Value) -> Option<String>) -> BTreeMap<String, u64> {
        let mut counted = BTreeMap::new();
        for label in self.events.of_type(of).into_iter().filter_map(label) {
            *counted.entry(label).or_default() += 1;
        }
        counted
    }

    /// A distribution is that of these values of the events, bucket by bucket.
    #[track_caller]
    fn check(&self, metric: &str, of: &str, value: impl Fn(&Value) -> Option<Option<u64>>) -> u64 {
        let row = self.summary.events.iter().find(|row| text(row, "metric") == metric);
        let row = row.unwrap_or_else(|| panic!("no {metric}"));
        let all: Vec<Option<u64>> = self.events.of_type(of).into_iter().filter_map(value).collect();
        let values: Vec<u64> = all.iter().flatten().copied().collect();
        let found = row["buckets"].as_array().expect("buckets").iter();
        let found: Vec<[u64; 3]> =
            found.map(|bucket| ["from", "to", "count"].map(|name| u64_of(bucket, name))).collect();
        let truth = buckets(&values).into_iter();
        let truth: Vec<[u64; 3]> = truth.map(|((from, to), count)| [from, to, count]).collect();
        assert_eq!(found, truth, "{metric}");
        let unset = (all.len() - values.len()) as u64;
        assert_eq!(u64_of(row, "unset"), unset, "{metric}");
        assert_eq!(u64_of(row, "sum"), values.iter().sum::<u64>(), "{metric}");
        values.len() as u64
    }
}

/// Losses, refused connections, a receiver that does not read.
fn drive(fixture: &mut Fixture) {
    fixture.lossy_transfers(1_000_000, ["reno"; 3]);
    fixture.listen();
    fixture.refused(FAMILIES[0]);
    fixture.connect("a", FAMILIES[0]);
    fixture.stall("a");
    fixture.client.close("a");
    fixture.server.close("a");
    fixture.settle();
}

fn check_metrics(reader: &str) {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    let run = run(&mut fixture, reader, drive);
    let some = |name: &'static str| move |event: &Value| Some(event[name].as_u64());
    let kbit_s = |value: &Value| value.as_u64().map(|bytes| bytes / 125);
    run.check("srtt_us", "probe", some("srtt_us"));
    run.check("min_rtt_us", "probe", some("min_rtt_us"));
    run.check("snd_cwnd", "probe", some("snd_cwnd"));
    run.check("packets_in_flight", "probe", some("packets_in_flight"));
    let unsent = run.check("notsent_bytes", "probe", some("notsent_bytes"));
    assert!(unsent > 100, "{unsent}");
    run.check("pacing_rate_kbit_s", "probe", |event| Some(kbit_s(&event["pacing_rate"])));
    let rates = run.check("delivery_rate_kbit_s", "probe", |event| {
        let limited = event["app_limited"] == true;
        Some(kbit_s(&event["delivery_rate"]).filter(|_| !limited))
    });
    assert!(rates > 10, "{rates}");
    for (metric, established) in [("latency_us", true), ("failed_us", false)] {
        let opened = run.check(metric, "connect", |event| {
            let is_wanted = (text(event, "outcome") == "established") == established;
            is_wanted.then(|| event["latency_us"].as_u64())
        });
        assert!(opened > 0, "{metric}");
    }
    assert!(run.check("queue_us", "queue", some("queue_us")) > 100);
    // Events by what they are.
    let classes = run.counted("retransmit", |event| {
        Some(text(event, "class").to_owned()).filter(|class| ["rto", "tlp"].contains(&&**class))
    });
    assert_eq!(run.labels("timers"), classes);
    assert!(classes.contains_key("rto"), "{classes:?}");
    let states =
        run.counted("cong_state", |event| Some(text(event, "new_ca_state").to_lowercase()));
    assert_eq!(run.labels("ca_state_entries"), states);
    assert!(states.contains_key("recovery") && states.contains_key("loss"), "{states:?}");
    check_state_times(&run);
    let sides = run.counted("zero_window", |event| {
        (text(event, "phase") == "begin").then(|| text(event, "side").to_owned())
    });
    assert_eq!(run.labels("zero_windows"), sides);
    assert!(sides.contains_key("peer") && sides.contains_key("local"), "{sides:?}");
    let undone = run.counted("spurious", |event| {
        Some(event["undo"].as_str().map_or("dsack".to_owned(), |undo| format!("undo_{undo}")))
    });
    assert_eq!(run.labels("spurious"), undone);
}

/// A state's time is at least that between the changes, which events have; the last state ends with the connection.
#[track_caller]
fn check_state_times(run: &Run) {
    let times = run.labels("ca_state_time_us");
    for state in ["disorder", "cwr", "recovery", "loss"] {
        let of = run.events.of_type("cong_state").into_iter();
        let of = of.filter(|event| text(event, "old_ca_state").to_lowercase() == state);
        let us: u64 = of.filter_map(|event| event["old_ca_state_us"].as_u64()).sum();
        let found = times.get(state).copied().unwrap_or(0);
        assert!(found + 1 >= us, "{state}: {found} of {us}");
    }
}

by_sock_and_raw! {
    check_metrics: metrics_are_those_of_the_events_by_sock metrics_are_those_of_the_events_by_raw;
}
