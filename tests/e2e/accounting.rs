//! The books, under a flood and against the kernel's own count.

use std::path::PathBuf;

use crate::support::{
    Flood, Launch, Server, Tracer, is_root, overflow, traffic, u64_of, wait_for, wait_until,
};
use rustix::process::Signal;

/// What does not fit is lost, and said to be.
fn check_tiny_buffer(transport: &str) {
    need!(is_root(), "not root");
    let mut flood = Flood::ready();
    let port = flood.server.port_text();
    for more in [&[][..], &["-a"], &["--count", "50"]] {
        let common = ["-P", &port, "--transport", transport, "--buffer-size", "4096"];
        let args = [&common[..], &["--stats", "50ms"], more].concat();
        let tracer = Tracer::start(&args);
        let trace = if more.contains(&"--count") {
            flood.begin();
            let trace = tracer.wait();
            flood.end();
            assert_eq!(trace.events.len(), 50);
            trace
        } else {
            overflow(&tracer, &flood.server);
            wait_until("a loss", || {
                tracer.stats().last().is_some_and(|stats| u64_of(stats, "lost") > 0)
            });
            let trace = tracer.stop();
            assert!(u64_of(&trace.end, "lost") > 0, "{}", trace.end);
            trace
        };
        trace.check_account();
        assert!(!trace.events.is_empty());
    }
}

#[test]
fn a_tiny_ring_buffer_loses_and_says_so() {
    check_tiny_buffer("ringbuf");
}

#[test]
fn tiny_perf_buffers_lose_and_say_so() {
    check_tiny_buffer("perfbuf");
}

#[test]
fn quiet_hides_no_loss() {
    need!(is_root(), "not root");
    let flood = Flood::start();
    let port = flood.server.port_text();
    let args = ["-q", "-a", "-o", "jsonl", "-P", &port, "--buffer-size", "4096", "-d", "300ms"];
    let trace = Tracer::spawn(&Launch::here(), &args).wait();
    trace.check_account();
    let [lost, seen] = ["lost", "seen"].map(|count| u64_of(&trace.end, count));
    assert!(lost > 0, "{}", trace.end);
    assert_eq!(trace.stderr, format!("tcc-trace: warning: {lost} of {seen} events were lost\n"));
}

