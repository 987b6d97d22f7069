//! `drop`: of each reason as many as the kernel's own counter of the same mishap grows by.

use std::net::SocketAddr;

use rustix::io::Errno;
use serde_json::Value;

use super::{PERF, Ports, RING, scenario};
use crate::support::{
    DropCalls, Lossy, MACS, Netns, RIGHT, Truth, compared, is_root, note, u64_of, wait_until,
};

/// How often each is made to happen, at least.
const TIMES: u64 = 3;

/// A reason, and the counter that grows with it; its packets go to a port of their own.
struct Mishap {
    reason: &'static str,
    counter: (&'static str, &'static str),
    port: u16,
}

impl Mishap {
    fn has_connection(&self) -> bool {
        self.reason == "TCP_RFC7323_PAWS"
    }
}

/// Of /proc/net/snmp and netstat.
#[track_caller]
fn counter(ns: &Netns, (group, name): (&str, &str)) -> u64 {
    let text = ns.run(&["cat", "/proc/net/snmp", "/proc/net/netstat"]);
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(&format!("{group}: ")));
    let (names, numbers) = (lines.next().expect("names"), lines.next().expect("numbers"));
    let mut pairs = names.split(' ').zip(numbers.split(' '));
    let number = pairs.find_map(|(of, number)| (of == name).then_some(number));
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{group}: {name}"))
}

/// Those whose packets need no connection; what they need is made here.
fn knock(lossy: &mut Lossy, mishap: &Mishap) {
    let Lossy { pair, client, .. } = lossy;
    let port = mishap.port;
    let addr = match mishap.reason {
        // There is no way back to the address that it comes from.
        "IP_RPFILTER" => {
            for of in ["all", "eth0"] {
                pair.right.sysctl(&format!("ipv4/conf/{of}/rp_filter"), "1");
            }
            pair.right.run(&["ip", "addr", "add", "10.0.0.3/24", "dev", "eth0"]);
            pair.left.ip(&format!(
                "neigh replace 10.0.0.3 lladdr {} dev eth0 nud permanent
                 addr add 198.51.100.1/32 dev lo
                 route add 10.0.0.3/32 dev eth0 src 198.51.100.1",
                MACS[1]
            ));
            "10.0.0.3"
        }
        // It is for somebody else, and a host does not forward.
        "IP_INADDRERRORS" => {
            pair.left.run(&["ip", "route", "add", "192.0.2.0/24", "via", "10.0.0.2"]);
            "192.0.2.1"
        }
        // A router does, if it knows where.
        "IP_INNOROUTES" => {
            pair.right.sysctl("ipv4/ip_forward", "1");
            pair.left.run(&["ip", "route", "add", "198.18.0.0/24", "via", "10.0.0.2"]);
            "198.18.0.1"
        }
        reason => panic!("{reason}"),
    };
    for _ in 0..TIMES {
        client.knock(format!("{addr}:{port}").parse().expect("an address"));
    }
}

/// Data that seems to be older than what was there before, until it does not any more.
fn send_old(lossy: &mut Lossy, mishap: &Mishap) {
    lossy.port = mishap.port;
    lossy.listen();
    for family in RIGHT {
        lossy.connect(family, family);
    }
    let rule = format!("tcp dport {} tcp option timestamp tsval set 1", mishap.port);
    lossy.pair.right.firewall("input", &[&rule]);
    for family in RIGHT {
        lossy.client.send(family, 100);
    }
    let refused = || counter(&lossy.pair.right, mishap.counter);
    wait_until("data to be refused", || refused() >= 2 * RIGHT.len() as u64);
    lossy.speak(false);
    for family in RIGHT {
        lossy.server.receive(family, 100);
        lossy.client.close(family);
        lossy.server.close(family);
    }
    lossy.pair.settle();
}

const MISHAPS: [(&str, (&str, &str)); 6] = [
    ("TCP_CSUM", ("Tcp", "InCsumErrors")),
    ("NO_SOCKET", ("Tcp", "OutRsts")),
    ("TCP_RFC7323_PAWS", ("TcpExt", "PAWSEstab")),
    ("IP_RPFILTER", ("TcpExt", "IPReversePathFilter")),
    ("IP_INADDRERRORS", ("Ip", "InAddrErrors")),
    ("IP_INNOROUTES", ("IpExt", "InNoRoutes")),
];

