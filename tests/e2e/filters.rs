//! Filters by what every reader knows: ports, addresses, families, cookies. Each lets through exactly its part of what
//! a tracer without it prints.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use serde_json::Value;

use crate::support::{
    FilteredTracers, Netns, Server, TestProcess, is_root, text, traffic_in, turns, u64_of,
    unique_ports,
};

/// Two servers in a namespace, and one client of every event type.
struct FilterFixture {
    ns: Netns,
    any: Server,
    v4: Server,
}

impl FilterFixture {
    fn new() -> Self {
        let ns = Netns::new();
        ns.run(&["ip", "addr", "add", "2001:db8::1/64", "dev", "lo", "nodad"]);
        // Neighbours: no other test's port is in the range from one to the other.
        let [any, v4] = unique_ports();
        let any = Server::start_in(&ns.launch(), &format!("[::]:{any}"), None);
        let v4 = Server::start_in(&ns.launch(), &format!("0.0.0.0:{v4}"), None);
        FilterFixture { ns, any, v4 }
    }

    fn ports(&self) -> String {
        format!("{},{}", self.any.port(), self.v4.port())
    }

    fn traffic(&self) {
        let (any, v4) = (self.any.port(), self.v4.port());
        for (to, bind) in [
            (format!("127.0.0.1:{any}"), "127.0.0.1"),
            (format!("[::ffff:127.0.0.1]:{any}"), "127.0.0.2"),
            (format!("[::1]:{any}"), "::1"),
            (format!("[2001:db8::1]:{any}"), "2001:db8::1"),
            (format!("127.0.0.1:{v4}"), "127.0.0.5"),
            (format!("127.1.2.3:{v4}"), "127.0.0.1"),
        ] {
            let args =
                ["pingpong", "--to", &to, "--bind", bind, "--count", "5", "--interval", "0ms"];
            traffic_in(&self.ns.launch(), &args);
        }
    }
}

fn port(event: &Value, key: &str, ports: impl std::ops::RangeBounds<u64>) -> bool {
    ports.contains(&u64_of(event, key))
}

fn addr(event: &Value, key: &str, nets: &[&str]) -> bool {
    let addr: IpAddr = text(event, key).parse().expect("an address");
    nets.iter().any(|net| net.parse::<IpNet>().expect("a network").contains(&addr))
}

fn check_ports(reader: &str) {
    need!(is_root(), "not root");
    turns(|| ports(reader));
}

fn ports(reader: &str) -> Result<(), String> {
    let fixture = FilterFixture::new();
    let (any, v4) = (u64::from(fixture.any.port()), u64::from(fixture.v4.port()));
    let (low, high) = (any.min(v4), any.max(v4));
    let sides = FilteredTracers::start(
        &fixture.ports(),
        reader,
        &[
            format!("-P 1-2,{}-{high}", low + 1),
            format!("-L {any}"),
            format!("-R {any}"),
            format!("--port {low},{high} --rport 1,32768-65535"),
            format!("--lport {v4} --rport {v4}"),
        ],
    );
    fixture.traffic();
    let traces = sides.finish(|sides| {
        sides.expect(0, |e| port(e, "sport", high..=high) || port(e, "dport", high..=high))?;
        sides.expect(1, |e| port(e, "sport", any..=any))?;
        sides.expect(2, |e| port(e, "dport", any..=any))?;
        sides.expect(3, |e| port(e, "dport", 32768..))?;
        sides.expect_of(4, |_| Vec::new(), false)?;
        Ok(())
    })?;
    let nothing = &traces[5].end;
    // Those of others may be lost, as this one traces the whole machine.
    let left_out = u64_of(nothing, "filtered") + u64_of(nothing, "lost");
    assert_eq!(left_out, u64_of(nothing, "seen"), "{nothing}");
    assert!(u64_of(nothing, "seen") >= traces[0].events.len() as u64, "{nothing}");
    Ok(())
}

fn check_addresses(reader: &str) {
    need!(is_root(), "not root");
    turns(|| addresses(reader));
}

