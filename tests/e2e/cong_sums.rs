//! `cong --by` against the changes that it is made of and the connections' beginnings and ends, which another tracer prints.

use serde_json::{Value, json};

use crate::support::{
    FAMILIES, Fixture, Launch, Server, Trace, Tracer, again, flooding, has_tracepoint, invalid,
    is_root, is_whole, mono_ns, schema, text, traffic_in, u64_of, wait_until,
};

const STATES: [&str; 5] = ["Open", "Disorder", "CWR", "Recovery", "Loss"];
const COLUMNS: [&str; 5] = ["open_us", "disorder_us", "cwr_us", "recovery_us", "loss_us"];
const ENDS: [&str; 4] = ["saddr", "sport", "daddr", "dport"];
const EVENT_TYPES: [&str; 3] = ["state", "destroy", "cong_state"];

/// What the programs of two tracers may be apart on one tracepoint, if nobody takes the CPU away between them.
const APART_US: u64 = 10_000;
/// How often that is tried.
const TRIES: usize = 6;

#[derive(Debug, Default)]
struct CaStateTimes {
    us: [u64; 5],
    changes: u64,
    unknown: u64,
}

impl CaStateTimes {
    /// What these events of one connection make until then.
    fn of(events: &[&Value], end_ns: u64) -> CaStateTimes {
        let mut since = begun(events);
        let (mut now, mut dwelt) = ("Open", CaStateTimes::default());
        let end = events.iter().find(|event| event["type"] == "destroy");
        for event in events.iter().filter(|event| event["type"] == "cong_state") {
            now = text(event, "old_ca_state");
            dwelt.add(now, since, u64_of(event, "mono_ns"));
            dwelt.unknown += u64::from(since.is_none());
            dwelt.changes += 1;
            since = Some(u64_of(event, "mono_ns"));
            now = text(event, "new_ca_state");
        }
        dwelt.add(now, since, end.map_or(end_ns, |event| u64_of(event, "mono_ns")));
        dwelt
    }

    fn add(&mut self, state: &str, since: Option<u64>, now: u64) {
        let index = STATES.iter().position(|name| *name == state).expect("a state");
        self.us[index] += (now - since.unwrap_or(now)) / 1000;
    }

    /// What rows say, together.
    fn reported<'r>(rows: impl IntoIterator<Item = &'r Value>) -> CaStateTimes {
        let mut reported = CaStateTimes::default();
        for row in rows {
            reported.us.iter_mut().zip(COLUMNS).for_each(|(us, column)| *us += u64_of(row, column));
            reported.changes += u64_of(row, "changes");
            reported.unknown += u64_of(row, "unknown");
        }
        reported
    }

    /// As many changes, and times that are no farther apart than `apart`; else what is wrong.
    #[track_caller]
    fn check(
        &self,
        wanted: &CaStateTimes,
        open_too: bool,
        apart: u64,
        row: &Value,
    ) -> Result<(), String> {
        let said = format!("{row}: {self:?}, wanted {wanted:?}");
        assert_eq!((self.changes, self.unknown), (wanted.changes, wanted.unknown), "{said}");
        let mut both = self.us.iter().zip(&wanted.us).skip(usize::from(!open_too));
        let near = both.all(|(reported, wanted)| reported.abs_diff(*wanted) <= apart + wanted / 50);
        if near { Ok(()) } else { Err(said) }
    }
}

/// When it began, in ns: what came before ESTABLISHED is counted back, as a client has no port yet when it connects.
fn begun(events: &[&Value]) -> Option<u64> {
    let established = |e: &&&Value| e["type"] == "state" && e["new_state"] == "ESTABLISHED";
    let event = events.iter().find(established)?;
    Some(u64_of(event, "mono_ns") - u64_of(event, "old_state_us") * 1000)
}

fn of_row<'t>(trace: &'t Trace, row: &Value) -> Vec<&'t Value> {
    let same = |event: &&Value| ENDS.iter().all(|end| event[*end] == row["key"][*end]);
    trace.events.iter().filter(same).collect()
}

