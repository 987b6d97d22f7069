//! `zero_window`: receivers that do not read, at either end. Both ends agree with one another, with ss, and with the namespace's
//! counters of windows closed, windows opened and probes sent.

use std::thread;

use serde_json::Value;

use super::{PERF, Played, Ports, RING, scenario};
use crate::support::{
    Counters, FAMILIES, Fixture, Hidden, OF_CONNECTIONS, Socket, Ss, TestProcess, Trace, compared,
    enough, guest, invalid, is_root, record, schema, text, u64_of, wait_until,
};

const EVENT_TYPE: &str = "zero_window";

/// How an episode ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// All is read.
    Read,
    /// The sender resets.
    Reset,
    /// The receiver closes with data unread.
    Unread,
    /// The sender has closed its half, and all is read then.
    Half,
}

/// Of the connections of one namespace: family, whether the server sends, end.
const CASES: [(usize, bool, End); 6] = [
    (0, false, End::Read),
    (1, false, End::Read),
    (2, false, End::Read),
    (0, true, End::Read),
    (1, true, End::Unread),
    (0, false, End::Reset),
];
/// tcp_probe is silent after the sender's FIN, so this one has counters of its own.
const HALF: [(usize, bool, End); 1] = [(2, false, End::Half)];

/// What is known of the act.
pub struct ZeroWindows {
    ports: Vec<u16>,
    groups: Vec<Group>,
}

/// Connections of one namespace, all of whose windows are closed at the same time.
struct Group {
    windows: Vec<Window>,
    before: Counters,
    after: Counters,
}

struct Window {
    end: End,
    sender: Socket,
    receiver: Socket,
    /// While it was closed for good.
    sender_ss: Ss,
    receiver_ss: Ss,
}

impl Group {
    fn grew(&self, name: &str) -> u64 {
        self.after.get(name).map_or(0, |after| after - self.before[name])
    }
}

pub fn play(ports: &mut Ports) -> Played<ZeroWindows> {
    Played::play(|| {
        let (one, other) = (ports.next(), ports.next());
        let mut fixtures = [Fixture::at(one, one), Fixture::at(other, other)];
        let hidden = [one, other].map(|port| Hidden::watch(port, OF_CONNECTIONS));
        // Both at the same time: they mostly wait for probes.
        let groups = thread::scope(|scope| {
            let both = fixtures.iter_mut().zip([&CASES[..], &HALF]);
            let play = |(fixture, cases)| scope.spawn(move || play_group(fixture, cases));
            let both: Vec<_> = both.map(play).collect();
            both.into_iter().map(|group| group.join().expect("no panic")).collect()
        });
        let whole = hidden.iter().try_for_each(Hidden::check);
        (ZeroWindows { ports: vec![one, other], groups }, whole)
    })
}

fn name(i: usize) -> String {
    format!("c{i}")
}

/// The sender's process and the receiver's.
fn sides(fixture: &mut Fixture, server_sends: bool) -> (&mut TestProcess, &mut TestProcess) {
    let Fixture { client, server, .. } = fixture;
    if server_sends { (server, client) } else { (client, server) }
}

