//! `connlat --histogram` against the events that it is made of, which another tracer prints, and the kernel's own trace.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{
    FAMILIES, Fixture, Instance, Launch, Socket, Trace, Tracer, check_row, check_schema, guest,
    is_root, maybe_unseen, mono_ns, network, pairs, printed, some_turn, text, time_us, u64_of,
    wait_until,
};

/// Two tracers do not read the clock at the same moment, and from one's program to the other's the CPU may be gone.
const LATE_US: u64 = 100_000;

#[track_caller]
fn start(args: &[&str]) -> Tracer {
    let launch = Launch::here().with_tracefs();
    let mut tracer = Tracer::spawn(&launch, &[&["connlat"], args].concat());
    tracer.wait_ready();
    tracer
}

/// The kernel's own trace of all changes of state.
struct States(Instance);

impl States {
    #[track_caller]
    fn start(ports: [u16; 2]) -> Self {
        let instance = Instance::start(1024);
        let of = |port: &u16| format!("sport == {port} || dport == {port}");
        let filter = ports.iter().map(of).collect::<Vec<_>>().join(" || ");
        instance.write("events/sock/inet_sock_set_state/filter", &filter);
        instance.write("events/sock/inet_sock_set_state/enable", "1");
        States(instance)
    }

    /// Of the clients, which open one connection after the other: how long it took, and whether it came about. `None`:
    /// some lines may have been hidden from programs.
    #[track_caller]
    fn opened(&self) -> Option<Vec<(u64, bool)>> {
        let (mut begun, mut opened) = (None, Vec::new());
        for line in self.0.lines() {
            let Some((head, fields)) = line.split_once(": inet_sock_set_state: ") else { continue };
            if maybe_unseen(head) {
                return None;
            }
            let time = time_us(head).expect("a time");
            let get = |name| pairs(fields).find(|(key, _)| *key == name).expect("a state").1;
            match (get("oldstate"), get("newstate")) {
                ("TCP_CLOSE", "TCP_SYN_SENT") => begun = Some(time),
                ("TCP_SYN_SENT", state) => {
                    let took = time - begun.take().expect("its beginning");
                    opened.push((took, state == "TCP_ESTABLISHED"));
                }
                _ => {}
            }
        }
        Some(opened)
    }
}

/// What the list makes of a field: row's key, as printed; its values, sorted; how many had none.
type Rows = BTreeMap<String, (Vec<u64>, u64)>;

fn expected(events: &[Value], field: &str, keys: &[&str], prefix: Option<(u8, u8)>) -> Rows {
    let mut rows = Rows::new();
    for event in events {
        let column = match (text(event, "type"), event["outcome"].as_str()) {
            ("connect", Some("established")) => ["latency_us", "latency_us"],
            ("connect", _) => ["failed_us", "latency_us"],
            _ if field == "handshake_us" => ["handshake_us", "handshake_us"],
            _ => ["wait_us", "wait_us"],
        };
        if column[0] != field {
            continue;
        }
        let value = |name: &&str| match *name {
            "saddr" | "daddr" => ((*name).to_owned(), network(event, name, prefix)),
            name => (name.to_owned(), event[name].clone()),
        };
        let key: serde_json::Map<String, Value> = keys.iter().map(value).collect();
        let row = rows.entry(Value::Object(key).to_string()).or_default();
        match event[column[1]].as_u64() {
            Some(value) => row.0.push(value),
            None => row.1 += 1,
        }
    }
    rows.values_mut().for_each(|(values, _)| values.sort_unstable());
    rows
}

/// As many values as those, which are sorted, and each as large, but for what a clock that is read a little later makes; most
/// of them hardly.
#[track_caller]
fn check_near(rows: &[&Value], values: &[u64]) {
    let mut all: Vec<((u64, u64), u64)> = rows.iter().flat_map(|row| printed(row)).collect();
    all.sort_unstable();
    let one_each = |((from, to), count): &((u64, u64), u64)| vec![(*from, *to); *count as usize];
    let places: Vec<(u64, u64)> = all.iter().flat_map(one_each).collect();
    assert_eq!(places.len(), values.len(), "{values:?}: {rows:#?}");
    let within = |late: u64| {
        let near = |((from, to), value): &(&(u64, u64), &u64)| {
            *from <= **value + late && **value <= to + late
        };
        places.iter().zip(values).filter(near).count()
    };
    assert_eq!(within(LATE_US), values.len(), "{values:?}: {rows:#?}");
    let hardly = if guest() { 5_000 } else { 500 };
    // Of one or two, all may be late.
    assert!(values.len() < 3 || 2 * within(hardly) >= values.len(), "{values:?}: {rows:#?}");
}

