//! `observe --trigger`: the samples before an event that matches, that event, and what comes after it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::support::{
    FAMILIES, Fixture, Launch, Socket, TempDir, Trace, Tracer, cells, flooding, is_root, text,
    turns, u64_of,
};

/// The length of the message that matters.
const MARK: u64 = 7_777;

/// What does not depend on who looks, and when.
fn same_for_all(event: &Value) -> BTreeMap<String, Value> {
    let mut cells = cells(event);
    cells.retain(|name, _| name != "time" && !name.ends_with("_ns") && !name.ends_with("_us"));
    cells.insert("type".to_owned(), event["type"].clone());
    cells
}

/// Events in the file, in its order.
fn written(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).expect("the events");
    let lines = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    lines.filter(|line: &Value| line["cookie"].is_u64() || line["saddr"].is_string()).collect()
}

/// One `observe --trigger`.
struct Triggered {
    summary: Trace,
    events: Vec<Value>,
}

/// One such tracer for each set of arguments, beside one that prints all samples.
#[track_caller]
fn run_all(
    fixture: &mut Fixture,
    common: &[&str],
    sets: &[Vec<&str>],
    drive: impl FnOnce(&mut Fixture),
) -> (Vec<Triggered>, Trace) {
    let dir = TempDir::new();
    let file = |index: usize| dir.path().join(format!("{index}.jsonl"));
    let launch = Launch::here().with_tracefs();
    let ports = fixture.ports();
    let common = [common, &["--port", &ports]].concat();
    let truth = Tracer::start_in(&launch, &common);
    let start = |(index, more): (usize, &Vec<&str>)| {
        let output = format!("jsonl={}", file(index).display());
        let args = [&common[..], more, &["--events", &output]].concat();
        Tracer::command_in(&launch, &["observe"], &args)
    };
    let tracers: Vec<Tracer> = sets.iter().enumerate().map(start).collect();
    drive(fixture);
    fixture.settle();
    let truth = truth.stop();
    let stop = |(index, tracer): (usize, Tracer)| {
        let summary = tracer.stop();
        Triggered { summary, events: written(&file(index)) }
    };
    (tracers.into_iter().enumerate().map(stop).collect(), truth)
}

#[track_caller]
fn run(
    fixture: &mut Fixture,
    common: &[&str],
    more: &[&str],
    drive: impl FnOnce(&mut Fixture),
) -> (Triggered, Trace) {
    let (mut all, truth) = run_all(fixture, common, &[more.to_vec()], drive);
    (all.remove(0), truth)
}

/// Two connections whose messages come in turns: one has the message that matters in the middle.
fn talk(fixture: &mut Fixture) -> [Socket; 2] {
    let (_, marked) = fixture.connect("marked", FAMILIES[0]);
    let (_, other) = fixture.connect("other", FAMILIES[1]);
    for round in 1..=40 {
        for name in ["marked", "other"] {
            let is_mark = name == "marked" && round == 20;
            let bytes = if is_mark { MARK } else { 100 + round };
            fixture.client.transfer(name, &mut fixture.server, bytes);
            fixture.server.transfer(name, &mut fixture.client, 1);
        }
    }
    for name in ["marked", "other"] {
        fixture.client.close(name);
        fixture.server.close(name);
    }
    [marked, other]
}

/// Of the connection: its samples, and the place of the one that matters.
fn samples(trace: &Trace, socket: &Socket) -> Result<(Vec<Value>, usize), String> {
    let mine = trace.events.iter().filter(|event| event["cookie"] == socket.cookie);
    let mine: Vec<Value> = mine.cloned().collect();
    let mark = mine.iter().position(|event| u64_of(event, "data_len") == MARK);
    // A message may arrive in two parts.
    mark.map(|mark| (mine, mark)).ok_or_else(|| "the message came in parts".to_owned())
}

