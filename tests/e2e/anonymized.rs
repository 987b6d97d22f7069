//! `--anonymize`: beside a trace of the same traffic, which has the original values.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::{
    Launch, Lossy, RIGHT, Tcc, TempDir, Trace, Tracer, compared, is_root, text, u64_of,
};

const EVENT_TYPES: [&str; 5] = ["probe", "state", "retransmit", "drop", "queue"];
/// Columns that are replaced.
const REPLACED: [&str; 7] = ["saddr", "daddr", "sport", "dport", "comm", "dev", "cgroup_id"];

fn run(lossy: &mut Lossy) {
    lossy.listen();
    for family in RIGHT {
        lossy.connect("a", family);
        lossy.client.transfer("a", &mut lossy.server, 200_000);
        lossy.client.close("a");
        lossy.server.close("a");
    }
    lossy.pair.settle();
}

/// A connection's addresses and ports.
type Ends = (IpAddr, IpAddr, u64, u64);

fn addresses(trace: &Trace) -> BTreeMap<u64, Ends> {
    let mut ends = BTreeMap::new();
    for event in trace.of_type("probe") {
        let ip = |column: &str| text(event, column).parse().expect("an address");
        let of = (ip("saddr"), ip("daddr"), u64_of(event, "sport"), u64_of(event, "dport"));
        let before = ends.insert(u64_of(event, "cookie"), of);
        assert!(before.is_none_or(|before| before == of), "a connection keeps its ends: {event}");
    }
    ends
}

fn common(a: IpAddr, b: IpAddr) -> Option<u32> {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => Some((a.to_bits() ^ b.to_bits()).leading_zeros()),
        (IpAddr::V6(a), IpAddr::V6(b)) => Some((a.to_bits() ^ b.to_bits()).leading_zeros()),
        _ => None,
    }
}

#[test]
fn addresses_and_names_are_replaced_and_nothing_else() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let path = dir.path().join("site.key");
    let mut lossy = Lossy::new();
    let ports = lossy.ports();
    let args = ["-a", "--port", &ports];
    let key_file = path.to_str().expect("UTF-8");
    let anonymous = ["--anonymize", "--anonymize-key", key_file];
    let types = EVENT_TYPES.join(",");
    let here = Launch::here().with_tracefs();
    let original = Tracer::events_in(&here, &types, &args);
    let one = Tracer::events_in(&here, &types, &[&args[..], &anonymous].concat());
    let all = [&args[..], &anonymous, &["--anonymize-ports"]].concat();
    let two = Tracer::events_in(&here, &types, &all);
    // Filters and conditions are of the original values.
    let of = ["--raddr", "10.0.0.2", "--where", "daddr == 10.0.0.2"];
    let filtered = Tracer::events_in(&here, &types, &[&args[..], &["--anonymize"], &of].concat());
    run(&mut lossy);
    let [original, one, two, filtered] = [original, one, two, filtered].map(Tracer::stop);
    for trace in [&original, &one, &two, &filtered] {
        trace.check_account();
    }
    assert_eq!(fs::metadata(&path).expect("the key").permissions().mode() & 0o777, 0o600);

    // Everything but the replaced columns is equal, event by event of each connection, apart from times.
    let mut values = 0;
    for event_type in ["retransmit", "state"] {
        let [a, b] = [&original, &one].map(|trace| trace.of_type(event_type));
        assert_eq!(a.len(), b.len(), "{event_type}");
        for (a, b) in a.iter().zip(&b) {
            assert_eq!(a["cookie"], b["cookie"]);
            for (name, value) in a.as_object().expect("an object") {
                let timed = name == "time" || name.ends_with("_ns") || name.ends_with("_us");
                if !timed && !REPLACED.contains(&name.as_str()) {
                    assert_eq!(value, &b[name], "{event_type}: {name}");
                    values += 1;
                }
            }
        }
    }
    compared(original.events.len(), values);
    let comms: Vec<&str> = original.events.iter().filter_map(|e| e["comm"].as_str()).collect();
    assert!(comms.iter().any(|comm| !comm.is_empty()));
    for event in one.events.iter().chain(&two.events) {
        for name in ["comm", "dev"] {
            assert!(event.get(name).is_none_or(|value| value.is_null() || value == ""), "{event}");
        }
        assert!(event["cgroup_id"].is_null(), "{event}");
    }
    // Nothing of the addresses is left, in any column.
    let secret = ["10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2", "eth0"];
    for trace in [&one, &two, &filtered] {
        for event in &trace.events {
            let line = event.to_string();
            assert!(secret.iter().all(|secret| !line.contains(&format!("\"{secret}\""))), "{line}");
        }
    }
    // Networks and connections are as before; with the same key, they are the same in both traces.
    let [before, after, with_ports] = [&original, &one, &two].map(addresses);
    assert!(
        before.len() >= 6 && before.keys().eq(after.keys()) && before.keys().eq(with_ports.keys())
    );
    let ends: Vec<(&Ends, &Ends)> =
        before.iter().map(|(cookie, ends)| (ends, &after[cookie])).collect();
    for (one, other) in &ends {
        assert_eq!((one.2, one.3), (other.2, other.3), "ports stay");
        for (two, other_two) in &ends {
            for (a, b, c, d) in
                [(one.0, two.0, other.0, other_two.0), (one.0, two.1, other.0, other_two.1)]
            {
                assert_eq!(common(a, b), common(c, d), "{a} {b}: {c} {d}");
            }
        }
    }
    for (cookie, (saddr, daddr, sport, dport)) in &with_ports {
        assert_eq!((*saddr, *daddr), (after[cookie].0, after[cookie].1));
        let (.., old_sport, old_dport) = before[cookie];
        assert!((old_sport, old_dport) != (*sport, *dport), "{cookie}");
    }
    let chosen = addresses(&filtered);
    assert!(
        !chosen.is_empty()
            && chosen.keys().all(|cookie| before[cookie].1 == IpAddr::from([10, 0, 0, 2]))
    );
    assert!(chosen.iter().all(|(cookie, ends)| ends.1 != after[cookie].1), "of a random key");
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let path = dir.path().join("site.key");
    fs::write(&path, format!("{}\n", "0123456789abcdef".repeat(4))).expect("a file");
    let refused = |mode: u32, what: &str| {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        let key_file = path.to_str().expect("UTF-8");
        let output = Tcc::probe()
            .option("--port", "1")
            .flag("--anonymize")
            .option("--anonymize-key", key_file)
            .run();
        assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
        assert!(output.stderr.contains(what), "{}", output.stderr);
    };
    refused(0o644, "others than its owner");
    refused(0o600, "not a key");
}

