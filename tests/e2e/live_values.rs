//! `live`: the values of a connection against `ss`, what limits it against a limit that was set, and the memory that it takes.

use crate::live::{NO_TMUX, cells, micros, quiet, rate};
use crate::support::tmux::{Tmux, has_tmux};
use crate::support::{Fixture, Pace, SocketOption, Ss, is_root};

/// Resident memory beside mapped files: the program itself, which is larger here than as released, and the event buffer.
const BUDGET_KB: u64 = 12 * 1024;

/// The word behind those words on a line of the screen.
fn word_after(screen: &[String], words: &str) -> Option<String> {
    let (_, rest) = screen.iter().find_map(|line| line.split_once(&format!("{words} ")))?;
    rest.split_whitespace().next().map(str::to_owned)
}

fn near(value: f64, other: f64, relative: f64) -> bool {
    (value - other).abs() <= other.abs() * relative + 1.0
}

/// Segments are lost until the retransmission timer fires: in flight and ssthresh are then what `ss` shows. After the recovery,
/// so are all values of the connection's charts.
#[test]
fn a_connection_has_the_values_of_ss() {
    need!(is_root(), "not root");
    need!(has_tmux(), NO_TMUX);
    let mut fixture = Fixture::new();
    fixture.listen();
    // BBR sets its pacing rate anew as it sends after a pause.
    fixture.client.use_cc("cubic");
    let client = fixture.connect("c", "127.0.0.1").0;
    let (local, port) = (client.local.port(), fixture.port);
    fixture.client.transfer("c", &mut fixture.server, 500_000);
    quiet(&fixture, local);
    let lport = local.to_string();
    let tmux = Tmux::start((200, 40), &["live", "-L", &lport, "-i", "100ms"]);
    tmux.wait("the table", |screen| cells(screen, local));
    fixture.silence();
    fixture.client.send("c", 300_000);
    let ns = &fixture.ns;
    tmux.wait("segments in flight and ssthresh", |screen| {
        let ss = Ss::of(ns, local, port);
        let cells = cells(screen, local)?;
        let retrans = ss.numbers("retrans").map_or(0, |numbers| numbers[0] as u64);
        let left = ss.count("unacked") + retrans;
        let in_flight = left.checked_sub(ss.count("lost") + ss.count("sacked"))?;
        let ssthresh = ss.number("ssthresh")? as u64;
        let same = cells["FLIGHT"] == in_flight.to_string()
            && cells["SSTHR"] == ssthresh.to_string()
            && cells["CA"] == "Loss";
        (same && in_flight > 0 && ss.count("lost") > 0).then_some(())
    });
    tmux.press(&["Enter"]);
    tmux.wait("the connection", |screen| screen[0].contains("\u{2192}").then_some(()));
    fixture.speak();
    fixture.server.receive("c", 300_000);
    quiet(&fixture, local);
    // A sample is the state before its packet: the next one has what ss shows.
    let ss = Ss::of(&fixture.ns, local, port);
    fixture.client.transfer("c", &mut fixture.server, 100);
    let srtt_us = ss.number("rtt").expect("an RTT") * 1e3;
    let min_us = ss.number("minrtt").expect("a smallest RTT") * 1e3;
    let pacing = ss.number("pacing_rate").expect("a pacing rate");
    let flight = tmux.wait("the values of ss", |screen| {
        let value = |name: &str| word_after(screen, name);
        let time = |name: &str| Some(micros(&value(name)?).0);
        let same = value("cwnd")? == ss.count("cwnd").to_string()
            && value("ssthresh")? == ss.count("ssthresh").to_string()
            && near(time("srtt")?, srtt_us, 0.006)
            && near(time("RTT     srtt")?, srtt_us, 0.006)
            && near(time("min")?, min_us, 0.006)
            && near(rate(&value("pacing")?) * 8.0, pacing, 0.006);
        same.then(|| value("in flight"))
    });
    assert_eq!(flight.as_deref(), Some("1"), "the packet that the sample acknowledges");
    tmux.quit();
}

/// A rate limit of the socket is what limits it.
#[test]
fn the_limit_that_was_set_is_shown() {
    need!(is_root(), "not root");
    need!(has_tmux(), NO_TMUX);
    let mut fixture = Fixture::new();
    fixture.listen();
    let (client, _) = fixture.connect("c", "127.0.0.1");
    fixture.client.set("c", SocketOption::MaxPacingRate(1_000_000));
    fixture.server.sink("c", Pace::FAST);
    let (local, port) = (client.local.port(), fixture.port.to_string());
    let tmux = Tmux::start((140, 40), &["live", "--limits", "-P", &port, "-i", "500ms"]);
    tmux.wait("the table", |screen| cells(screen, local));
    let percent = |text: &str| text.strip_suffix('%')?.parse::<u64>().ok();
    std::thread::scope(|scope| {
        scope.spawn(|| fixture.client.send_for("c", 8_000, Pace::FAST));
        tmux.wait("the cause in the table", |screen| {
            let share = percent(&word_after(screen, "pacing_cap")?)?;
            (share >= 80).then_some(())
        });
        tmux.press(&["/"]);
        tmux.press(&["-l", "limit == \"pacing_cap\""]);
        tmux.press(&["Enter"]);
        tmux.wait("the row alone", |screen| {
            (screen[0].starts_with("1 of 2 connections")).then_some(())
        });
        tmux.press(&["Enter"]);
        tmux.wait("the cause over time", |screen| {
            let share = percent(&word_after(screen, "C pacing_cap")?)?;
            let strip = screen.iter().find(|line| line.starts_with("LIMIT"))?;
            (share >= 80 && strip.matches('C').count() >= 3).then_some(())
        });
    });
    let kb = own_kb(tmux.pid());
    assert!(kb <= BUDGET_KB, "{kb} kB resident");
    let (status, stderr) = tmux.quit();
    assert_eq!(status, "status 0", "{stderr}");
}

#[track_caller]
fn own_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
