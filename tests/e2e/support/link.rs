//! A device with a qdisc of the test's, with its connection, its tracer and the kernel's own trace of what goes out there.

use std::collections::HashMap;

use serde_json::Value;

use super::filtered::unique_port;
use super::ftrace::{Instance, pairs, time_us};
use super::tracer::{Trace, Tracer};
use super::{Launch, Pair, TestProcess, unique, wait_until};

/// A packet as the kernel's own trace has it handed to the driver; times in µs.
#[derive(Clone, Debug)]
pub struct LinkPacket {
    pub at: u64,
    pub len: u64,
    pub segs: u64,
    /// By its address: that of one that was cut is another.
    pub queued_at: Option<u64>,
    pub enqueued_at: Option<u64>,
    pub dequeued_at: Option<u64>,
    /// What stood in the qdisc when it came, by what went in and out.
    pub qlen: Option<(u64, u64)>,
}

/// What has been queued under an address.
#[derive(Clone, Default)]
struct Way {
    queued_at: u64,
    len: u64,
    enqueued_at: Option<u64>,
    dequeued_at: Option<u64>,
    qlen: (u64, u64),
}

/// A pair of namespaces whose left device has that qdisc, a connection, its tracer and the kernel's trace.
pub struct Link {
    pub pair: Pair,
    pub kernel: Instance,
    pub client: TestProcess,
    pub server: TestProcess,
    pub port: u16,
    pub tracer: Tracer,
    has_enqueue: bool,
}

impl Link {
    /// `whole`: one packet a segment.
    #[track_caller]
    pub fn new(reader: &str, qdisc: &[&str], whole: bool, more: &[&str]) -> Self {
        let (port, dev) = (unique_port(), unique("tcc-"));
        let pair = Pair::of(&dev, port.into());
        if whole {
            pair.left.run(&["ip", "link", "set", &dev, "gso_max_segs", "1"]);
        }
        // First, for the qdisc counts what goes out.
        pair.only_tcp();
        pair.left.run(&[&["tc", "qdisc", "add", "dev", &dev, "root"], qdisc].concat());
        let kernel = Instance::start(4096);
        // Packets are told apart by their addresses, which are hashed, and all alike until a machine that has just
        // begun has gathered the randomness for that.
        if kernel.read("options/hash-ptr").is_some() {
            kernel.write("options/hash-ptr", "0");
        }
        let by_name = format!("name == \"{dev}\"");
        let by_number = format!("ifindex == {port}");
        let has_enqueue = kernel.read("events/qdisc/qdisc_enqueue/format").is_some();
        for (event, filter) in [
            ("net/net_dev_queue", &by_name),
            ("net/net_dev_start_xmit", &by_name),
            ("qdisc/qdisc_enqueue", &by_number),
            ("qdisc/qdisc_dequeue", &by_number),
        ] {
            if has_enqueue || !event.ends_with("enqueue") {
                kernel.write(&format!("events/{event}/filter"), filter);
                kernel.write(&format!("events/{event}/enable"), "1");
            }
        }
        let (client, mut server) = (
            TestProcess::start_in(&pair.left.launch()),
            TestProcess::start_in(&pair.right.launch()),
        );
        server.listen(&format!("[::]:{port}"));
        let text = port.to_string();
        let args = ["--all-fields", "-o", "jsonl", "--reader", reader, "--port", &text];
        let args = [&["queue"], &args[..], more].concat();
        let mut tracer = Tracer::spawn(&Launch::here().with_tracefs(), &args);
        tracer.wait_ready();
        Link { pair, kernel, client, server, port, tracer, has_enqueue }
    }

    /// Of so many bytes to each family's address, to the end.
    #[track_caller]
    pub fn transfer(&mut self, families: &[&str], bytes: u64) {
        for family in families {
            let addr = format!("{family}:{}", self.port).parse().expect("an address");
            self.client.connect("a", addr);
            self.server.accept("a");
            self.client.transfer("a", &mut self.server, bytes);
            self.client.close("a");
            self.server.close("a");
        }
        self.settle();
    }

    /// Several connections at once: of one alone no more may wait than even a short queue takes.
    #[track_caller]
    pub fn transfer_at_once(&mut self, family: &str, connections: u32, bytes: u64) {
        let addr = format!("{family}:{}", self.port).parse().expect("an address");
        let names: Vec<String> = (0..connections).map(|i| format!("c{i}")).collect();
        for name in &names {
            self.client.connect(name, addr);
            self.server.accept(name);
        }
        for name in &names {
            self.client.send(name, bytes);
        }
        for name in &names {
            self.server.receive(name, bytes);
            self.client.close(name);
            self.server.close(name);
        }
        self.settle();
    }