#[track_caller]
fn check_same(found: &[Value], wanted: &[Value]) {
    let found: Vec<_> = found.iter().map(same_for_all).collect();
    let wanted: Vec<_> = wanted.iter().map(same_for_all).collect();
    assert_eq!(found, wanted);
}

/// Every event is accounted for, and those recorded are in the output.
#[track_caller]
fn check_account(run: &Triggered) {
    let end = &run.summary.end;
    assert_eq!(u64_of(end, "emitted"), run.events.len() as u64, "{end}");
    let n = |name: &str| u64_of(end, name);
    let sum = n("emitted") + n("filtered") + n("sampled_out") + n("rate_limited") + n("lost");
    assert_eq!(n("seen"), sum, "{end}");
    assert_eq!(n("lost"), 0, "{end}");
}

fn before_and_after(reader: &str, transport: &str) -> Result<(), String> {
    let _quiet = flooding();
    let common = ["--reader", reader, "--transport", transport, "--all-fields"];
    let expr = format!("data_len == {MARK}");
    let cases = [("7", false), ("0", true), ("256", true), ("1", false)];
    let sets = cases.map(|(before, goes_on)| {
        let after: &[&str] = if goes_on { &["--after", "1h"] } else { &[] };
        [&["--metrics", "rtt", "--trigger", &expr, "--before", before], after].concat()
    });
    let mut fixture = Fixture::new();
    fixture.listen();
    let mut sockets = None;
    let drive = |fixture: &mut Fixture| sockets = Some(talk(fixture));
    let (runs, truth) = run_all(&mut fixture, &common, &sets, drive);
    let [marked, _] = sockets.expect("connections");
    let (samples, mark) = samples(&truth, &marked)?;
    assert!(mark > 15 && samples.len() - mark > 15, "{mark} of {}", samples.len());
    for (run, (before, goes_on)) in runs.iter().zip(cases) {
        let first = mark.saturating_sub(before.parse().expect("a number"));
        let end = if goes_on { samples.len() } else { mark + 1 };
        check_same(&run.events, &samples[first..end]);
        check_account(run);
    }
    Ok(())
}

fn check_before_and_after(reader: &str) {
    need!(is_root(), "not root");
    for transport in ["ringbuf", "perfbuf"] {
        turns(|| before_and_after(reader, transport));
    }
}

by_sock_and_raw! {
    check_before_and_after: exactly_the_samples_before_by_sock exactly_the_samples_before_by_raw;
}

/// Samples that are kept are thinned out; those that match, and those after them, are not.
#[test]
fn every_second_sample_is_kept() {
    need!(is_root(), "not root");
    turns(|| {
        let _quiet = flooding();
        let mut fixture = Fixture::new();
        fixture.listen();
        let mut sockets = None;
        let expr = format!("data_len == {MARK}");
        let trigger = ["--trigger", &expr, "--before", "5", "--after", "1h"];
        let more = [&["--metrics", "rtt", "--sample", "2"], &trigger[..]].concat();
        let (run, truth) = run(&mut fixture, &[], &more, |fixture| sockets = Some(talk(fixture)));
        let [marked, _] = sockets.expect("connections");
        let (samples, mark) = samples(&truth, &marked)?;
        let even: Vec<Value> = samples[..mark].iter().step_by(2).cloned().collect();
        let wanted = [&even[even.len() - 5..], &samples[mark..]].concat();
        check_same(&run.events, &wanted);
        check_account(&run);
        assert!(u64_of(&run.summary.end, "sampled_out") > 0, "{}", run.summary.end);
        Ok(())
    });
}

