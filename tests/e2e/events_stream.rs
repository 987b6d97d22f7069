//! `events`: event types in one stream. Which there are, what is refused, form, order, filters, owners, and times of states.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::support::{
    EVENTS, FAMILIES, Fixture, Hidden, INFERRED, Launch, Output, Trace, Tracer, drive,
    has_tracepoint, hook, invalid, is_root, kernel, record, schema, text, turns, u64_of,
    wait_until,
};

/// Those that this kernel has; one of them it may do without.
fn event_types() -> Vec<&'static str> {
    EVENTS
        .iter()
        .copied()
        .filter(|event_type| *event_type == "cong_state" || has_tracepoint(event_type))
        .collect()
}

fn here() -> Launch {
    Launch::here().with_tracefs()
}

#[track_caller]
fn ended(args: &[&str]) -> (Option<i32>, Output) {
    let output = Tracer::spawn(&here(), args).wait_raw();
    (output.status.code(), output)
}

#[test]
fn all_is_what_this_kernel_has() {
    need!(is_root(), "not root");
    let trace = Tracer::events_in(&here(), "all", &["--port", "1"]).stop();
    let has = event_types();
    trace.check_accounts(&[&["probe"], &has[..], INFERRED].concat());
    let notes: Vec<&str> =
        trace.stderr.lines().filter(|line| line.contains(" is not traced: ")).collect();
    let lacking: Vec<&&str> =
        EVENTS.iter().filter(|event_type| !has.contains(event_type)).collect();
    assert_eq!(notes.len(), lacking.len(), "{}", trace.stderr);
    for (note, event_type) in notes.iter().zip(&lacking) {
        let (left_out, lacks) = (
            format!("note: {event_type} is not traced: "),
            format!(" {}", hook(event_type).replace('/', ":")),
        );
        assert!(note.contains(&left_out) && note.ends_with(&lacks), "{note}");
    }
    // One that was asked for by name is not left out: it is refused, in a line.
    for event_type in lacking {
        let (status, output) = ended(&["events", event_type]);
        assert_eq!(status, Some(1), "{}", output.stderr);
        assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
        assert!(
            output.stderr.contains(event_type) && output.stdout.is_empty(),
            "{}",
            output.stderr
        );
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    need!(is_root(), "not root");
    for (args, words) in [
        (&["events", "state,nothing"][..], &["`nothing`", "all, probe"][..]),
        (&["events", "state", "--reader", "record"], &["--reader record"]),
        (&["events", "state", "--sample", "2"], &["--sample"]),
    ] {
        let (status, output) = ended(args);
        assert_eq!(status, Some(2), "{args:?}: {}", output.stderr);
        assert_eq!(output.stderr.lines().count(), 1, "{args:?}: {}", output.stderr);
        let says = words.iter().all(|word| output.stderr.contains(word));
        assert!(says && output.stdout.is_empty(), "{args:?}: {}", output.stderr);
        if words.len() > 1 {
            assert!(
                EVENTS.iter().chain(INFERRED).all(|event_type| output.stderr.contains(event_type))
            );
        }
    }
}

#[test]
fn a_line_begins_with_time_type_and_ends() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    let event_types = "state,rcv_space,destroy";
    let ports = fixture.ports();
    let mut tracer =
        Tracer::spawn(&here(), &["events", event_types, "--port", &ports, "-o", "text"]);
    tracer.wait_ready();
    drive(&mut fixture, "state");
    let output = tracer.stop_raw();
    assert!(output.status.success(), "{}", output.stderr);
    let mut lines = output.stdout.lines();
    let titles: Vec<&str> = lines.next().expect("titles").split_whitespace().collect();
    assert_eq!(titles, ["TIME", "EVENT", "LOCAL", "PEER"]);
    let mut seen = BTreeSet::new();
    for line in lines.filter(|line| !line.trim().is_empty()) {
        assert!(line.chars().count() <= 100, "{line}");
        // What does not fit stands below.
        if line.starts_with("    ") {
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let [time, event_type, local, peer, ..] = words[..] else { panic!("{line}") };
        let digits = |c: char| c.is_ascii_digit() || c == ':' || c == '.';
        assert!(time.len() == 15 && time.chars().all(digits), "{line}");
        assert!(event_types.split(',').any(|name| name == event_type), "{line}");
        for end in [local, peer] {
            end.parse::<std::net::SocketAddr>().unwrap_or_else(|error| panic!("{error}: {line}"));
        }
        seen.insert(event_type.to_owned());
    }
    assert_eq!(seen.len(), 3, "{}", output.stdout);
}

#[test]
fn every_record_is_what_the_schema_says() {
    need!(is_root(), "not root");
    let schema = schema();
    let mut seen = BTreeSet::new();
    for (drive_of, options) in [
        ("retransmit", &["--stats", "50ms"][..]),
        ("synack_retransmit", &["--all-fields"]),
        ("reset_sent", &["--all-fields", "--stack", "--time", "rel"]),
        ("error", &["--time", "mono"]),
        ("rcv_space", &["--all-fields"]),
    ] {
        let mut fixture = Fixture::new();
        let ports = fixture.ports();
        let tracer = Tracer::events_in(&here(), "all", &[&["--port", &ports], options].concat());
        if has_tracepoint(drive_of) {
            drive(&mut fixture, drive_of);
        }
        let output = tracer.stop_raw();
        for line in output.stdout.lines() {
            let value: Value = serde_json::from_str(line).expect("JSON");
            let own = record(schema, text(&value, "type"));
            invalid(own, &value).unwrap_or_else(|error| panic!("{error}: {line}"));
            invalid(schema, &value).unwrap_or_else(|error| panic!("{error}: {line}"));
            if options[0] == "--all-fields" && value["type"] != "end" && value["type"] != "probe" {
                let keys: Vec<&String> = value.as_object().expect("an object").keys().collect();
                let all = own["properties"].as_object().expect("properties").keys();
                // Those take programs of their own, and are there if they are named.
                let all = all.filter(|name| !name.starts_with("limits_"));
                assert_eq!(keys, all.collect::<Vec<_>>(), "all are there, in order");
            }
            seen.insert(text(&value, "type").to_owned());
        }
    }
    let all = [&["probe", "stats", "end"], &event_types()[..], INFERRED].concat();
    // These come only where something went wrong.
    let sure = |event_type: &&str| !["zero_window", "spurious", "listen_drop"].contains(event_type);
    assert!(all.into_iter().filter(sure).all(|event_type| seen.contains(event_type)), "{seen:?}");
}

/// A connection's events share one cookie, whatever their event type, and come as they happened.
fn check_order(reader: &str) {
    need!(is_root(), "not root");
    turns(|| order_turn(reader));
}

/// Of the events that each client has.
const HOOKS: &[&str] = &[
    "tcp/tcp_probe",
    "sock/inet_sock_set_state",
    "tcp/tcp_retransmit_skb",
    "tcp/tcp_destroy_sock",
];

fn order_turn(reader: &str) -> Result<(), String> {
    let mut fixture = Fixture::new();
    let ports = fixture.ports();
    let hidden = Hidden::watch(fixture.port, HOOKS);
    let tracer = Tracer::events_in(&here(), "all", &["--port", &ports, "--reader", reader]);
    drive(&mut fixture, "retransmit");
    let trace = tracer.stop();
    trace.check_account();
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    let mut cookies: BTreeMap<[String; 4], BTreeSet<u64>> = BTreeMap::new();
    let mut event_types: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    for event in &trace.events {
        let Some(cookie) = event["cookie"].as_u64() else {
            // Of a socket that the program cannot give one, before anybody else did.
            let accepted = event["new_state"] == "SYN_RECV";
            // Of a packet before anybody knows whose it is.
            let packet = event["type"] == "drop" && event["sk_state"].is_null();
            assert!(reader == "raw" || kernel() < (5, 12) || accepted || packet, "{event}");
            continue;
        };
        let before = last.insert(cookie, u64_of(event, "mono_ns"));
        assert!(before < Some(u64_of(event, "mono_ns")), "{event}");
        event_types.entry(cookie).or_default().insert(text(event, "type"));
        // On its way to SYN_SENT it has no port yet.
        if event["sport"] != 0 {
            let ends = ["saddr", "sport", "daddr", "dport"].map(|key| event[key].to_string());
            cookies.entry(ends).or_default().insert(cookie);
        }
    }
    for (ends, cookies) in &cookies {
        assert_eq!(cookies.len(), 1, "{ends:?}: {cookies:?}");
    }
    let clients = event_types.values().filter(|event_types| event_types.contains("retransmit"));
    let has = ["probe", "state", "retransmit", "destroy"];
    let whole = clients
        .filter(|event_types| has.iter().all(|event_type| event_types.contains(event_type)))
        .count();
    if whole == FAMILIES.len() {
        return Ok(());
    }
    hidden.explains(&format!("{whole} clients have {has:?}: {event_types:?}"))
}

/// What tracers tell alike of one event; when the raw reader's cookies begin depends on who else makes some.
fn sketch(event: &Value) -> String {
    let keys = ["type", "saddr", "sport", "daddr", "dport", "snd_cwnd", "old_state", "seq"];
    keys.map(|key| event[key].to_string()).join(" ")
}

/// What drives it, and with whom: together they have events of each type that this kernel has.
fn scenes() -> Vec<(&'static str, Fixture)> {
    let event_types = event_types();
    let drives = ["retransmit", "synack_retransmit", "reset_sent", "error", "rcv_space"];
    let can = drives.into_iter().filter(|name| event_types.contains(name));
    can.map(|name| (name, Fixture::new())).collect()
}

/// For `--port`.
fn ports_of(scenes: &[(&str, Fixture)]) -> String {
    scenes.iter().map(|(_, fixture)| fixture.ports()).collect::<Vec<_>>().join(",")
}

/// Of one of these scenes.
fn is_of(scenes: &[(&str, Fixture)], event: &Value) -> bool {
    let ports = scenes.iter().flat_map(|(_, fixture)| [fixture.port, fixture.closed]);
    ports.into_iter().any(|port| event["sport"] == port || event["dport"] == port)
}

/// What one with `--pid` tells is what one without tells of those processes' ends; nobody's is told by neither.
fn check_pid(reader: &str) {
    need!(is_root(), "not root");
    let event_types = event_types();
    let mut scenes = scenes();
    let ports = ports_of(&scenes);
    let start = |filter: &[&str]| {
        let args = [&["--reader", reader, "--port", &ports], filter].concat();
        Tracer::events_in(&here(), &event_types.join(","), &args)
    };
    let pids = |of: fn(&Fixture) -> u32| {
        let pids = scenes.iter().map(|(_, fixture)| of(fixture).to_string());
        pids.collect::<Vec<_>>().join(",")
    };
    let (clients, servers) = (pids(|f| f.client.pid), pids(|f| f.server.pid));
    let reference = start(&[]);
    let [client, server] = [clients, servers].map(|pids| start(&["--pid", &pids]));
    for (name, fixture) in &mut scenes {
        drive(fixture, name);
    }
    let reference = reference.stop();
    let of_server =
        |event: &Value| scenes.iter().any(|(_, fixture)| event["sport"] == fixture.port);
    let mut reported = BTreeSet::new();
    for (tracer, is_ours) in [(client, false), (server, true)] {
        let trace = tracer.stop();
        trace.check_account();
        // A request is its listener's.
        let of_sockets =
            |event: &&Value| !event["snd_cwnd"].is_null() || event["type"] == "synack_retransmit";
        let wanted = reference.events.iter().filter(of_sockets);
        let wanted: Vec<_> = wanted.filter(|event| of_server(event) == is_ours).collect();
        let found: BTreeSet<String> = trace.events.iter().map(sketch).collect();
        let told_of: BTreeSet<String> = wanted.iter().map(|event| sketch(event)).collect();
        // A closed one answers data by a RST, and drops what it has left, after its end: it is nobody's any more.
        let late = ["reset_sent", "drop"];
        let nobodys = |event: &Value| {
            event["pid"].is_null() && late.iter().any(|event_type| event["type"] == *event_type)
        };
        let missing: Vec<_> = wanted
            .iter()
            .filter(|event| !nobodys(event) && !found.contains(&sketch(event)))
            .collect();
        let more: Vec<_> = found.difference(&told_of).collect();
        let lost = |trace: &Trace| u64_of(&trace.end, "lost");
        assert!(missing.len() as u64 <= lost(&trace), "{is_ours}: {missing:#?}");
        assert!(more.len() as u64 <= lost(&reference), "{is_ours}: {more:#?}");
        for scene in scenes.chunks(1) {
            assert!(wanted.iter().any(|event| is_of(scene, event)), "{is_ours}: {}", scene[0].0);
        }
        reported.extend(trace.events.iter().map(|event| text(event, "type").to_owned()));
    }
    // Drops are nobody's before 6.11, where kfree_skb does not tell whose they were.
    let mut all = event_types.into_iter().filter(|event_type| *event_type != "drop");
    assert!(all.all(|event_type| reported.contains(event_type)), "{reported:?}");
}

/// The same scenes twice: `--port` tells of one half.
#[test]
fn a_port_lets_only_its_own_through() {
    need!(is_root(), "not root");
    let event_types = event_types();
    let halves = [scenes(), scenes()];
    let start = |scenes: &Vec<_>| {
        Tracer::events_in(&here(), &event_types.join(","), &["--port", &ports_of(scenes)])
    };
    let tracers = halves.each_ref().map(start);
    let driven = halves.map(|mut scenes| {
        for (name, fixture) in &mut scenes {
            drive(fixture, name);
        }
        scenes
    });
    for (tracer, scenes) in tracers.into_iter().zip(driven) {
        let trace = tracer.stop();
        trace.check_account();
        let foreign = trace.events.iter().find(|event| !is_of(&scenes, event));
        assert!(foreign.is_none(), "{foreign:?}");
        let reported: BTreeSet<&str> =
            trace.events.iter().map(|event| text(event, "type")).collect();
        assert_eq!(reported, event_types.iter().copied().collect());
    }
}

/// FIN and ACK are handled in whoever is interrupted, here mostly the other end.
fn check_owner(reader: &str) {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let ports = fixture.ports();
    let args = ["--all-fields", "--reader", reader, "--port", &ports];
    let tracer = Tracer::events_in(&here(), "state,destroy", &args);
    let mut ends = Vec::new();
    for family in FAMILIES {
        let (client, server) = fixture.connect("a", family);
        fixture.client.transfer("a", &mut fixture.server, 1000);
        fixture.ns.run(&["ss", "-tin"]);
        fixture.client.close("a");
        fixture.server.close("a");
        ends.extend([(client, fixture.client.pid, true), (server, fixture.server.pid, false)]);
    }
    fixture.settle();
    let trace = tracer.stop();
    trace.check_account();
    for (socket, pid, at_once) in ends {
        let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).expect("comm");
        let events = trace.of_cookie(socket.cookie);
        assert!(events.len() >= 4, "{events:?}");
        for event in &events {
            let known = event["pid"] == pid && event["comm"] == comm.trim_end();
            let unknown = event["pid"].is_null() && event["comm"].is_null();
            // Before it is accepted it is nobody's.
            let early =
                ["SYN_RECV", "ESTABLISHED"].iter().any(|state| event["new_state"] == *state);
            assert!(known || (unknown && !at_once && early), "{pid}: {event}");
        }
        assert_eq!(events.last().expect("one")["type"], "destroy");
    }
}

by_sock_and_raw! {
    check_order: order_by_sock order_by_raw;
    check_pid: pid_by_sock pid_by_raw;
    check_owner: owner_by_sock owner_by_raw;
}

/// Several event types end the run at once, whichever comes.
#[test]
fn a_count_is_of_all_types_together() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    let ports = fixture.ports();
    let args = ["--port", &ports, "--count", "5"];
    let mut tracer = Tracer::events_in(&here(), "state,destroy", &args);
    fixture.listen();
    let addr = fixture.addr(FAMILIES[0]);
    for _ in 0..2 {
        fixture.client.connect("a", addr);
        fixture.server.accept("a");
        fixture.client.close("a");
        fixture.server.close("a");
    }
    wait_until("the end", || tracer.ended());
    let trace = tracer.wait();
    assert_eq!(trace.events.len(), 5);
}
