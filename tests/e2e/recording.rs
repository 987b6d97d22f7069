//! A recording has the events of the trace that made it: what is read from it later is what was printed live.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{
    Fixture, Launch, Output, Server, TempDir, Trace, Tracer, cells, drive, has_tracepoint, is_root,
    text, traffic, u64_of, wait_until,
};

fn here() -> Launch {
    Launch::here().with_tracefs()
}

/// A run that reads files.
#[track_caller]
fn read(args: &[&str], files: &[&Path]) -> Output {
    let mut args: Vec<&str> = args.to_vec();
    for file in files {
        args.extend(["-r", file.to_str().expect("UTF-8")]);
    }
    Tracer::spawn(&Launch::here(), &args).wait_raw()
}

/// The lines of events, without the counters at the end.
#[track_caller]
pub fn event_lines(output: &str) -> Vec<&str> {
    let others = ["{\"type\":\"stats\"", "{\"type\":\"notice\""];
    let is_event = |line: &&str| !others.iter().any(|start| line.starts_with(start));
    let mut lines: Vec<&str> = output.lines().filter(is_event).collect();
    let end = lines.pop().expect("an end");
    assert!(end.starts_with("{\"type\":\"end\""), "{end}");
    lines
}

/// The same lines, in the same order; of the first difference both.
#[track_caller]
pub fn assert_same(live: &[&str], replayed: &[&str]) {
    let differs = live.iter().zip(replayed).find(|(live, replayed)| live != replayed);
    assert!(differs.is_none(), "{differs:#?}");
    assert_eq!(live.len(), replayed.len());
}

/// Prints and records all that a connection of each sort does.
#[track_caller]
fn record_all(dir: &TempDir, drives: &[&str], args: &[&str]) -> (Output, PathBuf) {
    let mut fixture = Fixture::new();
    let (ports, file) = (fixture.ports(), dir.path().join("run.tcc"));
    let path = file.to_str().expect("UTF-8");
    let own = ["-o", "jsonl", "-w", path, "--force", "--port", &ports];
    let mut tracer = Tracer::spawn(&here(), &[args, &own].concat());
    tracer.wait_ready();
    // Losses and refusals happen also where no tracepoint tells of recovery states and errors.
    let can = |event_type: &&&str| {
        ["cong_state", "error"].contains(*event_type) || has_tracepoint(event_type)
    };
    for event_type in drives.iter().filter(can) {
        drive(&mut fixture, event_type);
        // These have done it.
        if !["state", "cong_state"].contains(event_type) {
            fixture.server.unlisten();
        }
    }
    let output = tracer.stop_raw();
    assert!(output.status.success(), "{}", output.stderr);
    (output, file)
}

#[test]
fn samples_by_record() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    for transport in ["auto", "perfbuf"] {
        let args = ["probe", "--reader", "record", "--transport", transport];
        let (live, file) = record_all(&dir, &["rcv_space"], &args);
        let replayed = read(&["-o", "jsonl"], &[&file]);
        let lines = event_lines(&live.stdout);
        assert!(lines.len() > 20, "{}", lines.len());
        assert_same(&lines, &event_lines(&replayed.stdout));
    }
}

/// With some field groups, in every format and with every clock.
#[test]
fn formats_are_those_of_the_trace() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let args = ["probe", "--fields", "time,mono_ns,cookie,dport,snd_cwnd,rttvar_us,ca_name,bbr"];
    let (live, file) = record_all(&dir, &["rcv_space"], &args);
    let lines = event_lines(&live.stdout);
    let replayed = read(&[&args[..], &["-o", "jsonl"]].concat(), &[&file]);
    assert_same(&lines, &event_lines(&replayed.stdout));
    // What was not recorded is null, and a note says so.
    let absent = read(&["--fields", "mono_ns,wmem_queued", "-o", "jsonl"], &[&file]);
    assert!(absent.stderr.contains("do not have them: wmem_queued"), "{}", absent.stderr);
    let absent = absent.trace();
    assert_eq!(absent.events.len(), lines.len());
    assert!(absent.events.iter().all(|event| event["wmem_queued"].is_null()));
    for format in ["csv", "text"] {
        let output = read(&["-o", format, "-q"], &[&file]).stdout;
        assert!(output.lines().count() > lines.len(), "{output}");
    }
    let relative = read(&["--time", "rel", "-o", "jsonl"], &[&file]).trace();
    let times = relative.events.iter().filter_map(|event| event["time"].as_f64());
    let times: Vec<f64> = times.collect();
    assert!(times.len() == lines.len() && times.is_sorted() && times[0] >= 0.0);
}

