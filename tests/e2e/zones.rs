//! Link-local addresses that are the same on two links: the interface tells the connections apart, as in `ss`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{
    Expected, Launch, Netns, Reader, Tcc, TestProcess, Trace, Tracer, assert_events, is_root,
    u64_of, unique_port, wait_until,
};

/// Two links between two namespaces, w0 and w1 in each, with the same addresses on both.
struct Links {
    left: Netns,
    right: Netns,
    client: TestProcess,
    server: TestProcess,
    port: u16,
}

impl Links {
    #[track_caller]
    fn new() -> Self {
        let (left, right) = (Netns::new(), Netns::new());
        for dev in ["w0", "w1"] {
            left.ip(&format!("link add {dev} type veth peer name {dev} netns {}", right.name));
            for (ns, address) in [(&left, "fe80::1"), (&right, "fe80::2")] {
                ns.ip(&format!(
                    "link set {dev} addrgenmode none\n\
                     link set {dev} up\n\
                     addr add {address}/64 dev {dev} nodad"
                ));
            }
        }
        let (client, mut server) =
            (TestProcess::start_in(&left.launch()), TestProcess::start_in(&right.launch()));
        let port = unique_port();
        server.listen(&format!("[::]:{port}"));
        Links { left, right, client, server, port }
    }

    /// The left device's number.
    #[track_caller]
    fn index(&self, dev: &str) -> u32 {
        let text = self.left.run(&["ip", "-o", "link", "show", "dev", dev]);
        text.split(':').next().and_then(|number| number.parse().ok()).expect("a number")
    }

    /// One over each link; the clients' ports.
    #[track_caller]
    fn connect_both(&mut self) -> [u16; 2] {
        ["w0", "w1"].map(|dev| {
            let to = format!("[fe80::2%{}]:{}", self.index(dev), self.port);
            let socket = self.client.connect(dev, to.parse().expect("an address"));
            self.server.accept(dev);
            // What tells them apart for ss, too.
            let (port, filter) = (socket.local.port(), "sport = :");
            let text = self.left.run(&["ss", "-tnH", &format!("{filter}{port}")]);
            assert!(text.contains(&format!("[fe80::1]%{dev}:{port}")), "{text}");
            port
        })
    }

    #[track_caller]
    fn close_both(&mut self) {
        for dev in ["w0", "w1"] {
            self.client.close(dev);
            self.server.close(dev);
        }
        self.left.settle();
    }
}

/// `connect` and `life` of the client's side.
fn tcc(links: &Links, reader: Reader) -> Tcc {
    let path = format!("/run/netns/{}", links.left.name);
    Tcc::events(&["connect", "life"]).all_fields().reader(reader).option("--netns", &path)
}

fn check_filters(reader: Reader) {
    need!(is_root(), "not root");
    let mut links = Links::new();
    let all = tcc(&links, reader).start();
    let filtered = [
        ("--raddr", "fe80::2%w1", true),
        ("--laddr", "fe80::%w1/64", true),
        ("--addr", "10.0.0.0/8,fe80::2%w1", true),
        ("--raddr", "fe80::2%w1,fe80::2%w0", false),
        ("--raddr", "fe80::2", false),
    ];
    let tracers =
        filtered.map(|(option, value, _)| tcc(&links, reader).option(option, value).start());
    let by_number = format!("fe80::2%{}", links.index("w1"));
    let by_number = tcc(&links, reader).option("--raddr", &by_number).start();
    let [other, ours] = links.connect_both();
    let port = links.port;
    // What lives when it begins is followed, too; with the other link's zone it is another.
    let follow = |zones: [&str; 2]| {
        let ends = format!("[fe80::1{}]:{ours}-[fe80::2{}]:{port}", zones[0], zones[1]);
        tcc(&links, reader).option("--follow", &ends).start()
    };
    let followed = [follow(["%w1", ""]), follow(["", "%w1"]), follow(["", ""])];
    let missed = follow(["%w0", ""]);
    links.close_both();

    let (w0, w1) = (links.index("w0"), links.index("w1"));
    let of = |sport: u16, index: u32| {
        let common = |event: Expected| event.with("sport", sport).with("bound_dev_if", index);
        [common(event!(connect { daddr: "fe80::2" })), common(event!(life { event: "end" }))]
    };
    let [[connect0, end0], [connect1, end1]] = [of(other, w0), of(ours, w1)];
    let both = [connect0, connect1.clone(), end0, end1.clone()];
    let one = [connect1, end1.clone()];
    let check = |trace: Trace, only: bool| {
        trace.check_accounts(&["connect", "life"]);
        let expected = if only { one.to_vec() } else { both.to_vec() };
        assert_events(&trace.events, expected);
    };
    check(all.stop(), false);
    check(by_number.stop(), true);
    for (tracer, (_, _, only)) in tracers.into_iter().zip(filtered) {
        check(tracer.stop(), only);
    }
    let ends = |trace: Trace| -> Vec<_> {
        trace.events.into_iter().filter(|event| event["event"] != "open").collect()
    };
    for tracer in followed {
        assert_events(&ends(tracer.stop()), [end1.clone()]);
    }
    assert_events(&ends(missed.stop()), []);
}

