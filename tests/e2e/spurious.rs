//! `spurious`: retransmissions that were not needed are made by ACKs that are lost and by packets that are overtaken, and
//! held against the namespace's counters of DSACKs and undos.

use serde_json::Value;

use crate::support::{
    Counters, FAMILIES, Fixture, Hidden, Launch, Trace, Tracer, again, enough, has_tracepoint,
    invalid, is_root, record, schema, text, u64_of, wait_until,
};

const EVENT_TYPE: &str = "spurious";
/// Undos and the counters that name them.
const UNDOS: [(&str, &str); 4] = [
    ("full", "TCPFullUndo"),
    ("partial", "TCPPartialUndo"),
    ("dsack", "TCPDSACKUndo"),
    ("loss", "TCPLossUndo"),
];

/// The peers' SACKs as nftables reads them, after what drops packets.
const SACKS: &str = "table inet sacks {
    set seen {
        typeof tcp option sack0 left . tcp option sack0 right . tcp ackseq
        size 65535
        flags dynamic
    }
    chain in {
        type filter hook input priority 10
        tcp option sack exists add @seen { tcp option sack0 left . tcp option sack0 right . tcp ackseq }
    }
}";

/// From its list: the first block of each, and whether it lies below the acknowledged, as only a D-SACK does.
fn sacks(listed: &Value) -> Vec<((u64, u64), bool)> {
    let set = listed["nftables"].as_array().expect("objects").iter().find_map(|o| o.get("set"));
    let elements = set.and_then(|set| set["elem"].as_array()).into_iter().flatten();
    let of = elements.map(|element| {
        let parts = element["concat"].as_array().expect("three numbers");
        let [left, right, ack] = [0, 1, 2].map(|i| parts[i].as_u64().expect("a number"));
        ((left, right), ((left as u32).wrapping_sub(ack as u32) as i32) < 0)
    });
    of.collect()
}

struct Account {
    trace: Trace,
    /// Of the hooks that tell of retransmissions and undos.
    hidden: Hidden,
    listed: Value,
    before: Counters,
    after: Counters,
}

impl Account {
    #[track_caller]
    fn of(reader: &str, drive: &impl Fn(&mut Fixture, &Tracer)) -> Self {
        let mut fixture = Fixture::new();
        fixture.ns.run(&["ip", "link", "set", "lo", "mtu", "1500"]);
        fixture.client.use_cc("cubic");
        fixture.listen();
        let port = fixture.port.to_string();
        let args = ["--all-fields", "--reader", reader, "--port", &port];
        let event_types = "retransmit,synack_retransmit,spurious";
        let hooks = ["tcp/tcp_probe", "tcp/tcp_retransmit_skb", "tcp/tcp_cong_state_set"];
        let hooks = if has_tracepoint("cong_state") { &hooks[..] } else { &hooks[..2] };
        let hidden = Hidden::watch(fixture.port, hooks);
        let tracer = Tracer::events_in(&Launch::here().with_tracefs(), event_types, &args);
        fixture.ns.nft(SACKS);
        let before = fixture.ns.counters();
        drive(&mut fixture, &tracer);
        fixture.settle();
        let after = fixture.ns.counters();
        let trace = tracer.stop();
        trace.check_accounts(&event_types.split(',').collect::<Vec<_>>());
        let listed = fixture.ns.run(&["nft", "-j", "list", "table", "inet", "sacks"]);
        let listed = serde_json::from_str(&listed).expect("JSON");
        Account { trace, hidden, listed, before, after }
    }

    /// One in which no retransmission is missing (see support/ftrace.rs, maybe_unseen), and which
    /// has what it is for; that is left to chance.
    #[track_caller]
    fn complete(
        reader: &str,
        drive: impl Fn(&mut Fixture, &Tracer),
        fits: impl Fn(&Account) -> bool,
    ) -> Account {
        for _ in 0..8 {
            let account = Account::of(reader, &drive);
            let events = account.trace.of_type("retransmit").into_iter();
            let sent = events.map(|event| u64_of(event, "segs")).sum::<u64>()
                + account.trace.of_type("synack_retransmit").len() as u64;
            let reported = account.grew("RetransSegs").expect("a counter");
            let whole = sent == reported && account.has_undos() && account.trace.end["lost"] == 0;
            if whole && fits(&account) {
                return account;
            }
            match account.hidden.check() {
                Err(reason) if !whole => again(&reason),
                _ if account.trace.end["lost"] != 0 => again("events were lost to recursion"),
                _ if whole => again("what it is for did not happen"),
                _ => panic!("{sent} of {reported} were seen: {account}"),
            };
        }
        panic!("no account is complete");
    }

