//! `-- CMD`: its connections and its children's, nobody else's, and its status.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, test_kill_process};
use serde_json::Value;

use crate::support::{
    FilteredTracers, Launch, Running, Server, TempDir, Trace, Tracer, flooding, is_root, tcc_trace,
    traffic, traffic_program, u64_of, unique_port, wait_until,
};

/// Starts `tcc-trace … -- CMD`.
fn start(options: &[&str], command: &[&str]) -> Tracer {
    Tracer::spawn(&Launch::here(), &[&["-o", "jsonl"], options, &["--"], command].concat())
}

/// What `traffic` tells of its connections, which is on our standard error.
fn reported(stderr: &str) -> BTreeSet<u64> {
    let lines = stderr.lines().filter(|line| line.starts_with('{'));
    let cookie = |line| u64_of(&serde_json::from_str(line).expect("JSON"), "cookie");
    lines.map(cookie).collect()
}

fn cookies(trace: &Trace) -> BTreeSet<u64> {
    trace.by_cookie().into_keys().collect()
}

/// Other connections to the same server, all the time.
struct Others {
    _process: Running,
}

impl Others {
    fn start(to: &str) -> Self {
        let mut command = Launch::here().command(traffic_program());
        command.args(["pingpong", "--to", to, "--seconds", "300", "--interval", "1ms"]);
        let process = Running::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()));
        Others { _process: process }
    }
}

/// A shell that starts two clients, and one that starts a shell that starts one.
fn check_children(reader: &str, transport: &str) {
    need!(is_root(), "not root");
    let server = Server::start("127.0.0.1:0", None);
    let (port, to) = (server.port_text(), server.addr.to_string());
    let others = Others::start(&to);
    let sides = FilteredTracers::start(&port, reader, &[]);
    wait_until("the others' events", || !sides.reference().is_empty());
    let script = "\
        \"$0\" pingpong --to \"$1\" --count 20 --interval 1ms & \
        \"$0\" bulk --to \"$1\" --bytes 300000 & \
        sh -c '\"$0\" pingpong --to \"$1\" --count 20 --interval 1ms; exit' \"$0\" \"$1\"; \
        wait";
    let program = traffic_program();
    let tracer = start(
        &["-P", &port, "--reader", reader, "--transport", transport],
        &["sh", "-c", script, program.to_str().expect("UTF-8"), &to],
    );
    let trace = tracer.wait();
    trace.check_account();
    let reported = reported(&trace.stderr);
    assert_eq!(reported.len(), 3, "{}", trace.stderr);
    assert_eq!(cookies(&trace), reported);
    // From the first to the last of each.
    let calls = |cookie: u64, events: &[Value]| {
        let of = events.iter().filter(|event| event["cookie"] == cookie);
        of.map(|event| (u64_of(event, "snd_nxt"), u64_of(event, "snd_una"))).collect::<Vec<_>>()
    };
    let all = &sides.stop()[0];
    for cookie in reported {
        let (wanted, found) = (calls(cookie, &all.events), calls(cookie, &trace.events));
        assert!(!wanted.is_empty());
        assert_eq!(found, wanted);
    }
    drop(others);
}

#[test]
fn children_and_their_children_by_sock() {
    check_children("sock", "ringbuf");
}

#[test]
fn children_and_their_children_by_raw() {
    check_children("raw", "perfbuf");
}

