//! A recording that loses events: what `info` prints of it is what the same run printed of itself.

use serde_json::Value;

use crate::support::{
    Launch, Server, TempDir, Tracer, is_root, overflow, parse, u64_of, wait_until,
};

fn check(transport: &str) {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let path = dir.path().join("run.tcc");
    let path = path.to_str().expect("UTF-8");
    let server = Server::start("127.0.0.1:0", None);
    let port = server.port_text();
    let args = ["-P", &port, "--transport", transport, "--buffer-size", "4096"];
    let outputs = ["--stats", "50ms", "-w", path];
    let tracer = Tracer::start(&[&args[..], &outputs].concat());
    overflow(&tracer, &server);
    // More than once, as losses are written each second.
    let lost = || tracer.stats().last().map_or(0, |stats| u64_of(stats, "lost"));
    wait_until("a loss", || lost() > 0);
    let first = lost();
    wait_until("events in the file", || info(path)[0]["records"].as_u64() > Some(0));
    overflow(&tracer, &server);
    wait_until("another loss", || lost() > first);
    let trace = tracer.stop();
    let lines = info(path);
    let file = &lines[0];
    assert_eq!(file["records"], trace.events.len(), "{file}");
    assert_eq!(file["ending"], "complete");
    let probe = lines.iter().find(|line| line["event_type"] == "probe").expect("samples");
    for name in ["seen", "emitted", "filtered", "lost"] {
        assert_eq!(probe["counts"][name], trace.end[name], "{name}: {probe}\n{}", trace.end);
    }
    assert_eq!(
        u64_of(&trace.end, "seen"),
        trace.events.len() as u64 + u64_of(&trace.end, "filtered") + u64_of(&trace.end, "lost")
    );
    let times: Vec<&Value> = lines.iter().filter(|line| line["type"] == "lost").collect();
    let sum: u64 = times.iter().map(|line| u64_of(&line["lost"], "probe")).sum();
    assert_eq!(sum, u64_of(&trace.end, "lost"), "{times:?}");
    for line in &times {
        assert!(line["from"].as_str() < line["to"].as_str(), "{line}");
    }
    assert!(lines.iter().all(|line| line["type"] != "gap"), "{lines:?}");
    // What is read again tells it among the events.
    let replayed = Tracer::spawn(&Launch::here(), &["-o", "jsonl", "-r", path]).wait();
    assert_eq!(replayed.events, trace.events);
    let told = replayed.notices.iter().map(|notice| &notice["event_types"]["probe"]["lost"]);
    let told: Vec<u64> = told.map(|lost| lost.as_u64().expect("a number")).collect();
    assert_eq!(told.iter().sum::<u64>(), sum, "{told:?}");
    assert_eq!(replayed.notices[0]["time"], times[0]["to"], "{:?}", replayed.notices);
}

#[track_caller]
fn info(path: &str) -> Vec<Value> {
    let output = Tracer::spawn(&Launch::here(), &["info", "-o", "jsonl", path]).wait_raw();
    assert!(output.status.success(), "{}", output.stderr);
    output.stdout.lines().map(parse).collect()
}

#[test]
fn losses_by_ringbuf_are_in_the_file() {
    check("ringbuf");
}

#[test]
fn losses_by_perfbuf_are_in_the_file() {
    check("perfbuf");
}