/// A line of a file in /proc/PID/fdinfo.
fn value(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// Of all its buffers, in bytes, as the kernel has it.
fn size_of_buffers(tracer: &Tracer, transport: &str) -> u64 {
    let process = PathBuf::from(format!("/proc/{}", tracer.pid()));
    if transport == "perfbuf" {
        let maps = std::fs::read_to_string(process.join("maps")).expect("maps");
        let sizes = maps.lines().filter(|line| line.contains("[perf_event]")).map(|line| {
            let (from, to) = line.split_once(' ').expect("a range").0.split_once('-').expect("two");
            let [from, to] = [from, to].map(|n| u64::from_str_radix(n, 16).expect("hexadecimal"));
            // One page is the head.
            to - from - rustix::param::page_size() as u64
        });
        return sizes.sum();
    }
    let files = std::fs::read_dir(process.join("fdinfo")).expect("its files");
    let texts = files.filter_map(|file| std::fs::read_to_string(file.ok()?.path()).ok());
    // BPF_MAP_TYPE_RINGBUF
    texts
        .filter(|text| value(text, "map_type:") == Some(27))
        .filter_map(|text| value(&text, "max_entries:"))
        .max()
        .expect("a ring buffer")
}

/// Both in the first line, and where it is not what was asked for.
#[test]
fn the_buffers_real_size_is_printed() {
    need!(is_root(), "not root");
    for transport in ["ringbuf", "perfbuf"] {
        for (requested, bytes) in [("5000", 5_000), ("3M", 3 << 20), ("4M", 4 << 20)] {
            let args = ["-P", "1", "--transport", transport, "--buffer-size", requested];
            let tracer = Tracer::start(&args);
            let size = size_of_buffers(&tracer, transport);
            let stderr = tracer.stop_raw().stderr;
            let (said, unit) = if size.is_multiple_of(1 << 20) {
                (size >> 20, "MiB")
            } else {
                (size >> 10, "KiB")
            };
            assert!(stderr.contains(&format!(" of {said} {unit}); Ctrl-C")), "{size}: {stderr}");
            let note = format!("note: --buffer-size {bytes} rounded to {size} (");
            assert_eq!(stderr.contains(&note), size != bytes, "{size}: {stderr}");
            assert_eq!(stderr.contains("rounded"), size != bytes, "{size}: {stderr}");
            assert!(size >= bytes, "{size}: {stderr}");
        }
    }
}

/// The kernel counts how often it runs each program, while this lives.
struct RunCounts {
    before: String,
}

const SYSCTL: &str = "/proc/sys/kernel/bpf_stats_enabled";

impl RunCounts {
    fn on() -> Self {
        let before = std::fs::read_to_string(SYSCTL).expect("bpf_stats_enabled");
        std::fs::write(SYSCTL, "1").expect("bpf_stats_enabled");
        RunCounts { before }
    }

    /// How often the tracer's program of that type was run, or would have been but for one that ran already. Of several it is
    /// the one that runs most.
    fn of(&self, tracer: &Tracer, event_type: u64) -> u64 {
        let dir = PathBuf::from(format!("/proc/{}/fdinfo", tracer.pid()));
        let files = std::fs::read_dir(&dir).expect("fdinfo").flatten();
        let texts = files.map(|file| std::fs::read_to_string(file.path()).unwrap_or_default());
        let of_type = texts.filter(|text| value(text, "prog_type:") == Some(event_type));
        let runs = of_type.map(|text| {
            let skipped = value(&text, "recursion_misses:").unwrap_or(0);
            value(&text, "run_cnt:").expect("a run count") + skipped
        });
        runs.max().unwrap_or_else(|| panic!("no program of type {event_type}"))
    }
}

impl Drop for RunCounts {
    fn drop(&mut self) {
        let _ = std::fs::write(SYSCTL, self.before.trim());
    }
}

#[test]
fn seen_is_how_often_the_kernel_ran_the_program() {
    need!(is_root(), "not root");
    const TRACEPOINT: u64 = 5;
    const RAW_TRACEPOINT: u64 = 17;
    const TRACING: u64 = 26;
    let mut flood = Flood::ready();
    let counts = RunCounts::on();
    for (reader, event_type) in [("record", TRACEPOINT), ("sock", TRACING), ("raw", RAW_TRACEPOINT)]
    {
        let launch = Launch::here().with_tracefs();
        // Nothing gets through, so nothing is on its way when the books are told.
        let tracer = Tracer::start_in(&launch, &["-P", "1", "--reader", reader]);
        flood.begin();
        for reported in 1..=5 {
            let before = wait_for("some runs", || {
                Some(counts.of(&tracer, event_type)).filter(|&runs| runs > 100 * reported)
            });
            tracer.signal(Signal::USR1);
            wait_until("the books", || tracer.stats().len() as u64 == reported);
            let after = counts.of(&tracer, event_type);
            let seen = u64_of(tracer.stats().last().expect("the books"), "seen");
            assert!((before..=after).contains(&seen), "{reader}: {before} {seen} {after}");
        }
        flood.end();
        let trace = tracer.stop();
        trace.check_account();
        if reader == "sock" {
            // What the kernel skips the first program for, the second takes.
            assert_eq!(trace.end["lost"], 0, "{}", trace.end);
        }
        assert_eq!(
            trace.end["filtered"].as_u64(),
            trace.end["seen"].as_u64().map(|seen| seen - u64_of(&trace.end, "lost"))
        );
    }
}

/// While the reader does not run, samples fill the buffer but for a part; what is rare, and comes then, is in it.
#[test]
fn packets_leave_room_for_what_is_rare() {
    need!(is_root(), "not root");
    let server = Server::start("127.0.0.1:0", None);
    let to = server.addr.to_string();
    let args = ["--port", &server.port_text(), "--all-fields", "--buffer-size", "1M"];
    let args = [&args[..], &["--transport", "ringbuf"]].concat();
    let tracer = Tracer::events_in(&Launch::here(), "probe,state", &args);
    tracer.signal(Signal::STOP);
    traffic(&["pingpong", "--to", &to, "--count", "2000", "--interval", "0ms"]);
    for _ in 0..CONNECTIONS {
        traffic(&["pingpong", "--to", &to, "--count", "1"]);
    }
    tracer.signal(Signal::CONT);
    let trace = tracer.stop();
    trace.check_account();
    let counts =
        |event_type: &str, count: &str| u64_of(&trace.end["event_types"][event_type], count);
    assert!(counts("probe", "lost") > 0, "{}", trace.end);
    assert_eq!(counts("state", "lost"), 0, "{}", trace.end);
    let opened = trace.of_type("state").into_iter().filter(|event| {
        event["new_state"] == "ESTABLISHED" && event["dport"] == u64::from(server.port())
    });
    assert_eq!(opened.count(), CONNECTIONS + 1);
}

/// Twelve records each or so, of less than 400 bytes.
const CONNECTIONS: usize = 15;
