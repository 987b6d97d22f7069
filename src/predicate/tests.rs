use super::field::Class;
use super::*;
use crate::decode::Event;
use crate::environment::Environment;
use crate::events::fields::{FieldGroups, RecordLayout};
use crate::events::{EVENT_TYPES, event_type};
use crate::skel::{Head, HeadFlag, Presence, ProbeFullRecord, RetransmitRecord, bytes};
use crate::table::Moment;

fn of(names: &[&str]) -> Vec<&'static EventType> {
    names.iter().map(|name| event_type(name).unwrap()).collect()
}

fn environment() -> Environment {
    let layout = RecordLayout::new(FieldGroups::ALL);
    let mut environment = Environment { layout, ..Environment::default() };
    environment.types.reset_reasons =
        [(1, "NO_SOCKET".to_owned()), (7, "TCP_STATE".to_owned())].into();
    environment
}

fn mistake(text: &str, names: &[&str]) -> Mistake {
    let parsed = Predicate::parse(text);
    let types = environment().types;
    parsed.and_then(|parsed| parsed.check(&of(names), Some(&types))).map(drop).unwrap_err()
}

/// Retransmissions have this message, with these characters underlined.
#[track_caller]
fn wrong(text: &str, message: &str, underlined: &str) {
    let Mistake { message: found, excerpt } = mistake(text, &["retransmit"]);
    assert_eq!(found, format!("--where: {message}"));
    let lines: Vec<&str> = excerpt.lines().collect();
    let (from, to) = (lines[1].find('^').unwrap(), lines[1].len());
    assert_eq!(lines[0].get(from..to), Some(underlined), "{excerpt}");
}

fn compiled(text: &str, names: &[&str]) -> Compiled {
    let (event_types, environment) = (of(names), environment());
    let checked = Predicate::parse(text).unwrap().check(&event_types, Some(&environment.types));
    checked
        .unwrap_or_else(|error| panic!("{error}\n{}", error.excerpt))
        .compile(&event_types, &environment)
}

fn head<R>(name: &str) -> Head {
    let event_type = event_type(name).unwrap();
    Head { event_type: event_type.number, len: size_of::<R>() as u16, ..Head::default() }
}

/// Whether it holds, as user space has it.
#[track_caller]
fn matches(text: &str, record: &[u8]) -> bool {
    let environment = environment();
    let event = Event::decode(record, &environment.types, |_| Moment::Wall(0)).unwrap();
    let event_types = [event.event_type()];
    let checked = Predicate::parse(text).unwrap().check(&event_types, Some(&environment.types));
    let checked = checked.unwrap_or_else(|error| panic!("{error}\n{}", error.excerpt));
    Compiled::in_user_space(&checked, &environment).matches(&event)
}

fn retransmit() -> RetransmitRecord {
    let mut record = RetransmitRecord::default();
    record.event.head = head::<RetransmitRecord>("retransmit");
    record.event.head.saddr = std::net::Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().octets();
    record.event.head.daddr = std::net::Ipv4Addr::new(192, 0, 2, 9).to_ipv6_mapped().octets();
    (record.event.head.sport, record.event.head.dport) = (8080, 443);
    record.event.tcp.present = Presence::TCC_SOCK_PRESENT.0 as u8;
    record.event.tcp.snd_cwnd = 10;
    record.event.tcp.snd_ssthresh = 7;
    record.event.tcp.srtt_us = 1500;
    record.event.tcp.bytes_acked = 2_000_000;
    record.err = -16;
    record.class = 2;
    record
}

#[test]
fn each_operator_has_its_meaning() {
    let record = retransmit();
    for (text, expected) in [
        ("snd_cwnd == 10", true),
        ("snd_cwnd != 10", false),
        ("snd_cwnd < 11 && snd_cwnd > 9 && snd_cwnd <= 10 && snd_cwnd >= 10", true),
        ("10 < snd_cwnd", false),
        ("snd_cwnd > 9.5", true),
        ("snd_cwnd == 10.5", false),
        ("snd_cwnd != 10.5", true),
        ("srtt_us == 1500 && srtt_us == 1500us && srtt_us == 1.5ms", true),
        ("srtt_us > 1499ns && srtt_us < 1501000ns", true),
        ("srtt_us in 1ms-2ms", true),
        ("bytes_acked >= 2MB && bytes_acked > 1MiB && bytes_acked < 2MiB", true),
        ("lport in (80, 8000-8999)", true),
        ("lport not in (80, 8000-8999)", false),
        ("sport in 80", false),
        ("raddr in 192.0.2.0/24 && laddr == 10.0.0.1 && daddr != saddr", true),
        ("raddr in (10.0.0.0/8, 2001:db8::/32)", false),
        ("raddr in ::/0 && raddr in 0.0.0.0/0 && raddr == '192.0.2.9'", true),
        ("class == 'rto'", true),
        ("class in ('fast', 'rto') && class != 'fast'", true),
        ("'rto' != class", false),
        ("err == -16 && err < 0 && err in -20--10", true),
        ("family == 'ipv4'", true),
        ("snd_cwnd > snd_ssthresh && !(snd_cwnd > 2 * snd_ssthresh)", true),
        ("snd_cwnd - snd_ssthresh == 3 && snd_cwnd / 4 == 2.5", true),
        ("-snd_cwnd < -9", true),
        ("bytes_acked / srtt_us > 1GB/s && bytes_acked / srtt_us < 10Gbit/s", false),
        ("bytes_acked / srtt_us < 1334MB/s && bytes_acked / srtt_us > 1333MB/s", true),
        ("type == 'retransmit' && !(type != 'retransmit')", true),
        ("type == 'retransmit' || snd_cwnd > 10", true),
        ("true && !false", true),
        ("snd_cwnd > 10 || (class == 'rto' && lport == 8080)", true),
    ] {
        assert_eq!(matches(text, bytes(&record)), expected, "{text}");
    }
}

