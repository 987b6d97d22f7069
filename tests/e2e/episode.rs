//! One lost packet: the events from its drop to the end of the sender's recovery, in their order and with their values.
//! Checked against nft's counter and the namespace's counters.

use serde_json::Value;

use crate::support::{
    Counters, Expected, Lossy, Output, RIGHT, Reader, Socket, Tcc, Trace, assert_events,
    check_whole, guest, has_tracepoint, invalid, is_root, kernel, one_of, record, schema, text,
    turns, u64_of,
};

const EVENT_TYPES: [&str; 5] = ["probe", "drop", "retransmit", "cong_state", "spurious"];
const BYTES: u64 = 400_000;
/// The lost packet, counted from 0. The first flight has 10 packets; this one is in the second, and enough packets follow
/// that are reported by SACK.
const LOST: u32 = 14;

/// One transfer with one loss, traced as JSON and as text.
struct Episode {
    trace: Trace,
    text: Output,
    sender: Socket,
    /// Bytes of the packet that nft dropped.
    lost_bytes: u64,
    before: Counters,
    after: Counters,
}

impl Episode {
    #[track_caller]
    fn run(reader: Reader, family: &str) -> Self {
        let mut lossy = Lossy::in_order();
        // A packet is one segment.
        lossy.pair.left.run(&["ip", "link", "set", "eth0", "gso_max_segs", "1"]);
        lossy.client.use_cc("cubic");
        lossy.listen();
        lossy.lose_one(LOST);
        let events = Tcc::events(&EVENT_TYPES).reader(reader).ports(&[lossy.port]);
        let text = events.clone().output("text").flag("--no-header").start();
        let json = events.all_fields().start();
        let sender = lossy.connect("a", family).0;
        let before = lossy.pair.left.counters();
        lossy.client.transfer("a", &mut lossy.server, BYTES);
        lossy.client.close("a");
        lossy.server.close("a");
        // After that there are no more events, not even for a window update.
        lossy.pair.settle();
        let after = lossy.pair.left.counters();
        let (lost_packets, lost_bytes) = lossy.lost();
        assert_eq!(lost_packets, 1);
        let (trace, text) = (json.stop(), text.stop_raw());
        assert!(text.status.success(), "{}", text.stderr);
        Episode { trace, text, sender, lost_bytes, before, after }
    }

    /// Fails if a tracer could not see every event: lost to recursion, or hidden from BPF programs by the kernel (see
    /// support/ftrace.rs, `maybe_unseen`), which never happens in a guest.
    #[track_caller]
    fn check_complete(&self) -> Result<(), String> {
        check_whole(&self.trace)?;
        let lossless = self.text.stderr.matches(" + 0 lost").count();
        if lossless != EVENT_TYPES.len() {
            return Err(format!("lost to recursion, in the text: {}", self.text.stderr));
        }
        let (events, lines) = (self.events(), self.lines());
        let count = |wanted: Expected| events.iter().filter(|event| wanted.matches(event)).count();
        let seen = [
            count(event!(drop { data_len: 1.. })),
            count(event!(retransmit {})),
            count(event!(cong_state { new_ca_state: "Recovery" })),
        ];
        if seen == [1; 3] && events.len() == lines.len() {
            return Ok(());
        }
        let report = format!(
            "{seen:?} drops, retransmissions and recoveries, {} events and {} lines of text:{self}",
            events.len(),
            lines.len()
        );
        assert!(!guest(), "{report}");
        Err(report)
    }

    /// The packet that nft dropped is retransmitted, once, and nothing else is.
    #[track_caller]
    fn check_counters(&self) {
        let grew = |name: &str| self.after[name] - self.before[name];
        for (counter, expected) in [
            ("RetransSegs", 1),
            ("TCPFastRetrans", 1),
            ("TCPSackRecovery", 1),
            ("TCPLossProbes", 0),
            ("TCPTimeouts", 0),
        ] {
            assert_eq!(grew(counter), expected, "{counter}{self}");
        }
    }

    /// The sender's events, in the order of the output.
    fn events(&self) -> Vec<&Value> {
        self.trace.of_cookie(self.sender.cookie)
    }

    /// The same without the probe events, of which there is one per ACK.
    fn changes(&self) -> Vec<&Value> {
        self.events().into_iter().filter(|event| event["type"] != "probe").collect()
    }

    /// The index of the first such event among the sender's.
    #[track_caller]
    fn position(&self, wanted: &Expected) -> usize {
        let found = self.events().into_iter().position(|event| wanted.matches(event));
        found.unwrap_or_else(|| panic!("no {wanted}{self}"))
    }

