//! `zero_window`: a receiver that does not read. Both ends are traced; they agree with one another, with ss, and with the
//! namespace's counters of windows closed, windows opened and probes sent.

use serde_json::Value;

use crate::support::{
    Counters, FAMILIES, Fixture, Hidden, Launch, OF_CONNECTIONS, Socket, Ss, Trace, Tracer, enough,
    invalid, is_root, record, schema, text, turns, u64_of, wait_until,
};

const EVENT_TYPE: &str = "zero_window";

fn start(fixture: &Fixture, reader: &str, more: &[&str]) -> Tracer {
    let port = fixture.port.to_string();
    let args = [&["--all-fields", "--reader", reader, "--port", &port], more].concat();
    Tracer::events_in(&Launch::here().with_tracefs(), EVENT_TYPE, &args)
}

fn of<'e>(events: &'e [Value], end: Socket, phase: &str) -> Vec<&'e Value> {
    let of = events.iter().filter(|event| event["cookie"] == end.cookie);
    of.filter(|event| event["phase"] == phase).collect()
}

/// The server does not read until its window is closed; how much waits for it.
#[track_caller]
fn fill(
    fixture: &mut Fixture,
    tracer: &Tracer,
    name: &str,
    (client, server): (Socket, Socket),
) -> u64 {
    let bytes = fixture.client.fill(name);
    // Where the last data was dropped it is sent again, in place of probes.
    let tries = || {
        let counters = fixture.ns.counters();
        counters["TCPWinProbe"] + counters["RetransSegs"]
    };
    let before = tries();
    tracer.wait_events("the beginnings", |events| {
        !of(events, client, "begin").is_empty() && !of(events, server, "begin").is_empty()
    });
    wait_until("probes", || tries() >= before + 2);
    bytes
}

/// Where the packet that closed a window was hidden, the beginning is found later, and since when is not known. Where the
/// handshake was, nothing is known of the connection's owner and its earlier packets.
fn check_seen(trace: &Trace, hidden: &Hidden) -> Result<(), String> {
    let late = |event: &Value| event["phase"] == "begin" && event["ago_us"].is_null();
    let suspect = trace.events.iter().any(|event| late(event) || event["pid"].is_null());
    if suspect { hidden.check() } else { Ok(()) }
}

/// When it happened, as far as that is told.
#[track_caller]
fn at_us(event: &Value) -> u64 {
    u64_of(event, "mono_ns") / 1000 - u64_of(event, "ago_us")
}

fn grew(before: &Counters, after: &Counters, name: &str) -> u64 {
    after[name] - before[name]
}

/// Begin, end, begin … of one end's window.
#[track_caller]
fn episodes(trace: &Trace, end: Socket, side: &str) -> Vec<(Value, Value)> {
    let events = trace.of_cookie(end.cookie);
    let other = events.iter().find(|event| event["side"] != side);
    assert!(other.is_none(), "{other:?}");
    let pairs = events.chunks(2).map(|pair| {
        let [begin, end] = pair else { panic!("it has no end: {pair:?}") };
        assert_eq!((text(begin, "phase"), text(end, "phase")), ("begin", "end"), "{pair:?}");
        assert_eq!(begin["wnd_bytes"], 0, "{begin}");
        assert!(begin["duration_us"].is_null() && begin["closed"].is_null(), "{begin}");
        ((*begin).clone(), (*end).clone())
    });
    pairs.collect()
}

/// What both ends and the counters say alike of windows that opened again.
#[track_caller]
fn check_pair(peer: &(Value, Value), local: &(Value, Value)) {
    for (begin, end) in [peer, local] {
        assert_eq!(end["closed"], false, "{end}");
        assert!(u64_of(end, "wnd_bytes") > 0, "{end}");
        let between = at_us(end) - at_us(begin);
        assert!(between.abs_diff(u64_of(end, "duration_us")) <= 2, "{begin} {end}");
    }
    // The sender knows of it after the receiver, and not long after.
    let soon = u64_of(&peer.1, "duration_us") / 4;
    for (ours, theirs) in [(&local.0, &peer.0), (&local.1, &peer.1)] {
        let late = at_us(theirs).checked_sub(at_us(ours)).unwrap_or_else(|| {
            panic!("the sender knew before: {ours} {theirs}");
        });
        assert!(late < soon, "{late} of {soon}: {ours} {theirs}");
    }
    // The end is always told by the packet itself; the beginning by the next one where kernels differ in what they take.
    assert_eq!(peer.1["ago_us"], 0, "{}", peer.1);
}

