//! The command `drop`: its lines, a stack's lines, and what makes no sense.

use std::collections::BTreeMap;

use crate::support::{Launch, Lossy, Tracer, is_root, kernel};

fn here() -> Launch {
    Launch::here().with_tracefs()
}

/// Of a run of the command, with the lines of its events; two SYNs that nobody wants.
#[track_caller]
fn said(args: &[&str]) -> (String, BTreeMap<String, String>) {
    let mut lossy = Lossy::new();
    let port = lossy.closed.to_string();
    let mut tracer = Tracer::spawn(&here(), &[&["drop", "--port", &port], args].concat());
    tracer.wait_ready();
    for family in ["10.0.0.2", "[fd00::2]"] {
        lossy.client.try_connect(lossy.closed(family));
    }
    let output = tracer.stop_raw();
    assert!(output.status.success(), "{}", output.stderr);
    let facts = [("port", port), ("stderr", output.stderr)];
    (output.stdout, facts.map(|(name, text)| (name.to_owned(), text)).into())
}

#[test]
fn the_command_says_a_line_a_drop() {
    need!(is_root(), "not root");
    let (text, facts) = said(&[]);
    let mut lines = text.lines();
    let titles: Vec<&str> = lines.next().expect("titles").split_whitespace().collect();
    assert_eq!(titles, ["TIME", "LOCAL", "PEER", "PID", "DIR", "STATE", "FLAGS", "REASON"]);
    // No column has a unit.
    let drops: Vec<Vec<&str>> = lines.map(|line| line.split_whitespace().collect()).collect();
    let reason = if kernel() >= (5, 17) { "NO_SOCKET" } else { "-" };
    for (drop, addr) in drops.iter().zip(["10.0.0.2", "[fd00::2]"]) {
        assert_eq!(drop[1], format!("{addr}:{}", facts["port"]), "{drop:?}");
        assert_eq!(drop[3..], ["-", "in", "-", "SYN", reason], "{drop:?}");
    }
    assert_eq!(drops.len(), 2, "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn a_stack_stands_below_its_line() {
    need!(is_root(), "not root");
    for args in [&["--stack"][..], &["--stack", "--fields", "time,flags"]] {
        let (text, _) = said(args);
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(lines.iter().filter(|line| !line.starts_with(' ')).count(), 2, "{text}");
        for (n, name) in [(0, "tcp_v4_rcv+0x"), (1, "tcp_v6_rcv+0x")] {
            let starts: Vec<usize> =
                (0..lines.len()).filter(|&i| !lines[i].starts_with(' ')).collect();
            let frame = lines[starts[n] + 1];
            assert!(frame.starts_with(&format!("    {name}")), "{text}");
        }
    }
    let (text, _) = said(&["--stack", "-o", "csv", "--fields", "location,stack"]);
    let rows: Vec<&str> = text.lines().collect();
    assert_eq!(rows[0], "type,location,stack");
    for row in &rows[1..] {
        let cells: Vec<&str> = row.split(',').collect();
        let frames: Vec<&str> = cells[2].split(';').collect();
        assert!(cells[1] == frames[0] && frames.len() > 5, "{row}");
    }
    let output = Tracer::spawn(&here(), &["events", "state", "--stack"]).wait_raw();
    assert_eq!(output.status.code(), Some(2), "{}", output.stderr);
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
}