/// Losses on connections that come and go, on one that was there before, and on one that stays.
fn lose(fixture: &mut Fixture, tracer: &Tracer) {
    let port = fixture.port;
    // Not at random: each connection has its losses.
    for side in ["dport", "sport"] {
        fixture
            .rule(&format!("tcp {side} {port} tcp flags & syn == 0 numgen inc mod 12 == 5 drop"));
    }
    for family in FAMILIES {
        fixture.connect("a", family);
        fixture.client.transfer("a", &mut fixture.server, 1_000_000);
        fixture.client.close("a");
        fixture.server.close("a");
    }
    for name in ["before", "stays"] {
        fixture.client.transfer(name, &mut fixture.server, 1_000_000);
    }
    // Some time in Loss.
    fixture.speak();
    fixture.silence();
    let losses = |events: &[Value]| events.iter().filter(|e| e["new_ca_state"] == "Loss").count();
    let before = losses(&tracer.events());
    fixture.client.send("stays", 10_000);
    tracer.wait_events("Loss", |events| losses(events) > before);
    fixture.speak();
    fixture.server.receive("stays", 10_000);
    wait_until("the last ACK", || {
        let text = fixture.ns.run(&["ss", "-tinH", "state", "established"]);
        !text.contains("unacked:")
    });
}

fn check_time_in_states(reader: &str) {
    need!(is_root(), "not root");
    // Of changes that are worked out it is left to chance which are seen, the last one's end among them: cong_derived.rs.
    need!(has_tracepoint("cong_state"), "no tcp_cong_state_set (5.19)", legitimate: true);
    let _quiet = flooding();
    for _ in 0..TRIES {
        match try_time_in_states(reader) {
            Ok(()) => return,
            Err(said) => again(&said),
        };
    }
    panic!("the times are never the same");
}

fn try_time_in_states(reader: &str) -> Result<(), String> {
    let mut fixture = Fixture::new();
    fixture.ns.run(&["ip", "link", "set", "lo", "mtu", "1500"]);
    fixture.listen();
    fixture.connect("before", FAMILIES[0]);
    let port = fixture.port.to_string();
    let launch = Launch::here().with_tracefs();
    let args = ["--reader", reader, "--port", &port];
    let events = Tracer::events_in(&launch, &EVENT_TYPES.join(","), &args);
    let cases = ["conn", "conn --interval 100ms", "rport", "conn --max-rows 2"];
    let tracers = cases.map(|by| {
        let words = format!("--reader {reader} --port {port} --by {by}");
        Tracer::command_in(&launch, &["cong"], &words.split(' ').collect::<Vec<_>>())
    });
    fixture.connect("stays", FAMILIES[1]);
    lose(&mut fixture, &events);
    let stopping = mono_ns();
    let traces = tracers.map(Tracer::stop);
    let stopped = mono_ns();
    let events = events.stop();
    events.check_accounts(&EVENT_TYPES);
    if !is_whole(&events) {
        return Err(format!("lost: {}", events.end));
    }
    let schema = schema();
    for trace in &traces {
        assert_eq!(trace.aggregated(), events.of_type("cong_state").len() as u64, "{}", trace.end);
        for row in &trace.events {
            invalid(schema, row).unwrap_or_else(|error| panic!("{error}: {row}"));
        }
    }
    check_connections(&traces[..2], &events, (stopping, stopped))?;
    // By the peer's port: all clients are one row, each server's end its own.
    let all = traces[2].events.iter().find(|row| row["key"]["dport"] == fixture.port);
    let all = all.expect("the clients' row");
    let rows = traces[0].events.iter().filter(|row| row["key"]["dport"] == fixture.port);
    let apart = APART_US * 5 + 2 * (stopped - stopping) / 1000;
    CaStateTimes::reported([all]).check(&CaStateTimes::reported(rows), true, apart, all)?;
    let rest = traces[3].events.iter().filter(|row| row["key"].is_null());
    assert_eq!((traces[3].events.len(), rest.count()), (3, 1), "{:?}", traces[3].events);
    let changes = |trace: &Trace| CaStateTimes::reported(&trace.events).changes;
    assert_eq!(changes(&traces[3]), changes(&traces[0]));
    Ok(())
}

