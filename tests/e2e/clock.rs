//! Somebody sets the clock while it traces: what was recorded before keeps the old time, what came after has the new one. In
//! guests, as there is one such clock for the whole machine.

use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::process::Signal;
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::support::{
    Exporter, Launch, Server, TempDir, Trace, Tracer, guest, is_root, mono_ns, text, traffic,
    u64_of, wait_until,
};

const HOUR: i64 = 3_600_000_000_000;
/// What is so fresh when the clock is set may not have been fetched, and has the new time then.
const FRESH_NS: u64 = 200_000_000;

fn set_back_or_forth(by_s: i64) {
    let now = clock_gettime(ClockId::Realtime);
    let then = Timespec { tv_sec: now.tv_sec + by_s, tv_nsec: now.tv_nsec };
    clock_settime(ClockId::Realtime, then).expect("the clock");
}

/// Its time, since the epoch.
fn wall_ns(event: &Value) -> i64 {
    let wall = OffsetDateTime::parse(text(event, "time"), &Rfc3339).expect("a time");
    i64::try_from(wall.unix_timestamp_nanos()).expect("in range")
}

/// CLOCK_REALTIME less CLOCK_MONOTONIC, as the event has it.
fn offset_ns(event: &Value) -> i64 {
    wall_ns(event) - u64_of(event, "mono_ns").cast_signed()
}

#[test]
fn a_step_of_the_clock_is_none_of_events_before_it() {
    need!(is_root(), "not root");
    need!(guest(), "it would set this machine's clock", legitimate: true);
    let server = Server::start("127.0.0.1:0", None);
    let to = format!("127.0.0.1:{}", server.port());
    let tracer = Tracer::start_in(&Launch::here(), &["--port", &server.port_text()]);
    let talk = || traffic(&["pingpong", "--to", &to, "--count", "50", "--interval", "2ms"]);
    let mut steps = vec![(mono_ns(), 0)];
    for hours in [1, -1] {
        talk();
        set_back_or_forth(hours * 3600);
        steps.push((mono_ns(), steps.last().expect("one").1 + hours * HOUR));
        talk();
    }
    server.settle();
    let trace = tracer.stop();
    trace.check_account();
    let first = offset_ns(&trace.events[0]);
    for (i, &(since, moved)) in steps.iter().enumerate() {
        let until = steps.get(i + 1).map_or(u64::MAX, |step| step.0);
        let between = |event: &&Value| (since..until).contains(&u64_of(event, "mono_ns"));
        let events: Vec<&Value> = trace.events.iter().filter(between).collect();
        assert!(events.len() > 50, "{} after step {i}", events.len());
        for event in events {
            // An emulated clock drifts by that, and the reading of two clocks takes some time.
            let off = offset_ns(event) - first;
            let fresh = u64_of(event, "mono_ns").saturating_add(FRESH_NS) > until;
            let next = steps.get(i + 1).filter(|_| fresh).map(|step| step.1);
            let near = |moved: i64| (off - moved).abs() < 20_000_000;
            assert!(near(moved) || next.is_some_and(near), "{off} ns after step {i}: {event}");
        }
    }
}

const DAY_S: i64 = 86_400;
/// Of `observe`.
const INTERVAL_NS: u64 = 500_000_000;
/// Of the stream, in a second.
const RATE: u64 = 20;

/// What the clock was set by before each phase.
const PHASES: [i64; 4] = [0, DAY_S, -2 * DAY_S, DAY_S];

/// The number in the names of the files that a recording is divided into, of the newest.
fn newest_part(dir: &TempDir, name: &str) -> u32 {
    let files = fs::read_dir(dir.path()).expect("a directory");
    let number = |entry: fs::DirEntry| {
        let file = entry.file_name().into_string().ok()?;
        file.strip_prefix(name)?.strip_prefix('-')?.strip_suffix(".tcc")?.parse::<u32>().ok()
    };
    files.filter_map(|entry| number(entry.expect("an entry"))).max().unwrap_or(0)
}

