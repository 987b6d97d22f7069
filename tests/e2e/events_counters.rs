//! Retransmissions against the namespace's own counters in /proc/net/snmp and netstat: as many segments in all, and of
//! each class as many as the kernel counted at the place in its code that sent them.

use std::io::Write;

use serde_json::Value;

use crate::support::{
    Counters, FAMILIES, Fixture, Launch, Server, Trace, Tracer, again, drive, guest, is_root,
    is_whole, kernel, some_turn, tells, text, traffic_in, u64_of,
};

const EVENT_TYPES: &[&str] = &["retransmit", "synack_retransmit"];

/// Before 6.17 there is no event for what was not sent, and the kernel says no `err`.
fn is_sent(event: &Value) -> bool {
    event["err"].is_null() || event["err"] == 0
}

/// What the namespace's counters grew by while it was traced, and the trace.
struct Account {
    trace: Trace,
    before: Counters,
    after: Counters,
}

impl Account {
    #[track_caller]
    fn of(fixture: &mut Fixture, reader: &str, drive: impl FnOnce(&mut Fixture, &Tracer)) -> Self {
        let launch = Launch::here().with_tracefs();
        let netns = fixture.ns.inode().to_string();
        let args = ["--all-fields", "--reader", reader, "--netns", &netns];
        let tracer = Tracer::events_in(&launch, &EVENT_TYPES.join(","), &args);
        let before = fixture.ns.counters();
        drive(fixture, &tracer);
        fixture.settle();
        let after = fixture.ns.counters();
        let trace = tracer.stop();
        trace.check_accounts(EVENT_TYPES);
        let reported = tells("retransmit", "err");
        for event in trace.of_type("retransmit") {
            assert_eq!(event["err"].is_null(), !reported, "{event}");
        }
        Account { trace, before, after }
    }

    /// One in which no event is missing (see support/ftrace.rs, maybe_unseen): of classes such an account says nothing.
    #[track_caller]
    fn complete(once: impl Fn() -> Account) -> Account {
        for _ in 0..3 {
            let account = once();
            if is_whole(&account.trace) && account.sent_again() == account.grew("RetransSegs") {
                return account;
            }
            let reported = format!("{} of {}", account.sent_again(), account.grew("RetransSegs"));
            let _ = writeln!(std::io::stderr(), "segments sent again that were seen: {reported}");
        }
        panic!("events are missing in each of the accounts");
    }

    /// Segments of all retransmissions. A SYN-ACK is one of them.
    fn sent_again(&self) -> u64 {
        let all: u64 = self.trace.of_type("retransmit").iter().map(|e| u64_of(e, "segs")).sum();
        all + self.trace.of_type("synack_retransmit").len() as u64
    }

    /// By how much it grew.
    #[track_caller]
    fn grew(&self, name: &str) -> u64 {
        let of = |counters: &Counters| *counters.get(name).unwrap_or_else(|| panic!("no {name}"));
        of(&self.after) - of(&self.before)
    }

    /// Segments of the retransmissions of one class; those that were not sent count nowhere but in RetransSegs.
    fn segs(&self, class: &str) -> u64 {
        let of = self.trace.of_type("retransmit").into_iter();
        let of = of.filter(|event| event["class"] == class && is_sent(event));
        of.map(|event| u64_of(event, "segs")).sum()
    }