/// What is known of the act.
pub struct Mishaps {
    /// Each with how much its counter has grown.
    all: Vec<(Mishap, u64)>,
    calls: DropCalls,
}

pub fn play(ports: &mut Ports) -> Mishaps {
    let mishaps = MISHAPS.map(|(reason, counter)| Mishap { reason, counter, port: ports.next() });
    let mut lossy = Lossy::at(mishaps[0].port, mishaps[0].port);
    // Not from a point of time that nobody knows.
    lossy.pair.left.sysctl("ipv4/tcp_timestamps", "2");
    let truth = Truth::start();
    let count = |lossy: &Lossy| {
        let counts = mishaps.iter().map(|mishap| counter(&lossy.pair.right, mishap.counter));
        counts.collect::<Vec<_>>()
    };
    let before = count(&lossy);
    for mishap in &mishaps {
        let addr = |family: &str| -> SocketAddr {
            format!("{family}:{}", mishap.port).parse().expect("an address")
        };
        match mishap.reason {
            "TCP_CSUM" => {
                for family in &RIGHT[..2] {
                    (0..TIMES).for_each(|_| lossy.client.forge_syn(addr(family)));
                }
            }
            "NO_SOCKET" => {
                for family in RIGHT {
                    let refused = lossy.client.try_connect(addr(family));
                    assert_eq!(refused, Some(Errno::CONNREFUSED));
                }
            }
            "TCP_RFC7323_PAWS" => send_old(&mut lossy, mishap),
            _ => knock(&mut lossy, mishap),
        }
    }
    wait_until("the last of them", || {
        count(&lossy).iter().zip(&before).all(|(now, before)| now - before >= TIMES)
    });
    let grown: Vec<u64> =
        count(&lossy).iter().zip(&before).map(|(after, before)| after - before).collect();
    Mishaps { all: mishaps.into_iter().zip(grown).collect(), calls: truth.calls() }
}

fn check(reader: &str, transport: &str) {
    need!(is_root(), "not root");
    let Mishaps { all, calls } = &scenario().mishaps;
    let ports: Vec<u16> = all.iter().map(|(mishap, _)| mishap.port).collect();
    let trace = scenario().by(reader, transport).all_fields("drop", &ports);
    calls.compare(&trace);
    let lost = u64_of(&trace.end["event_types"]["drop"], "lost");
    if lost > 0 {
        note(&format!("drop by {reader}: {lost} lost"));
    }
    // Before 5.17 tcp_drop() frees a packet past the tracepoint.
    let seen = |mishap: &Mishap| calls.has_reason() || !mishap.has_connection();
    for (mishap, grown) in all {
        let of_port = |event: &&Value| u64_of(event, "sport") == u64::from(mishap.port);
        // What is freed as a connection ends is no loss; it has no data.
        let counts = |event: &&Value| !mishap.has_connection() || u64_of(event, "data_len") > 0;
        let own = trace.events.iter().filter(of_port).filter(counts);
        let own: Vec<&Value> = own.collect();
        let (reason, counter) = (mishap.reason, mishap.counter);
        let reported = if seen(mishap) { *grown } else { 0 };
        // A sandbox's kernel hides some drops of a timer's retransmissions, and its own trace tells which.
        let absent = reported.saturating_sub(own.len() as u64);
        let known = lost + calls.hidden(reason);
        assert!(absent <= known, "{absent} of {reported} {counter:?}: {own:#?}");
        assert!(own.len() as u64 <= reported, "{reason} {counter:?} {reported}: {own:#?}");
        for event in &own {
            assert_eq!(event["direction"], "in", "{event}");
            if calls.knows(reason) {
                assert_eq!(event["reason"], reason, "{event}");
            } else {
                assert!(!calls.has_reason() || event["reason"].is_string(), "{event}");
            }
        }
        compared(own.len(), 1);
    }
}

fn check_ring(reader: &str) {
    check(reader, RING);
}

fn check_perf(reader: &str) {
    check(reader, PERF);
}

by_sock_and_raw! {
    check_ring: counters_by_sock counters_by_raw;
    check_perf: counters_by_sock_and_perfbuf counters_by_raw_and_perfbuf;
}