/// What two tracers see of the same events, but for the clocks that each of them reads.
fn comparable(events: &[Value]) -> Vec<String> {
    let own = ["time", "mono_ns", "pid", "comm"];
    let line = |event: &Value| {
        let mut cells = cells(event);
        cells.retain(|name, _| !own.contains(&name.as_str()) && !name.ends_with("_us"));
        format!("{cells:?}")
    };
    let mut lines: Vec<String> = events.iter().map(line).collect();
    lines.sort();
    lines
}

/// Options give the same events later as they do live.
#[test]
fn filters_and_conditions_are_those_of_a_trace() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let file = dir.path().join("all.tcc");
    let mut fixture = Fixture::new();
    let ports = fixture.ports();
    let types = "state,retransmit,reset_sent,reset_received,life,connect,accept";
    let client = fixture.client.pid.to_string();
    let closed = fixture.closed.to_string();
    let filters: [&[&str]; 8] = [
        &["-L", &ports],
        &["-R", &closed],
        &["-6"],
        &["--laddr", "127.0.0.0/8"],
        &["--pid", &client],
        &["--where", "type == \"state\" && new_state == \"ESTABLISHED\" && snd_cwnd >= 10"],
        &["--where", "packets_out > 0 || type == \"life\""],
        &["--uid", "0", "--where", "saddr in 127.0.0.0/8 && !(sport == 80)"],
    ];
    let common = ["events", types, "-a", "-o", "jsonl"];
    let path = file.to_str().expect("UTF-8");
    let start = |more: &[&str]| {
        let mut tracer = Tracer::spawn(&here(), &[&common[..], &["-P", &ports], more].concat());
        tracer.wait_ready();
        tracer
    };
    let recorder = start(&["-w", path]);
    let tracers: Vec<Tracer> = filters.iter().map(|filter| start(filter)).collect();
    drive(&mut fixture, "reset_sent");
    fixture.server.unlisten();
    drive(&mut fixture, "state");
    let recorded = recorder.stop();
    assert!(recorded.events.len() > 50, "{}", recorded.events.len());
    for (tracer, filter) in tracers.into_iter().zip(filters) {
        let live = tracer.stop();
        let replayed = read(&[&common[..], filter].concat(), &[&file]).trace();
        assert_eq!(comparable(&replayed.events), comparable(&live.events), "{filter:?}");
        assert!(live.events.len() < recorded.events.len(), "{filter:?} rejects none");
    }
}

/// Each command shows what it would have shown.
#[test]
fn commands_read_recordings() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let drives = ["state", "retransmit", "reset_sent"];
    let (live, file) = record_all(&dir, &drives, &["events", "all", "-a"]);
    let all = live.trace();
    let of = |types: &[&str]| {
        all.events.iter().filter(|event| types.contains(&text(event, "type"))).count()
    };
    for (command, types) in [
        (&["probe"][..], &["probe"][..]),
        (&["states"], &["state"]),
        (&["life"], &["life"]),
        (&["connect"], &["connect"]),
        (&["accept"], &["accept"]),
        (&["connlat"], &["connect", "accept"]),
        (&["retrans"], &["retransmit", "synack_retransmit"]),
        (&["reset"], &["reset_sent", "reset_received"]),
        (&["cong"], &["cong_state"]),
        (&["drop"], &["drop"]),
        (&["queue"], &["queue"]),
    ] {
        if of(types) == 0 {
            continue;
        }
        let trace = read(&[command, &["-o", "jsonl", "-q"]].concat(), &[&file]).trace();
        assert_eq!(trace.events.len(), of(types), "{command:?}");
        trace.check_account();
        let shown = read(command, &[&file]);
        assert!(shown.status.success() && shown.stdout.lines().count() > of(types), "{command:?}");
    }
    let failed = read(&["connect", "--failed", "-o", "jsonl"], &[&file]).trace();
    let live_failed = all
        .events
        .iter()
        .filter(|event| event["type"] == "connect" && event["outcome"] != "established");
    assert_eq!(failed.events.len(), live_failed.count());
}

