//! One lost packet, from the drop to the end of what that made of its sender: as neighbouring lines of one connection, in
//! their order, by the values, held against nft's counter and the namespace's.

use std::io::Write;

use serde_json::Value;

use crate::support::{
    Counters, Launch, Lossy, Output, RIGHT, Socket, Trace, Tracer, guest, has_tracepoint, invalid,
    is_root, is_whole, kernel, record, schema, text, u64_of,
};

const KINDS: &str = "probe,drop,retransmit,cong_state,verdict";
const BYTES: u64 = 400_000;
/// The first flight is of 10 packets. This one is of the second, with enough behind it that are told of by SACK.
const LOST: u32 = 14;

struct Episode {
    trace: Trace,
    people: Output,
    sender: Socket,
    /// Packets and bytes that nft dropped.
    lost: (u64, u64),
    before: Counters,
    after: Counters,
}

impl Episode {
    #[track_caller]
    fn of(reader: &str, family: &str) -> Self {
        let mut lossy = Lossy::new();
        // A packet is one segment.
        lossy.pair.left.run(&["ip", "link", "set", "eth0", "gso_max_segs", "1"]);
        lossy.client.use_cc("cubic");
        lossy.listen();
        lossy.lose_one(LOST);
        let port = lossy.port.to_string();
        let here = Launch::here().with_tracefs();
        let args = ["--reader", reader, "--port", &port];
        let tracer = Tracer::events_in(&here, KINDS, &[&args[..], &["--all-fields"]].concat());
        let mut people = Tracer::spawn(
            &here,
            &[&["events", KINDS, "-o", "text", "--no-header"], &args[..]].concat(),
        );
        people.wait_ready();
        let sender = lossy.connect("a", family).0;
        let before = lossy.pair.left.counters();
        lossy.client.transfer("a", &mut lossy.server, BYTES);
        lossy.client.close("a");
        lossy.server.close("a");
        // Then nothing more comes, be it only news of a window.
        lossy.pair.settle();
        let after = lossy.pair.left.counters();
        let (trace, people) = (tracer.stop(), people.stop_raw());
        assert!(people.status.success(), "{}", people.stderr);
        Episode { trace, people, sender, lost: lossy.lost(), before, after }
    }

    /// One that is what it is meant to be: the one packet is dropped, and is sent again once, as nothing on a slow machine
    /// is late (a loss probe, a timeout); and nothing of it is hidden (see support/ftrace.rs, maybe_unseen).
    #[track_caller]
    fn complete(reader: &str, family: &str) -> Self {
        for _ in 0..8 {
            let episode = Episode::of(reader, family);
            assert_eq!(episode.lost.0, 1);
            let plain = is_whole(&episode.trace)
                && episode.people.stderr.matches(" + 0 lost").count() == KINDS.split(',').count()
                && episode.grew("RetransSegs") == 1
                && episode.grew("TCPFastRetrans") == 1
                && episode.grew("TCPSackRecovery") == 1;
            let told = ["drop", "retransmit"].iter().all(|kind| episode.all(kind).len() == 1)
                && episode.changes("Recovery").len() == 1
                && episode.texts().len() == episode.events().len();
            if plain && told {
                return episode;
            }
            assert!(!plain || !guest(), "{episode}");
            let _ = writeln!(std::io::stderr(), "once more: {episode}");
        }
        panic!("no episode is complete");
    }

    fn grew(&self, name: &str) -> u64 {
        self.after[name] - self.before[name]
    }

    /// The sender's, as they were printed.
    fn events(&self) -> Vec<&Value> {
        self.trace.of_cookie(self.sender.cookie)
    }

    /// Where those of that kind stand among the sender's, without the peer's FIN, which is dropped with the socket.
    fn all(&self, kind: &str) -> Vec<usize> {
        let events = self.events();
        let fin = |event: &Value| kind == "drop" && event["data_len"] == 0;
        (0..events.len()).filter(|&i| events[i]["type"] == kind && !fin(events[i])).collect()
    }

    /// The same of changes to that state.
    fn changes(&self, to: &str) -> Vec<usize> {
        let events = self.events();
        let changes = self.all("cong_state").into_iter();
        changes.filter(|&i| events[i]["new_ca_state"] == to).collect()
    }

