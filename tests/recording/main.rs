//! Recordings of known records: what commands print of them, what another reader makes of them, and files of earlier versions.

mod convert;
mod kernels;
mod machines;
mod options;
#[path = "../golden/records.rs"]
mod records;
mod times;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use records::{CODE, REASON, records};
use serde_json::{Value, json};
use tcc_trace::accounting::Counts;
use tcc_trace::environment::{ClockReading, Environment};
use tcc_trace::events::ca::{Bits, Layouts};
use tcc_trace::events::fields::{FieldGroups, RecordLayout};
use tcc_trace::events::{EVENT_TYPES, EventType, Types, ca_mainline};
use tcc_trace::recording::codec::ByteOrder;
use tcc_trace::recording::header::{
    AccountingFrame, Additions, ClockSample, Header, NetworkNamespace,
};
use tcc_trace::recording::schema::shapes;
use tcc_trace::recording::writer::Writer;

/// The format of today. A change of the format makes a new file, and keeps the ones before.
const VERSION: &str = "v1.1";
/// From CLOCK_MONOTONIC to the wall clock, at first and later.
const OFFSETS_NS: [i64; 2] = [1_700_000_000_000_000_000, 1_700_000_001_000_000_000];

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings").join(name)
}

/// A directory that is removed.
struct TempDir(PathBuf);

impl TempDir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("tcc-recording-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        TempDir(dir)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn environment() -> Environment {
    let mut words = 0;
    let layouts = Layouts::new(|algorithm, member| {
        ca_mainline::locate(algorithm.type_name, member).or_else(|| {
            words += 1;
            Some(Bits { offset: words * 32, size: 32 })
        })
    });
    let types = Types {
        layouts,
        reset_reasons: [(REASON.into(), "NO_SOCKET".to_owned())].into(),
        drop_reasons: [(REASON.into(), "NETFILTER_DROP".to_owned())].into(),
        ..Types::default()
    };
    Environment {
        host: "recorder".into(),
        kernel: "6.18.0".into(),
        clock: ClockReading { start_ns: 5_000_000_000_000, wall_offset_ns: OFFSETS_NS[0] },
        layout: RecordLayout::new(FieldGroups::ALL),
        types,
        ..Environment::default()
    }
}

/// The records of all event types, as far as they are of the recorded length, by time.
fn all_records() -> Vec<(&'static EventType, Vec<u8>)> {
    let mut all = Vec::new();
    for event_type in EVENT_TYPES {
        for mut record in records(event_type) {
            if event_type.is_probe() && record.len() != event_type.record.longest {
                continue;
            }
            let time = 5_000_200_000_000 + 1_000_001 * all.len() as u64;
            record[..8].copy_from_slice(&time.to_ne_bytes());
            all.push((event_type, record));
        }
    }
    all
}

