//! SYN-ACKs that are sent again, and RSTs where there is no socket or one in TIME_WAIT: what is neither connection nor
//! listener of its own. Which of them the filters let through, which sending it is, and whose cookie they have; against the
//! firewall's marks, the counters of each side, ss and SO_COOKIE.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{
    FAMILIES, Fixture, Hidden, Launch, Netns, Pair, Socket, TestProcess, Trace, Tracer,
    check_whole, is_root, is_whole, some_turn, tells, text, turns, u64_of, unique_port, wait_for,
    wait_until,
};

/// Since 6.10 (19822a980e19) the kernel tells of those RSTs, and of a reason.
fn has_bare_resets() -> bool {
    tells("reset_sent", "reason")
}

/// The mark of the listener, and those that the firewall gives to what comes in by IPv4 and IPv6.
const MARKS: [&str; 3] = ["0x4b", "0x4c", "0x4d"];

/// EventType, our port, the peer's.
type Key = (String, u64, u64);

fn key(event_type: &str, here: u16, socket: &Socket) -> Key {
    (event_type.to_owned(), here.into(), socket.local.port().into())
}

fn keys(trace: &Trace) -> BTreeSet<Key> {
    let key = |event: &Value| {
        (text(event, "type").to_owned(), u64_of(event, "sport"), u64_of(event, "dport"))
    };
    trace.events.iter().map(key).collect()
}

/// Clients of two listeners, and of a port where nobody listens, on the right: from the left by the device, from the right
/// by the loopback interface.
struct RequestFixture {
    pair: Pair,
    /// Bound to the device, of the mark of its own.
    bound: (TestProcess, u16),
    free: (TestProcess, u16),
    closed: u16,
    left: TestProcess,
    right: TestProcess,
}

impl RequestFixture {
    #[track_caller]
    fn new() -> Self {
        let pair = Pair::new();
        let listen = |own: Option<(u32, &str)>| {
            let (mut process, port) = (TestProcess::start_in(&pair.right.launch()), unique_port());
            process.listen(&format!("[::]:{port}"));
            if let Some((mark, device)) = own {
                process.bind_listener(mark, device);
            }
            (process, port)
        };
        let own = MARKS[0].strip_prefix("0x").and_then(|hex| u32::from_str_radix(hex, 16).ok());
        let bound = listen(Some((own.expect("hexadecimal"), "eth0")));
        let (free, closed) = (listen(None), unique_port());
        let [left, right] = [&pair.left, &pair.right].map(|ns| TestProcess::start_in(&ns.launch()));
        // A request has the mark of the SYN where its listener has none.
        let accept = "echo 1 > /proc/sys/net/ipv4/tcp_fwmark_accept";
        pair.right.run(&["sh", "-c", accept]);
        pair.right.firewall(
            "input",
            &[
                &format!("meta nfproto ipv4 meta mark set {}", MARKS[1]),
                &format!("meta nfproto ipv6 meta mark set {}", MARKS[2]),
                // The last of a handshake.
                "tcp flags & (syn | ack | rst) == ack drop",
            ],
        );
        RequestFixture { pair, bound, free, closed, left, right }
    }

    fn ports(&self) -> String {
        [self.bound.1, self.free.1, self.closed].map(|port| port.to_string()).join(",")
    }

    /// By the device (or not), to that address and port.
    #[track_caller]
    fn knock(&mut self, name: &str, by_device: bool, to: &str) -> Socket {
        let client = if by_device { &mut self.left } else { &mut self.right };
        client.start_connect(name, to.parse().expect("an address"))
    }
}