fn names(dir: &TempDir, part: &str) -> Vec<String> {
    let files = fs::read_dir(dir.path()).expect("a directory");
    let names = files.map(|entry| entry.expect("an entry").file_name().into_string());
    names.filter_map(Result::ok).filter(|name| name.contains(part)).collect()
}

/// The events of these files.
#[track_caller]
fn recorded(dir: &TempDir, names: &[String]) -> Trace {
    let paths = names.iter().map(|name| dir.path().join(name));
    let paths: Vec<String> = paths.map(|path| path.display().to_string()).collect();
    let files = paths.iter().flat_map(|path| ["-r", path.as_str()]);
    let args: Vec<&str> = ["events", "all", "-o", "jsonl"].into_iter().chain(files).collect();
    Tracer::spawn(&Launch::here(), &args).wait()
}

/// Intervals, rates, parts and what a flight recorder keeps are times of the monotonic clock.
#[test]
fn a_step_of_the_clock_stops_and_hastens_nothing() {
    need!(is_root(), "not root");
    need!(guest(), "it would set this machine's clock", legitimate: true);
    let (dir, launch) = (TempDir::new(), Launch::here());
    // The clients connect to many addresses.
    let server = Server::start("0.0.0.0:0", None);
    let (port, to) = (server.port_text(), format!("127.0.0.1:{}", server.port()));
    let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let record = |name: &str, options: &[&str]| {
        let args = ["record", "state", "--lport", &port, "-w", &path(name)];
        let mut tracer = Tracer::spawn(&launch, &[&args, options].concat());
        tracer.wait_ready();
        tracer
    };
    let observe = Tracer::command_in(&launch, &["observe"], &["-i", "500ms", "--lport", &port]);
    let prom = path("tcc.prom");
    let textfile = ["--textfile", &prom, "--interval", "200ms"];
    let labels = ["--labels", "none", "--metrics", "connections", "--lport", &port];
    let export = Exporter::start_in(&launch, &[&labels[..], &textfile].concat());
    let parts = record("parts.tcc", &["--rotate", "1s", "--keep", "4"]);
    let flight = record("flight.tcc", &["--flight", "2s"]);
    let rate = format!("{RATE}/s");
    let stream =
        Tracer::command_in(&launch, &["events", "state"], &["--rate", &rate, "--lport", &port]);

    let start = mono_ns();
    let (mut opened, mut steps, mut before) = (0, Vec::new(), export.scrape());
    for (phase, by_s) in PHASES.into_iter().enumerate() {
        set_back_or_forth(by_s);
        steps.push(mono_ns());
        let rows = observe.events().len();
        let (part, flight_part) = (newest_part(&dir, "parts"), newest_part(&dir, "flight"));
        let written = || fs::metadata(&prom).map(|file| file.ino()).unwrap_or_default();
        let file = written();
        let churn = traffic(&["churn", "--to", &to, "--parallel", "1", "--seconds", "2"]);
        opened += u64_of(&churn[0], "opened");
        assert_eq!(churn[0]["failed"], 0);
        // A recorder divides what it records.
        let mut talk = || {
            let churn = traffic(&["churn", "--to", &to, "--parallel", "1", "--seconds", "0.1"]);
            opened += u64_of(&churn[0], "opened");
        };
        wait_until("rows, parts and a file", || {
            talk();
            observe.events().len() > rows
                && newest_part(&dir, "parts") > part
                && newest_part(&dir, "flight") > flight_part
                && written() != file
        });
        before = export.wait("a scrape", |scrape| {
            scrape.sum("tcctrace_connections_opened_total", &[]) >= opened as f64 - 1.0
                && scrape.series != before.series
        });
        flight.signal(Signal::USR2);
        wait_until("a sealed recording", || {
            flight.stderr().matches("tcc-trace: sealed ").count() == phase + 1
        });
    }
    server.settle();
    let elapsed_s = (mono_ns() - start).div_ceil(1_000_000_000);
    let scraped = export.wait("the last scrape", |scrape| {
        scrape.sum("tcctrace_connections_opened_total", &[]) >= opened as f64
    });
    scraped.check_grown_from(&before);
    assert_eq!(scraped.sum("tcctrace_connections_opened_total", &[]), opened as f64);

    check_rows(&observe.stop(), opened);
    check_stream(&stream.stop(), &steps, elapsed_s);
    let last_part = newest_part(&dir, "parts");
    assert!(u64::from(last_part) <= elapsed_s + 2, "{last_part} parts in {elapsed_s} s");
    let output = parts.stop_raw();
    assert!(output.status.success(), "{}", output.stderr);
    let kept = names(&dir, "parts-");
    assert_eq!(kept.len(), 4, "{kept:?}");
    assert!(!recorded(&dir, &kept).events.is_empty());
    let output = flight.stop_raw();
    assert!(output.status.success(), "{}", output.stderr);
    let sealed = names(&dir, "signal");
    assert_eq!(sealed.len(), PHASES.len(), "{sealed:?}");
    for name in &sealed {
        let trace = recorded(&dir, std::slice::from_ref(name));
        let [first, .., last] = &trace.events[..] else { panic!("{name}: {}", trace.end) };
        // Parts are half of it, and one has just begun.
        let span_ns = u64_of(last, "mono_ns") - u64_of(first, "mono_ns");
        assert!(span_ns < 10_000_000_000, "{name}: {span_ns} ns");
    }
}