/// The rows have the sums of those that are not anonymized, and the recording beside them has none of the addresses either.
#[test]
fn a_summary_is_anonymized_with_its_recording() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let [key, file] = ["site.key", "rows.tcc"].map(path);
    let mut lossy = Lossy::new();
    let ports = lossy.ports();
    let here = Launch::here().with_tracefs();
    let start = |more: &[&str]| {
        let args = ["retrans", "--by", "conn", "-i", "1h", "-o", "jsonl", "--port", &ports];
        let mut tracer = Tracer::spawn(&here, &[&args[..], more].concat());
        tracer.wait_ready();
        tracer
    };
    let original = start(&[]);
    let anonymous = start(&["--anonymize", "--anonymize-key", &key, "-w", &file]);
    lossy.lose_one(1);
    run(&mut lossy);
    let [original, anonymous] = [original, anonymous].map(|tracer| {
        let trace = tracer.stop_raw();
        assert!(trace.status.success(), "{}", trace.stderr);
        trace.trace().events
    });
    assert!(!original.is_empty() && original.len() == anonymous.len());
    let row = |rows: &[Value], cookie: &Value| {
        rows.iter().find(|row| row["cookie"] == *cookie).cloned().expect("a row")
    };
    for a in &original {
        let b = row(&anonymous, &a["cookie"]);
        for (name, value) in a.as_object().expect("an object") {
            if !["key", "time", "interval_ns"].contains(&name.as_str()) {
                assert_eq!(value, &b[name], "{name}: {a} {b}");
            }
        }
        for name in ["saddr", "daddr"] {
            assert!(a["key"][name] != b["key"][name] && b["key"][name].is_string(), "{a} {b}");
        }
    }
    let read = ["events", "all", "-q", "-o", "jsonl", "-r", &file];
    let recorded = Tracer::spawn(&Launch::here(), &read).wait_raw();
    assert!(recorded.status.success(), "{}", recorded.stderr);
    let mut seen = 0;
    let all = recorded.trace().events;
    for event in all.iter().filter(|event| event["type"] == "retransmit") {
        let ends = ["saddr", "daddr", "sport", "dport"];
        let is_of = |row: &Value| ends.iter().all(|name| row["key"][*name] == event[*name]);
        assert!(anonymous.iter().any(is_of), "{event}: {anonymous:?}");
        seen += 1;
    }
    assert!(seen > 0);
}