/// A server's accepted connections, before it has accepted them too.
fn check_server(reader: &str) {
    need!(is_root(), "not root");
    let port = unique_port();
    let to = format!("127.0.0.1:{port}");
    let sides = FilteredTracers::start(&port.to_string(), reader, &[]);
    let program = traffic_program();
    let program = program.to_str().expect("UTF-8");
    let mut tracer = start(
        &["-P", &port.to_string(), "--reader", reader],
        &[program, "server", "--listen", &to],
    );
    tracer.wait_for_line("listening ");
    for _ in 0..3 {
        traffic(&["pingpong", "--to", &to, "--count", "5", "--interval", "0ms"]);
        traffic(&["bulk", "--to", &to, "--bytes", "100000", "--parallel", "2"]);
    }
    let of_server = |events: &[Value]| events.iter().filter(|event| event["sport"] == port).count();
    let mut before = 0;
    wait_until("the server's events", || {
        let wanted = of_server(&sides.reference());
        let settled = wanted > 20 && wanted == before;
        before = wanted;
        settled && of_server(&tracer.events()) == wanted
    });
    tracer.signal(Signal::INT);
    let output = tracer.wait_raw();
    // Ctrl-C ends the trace, the trace its command, and says so.
    assert!(output.stderr.contains("note: sent SIGTERM to "), "{}", output.stderr);
    assert_eq!(output.status.code(), Some(128 + Signal::TERM.as_raw()), "{}", output.stderr);
    let trace = output.counts();
    trace.check_account();
    assert_eq!(of_server(&trace.events), trace.events.len());
    sides.stop();
}

#[test]
fn a_server_from_the_first_packet_by_sock() {
    check_server("sock");
}

#[test]
fn a_server_from_the_first_packet_by_raw() {
    check_server("raw");
}

#[test]
fn the_status_is_the_commands() {
    need!(is_root(), "not root");
    for (script, status) in
        [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 128 + 15), ("kill -KILL $$", 128 + 9)]
    {
        let output = start(&["-P", "1"], &["sh", "-c", script]).wait_raw();
        assert_eq!(output.status.code(), Some(status), "{script}: {}", output.stderr);
        output.counts().check_account();
    }
}

/// The tracer raises its own priority, where nobody chose one, and nobody else's.
#[test]
fn its_priority_is_its_own() {
    need!(is_root(), "not root");
    let nice = |pid: u32| rustix::process::getpriority_process(Pid::from_raw(pid as i32)).ok();
    for (launch, options, expected) in [
        (Launch::here(), &["-P", "1"][..], -10),
        (Launch::here(), &["-P", "1", "--nice", "-3"], -3),
        (Launch::here().within(&["nice", "-n", "5"]), &["-P", "1"], 5),
    ] {
        let tracer = Tracer::start_in(&launch, options);
        assert_eq!(nice(tracer.pid()), Some(expected), "{options:?}");
        tracer.stop();
    }
    let trace = start(&["-P", "1"], &["nice"]).wait();
    assert!(trace.stderr.lines().any(|line| line == "0"), "{}", trace.stderr);
}

#[test]
fn its_output_does_not_come_between_ours() {
    need!(is_root(), "not root");
    let script = "echo out; echo err >&2; read -r line || echo no input";
    let trace = start(&["-P", "1"], &["sh", "-c", script]).wait();
    for line in ["out", "err", "no input"] {
        assert!(trace.stderr.lines().any(|l| l == line), "{line}: {}", trace.stderr);
    }
    assert!(trace.events.is_empty());
}

#[test]
fn what_cannot_be_started_has_the_shells_status() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let file = dir.path().join("file");
    std::fs::write(&file, "no program").expect("a file");
    for (command, status) in [("tcc-no-such-command", 127), (file.to_str().expect("UTF-8"), 126)] {
        let output = start(&["-P", "1"], &[command]).wait_raw();
        assert_eq!(output.status.code(), Some(status), "{}", output.stderr);
        let lines: Vec<&str> = output.stderr.lines().collect();
        let [account, error] = lines[..] else { panic!("{}", output.stderr) };
        assert!(account.starts_with("tcc-trace: probe: "), "{account}");
        assert!(error.starts_with("tcc-trace: ") && error.contains(command), "{error}");
        // The programs ran before it, and what they saw is in the books.
        output.counts().check_account();
    }
}

/// Tells its pid, then waits.
const LASTS: &str = "echo pid $$; exec sleep 300";