    #[track_caller]
    fn check(&self, answers: bool) {
        let trace = &self.trace;
        let synacks = trace.of_type("synack_retransmit").len() as u64;
        let classes = ["other", "fast", "rto", "slow_start", "tlp", "syn"];
        let segs: Vec<_> = classes.iter().map(|class| (*class, self.segs(class))).collect();
        let said = format!(
            "{segs:?}, {synacks} SYN-ACKs, {} failed, {}; Fast {} SlowStart {} LossProbes {} Syn {} Timeouts {}",
            trace.of_type("retransmit").iter().filter(|event| !is_sent(event)).count(),
            trace.end,
            self.grew("TCPFastRetrans"),
            self.grew("TCPSlowStartRetrans"),
            self.grew("TCPLossProbes"),
            self.grew("TCPSynRetrans"),
            self.grew("TCPTimeouts")
        );
        assert_eq!(self.sent_again(), self.grew("RetransSegs"), "{said}");
        assert_eq!(self.segs("fast"), self.grew("TCPFastRetrans"), "{said}");
        assert_eq!(self.segs("slow_start"), self.grew("TCPSlowStartRetrans"), "{said}");
        // A SYN-ACK counts here too.
        assert_eq!(self.segs("syn") + synacks, self.grew("TCPSynRetrans"), "{said}");
        // A probe may send new data instead: no retransmission then.
        assert!(self.segs("tlp") <= self.grew("TCPLossProbes"), "{said}");
        // A timeout sends one skb again, of one segment; in SYN_SENT that is the SYN, of a request the SYN-ACK.
        let timeouts = self.segs("rto") + self.segs("syn");
        // Where SYNs get lost and SYN-ACKs, too, one may be the answer to a SYN that came again.
        let by_timer = self.grew("TCPTimeouts").checked_sub(timeouts).expect(&said);
        assert!(by_timer <= synacks && (answers || by_timer == synacks), "{said}");
        assert_eq!(self.segs("other"), 0, "{said}");
        for event in trace.of_type("retransmit") {
            let (class, state) = (text(event, "class"), text(event, "ca_state"));
            let fits = match class {
                "fast" => state == "Recovery",
                "rto" | "slow_start" => state == "Loss",
                "syn" => event["state"] == "SYN_SENT",
                // Never in Loss: its queue is the timer's.
                "tlp" => state != "Loss",
                _ => false,
            };
            assert!(fits, "{event}");
        }
    }
}

/// Who loses packets.
#[derive(Clone, Copy, PartialEq)]
enum Losing {
    /// Data and ACKs; handshakes are left alone.
    Firewall,
    /// Anything, and late, and sometimes out of order.
    Netem,
}

impl Losing {
    fn start(self, fixture: &Fixture) {
        if self == Losing::Netem {
            let netem = "tc qdisc add dev lo root netem delay 4ms loss 3% reorder 2%";
            fixture.ns.run(&netem.split(' ').collect::<Vec<_>>());
            return;
        }
        for (side, percent) in [("dport", 4), ("sport", 4)] {
            fixture.rule(&format!(
                "tcp {side} {} tcp flags & syn == 0 numgen random mod 100 < {percent} drop",
                fixture.port
            ));
        }
    }
}

/// Bulk both ways through these losses.
fn lossy(fixture: &mut Fixture, cc: &str, losing: Losing) {
    let port = fixture.port;
    fixture.ns.run(&["ip", "link", "set", "lo", "mtu", "1500"]);
    losing.start(fixture);
    let server = Server::start_in(&fixture.ns.launch(), &format!("[::]:{port}"), Some(cc));
    for (family, more) in FAMILIES.into_iter().zip([&[][..], &["--download"], &["--parallel", "2"]])
    {
        let to = fixture.addr(family).to_string();
        let args = [&["bulk", "--to", &to, "--bytes", "2000000", "--cc", cc], more].concat();
        traffic_in(&fixture.ns.launch(), &args);
    }
    fixture.speak();
    fixture.settle();
    drop(server);
}

#[track_caller]
fn check_lossy(reader: &str, cc: &str, sack: bool, losing: Losing) {
    need!(is_root(), "not root");
    for _ in 0..3 {
        let account = Account::complete(|| {
            let mut fixture = Fixture::new();
            let set = format!("echo {} >/proc/sys/net/ipv4/tcp_sack", u8::from(sack));
            fixture.ns.run(&["sh", "-c", &set]);
            Account::of(&mut fixture, reader, |fixture, _| lossy(fixture, cc, losing))
        });
        account.check(losing == Losing::Netem);
        // What is lost is left to chance. Which of the other classes there are does not matter.
        if account.segs("fast") > 0 {
            return;
        }
        again("nothing was retransmitted before a timeout");
    }
    panic!("nothing is retransmitted before a timeout");
}

/// With SACK recovery goes by RACK and there are loss probes.
fn check_sack(reader: &str) {
    check_lossy(reader, "cubic", true, Losing::Firewall);
}

/// Without it, by duplicate ACKs.
fn check_no_sack(reader: &str) {
    check_lossy(reader, "reno", false, Losing::Firewall);
}

/// What the network does, as far as netem can do it.
fn check_netem(reader: &str) {
    need!(guest(), "on a host the firewall loses packets: not every kernel has netem", legitimate: true);
    check_lossy(reader, "cubic", true, Losing::Netem);
}

