//! tcc-trace itself.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard};

use rustix::process::Signal;
use rustix::thread::{MembarrierCommand, membarrier};
use serde_json::Value;

use super::launch::Launch;
use super::run::Running;
use super::times::Timer;
use super::{TempDir, tcc_trace, wait_until};

/// A running trace. Dropped, it is killed.
pub struct Tracer {
    process: Running,
    stdout: PathBuf,
    lines: Mutex<Lines>,
    /// Since it was started.
    timer: Timer,
    arguments: String,
    _dir: TempDir,
}

impl Tracer {
    /// Starts it with `-o jsonl` and waits until it traces.
    #[track_caller]
    pub fn start(args: &[&str]) -> Self {
        Tracer::start_in(&Launch::here(), args)
    }

    #[track_caller]
    pub fn start_in(launch: &Launch, args: &[&str]) -> Self {
        let mut tracer = Tracer::spawn(launch, &[&["-o", "jsonl"], args].concat());
        tracer.wait_ready();
        tracer
    }

    /// `events` of these event types, with `-o jsonl`; waits until it traces.
    #[track_caller]
    pub fn events_in(launch: &Launch, event_types: &str, args: &[&str]) -> Self {
        Tracer::command_in(launch, &["events", event_types], args)
    }

    /// A command with `-o jsonl`; waits until it traces.
    #[track_caller]
    pub fn command_in(launch: &Launch, command: &[&str], args: &[&str]) -> Self {
        let mut tracer = Tracer::spawn(launch, &[command, &["-o", "jsonl"], args].concat());
        tracer.wait_ready();
        tracer
    }

    /// Starts it with these arguments and nothing more, and does not wait.
    #[track_caller]
    pub fn spawn(launch: &Launch, args: &[&str]) -> Self {
        let dir = TempDir::new();
        let stdout = dir.path().join("stdout");
        let mut command = launch.command(tcc_trace());
        command
            .args(args)
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).expect("a temporary file"));
        let (timer, arguments) = (Timer::start("tracer"), args.join(" "));
        let process = Running::spawn(&mut command);
        let file = File::open(&stdout).expect("its output");
        let lines = Mutex::new(Lines::of(file));
        Tracer { process, stdout, lines, timer, arguments, _dir: dir }
    }

    /// Waits until all programs are attached; fails with what it said, should it end before.
    #[track_caller]
    pub fn wait_ready(&mut self) {
        self.process.wait_for_line("tcc-trace: tracing");
        self.timer.log(&self.arguments);
    }

    pub fn wait_for_line(&mut self, start: &str) {
        self.process.wait_for_line(start);
    }

    pub fn stderr(&self) -> String {
        self.process.stderr()
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    pub fn ended(&mut self) -> bool {
        self.process.ended()
    }

    /// What it has written so far.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.stdout).expect("its output")).into_owned()
    }

    /// The JSON lines so far; those that are new are read now.
    fn lines(&self) -> MutexGuard<'_, Lines> {
        let mut lines = self.lines.lock().expect("no panic");
        lines.read();
        lines
    }

    /// The events so far.
    pub fn events(&self) -> Vec<Value> {
        self.lines().events.clone()
    }

    /// The counters that were printed so far.
    pub fn stats(&self) -> Vec<Value> {
        self.lines().stats.clone()
    }

    /// What was said to be left out so far.
    pub fn notices(&self) -> Vec<Value> {
        self.lines().notices.clone()
    }

    /// Looks at the events so far without a copy of them.
    pub fn with_events<T>(&self, look: impl FnOnce(&[Value]) -> T) -> T {
        look(&self.lines().events)
    }

    /// Waits until the events so far satisfy the condition.
    #[track_caller]
    pub fn wait_events(&self, what: &str, mut enough: impl FnMut(&[Value]) -> bool) {
        wait_until(what, || self.with_events(&mut enough));
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait_raw(mut self) -> Output {
        let (status, stderr) = self.process.wait();
        Output { stdout: self.stdout(), stderr, status }
    }

    /// Ctrl-C.
    #[track_caller]
    pub fn stop_raw(self) -> Output {
        finish_softirqs();
        self.signal(Signal::INT);
        self.wait_raw()
    }

    /// Waits for its end, which must be a good one; its JSON lines.
    #[track_caller]
    pub fn wait(self) -> Trace {
        self.wait_raw().trace()
    }

    /// Ctrl-C; its JSON lines.
    #[track_caller]
    pub fn stop(self) -> Trace {
        self.stop_raw().trace()
    }
}

