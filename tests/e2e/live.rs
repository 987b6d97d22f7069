//! `live` in a terminal: its values against ss and `top`, what it costs, and that it leaves the terminal as it was.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;

use rustix::process::Signal;
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::Value;

use crate::support::tmux::{Tmux, has_tmux};
use crate::support::{
    Fixture, Flood, Launch, Pace, Running, SocketOption, Ss, Tracer, is_root, tcc_trace, terminal,
    u64_of, wait_for, wait_until,
};

pub const NO_TMUX: &str = "tmux is not installed";

/// The cells of the row with that local port, by their titles. Columns are as wide as their titles and cells, with a space between.
pub fn cells(screen: &[String], port: u16) -> Option<BTreeMap<String, String>> {
    let titles = screen.iter().find(|line| line.starts_with("PROCESS"))?;
    let row = screen.iter().find(|line| {
        line.split_whitespace()
            .any(|word| word == port.to_string() || word.ends_with(&format!(":{port}")))
            && !line.contains("filter")
    })?;
    // Without the process, which may have spaces, the last words are the columns in order.
    let titles = titles.replace(" b/s", "");
    let titles: Vec<&str> = titles.split_whitespace().skip(1).collect();
    let mut words: Vec<&str> = row.split_whitespace().collect();
    // A limit has a share behind it.
    words.pop_if(|word| word.ends_with('%'));
    let first = words.len().checked_sub(titles.len())?;
    Some(
        titles
            .iter()
            .zip(&words[first..])
            .map(|(t, w)| ((*t).to_owned(), (*w).to_owned()))
            .collect(),
    )
}

/// `9.43M` in bytes per second.
pub fn rate(cell: &str) -> f64 {
    let (digits, unit) = match cell.strip_suffix(['k', 'M', 'G']) {
        Some(digits) => (digits, &cell[digits.len()..]),
        None => (cell, ""),
    };
    let unit = match unit {
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        _ => 1.0,
    };
    digits.parse::<f64>().expect("a number") * unit / 8.0
}

/// `12.3ms` in microseconds, and how far it may be rounded.
pub fn micros(cell: &str) -> (f64, f64) {
    let (digits, unit) = if let Some(digits) = cell.strip_suffix("ms") {
        (digits, 1e3)
    } else if let Some(digits) = cell.strip_suffix("us") {
        (digits, 1.0)
    } else {
        (cell.strip_suffix('s').expect("a time"), 1e6)
    };
    let value: f64 = digits.parse::<f64>().expect("a number") * unit;
    (value, value * 0.006 + 1.0)
}

/// Waits until everything that the client sent is acknowledged.
#[track_caller]
pub fn quiet(fixture: &Fixture, local: u16) {
    wait_until("the last ACK", || {
        let ss = Ss::of(&fixture.ns, local, fixture.port);
        ["unacked", "notsent"].iter().all(|name| ss.number(name).is_none())
    });
}

#[test]
fn the_table_shows_what_ss_shows() {
    need!(is_root(), "not root");
    need!(has_tmux(), NO_TMUX);
    let mut fixture = Fixture::new();
    fixture.listen();
    let port = fixture.port.to_string();
    let tmux = Tmux::start((140, 30), &["live", "-P", &port, "-i", "200ms"]);
    let mut locals = Vec::new();
    for (i, family) in ["127.0.0.1", "[::1]"].into_iter().enumerate() {
        let name = format!("c{i}");
        let client = fixture.connect(&name, family).0;
        fixture.client.transfer(&name, &mut fixture.server, 300_000);
        locals.push(client.local.port());
    }
    for local in locals {
        quiet(&fixture, local);
        // Nothing moves any more.
        let ss = Ss::of(&fixture.ns, local, fixture.port);
        tmux.wait("the values of ss", |screen| {
            let cells = cells(screen, local)?;
            let (srtt, rounding) = micros(&cells["SRTT"]);
            let near = (ss.number("rtt")? * 1e3 - srtt).abs() <= rounding;
            let cwnd = cells["CWND"] == ss.count("cwnd").to_string();
            (near && cwnd && ss.has(&cells["CC"]) && cells["TX"] == "0").then_some(())
        });
    }
    let (status, stderr) = tmux.quit();
    assert_eq!(status, "status 0", "{stderr}");
}

