//! `connect` where a firewall of the same host answers the SYN by ICMP, while connect() still has the socket: the error is
//! the one that the process gets.

use rustix::io::Errno;

use crate::support::{
    Expected, FAMILIES, Fixture, Reader, Tcc, assert_events, check_whole, is_root, null, turns,
};

/// Family, the firewall's answer, what the process gets, by name.
const ANSWERS: [(&str, &str, Errno, &str); 5] = [
    ("127.0.0.1", "icmp port-unreachable", Errno::CONNREFUSED, "ECONNREFUSED"),
    ("127.0.0.1", "icmp host-unreachable", Errno::HOSTUNREACH, "EHOSTUNREACH"),
    ("[::1]", "icmpv6 port-unreachable", Errno::CONNREFUSED, "ECONNREFUSED"),
    ("[::1]", "icmpv6 no-route", Errno::NETUNREACH, "ENETUNREACH"),
    ("[::ffff:127.0.0.1]", "icmp port-unreachable", Errno::CONNREFUSED, "ECONNREFUSED"),
];

/// What the process does until it closes.
#[derive(Clone, Copy)]
enum Then {
    /// It polls, and fetches SO_ERROR.
    Asks,
    /// It closes at once; nobody has fetched the error.
    Closes,
}

fn check_icmp(reader: Reader) {
    need!(is_root(), "not root");
    turns(|| icmp(reader));
}

fn icmp(reader: Reader) -> Result<(), String> {
    let mut fixture = Fixture::new();
    let failed = Tcc::connect().all_fields().reader(reader).flag("--failed");
    let tracer = failed.ports(&[fixture.closed]).start();
    let mut expected: Vec<Expected> = Vec::new();
    for (family, answer, errno, name) in ANSWERS {
        let ip = if answer.starts_with("icmpv6") { "ipv6" } else { "ipv4" };
        let port = fixture.closed;
        let rule = format!("meta nfproto {ip} tcp dport {port} reject with {answer}");
        fixture.ns.firewall("output", &[&rule]);
        let to = fixture.closed(family);
        let outcome = if errno == Errno::CONNREFUSED { "refused" } else { "error" };
        let event = event!(connect {
            outcome: outcome,
            err: name,
            errno: errno.raw_os_error(),
            pid: fixture.client.pid,
        });
        for then in [Then::Asks, Then::Closes] {
            let socket = fixture.client.start_connect("a", to);
            if matches!(then, Then::Asks) {
                assert_eq!(fixture.client.outcome("a"), Some(errno), "{family} {answer}");
            }
            fixture.client.close("a");
            expected.push(event.clone().with("cookie", socket.cookie));
        }
        fixture.speak();
    }
    let trace = tracer.stop();
    trace.check_account();
    check_whole(&trace)?;
    assert_events(&trace.events, expected);
    Ok(())
}

/// The answer to an earlier attempt of the same socket stays in it, and is none to the next.
fn check_earlier(reader: Reader) {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    let tracer = Tcc::connect().all_fields().reader(reader).ports(&[fixture.closed]).start();
    let (to, port) = (fixture.closed(FAMILIES[0]), fixture.closed);
    fixture
        .ns
        .firewall("output", &[&format!("tcp dport {port} reject with icmp host-unreachable")]);
    fixture.client.start_connect("a", to);
    assert_eq!(fixture.client.outcome("a"), Some(Errno::HOSTUNREACH));
    fixture.client.disconnect("a");
    fixture.speak();
    fixture.ns.firewall("output", &[&format!("tcp dport {port} drop")]);
    fixture.client.connect_again("a", to);
    fixture.client.close("a");
    let trace = tracer.stop();
    trace.check_account();
    assert_events(
        &trace.events,
        [
            event!(connect { outcome: "error", err: "EHOSTUNREACH" }),
            event!(connect { outcome: "aborted", err: null(), latency_us: 0.. }),
        ],
    );
}

by_sock_and_raw! {
    check_earlier: earlier_by_sock earlier_by_raw;
    check_icmp: icmp_by_sock icmp_by_raw;
}
