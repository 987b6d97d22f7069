//! `queue` on a device of several queues, and on one of another namespace than the socket's: which queue a packet was in, by
//! the kernel's own trace of it and by what each queue's qdisc has counted; whose device it was, by the namespace's inode.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{
    ESTABLISHED, Instance, Launch, Netns, TestProcess, Tracer, guest, has_qdisc, is_root, is_whole,
    pairs, some_turn, text, time_us, u64_of, unique, unique_port, wait_until,
};

const QUEUES: u64 = 4;
const CONNECTIONS: usize = 12;

/// A packet as the kernel's own trace has it handed to the driver: when, its length, its queue.
struct SentPacket {
    at: u64,
    len: u64,
    queue: u64,
}

#[track_caller]
fn sent_packets(lines: &[String]) -> Vec<SentPacket> {
    let of_line = |line: &String| {
        let (head, fields) = line.split_once(": net_dev_start_xmit: ")?;
        let number = |key: &str| pairs(fields).find(|(name, _)| *name == key)?.1.parse().ok();
        Some(SentPacket {
            at: time_us(head)?,
            len: number("len")?,
            queue: number("queue_mapping")?,
        })
    };
    lines.iter().filter_map(of_line).collect()
}

/// Three namespaces: a sender, a bridge, a receiver. The sender's device has several queues.
struct Street {
    /// That one's name, which no other has.
    dev: String,
    sender: Netns,
    bridge: Netns,
    receiver: Netns,
}

impl Street {
    #[track_caller]
    fn new() -> Self {
        let [sender, bridge, receiver] = [(); 3].map(|()| Netns::new());
        let street = Street { dev: unique("tcc-"), sender, bridge, receiver };
        let ip = |ns: &Netns, words: &str| {
            ns.run(&[&["ip"], &words.split(' ').collect::<Vec<_>>()[..]].concat())
        };
        let (sender, bridge, receiver) = (&street.sender, &street.bridge, &street.receiver);
        let many = format!("numtxqueues {QUEUES} numrxqueues {QUEUES}");
        let to = &bridge.name;
        let dev = &street.dev;
        ip(sender, &format!("link add {dev} {many} type veth peer name p1 {many} netns {to}"));
        ip(receiver, &format!("link add eth0 type veth peer name p2 netns {to}"));
        ip(bridge, "link add br0 type bridge");
        for port in ["p1", "p2"] {
            ip(bridge, &format!("link set {port} master br0 up"));
        }
        ip(bridge, "link set br0 up");
        // Where the bridge hands packets to IP's firewall (br_netfilter) they are not the socket's any more.
        let off = "for file in /proc/sys/net/bridge/bridge-nf-call-*; do \
            [ ! -e $file ] || echo 0 > $file; done";
        bridge.run(&["sh", "-c", off]);
        // Nothing but TCP: no IPv6, and nobody asks for neighbours.
        let ends = [(sender, dev.as_str()), (receiver, "eth0")];
        let macs = ends.map(|(ns, dev)| text(&device(ns, dev), "address").to_owned());
        for (i, (ns, dev)) in ends.into_iter().enumerate() {
            let off = format!("echo 1 > /proc/sys/net/ipv6/conf/{dev}/disable_ipv6");
            ns.run(&["sh", "-c", &off]);
            ip(ns, &format!("addr add 10.0.0.{}/24 dev {dev}", 1 + i));
            ip(ns, &format!("link set {dev} up"));
            let peer = format!("10.0.0.{} lladdr {} dev {dev}", 2 - i, macs[1 - i]);
            ip(ns, &format!("neigh replace {peer} nud permanent"));
        }
        street
    }
}

/// What `ip` says of a device.
#[track_caller]
fn device(ns: &Netns, dev: &str) -> Value {
    let text = ns.run(&["ip", "-j", "-d", "link", "show", "dev", dev]);
    let all: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    all[0].clone()
}

/// Packets of the qdisc of each queue, as it has counted them.
#[track_caller]
fn counted(ns: &Netns, dev: &str) -> BTreeMap<u64, u64> {
    let text = ns.run(&["tc", "-s", "qdisc", "show", "dev", dev]);
    let mut packets = BTreeMap::new();
    for part in text.split("qdisc ").filter(|part| part.contains("parent 1:")) {
        let after = |word: &str| part.split_once(word).and_then(|(_, rest)| rest.split(' ').next());
        let class = after("parent 1:").and_then(|number| number.parse::<u64>().ok());
        let sent = after(" bytes ").and_then(|number| number.parse().ok());
        let (Some(class), Some(sent)) = (class, sent) else { panic!("{text}") };
        packets.insert(class - 1, sent);
    }
    packets
}