/// Any event triggers, and all types of the metrics are recorded after it.
#[test]
fn a_reset_has_the_samples_before_it() {
    need!(is_root(), "not root");
    turns(|| {
        let _quiet = flooding();
        let mut fixture = Fixture::new();
        fixture.listen();
        let mut sockets = None;
        let more = ["--metrics", "connections", "--trigger", "reset", "--before", "3"];
        let after = ["--after", "1h"];
        let (run, truth) = run(&mut fixture, &[], &[&more[..], &after].concat(), |fixture| {
            let (client, server) = fixture.connect("a", FAMILIES[0]);
            fixture.connect("quiet", FAMILIES[1]);
            for _ in 0..5 {
                fixture.client.transfer("a", &mut fixture.server, 10);
                fixture.client.transfer("quiet", &mut fixture.server, 10);
            }
            fixture.client.reset("a");
            fixture.server.wait_error("a");
            fixture.server.close("a");
            fixture.client.close("quiet");
            fixture.server.close("quiet");
            sockets = Some([client, server]);
        });
        let [client, server] = sockets.expect("connections");
        for (socket, first) in [(&client, "reset_sent"), (&server, "reset_received")] {
            let mine: Vec<&Value> =
                run.events.iter().filter(|event| event["cookie"] == socket.cookie).collect();
            let types: Vec<&str> = mine.iter().map(|event| text(event, "type")).collect();
            let Some(at) = types.iter().position(|name| *name == first) else {
                return Err(format!("no {first}: {types:?}"));
            };
            assert!(types[..at].iter().all(|name| *name == "probe"), "{types:?}");
            assert!(types[at..].contains(&"destroy"), "{types:?}");
            let of = |events: &[Value]| -> Vec<Value> {
                let mine = events.iter().filter(|event| event["cookie"] == socket.cookie);
                mine.filter(|event| event["type"] == "probe").cloned().collect()
            };
            let (found, samples) = (of(&run.events), of(&truth.events));
            let kept = types[..at].len();
            assert_eq!(kept, samples.len().min(3), "{types:?}");
            check_same(&found[..kept], &samples[samples.len() - found.len()..][..kept]);
        }
        let ends = [client.cookie, server.cookie];
        let of_others = run
            .events
            .iter()
            .find(|event| event["cookie"].as_u64().is_some_and(|cookie| !ends.contains(&cookie)));
        assert_eq!(of_others, None);
        check_account(&run);
        Ok(())
    });
}

/// Each preset is an expression that the kernel decides, and the programs load.
#[test]
fn presets() {
    need!(is_root(), "not root");
    let list = Tracer::spawn(&Launch::here(), &["observe", "--list-presets"]).wait_raw();
    assert!(list.status.success(), "{}", list.stderr);
    let names: Vec<&str> =
        list.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let wanted = [
        "rtt-jump",
        "retransmit-burst",
        "rto",
        "cwnd-collapse",
        "zero-window",
        "reset",
        "drop",
        "slow-connect",
        "stall",
    ];
    assert_eq!(names, wanted);
    for name in names {
        let args = ["--trigger", name, "--events", "jsonl=/dev/null", "--port", "1", "-d", "1ms"];
        let args = [&["observe", "-o", "jsonl"], &args[..]].concat();
        let output = Tracer::spawn(&Launch::here(), &args).wait_raw();
        assert!(output.status.success(), "{name}: {}", output.stderr);
    }
}

/// What the kernel cannot decide is refused, and named.
#[test]
fn a_trigger_that_the_kernel_cannot_decide_is_refused() {
    need!(is_root(), "not root");
    let refused = |args: &[&str]| {
        let output = Tracer::spawn(&Launch::here(), &[&["observe"], args].concat()).wait_raw();
        assert_eq!(output.status.code(), Some(2), "{}", output.stderr);
        output.stderr
    };
    let events = ["--events", "jsonl=/dev/null"];
    let computed = refused(&[&events[..], &["--trigger", "srtt_us > 2 * min_rtt_us"]].concat());
    assert!(computed.contains("--trigger: the kernel cannot decide"), "{computed}");
    let nowhere = refused(&["--trigger", "rto"]);
    assert!(nowhere.contains("--trigger needs an output"), "{nowhere}");
    let alone = refused(&[&events[..], &["--before", "3"]].concat());
    assert!(alone.contains("--before needs --trigger"), "{alone}");
}
