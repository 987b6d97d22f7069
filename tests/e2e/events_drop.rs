//! `drop`: packets that full queues and missing routes drop, and those beyond 64 KiB, by the kernel's own trace of the same calls,
//! nft's counters and those of queues; and what filters let through. `scenario/drops.rs` has what nft drops.

use std::collections::BTreeSet;

use rustix::io::Errno;
use serde_json::Value;

use crate::big_tcp;
use crate::support::{
    Launch, Lossy, Netns, Pair, RIGHT, Server, Trace, Tracer, Truth, check_addresses, counted,
    enough, has_qdisc, is_root, kernel, text, traffic_in, u64_of, unique_port, wait_until,
};

fn here() -> Launch {
    Launch::here().with_tracefs()
}

/// Of one side.
fn of<'t>(trace: &'t Trace, direction: &str, cookie: u64) -> Vec<&'t Value> {
    let wanted = |event: &&Value| event["direction"] == direction && event["cookie"] == cookie;
    trace.events.iter().filter(wanted).collect()
}

/// A listener whose queue is full does not take more: the last packets of handshakes are dropped.
fn check_overflow(reader: &str) {
    need!(is_root(), "not root");
    let mut lossy = Lossy::new();
    lossy.pair.right.run(&["sysctl", "-q", "-w", "net.core.somaxconn=1"]);
    lossy.listen();
    let truth = Truth::start();
    let (port, pid) = (lossy.port.to_string(), lossy.server.pid);
    let args = ["--all-fields", "--reader", reader, "--lport", &port];
    let tracer = Tracer::events_in(&here(), "drop", &args);
    // Requests, as many as there are clients, each of which believes that it is connected.
    lossy.silence(false, &format!("tcp dport {port} tcp flags & (syn | ack) == ack"));
    for i in 0..4 {
        let addr = lossy.addr(RIGHT[i % RIGHT.len()]);
        lossy.client.connect(&format!("c{i}"), addr);
    }
    wait_until("the handshakes' ends", || lossy.dropped(false).0 >= 4);
    lossy.speak(false);
    for i in 0..4 {
        lossy.client.send(&format!("c{i}"), 1);
    }
    let overflows = || {
        let text = lossy.pair.right.run(&["cat", "/proc/net/netstat"]);
        let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
        let (names, numbers) = (lines.next().expect("names"), lines.next().expect("numbers"));
        let mut pairs = names.split(' ').zip(numbers.split(' '));
        let (_, number) = pairs.find(|(name, _)| *name == "ListenOverflows").expect("a counter");
        number.parse::<u64>().expect("a number")
    };
    wait_until("overflows", || overflows() >= 2);
    // Now there is room for all.
    for _ in 0..4 {
        lossy.server.accept("any");
    }
    let counted = overflows();
    let trace = tracer.stop();
    trace.check_accounts(&["drop"]);
    truth.compare(&trace);
    let (packets, _) = lossy.dropped(false);
    let of_nft = |event: &&Value| text(event, "location").starts_with("nf");
    assert_eq!(trace.events.iter().filter(of_nft).count() as u64, packets, "{:#?}", trace.events);
    let rest: Vec<_> = trace.events.iter().filter(|event| !of_nft(event)).collect();
    assert_eq!(rest.len() as u64, counted, "{rest:#?}");
    for event in rest {
        assert_eq!(event["sport"], lossy.port, "{event}");
        assert_eq!((&event["direction"], &event["data_len"]), (&"in".into(), &1.into()));
        // The kernel names the listener.
        if kernel() >= (6, 11) {
            assert_eq!((&event["sk_state"], &event["pid"]), (&"LISTEN".into(), &pid.into()));
        }
    }
}

