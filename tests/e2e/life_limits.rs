//! What limited a connection, in `life` and `top`: as `limits` of the same run has it; and as a recording of that run shows it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::limits_replay::{causes, traffic};
use crate::support::{
    Launch, Relay, Socket, Tcc, TempDir, Tracer, Way, has_cc, has_tun, is_root, text, u64_of,
};

const COLUMNS: [&str; 4] =
    ["limits_main", "limits_main_us", "limits_main_percent", "limits_observed_us"];

fn main_of(causes: &BTreeMap<String, u64>) -> (&str, u64) {
    let (name, us) = causes.iter().max_by_key(|(_, us)| **us).expect("causes");
    (name, *us)
}

fn of_socket<'r>(rows: &'r [Value], socket: &Socket) -> &'r Value {
    let cookie = |row: &Value| row.get("key").unwrap_or(row)["cookie"].clone();
    rows.iter().find(|row| cookie(row) == socket.cookie).expect("a row of the connection")
}

/// Each tracer has its own clock reads, so a time may differ a little.
fn near(found: u64, wanted: u64, percent: u64) -> bool {
    found.abs_diff(wanted) * 100 <= wanted * percent
}

fn check(row: &Value, causes: &BTreeMap<String, u64>, percent: u64) {
    let (main, main_us) = main_of(causes);
    let observed: u64 = causes.values().sum();
    assert_eq!(row["limits_main"], main, "{row}\n{causes:?}");
    assert!(near(u64_of(row, "limits_main_us"), main_us, percent), "{row}\n{causes:?}");
    assert!(near(u64_of(row, "limits_observed_us"), observed, percent), "{row}\n{causes:?}");
    let share =
        u64_of(row, "limits_main_us") as f64 * 100.0 / u64_of(row, "limits_observed_us") as f64;
    assert!((u64_of(row, "limits_main_percent") as f64 - share).abs() <= 0.51, "{row}");
}

fn replay(args: &[&str], path: &str) -> (Vec<Value>, String) {
    let args = [&["life", "-r", path, "-o", "jsonl"], args].concat();
    let trace = Tracer::spawn(&Launch::here(), &args).wait_raw();
    assert!(trace.status.success(), "{}", trace.stderr);
    let stderr = trace.stderr.clone();
    (trace.trace().events, stderr)
}

fn check_all(cc: &str) {
    need!(is_root(), "not root");
    need!(has_tun(), "no /dev/net/tun", legitimate: true);
    need!(has_cc(cc), "no such congestion control", legitimate: true);
    let (dir, rtt) = (TempDir::new(), Duration::from_millis(20));
    let mut relay = Relay::new(Way { rate: Some(1_000_000), queue: 40_000, ..Way::far(rtt) });
    relay.client.use_cc(cc);
    let path = dir.path().join("run.tcc");
    let path = path.to_str().expect("UTF-8");
    let port = relay.port.to_string();
    let limits = Tcc::command("limits").ports(&[relay.port]).option("--interval", "1h").start();
    let top = Tcc::command("top").ports(&[relay.port]).option("--interval", "1h").flag("--limits");
    let top = top.start();
    let life = Tcc::life().ports(&[relay.port]).flag("--limits").start();
    let types = "probe,send,retransmit,cong_state,state,life";
    let args = ["record", types, "-w", path, "-P", &port];
    let mut recorder = Tracer::spawn(&Launch::here().with_tracefs(), &args);
    recorder.wait_ready();
    let socket = traffic(&mut relay);
    let (limits, top, life) = (limits.stop(), top.stop(), life.stop());
    let recorded = recorder.stop_raw();
    assert!(recorded.status.success(), "{}", recorded.stderr);

    let causes = causes(&limits.events, &socket);
    check(of_socket(&top.events, &socket), &causes, 1);
    let ended: Vec<Value> =
        life.events.iter().filter(|event| event["event"] == "end").cloned().collect();
    check(of_socket(&ended, &socket), &causes, 1);

    // Of the recording, by the rules in user space: the records of `life` do not have it.
    let (rows, stderr) = replay(&["--limits"], path);
    check(of_socket(&rows, &socket), &causes, 4);
    assert!(!stderr.contains("null"), "{stderr}");
    let condition = format!("limits_main == \"{}\"", main_of(&causes).0);
    let (rows, _) = replay(&["--where", &condition, "--fields", "cookie,limits_main"], path);
    assert_eq!(of_socket(&rows, &socket)["limits_main"], main_of(&causes).0);
    let (rows, _) = replay(&[], path);
    assert!(COLUMNS.iter().all(|name| of_socket(&rows, &socket).get(name).is_none()));
}