/// A recording that is anonymized as it is made is the one that is made of another one later, with the same key; and a trigger is of
/// the original values.
#[test]
fn a_recording_is_anonymized_as_it_is_made() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let [key, plain, live, later, flight] =
        ["site.key", "plain.tcc", "live.tcc", "later.tcc", "flight.tcc"].map(path);
    let mut lossy = Lossy::new();
    let ports = lossy.ports();
    let here = Launch::here().with_tracefs();
    let key = ["--anonymize", "--anonymize-key", &key];
    let with_where = format!("sport in ({ports}) || dport in ({ports}) || daddr == 10.0.0.2");
    let start = |fields: &[&str], file: &str, more: &[&str]| {
        let args = ["--port", &ports, "-w", file, "-o", "jsonl"];
        let args = [&["events", "probe,state,retransmit,drop"], &args[..], fields, more].concat();
        let mut tracer = Tracer::spawn(&here, &args);
        tracer.wait_ready();
        tracer
    };
    // With some of the field groups, records are shorter, and their owner's name is elsewhere.
    let some =
        ["--fields", "time,mono_ns,cookie,saddr,daddr,comm,cgroup_id,netns,rttvar_us,ca_name"];
    let tracers = [
        start(&["-a"], &plain, &[]),
        start(&some, &live, &[&key[..], &["--where", &with_where]].concat()),
        start(
            &["-a"],
            &flight,
            &["--anonymize", "--flight=1min", "--trigger=type == 'state' && daddr == 10.0.0.2"],
        ),
    ];
    run(&mut lossy);
    let mut tracers = tracers;
    tracers[2].wait_for_line("tcc-trace: sealed ");
    let [original, printed, _] = tracers.map(Tracer::stop);
    let read = |file: &str, args: &[&str]| {
        let args = [&["-r", file, "events", "all", "-o", "jsonl"], args].concat();
        Tracer::spawn(&Launch::here(), &args).wait()
    };
    // What was printed is what was recorded.
    assert_eq!(read(&live, &some).events, printed.events);
    let convert = ["convert", &plain, "--to", "tcc", "-w", &later];
    let output = Tracer::spawn(&Launch::here(), &[&convert[..], &key].concat()).wait_raw();
    assert!(output.status.success(), "{}", output.stderr);
    let [before, one, two] = [&plain, &live, &later].map(|file| addresses(&read(file, &["-a"])));
    assert!(before.len() >= 6 && before == addresses(&original));
    assert!(one == two && one.keys().eq(before.keys()));
    assert!(before.iter().all(|(cookie, ends)| ends.0 != one[cookie].0));
    // Both can be read together, as they are of one boot.
    let together = [&live, "-r", &later, "--where", "type == 'probe'"];
    let together = read(together[0], &together[1..]);
    assert!(together.events.len() > one.len() * 2);

    let name = std::process::Command::new("uname").arg("-n").output().expect("uname").stdout;
    let name = String::from_utf8(name).expect("UTF-8").trim().to_owned();
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("an ID");
    let files = fs::read_dir(dir.path()).expect("files").map(|file| file.expect("a file").path());
    let mut checked = 0;
    for file in files.filter(|file| file.extension().is_some_and(|of| of == "tcc")) {
        let info =
            Tracer::spawn(&Launch::here(), &["info", "-o", "jsonl", file.to_str().expect("UTF-8")]);
        let info = info.wait_raw().stdout;
        let found = |text: &str| info.contains(&format!("\"{text}\""));
        let is_plain = file.ends_with("plain.tcc");
        assert_eq!(found(&name) || name.is_empty(), is_plain, "{info}");
        assert_eq!(found(boot_id.trim()), is_plain, "{info}");
        let path = file.to_str().expect("UTF-8").to_owned();
        let events = read(&path, &["-a"]).events;
        let named =
            events.iter().filter(|event| event["comm"].as_str().is_some_and(|c| !c.is_empty()));
        assert_eq!(named.count() > 0, is_plain, "{path}");
        assert!(is_plain || !info.contains("--where") && !info.contains("10.0.0.2"), "{info}");
        checked += 1;
    }
    assert_eq!(checked, 4, "a flight recorder has sealed one");
}