    /// The sender's lines of the text: what kind, and its values by their names.
    fn texts(&self) -> Vec<(String, Vec<(String, String)>)> {
        let mut texts: Vec<(String, Vec<(String, String)>)> = Vec::new();
        let (local, mut ours) = (self.sender.local, false);
        let local = (local.ip().to_canonical(), local.port());
        for line in self.people.stdout.lines() {
            let mut words = line.split_whitespace();
            if !line.starts_with(' ') {
                let mut word = || words.next().unwrap_or_else(|| panic!("{line:?}"));
                let (_, kind, end, _) = (word(), word(), word(), word());
                let end: std::net::SocketAddr = end.parse().expect("an address");
                ours = (end.ip(), end.port()) == local;
                if ours {
                    texts.push((kind.to_owned(), Vec::new()));
                }
            }
            if ours {
                let pairs = words.map(|word| word.split_once(':').expect("a name and a value"));
                let values = &mut texts.last_mut().expect("its beginning").1;
                values.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
            }
        }
        texts
    }

    /// Every line that people get is that of the event at its place.
    #[track_caller]
    fn check_texts(&self) {
        for (event, (kind, values)) in self.events().iter().zip(self.texts()) {
            assert_eq!(text(event, "type"), kind, "{event} {values:?}");
            assert!(values.len() > 2, "{event} {values:?}");
            for (name, value) in values.iter().filter(|(name, _)| !name.ends_with("_state_us")) {
                let wanted = match &event[name] {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                assert_eq!(*value, wanted, "{name}: {event}");
            }
        }
    }
}

impl std::fmt::Display for Episode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for name in
            ["RetransSegs", "TCPFastRetrans", "TCPSackRecovery", "TCPLossProbes", "TCPTimeouts"]
        {
            write!(f, "{name} {} ", self.grew(name))?;
        }
        let events = self.events();
        write!(f, "{} lines, {} events: {}", self.texts().len(), events.len(), self.trace.end)?;
        let of_interest =
            events.iter().filter(|event| event["type"] != "probe" || event["ca_state"] != "Open");
        of_interest.take(60).try_for_each(|event| write!(f, "\n{event}"))
    }
}

