//! `info` of the recordings, counted again: by the JSON lines of the same file, and in Python by the reader in `examples/`. A
//! damaged one, by what Python finds in its frames.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use super::{RING, scenario};
use crate::support::{Launch, Tracer, compared, is_root, parse, python, text, u64_of};

/// Runs `read_tcc.py FILE` and counts its lines: of each type, and distinct connections.
const COUNT: &str = r#"
import collections, json, subprocess, sys
lines = subprocess.Popen([sys.executable, sys.argv[1], sys.argv[2]], stdout=subprocess.PIPE)
types, connections = collections.Counter(), set()
for line in lines.stdout:
    event = json.loads(line)
    types[event["type"]] += 1
    connections.add(tuple(event[name] for name in ("cookie", "saddr", "sport", "daddr", "dport")))
assert lines.wait() == 0
print(json.dumps({"types": types, "connections": len(connections)}))
"#;

/// Offset, length and number of records of each data frame.
const FRAMES: &str = r#"
import json, struct, sys
data, at, found = open(sys.argv[1], "rb").read(), 16, []
while at + 48 <= len(data):
    of, stored, records = struct.unpack_from("<xxxxBxxxI4xI", data, at)
    if of == 2:
        found.append((at, 48 + stored, records))
    at += 48 + stored
print(json.dumps(found))
"#;

/// What `info` prints of that file: the line of the file, those of event types by their names, and the others.
struct Info {
    file: Value,
    events: BTreeMap<String, Value>,
    others: Vec<Value>,
}

#[track_caller]
fn info(path: &Path, status: i32) -> Info {
    let path = path.to_str().expect("UTF-8");
    let output = Tracer::spawn(&Launch::here(), &["info", "-o", "jsonl", path]).wait_raw();
    assert_eq!(output.status.code(), Some(status), "{}", output.stderr);
    let mut lines = output.stdout.lines().map(parse);
    let file = lines.next().expect("a line");
    assert_eq!(file["type"], "recording");
    let (events, others): (Vec<_>, Vec<_>) = lines.partition(|line| line["type"] == "events");
    let events = events.into_iter().map(|line| (text(&line, "event_type").to_owned(), line));
    Info { file, events: events.collect(), others }
}

/// What the JSON lines of a file are counted by. Times have nanoseconds.
const COLUMNS: &str = "time,mono_ns,cookie,saddr,sport,daddr,dport";

/// `info` of the file has what its JSON lines add up to: events of each type, and connections.
#[track_caller]
fn check_file(path: &Path, event_types: &str) -> (BTreeMap<String, usize>, usize) {
    let info = info(path, 0);
    let name = path.to_str().expect("UTF-8");
    let args = ["events", event_types, "--fields", COLUMNS, "-o", "jsonl", "-q", "-r", name];
    let output = Tracer::spawn(&Launch::here(), &args).wait_raw();
    assert!(output.status.success(), "{}", output.stderr);
    let trace = output.trace();
    let (mut counts, mut connections) = (BTreeMap::new(), BTreeSet::new());
    for event in &trace.events {
        *counts.entry(text(event, "type").to_owned()).or_insert(0) += 1;
        let identity = ["cookie", "saddr", "sport", "daddr", "dport"];
        connections.insert(identity.map(|of| event[of].to_string()));
    }
    let mut lost = 0;
    for (event_type, line) in &info.events {
        let records = counts.get(event_type).copied().unwrap_or(0);
        assert_eq!((&line["records"], &line["written"]), (&records.into(), &records.into()));
        // The counters are those that a replay of all of it ends with.
        let end = trace.end["event_types"].get(event_type).unwrap_or(&trace.end);
        for name in ["seen", "emitted", "filtered", "lost"] {
            assert_eq!(line["counts"][name], end[name], "{name}: {line}\n{end}");
        }
        // As many are lost at single times as in all; and what was only under way when the counters were read.
        let of_time = |line: &Value| line["lost"][event_type].as_u64().unwrap_or(0);
        let of_times: u64 = info.others.iter().map(of_time).sum();
        let counted = u64_of(&line["counts"], "lost");
        let under_way = 0..=4;
        let more = of_times.checked_sub(counted);
        assert!(
            more.is_some_and(|more| under_way.contains(&more)),
            "{event_type}: {counted}, {of_times}: {:?}",
            info.others
        );
        lost += of_times;
    }
    let file = &info.file;
    let at = |event: &&Value| u64_of(event, "mono_ns");
    let [first, last] = [trace.events.iter().min_by_key(at), trace.events.iter().max_by_key(at)]
        .map(|event| event.expect("an event")["time"].clone());
    assert_eq!((&file["first_event"], &file["last_event"]), (&first, &last), "{file}");
    assert_eq!(file["records"], trace.events.len(), "{file}");
    assert_eq!((&file["unknown_records"], &file["incomplete_bytes"]), (&0.into(), &0.into()));
    assert_eq!(file["connections"], connections.len(), "{file}");
    assert_eq!(file["ending"], "complete");
    assert_eq!(file["bytes"], std::fs::metadata(path).expect("the file").len(), "{file}");
    let is_loss = |line: &Value| line["type"] == "lost";
    assert!(info.others.iter().all(is_loss) && (lost > 0) != info.others.is_empty());
    compared(trace.events.len(), info.events.len() * 7 + 8);
    (counts, connections.len())
}

