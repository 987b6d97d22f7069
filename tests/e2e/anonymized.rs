//! `--anonymize`: beside a trace of the same traffic, which has the original values.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;

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
    let output = Tcc::command("rtt").flag("--anonymize").run();
    assert_eq!(output.status.code(), Some(2), "{}", output.stderr);
    assert!(output.stderr.contains("--anonymize cannot be used with `rtt`"), "{}", output.stderr);
}
