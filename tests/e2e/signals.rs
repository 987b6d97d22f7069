//! Signals: the end, the books in between, several tracers at once, an output that is stuck.

use std::io::{PipeReader, Read};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    FilteredTracers, Flood, Launch, Running, Server, Tracer, guest, is_root, tcc_trace, traffic,
    turns, u64_of, wait_until,
};

#[test]
fn the_end_in_a_flood_comes_at_once_and_nothing_is_missing() {
    need!(is_root(), "not root");
    let mut flood = Flood::ready();
    let port = flood.server.port_text();
    for (signal, transport) in
        [(Signal::INT, "ringbuf"), (Signal::TERM, "perfbuf"), (Signal::HUP, "ringbuf")]
    {
        // What is in the buffer is printed before the end; by a slow build on a busy machine, too.
        let tracer =
            Tracer::start(&["-P", &port, "--transport", transport, "--buffer-size", "512K"]);
        flood.begin();
        tracer.wait_events("events", |events| events.len() > 100);
        tracer.signal(signal);
        let start = Instant::now();
        let output = tracer.wait_raw();
        let took = start.elapsed();
        flood.end();
        assert!(guest() || took < Duration::from_secs(1), "{took:?} after {signal:?}");
        assert_eq!(output.status.code(), Some(0), "{}", output.stderr);
        output.trace().check_account();
    }
}

/// `timeout` sends its signal to the process and then to its group: twice, that is.
#[test]
fn the_same_signal_twice_in_a_row_is_one() {
    need!(is_root(), "not root");
    for _ in 0..5 {
        let tracer = Tracer::start(&["-P", "1"]);
        tracer.signal(Signal::INT);
        wait_until("the first to be taken", || !pending(tracer.pid(), Signal::INT));
        tracer.signal(Signal::INT);
        tracer.wait().check_account();
    }
}

/// Not signals that anybody should use for it; without a handler each would end it without a word.
#[test]
fn other_signals_that_would_end_it_do_so_in_good_order() {
    need!(is_root(), "not root");
    for signal in [
        Signal::QUIT,
        Signal::USR2,
        Signal::ALARM,
        Signal::XCPU,
        Signal::VTALARM,
        Signal::PROF,
        Signal::IO,
        Signal::POWER,
        Signal::STKFLT,
    ] {
        let tracer = Tracer::start(&["-P", "1"]);
        tracer.signal(signal);
        tracer.wait().check_account();
    }
}

#[test]
fn nohup_is_respected() {
    need!(is_root(), "not root");
    let launch = Launch::here().within(&["sh", "-c", "trap '' HUP; exec \"$0\" \"$@\""]);
    let mut tracer = Tracer::start_in(&launch, &["-P", "1"]);
    tracer.signal(Signal::HUP);
    tracer.signal(Signal::USR1);
    wait_until("the books", || tracer.stats().len() == 1);
    assert!(!tracer.ended());
    tracer.signal(Signal::TERM);
    tracer.wait().check_account();
}

fn status_bits(pid: u32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    u64::from_str_radix(line.trim_start_matches(':').trim(), 16).ok()
}

fn has(pid: u32, name: &str, signal: Signal) -> bool {
    status_bits(pid, name).is_some_and(|bits| bits & (1 << (signal.as_raw() - 1)) != 0)
}

fn pending(pid: u32, signal: Signal) -> bool {
    has(pid, "ShdPnd", signal)
}

/// How far the start has come, as /proc shows it.
fn open_files(pid: u32, object: &str) -> usize {
    let Ok(dir) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
        return 0;
    };
    let links = dir.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links.filter(|link| link == Path::new(&format!("anon_inode:{object}"))).count()
}

#[test]
fn a_signal_while_it_starts_ends_it() {
    need!(is_root(), "not root");
    // Before it handles signals the kernel's default ends it; from then on it ends in good order.
    type Reached = fn(u32) -> bool;
    let stages: [(&str, Reached); 5] = [
        ("at once", |_| true),
        ("handled", |pid| has(pid, "SigCgt", Signal::INT)),
        ("maps", |pid| open_files(pid, "bpf-map") > 0),
        ("more maps", |pid| open_files(pid, "bpf-map") > 4),
        ("programs", |pid| open_files(pid, "bpf-prog") > 0),
    ];
    for (stage, reached) in stages {
        for extra in [&[][..], &["-a"]] {
            let mut tracer =
                Tracer::spawn(&Launch::here(), &[&["-o", "jsonl", "-P", "1"], extra].concat());
            let pid = tracer.pid();
            wait_until(stage, || reached(pid) || tracer.ended());
            assert!(!tracer.ended(), "{stage}: ended by itself");
            tracer.signal(Signal::INT);
            let output = tracer.wait_raw();
            if stage == "at once" && output.status.code().is_none() {
                continue;
            }
            output.trace().check_account();
        }
    }
}

