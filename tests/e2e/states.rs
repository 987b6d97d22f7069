//! `states`: the command's lines, and times that are of one socket only, however soon its address is another's.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{FAMILIES, Fixture, Launch, Tracer, is_root, kernel, text, u64_of};

fn here() -> Launch {
    Launch::here().with_tracefs()
}

const CONNECTIONS: usize = 1000;

/// The kernel gives a socket's memory to the next one at once; the client's and the server's take turns in it.
fn check_reuse(reader: &str) {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let port = fixture.port.to_string();
    let spawn = |reader: &str| {
        let args = ["states", "-o", "jsonl", "--reader", reader, "--port", &port];
        let mut tracer = Tracer::spawn(&here(), &args);
        tracer.wait_ready();
        tracer
    };
    // First, so that it makes the cookies that the raw reader cannot make.
    let cookies = spawn("sock");
    let tracer = spawn(reader);
    let addr = fixture.addr(FAMILIES[0]);
    fixture.client.burst(&mut fixture.server, addr, CONNECTIONS, 100);
    fixture.settle();
    let trace = tracer.stop();
    trace.check_accounts(&["state"]);
    cookies.stop().check_account();
    let lost = u64_of(&trace.end, "lost") as usize;
    assert!(lost < CONNECTIONS / 10, "{}", trace.end);
    assert!(trace.events.len() + lost >= CONNECTIONS * 9, "{}", trace.end);

    // By cookie; where the program cannot make one, by the ends, which are not there yet at first.
    let mut before: BTreeMap<String, &Value> = BTreeMap::new();
    let (mut first, mut exact) = (0, 0);
    for event in &trace.events {
        let is_first =
            text(event, "old_state") == "CLOSE" || text(event, "new_state") == "SYN_RECV";
        if is_first {
            first += 1;
            assert!(event["old_state_us"].is_null(), "an earlier socket's: {event}");
        }
        let ends = ["saddr", "sport", "daddr", "dport"].map(|key| event[key].to_string()).join(" ");
        let key = event["cookie"].as_u64().map_or(ends, |cookie| cookie.to_string());
        let now = u64_of(event, "mono_ns");
        if let Some(before) = before.insert(key, event)
            && before["new_state"] == event["old_state"]
            && !is_first
        {
            let took = (now - u64_of(before, "mono_ns")) / 1000;
            assert_eq!(event["old_state_us"], took, "{event}\nafter {before}");
            exact += 1;
        }
    }
    let cookies = kernel() >= (5, 12);
    assert!(first + lost >= 2 * CONNECTIONS, "{first}");
    // Of the server's first event some kernels tell no cookie.
    let least = if cookies { 6 } else { 4 };
    assert!(exact + lost >= least * CONNECTIONS, "{exact}");
}

by_sock_and_raw! {
    check_reuse: reuse_by_sock reuse_by_raw;
}

#[test]
fn a_line_has_what_tcpstates_has() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let ports = fixture.ports();
    let mut tracer = Tracer::spawn(&here(), &["states", "--port", &ports]);
    tracer.wait_ready();
    let (client, _) = fixture.connect("a", FAMILIES[0]);
    fixture.client.close("a");
    fixture.server.close("a");
    fixture.settle();
    let output = tracer.stop_raw();
    assert!(output.status.success(), "{}", output.stderr);
    let mut lines = output.stdout.lines();
    let titles = lines.next().expect("titles");
    assert!(titles.chars().count() <= 100, "{titles}");
    let titles: Vec<&str> = titles.split_whitespace().collect();
    assert_eq!(titles, ["TIME", "LOCAL", "PEER", "PID", "COMM", "OLDSTATE", "NEWSTATE", "us"]);
    let (pid, local) = (fixture.client.pid.to_string(), client.local.to_string());
    let ways: Vec<[&str; 2]> = lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words| words.get(1) == Some(&local.as_str()))
        .map(|words| {
            assert_eq!(words[3], pid, "{words:?}");
            let us: u64 = words[7].parse().unwrap_or_else(|error| panic!("{error}: {words:?}"));
            assert!(us < 60_000_000, "{words:?}");
            [words[5], words[6]]
        })
        .collect();
    let way = ["SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "CLOSE"];
    let steps: Vec<[&str; 2]> = way.windows(2).map(|pair| [pair[0], pair[1]]).collect();
    assert_eq!(ways, steps, "{}", output.stdout);
}