#[test]
fn a_comparison_with_null_never_holds_nor_does_its_negation() {
    let mut record = retransmit();
    record.event.tcp.srtt_us = 0;
    record.event.tcp.snd_ssthresh = 0x7fff_ffff;
    let holds = |text: &str| matches(text, bytes(&record));
    for text in [
        "srtt_us > 1ms",
        "srtt_us <= 1ms",
        "srtt_us != 5",
        "srtt_us in (0, 5)",
        "srtt_us not in (0, 5)",
        "snd_ssthresh + 1 > 0",
        "snd_cwnd > snd_ssthresh",
        "snd_cwnd / (snd_cwnd - 10) > 0",
        "comm == 'a'",
        "comm != 'a'",
        "srtt_us is not null",
        "pid is not null",
    ] {
        assert!(!holds(text), "{text}");
        assert!(!holds(&format!("!({text})")) || text.contains("null"), "!({text})");
        assert!(!holds(&format!("({text}) && true")), "{text}");
        assert!(holds(&format!("{text} || snd_cwnd == 10")), "{text}");
        assert!(!holds(&format!("!({text} || snd_cwnd == 10)")), "{text}");
    }
    assert!(holds("srtt_us is null && snd_ssthresh is null && pid is null && comm is null"));
    assert!(holds("!(srtt_us is not null)") && !holds("!(srtt_us is null)"));
    // Without counters, all of them are null.
    record.event.tcp.present = 0;
    assert!(matches("snd_cwnd is null && state is null && uid is null", bytes(&record)));
    assert!(!matches("snd_cwnd == 10 || snd_cwnd != 10", bytes(&record)));
}

#[test]
fn an_event_type_without_the_field_does_not_match() {
    let names = ["state", "retransmit"];
    let record = retransmit();
    let environment = environment();
    let event = Event::decode(bytes(&record), &environment.types, |_| Moment::Wall(0)).unwrap();
    for (text, expected) in [
        ("old_state == 'ESTABLISHED'", false),
        ("!(old_state == 'ESTABLISHED')", false),
        ("old_state is null", false),
        ("!(old_state is null)", false),
        ("old_state is null || class == 'rto'", true),
        ("type == 'state' || class == 'rto'", true),
        ("old_state == 'CLOSE' && class == 'rto'", false),
    ] {
        let checked = Predicate::parse(text).unwrap().check(&of(&names), None).unwrap();
        let compiled = Compiled::in_user_space(&checked, &environment);
        assert_eq!(compiled.matches(&event), expected, "{text}");
    }
}

#[test]
fn addresses_that_tcp_disconnect_has_cleared_are_null() {
    let mut record = retransmit();
    record.event.head.saddr = [0; 16];
    let holds = |record: &RetransmitRecord, text: &str| matches(text, bytes(record));
    assert!(holds(&record, "saddr == :: && saddr in ::/0 && saddr is not null && saddr != ::1"));
    record.event.head.flags |= HeadFlag::TCC_HEAD_WIPED.0 as u8;
    assert!(holds(&record, "saddr is null && daddr is null"));
    assert!(!holds(&record, "saddr in ::/0 || saddr != ::1 || daddr == 192.0.2.9 || daddr != ::"));
}