/// A queue that overflows, by its own count.
fn check_queue(reader: &str) {
    need!(is_root(), "not root");
    let tbf = ["tbf", "rate", "1mbit", "burst", "2kb", "limit", "5kb"];
    need!(has_qdisc(&tbf), "this kernel has no tbf", legitimate: true);
    let pair = Pair::new();
    // One packet a segment: those that tbf takes apart have another account.
    pair.left.run(&["ip", "link", "set", "eth0", "gso_max_segs", "1"]);
    pair.left.run(&[&["tc", "qdisc", "add", "dev", "eth0", "root"], &tbf[..]].concat());
    pair.only_tcp();
    let port = unique_port();
    let server = Server::start_in(&pair.right.launch(), &format!("[::]:{port}"), None);
    let truth = Truth::start();
    let (port, left) = (port.to_string(), pair.left.inode().to_string());
    let args = ["--all-fields", "--reader", reader, "--port", &port, "--netns", &left];
    let tracer = Tracer::events_in(&here(), "drop", &args);
    for family in RIGHT {
        let to = format!("{family}:{port}");
        traffic_in(&pair.left.launch(), &["bulk", "--to", &to, "--bytes", "60000"]);
    }
    server.settle();
    let reported = pair.left.run(&["tc", "-s", "qdisc", "show", "dev", "eth0"]);
    let trace = tracer.stop();
    trace.check_accounts(&["drop"]);
    assert_eq!(trace.end["lost"], 0, "{}", trace.end);
    truth.compare(&trace);
    let dropped = reported.split_once("(dropped ").and_then(|(_, rest)| rest.split(',').next());
    let dropped: usize =
        dropped.and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{reported}"));
    assert!(dropped > 0, "{reported}");
    // Not what comes in and is old.
    let out: Vec<_> = trace.events.iter().filter(|event| event["direction"] == "out").collect();
    assert!(enough(out.len(), dropped, 80), "{reported}\n{out:#?}");
    for event in &out {
        assert_eq!(event["segs"], 1, "{event}");
        assert!(event["cookie"].is_u64() && event["ifindex"] == 2, "{event}");
        assert!(event["reason"].as_str().is_none_or(|reason| reason.contains("QDISC")), "{event}");
    }
    let families = out.iter().map(|event| text(event, "family")).collect::<BTreeSet<_>>();
    assert_eq!(families.len(), 2, "{families:?}");
}

/// Beyond 64 KiB, which IPv6 has a header of its own for, up to some kernel.
fn check_big(reader: &str) {
    need!(is_root(), "not root");
    let ns = Netns::new();
    need!(
        big_tcp::set_gso_size(&ns, big_tcp::IPV6_SIZE),
        "no BIG TCP",
        legitimate: kernel() < (5, 19)
    );
    let server = Server::start_in(&ns.launch(), "[::1]:0", None);
    let port = server.port_text();
    ns.firewall(
        "output",
        &[&format!("tcp dport {port} meta length > 70000 numgen inc mod 5 == 0 counter drop")],
    );
    let args = ["--all-fields", "--reader", reader, "--rport", &port];
    let tracer = Tracer::events_in(&here(), "drop", &args);
    let to = format!("[::1]:{port}");
    traffic_in(&ns.launch(), &["bulk", "--to", &to, "--bytes", "20000000"]);
    server.settle();
    let (packets, bytes) = counted(&ns);
    let trace = tracer.stop();
    trace.check_accounts(&["drop"]);
    need!(packets > 0, "no segment beyond 64 KiB", legitimate: kernel() < (5, 19));
    assert_eq!(trace.events.len() as u64, packets, "{:#?}", trace.events);
    let len = |key: &str| trace.events.iter().map(|event| u64_of(event, key)).sum::<u64>();
    assert_eq!(len("skb_len"), bytes);
    // IP's header, TCP's with time stamps, and 8 bytes between them or none.
    let headers = bytes - len("data_len");
    assert!([72 * packets, 80 * packets].contains(&headers), "{headers}: {:#?}", trace.events);
}

