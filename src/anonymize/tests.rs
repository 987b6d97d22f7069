//! Properties of the permutation, and of records.

use proptest::prelude::*;

use super::*;
use crate::decode::Event;
use crate::events::fields::{FIELD_GROUPS, FieldGroups};
use crate::events::{EVENT_TYPES, Types};
use crate::skel::{Head, ProbeFullRecord};
use crate::slot::Form;
use crate::table::{Moment, Origin, Value};

fn anonymizer(ports: bool) -> Anonymizer {
    let key: [u8; 32] = std::array::from_fn(|i| i as u8);
    Anonymizer::new(&Key::new(key).unwrap(), ports, &RecordLayout::new(FieldGroups::ALL))
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The bits that two addresses have in common, from the first on; of different families, `None`.
fn common(a: IpAddr, b: IpAddr) -> Option<u32> {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => Some((a.to_bits() ^ b.to_bits()).leading_zeros()),
        (IpAddr::V6(a), IpAddr::V6(b)) => Some((a.to_bits() ^ b.to_bits()).leading_zeros()),
        _ => None,
    }
}

/// Any address, one that is near a special one, or one that is near `other`.
fn near(other: IpAddr) -> impl Strategy<Value = IpAddr> {
    (any::<u128>(), 0..=128_u32).prop_map(move |(noise, keep)| match other {
        IpAddr::V4(other) => {
            let mask = u32::MAX.checked_shr(keep / 4).unwrap_or(0);
            IpAddr::V4((other.to_bits() ^ noise as u32 & mask).into())
        }
        IpAddr::V6(other) => {
            let mask = u128::MAX.checked_shr(keep).unwrap_or(0);
            IpAddr::V6((other.to_bits() ^ noise & mask).into())
        }
    })
}

const SEEDS: &[&str] = &[
    "10.1.2.3",
    "192.168.7.9",
    "203.0.113.5",
    "127.0.0.1",
    "224.0.0.1",
    "0.0.0.0",
    "2001:db8::1",
    "fe80::1",
    "ff02::1",
    "::1",
    "fd00::1",
    "::ffff:0:1",
];

fn pair() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    (0..SEEDS.len())
        .prop_flat_map(|at| near(address(SEEDS[at])))
        .prop_flat_map(|one| (Just(one), near(one)))
}

fn is_special(ip: IpAddr) -> [bool; 4] {
    let link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    [ip.is_unspecified(), ip.is_loopback(), ip.is_multicast(), link_local]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn prefixes_are_kept_and_no_more((one, two) in pair()) {
        let mut anonymizer = anonymizer(false);
        let (one, two) = (one.to_canonical(), two.to_canonical());
        let (other_one, other_two) = (anonymizer.address(one), anonymizer.address(two));
        prop_assert_eq!(common(one, two), common(other_one, other_two), "{} {}: {} {}", one, two, other_one, other_two);
        prop_assert_eq!(one == two, other_one == other_two);
        prop_assert_eq!(is_special(one), is_special(other_one), "{}: {}", one, other_one);
    }
}

#[test]
fn special_addresses_stay() {
    let mut anonymizer = anonymizer(false);
    for same in
        ["0.0.0.0", "127.0.0.1", "127.1.2.3", "224.0.0.1", "239.9.9.9", "::", "::1", "ff02::1"]
    {
        assert_eq!(anonymizer.address(address(same)), address(same));
    }
    // All others are others, of the same family.
    for (before, prefix) in [
        ("10.1.2.3", None),
        ("192.168.7.9", None),
        ("203.0.113.5", None),
        ("2001:db8::1:2:3", None),
        ("fe80::5054:ff:fe12:3456", Some("fe80::")),
    ] {
        let [before, after] = [address(before), anonymizer.address(address(before))];
        assert!(before != after && before.is_ipv4() == after.is_ipv4(), "{before}: {after}");
        if let Some(prefix) = prefix {
            assert!(common(after, address(prefix)) >= Some(10), "{after}");
        }
    }
    // By another key, they are others still.
    let other = Key::new(std::array::from_fn(|i| 99 - i as u8)).unwrap();
    let mut by_other = Anonymizer::new(&other, false, &RecordLayout::default());
    let ip = address("203.0.113.5");
    assert!(by_other.address(ip) != anonymizer.address(ip));
}

