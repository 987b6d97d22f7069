//! How recordings end: in order, by a signal that cannot be handled, on a full disk; who may write and read them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    Launch, Output, Running, Server, TempDir, Tracer, is_root, traffic, traffic_program, u64_of,
    wait_until,
};

/// Traffic for as long as its owner lives.
fn steady(server: &Server) -> Running {
    let mut command = Launch::here().command(traffic_program());
    let to = server.addr.to_string();
    command.args(["pingpong", "--to", &to, "--seconds", "300", "--interval", "0ms"]);
    Running::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()))
}

fn run(launch: &Launch, args: &[&str]) -> Output {
    Tracer::spawn(launch, args).wait_raw()
}

#[track_caller]
fn refused(args: &[&str], words: &str) {
    let output = run(&Launch::here(), args);
    assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
    assert!(output.stderr.contains(words), "{}", output.stderr);
}

/// What `info` says of the file and its event types.
#[track_caller]
fn info(file: &Path) -> Vec<Value> {
    let output = run(&Launch::here(), &["info", "-o", "jsonl", file.to_str().expect("UTF-8")]);
    assert!(output.status.success(), "{}", output.stderr);
    output.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_recording_ends_in_order() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let file = dir.path().join("run.tcc");
    let path = file.to_str().expect("UTF-8");
    let server = Server::start("127.0.0.1:0", None);
    let args = ["record", "-w", path, "-P", &server.port_text()];
    let mut recorder = Tracer::spawn(&Launch::here().with_tracefs(), &args);
    recorder.wait_ready();
    let to = server.addr.to_string();
    traffic(&["pingpong", "--to", &to, "--count", "40", "--interval", "0ms"]);
    // A second is the most that a record is held.
    wait_until("the first frame", || info(&file)[0]["records"].as_u64() > Some(40));
    let output = recorder.stop_raw();
    assert!(output.status.success() && output.stdout.is_empty(), "{}", output.stderr);
    assert!(output.stderr.contains("events in "), "{}", output.stderr);
    assert_eq!(fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o600);
    let lines = info(&file);
    assert_eq!(lines[0]["ending"], "complete");
    assert_eq!(lines[0]["command_line"][1], "record");
    for line in lines.iter().filter(|line| line["type"] == "events") {
        assert_eq!(line["records"], line["written"], "{line}");
        assert_eq!(line["counts"]["emitted"], line["records"], "{line}");
    }
    let probe = lines.iter().find(|line| line["event_type"] == "probe").expect("probe");
    assert!(u64_of(probe, "fields") > 150, "{probe}");
}

/// What was printed before is in the file, but for the frame in progress.
#[test]
fn a_tracer_that_is_killed_loses_a_frame_at_most() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let server = Server::start("127.0.0.1:0", None);
    let _traffic = steady(&server);
    for turn in 1..4 {
        let file = dir.path().join(format!("{turn}.tcc"));
        let path = file.to_str().expect("UTF-8");
        let args = ["-w", path, "-o", "jsonl", "-P", &server.port_text()];
        let mut recorder = Tracer::spawn(&Launch::here(), &args);
        recorder.wait_ready();
        recorder.wait_events("samples", |events| events.len() >= 17_000 * turn);
        recorder.signal(Signal::KILL);
        let printed = recorder.wait_raw().stdout;
        let whole = printed.rfind('\n').map_or("", |end| &printed[..end]);
        let live: Vec<&str> = whole.lines().collect();
        let replayed = run(&Launch::here(), &["-r", path, "-o", "jsonl"]);
        assert!(replayed.status.success(), "{}", replayed.stderr);
        assert!(replayed.stderr.contains("has no end"), "{}", replayed.stderr);
        let mut lines: Vec<&str> = replayed.stdout.lines().collect();
        lines.pop().expect("an end");
        let common = lines.len().min(live.len());
        assert_eq!(lines[..common], live[..common]);
        assert!(lines.len() + 16_384 >= live.len(), "{} of {}", lines.len(), live.len());
    }
}