/// While it is written, and until its tracer ends.
#[test]
fn a_file_is_followed() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let file = dir.path().join("run.tcc");
    let path = file.to_str().expect("UTF-8");
    let server = Server::start("127.0.0.1:0", None);
    let mut recorder =
        Tracer::spawn(&here(), &["-w", path, "-o", "jsonl", "-P", &server.port_text()]);
    recorder.wait_ready();
    wait_until("a header", || std::fs::metadata(&file).is_ok_and(|file| file.len() > 0));
    let mut tail = Tracer::spawn(&Launch::here(), &["-r", path, "--tail", "-o", "jsonl"]);
    tail.wait_for_line("tcc-trace: reading");
    let to = server.addr.to_string();
    for turn in 1..3 {
        traffic(&["pingpong", "--to", &to, "--count", "20", "--interval", "0ms"]);
        recorder.wait_events("samples", |events| events.len() >= 20 * turn);
        let recorded = recorder.events().len();
        tail.wait_events("the same samples", |events| events.len() >= recorded);
        assert!(!tail.ended());
    }
    let live = recorder.stop_raw();
    let followed = tail.wait_raw();
    assert!(followed.status.success(), "{}", followed.stderr);
    assert_same(&event_lines(&live.stdout), &event_lines(&followed.stdout));
    assert!(!followed.stderr.contains("has no end"), "{}", followed.stderr);
}

/// Both ends, each recorded by itself.
#[test]
fn several_files_are_one_stream() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let mut fixture = Fixture::new();
    let port = fixture.port.to_string();
    let files = ["client.tcc", "server.tcc"].map(|name| dir.path().join(name));
    let start = |file: &Path, side: &str| {
        let path = file.to_str().expect("UTF-8");
        let args = ["events", "state,probe", "-w", path, "-o", "jsonl", side, &port];
        let mut tracer = Tracer::spawn(&here(), &args);
        tracer.wait_ready();
        tracer
    };
    let (client, server) = (start(&files[0], "-R"), start(&files[1], "-L"));
    drive(&mut fixture, "state");
    let (client, server) = (client.stop(), server.stop());
    let merged = read(&["events", "state,probe", "-o", "jsonl"], &[&files[0], &files[1]]).trace();
    merged.check_account();
    let times: Vec<u64> = merged.events.iter().map(|event| u64_of(event, "mono_ns")).collect();
    assert!(times.is_sorted() && !client.events.is_empty() && !server.events.is_empty());
    let sorted = |events: &[Value]| {
        let mut lines: Vec<String> = events.iter().map(Value::to_string).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&merged.events), sorted(&[client.events, server.events].concat()));
}

/// The rows of summaries, without their times.
fn rows(trace: &Trace) -> Vec<Value> {
    let mut rows: Vec<Value> = trace.events.clone();
    for row in &mut rows {
        let row = row.as_object_mut().expect("a row");
        row.remove("time");
        row.remove("interval_ns");
    }
    rows.sort_by_key(Value::to_string);
    rows
}

/// What the programs have counted is what is counted from the events of the same trace.
#[test]
fn summaries_are_those_of_the_programs() {
    need!(is_root(), "not root");
    for (drive_of, args) in [
        ("cong_state", &["rtt", "--by", "conn"][..]),
        ("cong_state", &["rtt", "--by", "cc", "--field", "rttvar_us", "-a"]),
        (
            "cong_state",
            &["rtt", "--by", "lport,raddr", "--prefix", "8", "--field", "min_rtt_us", "-a"],
        ),
        ("cong_state", &["retrans", "--by", "conn"]),
        ("cong_state", &["retrans", "--by", "lport"]),
        ("error", &["connlat", "--histogram"]),
        ("state", &["connlat", "--by", "rport,netns"]),
    ] {
        let dir = TempDir::new();
        let (live, file) = record_all(&dir, &[drive_of], args);
        let live = live.trace();
        let args: Vec<&str> = args.iter().copied().filter(|arg| *arg != "-a").collect();
        let replayed = read(&[&args[..], &["-o", "jsonl"]].concat(), &[&file]).trace();
        assert!(!live.events.is_empty(), "{args:?}");
        assert_eq!(rows(&replayed), rows(&live), "{args:?}");
    }
}