fn check_closed_and_opened(reader: &str) {
    need!(is_root(), "not root");
    turns(|| closed_and_opened(reader));
}

fn closed_and_opened(reader: &str) -> Result<(), String> {
    let mut fixture = Fixture::new();
    fixture.listen();
    let hidden = Hidden::watch(fixture.port, OF_CONNECTIONS);
    let tracer = start(&fixture, reader, &[]);
    let before = fixture.ns.counters();
    let mut ends = Vec::new();
    for family in FAMILIES {
        let pair = fixture.connect("a", family);
        let bytes = fill(&mut fixture, &tracer, "a", pair);
        let port = |end: Socket| end.local.port();
        let sender = Ss::of(&fixture.ns, port(pair.0), port(pair.1));
        let receiver = Ss::of(&fixture.ns, port(pair.1), port(pair.0));
        let timer = if sender.has("unacked") { "timer:(on," } else { "timer:(persist," };
        assert!(sender.text.contains(timer), "{}", sender.text);
        fixture.server.receive("a", bytes);
        tracer.wait_events("the ends", |events| {
            !of(events, pair.0, "end").is_empty() && !of(events, pair.1, "end").is_empty()
        });
        fixture.client.close("a");
        fixture.server.close("a");
        ends.push((pair, sender, receiver));
    }
    fixture.settle();
    let after = fixture.ns.counters();
    let trace = tracer.stop();
    trace.check_accounts(&[EVENT_TYPE]);
    check_seen(&trace, &hidden)?;
    let (mut closed, mut opened, mut probes) = (0, 0, 0);
    for ((client, server), sender, receiver) in &ends {
        let peer = episodes(&trace, *client, "peer");
        let local = episodes(&trace, *server, "local");
        assert_eq!(peer.len(), local.len(), "{:?}", trace.events);
        for (peer, local) in peer.iter().zip(&local) {
            check_pair(peer, local);
            closed += 1;
            opened += 1;
            probes += u64_of(&peer.1, "probes");
        }
        // While it was closed for good nothing moved.
        let (waiting, reported) =
            (&peer[peer.len() - 1].1["notsent_bytes"], sender.number("notsent"));
        assert_eq!(waiting.as_f64(), reported, "{}", sender.text);
        let (rcvbuf, reported) = (&local[local.len() - 1].0["rcvbuf"], receiver.number("skmem.rb"));
        assert_eq!(rcvbuf.as_f64(), reported, "{}", receiver.text);
        let used = u64_of(&local[local.len() - 1].0, "rmem_alloc") as f64;
        let reported = receiver.number("skmem.r").expect("skmem");
        assert!(used > reported / 2.0 && used <= reported * 1.1, "{used}: {}", receiver.text);
    }
    let said = format!("{before:?} {after:?}");
    // One that data without room closes (6.1; tcp_select_window(), ICSK_ACK_NOMEM) is not in that counter.
    let counted = grew(&before, &after, "TCPToZeroWindowAdv");
    let no_room = after.get("TCPRcvQDrop").map_or(0, |n| n - before["TCPRcvQDrop"]);
    assert!(counted <= closed && closed <= counted + no_room, "{closed}: {said}");
    assert_eq!(opened, grew(&before, &after, "TCPFromZeroWindowAdv"), "{said}");
    let sent = grew(&before, &after, "TCPWinProbe");
    // Of a probe whose ACK was hidden nothing is counted.
    assert!(enough(probes as usize, sent as usize, 50), "{probes}: {said}");
    let again = grew(&before, &after, "RetransSegs");
    assert!(probes + again >= 2 * FAMILIES.len() as u64, "{said}");
    Ok(())
}

