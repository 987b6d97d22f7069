//! What tcc-trace inherits from whoever starts it (ignored and blocked signals, few files, pipes that do not block), and what
//! becomes of the command and the accounting however it ends.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use nix::sys::signal::{SigSet, Signal as Number};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

use crate::support::{
    Flood, Launch, Program, Running, Server, TempDir, Tracer, is_root, run, tcc_trace, terminal,
    traffic_program, u64_of, wait_until,
};

/// Starts `tcc-trace … -- CMD`.
fn start_in(launch: &Launch, options: &[&str], command: &[&str]) -> Tracer {
    Tracer::spawn(launch, &[&["-o", "jsonl"], options, &["--"], command].concat())
}

fn start(options: &[&str], command: &[&str]) -> Tracer {
    start_in(&Launch::here(), options, command)
}

/// What the command printed behind that word.
fn printed(stderr: &str, word: &str) -> Option<String> {
    stderr.lines().find_map(|line| line.strip_prefix(word)).map(|rest| rest.trim().to_owned())
}

#[track_caller]
fn pid(tracer: &mut Tracer) -> Pid {
    tracer.wait_for_line("pid ");
    let pid = printed(&tracer.stderr(), "pid ").and_then(|pid| pid.parse().ok());
    pid.and_then(Pid::from_raw).expect("a pid")
}

/// As /proc/PID/stat has it.
fn state_of(pid: Pid) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[track_caller]
fn wait_gone(pid: Pid) {
    wait_until("the command's end", || test_kill_process(pid).is_err());
}

fn bit(signal: Number) -> u64 {
    1 << (signal as i32 - 1)
}

/// A mask of signals, as the command prints that line of its own status.
#[track_caller]
fn mask_of_command(launch: &Launch, line: &str) -> u64 {
    // Not through a shell, which changes some of them.
    let output = start_in(launch, &["-P", "1"], &["grep", line, "/proc/self/status"]).wait_raw();
    let bits = printed(&output.stderr, line).expect("a line");
    output.trace().check_account();
    u64::from_str_radix(&bits, 16).expect("a number")
}

/// A child of a process that ignores SIGCHLD leaves no status behind. The command itself ignores it as it would have.
#[test]
fn an_ignored_sigchld_costs_nothing_and_is_handed_on() {
    need!(is_root(), "not root");
    let both = bit(Number::SIGCHLD) | bit(Number::SIGUSR2);
    let ignoring = Launch::here().within(&["env", "--ignore-signal=CHLD,USR2"]);
    let mut possible = ignoring.command("true");
    possible.stdout(Stdio::null());
    need!(run::output(possible).is_ok(), "no env --ignore-signal (coreutils 8.31)", legitimate: true);
    for (launch, ignored) in [(ignoring, both), (Launch::here(), 0)] {
        let output = start_in(&launch, &["-P", "1"], &["sh", "-c", "exit 7"]).wait_raw();
        assert_eq!(output.status.code(), Some(7), "{}", output.stderr);
        output.counts().check_account();
        assert_eq!(mask_of_command(&launch, "SigIgn:") & both, ignored);
    }
}

#[test]
fn a_signal_that_is_inherited_as_blocked_ends_it() {
    need!(is_root(), "not root");
    let blocked: SigSet = [Number::SIGTERM, Number::SIGUSR1].into_iter().collect();
    let both = bit(Number::SIGTERM) | bit(Number::SIGUSR1);
    assert_eq!(mask_of_command(&Launch::here(), "SigBlk:") & both, 0);
    blocked.thread_block().expect("a mask");
    let mask = mask_of_command(&Launch::here(), "SigBlk:");
    let tracer = Tracer::start(&["-P", "1"]);
    blocked.thread_unblock().expect("a mask");
    assert_eq!(mask & both, both, "the command's mask is {mask:x}");
    tracer.signal(Signal::USR1);
    wait_until("the accounting", || tracer.stats().len() == 1);
    tracer.signal(Signal::TERM);
    tracer.wait().check_account();
}