#[test]
fn the_main_cause_is_that_of_limits_cubic() {
    check_all("cubic");
}

#[test]
fn the_main_cause_is_that_of_limits_bbr() {
    check_all("bbr");
}

/// A recording has what its trace requested, also without the samples that a replay would need.
#[test]
fn a_recorded_cause_stays() {
    need!(is_root(), "not root");
    need!(has_tun(), "no /dev/net/tun", legitimate: true);
    let dir = TempDir::new();
    let mut relay = Relay::new(Way::far(Duration::from_millis(10)));
    let path = dir.path().join("run.tcc");
    let path = path.to_str().expect("UTF-8");
    let port = relay.port.to_string();
    let launch = Launch::here().with_tracefs();
    let args = ["life", "--limits", "-o", "jsonl", "-w", path, "-P", &port];
    let mut tracer = Tracer::spawn(&launch, &args);
    tracer.wait_ready();
    let addr = relay.addr();
    let socket = relay.client.connect("a", addr);
    relay.server.accept("a");
    relay.client.transfer("a", &mut relay.server, 200_000);
    relay.client.close("a");
    relay.server.close("a");
    relay.left.settle();
    let live = tracer.stop_raw();
    assert!(live.status.success(), "{}", live.stderr);
    let live = live.trace().events;

    let (rows, stderr) = replay(&["--limits"], path);
    assert!(stderr.contains("has no probe records"), "{stderr}");
    let (live, read) = (of_socket(&live, &socket), of_socket(&rows, &socket));
    assert!(!text(read, "limits_main").is_empty());
    assert!(COLUMNS.iter().all(|name| live[name] == read[name]), "{live}\n{read}");
}

/// Text has the cause and its share on the line of the connection.
#[test]
fn text_shows_the_share() {
    need!(is_root(), "not root");
    need!(has_tun(), "no /dev/net/tun", legitimate: true);
    let mut relay = Relay::new(Way::far(Duration::from_millis(10)));
    let port = relay.port.to_string();
    let mut life = Tracer::spawn(&Launch::here(), &["life", "--limits", "-P", &port]);
    let args = ["top", "--limits", "-i", "1h", "--no-clear", "-P", &port];
    let mut top = Tracer::spawn(&Launch::here(), &args);
    life.wait_ready();
    top.wait_ready();
    let addr = relay.addr();
    let socket = relay.client.connect("a", addr);
    relay.server.accept("a");
    relay.client.transfer("a", &mut relay.server, 200_000);
    relay.client.close("a");
    relay.server.close("a");
    relay.left.settle();
    let local = format!(":{}", socket.local.port());
    for tracer in [life, top] {
        let trace = tracer.stop_raw();
        let text = trace.stdout.as_str();
        assert!(text.contains("LIMIT "), "{text}");
        let line = text.lines().find(|line| line.contains(&local)).expect("its line");
        let words: Vec<&str> = line.split_whitespace().collect();
        let causes = ["handshake", "idle", "application", "slow_start", "cwnd", "path"];
        let at = words.iter().position(|word| causes.contains(word)).expect("a cause");
        let share: u64 = words[at + 1].parse().expect("its share");
        assert!((20..=100).contains(&share), "{line}");
    }
}