/// Each interval is as long as it was, and its row has the clock's time at its end.
#[track_caller]
fn check_rows(trace: &Trace, opened: u64) {
    let value = |label: &str| -> u64 {
        let rows = trace.events.iter().filter(|row| row["label"] == label);
        rows.map(|row| u64_of(row, "value")).sum()
    };
    assert_eq!(value("passive_opens"), opened);
    let mut ends: Vec<(i64, u64)> = Vec::new();
    for row in &trace.events {
        let end = (wall_ns(row), u64_of(row, "interval_ns"));
        if ends.last() != Some(&end) {
            ends.push(end);
        }
    }
    // The last one is cut off by the end. One that is late makes the next one shorter.
    let whole = &ends[..ends.len() - 1];
    let total: u64 = whole.iter().map(|end| end.1).sum();
    let mean = total / whole.len() as u64;
    assert!(mean.abs_diff(INTERVAL_NS) < INTERVAL_NS / 10, "{mean} ns: {ends:?}");
    let moved = ends.windows(2).map(|pair| pair[1].0 - pair[0].0 - pair[1].1.cast_signed());
    let moved: Vec<i64> = moved.filter(|by| by.abs() > 50_000_000).collect();
    let expected: Vec<i64> = PHASES[1..].iter().map(|by_s| by_s * 1_000_000_000).collect();
    let near = |pair: (&i64, &i64)| (pair.0 - pair.1).abs() < 1_000_000_000;
    assert_eq!(moved.len(), expected.len(), "{moved:?}");
    assert!(moved.iter().zip(&expected).all(near), "{moved:?}");
}

/// Some of each phase, and never more than the rate.
#[track_caller]
fn check_stream(trace: &Trace, steps: &[u64], elapsed_s: u64) {
    trace.check_account();
    let emitted = u64_of(trace.counters(), "emitted");
    assert!(emitted <= RATE * (elapsed_s + 2), "{emitted} in {elapsed_s} s");
    assert!(u64_of(trace.counters(), "rate_limited") > 0, "{}", trace.end);
    for (phase, since) in steps.iter().enumerate() {
        let until = steps.get(phase + 1).copied().unwrap_or(u64::MAX);
        let of_phase = |event: &&Value| (*since..until).contains(&u64_of(event, "mono_ns"));
        let count = trace.events.iter().filter(of_phase).count() as u64;
        assert!(count >= RATE, "{count} in phase {phase}");
    }
}