    /// The sender's events as text: each one's type, and its values with their names.
    fn lines(&self) -> Vec<(String, Vec<(String, String)>)> {
        let mut lines: Vec<(String, Vec<(String, String)>)> = Vec::new();
        let (local, mut ours) = (self.sender.local, false);
        let local = (local.ip().to_canonical(), local.port());
        for line in self.text.stdout.lines() {
            let mut words = line.split_whitespace();
            // Continuation lines are indented.
            if !line.starts_with(' ') {
                let mut word = || words.next().unwrap_or_else(|| panic!("{line:?}"));
                let (_, event_type, end, _) = (word(), word(), word(), word());
                let end: std::net::SocketAddr = end.parse().expect("an address");
                ours = (end.ip(), end.port()) == local;
                if ours {
                    lines.push((event_type.to_owned(), Vec::new()));
                }
            }
            if ours {
                let pairs = words.map(|word| word.split_once(':').expect("a name and a value"));
                let values = &mut lines.last_mut().expect("the line's beginning").1;
                values.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
            }
        }
        lines
    }

    /// Both tracers report the same events, with the same values; time in state depends on when a tracer started.
    #[track_caller]
    fn check_text(&self) {
        for (event, (event_type, values)) in self.events().into_iter().zip(self.lines()) {
            assert_eq!(text(event, "type"), event_type, "{event} {values:?}");
            assert!(values.len() > 2, "{event} {values:?}");
            for (name, value) in values.iter().filter(|(name, _)| !name.ends_with("_state_us")) {
                let expected = match &event[name] {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                assert_eq!(*value, expected, "{name}: {event}");
            }
        }
    }

    #[track_caller]
    fn check_schema(&self) {
        let schema = schema();
        for event in self.events() {
            let valid = invalid(record(schema, text(event, "type")), event);
            valid.unwrap_or_else(|error| panic!("{error}: {event}"));
        }
    }
}

impl std::fmt::Display for Episode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "\n{}", self.trace.end)?;
        let of_interest = self.events().into_iter();
        let of_interest =
            of_interest.filter(|event| event["type"] != "probe" || event["ca_state"] != "Open");
        of_interest.take(60).try_for_each(|event| writeln!(f, "{event}"))
    }
}

/// By how much the event's sequence number in that field is beyond `seq`.
#[track_caller]
fn beyond(event: &Value, field: &str, seq: u32) -> i32 {
    (u64_of(event, field) as u32).wrapping_sub(seq).cast_signed()
}

/// The lost packet, and the windows before and after the sender detects the loss.
struct Loss {
    seq: u32,
    len: u32,
    prior_cwnd: u64,
    ssthresh: u64,
}

/// Drop, SACKs, Recovery, fast retransmit, SACKs, Open.
#[track_caller]
fn check(episode: &Episode) {
    let events = episode.events();
    // Before 5.19 the state is inferred from packets and retransmissions.
    let inferred = !has_tracepoint("cong_state");
    let recovery = episode.position(&event!(cong_state { new_ca_state: "Recovery" }));
    let retransmit = episode.position(&event!(retransmit {}));
    let open = episode.position(&event!(cong_state { old_ca_state: "Recovery" }));
    let dropped = events[episode.position(&event!(drop { data_len: 1.. }))];
    // An inferred change comes after the probe of the packet by which it is seen.
    let before = events[..recovery]
        .iter()
        .rfind(|event| event["type"] == "probe" && event["ca_state"] != "Recovery");
    let loss = Loss {
        seq: u64_of(dropped, "seq") as u32,
        len: u64_of(dropped, "data_len") as u32,
        prior_cwnd: u64_of(before.expect("a probe before Recovery"), "snd_cwnd"),
        ssthresh: u64_of(events[recovery], "snd_ssthresh"),
    };
    let Loss { seq, len, prior_cwnd, ssthresh } = loss;
    assert!(ssthresh < prior_cwnd, "{episode}");
    let recovery_us =
        (u64_of(events[open], "mono_ns") - u64_of(events[recovery], "mono_ns")) / 1000;

    let to_recovery = event!(cong_state {
        inferred: inferred,
        old_ca_state: one_of(["Open", "Disorder"]),
        new_ca_state: "Recovery",
        snd_una: seq,
        prior_cwnd: prior_cwnd,
        // The tracepoint runs before the window is reduced; an inferred event does not.
        snd_cwnd: if inferred { 0..=u64::MAX } else { prior_cwnd..=prior_cwnd },
    });
    let fast_retransmit = event!(retransmit {
        class: "fast",
        ca_state: "Recovery",
        seq: seq,
        data_len: len,
        segs: 1,
        snd_una: seq,
        snd_cwnd: ..=prior_cwnd - 1,
    });
    let [second, third] = if recovery < retransmit {
        [to_recovery, fast_retransmit]
    } else {
        assert!(inferred, "retransmission before Recovery{episode}");
        [fast_retransmit, to_recovery]
    };
    assert_events(
        episode.changes(),
        [
            event!(drop {
                direction: "out",
                reason: (kernel() >= (5, 17)).then_some("NETFILTER_DROP"),
                skb_len: episode.lost_bytes,
                segs: 1,
                ca_state: "Open",
            }),
            event!(cong_state { old_ca_state: "Open", new_ca_state: "Disorder" }).optional(),
            second,
            third,
            event!(cong_state {
                old_ca_state: "Recovery",
                new_ca_state: "Open",
                old_ca_state_us: recovery_us,
                snd_cwnd: ..=prior_cwnd - 1,
                snd_ssthresh: ssthresh,
            }),
            // The peer's FIN, which is freed with the socket.
            event!(drop { data_len: 0 }).optional(),
        ],
    );
    assert_eq!(recovery.abs_diff(retransmit), 1, "an event between the two{episode}");
    check_probes(episode, &loss, recovery.max(retransmit), open);
    // A drop is not reported under the socket lock, so its time may be out of order.
    let times = events.iter().filter(|event| event["type"] != "drop");
    assert!(times.map(|event| u64_of(event, "mono_ns")).is_sorted(), "{episode}");
}

