//! `observe --metrics limits` against the rows of `limits --by` of the same run, and against the time of the connections.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;

use crate::support::{
    FAMILIES, Fixture, Hidden, Launch, OF_CONNECTIONS, Socket, Trace, Tracer, check_schema, guest,
    is_root, text, turns, u64_of,
};

/// Microseconds of each cause, by local port.
type Times = BTreeMap<u64, BTreeMap<String, u64>>;

fn observed(trace: &Trace) -> Times {
    check_schema(trace);
    let mut times = Times::new();
    for row in trace.events.iter().filter(|row| text(row, "metric") == "limit_time_us") {
        let causes = times.entry(u64_of(&row["key"], "sport")).or_default();
        *causes.entry(text(row, "label").to_owned()).or_default() += u64_of(row, "value");
    }
    times
}

fn of_limits(trace: &Trace) -> Times {
    let mut times = Times::new();
    for row in &trace.events {
        let causes = times.entry(u64_of(&row["key"], "sport")).or_default();
        let columns = row.as_object().expect("a row").iter();
        let not_causes = ["observed_us", "busy_us", "rwnd_limited_us", "sndbuf_limited_us"];
        for (name, value) in columns.filter(|(name, _)| !not_causes.contains(&name.as_str())) {
            if let (Some(cause), Some(us)) = (name.strip_suffix("_us"), value.as_u64()) {
                *causes.entry(cause.to_owned()).or_default() += us;
            }
        }
    }
    times.values_mut().for_each(|causes| causes.retain(|_, us| *us > 0));
    times
}

/// An emulated machine takes that long from one program to the next.
fn slack_us(of_host: u64) -> u64 {
    if guest() { 200_000 } else { of_host }
}

fn whole(causes: &BTreeMap<String, u64>) -> u64 {
    causes.values().sum()
}

/// A transfer, a window that closes, silence until timeouts; a socket that is used for two connections; and one that stays open, and
/// closes one direction only.
fn drive(fixture: &mut Fixture) -> [Socket; 2] {
    let (client, _) = fixture.connect("a", FAMILIES[0]);
    fixture.client.transfer("a", &mut fixture.server, 500_000);
    fixture.stall("a");
    fixture.client.close("a");
    fixture.server.close("a");
    fixture.connect("twice", FAMILIES[1]);
    fixture.client.transfer("twice", &mut fixture.server, 1_000);
    fixture.client.disconnect("twice");
    fixture.server.wait_error("twice");
    let addr = fixture.addr(FAMILIES[1]);
    fixture.client.reconnect("twice", addr);
    fixture.server.accept("again");
    fixture.client.close("twice");
    let (open, _) = fixture.connect("open", FAMILIES[0]);
    fixture.client.shutdown("open");
    fixture.server.transfer("open", &mut fixture.client, 200_000);
    [client, open]
}

/// So many of the server's ends stay open: their time goes on until a tracer has stopped.
const OPEN_ENDS: u64 = 2;

fn port_of(socket: &Socket) -> u64 {
    socket.local.port().into()
}

/// From the connection's first change of state to the one after which nothing is left to send.
fn lifetime_us(states: &Trace, socket: &Socket) -> Option<u64> {
    let mine = || states.events.iter().filter(|event| event["cookie"] == socket.cookie);
    let at = |wanted: &[&str]| {
        let found = mine().find(|event| wanted.contains(&text(event, "new_state")));
        found.map(|event| u64_of(event, "mono_ns"))
    };
    Some((at(&["FIN_WAIT2", "CLOSE"])? - at(&["SYN_SENT"])?) / 1000)
}

#[track_caller]
fn check_same(found: &Times, wanted: &Times, stopping_us: u64) {
    assert!(found.keys().eq(wanted.keys()), "{found:?}\n{wanted:?}");
    for (port, causes) in wanted {
        let found_causes = &found[port];
        for cause in causes.keys().chain(found_causes.keys()) {
            let [found, wanted] =
                [found_causes, causes].map(|times| times.get(cause).copied().unwrap_or(0));
            // The programs of two tracers run one after the other, and their ends are not at the same moment.
            let most =
                slack_us(20_000) + wanted / 20 + if cause == "idle" { stopping_us } else { 0 };
            let off = found.abs_diff(wanted);
            assert!(off <= most, "{port} {cause}: {:?}\n{causes:?}", found_causes);
        }
    }
}

fn check_limits(reader: &str) {
    need!(is_root(), "not root");
    turns(|| limits(reader));
}

fn limits(reader: &str) -> Result<(), String> {
    let mut fixture = Fixture::new();
    fixture.listen();
    let hidden = Hidden::watch(fixture.port, OF_CONNECTIONS);
    let port = fixture.port.to_string();
    let launch = Launch::here().with_tracefs();
    let common = ["--reader", reader, "--port", &port];
    let start = |command: &str, more: &[&str]| {
        let args = [&common[..], more].concat();
        Tracer::command_in(&launch, &[command], &args)
    };
    let metric = ["--by", "lport", "--metrics", "limits"];
    let once = start("observe", &metric);
    let many = start("observe", &[&metric[..], &["--interval", "50ms"]].concat());
    // An interval that ends divides the time until the next event, at another moment for each tracer.
    let limits = start("limits", &["--by", "lport", "--interval", "1h"]);
    let states = Tracer::events_in(&launch, "state", &["--port", &port]);
    let [closed, open] = drive(&mut fixture);
    let state = |event: &Value, new: &str| text(event, "new_state") == new;
    states.wait_events("the FIN's ACK", |events| {
        let of = |event: &&Value| event["cookie"] == open.cookie;
        events.iter().filter(of).any(|event| state(event, "FIN_WAIT2"))
    });
    let stopped = Instant::now();
    let (once, limits, many) = (once.stop(), limits.stop(), many.stop());
    let elapsed_us = u64::try_from(stopped.elapsed().as_micros()).expect("less than that");
    let stopping_us = OPEN_ENDS * elapsed_us;
    let states = states.stop();
    let (whole_run, intervals, truth) = (observed(&once), observed(&many), of_limits(&limits));
    check_same(&whole_run, &truth, stopping_us);
    let mine = &whole_run[&port_of(&closed)];
    for cause in ["idle", "zero_window", "rto"] {
        assert!(mine.get(cause).is_some_and(|us| *us > 5_000), "{cause}: {mine:?}");
    }
    // All of the time, whatever the number of intervals.
    for times in [&whole_run, &intervals] {
        for socket in [&closed, &open] {
            let port = port_of(socket);
            let found = whole(&times[&port]);
            let Some(wanted) = lifetime_us(&states, socket) else {
                return hidden.explains("a state is missing");
            };
            assert!(
                found.abs_diff(wanted) <= slack_us(2000) + wanted / 100,
                "{port}: {found} of {wanted}"
            );
        }
    }
    for (port, causes) in &truth {
        let (found, wanted) = (whole(&intervals[port]), whole(causes));
        assert!(
            found.abs_diff(wanted) <= slack_us(20_000) + stopping_us,
            "{port}: {found} of {wanted}, {stopping_us} while they stopped"
        );
    }
    Ok(())
}

by_sock_and_raw! {
    check_limits: causes_are_those_of_limits_by_sock causes_are_those_of_limits_by_raw;
}