    /// By how much it grew; none where this kernel has no such counter.
    fn grew(&self, name: &str) -> Option<u64> {
        Some(self.after.get(name)? - self.before.get(name)?)
    }

    fn of_evidence(&self, spurious: &str) -> Vec<&Value> {
        let of = self.trace.of_type(EVENT_TYPE).into_iter();
        of.filter(|event| event["evidence"] == spurious).collect()
    }

    fn undos(&self, undo: &str) -> Vec<&Value> {
        self.of_evidence("undo").into_iter().filter(|event| event["undo"] == undo).collect()
    }

    /// Is there an undo for each that the namespace has counted?
    fn has_undos(&self) -> bool {
        // Without that tracepoint one that is followed by the next loss at once is not seen.
        let some = !has_tracepoint("cong_state");
        UNDOS.into_iter().all(|(undo, counter)| {
            let (reported, grew) =
                (self.undos(undo).len() as u64, self.grew(counter).expect("a counter"));
            reported >= if some { grew - grew / 2 } else { grew }
        })
    }

    /// Segments that came twice, of those that had been sent twice.
    fn doubled(&self) -> u64 {
        let believed = |e: &&&Value| u64_of(e, "dsack_dups") <= u64_of(e, "total_retrans");
        self.of_evidence("dsack").iter().filter(believed).map(|event| u64_of(event, "segs")).sum()
    }

    #[track_caller]
    fn check(&self) {
        let schema = schema();
        for event in self.trace.of_type(EVENT_TYPE) {
            let valid = invalid(record(schema, EVENT_TYPE), event);
            valid.unwrap_or_else(|error| panic!("{error}: {event}"));
        }
        // 5.11; before, the DSACKs are counted and not their segments.
        match self.grew("TCPDSACKRecvSegs") {
            Some(segs) => assert_eq!(self.doubled(), segs, "{self}"),
            None => {
                let dsacks = self.grew("TCPDSACKRecv").expect("a counter")
                    + self.grew("TCPDSACKOfoRecv").expect("a counter");
                assert!(self.doubled() >= dsacks, "{self}");
            }
        }
        for (undo, counter) in UNDOS {
            let grew = self.grew(counter).expect("a counter");
            assert!(self.undos(undo).len() as u64 <= grew, "{undo}: {self}");
        }
        for event in self.of_evidence("undo") {
            self.check_undo(event);
        }
        self.check_dsacks();
    }

    /// What they name was sent again, and is what nftables has seen in the peer's packets.
    #[track_caller]
    fn check_dsacks(&self) {
        let seen = sacks(&self.listed);
        let mut reported = Vec::new();
        for event in self.of_evidence("dsack") {
            // After the FIN its packets are not seen.
            if event["seq"].is_null() {
                continue;
            }
            let [seq, end_seq] = ["seq", "end_seq"].map(|name| u64_of(event, name));
            reported.push((seq, end_seq));
            let again = self.again(event);
            let len: u64 = again.iter().map(|e| u64_of(e, "data_len")).sum();
            assert!(len >= end_seq.wrapping_sub(seq) & 0xffff_ffff, "{event} {again:#?}");
        }
        assert!(reported.iter().all(|range| seen.iter().any(|(sack, _)| sack == range)), "{self}");
        let dsacks: Vec<_> = seen.iter().filter(|(_, below)| *below).collect();
        let missing: Vec<_> =
            dsacks.iter().filter(|(range, _)| !reported.contains(range)).collect();
        let nameless = self.of_evidence("dsack").len() - reported.len();
        let named = (dsacks.len() - missing.len() + nameless).min(dsacks.len());
        assert!(enough(named, dsacks.len(), 60), "{missing:?} {self}");
    }

