//! What goes away while it is traced, or is gone before: a namespace, a process.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{
    Fixture, Launch, Pair, Socket, SocketOption, TestProcess, Trace, Tracer, is_root, tcc_trace,
    u64_of, unique_port, wait_until,
};

const EVENT_TYPES: &[&str] = &["probe", "state", "destroy", "life", "queue"];

fn start(filter: &[&str], reader: &str) -> Tracer {
    let args = [&["--all-fields", "--reader", reader], filter].concat();
    Tracer::events_in(&Launch::here().with_tracefs(), &EVENT_TYPES.join(","), &args)
}

/// The connection's end was told, as the last of it.
fn wait_end(tracer: &Tracer, socket: &Socket) {
    tracer.wait_events("the socket's end", |events| {
        events.iter().any(|e| e["type"] == "destroy" && e["cookie"] == socket.cookie)
    });
}

/// All event types saw it, to its end.
#[track_caller]
fn check_end(trace: &Trace, socket: &Socket, sent: u64, netns: u64) {
    let own = trace.of_cookie(socket.cookie);
    let of = |event_type: &str| own.iter().filter(|e| e["type"] == event_type).collect::<Vec<_>>();
    for event_type in EVENT_TYPES {
        assert!(!of(event_type).is_empty(), "no {event_type} of {socket:?}: {own:#?}");
    }
    let [end] = of("life")[..] else { panic!("{own:#?}") };
    assert_eq!(u64_of(end, "bytes_sent"), sent, "{end}");
    assert!(own.iter().all(|event| event["netns"] == netns), "{own:#?}");
}

/// Its processes end, one connection is reset by that and one is not, its name is deleted: it is gone with its devices, and
/// what is traced besides goes on.
fn check_namespace(reader: &str) {
    need!(is_root(), "not root");
    let Pair { left, right, .. } = Pair::new();
    let (mut client, mut server) =
        (TestProcess::start_in(&left.launch()), TestProcess::start_in(&right.launch()));
    let port = unique_port();
    server.listen(&format!("[::]:{port}"));
    let (gone, stays) = (left.inode(), right.inode());
    let filter = ["--netns", &left.name, "--netns", &right.name];
    let tracer = start(&filter, reader);

    let to = format!("10.0.0.2:{port}").parse().expect("an address");
    let early = ["reset", "kept"].map(|name| {
        let ends = (client.connect(name, to), server.accept(name));
        client.transfer(name, &mut server, 1000);
        ends
    });
    client.set("reset", SocketOption::LingerZero);
    drop(client);
    for ((ours, _), name) in early.iter().zip(["reset", "kept"]) {
        server.close(name);
        wait_end(&tracer, ours);
    }
    drop(left);
    let links = || right.run(&["ip", "-o", "link"]);
    wait_until("the namespace to be gone with its devices", || !links().contains("eth0"));

    let mut client = TestProcess::start_in(&right.launch());
    let to = format!("127.0.0.1:{port}").parse().expect("an address");
    let late = (client.connect("late", to), server.accept("late"));
    client.transfer("late", &mut server, 3000);
    client.close("late");
    server.close("late");
    wait_end(&tracer, &late.0);
    wait_end(&tracer, &late.1);
    let trace = tracer.stop();
    trace.check_accounts(EVENT_TYPES);
    for (ours, theirs) in &early {
        check_end(&trace, ours, 1000, gone);
        assert!(trace.of_cookie(theirs.cookie).iter().all(|e| e["netns"] == stays));
    }
    check_end(&trace, &late.0, 3000, stays);
}

/// It ends with its connections, which are its own to the last; of others there is nothing.
fn check_process(reader: &str) {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let pid = fixture.client.pid.to_string();
    let tracer = start(&["--pid", &pid, "--port", &fixture.ports()], reader);
    let ours = fixture.connect("a", "127.0.0.1").0;
    fixture.client.transfer("a", &mut fixture.server, 1000);
    fixture.client = TestProcess::start_in(&fixture.ns.launch());
    fixture.server.close("a");
    wait_end(&tracer, &ours);
    fixture.connect("b", "127.0.0.1");
    fixture.client.transfer("b", &mut fixture.server, 1000);
    fixture.client.close("b");
    fixture.server.close("b");
    fixture.settle();
    let trace = tracer.stop();
    trace.check_accounts(EVENT_TYPES);
    check_end(&trace, &ours, 1000, fixture.ns.inode());
    // The first has no cookie where the program cannot make one.
    let is_ours = |e: &Value| e["cookie"].is_null() || e["cookie"] == ours.cookie;
    assert!(trace.events.iter().all(is_ours), "{:#?}", trace.events);
    let by_pid = trace.events.iter().all(|e| u64_of(e, "pid").to_string() == pid);
    assert!(by_pid, "{:#?}", trace.events);
}

/// Refused in a line, also where others are there.
#[test]
fn a_process_that_has_ended_is_refused() {
    let host = std::fs::read_link("/proc/self/ns/pid");
    let is_host = host.is_ok_and(|link| link == Path::new("pid:[4026531836]"));
    need!(is_host, "this pid namespace is not the host's", legitimate: true);
    let mut child = Command::new("true").spawn().expect("it runs");
    let gone = child.id();
    child.wait().expect("its end");
    // Above the greatest that the kernel gives, and one that is no process number at all.
    for pid in [gone, 1 << 22, u32::MAX] {
        let pids = format!("{},{pid}", std::process::id());
        let output = Command::new(tcc_trace()).args(["-p", &pids]).output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(text, format!("tcc-trace: --pid {pid}: no such process\n"));
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    }
}

by_sock_and_raw! {
    check_namespace: namespace_by_sock namespace_by_raw;
    check_process: process_by_sock process_by_raw;
}