/// Waits for what the kernel is in the middle of: it shows a connection as ended, in /proc/net/tcp and to its peer, before the
/// hooks of that end run, and another CPU may be slow. The barrier is a grace period of RCU, which no softirq outlasts.
fn finish_softirqs() {
    // Refused on a kernel with nohz_full only.
    let _ = membarrier(MembarrierCommand::Global);
}

/// What a tracer has printed as JSON lines: each line is read once, however often a test asks.
struct Lines {
    file: File,
    /// The beginning of a line whose end is not there yet.
    rest: Vec<u8>,
    events: Vec<Value>,
    stats: Vec<Value>,
    notices: Vec<Value>,
}

impl Lines {
    fn of(file: File) -> Self {
        Lines { file, rest: Vec::new(), events: Vec::new(), stats: Vec::new(), notices: Vec::new() }
    }

    fn read(&mut self) {
        self.file.read_to_end(&mut self.rest).expect("its output");
        let end = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let whole: Vec<u8> = self.rest.drain(..end).collect();
        for line in String::from_utf8_lossy(&whole).lines() {
            let value = parse(line);
            match value["type"].as_str() {
                Some("end") => {}
                Some("stats") => self.stats.push(value),
                Some("notice") => self.notices.push(value),
                _ => self.events.push(value),
            }
        }
    }
}

/// Of a run that has ended.
#[derive(Debug)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
    pub status: ExitStatus,
}

impl Output {
    #[track_caller]
    pub fn trace(self) -> Trace {
        assert!(self.status.success(), "{:?}: {}", self.status, self.stderr);
        self.counts()
    }

    /// The JSON lines, whatever the status.
    #[track_caller]
    pub fn counts(self) -> Trace {
        let mut lines: Vec<Value> = self.stdout.lines().map(parse).collect();
        let end = lines.pop().unwrap_or_else(|| panic!("no output: {}", self.stderr));
        assert_eq!(end["type"], "end", "the last line is the account: {end}");
        let (stats, lines): (Vec<Value>, Vec<Value>) =
            lines.into_iter().partition(|line| line["type"] == "stats");
        let (notices, mut events): (Vec<Value>, Vec<Value>) =
            lines.into_iter().partition(|line| line["type"] == "notice");
        check_order(&events, &end);
        if u64_of(&end, "late") > 0 {
            events.sort_by_key(|event| event["mono_ns"].as_u64());
        }
        Trace { events, stats, notices, end, stderr: self.stderr, status: self.status }
    }

    /// The programs that it has listed with `-v`.
    #[track_caller]
    pub fn programs(&self) -> BTreeSet<String> {
        let mut lines = self.stderr.lines();
        let list = lines.find_map(|line| line.strip_prefix("tcc-trace: programs: "));
        let list = list.unwrap_or_else(|| panic!("{}", self.stderr));
        list.split_whitespace().map(str::to_owned).collect()
    }
}

/// The JSON lines of a run.
#[derive(Debug)]
pub struct Trace {
    /// As they happened; on a busy machine one may have been printed behind younger ones (see `late`).
    pub events: Vec<Value>,
    pub stats: Vec<Value>,
    /// What was said to be left out.
    pub notices: Vec<Value>,
    /// The account.
    pub end: Value,
    pub stderr: String,
    pub status: ExitStatus,
}

impl Trace {
    /// The events of each connection, by cookie, in order.
    pub fn by_cookie(&self) -> BTreeMap<u64, Vec<&Value>> {
        let mut connections: BTreeMap<u64, Vec<&Value>> = BTreeMap::new();
        for event in &self.events {
            connections.entry(event["cookie"].as_u64().unwrap_or(0)).or_default().push(event);
        }
        connections
    }

    /// The events of one connection's end.
    pub fn of_cookie(&self, cookie: u64) -> Vec<&Value> {
        self.events.iter().filter(|event| event["cookie"] == cookie).collect()
    }

    /// Every event that the hook saw is accounted for, and what is printed is what was emitted.
    #[track_caller]
    pub fn check_account(&self) {
        check_counts(&self.end, self.events.len());
    }