    /// What was sent again of what a spurious names.
    fn again(&self, spurious: &Value) -> Vec<&Value> {
        let [seq, end_seq] = ["seq", "end_seq"].map(|name| u64_of(spurious, name) as u32);
        let of = self.trace.of_cookie(u64_of(spurious, "cookie")).into_iter();
        of.filter(|e| {
            e["type"] == "retransmit" && u64_of(e, "mono_ns") < u64_of(spurious, "mono_ns")
        })
        .filter(|e| {
            let start = u64_of(e, "seq") as u32;
            let end = start.wrapping_add(u64_of(e, "data_len") as u32);
            (start.wrapping_sub(end_seq) as i32) < 0 && (seq.wrapping_sub(end) as i32) < 0
        })
        .collect()
    }

    /// Its segments are the retransmissions since its first one, and the window is what it was, or more.
    #[track_caller]
    fn check_undo(&self, event: &Value) {
        let now = u64_of(event, "mono_ns");
        let of = self.trace.of_cookie(u64_of(event, "cookie")).into_iter();
        let before = of.filter(|e| e["type"] == "retransmit" && u64_of(e, "mono_ns") < now);
        let before: Vec<_> = before.collect();
        let total: u64 = before.iter().map(|e| u64_of(e, "segs")).sum();
        assert_eq!(u64_of(event, "total_retrans"), total, "{event}");
        if let Some(ago) = event["retrans_us"].as_u64() {
            let first = now / 1000 - ago;
            // It is the sum of all from one on, and that one was when it says.
            let mut sum = 0;
            let start = before.iter().rev().find(|e| {
                sum += u64_of(e, "segs");
                sum == u64_of(event, "segs")
            });
            let start = start.unwrap_or_else(|| panic!("{event} {before:#?}"));
            let off = (u64_of(start, "mono_ns") / 1000).abs_diff(first);
            assert!(off < 100_000, "{off}: {event} {start}");
            let again = self.again(event);
            assert!(again.iter().any(|e| e["mono_ns"] == start["mono_ns"]), "{event} {start}");
        } else {
            assert_eq!(event["segs"], 0, "{event}");
        }
        // A window that was not used since is made smaller (tcp_cwnd_restart()).
        if event["packet_us"].as_u64().is_some_and(|ago| ago < 100_000) {
            let restored = u64_of(event, "prior_cwnd").max(u64_of(event, "old_snd_cwnd"));
            assert!(u64_of(event, "snd_cwnd") >= restored, "{event}");
        }
        let from = match text(event, "undo") {
            "loss" => &["Loss"][..],
            "full" | "partial" => &["Recovery"],
            _ => &["Recovery", "Open", "Disorder"],
        };
        assert!(from.contains(&text(event, "old_ca_state")), "{event}");
        // The DSACK that proves the last one unneeded may come with what brings about the next Recovery.
        let to: &[_] = match text(event, "undo") {
            "dsack" => &["Open", "Disorder", "Recovery"],
            _ => &["Open", "Disorder"],
        };
        assert!(to.contains(&text(event, "new_ca_state")), "{event}");
    }
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = UNDOS.map(|(_, counter)| counter);
        let more = ["TCPDSACKRecv", "TCPDSACKOfoRecv", "TCPDSACKRecvSegs", "TCPSpuriousRTOs"];
        for name in names.into_iter().chain(more) {
            write!(f, "{name} {:?} ", self.grew(name))?;
        }
        self.trace.of_type(EVENT_TYPE).iter().try_for_each(|event| write!(f, "\n{event}"))
    }
}

/// To the last byte's ACK: after that tcp_probe is silent.
#[track_caller]
fn transfer(fixture: &mut Fixture, name: &str, bytes: u64) {
    fixture.client.transfer(name, &mut fixture.server, bytes);
    wait_until("the last ACK", || {
        let text = fixture.ns.run(&["ss", "-tinH", "state", "established"]);
        !text.contains("unacked:")
    });
}