/// The whole of a flight is lost: a probe, the timer, and when ACKs come again the rest in slow start.
fn check_timeouts(reader: &str) {
    need!(is_root(), "not root");
    let account = Account::complete(|| {
        let mut fixture = Fixture::new();
        fixture.ns.run(&["ip", "link", "set", "lo", "mtu", "1500"]);
        // bbr would send all of it at the first timeout's pace, and reno has no other ideas than the timer's.
        fixture.client.use_cc("reno");
        fixture.listen();
        Account::of(&mut fixture, reader, |fixture, tracer| {
            for (i, family) in FAMILIES.into_iter().enumerate() {
                let name = format!("c{i}");
                let end = fixture.connect(&name, family).0;
                fixture.silence();
                // Within the first window, so that no probe sends new data.
                fixture.client.send(&name, 10_000);
                tracer.wait_events("timeouts", |events| {
                    let of =
                        events.iter().filter(|e| e["cookie"] == end.cookie && e["class"] == "rto");
                    of.count() >= 2
                });
                fixture.speak();
                fixture.server.receive(&name, 10_000);
                fixture.client.close(&name);
                fixture.server.close(&name);
            }
        })
    });
    account.check(false);
    assert_eq!(account.segs("tlp"), account.grew("TCPLossProbes"));
    assert!(account.segs("tlp") >= 1 && account.segs("slow_start") >= 3);
}

/// SYNs are lost, and the last ACK of the handshake.
fn check_handshakes(reader: &str) {
    need!(is_root(), "not root");
    let account = Account::complete(|| {
        let mut fixture = Fixture::new();
        fixture.listen();
        let port = fixture.port;
        Account::of(&mut fixture, reader, |fixture, tracer| {
            for family in FAMILIES {
                // The first of two.
                fixture.rule(&format!("tcp dport {port} tcp flags syn numgen inc mod 2 == 0 drop"));
                fixture.connect("a", family);
                fixture.speak();
                fixture.client.close("a");
                fixture.server.close("a");
            }
            fixture.rule(&format!("tcp dport {port} tcp flags & (syn | ack) == ack drop"));
            let addr = fixture.addr(FAMILIES[0]);
            fixture.client.connect("b", addr);
            tracer.wait_events("a SYN-ACK", |events| {
                events.iter().any(|event| event["type"] == "synack_retransmit")
            });
            fixture.speak();
            fixture.client.send("b", 1);
            fixture.server.accept("b");
            fixture.client.close("b");
            fixture.server.close("b");
        })
    });
    account.check(false);
    assert!(account.segs("syn") >= FAMILIES.len() as u64);
}

/// RSTs of all sorts, some of them of no socket, which are told of from 6.10 on.
fn check_resets(reader: &str) {
    need!(is_root(), "not root");
    some_turn(|| {
        let mut fixture = Fixture::new();
        let netns = fixture.ns.inode().to_string();
        let args = ["--all-fields", "--reader", reader, "--netns", &netns];
        let tracer = Tracer::events_in(&Launch::here().with_tracefs(), "reset_sent", &args);
        let before = fixture.ns.counters();
        drive(&mut fixture, "reset_sent");
        fixture.settle();
        let grew = fixture.ns.counters()["OutRsts"] - before["OutRsts"];
        let trace = tracer.stop();
        trace.check_accounts(&["reset_sent"]);
        let (bare, own): (Vec<_>, Vec<_>) =
            trace.of_type("reset_sent").into_iter().partition(|event| event["sk_state"].is_null());
        assert!(!own.is_empty() && bare.is_empty() == (kernel() < (6, 10)), "{}", trace.end);
        let sent = (own.len() + bare.len()) as u64;
        assert!(sent <= grew, "{sent} of {grew}");
        is_whole(&trace) && (sent == grew || kernel() < (6, 10))
    });
}

by_sock_and_raw! {
    check_resets: resets_by_sock resets_by_raw;
    check_sack: losses_with_sack_by_sock losses_with_sack_by_raw;
    check_no_sack: losses_without_sack_by_sock losses_without_sack_by_raw;
    check_netem: losses_by_netem_by_sock losses_by_netem_by_raw;
    check_timeouts: timeouts_by_sock timeouts_by_raw;
    check_handshakes: handshakes_by_sock handshakes_by_raw;
}
