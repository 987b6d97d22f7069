//! `-o perfetto`: read by Python's parser, and held against the JSON lines of the same run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    Exported, Launch, Running, Server, TempDir, Trace, Tracer, cells, compared, drawn, exported,
    has_cc, in_order, is_root, json_by_python, text, traffic, traffic_program, u64_of, wait_until,
};

const COUNTERS: [&str; 8] = [
    "snd_cwnd",
    "ssthresh",
    "snd_ssthresh",
    "srtt_us",
    "bytes_in_flight",
    "snd_wnd",
    "delivery_rate",
    "pacing_rate",
];

/// The ends of a connection as a process is named.
fn ends(event: &Value) -> String {
    let end = |addr: &str, port: &str| {
        let (addr, port) = (text(event, addr), u64_of(event, port));
        if addr.contains(':') { format!("[{addr}]:{port}") } else { format!("{addr}:{port}") }
    };
    format!("{} > {}", end("saddr", "sport"), end("daddr", "dport"))
}

/// What tells connections apart: the cookie where there is one.
fn key(event: &Value) -> String {
    format!("{} {}", ends(event), event["cookie"])
}

/// A time in ns; µs have three decimals.
fn ns(us: &Value) -> u64 {
    (us.as_f64().expect("a number") * 1000.0).round() as u64
}

/// The trace's events by their phase; names of processes and tracks.
struct Parsed {
    events: Vec<Value>,
    processes: BTreeMap<u64, String>,
    tracks: BTreeMap<u64, String>,
}

impl Parsed {
    fn new(json: Value) -> Self {
        let Value::Array(events) = json else { panic!("not an array") };
        let names = |what: &str, number: &str| {
            let of = events.iter().filter(|event| event["name"] == what);
            let named =
                of.map(|event| (u64_of(event, number), text(&event["args"], "name").to_owned()));
            let names: Vec<(u64, String)> = named.collect();
            let count = names.len();
            let names: BTreeMap<u64, String> = names.into_iter().collect();
            assert_eq!(names.len(), count, "each is named once");
            names
        };
        let (processes, tracks) = (names("process_name", "pid"), names("thread_name", "tid"));
        for event in &events {
            let track = event.get("tid").map(|_| u64_of(event, "tid"));
            let of = u64_of(event, "pid");
            assert!(processes.contains_key(&of), "{event}");
            assert!(
                track.is_none_or(|tid| tracks.contains_key(&tid) && tid / 16 == of / 16),
                "{event}"
            );
            assert!(["M", "C", "X", "i"].contains(&text(event, "ph")), "{event}");
        }
        Parsed { events, processes, tracks }
    }

    fn of_phase<'p>(&'p self, phase: &'p str) -> impl Iterator<Item = &'p Value> {
        self.events.iter().filter(move |event| event["ph"] == phase)
    }
}

type Samples = Vec<(u64, u64)>;

/// The values of each column as they change, by the connection's ends. Several connections may have the same ones.
fn expected_counters(events: &[Value]) -> BTreeMap<(String, &'static str), Vec<Samples>> {
    let mut by_key: BTreeMap<(String, &str), (String, Samples)> = BTreeMap::new();
    for event in events {
        for counter in COUNTERS {
            let Some(value) = event[counter].as_u64() else { continue };
            let (_, samples) = by_key
                .entry((key(event), counter))
                .or_insert_with(|| (ends(event), Samples::new()));
            if samples.last().is_none_or(|(_, last)| *last != value) {
                samples.push((u64_of(event, "mono_ns"), value));
            }
        }
    }
    let mut by_ends: BTreeMap<(String, &str), Vec<Samples>> = BTreeMap::new();
    for ((_, counter), (ends, samples)) in by_key {
        by_ends.entry((ends, counter)).or_default().push(samples);
    }
    by_ends.values_mut().for_each(|all| all.sort());
    by_ends
}