#[test]
fn counters_are_printed_on_request() {
    need!(is_root(), "not root");
    let server = Server::start("127.0.0.1:0", None);
    let port = server.port_text();
    let tracer = Tracer::start(&["-P", &port]);
    traffic(&["pingpong", "--to", &server.addr.to_string(), "--count", "20", "--interval", "0ms"]);
    tracer.wait_events("the last reply", |events| events.len() >= 40);
    for requested in 1..=3 {
        tracer.signal(Signal::USR1);
        wait_until("the books", || tracer.stats().len() == requested);
    }
    let trace = tracer.stop();
    trace.check_account();
    check_stats(&trace.stats, &trace.end);
    assert_eq!(u64_of(&trace.stats[2], "emitted"), trace.events.len() as u64);
    let lines = trace.stderr.lines().filter(|line| line.starts_with("tcc-trace: probe: "));
    assert_eq!(lines.count(), 4, "three times and the end: {}", trace.stderr);
}

/// They only grow, up to those of the end.
#[track_caller]
fn check_stats(stats: &[Value], end: &Value) {
    let all: Vec<&Value> = stats.iter().chain([end]).collect();
    let parts = ["emitted", "filtered", "sampled_out", "rate_limited", "lost", "malformed"];
    for books in &all {
        let sum: u64 = parts.iter().map(|part| u64_of(books, part)).sum();
        assert_eq!(u64_of(books, "seen"), sum, "{books}");
    }
    for pair in all.windows(2) {
        for key in ["seen", "emitted", "filtered", "duration_ns"] {
            assert!(u64_of(pair[0], key) <= u64_of(pair[1], key), "{key}: {pair:?}");
        }
        assert_eq!(pair[0]["event_types"]["probe"]["seen"], pair[0]["seen"]);
    }
}

#[test]
fn counters_are_printed_regularly() {
    need!(is_root(), "not root");
    for transport in ["ringbuf", "perfbuf"] {
        let tracer = Tracer::start(&["-P", "1", "--stats", "100ms", "--transport", transport]);
        wait_until("the books", || tracer.stats().len() >= 3);
        let trace = tracer.stop();
        trace.check_account();
        check_stats(&trace.stats, &trace.end);
        let times: Vec<u64> =
            trace.stats.iter().map(|stats| u64_of(stats, "duration_ns")).collect();
        assert!(times[0] >= 100_000_000, "{times:?}");
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 90_000_000), "{times:?}");
    }
}

#[test]
fn two_tracers_see_the_same() {
    need!(is_root(), "not root");
    let server = Server::start("127.0.0.1:0", None);
    let port = server.port();
    let ways =
        ["ringbuf", "perfbuf", "perfbuf -a"].map(|way| format!("-P {port} --transport {way}"));
    for reader in ["sock", "raw"] {
        turns(|| {
            let sides = FilteredTracers::start(&server.port_text(), reader, &ways);
            let to = server.addr.to_string();
            traffic(&["bulk", "--to", &to, "--bytes", "3000000", "--parallel", "2"]);
            let traces = sides.finish(|sides| {
                (0..ways.len()).try_for_each(|way| sides.expect_of(way, |events| events, false))
            })?;
            assert!(!traces[0].events.is_empty());
            Ok(())
        });
    }
}

/// A tracer of a flood whose output nobody reads, when it can write no more.
fn stuck(flood: &mut Flood) -> (Running, PipeReader) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = Launch::here().command(tcc_trace());
    command.args(["-o", "jsonl", "-P", &flood.server.port_text()]);
    let output = writer.try_clone().expect("a copy");
    let mut tracer = Running::spawn(command.stdin(Stdio::null()).stdout(output));
    flood.fill(&mut tracer, &writer);
    // The command's copy of the writing end, and ours, go here.
    (tracer, reader)
}

#[test]
fn a_second_signal_ends_it_when_the_output_is_stuck() {
    need!(is_root(), "not root");
    let mut flood = Flood::ready();
    let (mut tracer, reader) = stuck(&mut flood);
    tracer.signal(Signal::INT);
    wait_until("the first to be taken", || !pending(tracer.pid(), Signal::INT));
    assert!(!tracer.ended(), "it must not give up by itself");
    wait_until("its end", || {
        tracer.signal(Signal::INT);
        tracer.ended()
    });
    drop(reader);
}

/// What is on its way to a reader that goes on reading is not lost by the first signal.
#[test]
fn a_slow_reader_gets_everything() {
    need!(is_root(), "not root");
    let mut flood = Flood::ready();
    let (mut tracer, mut reader) = stuck(&mut flood);
    tracer.signal(Signal::INT);
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("its output");
    let (status, stderr) = tracer.wait();
    assert!(status.success(), "{stderr}");
    let last = text.lines().last().expect("a line");
    let end: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(end["type"], "end");
    assert_eq!(u64_of(&end, "emitted"), text.lines().count() as u64 - 1);
    let parts = ["emitted", "filtered", "rate_limited", "sampled_out", "lost"];
    assert_eq!(u64_of(&end, "seen"), parts.iter().map(|part| u64_of(&end, part)).sum::<u64>());
}
