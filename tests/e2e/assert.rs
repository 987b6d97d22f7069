//! `assert`: its values against those computed from the events of the same recording and against `ss`, and its exit statuses.

use std::time::Duration;

use serde_json::Value;

use crate::support::{
    Flood, Launch, Output, Relay, Server, Ss, TempDir, Tracer, Way, has_tun, is_root,
    traffic_program, u64_of, wait_until,
};

fn assert_run(args: &[&str]) -> Output {
    Tracer::spawn(&Launch::here().with_tracefs(), &[&["assert"], args].concat()).wait_raw()
}

#[track_caller]
fn expect(args: &[&str], status: i32, lines: &[&str]) {
    let output = assert_run(args);
    assert_eq!(output.status.code(), Some(status), "{args:?}\n{}{}", output.stdout, output.stderr);
    let found: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(found.len(), lines.len(), "{found:?}");
    for (line, start) in found.iter().zip(lines) {
        assert!(line.starts_with(start), "{line}");
    }
}

/// Of a command: its own status, unless an assertion fails.
#[test]
fn exit_statuses_of_a_command() {
    need!(is_root(), "not root");
    let server = Server::start("127.0.0.1:0", None);
    let traffic = traffic_program();
    let command = format!(
        "{} pingpong --to {} --count 40 --interval 0ms >/dev/null",
        traffic.display(),
        server.addr
    );
    let (port, failing) = (server.port_text(), format!("{command}; exit 7"));
    let run = |all: &[&str], command: &str, status, lines: &[&str]| {
        expect(&[all, &["-P", &port, "--", "sh", "-c", command]].concat(), status, lines);
    };
    let good = ["count(reset_received) == 0", "p99.9(srtt_us) < 10s"];
    let good_lines = ["pass: count(reset_received) == 0: 0 of", "pass: p99.9(srtt_us) < 10s: 0."];
    run(&good, &command, 0, &good_lines);
    run(&good, &failing, 7, &good_lines);
    let bad = ["max(srtt_us) > 10s", "count(probe) > 10"];
    let bad_lines = ["fail: max(srtt_us) > 10s: 0.", "pass: count(probe) > 10: "];
    run(&bad, &command, 1, &bad_lines);
    run(&bad, &failing, 1, &bad_lines);
    let none = ["p99(srtt_us where dport == 1) < 1s", "count(probe) > 10"];
    let none_lines =
        ["undecided: p99(srtt_us where dport == 1) < 1s: no value of 0 values", "pass"];
    run(&none, &command, 3, &none_lines);
    run(&none, &failing, 7, &none_lines);
}

#[test]
fn exit_statuses_without_a_command() {
    need!(is_root(), "not root");
    let quick = ["-d", "50ms", "-P", "1"];
    expect(&[&["count(drop) == 0"], &quick[..]].concat(), 0, &["pass: count(drop) == 0: 0 of"]);
    expect(&[&["count(drop) > 0"], &quick[..]].concat(), 1, &["fail: count(drop) > 0: 0 of"]);
    expect(&[&["mean(srtt_us) > 0"], &quick[..]].concat(), 3, &["undecided: mean(srtt_us) > 0"]);
    // It cannot be answered either if there is no trace.
    let dir = TempDir::new();
    let nothing = dir.path().join("nothing.tcc");
    let nothing = nothing.to_str().expect("UTF-8");
    expect(&["count(drop) == 0", "-r", nothing], 3, &[]);
    for wrong in [
        &["mean(srtt_us) > 5kB"][..],
        &["count(probe where nothing == 1) > 0"],
        &["count(probe) > 0", "--sample", "10"],
        &["count(probe) > 0", "-o", "csv"],
        &[],
    ] {
        expect(&[wrong, &quick[..]].concat(), 2, &[]);
    }
}

/// Of a flood that a buffer of a page cannot hold, nobody knows the events that were lost. What the others show already is decided.
fn check_losses(transport: &str) {
    need!(is_root(), "not root");
    let flood = Flood::start();
    let port = flood.server.port_text();
    let tiny = ["-P", &port, "--transport", transport, "--buffer-size", "4096"];
    let open = "undecided: max(srtt_us) < 1000s: ";
    let lost = "events were lost, which may decide";
    // An emulated machine needs a while to lose any.
    let until_lost = |run: &dyn Fn(&[&str]) -> Output| {
        let outputs =
            ["300ms", "5s", "25s"].iter().map(|time| run(&[&tiny[..], &["-d", time]].concat()));
        let output =
            outputs.enumerate().find(|(at, output)| *at == 2 || output.stdout.contains(lost));
        output.expect("an output").1
    };
    let check = |output: &Output, status, lines: &[&str]| {
        let text = format!("{}{}", output.stdout, output.stderr);
        assert_eq!(output.status.code(), Some(status), "{text}");
        let found: Vec<&str> = output.stdout.lines().collect();
        assert_eq!(found.len(), lines.len(), "{text}");
        assert!(found.iter().zip(lines).all(|(line, start)| line.starts_with(start)), "{text}");
        let undecided = found.iter().find(|line| line.starts_with(open)).expect("that line");
        assert!(undecided.contains(lost), "{undecided}");
    };
    let run = |all: &[&str]| until_lost(&|tiny| assert_run(&[all, tiny].concat()));
    let all = ["max(srtt_us) < 1000s", "max(srtt_us) > 0"];
    check(&run(&all), 3, &[open, "pass: max(srtt_us) > 0: "]);
    let all = ["count(probe) < 10", "max(srtt_us) < 1000s"];
    check(&run(&all), 1, &["fail: count(probe) < 10: ", open]);
    // A recording has the losses, too.
    let dir = TempDir::new();
    let path = dir.path().join("lossy.tcc");
    let path = path.to_str().expect("UTF-8");
    let read = until_lost(&|tiny| {
        let record = [&["record", "probe", "--force", "-w", path], tiny].concat();
        let recorded = Tracer::spawn(&Launch::here().with_tracefs(), &record).wait_raw();
        assert!(recorded.status.success(), "{}", recorded.stderr);
        assert_run(&["max(srtt_us) < 1000s", "-r", path])
    });
    check(&read, 3, &[open]);
}