fn check_counters(parsed: &Parsed, trace: &Trace) {
    let mut by_process: BTreeMap<(u64, &str), Samples> = BTreeMap::new();
    for sample in parsed.of_phase("C") {
        let value = u64_of(&sample["args"], "value");
        let process = u64_of(sample, "pid");
        by_process
            .entry((process, text(sample, "name")))
            .or_default()
            .push((ns(&sample["ts"]), value));
    }
    let mut found: BTreeMap<(String, &str), Vec<Samples>> = BTreeMap::new();
    for ((process, counter), samples) in by_process {
        assert!(samples.is_sorted_by_key(|(at, _)| *at), "{counter}");
        found.entry((parsed.processes[&process].clone(), counter)).or_default().push(samples);
    }
    found.values_mut().for_each(|all| all.sort());
    let expected = expected_counters(&trace.events);
    let keys = |of: &BTreeMap<(String, &str), Vec<Samples>>| {
        of.keys().map(|(ends, counter)| format!("{ends} {counter}")).collect::<BTreeSet<_>>()
    };
    assert_eq!(keys(&found), keys(&expected));
    let mut values = 0;
    for (key, samples) in &expected {
        assert_eq!(&found[key], samples, "{key:?}");
        values += samples.iter().map(Vec::len).sum::<usize>();
    }
    assert!(values > 1000, "{values}");
    for counter in COUNTERS {
        assert!(expected.keys().any(|(_, of)| *of == counter), "{counter} never had a value");
    }
    compared(trace.events.len(), values);
}

/// Slices of a track follow one another without a gap, and show the state of each sample.
fn check_states(parsed: &Parsed, trace: &Trace, track: &str, column: &str) {
    // By process: from, to, state.
    let mut tracks: BTreeMap<u64, Vec<(u64, u64, &str)>> = BTreeMap::new();
    for slice in parsed.of_phase("X") {
        if parsed.tracks[&u64_of(slice, "tid")] == track {
            let from = ns(&slice["ts"]);
            let slice_of = (from, from + ns(&slice["dur"]), text(slice, "name"));
            tracks.entry(u64_of(slice, "pid")).or_default().push(slice_of);
        }
    }
    for slices in tracks.values() {
        for pair in slices.windows(2) {
            assert!(pair[0].1 == pair[1].0 && pair[0].2 != pair[1].2, "{track}: {pair:?}");
        }
    }
    let mut checked = 0;
    for event in trace.of_type("probe") {
        let cells = cells(event);
        let Some(state) = cells.get(column).and_then(Value::as_str) else { continue };
        let (ends, at) = (ends(event), u64_of(event, "mono_ns"));
        let of = tracks.iter().filter(|(process, _)| parsed.processes[process] == ends);
        // At the very moment of a change, both are true; the last sample may begin a slice without length.
        let mut at_that_time = of
            .flat_map(|(_, slices)| slices)
            .filter(|(from, to, _)| (*from..=*to).contains(&at))
            .peekable();
        if at_that_time.peek().is_some() {
            assert!(at_that_time.any(|(.., name)| *name == state), "{track} at {at}: {event}");
            checked += 1;
        }
    }
    assert!(
        checked * 10
            > trace
                .of_type("probe")
                .iter()
                .filter(|e| cells(e).get(column).is_some_and(|v| !v.is_null()))
                .count()
                * 9,
        "{track}: {checked}"
    );
    assert!(checked > 100, "{track}: {checked}");
}

fn mark_name(event: &Value) -> Option<String> {
    let or = |column: &str, other: &str| event[column].as_str().unwrap_or(other).to_owned();
    Some(match text(event, "type") {
        "retransmit" => or("class", "retransmit"),
        "drop" => or("reason", "drop"),
        "zero_window" => format!("{} {}", text(event, "side"), text(event, "phase")),
        other @ ("reset_sent" | "reset_received" | "spurious") => other.to_owned(),
        _ => return None,
    })
}