/// The data comes, its ACKs do not: the sender sends it again until one does.
fn check_silent_peer(reader: &str) {
    need!(is_root(), "not root");
    let account = Account::complete(
        reader,
        |fixture, tracer| {
            for family in FAMILIES {
                let client = fixture.connect("a", family).0;
                transfer(fixture, "a", 5000);
                fixture.rule(&format!("tcp sport {} drop", fixture.port));
                fixture.client.send("a", 5000);
                tracer.wait_events("timeouts", |events| {
                    let of = events.iter().filter(|e| e["cookie"] == client.cookie);
                    of.filter(|e| e["class"] == "rto").count() >= 2
                });
                fixture.speak();
                fixture.server.receive("a", 5000);
                transfer(fixture, "a", 100_000);
                fixture.client.close("a");
                fixture.server.close("a");
            }
        },
        |_| true,
    );
    account.check();
    assert_eq!(account.undos("loss").len(), FAMILIES.len(), "{account}");
    for event in account.undos("loss") {
        assert!(u64_of(event, "segs") >= 2 && u64_of(event, "retrans_us") > 100_000, "{event}");
        // 200 ms and more of silence: the packet that ended it came just before.
        assert!(u64_of(event, "packet_us") < u64_of(event, "retrans_us"), "{event}");
    }
}

/// Some packets take a slower way and are overtaken by others.
#[track_caller]
fn overtake(fixture: &mut Fixture, every: u32, timestamps: bool) {
    let set = format!("echo {} >/proc/sys/net/ipv4/tcp_timestamps", u8::from(timestamps));
    fixture.ns.run(&["sh", "-c", &set]);
    for tc in [
        "qdisc add dev lo root handle 1: htb default 1",
        "class add dev lo parent 1: classid 1:1 htb rate 50mbit quantum 3000",
        "class add dev lo parent 1: classid 1:2 htb rate 20mbit burst 1600 cburst 1600 quantum 1514",
    ] {
        fixture.ns.run(&[&["tc"], &tc.split(' ').collect::<Vec<_>>()[..]].concat());
    }
    let rule = format!(
        "tcp dport {} tcp flags & syn == 0 numgen random mod {every} == 0 meta priority set 0x10002",
        fixture.port
    );
    fixture.ns.firewall("output", &[&rule]);
    for family in FAMILIES {
        fixture.connect("a", family);
        transfer(fixture, "a", 2_000_000);
        arrived(fixture);
        fixture.client.close("a");
        fixture.server.close("a");
    }
}

/// Waits until nothing is on its way, neither what was overtaken nor its DSACKs: after the FIN these would not be seen.
#[track_caller]
fn arrived(fixture: &Fixture) {
    let mut before = None;
    wait_until("the last packet", || {
        let queues = fixture.ns.run(&["tc", "-s", "-j", "qdisc", "show", "dev", "lo"]);
        let queues: Value = serde_json::from_str(&queues).expect("JSON");
        let waiting = |queue: &Value| u64_of(queue, "qlen") > 0;
        let waiting = queues.as_array().expect("queues").iter().any(waiting);
        let counters = fixture.ns.counters();
        let now =
            ["InSegs", "TCPDSACKRecvSegs", "TCPDSACKRecv"].map(|name| counters.get(name).copied());
        let same = before.replace(now) == Some(now);
        !waiting && same
    });
}

/// With timestamps the first ACK tells whose it is.
fn check_overtaken(reader: &str) {
    need!(is_root(), "not root");
    let account = Account::complete(
        reader,
        |fixture, _| overtake(fixture, 20, true),
        |account| !account.undos("partial").is_empty(),
    );
    account.check();
}

/// Without them DSACKs do.
fn check_overtaken_dsack(reader: &str) {
    need!(is_root(), "not root");
    let account = Account::complete(
        reader,
        |fixture, _| overtake(fixture, 20, false),
        |account| !account.undos("dsack").is_empty(),
    );
    account.check();
    assert!(account.doubled() > 0, "{account}");
}

by_sock_and_raw! {
    check_silent_peer: silent_peer_by_sock silent_peer_by_raw;
    check_overtaken: overtaken_by_sock overtaken_by_raw;
    check_overtaken_dsack: overtaken_dsack_by_sock overtaken_dsack_by_raw;
}