/// Dropped before it has an IP header: its ends are the socket's.
fn check_no_route(reader: &str) {
    need!(is_root(), "not root");
    let mut lossy = Lossy::new();
    lossy.listen();
    let ends = RIGHT.map(|family| lossy.connect(family, family).0);
    let truth = Truth::start();
    let ports = lossy.ports();
    let args = ["--all-fields", "--reader", reader, "--port", &ports];
    let tracer = Tracer::events_in(&here(), "drop", &args);
    for (family, net) in [("-4", "10.0.0.0/24"), ("-6", "fd00::/64")] {
        lossy.pair.left.run(&["ip", family, "route", "del", net, "dev", "eth0"]);
    }
    for family in RIGHT {
        lossy.client.send(family, 100);
    }
    tracer.wait_events("drops", |events| {
        ends.iter().all(|end| events.iter().any(|event| event["cookie"] == end.cookie))
    });
    let trace = tracer.stop();
    trace.check_accounts(&["drop"]);
    truth.compare(&trace);
    for (end, family) in ends.iter().zip(RIGHT) {
        for event in of(&trace, "out", end.cookie) {
            check_addresses(event, end.local, lossy.addr(family));
            assert_eq!(event["seq"], event["snd_una"], "{event}");
            // Without a route the segments become small.
            let data = u64_of(event, "data_len");
            assert!((1..=100).contains(&data) && text(event, "flags").ends_with("ACK"), "{event}");
            // There are the TCP header and its time stamps only.
            assert_eq!(u64_of(event, "skb_len"), 32 + data, "{event}");
            assert_eq!(
                (&event["pid"], &event["ifindex"]),
                (&lossy.client.pid.into(), &Value::Null)
            );
        }
    }
    assert!(trace.events.iter().all(|event| event["direction"] == "out"), "{:#?}", trace.events);
}

/// What other filters let through of the same drops, and what is no TCP.
fn check_filters(reader: &str) {
    need!(is_root(), "not root");
    let mut lossy = Lossy::new();
    lossy.listen();
    let (client, server) = lossy.connect("a", RIGHT[0]);
    let other = lossy.connect("b", RIGHT[1]).0;
    let (ports, left, right) =
        (lossy.ports(), lossy.pair.left.inode().to_string(), lossy.pair.right.inode().to_string());
    let pid = lossy.client.pid.to_string();
    let cookie = client.cookie.to_string();
    let closed = lossy.closed.to_string();
    let filters: [&[&str]; 6] = [
        &["--netns", &right],
        &["--netns", &left],
        &["--cookie", &cookie],
        &["--pid", &pid],
        &["--lport", &closed],
        &["--ipv6"],
    ];
    let tracers = filters.map(|filter| {
        let args = [&["--reader", reader, "--port", &ports], filter].concat();
        Tracer::events_in(&here(), "drop", &args)
    });
    let reference = Tracer::events_in(&here(), "drop", &["--reader", reader, "--port", &ports]);
    lossy.silence(true, &format!("tcp dport {}", lossy.port));
    for name in ["a", "b"] {
        lossy.client.send(name, 10);
    }
    for family in RIGHT {
        lossy.client.datagram(lossy.closed(family));
        assert_eq!(lossy.client.try_connect(lossy.closed(family)), Some(Errno::CONNREFUSED));
    }
    reference.wait_events("drops", |events| {
        [client, other].iter().all(|end| events.iter().any(|e| e["cookie"] == end.cookie))
    });
    lossy.speak(true);
    for name in ["a", "b"] {
        lossy.server.receive(name, 10);
    }
    assert_ne!(server.cookie, client.cookie);
    let reference = reference.stop();
    reference.check_account();
    let [a, b, refused] = [client.cookie.into(), other.cookie.into(), Value::Null]
        .map(|cookie: Value| reference.events.iter().filter(|e| e["cookie"] == cookie).count());
    assert_eq!(refused, 3, "no datagram among them: {:#?}", reference.events);
    assert_eq!(a + b + refused, reference.events.len(), "{:#?}", reference.events);
    for ((tracer, filter), wanted) in
        tracers.into_iter().zip(filters).zip([refused, a + b, a, a + b, refused, b + 1])
    {
        let trace = tracer.stop();
        trace.check_accounts(&["drop"]);
        assert_eq!(trace.events.len(), wanted, "{filter:?}: {:#?}", trace.events);
    }
}

by_sock_and_raw! {
    check_overflow: overflow_by_sock overflow_by_raw;
    check_queue: queue_by_sock queue_by_raw;
    check_big: big_by_sock big_by_raw;
    check_no_route: no_route_by_sock no_route_by_raw;
    check_filters: filters_by_sock filters_by_raw;
}
