//! `cong_state` without its tracepoint: against the tracepoint, where there is one, and the namespace's own counters.

use serde_json::Value;

use crate::support::{
    FAMILIES, Launch, Scene, Server, Trace, Tracer, again, flooding, guest, has_tracepoint,
    invalid, is_root, record, schema, text, traffic_in, u64_of,
};

const KIND: &str = "cong_state";

/// Uploads through losses of data and of ACKs.
fn lose(scene: &mut Scene) {
    let port = scene.port;
    scene.ns.run(&["ip", "link", "set", "lo", "mtu", "1500"]);
    let listen = format!("[::]:{port}");
    let server = Server::start_in(&scene.ns.launch(), &listen, Some("cubic"));
    for side in ["dport", "sport"] {
        // Not at random: each connection has its losses.
        scene.rule(&format!("tcp {side} {port} tcp flags & syn == 0 numgen inc mod 30 == 7 drop"));
    }
    for family in FAMILIES {
        let to = scene.addr(family).to_string();
        let bytes = if guest() { "2000000" } else { "6000000" };
        let args = ["bulk", "--to", &to, "--bytes", bytes, "--cc", "cubic"];
        traffic_in(&scene.ns.launch(), &args);
    }
    scene.speak();
    scene.settle();
    drop(server);
}

/// Each begins where the last one ended, and they are marked.
#[track_caller]
fn check_chain(trace: &Trace) {
    let schema = schema();
    for (cookie, events) in trace.by_cookie() {
        let mut now = "Open";
        for event in events {
            let valid = invalid(record(&schema, KIND), event);
            valid.unwrap_or_else(|error| panic!("{error}: {event}"));
            assert_eq!(event["derived"], true, "{event}");
            assert_eq!(text(event, "old_ca_state"), now, "{cookie}: {event}");
            assert_eq!(event["ca_state"], event["old_ca_state"], "{event}");
            now = text(event, "new_ca_state");
            assert_ne!(event["old_ca_state"], event["new_ca_state"], "{event}");
        }
    }
}

/// They are some of the real ones, in their order, each not before its own. How many.
#[track_caller]
fn check_among(real: &[&Value], derived: &[&Value]) -> usize {
    let mut next = real.iter();
    for event in derived {
        let state = |real: &&&Value| real["new_ca_state"] == event["new_ca_state"];
        let found = next.find(state).unwrap_or_else(|| panic!("{event} is not in {real:#?}"));
        assert!(u64_of(found, "mono_ns") <= u64_of(event, "mono_ns"), "{event} {found}");
    }
    derived.len()
}

fn check_derived(reader: &str) {
    need!(is_root(), "not root");
    let _quiet = flooding();
    // See events_counters.rs: there are hosts that skip programs.
    for _ in 0..6 {
        let mut scene = Scene::new();
        let port = scene.port.to_string();
        let args = ["--all-fields", "--reader", reader, "--port", &port];
        let here = Launch::here().with_tracefs();
        let real = has_tracepoint(KIND).then(|| Tracer::events_in(&here, KIND, &args));
        let retransmits = Tracer::events_in(&here, "retransmit", &args);
        let derived = Tracer::command_in(&here, &["cong", "--derived"], &args);
        let before = scene.ns.counters();
        lose(&mut scene);
        let after = scene.ns.counters();
        let (derived, retransmits) = (derived.stop(), retransmits.stop());
        derived.check_accounts(&[KIND]);
        assert!(derived.stderr.contains("without tcp:tcp_cong_state_set"), "{}", derived.stderr);
        assert!(derived.stderr.contains("tracing tcp:tcp_probe, tcp:tcp_retransmit_skb"));
        check_chain(&derived);
        if let Some(real) = real {
            let real = real.stop();
            assert!(real.events.iter().all(|event| event["derived"] == false));
            let told: usize = derived
                .by_cookie()
                .into_iter()
                .map(|(cookie, events)| check_among(&real.of_cookie(cookie), &events))
                .sum();
            // How many are over before the next packet is left to chance: of a few it may be all.
            let all = real.events.len();
            assert!(all < 12 || told * 4 >= all, "{told} of {all}");
        }
        let grew = |name: &str| after[name] - before[name];
        let segs: u64 = retransmits.events.iter().map(|event| u64_of(event, "segs")).sum();
        let recoveries = grew("TCPSackRecovery") + grew("TCPRenoRecovery");
        let entered =
            derived.events.iter().filter(|event| event["new_ca_state"] == "Recovery").count();
        let said = format!("{entered} of {recoveries} recoveries, {segs} segments");
        if segs == grew("RetransSegs") {
            // Each begins with a retransmission; one may follow another at the same packet, of a few all.
            let entered = entered as u64;
            assert!(entered > 0 && entered <= recoveries, "{said}");
            let enough = recoveries >= 10;
            assert!(!enough || entered * 10 >= recoveries * 7, "{said}");
            if enough || guest() {
                return;
            }
        }
        again(&said);
    }
    panic!("no account is complete");
}

by_sock_and_raw! {
    check_derived: states_are_worked_out_by_sock states_are_worked_out_by_raw;
}

/// Which of the two there is says the record, and `check`.
#[test]
fn without_the_tracepoint_states_are_worked_out() {
    need!(is_root(), "not root");
    let mut scene = Scene::new();
    let port = scene.port.to_string();
    let here = Launch::here().with_tracefs();
    let tracer = Tracer::events_in(&here, KIND, &["--port", &port]);
    let sums = Tracer::command_in(&here, &["cong", "--by", "conn", "--derived"], &["-P", &port]);
    lose(&mut scene);
    let (trace, sums) = (tracer.stop(), sums.stop());
    let lacks = !has_tracepoint(KIND);
    assert!(!trace.events.is_empty());
    assert!(trace.events.iter().all(|event| event["derived"] == lacks));
    assert!(sums.summarised() > 0 && !sums.events.is_empty(), "{}", sums.end);
    assert_eq!(trace.stderr.contains("is worked out from"), lacks, "{}", trace.stderr);
    let check = Tracer::spawn(&here, &["check"]).wait_raw().stdout;
    assert_eq!(check.contains("cong_state is worked out from"), lacks, "{check}");
}
