//! `cong_state` without its tracepoint: against the tracepoint, where there is one, and the namespace's own counters.

use serde_json::Value;

use crate::support::{
    FAMILIES, Fixture, Hidden, Launch, Server, Trace, Tracer, again, flooding, guest,
    has_tracepoint, invalid, is_root, record, schema, text, traffic_in, u64_of,
};

const EVENT_TYPE: &str = "cong_state";

/// Uploads through losses of data and of ACKs.
fn lose(fixture: &mut Fixture) {
    let port = fixture.port;
    fixture.ns.run(&["ip", "link", "set", "lo", "mtu", "1500"]);
    let listen = format!("[::]:{port}");
    let server = Server::start_in(&fixture.ns.launch(), &listen, Some("cubic"));
    for side in ["dport", "sport"] {
        // Not at random: each connection has its losses.
        fixture
            .rule(&format!("tcp {side} {port} tcp flags & syn == 0 numgen inc mod 30 == 7 drop"));
    }
    for family in FAMILIES {
        let to = fixture.addr(family).to_string();
        let bytes = if guest() { "2000000" } else { "6000000" };
        let args = ["bulk", "--to", &to, "--bytes", bytes, "--cc", "cubic"];
        traffic_in(&fixture.ns.launch(), &args);
    }
    fixture.speak();
    fixture.settle();
    drop(server);
}

/// Each begins where the last one ended, and they are marked.
#[track_caller]
fn check_chain(trace: &Trace) {
    let schema = schema();
    for (cookie, events) in trace.by_cookie() {
        let mut now = "Open";
        for event in events {
            let valid = invalid(record(schema, EVENT_TYPE), event);
            valid.unwrap_or_else(|error| panic!("{error}: {event}"));
            assert_eq!(event["inferred"], true, "{event}");
            assert_eq!(text(event, "old_ca_state"), now, "{cookie}: {event}");
            assert_eq!(event["ca_state"], event["old_ca_state"], "{event}");
            now = text(event, "new_ca_state");
            assert_ne!(event["old_ca_state"], event["new_ca_state"], "{event}");
        }
    }
}

/// They are some of the real ones, in their order, each not before its own. How many; or which one is not among them.
#[track_caller]
fn check_among(real: &[&Value], inferred: &[&Value]) -> Result<usize, String> {
    let mut next = real.iter();
    for event in inferred {
        let state = |real: &&&Value| real["new_ca_state"] == event["new_ca_state"];
        let found = next.find(state).ok_or_else(|| format!("{event} is not in {real:#?}"))?;
        assert!(u64_of(found, "mono_ns") <= u64_of(event, "mono_ns"), "{event} {found}");
    }
    Ok(inferred.len())
}

fn check_inferred(reader: &str) {
    need!(is_root(), "not root");
    let _quiet = flooding();
    // See events_counters.rs: there are hosts that skip programs.
    for _ in 0..6 {
        let mut fixture = Fixture::new();
        let port = fixture.port.to_string();
        let args = ["--all-fields", "--reader", reader, "--port", &port];
        let here = Launch::here().with_tracefs();
        let real = has_tracepoint(EVENT_TYPE).then(|| {
            let hidden = Hidden::watch(fixture.port, &["tcp/tcp_cong_state_set"]);
            (Tracer::events_in(&here, EVENT_TYPE, &args), hidden)
        });
        let retransmits = Tracer::events_in(&here, "retransmit", &args);
        let inferred = Tracer::command_in(&here, &["cong", "--inferred"], &args);
        let before = fixture.ns.counters();
        lose(&mut fixture);
        let after = fixture.ns.counters();
        let (inferred, retransmits) = (inferred.stop(), retransmits.stop());
        inferred.check_accounts(&[EVENT_TYPE]);
        assert!(inferred.stderr.contains("without tcp:tcp_cong_state_set"), "{}", inferred.stderr);
        assert!(inferred.stderr.contains("tracing tcp:tcp_probe, tcp:tcp_retransmit_skb"));
        check_chain(&inferred);
        if let Some((real, hidden)) = real {
            let real = real.stop();
            assert!(real.events.iter().all(|event| event["inferred"] == false));
            let reported: Result<usize, String> = inferred
                .by_cookie()
                .into_iter()
                .map(|(cookie, events)| check_among(&real.of_cookie(cookie), &events))
                .sum();
            let reported = match reported.or_else(|what| hidden.explains(&what)) {
                Ok(reported) => reported,
                Err(reason) => {
                    again(&reason);
                    continue;
                }
            };
            // How many are over before the next packet is left to chance: of a few it may be all.
            let all = real.events.len();
            assert!(all < 12 || reported * 4 >= all, "{reported} of {all}");
        }
        let grew = |name: &str| after[name] - before[name];
        let segs: u64 = retransmits.events.iter().map(|event| u64_of(event, "segs")).sum();
        let recoveries = grew("TCPSackRecovery") + grew("TCPRenoRecovery");
        let entered =
            inferred.events.iter().filter(|event| event["new_ca_state"] == "Recovery").count();
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
    check_inferred: states_are_inferred_by_sock states_are_inferred_by_raw;
}

/// Which of the two there is says the record, and `check`.
#[test]
fn without_the_tracepoint_states_are_inferred() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    let port = fixture.port.to_string();
    let here = Launch::here().with_tracefs();
    let tracer = Tracer::events_in(&here, EVENT_TYPE, &["--port", &port]);
    let sums = Tracer::command_in(&here, &["cong", "--by", "conn", "--inferred"], &["-P", &port]);
    lose(&mut fixture);
    let (trace, sums) = (tracer.stop(), sums.stop());
    let lacks = !has_tracepoint(EVENT_TYPE);
    assert!(!trace.events.is_empty());
    assert!(trace.events.iter().all(|event| event["inferred"] == lacks));
    assert!(sums.aggregated() > 0 && !sums.events.is_empty(), "{}", sums.end);
    assert_eq!(trace.stderr.contains("is inferred from"), lacks, "{}", trace.stderr);
    let check = Tracer::spawn(&here, &["check"]).wait_raw().stdout;
    assert_eq!(check.contains("cong_state is inferred from"), lacks, "{check}");
}