fn check_queues(reader: &str) {
    need!(is_root(), "not root");
    need!(has_bridge(), "this kernel has no bridge", legitimate: true);
    need!(has_qdisc(&["pfifo"]), "this kernel has no pfifo", legitimate: true);
    some_turn(|| {
        let street = Street::new();
        let (dev, sender, receiver) = (street.dev.as_str(), &street.sender, &street.receiver);
        let [mut client, mut server] =
            [sender, receiver].map(|ns| TestProcess::start_in(&ns.launch()));
        let port = unique_port();
        server.listen(&format!("10.0.0.2:{port}"));
        let addr = format!("10.0.0.2:{port}").parse().expect("an address");
        sender.run(&["tc", "qdisc", "add", "dev", dev, "root", "handle", "1:", "mq"]);
        for queue in 1..=QUEUES {
            let parent = format!("1:{queue}");
            sender.run(&["tc", "qdisc", "add", "dev", dev, "parent", &parent, "pfifo"]);
        }
        let kernel = Instance::start(4096);
        kernel.write("events/net/net_dev_start_xmit/filter", &format!("name == \"{dev}\""));
        kernel.write("events/net/net_dev_start_xmit/enable", "1");
        let text_port = port.to_string();
        let args = ["--all-fields", "--reader", reader, "--rport", &text_port];
        let tracer = Tracer::events_in(&Launch::here().with_tracefs(), "queue", &args);
        let before = counted(sender, dev);
        for i in 0..CONNECTIONS {
            let name = format!("c{i}");
            client.connect(&name, addr);
            server.accept(&name);
            client.transfer(&name, &mut server, 3_000 + 100 * i as u64);
        }
        tracer.wait_events("all of them", |events| {
            let data = events.iter().filter(|e| e["dev"] == dev && u64_of(e, "data_len") > 0);
            data.map(|event| u64_of(event, "data_len")).sum::<u64>() >= 42_600
        });
        wait_until("the acknowledgements", || {
            let mut open = sender.sockets();
            open.retain(|entry| entry.state == ESTABLISHED);
            open.len() == CONNECTIONS && open.iter().all(|entry| entry.tx_queue == 0)
        });
        let after = counted(sender, dev);
        let (trace, reported) = (tracer.stop(), sent_packets(&kernel.lines()));
        trace.check_accounts(&["queue"]);
        if !is_whole(&trace) {
            return false;
        }
        let (link, port_link) = (device(sender, dev), device(&street.bridge, "p2"));
        assert_eq!(link["num_tx_queues"], QUEUES, "{link}");
        let (inner, outer): (Vec<_>, Vec<_>) =
            trace.events.iter().partition(|event| event["dev"] == dev);
        let mut queues: BTreeMap<u64, u64> = BTreeMap::new();
        for event in &inner {
            let at = u64_of(event, "mono_ns") / 1000;
            let same = reported.iter().filter(|reported| reported.len == u64_of(event, "skb_len"));
            let nearest =
                same.min_by_key(|reported| reported.at.abs_diff(at)).expect("the kernel's");
            assert_eq!(u64_of(event, "queue_mapping"), nearest.queue, "{event}");
            assert_eq!(event["ifindex"], link["ifindex"], "{event}");
            assert_eq!(text(event, "qdisc"), "pfifo", "{event}");
            assert_eq!(u64_of(event, "dev_netns"), sender.inode(), "{event}");
            assert_eq!(u64_of(event, "netns"), sender.inode(), "{event}");
            // As the qdisc counts.
            *queues.entry(nearest.queue).or_default() += u64_of(event, "segs");
        }
        assert!(queues.len() > 1, "all in one queue: {queues:?}");
        let grew = after.iter().map(|(queue, n)| (*queue, n - before[queue]));
        let grew: BTreeMap<u64, u64> = grew.filter(|(_, n)| *n > 0).collect();
        // Some may be hidden (see support/ftrace.rs, maybe_unseen). The same packets leave the bridge.
        let hidden =
            queues.values().sum::<u64>() < grew.values().sum() || outer.len() != inner.len();
        if hidden && !guest() {
            return false;
        }
        assert_eq!((&queues, outer.len()), (&grew, inner.len()));
        // By a device of another namespace than their socket's.
        for event in outer {
            assert_eq!((text(event, "dev"), &event["qdisc"]), ("p2", &"noqueue".into()), "{event}");
            assert_eq!(event["ifindex"], port_link["ifindex"], "{event}");
            assert_eq!(u64_of(event, "dev_netns"), street.bridge.inode(), "{event}");
            assert_eq!(u64_of(event, "netns"), sender.inode(), "{event}");
        }
        true
    });
}

fn has_bridge() -> bool {
    Netns::new().try_run(&["ip", "link", "add", "br0", "type", "bridge"]).is_ok()
}

by_sock_and_raw! {
    check_queues: several_queues_and_a_bridge_by_sock several_queues_and_a_bridge_by_raw;
}