#[test]
fn lost_events_decide_nothing_ringbuf() {
    check_losses("ringbuf");
}

#[test]
fn lost_events_decide_nothing_perfbuf() {
    check_losses("perfbuf");
}

fn numbers(events: &[Value], column: &str) -> Vec<u64> {
    let mut numbers: Vec<u64> = events.iter().filter_map(|event| event[column].as_u64()).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn values_are_those_of_the_events() {
    need!(is_root(), "not root");
    need!(has_tun(), "no /dev/net/tun", legitimate: true);
    let (dir, rtt) = (TempDir::new(), Duration::from_millis(10));
    let mut relay = Relay::new(Way::far(rtt));
    relay.loses(40);
    let path = dir.path().join("run.tcc");
    let path = path.to_str().expect("UTF-8");
    let (port, addr) = (relay.port.to_string(), relay.addr());
    let launch = Launch::here().with_tracefs();
    let mut recorder = Tracer::spawn(&launch, &["record", "-w", path, "-R", &port]);
    recorder.wait_ready();
    let socket = relay.client.connect("a", addr);
    relay.server.accept("a");
    relay.client.transfer("a", &mut relay.server, 600_000);
    let ss = || Ss::of(&relay.left, socket.local.port(), relay.port);
    wait_until("the acknowledgements", || !ss().has("unacked"));
    let last = ss();
    relay.client.close("a");
    relay.server.close("a");
    relay.left.settle();
    assert!(recorder.stop_raw().status.success());

    let fields = "srtt_us,snd_cwnd,dport,segs,class";
    let events = Tracer::spawn(
        &Launch::here(),
        &["events", "probe,retransmit", "-r", path, "-o", "jsonl", "--fields", fields],
    )
    .wait()
    .events;
    let (probes, retransmits): (Vec<Value>, Vec<Value>) =
        events.into_iter().partition(|event| event["type"] == "probe");
    let (srtt, cwnd) = (numbers(&probes, "srtt_us"), numbers(&probes, "snd_cwnd"));
    assert!(probes.len() > 50 && retransmits.len() > 2, "{} {}", probes.len(), retransmits.len());
    let at = |of: f64| srtt[(of * srtt.len() as f64).ceil() as usize - 1] as f64 / 1000.0;
    let few = probes.iter().filter(|event| u64_of(event, "snd_cwnd") < 20).count();
    let wanted = [
        ("p50(srtt_us) < 1ms", at(0.5)),
        ("p99(srtt_us) < 1ms", at(0.99)),
        ("min(srtt_us) < 1ms", srtt[0] as f64 / 1000.0),
        ("max(srtt_us) < 1s", srtt[srtt.len() - 1] as f64 / 1e6),
        ("mean(probe.snd_cwnd) < 1", cwnd.iter().sum::<u64>() as f64 / cwnd.len() as f64),
        ("sum(probe.snd_cwnd) < 1", cwnd.iter().sum::<u64>() as f64),
        ("count(probe) < 1", probes.len() as f64),
        ("count(probe where snd_cwnd < 20) < 1", few as f64),
        ("count(retransmit) < 1", retransmits.len() as f64),
    ];
    let texts: Vec<&str> = wanted.iter().map(|(text, _)| *text).collect();
    let share = "rate(retransmit) < 50%";
    let output = assert_run(&[&texts[..], &[share, "-r", path, "-o", "jsonl"]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
    let lines: Vec<Value> =
        output.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), wanted.len() + 1);
    for (line, (text, value)) in lines.iter().zip(wanted) {
        assert_eq!((&line["type"], &line["assertion"]), (&"assertion".into(), &text.into()));
        let found = line["value"].as_f64().expect("a value");
        assert!((found - value).abs() <= value * 1e-9, "{text}: {found}, not {value}");
        let holds = if text == "max(srtt_us) < 1s" { "pass" } else { "fail" };
        assert_eq!(line["result"], holds, "{line}");
    }
    // The kernel's own counters of the connection.
    let sent = last.number("data_segs_out").expect("data_segs_out");
    let wanted = last.total_retrans() as f64 * 100.0 / sent;
    let found = lines[lines.len() - 1]["value"].as_f64().expect("a share");
    assert!((found - wanted).abs() < wanted * 0.02, "{found} %, not {wanted} %: {}", last.text);

    let args = ["count(queue) == 0", "-r", path];
    let refused = assert_run(&args);
    assert_eq!(refused.status.code(), Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("no queue events were recorded"), "{}", refused.stderr);
}