#[test]
fn a_full_disk_ends_the_recording_with_its_reason() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let (disk, copy) = (dir.path().join("disk"), dir.path().join("copy.tcc"));
    fs::create_dir_all(&disk).expect("a directory");
    let script = format!(
        "mount -t tmpfs -o size=128k none {0} && \"$0\" \"$@\"; status=$?; cp {0}/file {1}; exit $status",
        disk.display(),
        copy.display()
    );
    let server = Server::start("127.0.0.1:0", None);
    let _traffic = steady(&server);
    let launch = Launch::here().within(&["unshare", "-m", "sh", "-c", &script]);
    let file = disk.join("file");
    let args = ["-a", "-w", file.to_str().expect("UTF-8"), "-P", &server.port_text()];
    let output = run(&launch, &args);
    assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
    let last = output.stderr.lines().last().unwrap_or_default();
    assert!(last.contains("cannot write") && last.contains("No space left"), "{last}");
    let lines = info(&copy);
    assert!(lines[0]["records"].as_u64() > Some(100), "{}", lines[0]);
    assert_eq!(lines[0]["incomplete_bytes"], 0, "{}", lines[0]);
    assert_eq!(lines[0]["ending"], "error", "{}", lines[0]);
    assert!(lines[0]["error"].as_str().is_some_and(|error| error.contains("No space")));
    let path = copy.to_str().expect("UTF-8");
    let replayed = run(&Launch::here(), &["-r", path, "-o", "jsonl"]);
    assert!(replayed.stderr.contains("ended early"), "{}", replayed.stderr);
    let events = replayed.trace().events.len() as u64;
    assert_eq!(lines[0]["records"], events);
}

#[test]
fn a_file_has_one_writer() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let file = dir.path().join("run.tcc");
    let path = file.to_str().expect("UTF-8");
    let mut recorder = Tracer::spawn(&Launch::here(), &["-w", path, "-P", "1"]);
    recorder.wait_ready();
    refused(&["-w", path, "-P", "1"], "another tcc-trace is writing it");
    refused(&["-w", path, "-P", "1", "--force"], "another tcc-trace is writing it");
    recorder.stop_raw();
    let before = fs::read(&file).expect("the file");
    refused(&["-w", path, "-P", "1"], "overwrite it with --force");
    assert_eq!(fs::read(&file).expect("the file"), before);
    let overwritten = run(&Launch::here(), &["-w", path, "-P", "1", "--force", "-d", "10ms"]);
    assert!(overwritten.status.success(), "{}", overwritten.stderr);
    assert_ne!(fs::read(&file).expect("the file"), before);
    refused(&["-w", "/dev/null", "-P", "1"], "regular file");
    // A trace that does not start leaves no file.
    let none = dir.path().join("none.tcc");
    refused(&["-w", none.to_str().expect("UTF-8"), "-o", "csv=/no/dir/a.csv"], "/no/dir");
    assert!(!none.exists());
}

/// Without any rights, and where there is no tracefs, BTF or BPF.
#[test]
fn anybody_reads_a_recording() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let file = dir.path().join("run.tcc");
    let path = file.to_str().expect("UTF-8");
    let server = Server::start("127.0.0.1:0", None);
    let args = ["-a", "-w", path, "-o", "jsonl", "-P", &server.port_text()];
    let mut recorder = Tracer::spawn(&Launch::here(), &args);
    recorder.wait_ready();
    let to = server.addr.to_string();
    traffic(&["pingpong", "--to", &to, "--count", "20", "--interval", "0ms"]);
    recorder.wait_events("samples", |events| events.len() >= 20);
    let live = recorder.stop();
    let nobody = Launch::here().within(&[
        "setpriv",
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
    ]);
    let denied = run(&nobody, &["-r", path]);
    assert_eq!(denied.status.code(), Some(1), "{}", denied.stderr);
    assert!(denied.stderr.contains("Permission denied"), "{}", denied.stderr);
    for shared in [dir.path(), &file] {
        fs::set_permissions(shared, fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    let read = run(&nobody, &["-a", "-r", path, "-o", "jsonl"]);
    assert_eq!(read.trace().events, live.events);
    assert!(run(&nobody, &["info", path]).status.success());
    let script = "mount -t tmpfs none /sys && exec \"$0\" \"$@\"";
    let bare = Launch::here().within(&["unshare", "-m", "sh", "-c", script]);
    assert_eq!(run(&bare, &["-a", "-r", path, "-o", "jsonl"]).trace().events, live.events);
}
