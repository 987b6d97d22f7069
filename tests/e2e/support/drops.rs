//! Two namespaces between which packets are dropped, and the kernel's own trace of all that it drops.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

use super::filtered::unique_port;
use super::ftrace::{Instance, maybe_unseen, time_us};
use super::launch::Launch;
use super::netns::{Netns, Pair};
use super::orders::Socket;
use super::test_process::TestProcess;
use super::times::compared;
use super::tracer::{Trace, text, u64_of};

/// The right one's addresses, as the left one's socket has them.
pub const RIGHT: [&str; 3] = ["10.0.0.2", "[fd00::2]", "[::ffff:10.0.0.2]"];
/// How far apart the two programs of one call may be: emulated machines are slow, and stop.
const SLACK_US: u64 = 1_000_000;

/// A client on the left and a server on the right.
pub struct Lossy {
    pub pair: Pair,
    pub client: TestProcess,
    pub server: TestProcess,
    pub port: u16,
    /// Where nobody listens.
    pub closed: u16,
}

impl Lossy {
    #[track_caller]
    pub fn new() -> Self {
        Lossy::at(unique_port(), unique_port())
    }

    /// With these ports.
    #[track_caller]
    pub fn at(port: u16, closed: u16) -> Self {
        let pair = Pair::new();
        let (left, right) = (pair.left.launch(), pair.right.launch());
        Lossy { port, closed, ..Lossy::between(pair, &left, &right) }
    }