/// How the lines stand. A change is told as it happens; where it is worked out (before 5.19), at the retransmission that it
/// brings about, and that to Open at the next packet.
#[track_caller]
fn check(episode: &Episode) {
    let events = episode.events();
    let derived = !has_tracepoint("cong_state");
    let schema = schema();
    for event in &events {
        let valid = invalid(record(&schema, text(event, "type")), event);
        valid.unwrap_or_else(|error| panic!("{error}: {event}"));
    }
    let of = |kind: &str| episode.all(kind);
    let [dropped, retransmitted] = ["drop", "retransmit"].map(|kind| of(kind)[0]);
    let recovered = episode.changes("Recovery")[0];
    // Packets that overtake one another make it Disorder again, later.
    let opened = of("cong_state").into_iter().find(|&i| i > recovered);
    let opened = opened.unwrap_or_else(|| panic!("{episode}"));

    let lost = events[dropped];
    let (seq, len) = (u64_of(lost, "seq") as u32, u64_of(lost, "data_len") as u32);
    // How far behind the lost packet's beginning that sequence number is.
    let past = |event: &Value, key: &str| (u64_of(event, key) as u32).wrapping_sub(seq) as i32;
    assert_eq!(u64_of(lost, "skb_len"), episode.lost.1, "{lost}");
    assert_eq!((u64_of(lost, "segs"), text(lost, "direction")), (1, "out"), "{lost}");
    let reason = (kernel() >= (5, 17)).then_some("NETFILTER_DROP");
    assert_eq!((lost["reason"].as_str(), text(lost, "ca_state")), (reason, "Open"), "{lost}");
    // Behind those that nft let pass; one or another may have been overtaken.
    let behind = -past(events[of("probe")[0]], "snd_una");
    assert_eq!(behind % len as i32, 0, "{lost}");
    assert!((behind / len as i32).abs_diff(LOST as i32) <= 3, "{behind}: {lost}");

    // The order, which is that of the clock, too; only a drop is told by who does not hold the connection.
    assert!(dropped < recovered.min(retransmitted), "{episode}");
    assert!(recovered.max(retransmitted) < opened, "{episode}");
    if derived {
        assert_eq!(recovered.abs_diff(retransmitted), 1, "{episode}");
    } else {
        assert_eq!(recovered + 1, retransmitted, "{episode}");
    }
    let times = events.iter().filter(|event| event["type"] != "drop");
    assert!(times.map(|event| u64_of(event, "mono_ns")).is_sorted(), "{episode}");
    let took = u64_of(events[opened], "mono_ns") - u64_of(events[recovered], "mono_ns");
    assert_eq!(u64_of(events[opened], "old_ca_state_us"), took / 1000, "{episode}");

    // Into Recovery, from the window that the last packet found.
    let change = events[recovered];
    let probes = of("probe");
    let last = probes.iter().rev().find(|&&i| i < recovered).expect("one before");
    let prior = u64_of(events[*last], "snd_cwnd");
    assert_eq!(u64_of(change, "prior_cwnd"), prior, "{change} {}", events[*last]);
    assert_eq!((past(change, "snd_una"), &change["derived"]), (0, &derived.into()), "{change}");
    assert!(["Open", "Disorder"].contains(&text(change, "old_ca_state")), "{change}");
    if !derived {
        assert_eq!(u64_of(change, "snd_cwnd"), prior, "{change}");
    }
    let ssthresh = u64_of(change, "snd_ssthresh");
    assert!(ssthresh < prior, "{change}");

    let again = events[retransmitted];
    assert_eq!((text(again, "class"), text(again, "ca_state")), ("fast", "Recovery"), "{again}");
    assert_eq!((past(again, "seq"), past(again, "snd_una")), (0, 0), "{again}");
    assert_eq!((u64_of(again, "data_len"), u64_of(again, "segs")), (len.into(), 1), "{again}");
    assert!(u64_of(again, "snd_cwnd") < prior, "{again}");

    // Up to the end it stays at the lost packet. Those that are behind it come as SACKs.
    let held: Vec<&Value> = probes.iter().filter(|&&i| i > dropped).map(|&i| events[i]).collect();
    let held: Vec<&Value> =
        held.into_iter().take_while(|event| past(event, "snd_una") <= 0).collect();
    let recovering: Vec<usize> =
        probes.iter().copied().filter(|&i| events[i]["ca_state"] == "Recovery").collect();
    assert!(!recovering.is_empty(), "{episode}");
    let high = past(events[recovering[0]], "high_seq");
    assert!(high >= len as i32, "{episode}");
    for &i in &recovering {
        let event = events[i];
        assert!(i > retransmitted.max(recovered) && i < opened, "{event} in {episode}");
        assert_eq!((past(event, "snd_una"), past(event, "high_seq")), (0, high), "{event}");
        assert!(u64_of(event, "sacked_out") > 0 && u64_of(event, "snd_cwnd") < prior, "{event}");
        assert_eq!(u64_of(event, "snd_ssthresh"), ssthresh, "{event}");
    }
    assert_eq!(held.last(), recovering.last().map(|&i| &events[i]), "{episode}");

    // And out of it.
    let change = events[opened];
    let states = (text(change, "old_ca_state"), text(change, "new_ca_state"));
    assert_eq!(states, ("Recovery", "Open"), "{change}");
    assert!(past(change, "snd_una") >= high, "{change}");
    assert!(u64_of(change, "snd_cwnd") < prior, "{change}");
    assert_eq!(u64_of(change, "snd_ssthresh"), ssthresh, "{change}");
    let end = recovering[recovering.len() - 1];
    let next = probes.iter().find(|&&i| i > end).map(|&i| events[i]).expect("one behind");
    assert!((ssthresh..prior).contains(&u64_of(next, "snd_cwnd")), "{next}");
    // It was needed.
    assert!(of("verdict").is_empty(), "{episode}");
    episode.check_texts();
}

fn check_episode(reader: &str) {
    need!(is_root(), "not root");
    for family in RIGHT {
        let episode = Episode::complete(reader, family);
        episode.trace.check_accounts(&KINDS.split(',').collect::<Vec<_>>());
        check(&episode);
    }
}

by_sock_and_raw! {
    check_episode: a_loss_by_sock a_loss_by_raw;
}