/// The sender resets; the receiver ends with data unread; the sender has closed its half and the rest is read then.
fn check_ends(reader: &str) {
    need!(is_root(), "not root");
    turns(|| ends(reader));
}

fn ends(reader: &str) -> Result<(), String> {
    let mut fixture = Fixture::new();
    fixture.listen();
    let hidden = Hidden::watch(fixture.port, OF_CONNECTIONS);
    let tracer = start(&fixture, reader, &[]);
    let mut pairs = Vec::new();
    for (i, way) in ["reset", "unread", "half"].into_iter().enumerate() {
        let before = fixture.ns.counters();
        let pair = fixture.connect("a", FAMILIES[i]);
        let bytes = fill(&mut fixture, &tracer, "a", pair);
        match way {
            "reset" => {
                fixture.client.reset("a");
                fixture.server.close("a");
            }
            "unread" => {
                fixture.server.close("a");
                fixture.client.close("a");
            }
            _ => {
                fixture.client.shutdown("a");
                fixture.server.receive("a", bytes);
                fixture.server.close("a");
                fixture.client.close("a");
            }
        }
        let probes = grew(&before, &fixture.ns.counters(), "TCPWinProbe");
        pairs.push((way, pair, probes));
    }
    fixture.settle();
    let trace = tracer.stop();
    trace.check_accounts(&[EVENT_TYPE]);
    check_seen(&trace, &hidden)?;
    let schema = schema();
    for event in &trace.events {
        invalid(record(&schema, EVENT_TYPE), event)
            .unwrap_or_else(|error| panic!("{error}: {event}"));
    }
    for (way, (client, server), probes) in pairs {
        let [(begin, peer)] = &episodes(&trace, client, "peer")[..] else { panic!("{way}") };
        let [(_, local)] = &episodes(&trace, server, "local")[..] else { panic!("{way}") };
        let half = way == "half";
        assert_eq!(
            (&peer["closed"], &local["closed"]),
            (&(!half).into(), &(!half).into()),
            "{way}"
        );
        // tcp_probe is silent then, so when the window opened is not known.
        assert_eq!(peer["ago_us"].is_null(), half, "{way}: {peer}");
        assert_eq!(peer["duration_us"].is_null(), half, "{way}: {peer}");
        assert!(!half || u64_of(peer, "wnd_bytes") > 0, "{peer}");
        assert!(u64_of(local, "duration_us") > 0, "{local}");
        let counted = u64_of(peer, "probes");
        let enough = enough(counted as usize, probes as usize, 50);
        assert!(half || enough, "{way} {probes}: {begin} {peer}");
    }
    Ok(())
}

/// One that begins in the middle does not know since when.
fn check_late(reader: &str) {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let early = start(&fixture, reader, &[]);
    let pair = fixture.connect("a", FAMILIES[0]);
    let bytes = fill(&mut fixture, &early, "a", pair);
    let late = start(&fixture, reader, &[]);
    late.wait_events("the next probe", |events| {
        !of(events, pair.0, "begin").is_empty() && !of(events, pair.1, "begin").is_empty()
    });
    fixture.server.receive("a", bytes);
    late.wait_events("the ends", |events| {
        !of(events, pair.0, "end").is_empty() && !of(events, pair.1, "end").is_empty()
    });
    fixture.client.close("a");
    fixture.server.close("a");
    fixture.settle();
    drop(early);
    let trace = late.stop();
    trace.check_accounts(&[EVENT_TYPE]);
    for (end, side) in [(pair.0, "peer"), (pair.1, "local")] {
        let (begin, end) = episodes(&trace, end, side).remove(0);
        assert!(begin["ago_us"].is_null() && end["duration_us"].is_null(), "{begin} {end}");
        assert!(end["ago_us"].is_u64(), "{end}");
    }
}

by_sock_and_raw! {
    check_closed_and_opened: closed_and_opened_by_sock closed_and_opened_by_raw;
    check_ends: ends_by_sock ends_by_raw;
    check_late: late_by_sock late_by_raw;
}