/// Those of each filter are those of the clients that it is about, of all that there were.
fn check_filters(reader: &str) {
    need!(is_root(), "not root");
    some_turn(|| {
        let mut fixture = RequestFixture::new();
        let netns = fixture.pair.right.name.clone();
        let [own, four, six] = MARKS;
        let filters = [
            vec![],
            vec!["--mark", own],
            vec!["--mark", four],
            vec!["--mark", six],
            vec!["--iface", "eth0"],
            vec!["--iface", "lo"],
            vec!["--iface", "eth0", "--mark", six],
        ];
        let ports = fixture.ports();
        let tracers = filters.clone().map(|filter| {
            let common = ["--port", &ports, "--netns", &netns, "--reader", reader];
            let args = [&common[..], &filter].concat();
            Tracer::events_in(&Launch::here().with_tracefs(), "synack_retransmit,reset_sent", &args)
        });
        let before = fixture.pair.right.counters();
        let (bound, free, closed) = (fixture.bound.1, fixture.free.1, fixture.closed);
        let mut expected: [BTreeSet<Key>; 7] = Default::default();
        // Whence, whether by the device, and by IPv4.
        let ways =
            [("10.0.0.2", true, true), ("[fd00::2]", true, false), ("127.0.0.1", false, true)];
        for (i, (addr, by_device, four)) in ways.into_iter().enumerate() {
            for port in [bound, free, closed] {
                if port == bound && !by_device {
                    continue;
                }
                let socket =
                    fixture.knock(&format!("c{i}-{port}"), by_device, &format!("{addr}:{port}"));
                let synack = port != closed;
                if !synack && !has_bare_resets() {
                    continue;
                }
                let key =
                    key(if synack { "synack_retransmit" } else { "reset_sent" }, port, &socket);
                let mark = if port == bound {
                    1
                } else if four {
                    2
                } else {
                    3
                };
                let mut add = |index: usize| _ = expected[index].insert(key.clone());
                add(0);
                add(mark);
                // Of a SYN-ACK that is where its listener is bound to, of a RST where the packet came in.
                if port == bound || (!synack && by_device) {
                    add(4);
                }
                if !synack && !by_device {
                    add(5);
                }
                if !synack && by_device && mark == 3 {
                    add(6);
                }
            }
        }
        tracers[0].wait_events("all of them", |events| {
            let reported = |key: &Key| events.iter().any(|event| event["dport"] == key.2);
            expected[0].iter().all(reported)
        });
        let grew = |name: &str| fixture.pair.right.counters()[name] - before[name];
        let (traces, synacks) = (tracers.map(Tracer::stop), grew("TCPSynRetrans"));
        if !traces.iter().all(is_whole) {
            return false;
        }
        for ((trace, expected), filter) in traces.iter().zip(&expected).zip(&filters) {
            trace.check_accounts(&["synack_retransmit", "reset_sent"]);
            // In the last but these few there is nothing before 6.10.
            assert_eq!(&keys(trace), expected, "{filter:?}");
        }
        let reported = traces[0].of_type("synack_retransmit").len() as u64;
        // More may come between the two.
        assert!((1..=synacks).contains(&reported), "{reported} of {synacks}");
        true
    });
}

