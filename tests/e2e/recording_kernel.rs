//! A small recording of this kernel: `convert`, `report` and a replay of it there have what was printed live. With
//! TCC_PRINT_RECORDING the recording is printed in base64, and its events as JSON lines. `tests/recordings/linux-*` are from there:
//! `VM_ENV=TCC_PRINT_RECORDING TCC_PRINT_RECORDING=1 script/vm 5.10 -- recording_kernel`.

use std::path::Path;

use serde_json::Value;

use crate::support::{
    Fixture, Launch, Output, SocketOption, TempDir, Trace, Tracer, cells, has_cc, is_root, note,
    parse, u64_of,
};

/// Enough to lose and to reset something, and no more.
const EVENT_TYPES: &str = "probe,state,retransmit,cong_state,reset_sent,connect,life,zero_window";

/// Some of `tests/recordings/`, and what was printed when they were made.
const OTHERS: [(&str, &[u8], &str); 3] = [
    (
        "5.10",
        include_bytes!("../recordings/linux-5.10.tcc"),
        include_str!("../recordings/linux-5.10.jsonl"),
    ),
    (
        "7.2",
        include_bytes!("../recordings/linux-7.2.tcc"),
        include_str!("../recordings/linux-7.2.jsonl"),
    ),
    (
        "6.12-arm64",
        include_bytes!("../recordings/linux-6.12-arm64.tcc"),
        include_str!("../recordings/linux-6.12-arm64.jsonl"),
    ),
];

fn run(args: &[&str]) -> Output {
    let output = Tracer::spawn(&Launch::here(), args).wait_raw();
    assert!(output.status.success(), "{args:?}: {}", output.stderr);
    output
}

/// Some data each way, of which a part is lost, under CUBIC; BBR, and a reset; a refused connection.
fn drive(fixture: &mut Fixture) {
    fixture.listen();
    fixture.client.use_cc("cubic");
    let (client, _) = fixture.connect("a", "127.0.0.1");
    for bytes in [100, 3000, 20_000] {
        fixture.client.transfer("a", &mut fixture.server, bytes);
    }
    fixture.silence();
    fixture.client.send("a", 1000);
    let ports = (client.local.port(), fixture.port);
    fixture.ns.wait_socket(ports, "a timeout", |entry| entry.retransmits >= 1);
    fixture.speak();
    fixture.server.receive("a", 1000);
    fixture.server.transfer("a", &mut fixture.client, 1000);
    fixture.client.close("a");
    fixture.server.close("a");
    if has_cc("bbr") {
        fixture.client.use_cc("bbr");
    }
    fixture.connect("b", "[::1]");
    for bytes in [100, 3000, 20_000] {
        fixture.client.transfer("b", &mut fixture.server, bytes);
    }
    fixture.client.set("b", SocketOption::LingerZero);
    fixture.client.close("b");
    fixture.server.close("b");
    fixture.refused("127.0.0.1");
    fixture.settle();
}

#[test]
fn a_recording_is_read_where_it_was_made() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let file = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let (recording, page, converted) = (file("run.tcc"), file("page.html"), file("run.jsonl"));
    let mut fixture = Fixture::new();
    let ports = fixture.ports();
    let args = ["-a", "-w", &recording, "--port", &ports];
    let tracer = Tracer::events_in(&Launch::here().with_tracefs(), EVENT_TYPES, &args);
    drive(&mut fixture);
    let live = tracer.stop();
    assert!(live.events.iter().any(|event| event["type"] == "retransmit"), "{:?}", live.end);
    let replayed = run(&["events", EVENT_TYPES, "-a", "-o", "jsonl", "-r", &recording]).trace();
    assert_eq!(replayed.events, live.events);
    run(&["convert", &recording, "--to", "jsonl", "-a", "-w", &converted]);
    let text = std::fs::read_to_string(&converted).expect("the file");
    let events: Vec<Value> = text.lines().map(parse).collect();
    let is_event = |event: &Value| event["mono_ns"].is_u64();
    let events: Vec<Value> = events.into_iter().filter(is_event).collect();
    assert_eq!(events, live.events);
    run(&["report", &recording, "-w", &page]);
    let page = std::fs::read_to_string(&page).expect("the page");
    let connection = live.events.iter().find(|event| event["type"] == "life").expect("a life");
    assert!(page.contains(&u64_of(connection, "cookie").to_string()), "no such connection");
    if std::env::var_os("TCC_PRINT_RECORDING").is_some() {
        print_files(Path::new(&recording), &live);
    }
}

/// Also of another architecture: in a guest, those of the machine that has built it.
#[test]
fn recordings_of_other_machines_have_the_same_values() {
    let dir = TempDir::new();
    for (name, recording, printed) in OTHERS {
        let file = dir.path().join(name);
        std::fs::write(&file, recording).expect("a file");
        let file = file.to_str().expect("UTF-8");
        let read = run(&["events", "all", "-a", "-o", "jsonl", "-q", "-r", file]).trace();
        let printed: Vec<Value> = printed.lines().map(parse).collect();
        let (end, events) = printed.split_last().expect("lines");
        assert_eq!((&end["type"], events.len()), (&"end".into(), read.events.len()), "{name}");
        let mut compared = 0;
        for (then, now) in events.iter().zip(&read.events) {
            let now = cells(now);
            for (field, value) in cells(then) {
                assert_eq!(now.get(&field), Some(&value), "{name}: {field}: {then}");
                compared += 1;
            }
        }
        assert!(compared > 1000, "{name}: {compared}");
    }
}

fn print_files(recording: &Path, live: &Trace) {
    let mut base64 = std::process::Command::new("base64");
    let encoded = base64.args(["-w", "120"]).arg(recording).output().expect("base64");
    for line in String::from_utf8_lossy(&encoded.stdout).lines() {
        note(&format!("recording: {line}"));
    }
    for event in live.events.iter().chain([&live.end]) {
        let mut event = event.clone();
        if let Value::Object(members) = &mut event {
            members.retain(|_, value| !value.is_null());
        }
        note(&format!("event: {event}"));
    }
}