/// A connection at a steady rate.
#[test]
fn rates_are_those_of_top() {
    need!(is_root(), "not root");
    need!(has_tmux(), NO_TMUX);
    let mut fixture = Fixture::new();
    fixture.listen();
    let (client, _) = fixture.connect("c", "127.0.0.1");
    fixture.client.set("c", SocketOption::MaxPacingRate(1_000_000));
    fixture.server.sink("c", Pace::FAST);
    let port = fixture.port.to_string();
    let args = ["top", "-o", "jsonl", "-P", &port, "-i", "500ms"];
    let mut top = Tracer::spawn(&Launch::here(), &args);
    top.wait_ready();
    let tmux = Tmux::start((140, 30), &["live", "-P", &port, "-i", "500ms"]);
    tmux.wait("the table", |screen| cells(screen, client.local.port()));
    let local = client.local.port();
    std::thread::scope(|scope| {
        scope.spawn(|| fixture.client.send_for("c", 8_000, Pace::FAST));
        let of_top = |rows: &[Value]| -> Option<f64> {
            let own = rows.iter().filter(|row| u64_of(&row["key"], "sport") == u64::from(local));
            let mut rates = own.map(|row| {
                u64_of(row, "tx_bytes") as f64 * 1e9 / u64_of(row, "interval_ns") as f64
            });
            let last = rates.next_back()?;
            (last > 100_000.0).then_some(last)
        };
        let rate_of_top = wait_for("a rate of top", || top.with_events(of_top));
        tmux.wait("the rate of top", |screen| {
            let shown = rate(&cells(screen, local)?["TX"]);
            ((shown - rate_of_top).abs() < 0.15 * rate_of_top).then_some(())
        });
    });
    tmux.quit();
    top.stop().aggregated();
}

/// `probe: 8048 seen = 25 emitted + …` as numbers by name.
fn counters(stderr: &str, event_type: &str) -> BTreeMap<String, u64> {
    let start = format!("tcc-trace: {event_type}: ");
    let line = stderr.lines().find_map(|line| line.strip_prefix(&start));
    let line = line.unwrap_or_else(|| panic!("no line of {event_type}: {stderr}"));
    let words: Vec<&str> = line.split_whitespace().collect();
    let pairs =
        words.windows(2).filter_map(|pair| Some((pair[1].to_owned(), pair[0].parse().ok()?)));
    pairs.collect()
}

#[test]
fn the_table_makes_no_events_and_a_connection_only_its_own() {
    need!(is_root(), "not root");
    need!(has_tmux(), NO_TMUX);
    let flood = Flood::start();
    let port = flood.server.port_text();
    let tmux = Tmux::start((120, 40), &["live", "-P", &port, "-i", "200ms"]);
    tmux.wait("traffic", |screen| screen[0].contains("8 connections").then_some(()));
    let (_, stderr) = tmux.quit();
    assert_eq!(counters(&stderr, "probe")["seen"], 0, "{stderr}");

    let tmux = Tmux::start((120, 40), &["live", "-P", &port, "-i", "200ms"]);
    tmux.wait("traffic", |screen| screen[0].contains("8 connections").then_some(()));
    tmux.press(&["Enter"]);
    let samples = |screen: &[String]| {
        let words: Vec<&str> = screen.iter().flat_map(|line| line.split_whitespace()).collect();
        let at = words.iter().position(|word| *word == "samples")?;
        (words[at + 1] != "0").then_some(())
    };
    tmux.wait("samples", samples);
    // Another one, without loading programs again.
    tmux.press(&["]"]);
    tmux.wait("samples of the next", samples);
    tmux.press(&["Escape"]);
    tmux.wait("the table", |screen| screen.iter().any(|l| l.starts_with("PROCESS")).then_some(()));
    let (status, stderr) = tmux.quit();
    let probe = counters(&stderr, "probe");
    assert!(status == "status 0" && probe["emitted"] > 0, "{status}: {stderr}");
    // Of eight ends in the flood, one at a time is in the gate.
    assert!(probe["filtered"] > probe["emitted"], "{stderr}");
}