fn check_marks(parsed: &Parsed, trace: &Trace) {
    let mut expected: Vec<(u64, String, String)> = Vec::new();
    // A process is named after the first event of its connection; the ends of a dropped packet, for one, may be swapped.
    let mut first_ends: BTreeMap<u64, String> = BTreeMap::new();
    for event in &trace.events {
        let named = match event["cookie"].as_u64() {
            Some(cookie) => first_ends.entry(cookie).or_insert_with(|| ends(event)).clone(),
            None => ends(event),
        };
        if let Some(name) = mark_name(event) {
            expected.push((u64_of(event, "mono_ns"), named, name));
        }
    }
    let found = parsed.of_phase("i").map(|mark| {
        let process = parsed.processes[&u64_of(mark, "pid")].clone();
        (ns(&mark["ts"]), process, text(mark, "name").to_owned())
    });
    let mut found: Vec<(u64, String, String)> = found.collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let names: BTreeSet<&str> = expected.iter().map(|(.., name)| name.as_str()).collect();
    for name in ["peer begin", "local end", "reset_sent", "reset_received"] {
        assert!(names.contains(name), "{name}: {names:?}");
    }
    assert!(
        ["fast", "rto", "tlp", "slow_start"].iter().any(|class| names.contains(class)),
        "{names:?}"
    );
    // Their members are the fields.
    for mark in parsed.of_phase("i").filter(|mark| mark["args"].get("seq").is_some()) {
        let at = ns(&mark["ts"]);
        let event = trace.events.iter().find(|event| {
            event["mono_ns"] == at
                && mark_name(event).as_deref() == mark["name"].as_str()
                && event["seq"] == mark["args"]["seq"]
        });
        let event = event.unwrap_or_else(|| panic!("no event: {mark}"));
        for (name, value) in mark["args"].as_object().expect("members") {
            assert_eq!(&event[name], value, "{mark} {event}");
        }
    }
}

#[test]
fn a_trace_for_perfetto_has_the_values_of_the_lines() {
    need!(is_root(), "not root");
    let Exported { trace, paths, .. } = &exported(&["perfetto"], &drawn());
    let json = match json_by_python(&paths[0], "text") {
        Ok(json) => json,
        Err(why) => return crate::support::skip(&why, false),
    };
    let parsed = Parsed::new(json);
    check_marks(&parsed, trace);
    need!(in_order(trace), "events were late", legitimate: true);
    check_counters(&parsed, trace);
    check_states(&parsed, trace, "ca_state", "ca_state");
    if has_cc("bbr") {
        check_states(&parsed, trace, "bbr.mode", "bbr.mode");
    }
    let windows = parsed.of_phase("X").filter(|slice| slice["name"] == "closed");
    assert!(windows.count() >= 6);
}

/// The fields that it needs are loaded without being requested, whatever other outputs print.
#[test]
fn a_trace_for_perfetto_loads_its_own_fields() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let path = dir.path().join("trace.json");
    let server = Server::start("127.0.0.1:0", None);
    let output = format!("perfetto={}", path.display());
    let port = server.port_text();
    let tracer = Tracer::start(&["-P", &port, "--fields", "snd_una", "-o", &output]);
    let to = server.addr.to_string();
    traffic(&["pingpong", "--to", &to, "--count", "200", "--interval", "0ms"]);
    server.settle();
    let trace = tracer.stop();
    assert!(trace.events.iter().all(|event| cells(event).len() == 2), "the requested field");
    let text = std::fs::read_to_string(&path).expect("the file");
    let parsed = Parsed::new(serde_json::from_str(&text).expect("JSON"));
    let counters: BTreeSet<&str> =
        parsed.of_phase("C").map(|event| event["name"].as_str().expect("a name")).collect();
    for counter in ["snd_cwnd", "srtt_us", "delivery_rate", "pacing_rate", "snd_wnd"] {
        assert!(counters.contains(counter), "{counter}: {counters:?}");
    }
    assert!(parsed.of_phase("X").any(|slice| slice["name"] == "Open"));
}

/// A signal ends it in order; after a kill, the end of the array is all that is missing.
#[test]
fn a_killed_trace_for_perfetto_has_whole_events() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let path = dir.path().join("trace.json");
    let server = Server::start("127.0.0.1:0", None);
    let mut command = Launch::here().command(traffic_program());
    let to = server.addr.to_string();
    command.args(["pingpong", "--to", &to, "--seconds", "300", "--interval", "1ms"]);
    let _steady = Running::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()));
    let output = format!("perfetto={}", path.display());
    for (signal, patch) in [(Signal::TERM, "text"), (Signal::KILL, "text.rstrip() + ']'")] {
        let args = ["-P", &server.port_text(), "-o", &output];
        let mut tracer = Tracer::spawn(&Launch::here(), &args);
        tracer.wait_ready();
        wait_until("events", || size(&path) > 20_000);
        tracer.signal(signal);
        wait_until("its end", || tracer.ended());
        match json_by_python(&path, patch) {
            Ok(json) => assert!(Parsed::new(json).of_phase("C").count() > 50),
            Err(why) => return crate::support::skip(&why, false),
        }
    }
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}