/// What comes again, by the timer or as the SYN came again: each has the next number.
fn check_attempts(reader: &str) {
    need!(is_root(), "not root");
    turns(|| {
        let pair = Pair::new();
        let (mut client, mut server) = (
            TestProcess::start_in(&pair.left.launch()),
            TestProcess::start_in(&pair.right.launch()),
        );
        let port = unique_port();
        server.listen(&format!("[::]:{port}"));
        let netns = pair.right.name.clone();
        let args = ["--netns", &netns, "--reader", reader];
        let hidden = Hidden::watch(port, &["tcp/tcp_retransmit_synack"]);
        let tracer = Tracer::events_in(&Launch::here().with_tracefs(), "synack_retransmit", &args);
        let rule = |ns: &Netns, rule: &str| {
            ns.firewall("input", &[rule]);
        };
        // The SYN-ACKs do not arrive: the client sends its SYN again, which is answered by another.
        rule(&pair.left, &format!("tcp sport {port} drop"));
        client.start_connect("a", format!("10.0.0.2:{port}").parse().expect("an address"));
        let syns = || pair.left.counters()["TCPSynRetrans"];
        wait_until("a SYN that comes again", || syns() > 0);
        // No more of them: now it is the timer's.
        rule(&pair.right, &format!("tcp dport {port} drop"));
        let timeouts = || pair.right.counters()["TCPTimeouts"];
        let before = timeouts();
        wait_until("the timer", || timeouts() > before);
        let (sent, ss, timeouts, syns) = wait_for("all accounts to be of one moment", || {
            let sent = || pair.right.counters()["TCPSynRetrans"];
            let before = sent();
            let reported = (before, retransmits(&pair, port), timeouts(), syns());
            (before == sent()).then_some(reported)
        });
        let trace = tracer.stop();
        trace.check_accounts(&["synack_retransmit"]);
        check_whole(&trace)?;
        if (trace.events.len() as u64) < sent {
            return hidden.explains("a SYN-ACK is missing");
        }
        let attempts: Vec<u64> =
            trace.events.iter().map(|event| u64_of(event, "attempt")).take(sent as usize).collect();
        assert_eq!(attempts, (1..=sent).collect::<Vec<_>>());
        assert_eq!(ss, sent, "{:#?}", trace.events);
        // Some of either.
        let answers = sent - timeouts;
        assert!(timeouts > 0 && (1..=syns).contains(&answers), "{sent} {timeouts} {syns}");
        Ok(())
    });
}

/// How often ss says that the SYN-ACK was sent again.
#[track_caller]
fn retransmits(pair: &Pair, port: u16) -> u64 {
    let filter = format!("sport = :{port}");
    let text = pair.right.run(&["ss", "-tnoH", "state", "syn-recv", &filter]);
    let timer = text.split_once("timer:(").and_then(|(_, rest)| rest.split_once(')'));
    let count = timer.and_then(|(timer, _)| timer.rsplit(',').next()?.parse().ok());
    count.unwrap_or_else(|| panic!("{text}"))
}

/// Whoever has closed, and still gets data: of the socket there is no more than what waits for the peer's FIN, with its
/// cookie.
fn check_cookies(reader: &str) {
    need!(is_root(), "not root");
    need!(has_bare_resets(), "this kernel tells of no such RST", legitimate: true);
    some_turn(|| {
        let mut fixture = Fixture::new();
        fixture.listen();
        let args = ["--port", &fixture.ports(), "--reader", reader];
        let tracer = Tracer::events_in(&Launch::here().with_tracefs(), "reset_sent", &args);
        let mut expected = BTreeSet::new();
        for (i, family) in FAMILIES.into_iter().enumerate() {
            let name = format!("c{i}");
            let (client, server) = fixture.connect(&name, family);
            fixture.server.close(&name);
            let filter = format!("sport = :{} and dport = :{}", fixture.port, client.local.port());
            let ss = ["ss", "-tneH", "state", "fin-wait-2", &filter];
            let text = wait_for("FIN_WAIT2", || {
                let text = fixture.ns.run(&ss);
                (!text.trim().is_empty()).then_some(text)
            });
            let cookie = format!("sk:{:x}", server.cookie);
            assert!(text.split_whitespace().any(|word| word == cookie), "{cookie}: {text}");
            fixture.client.send(&name, 100);
            expected.insert((server.cookie, u64::from(client.local.port())));
        }
        fixture.settle();
        let trace = tracer.stop();
        trace.check_accounts(&["reset_sent"]);
        let reported = trace.events.iter().filter(|event| event["sk_state"] == "TIME_WAIT");
        let reported: BTreeSet<(u64, u64)> =
            reported.map(|event| (u64_of(event, "cookie"), u64_of(event, "dport"))).collect();
        if !is_whole(&trace) {
            return false;
        }
        assert_eq!(reported, expected, "{:#?}", trace.events);
        true
    });
}

by_sock_and_raw! {
    check_filters: filters_by_sock filters_by_raw;
    check_attempts: attempts_by_sock attempts_by_raw;
    check_cookies: cookies_in_time_wait_by_sock cookies_in_time_wait_by_raw;
}