/// Beginnings of every event type, one after the other: some fail, some take a second, some wait. Those that began before the
/// tracers were there are of unknown length.
struct Play {
    fixture: Fixture,
    states: States,
    early: Socket,
}

impl Play {
    /// Of what there is before.
    #[track_caller]
    fn begin() -> Self {
        let mut fixture = Fixture::new();
        fixture.listen();
        let addr = fixture.addr(FAMILIES[0]);
        fixture.client.connect("before", addr);
        let states = States::start([fixture.port, fixture.closed]);
        fixture.silence();
        let early = fixture.client.start_connect("early", addr);
        Play { fixture, states, early }
    }

    #[track_caller]
    fn go_on(&mut self) {
        let Play { fixture, early, .. } = self;
        fixture.speak();
        assert_eq!(fixture.client.outcome("early"), None, "{early:?}");
        fixture.server.accept("before");
        fixture.server.accept("early");
        for family in FAMILIES {
            for _ in 0..5 {
                fixture.connect("quick", family);
            }
            fixture.refused(family);
            let addr = fixture.addr(family);
            fixture.client.connect("waiting", addr);
            let connected = mono_ns();
            wait_until("some time", || mono_ns() - connected > 300_000_000);
            fixture.server.accept("waiting");
        }
        fixture.silence();
        let addr = fixture.addr(FAMILIES[1]);
        fixture.client.start_connect("late", addr);
        fixture.speak();
        assert_eq!(fixture.client.outcome("late"), None);
        fixture.server.accept("late");
    }
}

/// Attempts after the tracers have begun: those that were established, and those that were refused.
const ESTABLISHED: usize = 6 * FAMILIES.len() + 1;
const REFUSED: usize = FAMILIES.len();

/// What it is by, what the keys are, whether addresses are put together, and whose side.
type Case = (&'static [&'static str], &'static [&'static str], Option<(u8, u8)>, &'static [Field]);
type Field = &'static str;
const CLIENT: &[Field] = &["latency_us", "failed_us"];
const SERVER: &[Field] = &["handshake_us", "wait_us"];
const BOTH: &[Field] = &["latency_us", "failed_us", "handshake_us", "wait_us"];
const CASES: [Case; 6] = [
    (&["--histogram"], &[], None, BOTH),
    (&["--histogram", "--interval", "100ms"], &[], None, BOTH),
    (&["--by", "rport", "--side", "client"], &["dport"], None, CLIENT),
    (&["--by", "lport,netns", "--side", "server"], &["netns", "sport"], None, SERVER),
    (&["--by", "raddr", "--prefix", "8", "--prefix6", "64"], &["daddr"], Some((8, 64)), BOTH),
    (&["--by", "laddr,cgroup"], &["cgroup_id", "saddr"], None, BOTH),
];

#[track_caller]
fn check_case(trace: &Trace, list: &[Value], (by, keys, prefix, fields): Case) {
    check_schema(trace);
    let mut reported = 0;
    for field in fields {
        let rows = expected(list, field, keys, prefix);
        for (key, (values, unset)) in &rows {
            let key: Value = serde_json::from_str(key).expect("JSON");
            let of_row = |row: &&Value| row["key"] == key && row["field"] == *field;
            let found: Vec<&Value> = trace.events.iter().filter(of_row).collect();
            let sum = |name: &str| found.iter().map(|row| u64_of(row, name)).sum::<u64>();
            let counts = [sum("count"), sum("unset")];
            assert_eq!(counts, [values.len() as u64, *unset], "{by:?} {field} {key}: {found:#?}");
            // The kernel has measured that, once for all tracers.
            match found[..] {
                [row] if *field == "handshake_us" => check_row(row, values, *unset),
                _ => check_near(&found, values),
            }
            reported += found.len();
        }
    }
    assert_eq!(reported, trace.events.len(), "{by:?}: {:#?}", trace.events);
}