#[test]
fn a_second_request_kills_the_command_and_accounts_for_all() {
    need!(is_root(), "not root");
    for (signal, before, state) in [
        (Signal::TERM, ":", 'S'),
        // The first request wakes it.
        (Signal::INT, "kill -STOP $$", 'T'),
    ] {
        let script = format!("trap '' TERM INT; echo pid $$; {before}; while :; do sleep 1; done");
        let mut tracer = start(&["-P", "1"], &["sh", "-c", &script]);
        let pid = pid(&mut tracer);
        wait_until("the command to wait", || state_of(pid) == Some(state));
        tracer.signal(signal);
        tracer.wait_for_line("tcc-trace: note: sent SIGTERM to sh; ");
        assert!(!tracer.ended() && test_kill_process(pid).is_ok());
        wait_until("its end", || {
            tracer.signal(signal);
            tracer.ended()
        });
        assert!(test_kill_process(pid).is_err(), "the command goes on");
        let output = tracer.wait_raw();
        assert_eq!(output.status.code(), Some(128 + signal.as_raw()), "{}", output.stderr);
        assert!(output.stderr.contains("sh did not exit: sent SIGKILL"), "{}", output.stderr);
        output.counts().check_account();
    }
}

/// SIGTERM alone it would not see.
#[test]
fn a_command_that_is_stopped_ends_at_the_first_request() {
    need!(is_root(), "not root");
    let mut tracer = start(&["-P", "1"], &["sh", "-c", "echo pid $$; kill -STOP $$; exit 5"]);
    let pid = pid(&mut tracer);
    wait_until("the command to stop", || state_of(pid) == Some('T'));
    tracer.signal(Signal::TERM);
    let output = tracer.wait_raw();
    assert_eq!(output.status.code(), Some(128 + Signal::TERM.as_raw()), "{}", output.stderr);
    assert!(!output.stderr.contains("sent SIGKILL"), "{}", output.stderr);
    output.counts().check_account();
}

/// The command was told to end when the trace did: a supervisor that asks once, asks for the second time.
#[test]
fn after_the_trace_the_first_request_kills_the_command() {
    need!(is_root(), "not root");
    let script = "trap '' TERM; echo pid $$; while :; do sleep 0.1; done";
    for signal in [Signal::TERM, Signal::INT] {
        let mut tracer = start(&["-P", "1", "--duration", "500ms", "-q"], &["sh", "-c", script]);
        let pid = pid(&mut tracer);
        tracer.wait_for_line(
            "tcc-trace: warning: the trace ended before sh exited; SIGTERM was sent to it",
        );
        assert!(!tracer.ended());
        tracer.signal(signal);
        let output = tracer.wait_raw();
        assert!(test_kill_process(pid).is_err(), "the command goes on");
        assert_eq!(output.status.code(), Some(128 + signal.as_raw()), "{}", output.stderr);
        output.counts().check_account();
    }
}

/// What it does about SIGTERM belongs to what it does.
#[test]
fn a_command_that_receives_sigterm_is_traced_until_it_ends() {
    need!(is_root(), "not root");
    let server = Server::start("127.0.0.1:0", None);
    let (port, to) = (server.port_text(), server.addr.to_string());
    let script = "\
        trap '\"$0\" pingpong --to \"$1\" --count 3 --interval 0ms; exit 5' TERM; \
        echo pid $$; while :; do sleep 0.1; done";
    let program = traffic_program();
    let command = ["sh", "-c", script, program.to_str().expect("UTF-8"), &to];
    let mut tracer = start(&["-R", &port], &command);
    pid(&mut tracer);
    assert!(tracer.events().is_empty());
    tracer.signal(Signal::TERM);
    let output = tracer.wait_raw();
    assert_eq!(output.status.code(), Some(5), "{}", output.stderr);
    let reported =
        output.stderr.lines().find(|line| line.starts_with('{')).expect("its connection");
    let cookie = u64_of(&serde_json::from_str(reported).expect("JSON"), "cookie");
    let trace = output.counts();
    trace.check_account();
    assert!(trace.of_cookie(cookie).len() >= 3, "{:?}", trace.events);
}

