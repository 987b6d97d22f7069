//! A router with a smaller MTU behind it. By ICMP the sender learns of it; where no ICMP comes (a black hole) it tries smaller
//! packets. What the router drops, what is sent again, and the sizes that it ends with, against the counters and ss.

use serde_json::Value;

use crate::support::{
    Counters, Hidden, Launch, Netns, Ss, TestProcess, Trace, Tracer, Truth, check_whole, is_root,
    text, turns, u64_of, unique_port,
};

const SMALL_MTU: u64 = 1200;
const BYTES: u64 = 30_000;

/// Sender, router, receiver.
struct Path {
    sender: Netns,
    router: Netns,
    receiver: Netns,
}

impl Path {
    #[track_caller]
    fn new() -> Self {
        let path = Path { sender: Netns::new(), router: Netns::new(), receiver: Netns::new() };
        for (end, dev, net) in [(&path.sender, "r1", 1), (&path.receiver, "r2", 2)] {
            path.router.ip(&format!(
                "link add {dev} type veth peer name eth0 netns {}
                 addr add 10.0.{net}.254/24 dev {dev}
                 link set {dev} up",
                end.name
            ));
            end.ip(&format!(
                "addr add 10.0.{net}.1/24 dev eth0
                 link set eth0 up
                 route add default via 10.0.{net}.254"
            ));
        }
        path.router.ip(&format!("link set r2 mtu {SMALL_MTU}"));
        path.router.sysctl("ipv4/ip_forward", "1");
        path
    }

    /// The router's ICMP does not arrive, and the sender looks for a size by itself.
    fn make_black_hole(&self) {
        self.router.firewall("output", &["ip protocol icmp drop"]);
        self.sender.sysctl("ipv4/tcp_mtu_probing", "1");
        self.sender.sysctl("ipv4/tcp_base_mss", "512");
        // After so many timeouts.
        self.sender.sysctl("ipv4/tcp_retries1", "1");
    }
}

fn sum(events: &[&Value]) -> u64 {
    events.iter().map(|event| u64_of(event, "segs")).sum()
}

/// The sender's events, by what the namespace and the socket say.
#[track_caller]
fn check_sender(trace: &Trace, grew: impl Fn(&str) -> u64, ss: &Ss, black_hole: bool) {
    let retransmits = trace.of_type("retransmit");
    let of_class = |class: &str| -> Vec<&Value> {
        retransmits.iter().copied().filter(|event| event["class"] == class).collect()
    };
    assert_eq!(sum(&retransmits), grew("RetransSegs"), "{retransmits:#?}");
    assert_eq!(sum(&of_class("slow_start")), grew("TCPSlowStartRetrans"), "{retransmits:#?}");
    assert_eq!(of_class("rto").is_empty(), !black_hole, "{retransmits:#?}");
    let last = *trace.of_type("probe").last().expect("a sample");
    assert_eq!(u64_of(last, "total_retrans"), grew("RetransSegs"), "{last}");
    for (field, name) in [("mss", "mss"), ("pmtu", "pmtu")] {
        assert_eq!(u64_of(last, field), ss.count(name), "{field}: {last} {}", ss.text);
    }
    if black_hole {
        assert!(u64_of(last, "mss") <= 512 && u64_of(last, "pmtu") > SMALL_MTU, "{last}");
    } else {
        // IP's header, TCP's, and its timestamps.
        assert_eq!(u64_of(last, "pmtu"), SMALL_MTU, "{last}");
        assert_eq!(u64_of(last, "mss"), SMALL_MTU - 20 - 20 - 12, "{last}");
    }
}

#[track_caller]
fn turn(reader: &str, black_hole: bool) -> Result<(), String> {
    let path = Path::new();
    if black_hole {
        path.make_black_hole();
    }
    let (mut client, mut server) = (
        TestProcess::start_in(&path.sender.launch()),
        TestProcess::start_in(&path.receiver.launch()),
    );
    let port = unique_port();
    server.listen(&format!("0.0.0.0:{port}"));
    let truth = Truth::start();
    let hidden = Hidden::watch(port, &["tcp/tcp_retransmit_skb"]);
    let here = Launch::here().with_tracefs();
    let args = ["--all-fields", "--reader", reader, "--netns"];
    let of = |ns: &Netns, types: &str| {
        Tracer::events_in(&here, types, &[&args[..], &[&ns.inode().to_string()]].concat())
    };
    let (ours, drops) = (of(&path.sender, "retransmit,probe"), of(&path.router, "drop"));
    let before = path.sender.counters();
    let to = format!("10.0.2.1:{port}").parse().expect("an address");
    let local = client.connect("a", to).local.port();
    server.accept("a");
    client.transfer("a", &mut server, BYTES);
    // Samples come with packets from the peer.
    for _ in 0..3 {
        server.transfer("a", &mut client, 1);
        client.transfer("a", &mut server, 1);
    }
    server.transfer("a", &mut client, 1);
    let ss = Ss::of(&path.sender, local, port);
    let after = path.sender.counters();
    let (ours, drops) = (ours.stop(), drops.stop());
    ours.check_accounts(&["retransmit", "probe"]);
    drops.check_accounts(&["drop"]);
    check_whole(&ours)?;
    check_whole(&drops)?;
    let grew = |name: &str| grew(&before, &after, name);
    if sum(&ours.of_type("retransmit")) < grew("RetransSegs") {
        return hidden.explains("a retransmission is missing");
    }
    check_sender(&ours, grew, &ss, black_hole);
    truth.compare(&drops);
    // They come in, and `sport` is whose they would have been there.
    let large = |event: &&Value| event["sport"] == port && u64_of(event, "skb_len") > SMALL_MTU;
    let dropped: Vec<&Value> = drops.events.iter().filter(large).collect();
    assert!(!dropped.is_empty(), "{:#?}", drops.events);
    if truth.calls().knows("PKT_TOO_BIG") {
        assert!(dropped.iter().all(|event| text(event, "reason") == "PKT_TOO_BIG"), "{dropped:#?}");
    }
    Ok(())
}

fn grew(before: &Counters, after: &Counters, name: &str) -> u64 {
    after[name] - before[name]
}

fn check_icmp(reader: &str) {
    need!(is_root(), "not root");
    turns(|| turn(reader, false));
}

fn check_black_hole(reader: &str) {
    need!(is_root(), "not root");
    turns(|| turn(reader, true));
}

by_sock_and_raw! {
    check_icmp: icmp_by_sock icmp_by_raw;
    check_black_hole: black_hole_by_sock black_hole_by_raw;
}