    /// A path on which only packets that a rule drops are retransmitted: both processes run on one CPU, so no packet
    /// overtakes another, and no timer retransmits.
    #[track_caller]
    pub fn in_order() -> Self {
        let pair = Pair::new();
        for ns in [&pair.left, &pair.right] {
            // No loss probes.
            ns.sysctl("ipv4/tcp_early_retrans", "0");
            // A slow machine may stall for longer than the default minimum RTO of 200 ms.
            ns.ip("route change 10.0.0.0/24 dev eth0 rto_min 5s
                   route change fd00::/64 dev eth0 metric 256 rto_min 5s");
        }
        let (left, right) = (pair.left.launch().on_cpu(0), pair.right.launch().on_cpu(0));
        Lossy::between(pair, &left, &right)
    }

    #[track_caller]
    fn between(pair: Pair, left: &Launch, right: &Launch) -> Self {
        let (client, server) = (TestProcess::start_in(left), TestProcess::start_in(right));
        Lossy { pair, client, server, port: unique_port(), closed: unique_port() }
    }

    pub fn listen(&mut self) {
        self.server.listen(&format!("[::]:{}", self.port));
    }

    pub fn ports(&self) -> String {
        format!("{},{}", self.port, self.closed)
    }

    pub fn addr(&self, family: &str) -> SocketAddr {
        format!("{family}:{}", self.port).parse().expect("an address")
    }

    /// Where nobody listens, in that family.
    pub fn closed(&self, family: &str) -> SocketAddr {
        format!("{family}:{}", self.closed).parse().expect("an address")
    }

    #[track_caller]
    pub fn connect(&mut self, name: &str, family: &str) -> (Socket, Socket) {
        let theirs = self.client.connect(name, self.addr(family));
        (theirs, self.server.accept(name))
    }

    fn place(&self, out: bool) -> (&Netns, &'static str) {
        if out { (&self.pair.left, "output") } else { (&self.pair.right, "input") }
    }

    /// What the client sends is dropped on the left as it leaves, or on the right as it arrives.
    #[track_caller]
    pub fn silence(&self, out: bool, what: &str) {
        self.silence_each(out, &[what.to_owned()]);
    }

    /// The same by several rules, each with its counter.
    #[track_caller]
    pub fn silence_each(&self, out: bool, whats: &[String]) {
        let (ns, hook) = self.place(out);
        let rules: Vec<String> = whats.iter().map(|what| format!("{what} counter drop")).collect();
        ns.firewall(hook, &rules.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// Of what the client sends that packet of its large ones is dropped, counted from 0: once, as it arrives. There it is
    /// on its way still and has its sender's socket, and the sender does not hear of it, as it would of one on its way out.
    #[track_caller]
    pub fn lose_one(&self, number: u32) {
        let rule = format!("tcp dport {} meta length > 1000", self.port);
        self.pair.right.nft(&format!(
            "add table netdev t
             add chain netdev t c {{ type filter hook ingress device eth0 priority 0; }}
             add rule netdev t c {rule} numgen inc mod 1000000 == {number} counter drop"
        ));
    }

    /// Packets and bytes that were so dropped.
    #[track_caller]
    pub fn lost(&self) -> (u64, u64) {
        counted_by(&self.pair.right, "netdev")[0]
    }

    /// From now on nothing is dropped there; the counter stays.
    #[track_caller]
    pub fn speak(&self, out: bool) {
        let (ns, hook) = self.place(out);
        ns.nft(&format!("insert rule inet t {hook} accept"));
    }

    /// Removes the rules there, with their counters.
    #[track_caller]
    pub fn forget_rules(&self, out: bool) {
        let (ns, hook) = self.place(out);
        ns.nft(&format!("flush chain inet t {hook}"));
    }

    /// Packets and bytes that were dropped there.
    #[track_caller]
    pub fn dropped(&self, out: bool) -> (u64, u64) {
        self.dropped_each(out)[0]
    }

    /// The same by each rule.
    #[track_caller]
    pub fn dropped_each(&self, out: bool) -> Vec<(u64, u64)> {
        counted_by(self.place(out).0, "inet")
    }
}

/// Packets and bytes by the counter of the first rule that has one.
#[track_caller]
pub fn counted(ns: &Netns) -> (u64, u64) {
    counted_by(ns, "inet")[0]
}

/// The same of each rule that has one, in their order.
#[track_caller]
fn counted_by(ns: &Netns, family: &str) -> Vec<(u64, u64)> {
    let text = ns.run(&["nft", &format!("list table {family} t")]);
    let words: Vec<&str> = text.split_whitespace().collect();
    let after = |word: &str| {
        let numbers = words.windows(2).filter(|pair| pair[0] == word);
        numbers.map(|pair| pair[1].parse::<u64>().expect("a number")).collect::<Vec<_>>()
    };
    let counters: Vec<_> = after("packets").into_iter().zip(after("bytes")).collect();
    assert!(!counters.is_empty(), "no counter: {text}");
    counters
}

/// One call of the tracepoint, as the kernel prints it.
#[derive(Debug)]
pub struct DropCall {
    time_us: u64,
    /// See [`maybe_unseen`].
    maybe_unseen: bool,
    protocol: u64,
    /// None where this kernel does not say.
    reason: Option<String>,
    /// None where this kernel hides it.
    location: Option<String>,
    /// Innermost first.
    pub stack: Vec<String>,
}

impl DropCall {
    fn is(&self, event: &Value) -> bool {
        let protocol = if event["family"] == "ipv4" { 0x0800 } else { 0x86dd };
        let reason = event["reason"].as_str();
        let location = text(event, "location");
        let way = event["stack"].as_array().is_none_or(|stack| {
            // Theirs begins in the tracepoint.
            let mut stacks = (0..self.stack.len()).map(|start| &self.stack[start..]);
            // Now and then it tells none: of a softirq's drop in another's.
            let frames = || stack.iter().filter_map(Value::as_str);
            self.stack.is_empty()
                || stacks.any(|own| own.iter().map(|frame| code(frame)).eq(frames().map(code)))
        });
        // A packet that has no IP header yet has no protocol either.
        (self.protocol == protocol || (self.protocol == 0 && event["direction"] == "out"))
            && (self.reason.as_deref() == reason || self.is_of_subsystem(reason))
            && self.location.as_deref().is_none_or(|there| there == location)
            && way
    }

    /// Those reasons the kernel prints by number: in the upper half whose, the name of which we have.
    fn is_of_subsystem(&self, reason: Option<&str>) -> bool {
        let number = self.reason.as_deref().and_then(|text| text.strip_prefix("0x"));
        match number.and_then(|hex| u32::from_str_radix(hex, 16).ok()) {
            Some(number) if number >> 16 == 3 => {
                reason.is_some_and(|name| name.starts_with("QDISC_DROP_"))
            }
            _ => false,
        }
    }
}

/// A trace of all packets of the machine.
pub struct Truth(Instance);

/// What it has shown.
pub struct DropCalls {
    calls: Vec<DropCall>,
    /// The tracepoint's, which names all reasons of this kernel.
    format: String,
}

impl Truth {
    #[track_caller]
    pub fn start() -> Self {
        let instance = Instance::start(8192);
        instance.write("options/stacktrace", "1");
        instance.write("options/sym-offset", "1");
        instance.write("events/skb/kfree_skb/enable", "1");
        Truth(instance)
    }

    /// All calls so far.
    #[track_caller]
    pub fn calls(&self) -> DropCalls {
        let format = self.0.read("events/skb/kfree_skb/format").expect("the tracepoint");
        DropCalls { calls: self.reported(), format }
    }

    #[track_caller]
    pub fn compare(&self, trace: &Trace) -> usize {
        self.calls().compare(trace)
    }

    #[track_caller]
    fn reported(&self) -> Vec<DropCall> {
        let mut all: Vec<DropCall> = Vec::new();
        // Those of several CPUs stand between one another, and on each a softirq may put its own between an event and the
        // event's stack.
        let mut open_of_cpu: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut stack_of = None;
        for line in self.0.lines() {
            if let Some(frame) = line.strip_prefix(" => ") {
                let reported = stack_of.and_then(|i: usize| all.get_mut(i));
                reported.into_iter().for_each(|reported| reported.stack.push(bare(frame)));
                continue;
            }
            let cpu = line.split_once(" [").and_then(|(_, rest)| rest.split(']').next());
            let cpu = cpu.unwrap_or_default().to_owned();
            let open = open_of_cpu.entry(cpu).or_default();
            stack_of = line.contains("<stack trace>").then(|| open.pop()).flatten();
            let Some((head, fields)) = line.split_once(": kfree_skb: ") else { continue };
            let after = |key: &str| fields.split_once(key).map(|(_, rest)| rest);
            let location = bare(after("location=").expect("a location"));
            all.push(DropCall {
                time_us: time_us(head).unwrap_or_else(|| panic!("not understood: {line}")),
                maybe_unseen: maybe_unseen(head),
                protocol: after("protocol=")
                    .and_then(|rest| rest.split(' ').next()?.parse().ok())
                    .unwrap_or_else(|| panic!("not understood: {line}")),
                reason: after("reason: ").map(|reason| reason.trim().to_owned()),
                location: location.contains('+').then_some(location),
                stack: Vec::new(),
            });
            open.push(all.len() - 1);
        }
        all
    }
}

impl DropCalls {
    pub fn has_reason(&self) -> bool {
        self.format.contains(" reason;")
    }

    /// Does this kernel know a reason of that name?
    pub fn knows(&self, reason: &str) -> bool {
        self.format.contains(&format!("\"{reason}\""))
    }

    /// How many packets dropped for that reason may have been hidden from us.
    pub fn hidden(&self, reason: &str) -> u64 {
        let all = self.calls.iter().filter(|call| call.maybe_unseen);
        all.filter(|call| call.reason.as_deref() == Some(reason)).count() as u64
    }

    /// Each of ours is one of theirs at that moment with the same reason at the same place, by the same way if ours
    /// tells it, and no two are one. How many ways they tell.
    #[track_caller]
    pub fn compare(&self, trace: &Trace) -> usize {
        // Time, protocol, reason, location.
        compared(trace.events.len(), 4 * trace.events.len());
        let mut ways = 0;
        let mut reported: Vec<&DropCall> = self.calls.iter().collect();
        reported.sort_by_key(|reported| reported.time_us);
        let mut ours: Vec<&Value> = trace.events.iter().collect();
        ours.sort_by_key(|event| u64_of(event, "mono_ns"));
        for event in ours {
            let now = u64_of(event, "mono_ns") / 1000;
            let then = |reported: &&DropCall| reported.time_us.abs_diff(now) < SLACK_US;
            // Of several the earliest, so that those that are left are for those that come.
            match reported.iter().position(|reported| then(reported) && reported.is(event)) {
                Some(i) => ways += usize::from(!reported.remove(i).stack.is_empty()),
                None => {
                    reported.retain(then);
                    panic!("the kernel does not tell {event}\nthen it told {reported:#?}");
                }
            }
        }
        ways
    }
}

/// Without the function's length and its module.
fn bare(symbol: &str) -> String {
    symbol.split(['/', ' ']).next().unwrap_or_default().to_owned()
}

/// The ends of an event are these; of a mapped address the IPv4 one.
#[track_caller]
pub fn check_addresses(event: &Value, local: SocketAddr, peer: SocketAddr) {
    let end = |ip: &str, port: &str| {
        SocketAddr::new(text(event, ip).parse().expect("an address"), u64_of(event, port) as u16)
    };
    let canonical = |addr: SocketAddr| SocketAddr::new(addr.ip().to_canonical(), addr.port());
    assert_eq!(end("saddr", "sport"), canonical(local), "{event}");
    assert_eq!(end("daddr", "dport"), canonical(peer), "{event}");
}

/// A frame; of BPF programs all alike: of one that has ended the address may be another's, or nobody's, when its name is looked up.
fn code(frame: &str) -> &str {
    if frame.starts_with("bpf_prog_") || frame.starts_with("0x") { "bpf_prog" } else { frame }
}