#[test]
fn a_note_counts_what_the_command_leaves_behind() {
    need!(is_root(), "not root");
    // They do not keep the tracer's output open.
    let sleep = "sleep 300 >/dev/null 2>&1 &";
    let script = format!("{sleep} echo pid $!; {sleep} echo and $!");
    for (options, script, left) in [
        (&["-P", "1"][..], &script[..], 2),
        (&["-P", "1", "-q"], &script, 2),
        (&["-P", "1"], "exit 0", 0),
    ] {
        let output = start(options, &["sh", "-c", script]).wait_raw();
        let stderr = output.stderr.clone();
        for pid in ["pid ", "and "].iter().filter_map(|word| printed(&stderr, word)) {
            let pid = Pid::from_raw(pid.parse().expect("a number")).expect("not 0");
            kill_process(pid, Signal::KILL).expect("it goes on");
        }
        let note = format!("continue untraced: {left}\n");
        assert_eq!(stderr.contains(&note), left > 0, "{stderr}");
        assert_eq!(stderr.contains("warning: sh has exited; "), left > 0, "{stderr}");
        output.trace().check_account();
    }
}

#[test]
fn a_tracer_that_is_killed_does_not_leave_its_command_running() {
    need!(is_root(), "not root");
    let mut tracer = start(&["-P", "1"], &["sh", "-c", "echo pid $$; exec sleep 300"]);
    let pid = pid(&mut tracer);
    tracer.signal(Signal::KILL);
    tracer.wait_raw();
    wait_gone(pid);
}

/// A file that may not grow: the kernel sends SIGXFSZ before it returns the error.
#[test]
fn a_file_that_may_not_grow_ends_it_in_good_order() {
    need!(is_root(), "not root");
    let mut flood = Flood::ready();
    let launch = Launch::here().within(&["sh", "-c", "ulimit -f 8; exec \"$0\" \"$@\""]);
    let tracer = Tracer::start_in(&launch, &["-P", &flood.server.port_text()]);
    flood.begin();
    let output = tracer.wait_raw();
    assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
    assert!(output.stderr.contains("cannot write the output: File too large"), "{}", output.stderr);
    assert!(output.stderr.contains("tcc-trace: probe: "), "{}", output.stderr);
}

/// A tracer of a flood whose output nobody reads, when it can write no more.
fn stuck(flood: &mut Flood, flags: OFlags, command: &[&str]) -> (Running, PipeReader) {
    let (reader, writer): (PipeReader, PipeWriter) = std::io::pipe().expect("a pipe");
    fcntl_setfl(&writer, flags).expect("its flags");
    let mut program = Launch::here().command(tcc_trace());
    program.args(["-o", "jsonl", "-P", &flood.server.port_text()]).args(command);
    let output = writer.try_clone().expect("a copy");
    let mut tracer = Running::spawn(program.stdin(Stdio::null()).stdout(output));
    flood.fill(&mut tracer, &writer);
    (tracer, reader)
}

/// Whoever else has the pipe may have made it so (ssh, node).
#[test]
fn a_slow_reader_of_a_pipe_that_does_not_block_gets_everything() {
    need!(is_root(), "not root");
    let mut flood = Flood::ready();
    let (mut tracer, mut reader) = stuck(&mut flood, OFlags::NONBLOCK, &[]);
    assert!(!tracer.ended(), "{}", tracer.stderr());
    tracer.signal(Signal::INT);
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("its output");
    let (status, stderr) = tracer.wait();
    assert!(status.success(), "{stderr}");
    let last = text.lines().last().expect("a line");
    let end: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(end["type"], "end");
    assert_eq!(u64_of(&end, "emitted"), text.lines().count() as u64 - 1);
}

/// Nobody reads, and nobody wants to wait for it any more.
#[test]
fn a_forced_end_is_accounted_for_where_it_can_be() {
    need!(is_root(), "not root");
    let mut flood = Flood::ready();
    for flags in [OFlags::empty(), OFlags::NONBLOCK] {
        let (mut tracer, reader) = stuck(&mut flood, flags, &[]);
        wait_until("its end", || {
            tracer.signal(Signal::TERM);
            tracer.ended()
        });
        let (status, stderr) = tracer.wait();
        assert_eq!(status.code(), Some(128 + Signal::TERM.as_raw()), "{stderr}");
        let line = printed(&stderr, "tcc-trace: probe: ").expect("the accounting");
        let emitted = line.split(" = ").nth(1).and_then(|rest| rest.split(' ').next());
        let emitted: u64 = emitted.and_then(|n| n.parse().ok()).expect("a number");
        // What is in the pipe was written; no more.
        let mut text = String::new();
        { reader }.read_to_string(&mut text).expect("its output");
        assert_eq!(emitted, text.matches('\n').count() as u64, "{stderr}");
    }
}