fn pid_of(tracer: &Tracer) -> Pid {
    let stderr = tracer.stderr();
    let pid = stderr.lines().find_map(|line| line.strip_prefix("pid ")).expect("a pid");
    Pid::from_raw(pid.parse().expect("a number")).expect("not 0")
}

#[test]
fn the_command_ends_with_the_trace() {
    need!(is_root(), "not root");
    for more in [&[][..], &["-q"]] {
        let options = [&["-P", "1", "--duration", "200ms"], more].concat();
        let mut tracer = start(&options, &["sh", "-c", LASTS]);
        tracer.wait_for_line("pid ");
        let pid = pid_of(&tracer);
        let output = tracer.wait_raw();
        assert!(test_kill_process(pid).is_err(), "it still runs");
        let warning = "warning: the trace ended before sh exited; SIGTERM was sent to it";
        assert!(output.stderr.contains(warning), "{}", output.stderr);
        output.counts().check_account();
    }

    let mut tracer = start(&["-P", "1"], &["sh", "-c", LASTS]);
    tracer.wait_for_line("pid ");
    let pid = pid_of(&tracer);
    tracer.signal(Signal::INT);
    let output = tracer.wait_raw();
    assert!(test_kill_process(pid).is_err(), "it still runs");
    output.counts().check_account();
}

/// One that does not want to end keeps us, but not against a second request.
#[test]
fn a_command_that_ignores_sigterm_keeps_us_until_the_second_signal() {
    need!(is_root(), "not root");
    let script = "trap '' TERM; echo pid $$; while :; do sleep 1; done";
    let mut tracer = start(&["-P", "1"], &["sh", "-c", script]);
    tracer.wait_for_line("pid ");
    let pid = pid_of(&tracer);
    wait_until("its end", || {
        tracer.signal(Signal::INT);
        tracer.ended()
    });
    let _ = rustix::process::kill_process(pid, Signal::KILL);
}

/// With a flood that nobody asked for, the command's end is still noticed at once.
#[test]
fn the_end_is_noticed_in_a_flood() {
    need!(is_root(), "not root");
    let _alone = flooding();
    let server = Server::start("127.0.0.1:0", None);
    let (port, to) = (server.port_text(), server.addr.to_string());
    let null = OpenOptions::new().write(true).open("/dev/null").expect("/dev/null");
    let mut command = Launch::here().command(tcc_trace());
    let script = "\"$0\" bulk --to \"$1\" --seconds 0.5 --parallel 4";
    command.args(["-o", "jsonl", "-P", &port, "--", "sh", "-c", script]);
    command.arg(traffic_program()).arg(&to);
    let start = Instant::now();
    let mut tracer = Running::spawn(command.stdin(Stdio::null()).stdout(null));
    let (status, stderr) = tracer.wait();
    assert!(status.success(), "{stderr}");
    assert!(start.elapsed() >= Duration::from_millis(500));
    assert_eq!(reported(&stderr).len(), 4, "{stderr}");
}

/// Its children are told by what they are outside of all pid namespaces.
#[test]
fn in_a_pid_namespace_too_its_connections_are_traced() {
    need!(is_root(), "not root");
    let server = Server::start("127.0.0.1:0", None);
    let to = server.addr.to_string();
    let program = traffic_program();
    let launch = Launch::here().within(&["unshare", "-p", "-f"]);
    let command = [program.to_str().expect("UTF-8"), "pingpong", "--to", &to, "--count", "5"];
    let trace = Tracer::spawn(&launch, &[&["-o", "jsonl", "--"], &command[..]].concat()).wait();
    assert_eq!(cookies(&trace), reported(&trace.stderr), "{}", trace.stderr);
    assert!(!trace.events.is_empty(), "{}", trace.end);
}

/// No moment is so far away.
#[test]
fn a_trace_may_last_for_ever() {
    need!(is_root(), "not root");
    let ages = ["--duration", "300000000000years", "--stats", "300000000000years", "-P", "1"];
    assert_eq!(start(&ages, &["true"]).wait_raw().status.code(), Some(0));
}
