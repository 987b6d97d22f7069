//! Several outputs at once: equal values in each, and what becomes of the others when one cannot be written.

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;

use crate::support::{
    Launch, Output, Running, Server, TempDir, Tracer, cells, is_root, tcc_trace, traffic,
    traffic_program, u64_of, wait_until,
};

const FIELDS: &str = "mono_ns,cookie,sport,snd_cwnd,srtt_us,ca_name,bbr.bw";

/// Traffic for as long as its owner lives.
fn steady(server: &Server) -> Running {
    let mut command = Launch::here().command(traffic_program());
    let to = server.addr.to_string();
    command.args(["pingpong", "--to", &to, "--seconds", "300", "--interval", "1ms"]);
    Running::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()))
}

fn run(launch: &Launch, server: &Server, args: &[&str]) -> Output {
    Tracer::spawn(launch, &[&["-P", &server.port_text()], args].concat()).wait_raw()
}

fn at(path: &Path, format: &str) -> String {
    format!("{format}={}", path.display())
}

fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a FIFO");
}

/// The counters of the outputs, which add up.
#[track_caller]
fn accounts(end: &Value) -> &[Value] {
    let outputs = end["outputs"].as_array().unwrap_or_else(|| panic!("{end}"));
    for output in outputs {
        let parts = ["written", "malformed", "late_lost"].map(|part| u64_of(output, part));
        assert_eq!(u64_of(output, "received"), parts.iter().sum::<u64>(), "{output}");
    }
    outputs
}

/// As CSV has it.
fn plain(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[test]
fn all_outputs_have_the_same_events() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let [csv, text] = ["events.csv", "events.txt"].map(|name| dir.path().join(name));
    let server = Server::start("127.0.0.1:0", None);
    let port = server.port_text();
    let outputs = [at(&csv, "csv"), at(&text, "text")];
    let args = ["-P", &port, "--fields", FIELDS, "-o", &outputs[0], "-o", &outputs[1]];
    let tracer = Tracer::start(&args);
    let to = server.addr.to_string();
    traffic(&["pingpong", "--to", &to, "--count", "40", "--interval", "0ms"]);
    traffic(&["bulk", "--to", &to, "--bytes", "300000"]);
    tracer.wait_events("events", |events| events.len() > 60);
    let trace = tracer.stop();
    trace.check_account();

    let expected: Vec<Vec<String>> = trace
        .events
        .iter()
        .map(cells)
        .map(|cells| FIELDS.split(',').map(|name| plain(cells.get(name))).collect())
        .collect();
    let mut reader = csv::Reader::from_path(&csv).expect("a table");
    let rows = reader.records().map(|row| row.expect("of that width"));
    let mut found: Vec<Vec<String>> =
        rows.map(|row| row.iter().skip(1).map(str::to_owned).collect()).collect();
    let by_time = |rows: &mut Vec<Vec<String>>| rows.sort_by_key(|row| row[0].parse::<u64>().ok());
    by_time(&mut found);
    assert_eq!(found, expected);
    let lines = fs::read_to_string(&text).expect("text");
    let cell = |cell: &str| if cell == "-" { String::new() } else { cell.to_owned() };
    let rows = lines.lines().skip(2).map(|line| line.split_whitespace().map(cell).collect());
    let mut found: Vec<Vec<String>> = rows.collect();
    by_time(&mut found);
    assert_eq!(found, expected);

    let printed = trace.events.len() as u64;
    let [first, second, third] = accounts(&trace.end) else { panic!("{}", trace.end) };
    for (output, format, path) in [
        (first, "jsonl", Value::Null),
        (second, "csv", csv.to_str().into()),
        (third, "text", text.to_str().into()),
    ] {
        assert_eq!((&output["format"], &output["path"]), (&format.into(), &path));
        assert_eq!((u64_of(output, "written"), &output["error"]), (printed, &Value::Null));
    }
    let line =
        format!("tcc-trace: csv to {}: {printed} received = {printed} written", csv.display());
    assert!(trace.stderr.lines().any(|found| found == line), "{}", trace.stderr);
}

/// Runs with that output on a disk of 64 KiB, and copies the file from it.
fn on_a_small_disk(dir: &TempDir, server: &Server, args: &[&str]) -> (Output, Vec<u8>) {
    let (disk, copy) = (dir.path().join("disk"), dir.path().join("copy"));
    fs::create_dir_all(&disk).expect("a directory");
    let script = format!(
        "mount -t tmpfs -o size=64k none {0} && \"$0\" \"$@\"; status=$?; cp {0}/file {1}; exit $status",
        disk.display(),
        copy.display()
    );
    let launch = Launch::here().within(&["unshare", "-m", "sh", "-c", &script]);
    let output = at(&disk.join("file"), "csv");
    let output = run(&launch, server, &[&["-o", &output], args].concat());
    (output, fs::read(&copy).expect("the file"))
}

