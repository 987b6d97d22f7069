//! `connlat`: the slow ones of either side, and no others.

use crate::support::{FAMILIES, Launch, Scene, Tracer, is_root, mono_ns, text, u64_of, wait_until};

#[track_caller]
fn start(args: &[&str]) -> Tracer {
    let launch = Launch::here().with_tracefs();
    let mut tracer = Tracer::spawn(&launch, &[&["connlat", "-o", "jsonl"], args].concat());
    tracer.wait_ready();
    tracer
}

/// A SYN that is lost makes the client wait for a second; a server that does not accept makes the connection wait.
fn check_min(reader: &str) {
    need!(is_root(), "not root");
    let mut scene = Scene::new();
    scene.listen();
    let ports = scene.ports();
    let args = ["--reader", reader, "--port", &ports];
    let all = start(&args);
    let slow = start(&[&args[..], &["--min", "300ms"]].concat());
    let server = start(&[&args[..], &["--side", "server"]].concat());
    let opened = mono_ns();
    for family in FAMILIES {
        scene.connect("quick", family);
        scene.client.close("quick");
        scene.server.close("quick");
    }
    let quick_us = (mono_ns() - opened) / 1000;
    scene.silence();
    let addr = scene.addr(FAMILIES[0]);
    let late = scene.client.ask(&format!("start late {addr}"));
    scene.speak();
    assert_eq!(scene.client.ask("outcome late"), "0");
    scene.server.accept("late");
    let waiting = scene.client.connect("waiting", addr);
    let connected = mono_ns();
    wait_until("some time", || mono_ns() - connected > 400_000_000);
    scene.server.accept("waiting");
    let [all, slow, server] = [all, slow, server].map(Tracer::stop);
    for trace in [&all, &slow] {
        trace.check_accounts(&["accept", "connect"]);
    }
    server.check_accounts(&["accept"]);
    for kind in ["connect", "accept"] {
        assert_eq!(all.of_kind(kind).len(), FAMILIES.len() + 2, "{kind}: {:#?}", all.events);
    }
    assert_eq!(server.events.len(), FAMILIES.len() + 2, "{:#?}", server.events);
    // On a machine that is so slow nothing is quick.
    if quick_us < 300_000 {
        assert_eq!(slow.events.len(), 2, "{:#?}", slow.events);
    }
    let late_port: u64 = late.rsplit_once(':').expect("a port").1.parse().expect("a number");
    let connects = slow.of_kind("connect");
    let connect = connects.iter().find(|event| u64_of(event, "sport") == late_port);
    let connect = connect.expect("the late one");
    assert!(u64_of(connect, "latency_us") >= 300_000, "{connect}");
    assert_eq!(text(connect, "outcome"), "established", "{connect}");
    let accepts = slow.of_kind("accept");
    let accept = accepts.iter().find(|event| event["dport"] == waiting.local.port());
    let accept = accept.expect("the one that waited");
    assert!(u64_of(accept, "wait_us") >= 400_000, "{accept}");
}

by_sock_and_raw! {
    check_min: min_by_sock min_by_raw;
}

#[test]
fn without_tracefs_it_is_the_clients_side() {
    need!(is_root(), "not root");
    let script = "for dir in /sys/kernel/tracing /sys/kernel/debug; do \
        while grep -q \" $dir[ /]\" /proc/self/mounts; do umount -l $dir || exit; done; done 2>/dev/null; \
        exec \"$0\" \"$@\"";
    let launch = Launch::here().within(&["unshare", "-m", "sh", "-c", script]);
    let mut tracer = Tracer::spawn(&launch, &["connlat", "-o", "jsonl", "--port", "1"]);
    tracer.wait_ready();
    let trace = tracer.stop();
    trace.check_accounts(&["connect"]);
    assert!(trace.stderr.contains("the server's side is left out: tracefs"), "{}", trace.stderr);
    let output = Tracer::spawn(&launch, &["connlat", "--side", "server"]).wait_raw();
    assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
    assert!(output.stderr.contains("accept: tracefs is not mounted"), "{}", output.stderr);
}