/// Writes them to a file, as if they were all that was seen.
fn write(path: &Path, of: &[(&'static EventType, Vec<u8>)], boot_id: &str) {
    write_of(path, of, boot_id, |_| {});
}

/// With another header.
fn write_of(
    path: &Path,
    of: &[(&'static EventType, Vec<u8>)],
    boot_id: &str,
    change: impl Fn(&mut Header),
) {
    let environment = environment();
    let event_types: Vec<&'static EventType> = EVENT_TYPES.iter().collect();
    let mut header = Header {
        program: concat!("tcc-trace ", env!("CARGO_PKG_VERSION")).into(),
        recording: "a6b1f0de-0000-4000-8000-000000000001".into(),
        boot_id: boot_id.into(),
        commit: Some("0123456789ab".into()),
        hz: 250,
        network_namespaces: vec![NetworkNamespace { inode: 10103, name: "blue".into() }],
        byte_order: ByteOrder::NATIVE,
        shapes: shapes(&event_types, &environment),
        environment,
        ..Header::default()
    };
    change(&mut header);
    let (order, shapes) = (header.byte_order, header.shapes.clone());
    if boot_id.starts_with("sekret") {
        header.environment.host = "sekret-host".into();
        header.command_line = vec!["sekret-command".into(), "/sekret/path".into()];
        header.config = json!({"where": "raddr == 203.0.113.64"});
    }
    let mut writer = Writer::new(File::create(path).unwrap(), order).unwrap();
    writer.begin(&header).unwrap();
    let symbols = vec![(CODE, "tcp_drop".to_owned()), (CODE + 0x1000, String::new())];
    writer.additions(1, &Additions { symbols, layouts: None }).unwrap();
    let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
    for (index, (event_type, record)) in of.iter().enumerate() {
        if index == of.len() / 2 {
            writer.cut().unwrap();
            let after_ns = u64::from_ne_bytes(record[..8].try_into().unwrap()) - 1;
            writer.clock(&[ClockSample { after_ns, wall_offset_ns: OFFSETS_NS[1] }]).unwrap();
        }
        let record = machines::in_order(record, &shapes, order);
        writer.record(event_type.number.into(), &record).unwrap();
        let counts = counts.entry(event_type.name.to_owned()).or_default();
        counts.seen += 1;
        counts.emitted += 1;
    }
    let lost = counts.entry("drop".to_owned()).or_default();
    lost.seen += 5;
    lost.lost += 5;
    let accounting = AccountingFrame {
        duration_ns: 1_000_000_000,
        from_ns: 5_000_000_000_000,
        to_ns: 5_001_000_000_000,
        lost: [("drop".to_owned(), 5)].into(),
        event_types: counts,
        ..AccountingFrame::default()
    };
    writer.accounting(&accounting).unwrap();
    writer.end(5_001_000_000_001, None).unwrap();
}

fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tcc-trace")).args(args).output().expect("it runs")
}

/// What it prints, without an error.
fn printed(args: &[&str], files: &[&Path]) -> String {
    let reads = files.iter().flat_map(|file| [OsStr::new("-r"), file.as_os_str()]);
    let output = run(args.iter().map(OsStr::new).chain(reads));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The events, without the counters, and what was lost between them.
fn events(text: &str) -> Vec<Value> {
    let mut events = lines(text);
    assert_eq!(events.pop().expect("an end")["type"], "end");
    events.retain(|event| event["type"] != "notice");
    events
}

/// Members of objects as `object.member`.
fn cells(event: &Value) -> BTreeMap<String, Value> {
    let mut cells = BTreeMap::new();
    for (name, value) in event.as_object().expect("an object") {
        match value.as_object() {
            Some(inner) => cells.extend(
                inner.iter().map(|(leaf, value)| (format!("{name}.{leaf}"), value.clone())),
            ),
            None => drop(cells.insert(name.clone(), value.clone())),
        }
    }
    cells
}

/// Files of every version of the format have the values that they had.
#[test]
fn earlier_files_are_read() {
    if std::env::var_os("UPDATE").is_some() && !path(&format!("{VERSION}.tcc")).exists() {
        fs::create_dir_all(path("")).unwrap();
        write(&path(&format!("{VERSION}.tcc")), &all_records(), "boot-1");
        let text = printed(
            &["events", "all", "-a", "-q", "-o", "jsonl"],
            &[&path(&format!("{VERSION}.tcc"))],
        );
        fs::write(path(&format!("{VERSION}.jsonl")), text).unwrap();
    }
    let mut found = 0;
    for entry in fs::read_dir(path("")).expect("tests/recordings") {
        let file = entry.unwrap().path();
        if file.extension() != Some(OsStr::new("tcc")) {
            continue;
        }
        found += 1;
        let known = events(&fs::read_to_string(file.with_extension("jsonl")).unwrap());
        let now = events(&printed(&["events", "all", "-a", "-q", "-o", "jsonl"], &[&file]));
        assert_eq!(now.len(), known.len(), "{}", file.display());
        for (known, now) in known.iter().zip(&now) {
            // There may be new fields.
            let now = cells(now);
            for (name, value) in cells(known) {
                assert_eq!(now.get(&name), Some(&value), "{}: {name}", file.display());
            }
        }
    }
    assert!(found > 0, "no recordings: UPDATE=1 cargo test --test recording");
}

/// Each record has the values that it has without a recording.
#[test]
fn every_event_type_comes_back() {
    let dir = TempDir::new("all");
    let (file, all) = (dir.file("all.tcc"), all_records());
    write(&file, &all, "boot-1");
    let printed = events(&printed(&["events", "all", "-a", "-q", "-o", "jsonl"], &[&file]));
    assert_eq!(printed.len(), all.len());
    for (event, (event_type, record)) in printed.iter().zip(&all) {
        assert_eq!(event["type"], event_type.name);
        assert_eq!(event["mono_ns"], u64::from_ne_bytes(record[..8].try_into().unwrap()));
    }
    let of = |name: &str| printed.iter().find(|event| event["type"] == name).unwrap();
    assert_eq!(of("drop")["location"], "tcp_drop+0x1a");
    assert_eq!(of("drop")["reason"], "NETFILTER_DROP");
    assert_eq!(of("probe")["time"], "2023-11-14T23:36:40.200000000Z");
    // The clock was set by a second in between.
    assert_eq!(printed.last().unwrap()["time"].as_str().unwrap()[..19], *"2023-11-14T23:36:41");
}

/// `examples/read_tcc.py` has the same values as tcc-trace.
#[test]
fn another_reader_has_the_same_values() {
    let dir = TempDir::new("python");
    let file = dir.file("all.tcc");
    write(&file, &all_records(), "boot-1");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/read_tcc.py");
    let output = match Command::new("python3").arg(script).arg(&file).output() {
        Ok(output) => output,
        Err(error) => return eprintln!("skipped: python3: {error}"),
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    if stderr.contains("read_tcc.py needs") {
        return eprintln!("skipped: {stderr}");
    }
    assert!(output.status.success(), "{stderr}");
    let theirs = lines(&String::from_utf8(output.stdout).unwrap());
    let ours = events(&printed(&["events", "all", "-a", "-q", "-o", "jsonl"], &[&file]));
    assert_eq!(theirs.len(), ours.len());
    // With what --all-fields leaves out.
    let lives = events(&printed(&["life", "--limits", "-a", "-q", "-o", "jsonl"], &[&file]));
    let mut compared = 0;
    for (theirs, ours) in theirs.iter().zip(&ours) {
        let ours = cells(if ours["type"] == "life" { &lives[0] } else { ours });
        for (name, value) in theirs.as_object().unwrap() {
            // A group that does not apply is null as a whole.
            let ours = ours.get(name).unwrap_or(&Value::Null);
            let same = match (value.as_f64(), ours.as_f64()) {
                (Some(theirs), Some(ours)) => theirs == ours,
                _ => value == ours,
            };
            assert!(same, "{}: {name}: {value}, but {ours}", theirs["type"]);
            compared += 1;
        }
    }
    assert!(compared > 1200, "{compared} values");
}

#[test]
fn files_are_merged_by_time() {
    let dir = TempDir::new("merge");
    let all = all_records();
    let (even, odd): (Vec<_>, Vec<_>) =
        all.iter().cloned().enumerate().partition(|(index, _)| index % 2 == 0);
    let files = ["all.tcc", "even.tcc", "odd.tcc", "elsewhere.tcc"].map(|name| dir.file(name));
    let without_index = |of: Vec<(usize, _)>| of.into_iter().map(|(_, of)| of).collect::<Vec<_>>();
    let odd = without_index(odd);
    write(&files[0], &all, "boot-1");
    write(&files[1], &without_index(even), "boot-1");
    write(&files[2], &odd, "boot-1");
    write(&files[3], &odd, "boot-2");
    let times = |files: &[&Path]| -> Vec<Value> {
        let events = events(&printed(&["events", "all", "-q", "-o", "jsonl"], files));
        events.iter().map(|event| event["mono_ns"].clone()).collect()
    };
    let whole = times(&[&files[0]]);
    assert_eq!(times(&[&files[1], &files[2]]), whole);
    assert_eq!(times(&[&files[2], &files[1]]), whole);
    // By the wall clock, which the two machines set at another record.
    let merged = events(&printed(&["events", "all", "-q", "-o", "jsonl"], &[&files[1], &files[3]]));
    let wall: Vec<&str> = merged.iter().map(|event| event["time"].as_str().unwrap()).collect();
    assert!(wall.len() == whole.len() && wall.is_sorted());
}

/// Before the command, after it, and for the default one.
#[test]
fn the_file_may_come_first() {
    let dir = TempDir::new("first");
    let file = dir.file("all.tcc");
    write(&file, &all_records(), "boot-1");
    let file = file.to_str().unwrap();
    let of = |args: &str| run(args.split(' ')).stdout;
    let states = of(&format!("states -q -r {file} -o csv"));
    assert_eq!(of(&format!("-r {file} states -q -o csv")), states);
    assert_eq!(String::from_utf8(states).unwrap().lines().count(), 2);
    assert_eq!(of(&format!("-r {file} -q")), of(&format!("probe -q -r {file}")));
}

#[test]
fn a_damaged_file_is_read_around_the_damage() {
    let dir = TempDir::new("damaged");
    let (file, all) = (dir.file("all.tcc"), all_records());
    write(&file, &all, "boot-1");
    let mut bytes = fs::read(&file).unwrap();
    // The first data frame is behind the header and the symbols.
    let at = bytes.windows(5).position(|window| window == b"TCF\x01\x02").unwrap() + 100;
    bytes[at] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let path = file.to_str().unwrap();
    let output = run(["events", "all", "-q", "-o", "jsonl", "-r", path]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("damaged at byte") && stderr.contains("1 frame"), "{stderr}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(events(&text).len(), all.len() - all.len() / 2);
    let end = lines(&text).pop().unwrap();
    assert_eq!(end["lost"], (all.len() / 2 + 5) as u64, "{end}");
    assert_eq!(end["seen"], (all.len() + 5) as u64);
    // Cut off, it is no error, but a note.
    fs::write(&file, &bytes[..bytes.len() - 60]).unwrap();
    let output = run(["events", "all", "-o", "jsonl", "-r", path]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("has no end"));
}

#[test]
fn info_shows_what_is_there() {
    let dir = TempDir::new("info");
    let (file, all) = (dir.file("all.tcc"), all_records());
    write(&file, &all, "boot-1");
    let path = file.to_str().unwrap();
    let text = String::from_utf8(run(["info", path]).stdout).unwrap();
    for words in ["recorder", "6.18.0", "boot-1", "in order", "5 drop"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let found = lines(&String::from_utf8(run(["info", "-o", "jsonl", path]).stdout).unwrap());
    assert_eq!(found[0]["records"], all.len() as u64);
    assert_eq!(found[0]["start"], "2023-11-14T23:36:40.000000000Z");
    assert_eq!(found[0]["ending"], "complete");
    let cookies = all.iter().map(|(_, record)| record[8..52].to_vec());
    let connections: std::collections::BTreeSet<Vec<u8>> = cookies.collect();
    assert_eq!(found[0]["connections"], connections.len() as u64);
    for event_type in EVENT_TYPES {
        let of = all.iter().filter(|(of, _)| of.name == event_type.name).count() as u64;
        let line = found.iter().find(|line| line["event_type"] == event_type.name).unwrap();
        assert_eq!((&line["records"], &line["written"]), (&of.into(), &of.into()));
        let columns = (event_type.columns)();
        assert_eq!(line["fields"], columns.len() as u64, "{}", event_type.name);
    }
    let lost = found.iter().find(|line| line["type"] == "lost").unwrap();
    assert_eq!(lost["lost"]["drop"], 5);
    assert!(found.iter().all(|line| line["type"] != "gap"));
}