#[test]
fn keys_do_what_the_help_says() {
    need!(is_root(), "not root");
    need!(has_tmux(), NO_TMUX);
    let mut fixture = Fixture::new();
    fixture.listen();
    let port = fixture.port.to_string();
    let locals: Vec<u16> =
        ["a", "b"].map(|name| fixture.connect(name, "127.0.0.1").0.local.port()).into();
    let tmux = Tmux::start((100, 30), &["live", "-P", &port, "-i", "200ms"]);
    let has = |text: &str| {
        let text = text.to_owned();
        move |screen: &[String]| screen.iter().any(|line| line.contains(&text)).then_some(())
    };
    tmux.wait("four ends", has("4 connections"));
    tmux.press(&["/"]);
    tmux.press(&["-l", &format!("sport == {}", locals[1])]);
    tmux.wait("one end", has("1 of 4 connections"));
    tmux.press(&["-l", " &&& x"]);
    tmux.wait("the caret", has("^"));
    tmux.press(&["Escape"]);
    tmux.wait("the filter", has(&format!("filter: sport == {}", locals[1])));
    tmux.press(&["Enter"]);
    tmux.wait("the connection", has(&format!("127.0.0.1:{} \u{2192} 127.0.0.1:{port}", locals[1])));
    fixture.client.transfer("b", &mut fixture.server, 2_000_000);
    quiet(&fixture, locals[1]);
    let acked = Ss::of(&fixture.ns, locals[1], fixture.port).count("bytes_acked");
    tmux.wait("what ss has", has(&format!("acked {:.2}MB", acked as f64 / 1e6)));
    tmux.press(&["f"]);
    tmux.wait("it is frozen", has("FROZEN"));
    tmux.press(&["f"]);
    tmux.resize((80, 24));
    tmux.wait("the size", |screen| {
        (screen.len() == 24 && screen[23].contains("Esc")).then_some(())
    });
    fixture.client.close("b");
    fixture.server.close("b");
    tmux.wait("its end", has("ended"));
    tmux.press(&["Escape"]);
    tmux.wait("the table", has("PROCESS"));
    tmux.press(&["Escape"]);
    tmux.press(&["?"]);
    tmux.wait("the help", has("choose a connection"));
    tmux.press(&["?"]);
    let (status, stderr) = tmux.quit();
    assert_eq!(status, "status 0", "{stderr}");
}

/// What was written is a recording of that connection alone, with values that ss has.
#[test]
fn a_connection_is_written_as_a_recording() {
    need!(is_root(), "not root");
    need!(has_tmux(), NO_TMUX);
    let mut fixture = Fixture::new();
    fixture.listen();
    let port = fixture.port.to_string();
    let client = fixture.connect("a", "127.0.0.1").0;
    fixture.connect("b", "127.0.0.1");
    let local = client.local.port();
    let tmux = Tmux::start((120, 40), &["live", "--lport", &local.to_string(), "-i", "200ms"]);
    tmux.wait("the end", |screen| cells(screen, local));
    tmux.press(&["Enter"]);
    let title = format!("127.0.0.1:{local} \u{2192} 127.0.0.1:{port}");
    tmux.wait("the connection", |screen| screen[0].contains(&title).then_some(()));
    for name in ["a", "b", "a"] {
        fixture.client.transfer(name, &mut fixture.server, 500_000);
    }
    quiet(&fixture, local);
    let acked = Ss::of(&fixture.ns, local, fixture.port).count("bytes_acked");
    let shown = format!("acked {:.2}MB", acked as f64 / 1e6);
    tmux.wait("all of it", |screen| screen[1].contains(&shown).then_some(()));
    tmux.press(&["w"]);
    let (events, file) = tmux.wait("the name", |screen| {
        let (events, file) = screen.last()?.strip_prefix("wrote ")?.split_once(" events to ")?;
        Some((events.parse::<usize>().ok()?, file.trim_end().to_owned()))
    });
    let (status, stderr) = tmux.quit();
    assert_eq!(status, "status 0", "{stderr}");
    let path = tmux.dir().join(file);
    let read = |args: &[&str]| -> Vec<Value> {
        let mut command = Launch::here().command(tcc_trace());
        command.args(args).arg("-r").arg(&path).args(["-o", "jsonl", "-q"]);
        let text = crate::support::run::output(command).expect("it is read");
        let lines = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        lines.filter(|line: &Value| line["type"] != "end").collect()
    };
    let samples = read(&["probe", "--fields", "cookie,bytes_acked,snd_cwnd"]);
    assert!(!samples.is_empty() && samples.len() <= events, "{} {events}", samples.len());
    assert!(samples.iter().all(|sample| u64_of(sample, "cookie") == client.cookie));
    let last = samples.iter().map(|sample| u64_of(sample, "bytes_acked")).max();
    assert!(last <= Some(acked) && last > Some(acked / 2), "{last:?} of {acked}");
}

