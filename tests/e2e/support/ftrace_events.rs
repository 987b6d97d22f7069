//! The kernel's own trace of the events of `tcc-trace events`, and ours in the same form.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

use serde_json::{Value, json};

use super::align::align;
use super::ftrace::{Instance, Seen, calls, canonical, maybe_unseen, pairs, time_us};
use super::times::compared;
use super::tracer::{Trace, text, u64_of};

/// Event types, their tracepoints, and which of a line's keys is which of our columns.
type Keys = &'static [(&'static str, &'static str)];
const COOKIE: Keys = &[("sock_cookie", "cookie")];
const HOOKS: &[(&str, &str, Keys)] = &[
    ("state", "sock/inet_sock_set_state", &[("oldstate", "old_state"), ("newstate", "new_state")]),
    ("retransmit", "tcp/tcp_retransmit_skb", &[("state", "state"), ("err", "err")]),
    ("synack_retransmit", "tcp/tcp_retransmit_synack", &[]),
    ("reset_sent", "tcp/tcp_send_reset", &[("state", "sk_state"), ("reason", "reason")]),
    ("reset_received", "tcp/tcp_receive_reset", COOKIE),
    ("destroy", "tcp/tcp_destroy_sock", COOKIE),
    ("cong_state", "tcp/tcp_cong_state_set", &[("cong_state", "new_ca_state")]),
    ("rcv_space", "tcp/tcp_rcv_space_adjust", COOKIE),
    (
        "rcvbuf_grow",
        "tcp/tcp_rcvbuf_grow",
        &[
            ("time", "time_us"),
            ("rtt_us", "rcv_rtt_us"),
            ("copied", "copied"),
            ("inq", "inq"),
            ("space", "rcv_space"),
            ("ooo", "ooo_space"),
            ("scaling_ratio", "scaling_ratio"),
            ("rcvbuf", "rcvbuf"),
            ("rcv_ssthresh", "rcv_ssthresh"),
            ("window_clamp", "window_clamp"),
            ("rcv_wnd", "rcv_wnd"),
            ("sock_cookie", "cookie"),
        ],
    ),
    ("error", "sock/inet_sk_error_report", &[("error", "errno")]),
    // Its lines do not tell whose packet it was: see scenario/drops.rs.
    ("drop", "skb/kfree_skb", &[]),
    // Nor do these: see scenario/send.rs.
    ("send", "tcp/tcp_sendmsg_locked", &[]),
];

/// Every event type but `probe` that has a tracepoint of its own, in the program's order.
pub const EVENTS: &[&str] = &[
    "state",
    "retransmit",
    "synack_retransmit",
    "reset_sent",
    "reset_received",
    "destroy",
    "cong_state",
    "rcv_space",
    "error",
    "drop",
    "rcvbuf_grow",
    "send",
];

/// Those whose tracepoints fire after tcp_disconnect(), too.
const ERASED: &[&str] = &["destroy", "error"];

/// Those that need not be one event for each call of their tracepoint.
pub const INFERRED: &[&str] =
    &["connect", "life", "accept", "listen_drop", "zero_window", "spurious", "queue"];

/// An event type's tracepoint, as tracefs has it.
#[track_caller]
pub fn hook(event_type: &str) -> &'static str {
    find(event_type).1
}

#[track_caller]
fn find(event_type: &str) -> &'static (&'static str, &'static str, Keys) {
    HOOKS
        .iter()
        .find(|(name, ..)| *name == event_type)
        .unwrap_or_else(|| panic!("no event type {event_type}"))
}

/// The format of the event type's tracepoint, if this kernel has it. All are read at once: to make an instance takes an
/// emulated machine half a second.
#[track_caller]
fn format_of(event_type: &str) -> Option<&'static str> {
    static FORMATS: LazyLock<BTreeMap<&str, String>> = LazyLock::new(|| {
        let instance = Instance::start(64);
        let format = |hook: &str| instance.read(&format!("events/{hook}/format"));
        HOOKS.iter().filter_map(|(_, hook, _)| Some((*hook, format(hook)?))).collect()
    });
    FORMATS.get(hook(event_type)).map(String::as_str)
}