#[test]
fn a_full_disk_ends_one_of_two_outputs() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let server = Server::start("127.0.0.1:0", None);
    let _traffic = steady(&server);
    let (output, file) = on_a_small_disk(&dir, &server, &["-o", "jsonl", "-c", "2000"]);
    let trace = output.trace();
    trace.check_account();
    assert_eq!(trace.events.len(), 2000);
    let warnings: Vec<&str> =
        trace.stderr.lines().filter(|line| line.contains("cannot write")).collect();
    let [warning] = &warnings[..] else { panic!("{}", trace.stderr) };
    assert!(
        warning.contains("/disk/file: No space left") && warning.ends_with("; this output ends")
    );
    let [full, stdout] = accounts(&trace.end) else { panic!("{}", trace.end) };
    assert!(full["error"].as_str().is_some_and(|error| error.contains("No space")), "{full}");
    assert_eq!((u64_of(stdout, "written"), &stdout["error"]), (2000, &Value::Null));
    // Its title is not an event, nor is a part of a line.
    let lines = file.iter().filter(|&&byte| byte == b'\n').count() as u64 - 1;
    assert_eq!((u64_of(full, "written"), u64_of(full, "received")), (lines, 2000));
    assert!(lines > 100 && lines < 2000, "{lines}");
    assert_eq!(u64_of(full, "late_lost"), 2000 - lines);
}

#[test]
fn with_strict_output_a_full_disk_ends_the_trace() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let server = Server::start("127.0.0.1:0", None);
    let _traffic = steady(&server);
    let (output, _) = on_a_small_disk(&dir, &server, &["-o", "jsonl", "--strict-output"]);
    assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
    let last = output.stderr.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("tcc-trace: cannot write ") && last.contains("No space left"),
        "{last}"
    );
    assert_eq!(output.stderr.matches("cannot write").count(), 1, "{}", output.stderr);
    let trace = output.counts();
    trace.check_account();
    assert_eq!(u64_of(&accounts(&trace.end)[1], "written"), trace.events.len() as u64);
}

/// Reads that many lines of a FIFO, and closes it.
fn read_lines(path: PathBuf, lines: usize) -> std::thread::JoinHandle<usize> {
    std::thread::spawn(move || {
        let fifo = BufReader::new(File::open(path).expect("the FIFO"));
        fifo.lines().map_while(Result::ok).take(lines).count()
    })
}

#[test]
fn a_reader_that_goes_away_ends_its_output() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let server = Server::start("127.0.0.1:0", None);
    let _traffic = steady(&server);
    let path = dir.path().join("fifo");
    fifo(&path);
    let output = at(&path, "jsonl");

    let reader = read_lines(path.clone(), 5);
    let trace =
        run(&Launch::here(), &server, &["-o", "jsonl", "-o", &output, "-c", "1000"]).trace();
    assert_eq!(reader.join().expect("no panic"), 5);
    trace.check_account();
    assert_eq!(trace.events.len(), 1000);
    let warnings = trace.stderr.lines().filter(|line| line.contains("/fifo: Broken pipe"));
    assert_eq!(warnings.count(), 1, "{}", trace.stderr);
    let [stdout, fifo] = accounts(&trace.end) else { panic!("{}", trace.end) };
    assert!(u64_of(stdout, "written") == 1000 && u64_of(fifo, "late_lost") > 0, "{}", trace.end);

    // Of a strict trace it is an error.
    let reader = read_lines(path.clone(), 5);
    let strict = ["-o", "jsonl", "-o", &output, "--strict-output"];
    let strict = run(&Launch::here(), &server, &strict);
    assert_eq!(reader.join().expect("no panic"), 5);
    assert_eq!(strict.status.code(), Some(1), "{}", strict.stderr);
    assert!(strict.stderr.contains("/fifo: Broken pipe"), "{}", strict.stderr);

    // As the only output it ends the trace, as `| head` does.
    let mut alone =
        Tracer::spawn(&Launch::here(), &["-q", "-P", &server.port_text(), "-o", &output]);
    let reader = read_lines(path, 5);
    wait_until("its end", || alone.ended());
    let alone = alone.wait_raw();
    assert_eq!(reader.join().expect("no panic"), 5);
    assert_eq!((alone.status.code(), alone.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_fifo_is_waited_for_and_a_signal_ends_the_wait() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let path = dir.path().join("fifo");
    fifo(&path);
    let output = at(&path, "jsonl");
    let mut tracer = Tracer::spawn(&Launch::here(), &["-P", "1", "-o", &output]);
    tracer.wait_for_line("tcc-trace: note: waiting for a reader of ");
    let mut reader = File::open(&path).expect("the FIFO");
    tracer.wait_ready();
    let stopped = tracer.stop_raw();
    assert!(stopped.status.success(), "{}", stopped.stderr);
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("JSON");
    assert!(text.lines().count() == 1 && text.contains("\"type\":\"end\""), "{text}");

    drop(reader);
    let mut tracer = Tracer::spawn(&Launch::here(), &["-P", "1", "-o", &output]);
    tracer.wait_for_line("tcc-trace: note: waiting for a reader of ");
    let stopped = tracer.stop_raw();
    assert_eq!(stopped.status.code(), Some(1), "{}", stopped.stderr);
}

/// Beside `| head`, a file has all events to the end.
#[test]
fn a_closed_standard_output_ends_the_trace_quietly() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let server = Server::start("127.0.0.1:0", None);
    let _traffic = steady(&server);
    let path = dir.path().join("file");
    let mut command = Launch::here().command(tcc_trace());
    command.args(["-q", "-P", &server.port_text(), "-o", "text", "-o", &at(&path, "jsonl")]);
    let mut tracer = Running::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()));
    let mut pipe = BufReader::new(tracer.child().stdout.take().expect("piped"));
    pipe.read_line(&mut String::new()).expect("a line");
    drop(pipe);
    let (status, stderr) = tracer.wait();
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
    let text = fs::read_to_string(&path).expect("the file");
    let end: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
    let [_, file] = accounts(&end) else { panic!("{end}") };
    let events = text.lines().count() as u64 - 1;
    assert_eq!((u64_of(file, "written"), u64_of(&end, "emitted")), (events, events));
}

