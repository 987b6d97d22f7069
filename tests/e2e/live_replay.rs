//! `live -r` in a terminal: real traffic is recorded, and shown again as `ss` showed it.

use serde_json::Value;

use crate::live::{NO_TMUX, cells, micros, quiet};
use crate::support::tmux::{Tmux, has_tmux};
use crate::support::{Fixture, Launch, Running, Ss, TempDir, Tracer, is_root, tcc_trace};

/// Seconds of the last line: where the view is, and how long the recording is.
fn place(screen: &[String]) -> Option<(f64, f64)> {
    let words: Vec<&str> = screen.last()?.split_whitespace().collect();
    let of = words.iter().position(|word| *word == "of")?;
    let number = |at: Option<usize>| words.get(at?)?.parse::<f64>().ok();
    Some((number(of.checked_sub(2))?, number(Some(of + 1))?))
}

#[test]
fn a_recording_is_replayed_as_ss_saw_it() {
    need!(is_root(), "not root");
    need!(has_tmux(), NO_TMUX);
    let dir = TempDir::new();
    let file = dir.path().join("run.tcc");
    let path = file.to_str().expect("UTF-8");
    let mut fixture = Fixture::new();
    fixture.listen();
    let port = fixture.port.to_string();
    let args = ["record", "-w", path, "-P", &port];
    let mut recorder = Tracer::spawn(&Launch::here(), &args);
    recorder.wait_ready();
    let client = fixture.connect("c", "127.0.0.1").0;
    let local = client.local.port();
    fixture.client.transfer("c", &mut fixture.server, 2_000_000);
    quiet(&fixture, local);
    let ss = Ss::of(&fixture.ns, local, fixture.port);
    // A sample is the state before its packet: the next one has what ss shows.
    fixture.client.transfer("c", &mut fixture.server, 100);
    quiet(&fixture, local);
    let recorded = recorder.stop_raw();
    assert!(recorded.status.success(), "{}", recorded.stderr);

    let lport = local.to_string();
    let args = ["live", "-r", path, "-L", &lport, "-i", "100ms", "--speed", "20"];
    let tmux = Tmux::start((140, 40), &args);
    tmux.wait("the end, with the values of ss", |screen| {
        let (at, length) = place(screen)?;
        let cells = cells(screen, local)?;
        let (srtt, rounding) = micros(&cells["SRTT"]);
        let near = (ss.number("rtt")? * 1e3 - srtt).abs() <= rounding;
        let cwnd = cells["CWND"] == ss.count("cwnd").to_string();
        let paused = screen.last()?.contains("paused");
        (near && cwnd && ss.has(&cells["CC"]) && at == length && paused).then_some(())
    });
    tmux.press(&["Enter"]);
    let acked = format!("acked {:.2}MB", ss.count("bytes_acked") as f64 / 1e6);
    let samples = samples(path, &lport);
    tmux.wait("the connection", |screen| {
        let title = format!("127.0.0.1:{local} \u{2192} 127.0.0.1:{port}");
        let facts = screen[1..3].join(" ");
        let all = facts.contains(&format!("samples {samples} ")) && facts.contains(&acked);
        (screen[0].contains(&title) && all).then_some(())
    });
    tmux.press(&["w"]);
    tmux.wait("how to have it", |screen| {
        screen.iter().any(|line| line.contains("tcc-trace convert")).then_some(())
    });
    // To the start, a step on, and back to the end.
    tmux.press(&["{"]);
    tmux.wait("the start", |screen| (place(screen)?.0 == 0.0).then_some(()));
    tmux.press(&["."]);
    let (after, length) = tmux.wait("a step", |screen| place(screen).filter(|(at, _)| *at > 0.0));
    assert!((after - length.min(1.0)).abs() < 0.011, "a step is a 60th of a minute: {after}");
    tmux.press(&["}"]);
    tmux.wait("the end", |screen| place(screen).filter(|(at, length)| at == length));
    tmux.press(&["Escape"]);
    tmux.wait("the table", |screen| cells(screen, local));
    let (status, stderr) = tmux.quit();
    assert_eq!((status.as_str(), stderr.as_str()), ("status 0", ""));
}

/// The samples of the end with that port, counted in JSON lines.
#[track_caller]
fn samples(path: &str, lport: &str) -> usize {
    let mut command = Launch::here().command(tcc_trace());
    command.args(["probe", "-r", path, "-L", lport, "-o", "jsonl", "-q"]);
    let text = crate::support::run::output(command).expect("it is read");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.filter(|line| line["type"] == "probe").count()
}

/// A recording is read without any right, and without a trace no option of the kernel is accepted.
#[test]
fn options_of_a_trace_are_refused() {
    let refused = |args: &[&str]| {
        let mut command = Launch::here().command(tcc_trace());
        command.arg("live").args(args);
        let (status, stderr) = Running::spawn(&mut command).wait();
        assert_eq!(status.code(), Some(2), "{args:?}");
        stderr
    };
    assert!(refused(&["-r", "x.tcc", "--reader", "record"]).contains("--reader cannot be used"));
    assert!(refused(&["--speed", "2"]).contains("need -r FILE"));
    assert!(refused(&["-r", "x.tcc", "--speed", "0"]).contains("must be a number from 0.01"));
}
