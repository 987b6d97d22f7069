//! Results of assertions, and texts that are none.

use super::parse::Wrong;
use super::tally::{Ending, Tally};
use super::*;

fn parse(text: &str) -> Assertion {
    Assertion::parse(text).unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"))
}

fn mistake(text: &str) -> String {
    match Assertion::parse(text) {
        Ok(assertion) => panic!("{assertion:?}"),
        Err(Wrong::Assertion(message)) => message,
        Err(Wrong::Condition(mistake)) => mistake.message,
    }
}

#[test]
fn limits_are_in_the_unit_of_the_field() {
    for (text, value, per) in [
        ("p99(srtt_us) < 20ms", 20_000.0, 1000.0),
        ("max(srtt_us)<=0.5 s", 500_000.0, 1e6),
        ("mean(srtt_us) > 800", 800.0, 1.0),
        ("min(pacing_rate) >= 1.5Mbit/s", 187_500.0, 125_000.0),
        ("sum(retransmit.segs) == 0", 0.0, 1.0),
        ("p50(connect.latency_us) < 1min", 60e6, 60e6),
    ] {
        let limit = parse(text).limit;
        assert!((limit.value - value).abs() < 1e-6 && (limit.per - per).abs() < 1e-6, "{text}");
    }
    assert!(matches!(parse("rate(retransmit) < 0.1%").measure, Measure::RetransmittedShare));
    assert!(matches!(parse("rate(retransmit) < 2/s").measure, Measure::PerSecond(_)));
    let condition = parse("count(drop where reason == \"X)\" && (dport == 1)) == 0").condition;
    assert_eq!(condition.map(|of| of.text).as_deref(), Some("reason == \"X)\" && (dport == 1)"));
}

#[test]
fn mistakes_say_what_to_write() {
    for (text, part) in [
        ("srtt_us < 20ms", "expected MEASURE(FIELD) < LIMIT"),
        ("p99(srtt_us < 20ms", "no `)` ends"),
        ("p99(srtt_us) 20ms", "expected <, <=,"),
        ("p99(srtt_us) < ", "expected a number"),
        ("p99(srtt_us) < 1.2.3", "expected a number"),
        ("p0(srtt_us) < 1", "unknown measure `p0`"),
        ("p101(srtt_us) < 1", "unknown measure"),
        ("avg(srtt_us) < 1", "use count, rate, min"),
        ("p99(srtt_us) < 20kB", "`srtt_us` is a time, and the limit is a number of bytes"),
        ("p99(comm) < 1", "is not a number"),
        ("p99(nothing) < 1", "no event type has a field `nothing`"),
        ("count(retransmits) == 0", "did you mean `retransmit`?"),
        ("count(drop) < 5ms", "without a unit"),
        ("rate(drop) < 5%", "a share of segments is rate(retransmit)"),
        ("rate(drop) < 5", "per second (5/s)"),
        ("count(drop where nonsense nonsense) == 0", "assert: "),
    ] {
        let message = mistake(text);
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn a_relation_holds_if_it_does_for_all_of_a_range() {
    let limit = 10.0;
    for (relation, range, holds) in [
        (Relation::Less, (1.0, 9.0), Some(true)),
        (Relation::Less, (1.0, 10.0), None),
        (Relation::Less, (10.0, 12.0), Some(false)),
        (Relation::LessOrEqual, (1.0, 10.0), Some(true)),
        (Relation::Greater, (11.0, f64::INFINITY), Some(true)),
        (Relation::GreaterOrEqual, (f64::NEG_INFINITY, 9.0), Some(false)),
        (Relation::Equal, (10.0, 10.0), Some(true)),
        (Relation::Equal, (9.0, 11.0), None),
        (Relation::Equal, (11.0, 12.0), Some(false)),
        (Relation::NotEqual, (11.0, 12.0), Some(true)),
        (Relation::NotEqual, (10.0, 10.0), Some(false)),
    ] {
        assert_eq!(relation.holds(range, limit), holds, "{relation:?} {range:?}");
    }
}

#[test]
fn values_are_short() {
    for (value, text) in
        [(0.0, "0"), (13.185, "13.185"), (20.0, "20"), (0.000_041, "0.000041"), (0.312_04, "0.312")]
    {
        assert_eq!(short(value), text);
    }
}

/// Without any event, and with some lost.
fn finding(text: &str, lost: &[(&'static str, u64)]) -> Finding {
    let ending = Ending { duration_ns: 2_000_000_000, lost: lost.iter().copied().collect() };
    Tally::default().finding(&parse(text), &ending)
}

#[test]
fn lost_events_may_decide() {
    let none = finding("count(drop) == 0", &[("probe", 9)]);
    assert_eq!(none.to_string(), "pass: count(drop) == 0: 0 of drop events");
    let lost = finding("count(drop) == 0", &[("drop", 3)]);
    let text =
        "undecided: count(drop) == 0: 0 of drop events; 3 events were lost, which may decide";
    assert_eq!(lost.to_string(), text);
    assert_eq!(finding("count(drop) < 4", &[("drop", 3)]).result, Outcome::Pass);
    assert_eq!(finding("rate(drop) < 2/s", &[("drop", 3)]).result, Outcome::Pass);
    assert!(matches!(finding("rate(drop) < 1/s", &[("drop", 3)]).result, Outcome::Undecided(_)));
}

#[test]
fn nothing_measured_decides_nothing() {
    for text in ["p99(srtt_us) < 20ms", "max(srtt_us) > 1", "rate(retransmit) < 1%"] {
        let finding = finding(text, &[]);
        let why = Outcome::Undecided("nothing was measured".to_owned());
        assert_eq!((finding.result, finding.value), (why, None), "{text}");
    }
}