#[track_caller]
fn play_group(fixture: &mut Fixture, cases: &[(usize, bool, End)]) -> Group {
    fixture.listen();
    let before = fixture.ns.counters();
    let mut opened = Vec::new();
    for (i, &(family, server_sends, _)) in cases.iter().enumerate() {
        let (client, server) = fixture.connect(&name(i), FAMILIES[family]);
        let ends = if server_sends { (server, client) } else { (client, server) };
        let bytes = sides(fixture, server_sends).0.fill(&name(i));
        opened.push((ends, bytes));
    }
    // Where the last data was dropped it is sent again, in place of probes.
    let tries = || {
        let counters = fixture.ns.counters();
        counters["TCPWinProbe"] + counters["RetransSegs"]
    };
    let enough = before["TCPWinProbe"] + before["RetransSegs"] + 2 * cases.len() as u64;
    wait_until("probes", || tries() >= enough);
    let mut windows = Vec::new();
    for ((sender, receiver), &(.., end)) in opened.iter().map(|(ends, _)| *ends).zip(cases) {
        let mut sender_ss = Ss::of_cookie(&fixture.ns, sender.cookie);
        // While the timer's handler runs on another CPU, there is none (tcp_write_timer_handler()).
        wait_until("a timer", || {
            let has_timer = sender_ss.text.contains("timer:(");
            if !has_timer {
                sender_ss = Ss::of_cookie(&fixture.ns, sender.cookie);
            }
            has_timer
        });
        let receiver_ss = Ss::of_cookie(&fixture.ns, receiver.cookie);
        windows.push(Window { end, sender, receiver, sender_ss, receiver_ss });
    }
    for (i, (&(_, server_sends, end), (_, bytes))) in cases.iter().zip(opened).enumerate() {
        let name = name(i);
        let (sender, receiver) = sides(fixture, server_sends);
        match end {
            End::Read => receiver.receive(&name, bytes),
            End::Reset => sender.reset(&name),
            End::Unread => receiver.close(&name),
            End::Half => {
                sender.shutdown(&name);
                receiver.receive(&name, bytes);
            }
        }
        if end != End::Reset {
            sender.close(&name);
        }
        if end != End::Unread {
            receiver.close(&name);
        }
    }
    fixture.settle();
    Group { windows, before, after: fixture.ns.counters() }
}

/// When it happened, as far as that is known.
#[track_caller]
fn at_us(event: &Value) -> u64 {
    u64_of(event, "mono_ns") / 1000 - u64_of(event, "ago_us")
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
    // Short ones end within what an emulated machine may hold up a packet.
    let soon = if guest() { i64::MAX } else { soon_us(peer) };
    let in_time = |late: i64| (0..soon).contains(&late);
    assert!(delays(peer, local).into_iter().all(in_time), "{soon}: {peer:?} {local:?}");
    // The packet itself shows the end; the next one shows the beginning, where kernels differ in what they take.
    assert_eq!(peer.1["ago_us"], 0, "{}", peer.1);
}

/// How much later the sender must know of the end and of the beginning.
#[track_caller]
fn soon_us(peer: &(Value, Value)) -> i64 {
    u64_of(&peer.1, "duration_us").cast_signed() / 4
}

/// How much later the sender knew of the beginning and of the end, in µs.
#[track_caller]
fn delays(peer: &(Value, Value), local: &(Value, Value)) -> [i64; 2] {
    [(&peer.0, &local.0), (&peer.1, &local.1)]
        .map(|(peer, local)| at_us(peer).cast_signed() - at_us(local).cast_signed())
}

/// The episode in which ss looked, of a window that was read.
#[track_caller]
fn check_ss(window: &Window, peer: &(Value, Value), local: &(Value, Value)) {
    let Window { sender_ss, receiver_ss, .. } = window;
    let timer = if sender_ss.has("unacked") { "timer:(on," } else { "timer:(persist," };
    assert!(sender_ss.text.contains(timer), "{}", sender_ss.text);
    // It lasted for several probes, which is long beside what a machine may hold up a packet.
    let soon = soon_us(peer);
    assert!(delays(peer, local).iter().all(|late| *late < soon), "{soon}: {peer:?} {local:?}");
    // While it was closed for good nothing moved.
    assert_eq!(peer.1["notsent_bytes"].as_f64(), sender_ss.number("notsent"), "{}", sender_ss.text);
    assert_eq!(local.0["rcvbuf"].as_f64(), receiver_ss.number("skmem.rb"), "{}", receiver_ss.text);
    let used = u64_of(&local.0, "rmem_alloc") as f64;
    let shown = receiver_ss.number("skmem.r").expect("skmem");
    assert!(used > shown / 2.0 && used <= shown * 1.1, "{used}: {}", receiver_ss.text);
    compared(2, 4);
}

/// The only episode of a window that did not open in time.
#[track_caller]
fn check_end(end: End, peer: &(Value, Value), local: &(Value, Value)) {
    let half = end == End::Half;
    let (peer, local) = (&peer.1, &local.1);
    assert_eq!((&peer["closed"], &local["closed"]), (&(!half).into(), &(!half).into()), "{end:?}");
    // When the window opened is not known then.
    assert_eq!(peer["ago_us"].is_null(), half, "{end:?}: {peer}");
    assert_eq!(peer["duration_us"].is_null(), half, "{end:?}: {peer}");
    assert!(!half || u64_of(peer, "wnd_bytes") > 0, "{peer}");
    assert!(u64_of(local, "duration_us") > 0, "{local}");
}