fn check(reader: &str) {
    need!(is_root(), "not root");
    let recorded = scenario().by(reader, RING);
    let event_types = if reader == "record" { "probe" } else { "all" };
    let (_dir, path) = recorded.file();
    check_file(&path, event_types);
    // Python takes long for a record. A part of the events has all types.
    let acts = ["pingpong cubic", "state", "reset_sent", "retransmit"];
    let ports = acts.iter().flat_map(|act| &scenario().act(act).expect("an act").ports);
    let ports: Vec<String> = ports.map(u16::to_string).collect();
    let part = path.with_file_name("part.tcc");
    let [from, to] = [&path, &part].map(|path| path.to_str().expect("UTF-8"));
    let args = ["convert", from, "-q", "--to", "tcc", "-w", to, "--port", &ports.join(",")];
    let converted = Tracer::spawn(&Launch::here(), &args).wait_raw();
    assert!(converted.status.success(), "{}", converted.stderr);
    let (counts, connections) = check_file(&part, event_types);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/read_tcc.py");
    let counted = python(Path::new("python3"), COUNT, &[&script, &part]);
    need!(counted.is_ok(), "no python3 here", legitimate: true);
    let counted = parse(counted.expect("checked").trim());
    assert_eq!(counted, json!({"types": counts, "connections": connections}));
}

/// A frame in the middle is damaged: `info` says where it is, how long, and that its events are missing.
#[test]
fn damage_is_shown_as_a_gap() {
    need!(is_root(), "not root");
    let recorded = scenario().by("sock", RING);
    let (_dir, path) = recorded.file();
    let frames = python(Path::new("python3"), FRAMES, &[&path]);
    need!(frames.is_ok(), "no python3 here", legitimate: true);
    let frames: Vec<(usize, usize, u64)> =
        serde_json::from_str(&frames.expect("checked")).expect("JSON");
    assert!(frames.len() >= 3, "{frames:?}");
    let whole = info(&path, 0);
    let all: u64 = frames.iter().map(|(.., records)| records).sum();
    assert_eq!(whole.file["records"], all);
    let (offset, len, records) = frames[frames.len() / 2];
    let mut bytes = std::fs::read(&path).expect("the file");
    bytes[offset + len / 2] ^= 1;
    std::fs::write(&path, bytes).expect("the file");
    let damaged = info(&path, 1);
    assert_eq!(damaged.file["records"], all - records, "{}", damaged.file);
    let gaps: Vec<_> = damaged.others.iter().filter(|line| line["type"] == "gap").collect();
    let [gap] = gaps[..] else { panic!("{gaps:?}") };
    assert_eq!(
        (&gap["offset"], &gap["bytes"], &gap["frames"]),
        (&offset.into(), &len.into(), &1.into()),
        "{gap}"
    );
    let written = |info: &Info| -> u64 {
        info.events.values().filter_map(|line| line["written"].as_u64()).sum()
    };
    assert_eq!(written(&damaged), all, "what was written is known all the same");
    compared(frames.len(), 5);
}

#[test]
fn counts_of_a_recording_by_sock() {
    check("sock");
}

#[test]
fn counts_of_a_recording_by_raw() {
    check("raw");
}

#[test]
fn counts_of_a_recording_by_record() {
    check("record");
}