fn check_histograms(reader: &str) {
    need!(is_root(), "not root");
    let once = || {
        let mut play = Play::begin();
        let ports = play.fixture.ports();
        let common = ["-o", "jsonl", "--port", &ports, "--reader", reader];
        let list = start(&[&common[..], &["--all-fields"]].concat());
        let others = CASES.map(|(by, ..)| start(&[&common[..], by].concat()));
        play.go_on();
        let (list, others) = (list.stop(), others.map(Tracer::stop));
        list.check_accounts(&["connect", "accept"]);
        let [connects, accepts] =
            ["connect", "accept"].map(|event_type| list.of_type(event_type).len());
        let counted = |fields: &[Field]| {
            let of = |field, count| if fields.contains(field) { count } else { 0 };
            (of(&"latency_us", connects) + of(&"wait_us", accepts)) as u64
        };
        // An event that was hidden, or whose program was skipped, makes it another turn.
        let reported = others.iter().zip(CASES).all(|(trace, case)| {
            u64_of(&trace.end["aggregate"], "lost") == 0 && trace.aggregated() == counted(case.3)
        });
        let whole = ESTABLISHED + REFUSED + 1 == connects && ESTABLISHED + 2 == accepts;
        let Some(opened) = play.states.opened().filter(|_| reported && whole) else { return false };
        for (trace, case) in others.iter().zip(CASES) {
            check_case(trace, &list.events, case);
        }
        // The first of them had begun before the tracers.
        for (field, established) in [("latency_us", true), ("failed_us", false)] {
            let theirs = opened[1..].iter().filter(|(_, came)| *came == established);
            let mut theirs: Vec<u64> = theirs.map(|(took, _)| *took).collect();
            assert_eq!(theirs.len(), if established { ESTABLISHED } else { REFUSED });
            theirs.sort_unstable();
            let ours: Vec<&Value> =
                others[0].events.iter().filter(|row| row["field"] == field).collect();
            check_near(&ours, &theirs);
        }
        true
    };
    some_turn(once);
}

by_sock_and_raw! {
    check_histograms: histograms_by_sock histograms_by_raw;
}

/// A threshold is one for what is counted, too; what has no room is counted together, each time apart.
#[test]
fn a_threshold_and_what_has_no_room() {
    need!(is_root(), "not root");
    let mut play = Play::begin();
    let ports = play.fixture.ports();
    let common = ["-o", "jsonl", "--port", &ports];
    let list = start(&[&common[..], &["--min", "200ms"]].concat());
    let slow = start(&[&common[..], &["--min", "200ms", "--histogram"]].concat());
    let narrow = start(&[&common[..], &["--by", "lport,rport", "--max-rows", "1"]].concat());
    play.go_on();
    let [list, slow, narrow] = [list, slow, narrow].map(Tracer::stop);
    check_schema(&slow);
    assert_eq!(slow.aggregated(), list.events.len() as u64, "{}", slow.end);
    assert!(
        u64_of(&slow.end["aggregate"], "filtered") >= 5 * FAMILIES.len() as u64,
        "{}",
        slow.end
    );
    for field in BOTH {
        let rows = expected(&list.events, field, &[], None);
        let found = slow.events.iter().find(|row| row["field"] == *field);
        let (values, unset) = rows.get("{}").cloned().unwrap_or_default();
        match found {
            Some(row) => {
                let counts = ["count", "unset"].map(|name| u64_of(row, name));
                assert_eq!(counts, [values.len() as u64, unset], "{field}: {row}");
            }
            None => assert!(values.is_empty() && unset == 0, "no {field}: {values:?}"),
        }
    }

    let (own, rest): (Vec<&Value>, Vec<&Value>) =
        narrow.events.iter().partition(|row| row["key"].is_object());
    assert_eq!((own.len(), rest.len()), (1, BOTH.len()), "{:#?}", narrow.events);
    let fields: Vec<&str> = rest.iter().map(|row| text(row, "field")).collect();
    assert_eq!(fields, BOTH, "{:#?}", narrow.events);
    // An accepted connection has two times.
    let of_events = narrow.events.iter().filter(|row| row["field"] != "wait_us");
    let all: u64 = of_events.map(|row| u64_of(row, "count") + u64_of(row, "unset")).sum();
    assert_eq!(all, narrow.aggregated(), "{:#?}", narrow.events);
}

#[test]
fn people_get_a_picture_of_each_time() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let tracer = start(&["--port", &fixture.ports(), "--histogram", "--unit", "ms"]);
    for family in FAMILIES {
        fixture.connect("a", family);
    }
    let output = tracer.stop_raw();
    assert!(output.status.success(), "{}", output.stderr);
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert!(lines.iter().all(|line| line.chars().count() <= 100), "{}", output.stdout);
    for title in [
        "latency_us: 3 connections opened in ",
        "handshake_us: 3 connections accepted in ",
        "wait_us: 3 connections accepted in ",
    ] {
        let found = lines.iter().filter(|line| line.contains(title)).count();
        assert_eq!(found, 1, "{title}: {}", output.stdout);
    }
    // Nothing failed.
    assert!(!output.stdout.contains("failed_us"), "{}", output.stdout);
    let units = lines.iter().filter(|line| line.trim_start().starts_with("ms  ")).count();
    assert_eq!(units, 3, "{}", output.stdout);
    let bars = lines.iter().filter(|line| line.ends_with('|') && line.contains(" -> "));
    let count = |line: &&&str| -> u64 {
        let words = line.split(':').nth(1).expect("a count").split_whitespace();
        words.clone().next().expect("a count").parse().expect("a number")
    };
    assert_eq!(bars.map(|line| count(&line)).sum::<u64>(), 9, "{}", output.stdout);
}