#[test]
fn files_are_as_those_of_other_tools() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let [new, old, link, hard] = ["new", "old", "link", "hard"].map(|name| dir.path().join(name));
    fs::write(&old, "x".repeat(100_000)).expect("a file");
    fs::set_permissions(&old, Permissions::from_mode(0o644)).expect("a mode");
    symlink(&old, &link).expect("a link");
    fs::hard_link(&old, &hard).expect("a link");
    let trace = |args: &[&str]| {
        Tracer::spawn(&Launch::here(), &[&["-P", "1", "-d", "10ms"], args].concat()).wait_raw()
    };
    // A new file is for its owner only; an old one is overwritten, also through a link, and keeps its mode.
    let output = trace(&["-o", &at(&new, "csv"), "-o", &at(&link, "jsonl")]);
    assert!(output.status.success() && output.stdout.is_empty(), "{}", output.stderr);
    let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    assert_eq!((mode(&new), mode(&old)), (0o600, 0o644));
    let text = fs::read_to_string(&old).expect("JSON");
    assert!(text.lines().count() == 1 && text.starts_with("{\"type\":\"end\""), "{text}");

    let refused = |status: i32, args: &[&str], words: &[&str]| {
        let output = trace(args);
        assert_eq!(output.status.code(), Some(status), "{}", output.stderr);
        assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
        assert!(words.iter().all(|word| output.stderr.contains(word)), "{}", output.stderr);
    };
    let before = fs::read(&old).expect("the file");
    let same = ["write to the same file", "its own path"];
    refused(2, &["-o", &at(&old, "csv"), "-o", &at(&hard, "jsonl")], &same);
    let missing = dir.path().join("missing/file");
    let args = ["-o", &at(&old, "csv"), "-o", &at(&missing, "text")];
    refused(1, &args, &["cannot open ", "/missing/file: No such file"]);
    refused(1, &["-o", &at(dir.path(), "text")], &["cannot open ", "Is a directory"]);
    assert_eq!(fs::read(&old).expect("the file"), before, "nothing was emptied");
}

#[test]
fn summaries_go_to_several_outputs() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let path = dir.path().join("file");
    let server = Server::start("127.0.0.1:0", None);
    let _traffic = steady(&server);
    for command in [&["rtt", "--by", "lport"][..], &["top", "-i", "200ms", "--rows", "1"]] {
        let port = server.port_text();
        let file = at(&path, "text");
        let args = [command, &["-P", &port, "-d", "1s", "-o", "jsonl", "-o", &file]].concat();
        let trace = Tracer::spawn(&Launch::here(), &args).wait_raw().trace();
        trace.aggregated();
        let rows = trace.events.len() as u64;
        assert!(rows > 0, "{}", trace.stderr);
        for output in accounts(&trace.end) {
            assert_eq!((u64_of(output, "received"), u64_of(output, "written")), (rows, rows));
        }
        let text = fs::read_to_string(&path).expect("text");
        assert!(text.contains("samples in") || text.contains("active connections"), "{text}");
    }
}
