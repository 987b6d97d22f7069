//! The line that shows on a terminal how a recording grows.

use std::fs::File;
use std::io::Read;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{
    Launch, Running, Server, TempDir, Tracer, is_root, tcc_trace, terminal, traffic_program,
    wait_until,
};

/// A tracer whose standard error is a terminal. It does not outlive the test.
struct OnTerminal {
    child: Child,
    shown: Arc<Mutex<String>>,
    reader: std::thread::JoinHandle<()>,
}

fn read(mut ours: File, shown: &Mutex<String>) {
    let mut buffer = [0; 4096];
    // Ends with an error: the other end is closed.
    while let Ok(count @ 1..) = ours.read(&mut buffer) {
        shown.lock().expect("a lock").push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
}

impl OnTerminal {
    fn start(args: &[&str]) -> Self {
        let (ours, theirs) = terminal();
        let mut command = Launch::here().command(tcc_trace());
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(theirs);
        let child = command.spawn().expect("it starts");
        // Else the other end stays open.
        drop(command);
        let shown = Arc::new(Mutex::new(String::new()));
        let reader = std::thread::spawn({
            let shown = Arc::clone(&shown);
            move || read(ours, &shown)
        });
        OnTerminal { child, shown, reader }
    }

    fn shown(&self) -> String {
        self.shown.lock().expect("a lock").clone()
    }

    /// Interrupts it; all that it has shown.
    fn stop(mut self) -> String {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::INT).expect("it runs");
        assert!(self.child.wait().expect("its end").success(), "{}", self.shown());
        let _ = self.reader.join();
        self.shown.lock().expect("a lock").clone()
    }
}

/// Of a line `12 s: 123456 events (10288/s), 1.2 MB, 0 lost`: seconds, events, rate and lost.
fn numbers(line: &str) -> Option<[u64; 4]> {
    let (seconds, rest) = line.split_once(" s: ")?;
    let (events, rest) = rest.split_once(" events (")?;
    let (rate, rest) = rest.split_once("/s), ")?;
    let (size, lost) = rest.split_once(", ")?;
    assert!(size.ends_with('B'), "{line}");
    let of = |text: &str| text.parse().ok();
    Some([of(seconds)?, of(events)?, of(rate)?, of(lost.strip_suffix(" lost")?)?])
}

/// The lines that were each shown in place of the one before.
fn lines(shown: &str) -> Vec<[u64; 4]> {
    let ended = shown.split("\x1b[K\r").map(|text| text.rsplit(['\n', '\r']).next().unwrap_or(""));
    ended.filter_map(numbers).collect()
}

#[test]
fn a_terminal_shows_how_a_recording_grows() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let file = dir.path().join("run.tcc");
    let path = file.to_str().expect("UTF-8");
    let server = Server::start("127.0.0.1:0", None);
    let (port, to) = (server.port_text(), server.addr.to_string());
    let mut command = Launch::here().command(traffic_program());
    command.args(["pingpong", "--to", &to, "--seconds", "300", "--interval", "1ms"]);
    let _traffic = Running::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()));
    let quiet = OnTerminal::start(&["record", "-q", "-w", &format!("{path}.q"), "-P", &port]);
    let tracer = OnTerminal::start(&["record", "-w", path, "-P", &port]);
    let grown = || lines(&tracer.shown()).iter().filter(|line| line[1] > 0).count();
    wait_until("the third line", || grown() >= 3);
    let shown = tracer.stop();
    let lines = lines(&shown);
    for two in lines.windows(2) {
        let [before, after] = two else { panic!() };
        assert!(after[0] > before[0] && after[1] >= before[1], "{shown:?}");
        assert_eq!(after[2], after[1] - before[1], "since the line before: {shown:?}");
    }
    assert!(lines.iter().all(|line| line[3] == 0), "{shown:?}");
    // The last line is overwritten, and what follows is whole.
    let last = shown.lines().rfind(|line| line.contains(" events in ")).expect("an end");
    let last = last.rsplit("\x1b[K").next().expect("text");
    let recorded = last.strip_prefix("tcc-trace: recorded ").expect("how many").split(' ').next();
    let info = Tracer::spawn(&Launch::here(), &["info", "-o", "jsonl", path]).wait_raw();
    let info: Value =
        serde_json::from_str(info.stdout.lines().next().expect("a line")).expect("JSON");
    assert_eq!(recorded.and_then(|n| n.parse().ok()), info["records"].as_u64(), "{shown:?}");
    assert!(lines.last().expect("a line")[1] <= info["records"].as_u64().unwrap_or(0));
    assert_eq!(quiet.stop(), "");
    // Elsewhere there is none.
    let file = format!("{path}.file");
    let output =
        Tracer::spawn(&Launch::here(), &["record", "-w", &file, "-P", &port, "-d", "2500ms"]);
    assert!(!output.wait_raw().stderr.contains("\x1b["));
}