/// `live` on a terminal of ours.
fn on_terminal(args: &[&str]) -> (File, OwnedFd, Running) {
    let (ours, theirs) = terminal();
    // A new one has no size, and nothing would be drawn.
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&theirs, size).expect("a size");
    let copy = || theirs.try_clone().expect("a copy");
    let mut command = Launch::here().command(tcc_trace());
    command.args(["live", "-P", "1"]).args(args).stdin(copy()).stdout(copy());
    let running = Running::spawn(&mut command);
    (ours, theirs, running)
}

/// What was printed so far.
fn printed(ours: &mut File, text: &mut String, until: &str) {
    let mut bytes = [0; 4096];
    while !text.contains(until) {
        let read = ours.read(&mut bytes).expect("the terminal");
        text.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
}

const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";

fn is_raw(terminal: impl AsFd) -> bool {
    !tcgetattr(terminal).expect("its modes").local_modes.contains(LocalModes::ICANON)
}

#[test]
fn signals_restore_the_terminal() {
    need!(is_root(), "not root");
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let (mut ours, theirs, mut running) = on_terminal(&["-q"]);
        let mut text = String::new();
        printed(&mut ours, &mut text, "no TCP connections");
        assert!(text.contains(ENTER) && is_raw(&theirs));
        running.signal(signal);
        printed(&mut ours, &mut text, LEAVE);
        let (status, stderr) = running.wait();
        assert_eq!((status.code(), stderr.as_str()), (Some(0), ""), "{signal:?}");
        assert!(!is_raw(&theirs), "{signal:?}");
    }
}

#[test]
fn a_stop_gives_the_terminal_back_until_it_goes_on() {
    need!(is_root(), "not root");
    let (mut ours, theirs, mut running) = on_terminal(&["-q"]);
    let mut text = String::new();
    printed(&mut ours, &mut text, "no TCP connections");
    running.signal(Signal::TSTP);
    printed(&mut ours, &mut text, LEAVE);
    let state = || {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", running.pid())).unwrap_or_default();
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
    };
    wait_until("it is stopped", || state() == Some('T'));
    assert!(!is_raw(&theirs));
    text.clear();
    running.signal(Signal::CONT);
    printed(&mut ours, &mut text, "no TCP connections");
    assert!(text.contains(ENTER) && is_raw(&theirs));
    running.signal(Signal::TERM);
    printed(&mut ours, &mut text, LEAVE);
    assert!(running.wait().0.success());
}

/// With and without SIGHUP, which `nohup` has ignored.
#[test]
fn a_terminal_that_goes_away_ends_it() {
    need!(is_root(), "not root");
    let (mut ours, theirs, mut running) = on_terminal(&[]);
    let mut text = String::new();
    printed(&mut ours, &mut text, "no TCP connections");
    drop(theirs);
    drop(ours);
    let (status, stderr) = running.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert_eq!(counters(&stderr, "probe")["seen"], 0, "{stderr}");
}

/// Nobody reads the terminal, as behind a line that has stalled.
#[test]
fn a_terminal_that_takes_nothing_does_not_hold_it_up() {
    need!(is_root(), "not root");
    let (ours, theirs, mut running) = on_terminal(&["-i", "10ms"]);
    wait_until("the screen is drawn", || is_raw(&theirs));
    // Keys that draw everything again fill the terminal.
    let full = || {
        let mut files = [rustix::event::PollFd::new(&theirs, rustix::event::PollFlags::OUT)];
        let none = rustix::event::Timespec::default();
        rustix::event::poll(&mut files, Some(&none)).expect("poll") == 0
    };
    wait_until("it is full", || {
        let _ = rustix::io::write(&ours, b"\x0c");
        full()
    });
    running.signal(Signal::TERM);
    assert!(running.wait().0.success());
    assert!(!is_raw(&theirs));
}

#[test]
fn without_a_terminal_it_says_so() {
    let mut command = Launch::here().command(tcc_trace());
    command.arg("live").stdin(Stdio::null()).stdout(Stdio::null());
    let (status, stderr) = Running::spawn(&mut command).wait();
    assert_eq!((status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
    assert!(stderr.contains("live needs a terminal"), "{stderr}");
}