#[test]
fn every_port_has_another_number() {
    let anonymizer = anonymizer(true);
    let ports = anonymizer.ports.as_ref().unwrap();
    assert_eq!(ports[0], 0);
    let mut sorted = ports.clone();
    sorted.sort_unstable();
    assert!(sorted.iter().enumerate().all(|(at, &port)| at == usize::from(port)));
    let same = ports.iter().enumerate().filter(|(at, port)| *at == usize::from(**port)).count();
    assert!(same < 12, "{same}: about one by chance, and 0");
}

/// A record of that length, in which no two parts are alike, with addresses and names.
fn record(event_type: usize, len: usize, seed: u8) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len).map(|at| (at as u8).wrapping_mul(31) ^ seed | 1).collect();
    let head = Head {
        mono_ns: 7,
        cookie: 9,
        saddr: octets(address("203.0.113.77")),
        daddr: octets(address("2001:db8:77::77")),
        sport: 4711,
        dport: 443,
        event_type: event_type as u8,
        len: len as u16,
        flags: 0,
    };
    bytes[..size_of::<Head>()].copy_from_slice(crate::skel::bytes(&head));
    for column in (EVENT_TYPES[event_type].columns)() {
        if let Origin::Slot(slot) = column.origin
            && slot.form == Form::Text
            && slot.end() <= len
        {
            bytes[slot.offset.into()..slot.end()].fill(0);
            bytes[slot.offset.into()..][..6].copy_from_slice(b"secret");
        }
    }
    bytes
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn nothing_of_the_original_is_left_in_a_record() {
    let types = Types::default();
    let kept = ["ca_name", "qdisc"];
    for (number, event_type) in EVENT_TYPES.iter().enumerate() {
        for len in [event_type.record.size, event_type.record.longest] {
            let before = record(number, len, 3);
            let mut after = before.clone();
            let mut anonymizer = anonymizer(true);
            anonymizer.record(&mut after);
            for secret in
                [&octets(address("203.0.113.77"))[12..], &octets(address("2001:db8:77::77"))]
            {
                assert!(has(&before, secret) && !has(&after, secret), "{}", event_type.name);
            }
            let moment = |ns: u64| Moment::Wall(ns.cast_signed());
            let [before, after] =
                [&before, &after].map(|bytes| Event::decode(bytes, &types, moment).unwrap());
            for column in (event_type.columns)() {
                let [old, new] = [before.value(column), after.value(column)];
                match (column.name, old) {
                    ("saddr" | "daddr", Value::Ip(ip)) => {
                        assert_eq!(new, Value::Ip(anonymizer.address(ip)));
                        assert_ne!(new, old);
                    }
                    ("sport" | "dport", _) => assert_ne!(new, old, "{}", column.name),
                    ("cgroup_id", _) => assert_eq!(new, Value::Null),
                    (name, Value::Name(_)) if !kept.contains(&name) => {
                        assert!(matches!(new, Value::Null | Value::Name(b"")), "{name}: {new:?}");
                    }
                    // All else is as it was.
                    (name, _) => assert_eq!(new, old, "{}: {name}", event_type.name),
                }
            }
        }
    }
}

/// A record with some field groups has its owner's name elsewhere.
#[test]
fn a_short_record_is_anonymized_in_its_own_places() {
    let groups = |names: &[&str]| {
        let columns = (EVENT_TYPES[0].columns)();
        FieldGroups::of(columns.into_iter().filter(|column| names.contains(&column.name)))
    };
    let full = record(0, size_of::<ProbeFullRecord>(), 5);
    for names in
        [&["rto_us", "comm"][..], &["rto_us", "snd_wscale"], &["comm", "cgroup_id", "ca_name"]]
    {
        let layout = RecordLayout::new(groups(names));
        let mut short = vec![0; layout.record_len().into()];
        for (at, byte) in full.iter().enumerate() {
            if let Some(to) = layout.locate(at) {
                short[to] = *byte;
            }
        }
        let len = layout.record_len().to_ne_bytes();
        let at = std::mem::offset_of!(Head, len);
        short[at..at + 2].copy_from_slice(&len);
        let key = Key::new(std::array::from_fn(|i| i as u8)).unwrap();
        let mut anonymizer = Anonymizer::new(&key, false, &layout);
        let mut whole = full.clone();
        anonymizer.record(&mut whole);
        anonymizer.record(&mut short);
        for (offset, byte) in
            whole.iter().enumerate().filter(|(offset, _)| !(at..at + 2).contains(offset))
        {
            if let Some(to) = layout.locate(offset) {
                assert_eq!(short[to], *byte, "{offset} of {names:?}");
            }
        }
    }
    assert!(FIELD_GROUPS.iter().any(|group| group.name == "owner"));
}