fn addresses(reader: &str) -> Result<(), String> {
    let fixture = FilterFixture::new();
    let ports = fixture.ports();
    let (any, v4) = (fixture.any.port(), fixture.v4.port());
    let sides = FilteredTracers::start(
        &ports,
        reader,
        &[
            format!("-P {ports} --addr 127.0.0.4/30,2001:db8::/32"),
            format!("-P {ports} --laddr 127.0.0.0/31,::1"),
            format!("-P {ports} --raddr ::ffff:127.0.0.2"),
            format!("-P {ports} -4"),
            format!("-P {ports} -6"),
            format!("-P {any} -4 --addr 127.0.0.0/8 --laddr 127.0.0.2 -R {any}"),
            format!("-P {v4} --laddr 127.1.0.0/16 --raddr 127.0.0.1/32"),
        ],
    );
    fixture.traffic();
    let either = |e: &Value, nets: &[&str]| addr(e, "saddr", nets) || addr(e, "daddr", nets);
    sides.finish(|sides| {
        sides.expect(0, |e| either(e, &["127.0.0.4/30", "2001:db8::/32"]))?;
        sides.expect(1, |e| addr(e, "saddr", &["127.0.0.0/31", "::1/128"]))?;
        sides.expect(2, |e| addr(e, "daddr", &["127.0.0.2/32"]))?;
        sides.expect(3, |e| e["family"] == "ipv4")?;
        sides.expect(4, |e| e["family"] == "ipv6")?;
        // The mapped client's own end, which only a filter that takes a mapped socket for IPv4 finds.
        sides.expect(5, |e| addr(e, "saddr", &["127.0.0.2/32"]))?;
        sides.expect(6, |e| addr(e, "saddr", &["127.1.2.3/32"]))?;
        Ok(())
    })?;
    Ok(())
}

fn check_connections(reader: &str) {
    need!(is_root(), "not root");
    turns(|| connections(reader));
}

fn connections(reader: &str) -> Result<(), String> {
    let (mut server, mut client) = (TestProcess::start(), TestProcess::start());
    let any = server.listen("[::]:0");
    // The server's end is a mapped one.
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, any.port()));
    let mut sockets = Vec::new();
    for name in ["a", "b", "c"] {
        sockets.push((client.connect(name, to), server.accept(name)));
    }
    let ports = to.port().to_string();
    let ((a, at_a), (b, at_b)) = (sockets[0], sockets[1]);
    // Hexadecimal is how ss prints them.
    let list = format!("{},{:#x}", a.cookie, b.cookie);
    let sides = FilteredTracers::start(
        &ports,
        reader,
        &[
            format!("--cookie {:#x}", at_a.cookie),
            format!("--cookie {list}"),
            format!("--cookie {list} -L {}", b.local.port()),
            format!("--follow {}", b.cookie),
            format!("--follow {to}-{}", b.local),
            format!("--follow {}-[::ffff:127.0.0.1]:{} -R {}", b.local, to.port(), to.port()),
            format!("--follow 127.0.0.2:{}-{}", to.port(), b.local),
        ],
    );
    for name in ["a", "b", "c"] {
        for _ in 0..5 {
            client.send(name, 100);
            server.receive(name, 100);
            server.send(name, 100);
            client.receive(name, 100);
        }
    }
    sides.finish(|sides| {
        sides.expect(0, |e| e["cookie"] == at_a.cookie)?;
        sides.expect(1, |e| e["cookie"] == a.cookie || e["cookie"] == b.cookie)?;
        sides.expect(2, |e| e["cookie"] == b.cookie)?;
        sides.expect(3, |e| e["cookie"] == b.cookie)?;
        sides.expect(4, |e| e["cookie"] == b.cookie || e["cookie"] == at_b.cookie)?;
        sides.expect(5, |e| e["cookie"] == b.cookie)?;
        sides.expect_of(6, |_| Vec::new(), false)?;
        Ok(())
    })?;
    Ok(())
}

#[test]
fn ports_in_the_record() {
    check_ports("record");
}

#[test]
fn ports_by_sock() {
    check_ports("sock");
}

#[test]
fn ports_by_raw() {
    check_ports("raw");
}

#[test]
fn addresses_in_the_record() {
    check_addresses("record");
}

#[test]
fn addresses_by_sock() {
    check_addresses("sock");
}

#[test]
fn addresses_by_raw() {
    check_addresses("raw");
}

#[test]
fn connections_in_the_record() {
    check_connections("record");
}

#[test]
fn connections_by_sock() {
    check_connections("sock");
}

#[test]
fn connections_by_raw() {
    check_connections("raw");
}