/// A terminal that is stopped can block a write that it seemed to have room for.
#[test]
fn a_terminal_that_takes_nothing_does_not_keep_it_or_its_command() {
    need!(is_root(), "not root");
    let mut flood = Flood::ready();
    let (_ours, theirs) = terminal();
    let mut program = Launch::here().command(tcc_trace());
    let script = "trap '' TERM; echo pid $$ >&2; exec \"$0\" bulk --to \"$1\" --seconds 300";
    program.args(["-o", "jsonl", "-P", &flood.server.port_text(), "--", "sh", "-c", script]);
    program.arg(traffic_program()).arg(flood.server.addr.to_string());
    let output = theirs.try_clone().expect("a copy");
    let mut tracer = Running::spawn(program.stdin(Stdio::null()).stdout(output));
    flood.fill(&mut tracer, &theirs);
    tracer.wait_for_line("pid ");
    let pid = printed(&tracer.stderr(), "pid ").and_then(|pid| pid.parse().ok());
    let pid = pid.and_then(Pid::from_raw).expect("a pid");
    wait_until("its end", || {
        tracer.signal(Signal::INT);
        tracer.ended()
    });
    let (status, stderr) = tracer.wait();
    assert_eq!(status.code(), Some(128 + Signal::INT.as_raw()), "{stderr}");
    wait_gone(pid);
}

/// Whatever is known to fail fails before the command has done anything.
#[test]
fn the_command_does_not_run_where_the_output_cannot_be_written() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let mark = dir.path().join("mark");
    let open = |path: &str, write: bool| -> OwnedFd {
        File::options().read(!write).write(write).open(path).expect(path).into()
    };
    let (reader, unread) = std::io::pipe().expect("a pipe");
    drop(reader);
    for (output, words) in [
        (open("/dev/full", true), "No space left on device"),
        (open("/dev/null", false), "Bad file descriptor"),
        (unread.into(), "broken pipe"),
    ] {
        let mut program: Program = Launch::here().command(tcc_trace());
        program.args(["-o", "jsonl", "-P", "1", "--", "touch"]).arg(&mark);
        let (status, stderr) = Running::spawn(program.stdin(Stdio::null()).stdout(output)).wait();
        assert_eq!(status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("cannot write the output") && stderr.contains(words), "{stderr}");
        assert!(!mark.exists(), "the command ran: {stderr}");
    }
}

#[test]
fn few_open_files_are_enough_or_named() {
    need!(is_root(), "not root");
    let limited = |how: &str| {
        let script = format!("ulimit {how}; exec \"$0\" \"$@\"");
        Launch::here().within(&["sh", "-c", &script])
    };
    // A soft limit is raised, for us and not for the command.
    let args = ["events", "all", "-o", "jsonl", "--", "sh", "-c", "echo files $(ulimit -n)"];
    for few in ["10", "64"] {
        let output = Tracer::spawn(&limited(&format!("-Sn {few}")), &args).wait_raw();
        assert_eq!(printed(&output.stderr, "files ").as_deref(), Some(few), "{}", output.stderr);
        output.trace().check_account();
    }
    let output = Tracer::spawn(&limited("-n 64"), &args).wait_raw();
    assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
    let last = output.stderr.lines().last().expect("a line");
    for words in ["Too many open files", "now 64 (ulimit -Hn"] {
        assert!(last.contains(words), "{words}: {}", output.stderr);
    }
}

/// The kernel interrupts its verifier for a pending signal, and libbpf gives up at the fifth time.
#[test]
fn counters_may_be_requested_while_it_starts() {
    need!(is_root(), "not root");
    let tracer = Tracer::spawn(&Launch::here(), &["events", "all", "-o", "jsonl", "-P", "1"]);
    let caught = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", tracer.pid()));
        let bits = status.ok().and_then(|status| printed(&status, "SigCgt:"));
        bits.and_then(|bits| u64::from_str_radix(&bits, 16).ok()).unwrap_or(0)
    };
    wait_until("a handler", || caught() & bit(Number::SIGUSR1) != 0);
    let mut requested = 0;
    wait_until("the trace", || {
        tracer.signal(Signal::USR1);
        requested += 1;
        tracer.stderr().contains("tcc-trace: tracing ")
    });
    assert!(requested > 5, "{requested}");
    wait_until("the accounting", || !tracer.stats().is_empty());
    tracer.stop().check_account();
}