    #[track_caller]
    fn settle(&self) {
        self.pair.settle();
        wait_until("the queue to be empty", || qdisc(&self.pair).contains("backlog 0b 0p"));
    }

    /// Its trace, the events of the left device, and what the kernel tells of it.
    #[track_caller]
    pub fn stop(self) -> (Trace, Vec<Value>, Vec<LinkPacket>, Pair) {
        let reported = reported(&self.kernel.lines(), self.has_enqueue);
        let trace = self.tracer.stop();
        trace.check_accounts(&["queue"]);
        assert_eq!(trace.end["lost"], 0, "{}", trace.end);
        let ours = trace.events.iter().filter(|e| e["dev"] == self.pair.dev.as_str());
        let ours = ours.cloned().collect();
        (trace, ours, reported, self.pair)
    }
}

#[track_caller]
fn reported(lines: &[String], has_enqueue: bool) -> Vec<LinkPacket> {
    let mut ways: HashMap<String, Way> = HashMap::new();
    let (mut reported, mut qlen, mut bulk_at) = (Vec::new(), (0_u64, 0_u64), None);
    for line in lines.iter().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (head, rest) = line.split_once(": ").unwrap_or_else(|| panic!("{line}"));
        let at = time_us(head).unwrap_or_else(|| panic!("{line}"));
        let (event, fields) = rest.split_once(": ").unwrap_or_else(|| panic!("{line}"));
        let get =
            |key: &str| pairs(fields).find_map(|(name, value)| (name == key).then_some(value));
        let number = |key: &str| get(key).and_then(|n| n.parse::<u64>().ok()).expect("a number");
        let addr = get("skbaddr").unwrap_or_else(|| panic!("{line}")).to_owned();
        let enters = |len: u64, (packets, bytes): (u64, u64)| (packets + 1, bytes + len);
        let leaves = |len: u64, (packets, bytes): (u64, u64)| {
            (packets.saturating_sub(1), bytes.saturating_sub(len))
        };
        match event {
            "net_dev_queue" => {
                let len = number("len");
                let way = Way { queued_at: at, len, qlen, ..Way::default() };
                ways.insert(addr, way);
                if !has_enqueue {
                    qlen = enters(len, qlen);
                }
            }
            "qdisc_enqueue" => {
                if let Some(way) = ways.get_mut(&addr) {
                    way.enqueued_at = Some(at);
                    qlen = enters(way.len, qlen);
                }
            }
            "qdisc_dequeue" => {
                // Of several that are taken out at once it names the first.
                bulk_at = (number("packets") > 1).then_some(at);
                if let Some(way) = ways.get_mut(&addr) {
                    way.dequeued_at = Some(at);
                    qlen = leaves(way.len, qlen);
                }
            }
            _ => {
                let (mut way, len) = (ways.remove(&addr), number("len"));
                if let Some(way) = way.as_mut().filter(|way| way.dequeued_at.is_none()) {
                    way.dequeued_at = bulk_at;
                    qlen = leaves(way.len, qlen);
                }
                reported.push(LinkPacket {
                    at,
                    len,
                    segs: number("gso_segs").max(1),
                    queued_at: way.as_ref().map(|way| way.queued_at),
                    enqueued_at: way.as_ref().and_then(|way| way.enqueued_at),
                    dequeued_at: way.as_ref().and_then(|way| way.dequeued_at),
                    qlen: way.map(|way| way.qlen),
                });
            }
        }
    }
    reported
}

#[track_caller]
fn qdisc(pair: &Pair) -> String {
    pair.left.run(&["tc", "-s", "qdisc", "show", "dev", &pair.dev])
}

/// `Sent N bytes M pkt (dropped D, …`
#[track_caller]
pub fn tc_counted(pair: &Pair) -> [u64; 3] {
    let text = qdisc(pair);
    let sent = text.split_once("Sent ").unwrap_or_else(|| panic!("{text}")).1;
    let number = |text: &str| text.split([' ', ',']).next().and_then(|n| n.parse().ok());
    let after = |word: &str| sent.split_once(word).and_then(|(_, rest)| number(rest));
    let counts = [number(sent), after("bytes "), after("dropped ")];
    counts.map(|count| count.unwrap_or_else(|| panic!("{text}")))
}