#[test]
fn mistakes_name_what_is_wrong_and_where() {
    wrong("srt_us > 1", "unknown field `srt_us` of retransmit; did you mean `srtt_us`?", "srt_us");
    wrong("class == \"tro\"", "`class` is never \"tro\"; did you mean `rto`?", "\"tro\"");
    wrong("class == rto", "unknown field `rto`; write a text in quotes: \"rto\"", "rto");
    wrong("snd_wnd > 100ms", "`snd_wnd` is a number of bytes, but `100ms` is a time", "100ms");
    wrong("lport == 65536", "out of range: `lport` is from 0 to 65535", "65536");
    wrong("srtt_us > 2h", "out of range: `srtt_us` is from 0 to 4294967295 us", "2h");
    wrong("class < 'a'", "`<` cannot be applied to text; use ==, != or in", "class < 'a'");
    wrong(
        "old_state == 'CLOSE'",
        "`old_state` is a field of state events, which are not requested",
        "old_state",
    );
    wrong(
        "snd_cwnd == 'x'",
        "`snd_cwnd` is a number and cannot be compared with `'x'`, which is text",
        "'x'",
    );
    wrong("class == 5", "`class` is text and cannot be compared with `5`, which is a number", "5");
    wrong(
        "type == 'state'",
        "no event of type \"state\" is traced; traced here: retransmit",
        "'state'",
    );
    wrong(
        "snd_cwnd && true",
        "`snd_cwnd` is a number, not a condition; compare it, as in `snd_cwnd > 0`",
        "snd_cwnd",
    );
    wrong("5 in 6", "`in` needs a field before it", "5");
    wrong("class + 1 > 2", "`class` is text; only numbers can be calculated with", "class");
    wrong("srtt_us * srtt_us > 2", "the result has a unit that no field has", "srtt_us * srtt_us");
    wrong(
        "class in ('rto', 'x y z')",
        "`class` is never \"x y z\"; use other, fast, rto, slow_start, tlp, syn",
        "'x y z'",
    );
    wrong(
        "class has 'rto'",
        "`has` needs a field of several flags, such as `flags`, before it",
        "class",
    );
    wrong("5 is null", "only a field can be null", "5");
}

/// Names of this kernel's enums are known only when its types are.
#[test]
fn names_of_the_kernel_are_checked_against_it() {
    let event_types = of(&["reset_sent"]);
    let predicate = Predicate::parse("reason == 'NO_SOKET'").unwrap();
    assert!(predicate.check(&event_types, None).is_ok());
    let error = mistake("reason == 'NO_SOKET'", &["reset_sent"]);
    assert!(error.message.ends_with("did you mean `NO_SOCKET`?"), "{error}");
}

#[test]
fn the_kernel_decides_what_it_can() {
    let sides = |text: &str, name: &str| compiled(text, &[name]).parts.remove(0).sides;
    assert_eq!(
        sides("snd_cwnd < 10 && class == 'rto'", "retransmit"),
        [Side::Kernel(2), Side::Kernel(1)]
    );
    assert_eq!(sides("raddr in 10.0.0.0/8", "probe"), [Side::Kernel(2)], "and it was not cleared");
    assert_eq!(
        sides("cc == 'bbr' && ca_state == 'Loss'", "probe"),
        [Side::Kernel(1), Side::Kernel(1)]
    );
    assert_eq!(
        sides("type == 'probe' && snd_cwnd is null", "probe"),
        [Side::Always(true), Side::Always(false)]
    );
    for text in [
        "family == 'ipv4'",
        "snd_cwnd > 2 * snd_ssthresh",
        "snd_cwnd == snd_ssthresh",
        "bbr.mode == 'DRAIN'",
    ] {
        let names: &[&str] = if text.starts_with("snd") { &["retransmit"] } else { &["probe"] };
        assert!(matches!(sides(text, names[0])[..], [Side::User(_)]), "{text}");
    }
    // A disjunction goes to one side as a whole.
    assert!(matches!(sides("snd_cwnd < 10 || snd_nxt == snd_una", "probe")[..], [Side::User(_)]));
    // What finds no room is left to user space.
    let many: Vec<String> = (0..40).map(|port| format!("{}", 2 * port)).collect();
    let text = format!("lport not in ({}) && snd_cwnd > 1", many.join(","));
    assert!(matches!(sides(&text, "probe")[..], [Side::User(_), Side::Kernel(1)]));
}

#[test]
fn event_types_share_terms() {
    let names = ["state", "retransmit", "destroy", "cong_state"];
    let compiled = compiled("snd_cwnd < 10 && raddr in 10.0.0.0/8", &names);
    assert_eq!(compiled.steps().len(), 4);
    let starts: Vec<u8> = compiled.starts().map(|(_, start)| start).collect();
    assert_eq!(starts, [1; 4]);
}

/// An expression compares a field of several event types with one constant.
#[test]
fn columns_of_one_name_are_alike() {
    let all = || EVENT_TYPES.iter().flat_map(|of| (of.columns)());
    for column in all() {
        let alike =
            |other: &&Column| (Class::of(column), column.unit) == (Class::of(other), other.unit);
        let others = all().filter(|other| other.name == column.name);
        // That of a retransmission is a number, with those of the kernel's own code among them.
        assert!(
            others.into_iter().all(|other| alike(&other)) || column.name == "err",
            "{}",
            column.name
        );
    }
    let error = mistake("err == 'ETIMEDOUT'", &["retransmit", "connect"]);
    let complaint = "--where: `err` is a number in retransmit events, and text in connect events; request only one of the two";
    assert_eq!(error.message, complaint);
}

#[test]
fn any_field_can_be_tested_for_null() {
    let record =
        ProbeFullRecord { head: head::<ProbeFullRecord>("probe"), ..ProbeFullRecord::default() };
    for column in (event_type("probe").unwrap().columns)() {
        let [null, not_null] = ["is null", "is not null"]
            .map(|test| matches(&format!("{} {test}", column.name), bytes(&record)));
        assert!(null != not_null, "{}", column.name);
    }
}