#[track_caller]
fn check_group(trace: &Trace, group: &Group) {
    let (mut closed, mut opened, mut probes) = (0, 0, 0);
    for window in &group.windows {
        let peer = episodes(trace, window.sender, "peer");
        let mut local = episodes(trace, window.receiver, "local");
        let all = local.len() as u64;
        if window.end == End::Half {
            // As it is read, the window may close once more: after the sender's FIN.
            local.truncate(peer.len());
        }
        assert_eq!(peer.len(), local.len(), "{:?}", trace.events);
        let last = peer.last().zip(local.last());
        let (last_peer, last_local) =
            last.unwrap_or_else(|| panic!("no episode: {:?}", window.end));
        let before = peer.len() - 1;
        for (peer, local) in peer.iter().zip(&local).take(before) {
            check_pair(peer, local);
        }
        if window.end == End::Read {
            check_pair(last_peer, last_local);
            // It may close again while it is read: ss looked at the longest one.
            let longest = |(peer, _): &(&(Value, Value), _)| u64_of(&peer.1, "duration_us");
            let looked_at = peer.iter().zip(&local).max_by_key(longest);
            let (peer, local) = looked_at.expect("an episode");
            check_ss(window, peer, local);
        } else {
            check_end(window.end, last_peer, last_local);
        }
        closed += all;
        let opens = matches!(window.end, End::Read | End::Half);
        opened += all - 1 + u64::from(opens);
        probes += peer.iter().map(|peer| u64_of(&peer.1, "probes")).sum::<u64>();
    }
    let counters = format!("{:?} {:?}", group.before, group.after);
    // A window that data without room closes (6.1; tcp_select_window(), ICSK_ACK_NOMEM) is not in that counter.
    let counted = group.grew("TCPToZeroWindowAdv");
    let no_room = group.grew("TCPRcvQDrop");
    assert!(counted <= closed && closed <= counted + no_room, "{closed}: {counters}");
    // A receiver's RST advertises a window, too.
    let resets = group.windows.iter().filter(|window| window.end == End::Unread).count() as u64;
    let advertised = group.grew("TCPFromZeroWindowAdv");
    assert!(opened <= advertised && advertised <= opened + resets, "{opened}: {counters}");
    let sent = group.grew("TCPWinProbe");
    let half = group.windows.iter().any(|window| window.end == End::Half);
    // Of a probe whose ACK was hidden nothing is counted.
    assert!(half || enough(probes as usize, sent as usize, 50), "{probes}: {counters}");
    let again = group.grew("RetransSegs");
    assert!(half || probes + again >= 2 * group.windows.len() as u64, "{counters}");
}

fn check(reader: &str, transport: &str) {
    need!(is_root(), "not root");
    let act = &scenario().zero_windows;
    let trace = scenario().by(reader, transport).all_fields(EVENT_TYPE, &act.truth.ports);
    // Where the packet that closed a window was hidden, the beginning is found later, and since when is not known. Where the
    // handshake was, nothing is known of the connection's owner and its earlier packets.
    let late = |event: &Value| event["phase"] == "begin" && event["ago_us"].is_null();
    if act.explains(trace.events.iter().any(|event| late(event) || event["pid"].is_null())) {
        return;
    }
    let schema = schema();
    for event in &trace.events {
        invalid(record(schema, EVENT_TYPE), event)
            .unwrap_or_else(|error| panic!("{error}: {event}"));
    }
    for group in &act.truth.groups {
        check_group(&trace, group);
    }
}

fn check_ring(reader: &str) {
    check(reader, RING);
}

fn check_perf(reader: &str) {
    check(reader, PERF);
}

by_sock_and_raw! {
    check_ring: episodes_by_sock episodes_by_raw;
    check_perf: episodes_by_sock_and_perfbuf episodes_by_raw_and_perfbuf;
}