/// Of the whole run and by interval. What lives on is told until some moment between these two.
#[track_caller]
fn check_connections(traces: &[Trace], events: &Trace, stop: (u64, u64)) -> Result<(), String> {
    let (whole, intervals) = (&traces[0], &traces[1]);
    let mut recovery = 0;
    for row in &whole.events {
        let of = of_row(events, row);
        let wanted = CaStateTimes::of(&of, stop.1);
        let ended = of.iter().find(|event| event["type"] == "destroy");
        let living = ended.is_none();
        let apart = APART_US + if living { (stop.1 - stop.0) / 1000 } else { 0 };
        CaStateTimes::reported([row]).check(&wanted, true, apart, row)?;
        let rows = intervals.events.iter().filter(|other| other["key"] == row["key"]);
        CaStateTimes::reported(rows).check(&wanted, false, apart, row)?;
        recovery += u64_of(row, "recovery_us") + u64_of(row, "loss_us");
        if let Some(begun) = begun(&of) {
            assert_eq!(row["unknown"], 0, "{row}");
            let age = (ended.map_or(stop.1, |event| u64_of(event, "mono_ns")) - begun) / 1000;
            let total: u64 = CaStateTimes::reported([row]).us.iter().sum();
            assert!(total.abs_diff(age) <= 5 * apart + age / 50, "{age}: {row}");
        }
    }
    assert!(recovery > 100_000, "{:?}", whole.events);
    let changed: std::collections::BTreeSet<String> = events
        .of_type("cong_state")
        .iter()
        .map(|event| json!(ENDS.map(|end| &event[end])).to_string())
        .collect();
    assert_eq!(whole.events.len(), changed.len());
    // Of the one that was there before, and of no other.
    assert!(whole.events.iter().map(|row| u64_of(row, "unknown")).sum::<u64>() <= 2);
    Ok(())
}

by_sock_and_raw! {
    check_time_in_states: time_in_states_is_added_up_by_sock time_in_states_is_added_up_by_raw;
}

#[test]
fn time_in_states_is_shown_in_a_table() {
    need!(is_root(), "not root");
    let fixture = Fixture::new();
    let port = fixture.port.to_string();
    let args = ["cong", "--by", "conn", "--port", &port];
    let mut tracer = Tracer::spawn(&Launch::here(), &args);
    tracer.wait_ready();
    fixture.ns.run(&["ip", "link", "set", "lo", "mtu", "1500"]);
    let listen = format!("[::]:{port}");
    let server = Server::start_in(&fixture.ns.launch(), &listen, None);
    fixture.rule(&format!("tcp dport {port} meta length > 100 numgen inc mod 20 == 7 drop"));
    let to = fixture.addr(FAMILIES[0]).to_string();
    traffic_in(&fixture.ns.launch(), &["bulk", "--to", &to, "--bytes", "1000000"]);
    fixture.speak();
    fixture.settle();
    drop(server);
    let output = tracer.stop_raw();
    assert!(output.status.success(), "{}", output.stderr);
    let lines: Vec<Vec<&str>> =
        output.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let titles = "LADDR:LPORT RADDR:RPORT OPEN_MS DOD_MS CWR_MS RCOV_MS LOSS_MS CHGS UNKN";
    assert_eq!(lines[1].join(" "), titles);
    let remote = format!("127.0.0.1:{port}");
    let row = lines.iter().find(|words| words.get(1) == Some(&&*remote)).expect("the sender's");
    assert_eq!(row.len(), 9, "{}", output.stdout);
    assert!(output.stdout.lines().all(|line| line.len() <= 100), "{}", output.stdout);
}