/// Does this kernel have the event type's tracepoint?
#[track_caller]
pub fn has_tracepoint(event_type: &str) -> bool {
    format_of(event_type).is_some()
}

/// Does this kernel's tracepoint of the event type tell that?
#[track_caller]
pub fn tells(event_type: &str, member: &str) -> bool {
    format_of(event_type).is_some_and(|format| format.contains(&format!(" {member};")))
}

/// What both sides tell of an event, in a form in which equal is equal. The order of time among those of one connection.
#[derive(Clone, Debug)]
pub struct Fact {
    pub local: SocketAddr,
    pub peer: SocketAddr,
    /// By the names of our columns.
    pub values: Vec<(&'static str, Value)>,
    /// Theirs; see [`maybe_unseen`].
    maybe_unseen: bool,
}

/// What came out of a comparison.
#[derive(Clone, Copy, Default)]
pub struct Compared {
    /// Events that the kernel told.
    pub reported: usize,
    /// Those of them that were hidden from us.
    pub unseen: usize,
}

type Facts = BTreeMap<(SocketAddr, SocketAddr), Vec<Fact>>;

impl PartialEq for Fact {
    fn eq(&self, other: &Self) -> bool {
        (self.local, self.peer, &self.values) == (other.local, other.peer, &other.values)
    }
}

impl Fact {
    fn ours(event: &Value, keys: &[(&str, &'static str)]) -> Self {
        let addr = |ip: &str, port: &str| {
            let ip: IpAddr = text(event, ip).parse().expect("an address");
            SocketAddr::new(ip, u64_of(event, port) as u16)
        };
        Fact {
            local: addr("saddr", "sport"),
            peer: addr("daddr", "dport"),
            values: keys.iter().map(|(_, column)| (*column, event[*column].clone())).collect(),
            maybe_unseen: false,
        }
    }

    fn theirs(head: &str, fields: &str, keys: &[(&str, &'static str)]) -> Option<Self> {
        let get = |key: &str| pairs(fields).find_map(|(k, value)| (k == key).then_some(value));
        let addr = |ip: &str, port: &str, both: &str| match get(both) {
            Some(text) => canonical(text),
            // An IPv4 one is there as a mapped one too, and the other member is not always the address.
            None => canonical(&format!("[{}]:{}", get(ip)?, get(port)?)),
        };
        let value = |key: &str| {
            let text = get(key)?;
            Some(match key {
                "sock_cookie" => json!(u64::from_str_radix(text, 16).ok()?),
                "cong_state" => {
                    json!(
                        ["Open", "Disorder", "CWR", "Recovery", "Loss"]
                            [text.parse::<usize>().ok()?]
                    )
                }
                _ if text == "UNKNOWN" => Value::Null,
                _ => match text.parse::<i64>() {
                    Ok(number) => json!(number),
                    Err(_) => {
                        json!(text.strip_prefix("TCP_").filter(|_| key != "reason").unwrap_or(text))
                    }
                },
            })
        };
        let values = keys.iter().map(|(key, column)| Some((*column, value(key)?)));
        Some(Fact {
            local: addr("saddrv6", "sport", "src")?,
            peer: addr("daddrv6", "dport", "dest")?,
            values: values.collect::<Option<_>>()?,
            maybe_unseen: maybe_unseen(head),
        })
    }
}

/// A running trace of these event types and of tcp_probe, of the connections of these ports.
pub struct FtraceEvents {
    instance: Instance,
    ports: Vec<u16>,
    keys: BTreeMap<&'static str, Vec<(&'static str, &'static str)>>,
}

/// What the kernel told of event types.
pub struct Told {
    /// The heads and fields of its lines, by the tracepoint's name.
    lines: BTreeMap<String, Vec<(String, String)>>,
    ports: Vec<u16>,
    /// What this kernel's lines have of each event type.
    keys: BTreeMap<&'static str, Vec<(&'static str, &'static str)>>,
}

impl FtraceEvents {
    /// `ports`: that follow each other.
    #[track_caller]
    pub fn start(event_types: &[&str], ports: &[u16]) -> Self {
        let [first, .., last] = ports else { panic!("two ports at least") };
        let of = |end: &str| format!("({end} >= {first} && {end} <= {last})");
        let of_ports = format!("{} || {}", of("sport"), of("dport"));
        let instance = Instance::start(16384);
        instance.write("events/tcp/tcp_probe/filter", &of_ports);
        instance.write("events/tcp/tcp_probe/enable", "1");
        let mut keys = BTreeMap::new();
        for &(event_type, hook, all) in
            HOOKS.iter().filter(|(event_type, ..)| event_types.contains(event_type))
        {
            let format = format_of(event_type).expect("the tracepoint");
            let prints =
                |key: &str| [' ', '"'].iter().any(|c| format.contains(&format!("{c}{key}=%")));
            keys.insert(event_type, all.iter().filter(|(key, _)| prints(key)).copied().collect());
            if format.contains(" sport;") {
                // tcp_disconnect() has erased the peer's port.
                let erased = if ERASED.contains(&event_type) { " || dport == 0" } else { "" };
                instance.write(&format!("events/{hook}/filter"), &format!("{of_ports}{erased}"));
            }
            instance.write(&format!("events/{hook}/enable"), "1");
        }
        FtraceEvents { instance, ports: ports.to_vec(), keys }
    }

    /// All that it told, also of tcp_probe.
    #[track_caller]
    pub fn stop(self) -> (Told, Vec<Seen>) {
        let FtraceEvents { instance, ports, keys } = self;
        let lines = instance.lines();
        let seen = calls(&lines);
        let mut by_name: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for line in &lines {
            let mut parts = line.splitn(3, ": ");
            if let (Some(head), Some(name), Some(fields)) =
                (parts.next(), parts.next(), parts.next())
            {
                by_name
                    .entry(name.to_owned())
                    .or_default()
                    .push((head.to_owned(), fields.to_owned()));
            }
        }
        (Told { lines: by_name, ports, keys }, seen)
    }
}

impl Told {
    fn is_of_ports(&self, fact: &Fact) -> bool {
        [fact.local, fact.peer].iter().any(|end| self.ports.contains(&end.port()))
    }

    /// With the ends that ours has where tcp_disconnect() has erased them: the first one not yet `taken` with the same local
    /// port and values.
    fn restored(&self, fact: Fact, ours: &[Fact], taken: &mut BTreeSet<usize>) -> Option<Fact> {
        if fact.peer.port() == 0 {
            let same = |(i, our): &(usize, &Fact)| {
                our.peer.port() != 0
                    && !taken.contains(i)
                    && (our.local.port(), &our.values) == (fact.local.port(), &fact.values)
            };
            if let Some((i, our)) = ours.iter().enumerate().find(same) {
                taken.insert(i);
                return Some(Fact { local: our.local, peer: our.peer, ..fact });
            }
        }
        self.is_of_ports(&fact).then_some(fact)
    }

    #[track_caller]
    fn all_facts(&self, event_type: &str) -> Vec<Fact> {
        let name = hook(event_type).split_once('/').expect("a group").1;
        let mut facts = Vec::new();
        for (head, fields) in self.lines.get(name).into_iter().flatten() {
            let parsed = time_us(head).zip(Fact::theirs(head, fields, &self.keys[event_type]));
            let (time, fact) = parsed.unwrap_or_else(|| panic!("not understood: {head}: {fields}"));
            facts.push((time, fact));
        }
        facts.sort_by_key(|(time, _)| *time);
        let mut ca_states = BTreeMap::new();
        let all = facts.into_iter().map(|(_, fact)| fact);
        all.filter(|fact| is_change(event_type, fact, &mut ca_states)).collect()
    }

    /// Every event that the kernel tells of that event type is among ours with all values equal, or accounted for as lost (the
    /// kernel does not run a program that it has interrupted), or may have been hidden from us; and none of ours is one
    /// that it does not tell. In each connection they come in the same order.
    #[track_caller]
    pub fn compare(&self, trace: &Trace, event_type: &str) -> Compared {
        let keys = &self.keys[event_type];
        let of_type = trace.of_type(event_type).into_iter();
        let ours: Vec<Fact> = of_type.map(|event| Fact::ours(event, keys)).collect();
        // The ends are two more.
        compared(ours.len(), ours.iter().map(|fact| 2 + fact.values.len()).sum());
        let theirs = self.all_facts(event_type);
        let mut taken = reported_with_ends(&ours, &theirs);
        let theirs = theirs.into_iter();
        let theirs =
            by_connection(theirs.filter_map(|fact| self.restored(fact, &ours, &mut taken)));
        let ours = by_connection(ours.into_iter());
        // The process may take the error between the kernel's line and our program, on another CPU.
        let may_be_taken = event_type == "error";
        let (mut missing, mut unseen) = (0, 0);
        for (connection, theirs) in &theirs {
            let ours = ours.get(connection).map_or(&[][..], Vec::as_slice);
            let hidden = |fact: &Fact| fact.maybe_unseen || may_be_taken;
            let told: Vec<_> = theirs.iter().map(|fact| (fact.clone(), hidden(fact))).collect();
            let absent = align(ours, &told).unwrap_or_else(|| {
                panic!("{event_type}: not as the kernel tells it:\nours {ours:#?}\nthe kernel's {theirs:#?}")
            });
            if absent.missing > 0 {
                eprintln!("{event_type}: {absent:?}:\nours {ours:#?}\nthe kernel's {theirs:#?}");
            }
            missing += absent.missing as u64;
            unseen += absent.hidden;
        }
        let more: Vec<_> = ours.iter().filter(|(key, _)| !theirs.contains_key(key)).collect();
        assert!(more.is_empty(), "{event_type}: the kernel does not tell these: {more:?}");
        let books = &trace.end["event_types"][event_type];
        let lost = u64_of(books, "lost");
        assert!(
            missing <= lost,
            "{event_type}: {missing} are missing, {lost} accounted for as lost"
        );
        // Where this happens at all it is rare, among the events of the whole machine.
        let reported: usize = theirs.values().map(Vec::len).sum();
        assert!(lost <= 1 + u64_of(books, "seen") / 20, "{event_type}: {books}");
        assert!(!may_be_taken || 4 * unseen <= reported, "{unseen} of {reported} were taken");
        Compared { reported, unseen }
    }
}

/// Which of ours the kernel tells with both ends: no fact without ends is one of these.
fn reported_with_ends(ours: &[Fact], theirs: &[Fact]) -> BTreeSet<usize> {
    let mut taken = BTreeSet::new();
    if theirs.iter().all(|fact| fact.peer.port() != 0) {
        return taken;
    }
    for fact in theirs.iter().filter(|fact| fact.peer.port() != 0) {
        let same = ours.iter().enumerate().find(|(i, our)| !taken.contains(i) && *our == fact);
        taken.extend(same.map(|(i, _)| i));
    }
    taken
}

/// Two tracepoints also fire where nothing happens: of an error of 0, and of the state that a connection is in already.
fn is_change(
    event_type: &str,
    fact: &Fact,
    ca_states: &mut BTreeMap<(SocketAddr, SocketAddr), Value>,
) -> bool {
    let value = fact.values.first().map(|(_, value)| value);
    match (event_type, value) {
        ("error", Some(errno)) => *errno != 0,
        // A socket that has no peer any more was disconnected, and is Open.
        ("cong_state", Some(state)) => {
            let before = ca_states.insert((fact.local, fact.peer), state.clone());
            before.unwrap_or(json!("Open")) != *state
        }
        _ => true,
    }
}

fn by_connection(facts: impl Iterator<Item = Fact>) -> Facts {
    let mut connections = Facts::new();
    for fact in facts {
        connections.entry((fact.local, fact.peer)).or_default().push(fact);
    }
    connections
}