/// Each ACK during recovery has SACK blocks and does not acknowledge the lost packet. The ACK after them acknowledges
/// everything that was sent before recovery and ends it.
#[track_caller]
fn check_probes(episode: &Episode, loss: &Loss, recovery: usize, open: usize) {
    let events = episode.events();
    let probes = || events.iter().enumerate().filter(|(_, event)| event["type"] == "probe");
    let (_, first) = probes().next().expect("a probe");
    assert_eq!(-beyond(first, "snd_una", loss.seq), (LOST * loss.len).cast_signed(), "{first}");

    let in_recovery: Vec<usize> =
        probes().filter(|(_, event)| event["ca_state"] == "Recovery").map(|(i, _)| i).collect();
    let [Some(&first), Some(&last)] = [in_recovery.first(), in_recovery.last()] else {
        panic!("no probe in Recovery{episode}")
    };
    // The retransmission may be late: a full local queue holds it back. Then the next packet shows the change first.
    let inferred = events[open]["inferred"] == true;
    assert!((inferred || recovery < first) && last < open, "{episode}");
    let high_seq = u64_of(events[first], "high_seq");
    let recovered = beyond(events[first], "high_seq", loss.seq);
    assert!(recovered >= loss.len.cast_signed(), "{episode}");
    let sack = event!(probe {
        snd_una: loss.seq,
        high_seq: high_seq,
        sacked_out: 1..,
        snd_cwnd: ..=loss.prior_cwnd - 1,
        snd_ssthresh: loss.ssthresh,
    });
    assert_events(in_recovery.iter().map(|&i| events[i]), in_recovery.iter().map(|_| sack.clone()));

    // snd_una stays at the lost packet until the last of these, and no longer.
    let after: Vec<_> = probes().filter(|(i, _)| *i > last).map(|(_, event)| *event).collect();
    let [next, ..] = after[..] else { panic!("no probe after Recovery{episode}") };
    assert!(beyond(next, "snd_una", loss.seq) > 0, "{next}");
    let held = probes().filter(|(i, _)| *i < last);
    held.for_each(|(_, event)| assert!(beyond(event, "snd_una", loss.seq) <= 0, "{event}"));
    let window = u64_of(next, "snd_cwnd");
    assert!((loss.ssthresh..loss.prior_cwnd).contains(&window), "{next}");
    assert!(beyond(events[open], "snd_una", loss.seq) >= recovered, "{}", events[open]);
}

fn check_episode(reader: Reader) {
    need!(is_root(), "not root");
    for family in RIGHT {
        let episode = turns(|| {
            let episode = Episode::run(reader, family);
            episode.check_counters();
            episode.check_complete()?;
            Ok(episode)
        });
        episode.trace.check_accounts(&EVENT_TYPES);
        episode.check_schema();
        check(&episode);
        episode.check_text();
    }
}

by_sock_and_raw! {
    check_episode: a_loss_by_sock a_loss_by_raw;
}
