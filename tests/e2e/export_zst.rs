//! `-o jsonl.zst`: read by zstd's own program, after the end of a trace and after a kill.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    Launch, Running, Server, TempDir, Tracer, cells, is_root, traffic, traffic_program, u64_of,
    wait_until,
};

fn has_zstd() -> bool {
    Command::new("zstd").arg("--version").output().is_ok()
}

/// The lines of a file, and whether zstd finds it whole.
fn read(path: &Path) -> (Vec<Value>, bool) {
    let output = Command::new("zstd").args(["-dcq"]).arg(path).output().expect("zstd");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let lines = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    (lines.collect(), output.status.success())
}

#[test]
fn compressed_lines_are_those_of_standard_output() {
    need!(is_root(), "not root");
    need!(has_zstd(), "no zstd");
    let dir = TempDir::new();
    let path = dir.path().join("events.jsonl.zst");
    let server = Server::start("127.0.0.1:0", None);
    let output = format!("jsonl.zst={}", path.display());
    let tracer = Tracer::start(&["-P", &server.port_text(), "-a", "-o", &output]);
    let to = server.addr.to_string();
    traffic(&["bulk", "--to", &to, "--bytes", "30000000"]);
    traffic(&["pingpong", "--to", &to, "--count", "500", "--interval", "0ms"]);
    tracer.wait_events("events", |events| events.len() > 1000);
    server.settle();
    let trace = tracer.stop();
    trace.check_account();
    let (mut lines, whole) = read(&path);
    let end = lines.pop().expect("lines");
    assert!(whole && end["type"] == "end", "{end}");
    if u64_of(&end, "late") > 0 {
        lines.sort_by_key(|event| u64_of(event, "mono_ns"));
    }
    assert_eq!(lines.len(), trace.events.len());
    for (line, event) in lines.iter().zip(&trace.events) {
        assert_eq!(cells(line), cells(event));
    }
    // The counters are those of both outputs, so each event was on the disk as it was counted.
    assert_eq!(end["outputs"], trace.end["outputs"]);
    let written = trace.end["outputs"][1]["written"].as_u64();
    assert_eq!(written, Some(trace.events.len() as u64), "{end}");
    let plain: u64 = trace.events.iter().map(|event| event.to_string().len() as u64).sum();
    let size = std::fs::metadata(&path).expect("the file").len();
    assert!(size * 4 < plain, "{size} of {plain}");
}

/// Also without traffic, nothing is held back for long.
#[test]
fn a_killed_trace_leaves_readable_lines() {
    need!(is_root(), "not root");
    need!(has_zstd(), "no zstd");
    let dir = TempDir::new();
    let path = dir.path().join("events.jsonl.zst");
    let server = Server::start("127.0.0.1:0", None);
    let to = server.addr.to_string();
    let plain = dir.path().join("events.jsonl");
    let outputs = [format!("jsonl.zst={}", path.display()), format!("jsonl={}", plain.display())];
    let args = ["-P", &server.port_text(), "-o", &outputs[0], "-o", &outputs[1]];
    let mut tracer = Tracer::spawn(&Launch::here(), &args);
    tracer.wait_ready();
    let lines = || read(&path).0.len();
    traffic(&["pingpong", "--to", &to, "--count", "300", "--interval", "1ms"]);
    server.settle();
    // The other file has each event at once.
    let all = || std::fs::read_to_string(&plain).expect("the file").lines().count();
    wait_until("all lines", || all() > 100 && lines() == all());
    let all = all();
    tracer.signal(Signal::KILL);
    wait_until("its end", || tracer.ended());
    let (events, whole) = read(&path);
    assert!(whole && events.len() >= all && all > 100, "{all}, {}", events.len());
    let text = std::fs::read_to_string(&plain).expect("the file");
    for (event, line) in events.iter().zip(text.lines()) {
        assert_eq!(event, &serde_json::from_str::<Value>(line).expect("JSON"));
    }

    // With traffic, all but the last second are there.
    let mut command = Launch::here().command(traffic_program());
    command.args(["pingpong", "--to", &to, "--seconds", "300", "--interval", "1ms"]);
    let _steady = Running::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()));
    let mut tracer = Tracer::spawn(&Launch::here(), &args);
    tracer.wait_ready();
    wait_until("lines", || lines() > 1000);
    tracer.signal(Signal::KILL);
    wait_until("its end", || tracer.ended());
    let (events, whole) = read(&path);
    assert!(whole && events.len() > 1000, "{}", events.len());
}