proptest! {
    #[test]
    fn any_bytes_are_safe(mut bytes in proptest::collection::vec(any::<u8>(), 0..700), number in any::<u8>()) {
        if let Some(event_type) = bytes.get_mut(std::mem::offset_of!(Head, event_type)) {
            *event_type = number % 24;
        }
        anonymizer(true).record(&mut bytes);
    }
}

/// As it does records: by the same permutation, whole addresses and networks.
#[test]
fn rows_of_summaries_are_anonymized() {
    use crate::table::summary::{Form, Line, Summary, SummarySchema};
    use crate::table::{Column, Set, Type, Unit};

    const fn column(name: &'static str, ty: Type) -> Column {
        let (unit, set, origin) = (Unit::None, Set::Standard, Origin::Aggregate);
        Column { name, ty, unit, set, doc: "", source: "", need: None, origin }
    }
    static KEY: [Column; 7] = [
        column("cookie", Type::Unsigned),
        column("saddr", Type::Address),
        column("sport", Type::Unsigned),
        column("daddr", Type::Address),
        column("cgroup_id", Type::Unsigned),
        column("comm", Type::Text),
        column("ca_name", Type::Text),
    ];
    static EVENTS: Column = column("events", Type::Unsigned);
    let shape = SummarySchema {
        command: "retrans",
        key: KEY.iter().collect(),
        columns: vec![&EVENTS],
        form: Form::Lines(Vec::new()),
    };
    let whole = address("10.1.2.3");
    let row = |network| Line {
        key: Some(vec![
            Value::U64(4711),
            Value::Ip(whole),
            Value::U64(443),
            Value::Str(network),
            Value::U64(99),
            Value::Name(b"sekret"),
            Value::Name(b"bbr"),
        ]),
        values: vec![Value::U64(5)],
        buckets: Vec::new(),
    };
    let rest = Line { key: None, values: vec![Value::U64(7)], buckets: Vec::new() };
    let lines = vec![row("10.1.2.0/24"), row("2001:db8::/32"), row("10.0.0.0/99"), rest];
    let time = Moment::Elapsed(0);
    let title = "rows".to_owned();
    let summary = Summary { shape: &shape, time, interval_ns: 1, title, lines };
    let mut anonymizer = anonymizer(true);
    let (hidden, port) = (anonymizer.address(whole), anonymizer.port(443));
    let IpAddr::V4(v4) = hidden else { panic!("{hidden}") };
    let v4 = format!("{}/24", std::net::Ipv4Addr::from(v4.to_bits() & !255));
    let IpAddr::V6(v6) = anonymizer.address(address("2001:db8::77")) else { panic!("no IPv6") };
    let v6 = format!("{}/32", Ipv6Addr::from(v6.to_bits() >> 96 << 96));
    let mut passed = false;
    anonymizer.summary(&summary, |found| {
        passed = true;
        for (line, network) in found.lines.iter().zip([Some(&v4), Some(&v6), None]) {
            let network = network.map_or(Value::Null, |network| Value::Str(network));
            let wanted = [
                Value::U64(4711),
                Value::Ip(hidden),
                Value::U64(port),
                network,
                Value::Null,
                Value::Name(b""),
                Value::Name(b"bbr"),
            ];
            assert_eq!(line.key.as_deref(), Some(&wanted[..]));
            assert_eq!(line.values, [Value::U64(5)]);
        }
        assert!(found.lines[3].key.is_none() && found.lines[3].values == [Value::U64(7)]);
    });
    assert!(passed && port != 443);
}