#[test]
fn a_zone_is_the_interface_sock() {
    check_filters(Reader::Sock);
}

#[test]
fn a_zone_is_the_interface_raw() {
    check_filters(Reader::Raw);
}

/// A listener that is bound to no interface: what it does for a peer is of the link that the peer's packets come by.
fn check_listener(reader: Reader) {
    need!(is_root(), "not root");
    let mut links = Links::new();
    let path = format!("/run/netns/{}", links.right.name);
    let tcc = Tcc::events(&["synack_retransmit"]).all_fields().reader(reader);
    let tcc = tcc.option("--netns", &path);
    let (all, one) = (tcc.start(), tcc.option("--raddr", "fe80::1%w1").start());
    // The last packets of the handshakes do not arrive.
    let rule = format!("tcp dport {} tcp flags & (syn | ack) == ack drop", links.port);
    links.right.firewall("input", &[&rule]);
    let [_, ours] = ["w0", "w1"].map(|dev| {
        let to = format!("[fe80::2%{}]:{}", links.index(dev), links.port);
        links.client.connect(dev, to.parse().expect("an address")).local.port()
    });
    wait_until("SYN-ACKs that are sent again on both", || {
        links.right.counters()["TCPSynRetrans"] >= 2
    });
    all.wait_events("both", |events| {
        let ports: BTreeSet<u64> = events.iter().map(|event| u64_of(event, "dport")).collect();
        ports.len() == 2
    });
    one.wait_events("one", |events| !events.is_empty());
    let (all, one) = (all.stop(), one.stop());
    all.check_account();
    one.check_account();
    let of_ours = |event: &&Value| event["dport"] == ours;
    let wanted: Vec<&Value> = all.events.iter().filter(of_ours).collect();
    assert!(one.events.iter().all(|event| event["dport"] == ours), "{:#?}", one.events);
    // The tracers do not end at the same moment.
    assert!(one.events.len().abs_diff(wanted.len()) <= 1, "{:#?} {wanted:#?}", one.events);
    assert!(wanted.len() < all.events.len(), "{:#?}", all.events);
}

#[test]
fn a_listeners_zone_is_that_of_the_packet_sock() {
    check_listener(Reader::Sock);
}

#[test]
fn a_listeners_zone_is_that_of_the_packet_raw() {
    check_listener(Reader::Raw);
}

#[test]
fn a_zone_that_there_is_not_is_an_error() {
    need!(is_root(), "not root");
    let links = Links::new();
    for (zone, why) in [("w9", "w9"), ("0", "number")] {
        let output = tcc(&links, Reader::Sock).option("--raddr", &format!("fe80::2%{zone}")).run();
        assert_eq!(output.status.code(), Some(2), "{}", output.stderr);
        assert!(output.stderr.contains(why), "{}", output.stderr);
    }
    let record = Tcc::probe().reader(Reader::Record).option("--addr", "fe80::2%1").run();
    assert!(record.stderr.contains("--reader sock"), "{}", record.stderr);
}

/// Names are taken as they are printed: `\xNN` is a byte.
#[test]
fn an_interface_is_found_by_its_name_as_it_is_printed() {
    need!(is_root(), "not root");
    let ns = Netns::new();
    for (name, peer) in [(r"a\b", "p0"), ("c\u{202e}d", "p1")] {
        ns.run(&["ip", "link", "add", name, "type", "veth", "peer", "name", peer]);
    }
    for (option, value, error) in [
        ("--iface", r"a\x5cb", None),
        ("--iface", r"a\b", None),
        ("--iface", r"c\xe2\x80\xaed", None),
        ("--addr", r"fe80::1%c\xe2\x80\xaed", None),
        ("--iface", r"a\x5cc", Some("no such interface")),
        ("--iface", r"a\xff", Some("by number")),
    ] {
        let args = ["-o", "jsonl", "-d", "1ms", "-q", "--netns", &ns.name, option, value];
        let output = Tracer::spawn(&Launch::here(), &args).wait_raw();
        match error {
            None => output.trace().check_account(),
            Some(error) => {
                assert_eq!(output.status.code(), Some(2), "{value}: {}", output.stderr);
                assert!(output.stderr.contains(error), "{value}: {}", output.stderr);
            }
        }
    }
}
