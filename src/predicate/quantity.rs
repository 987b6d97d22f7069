//! Numbers with units. All are whole numbers times a power of ten, so that conversions are exact.

use crate::suggest;
use crate::table;

/// Powers of bytes and seconds, and the power of ten of the unit itself: microseconds are 10^-6 seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    pub bytes: i8,
    pub seconds: i8,
    pub exponent: i8,
}

const fn unit(bytes: i8, seconds: i8, exponent: i8) -> Unit {
    Unit { bytes, seconds, exponent }
}

const TIME: Unit = unit(0, 1, 0);
const BYTES: Unit = unit(1, 0, 0);
const RATE: Unit = unit(1, -1, 0);

impl Unit {
    /// That of a field's numbers; those of packets and of events are numbers without a unit.
    #[must_use]
    pub fn of(unit: table::Unit) -> Self {
        match unit {
            table::Unit::Nanoseconds => Unit { exponent: -9, ..TIME },
            table::Unit::Microseconds => Unit { exponent: -6, ..TIME },
            table::Unit::Bytes => BYTES,
            table::Unit::BytesPerSecond => RATE,
            table::Unit::None
            | table::Unit::Segments
            | table::Unit::Sequence
            | table::Unit::Count
            | table::Unit::Jiffies
            | table::Unit::Percent => Unit::default(),
        }
    }

    /// Whether numbers of both can be compared and added.
    #[must_use]
    pub fn is_like(self, other: Unit) -> bool {
        (self.bytes, self.seconds) == (other.bytes, other.seconds)
    }

    /// A number without a unit.
    #[must_use]
    pub fn is_plain(self) -> bool {
        self.is_like(Unit::default())
    }

    /// That of a product (`sign` 1) or a quotient (-1). `None` for powers that nobody needs.
    #[must_use]
    pub fn times(self, other: Unit, sign: i8) -> Option<Unit> {
        if other.is_plain() {
            return Some(self);
        }
        let bytes = self.bytes + sign * other.bytes;
        let seconds = self.seconds + sign * other.seconds;
        let known = bytes.abs() <= 1 && seconds.abs() <= 1;
        let exponent = if self.is_plain() && sign > 0 { other.exponent } else { 0 };
        known.then_some(Unit { bytes, seconds, exponent })
    }

    /// `a time`.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match (self.bytes, self.seconds) {
            (0, 0) => "a number without a unit",
            (0, 1) => "a time",
            (1, 0) => "a number of bytes",
            (1, -1) => "a rate in bytes/s",
            _ => "a number of another unit",
        }
    }
}

/// A number as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Literal {
    pub digits: i128,
    /// The number is `digits` times ten to this power, in bytes and seconds if it has a unit.
    pub exponent: i8,
    /// `None`: it takes the unit of what it is compared with.
    pub unit: Option<Unit>,
}

/// Name, factor and power of ten.
const TIMES: &[(&str, u32, i8)] =
    &[("ns", 1, -9), ("us", 1, -6), ("ms", 1, -3), ("s", 1, 0), ("min", 60, 0), ("h", 3600, 0)];
const SIZES: &[(&str, u32, i8)] = &[
    ("B", 1, 0),
    ("kB", 1, 3),
    ("MB", 1, 6),
    ("GB", 1, 9),
    ("TB", 1, 12),
    ("KiB", 1 << 10, 0),
    ("MiB", 1 << 20, 0),
    ("GiB", 1 << 30, 0),
];
/// Of a second only.
const BITS: &[(&str, u32, i8)] =
    &[("bit", 125, -3), ("kbit", 125, 0), ("Mbit", 125, 3), ("Gbit", 125, 6)];

/// Whether `/s` after it is part of the unit.
pub(super) fn is_of_rates(name: &str) -> bool {
    SIZES.iter().chain(BITS).any(|(known, ..)| *known == name)
}

impl Literal {
    /// With the unit of that name, or one of a second. The error is a message.
    pub(crate) fn with_unit(self, name: &str, per_second: bool) -> Result<Self, String> {
        let find = |list: &[(&str, u32, i8)], unit| {
            let found = list.iter().find(|(known, ..)| *known == name);
            found.map(|&(_, factor, exponent)| (unit, factor, exponent))
        };
        let found = if per_second {
            find(SIZES, RATE).or_else(|| find(BITS, RATE))
        } else {
            find(TIMES, TIME).or_else(|| find(SIZES, BYTES))
        };
        let Some((unit, factor, exponent)) = found else {
            return Err(unknown(name, per_second));
        };
        Ok(Literal {
            digits: self.digits * i128::from(factor),
            exponent: self.exponent + exponent,
            unit: Some(unit),
        })
    }
}

fn unknown(name: &str, per_second: bool) -> String {
    if BITS.iter().any(|(known, ..)| *known == name) {
        return format!("unknown unit `{name}`; did you mean `{name}/s`?");
    }
    let lists: [&[_]; 2] = if per_second { [SIZES, BITS] } else { [TIMES, SIZES] };
    let known: Vec<&str> = lists.into_iter().flatten().map(|(known, ..)| *known).collect();
    let other_case = known.iter().find(|known| known.eq_ignore_ascii_case(name));
    let all = format!("use {}", known.join(", "));
    let hint = match other_case {
        Some(known) => format!("did you mean `{known}`?"),
        None => suggest::did_you_mean(name, known, &all),
    };
    format!("unknown unit `{name}`; {hint}")
}

/// Ten to that power, if it is small enough.
#[must_use]
pub fn power_of_ten(exponent: i16) -> Option<i128> {
    10_i128.checked_pow(u32::try_from(exponent).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(digits: i128, exponent: i8) -> Literal {
        Literal { digits, exponent, unit: None }
    }

    #[test]
    fn units_are_exact() {
        let with = |name, per_second| literal(15, -1).with_unit(name, per_second).unwrap();
        assert_eq!(with("ms", false), Literal { digits: 15, exponent: -4, unit: Some(TIME) });
        assert_eq!(with("min", false), Literal { digits: 900, exponent: -1, unit: Some(TIME) });
        assert_eq!(with("MB", false), Literal { digits: 15, exponent: 5, unit: Some(BYTES) });
        assert_eq!(with("KiB", true), Literal { digits: 15_360, exponent: -1, unit: Some(RATE) });
        assert_eq!(with("bit", true), Literal { digits: 1875, exponent: -4, unit: Some(RATE) });
    }

    #[test]
    fn unknown_units_have_a_hint() {
        let error = |name| literal(1, 0).with_unit(name, false).unwrap_err();
        assert_eq!(error("mb"), "unknown unit `mb`; did you mean `MB`?");
        assert_eq!(error("Mbit"), "unknown unit `Mbit`; did you mean `Mbit/s`?");
        assert!(error("parsecs").contains("use ns, us"), "{}", error("parsecs"));
    }

    #[test]
    fn products_have_units() {
        let us = Unit { exponent: -6, ..TIME };
        assert_eq!(RATE.times(us, 1), Some(BYTES));
        assert_eq!(us.times(us, -1), Some(Unit::default()));
        assert_eq!(us.times(Unit::default(), 1), Some(us));
        assert_eq!(Unit::default().times(us, 1), Some(us));
        assert_eq!(BYTES.times(us, -1), Some(RATE));
        assert_eq!(BYTES.times(BYTES, 1), None);
    }
}
