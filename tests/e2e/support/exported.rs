//! One run in two formats: as JSON lines, and as another program reads it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{
    FAMILIES, Fixture, Launch, Server, TempDir, Trace, Tracer, drive, has_cc, has_tracepoint,
    traffic_in, wait_until,
};

/// The event types that a picture shows, as far as this kernel has them.
pub fn drawn() -> String {
    let all = [
        "probe",
        "retransmit",
        "cong_state",
        "drop",
        "reset_sent",
        "reset_received",
        "zero_window",
        "spurious",
    ];
    let has = |event_type: &&str| {
        ["probe", "cong_state", "zero_window", "spurious"].contains(event_type)
            || has_tracepoint(event_type)
    };
    all.into_iter().filter(has).collect::<Vec<_>>().join(",")
}

/// A run, and what it wrote beside its JSON lines: a file or a directory for each format.
pub struct Exported {
    pub trace: Trace,
    pub paths: Vec<PathBuf>,
    _dir: TempDir,
}

/// Transfers with losses under two algorithms, a window that closes, and resets; traced with all fields.
#[track_caller]
pub fn exported(formats: &[&str], event_types: &str) -> Exported {
    let dir = TempDir::new();
    let paths: Vec<PathBuf> =
        formats.iter().map(|format| dir.path().join(format!("run.{format}"))).collect();
    let mut fixture = Fixture::new();
    let outputs: Vec<String> = formats
        .iter()
        .zip(&paths)
        .map(|(format, path)| format!("-o={format}={}", path.display()))
        .collect();
    let ports = fixture.ports();
    let mut args = vec!["-a", "--time", "mono", "--port", &ports];
    args.extend(outputs.iter().map(String::as_str));
    let tracer = Tracer::events_in(&Launch::here().with_tracefs(), event_types, &args);
    // More packets, each of which may be lost.
    fixture.ns.run(&["ip", "link", "set", "lo", "gso_max_segs", "2"]);
    drive(&mut fixture, "cong_state");
    if has_cc("bbr") {
        lose_under_bbr(&mut fixture);
    }
    fixture.listen();
    for family in FAMILIES {
        fixture.connect("full", family);
        let bytes = fixture.client.fill("full");
        let probes = || fixture.ns.counters()["TCPWinProbe"];
        let before = probes();
        wait_until("a probe of the closed window", || probes() > before);
        fixture.server.receive("full", bytes);
        fixture.client.close("full");
        fixture.server.close("full");
    }
    fixture.settle();
    fixture.server.unlisten();
    drive(&mut fixture, "reset_sent");
    let trace = tracer.stop();
    trace.check_account();
    assert!(trace.events.len() > 500, "{}", trace.end);
    for at in 1..=formats.len() {
        let written = &trace.end["outputs"][at]["written"];
        assert_eq!(*written, trace.events.len(), "{}", trace.end);
    }
    Exported { trace, paths, _dir: dir }
}

/// The device has segments of an Ethernet already.
fn lose_under_bbr(fixture: &mut Fixture) {
    let port = fixture.port;
    fixture.rule(&format!("tcp dport {port} tcp flags & syn == 0 numgen random mod 100 < 2 drop"));
    let server = Server::start_in(&fixture.ns.launch(), &format!("[::]:{port}"), None);
    let to = fixture.addr(FAMILIES[0]).to_string();
    traffic_in(&fixture.ns.launch(), &["bulk", "--to", &to, "--bytes", "2000000", "--cc", "bbr"]);
    fixture.speak();
    fixture.settle();
    drop(server);
}

/// Events in the order of time, as they were printed if none was late.
pub fn in_order(trace: &Trace) -> bool {
    trace.end["late"] == 0
}

/// Runs a Python program with these arguments; its output, or why there is no Python.
pub fn python(python: &Path, program: &str, args: &[&Path]) -> Result<String, String> {
    let output = Command::new(python).arg("-c").arg(program).args(args).output();
    let output = output.map_err(|error| format!("{}: {error}", python.display()))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", python.display());
    Ok(String::from_utf8(output.stdout).expect("UTF-8"))
}

/// A file of JSON as Python's parser reads it, after `patch`: an expression of `text`.
pub fn json_by_python(path: &Path, patch: &str) -> Result<Value, String> {
    let program = format!(
        "import json, sys; text = open(sys.argv[1]).read(); print(json.dumps(json.loads({patch})))"
    );
    let text = python(Path::new("python3"), &program, &[path])?;
    Ok(serde_json::from_str(&text).expect("JSON"))
}

/// The Python that script/exports has made, with DuckDB and ClickHouse (chDB); or why there is none.
pub fn analytics() -> Result<PathBuf, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/exports/python/bin/python");
    let why = format!("no {}: run script/exports", path.display());
    path.exists().then_some(path).ok_or(why)
}