    /// The same for each of these event types, of which there are books and of no others.
    #[track_caller]
    pub fn check_accounts(&self, event_types: &[&str]) {
        self.check_account();
        let books = self.end["event_types"].as_object().unwrap_or_else(|| panic!("{}", self.end));
        let reported: BTreeSet<&str> = books.keys().map(String::as_str).collect();
        assert_eq!(reported, event_types.iter().copied().collect(), "{}", self.end);
        for (event_type, books) in books {
            check_counts(books, self.of_type(event_type).len());
        }
    }

    /// The counters of a run with one action: those of its summary, or of its printed events.
    pub fn counters(&self) -> &Value {
        self.end.get("aggregate").unwrap_or(&self.end)
    }

    /// Of a summary: every event that the hook saw is accounted for, and the rows show all that were aggregated; those.
    #[track_caller]
    pub fn aggregated(&self) -> u64 {
        let account = &self.end["aggregate"];
        for counts in all_counts(account) {
            check_sum(counts, &["aggregated", "overflow", "filtered", "lost"]);
        }
        assert!(!self.stderr.contains("the summaries show"), "{}", self.stderr);
        u64_of(account, "aggregated") + u64_of(account, "overflow")
    }

    /// Of `--counters-only`: every event that the hook saw is accounted for; how many match the filters, by event type.
    #[track_caller]
    pub fn counted(&self) -> BTreeMap<String, u64> {
        let account = &self.end["count"];
        for counts in all_counts(account) {
            check_sum(counts, &["counted", "filtered", "lost"]);
        }
        let event_types = account["event_types"].as_object().expect("event types");
        event_types.iter().map(|(name, counts)| (name.clone(), u64_of(counts, "counted"))).collect()
    }

    /// The events of one event type, in order.
    pub fn of_type(&self, event_type: &str) -> Vec<&Value> {
        self.events.iter().filter(|event| event["type"] == event_type).collect()
    }
}

/// The stream is in the order of time, but for those that are said to be late.
#[track_caller]
fn check_order(events: &[Value], end: &Value) {
    let mut newest = 0;
    let mut behind = 0;
    for time in events.iter().filter_map(|event| event["mono_ns"].as_u64()) {
        behind += u64::from(time < newest);
        newest = newest.max(time);
    }
    assert!(behind <= u64_of(end, "late"), "{behind} events stand behind younger ones: {end}");
}

/// What becomes of an event that is printed, or not.
pub const PARTS: [&str; 6] =
    ["emitted", "filtered", "sampled_out", "rate_limited", "lost", "malformed"];

#[track_caller]
fn check_counts(books: &Value, printed: usize) {
    check_sum(books, &PARTS);
    assert_eq!(u64_of(books, "emitted"), printed as u64, "{books}");
    assert_eq!(u64_of(books, "malformed"), 0, "{books}");
}

#[track_caller]
fn check_sum(books: &Value, parts: &[&str]) {
    let sum: u64 = parts.iter().map(|part| u64_of(books, part)).sum();
    assert_eq!(u64_of(books, "seen"), sum, "{books}");
}

/// The totals of an action, and the counters of each event type.
fn all_counts(account: &Value) -> impl Iterator<Item = &Value> {
    let event_types = account["event_types"].as_object();
    event_types.into_iter().flat_map(|of| of.values()).chain([account])
}

#[track_caller]
pub fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("not JSON: {error}: {line:?}"))
}

/// A member that must be an unsigned number.
#[track_caller]
pub fn u64_of(object: &Value, key: &str) -> u64 {
    object[key].as_u64().unwrap_or_else(|| panic!("{key} is {} in {object}", object[key]))
}

/// A member that must be text.
#[track_caller]
pub fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_else(|| panic!("{key} is {} in {object}", object[key]))
}

/// Every value of a line with its column's name (`bbr.bw`), in the line's order.
pub fn leaves(event: &Value) -> impl Iterator<Item = (Cow<'_, str>, &Value)> {
    let columns = event.as_object().expect("an object").iter();
    columns.flat_map(|(key, value)| match value {
        Value::Object(group) => {
            group.iter().map(|(leaf, value)| (format!("{key}.{leaf}").into(), value)).collect()
        }
        value => vec![(key.into(), value)],
    })
}

/// The same by name.
pub fn cells(event: &Value) -> BTreeMap<String, Value> {
    leaves(event).map(|(name, value)| (name.into_owned(), value.clone())).collect()
}
