//! Formats times. The date is computed once per second, as there are many events in a second.

use time::OffsetDateTime;

use crate::table::Moment;

/// Formats moments, and caches the last second.
pub struct TimeFormat {
    second: Option<i64>,
    text: [u8; 19],
}

impl Default for TimeFormat {
    fn default() -> Self {
        TimeFormat { second: None, text: *b"1970-01-01T00:00:00" }
    }
}

const NANOS: i64 = 1_000_000_000;

impl TimeFormat {
    /// RFC 3339 in UTC, or seconds for a clock without a date; with nine decimals.
    pub fn full(&mut self, moment: Moment, out: &mut Vec<u8>) {
        match moment {
            Moment::Wall(ns) => {
                out.extend_from_slice(self.second(ns));
                fraction(ns.rem_euclid(NANOS), 9, out);
                out.push(b'Z');
            }
            Moment::Elapsed(ns) => elapsed(ns, 9, out),
        }
    }

    /// The time of day, or seconds; with six decimals.
    pub fn short(&mut self, moment: Moment, out: &mut Vec<u8>) {
        match moment {
            Moment::Wall(ns) => {
                out.extend_from_slice(&self.second(ns)[11..]);
                fraction(ns.rem_euclid(NANOS), 6, out);
            }
            Moment::Elapsed(ns) => elapsed(ns, 6, out),
        }
    }

    /// Date and time of a wall-clock time, without its fraction.
    pub fn second(&mut self, ns: i64) -> &[u8; 19] {
        let second = ns.div_euclid(NANOS);
        if self.second != Some(second) {
            self.second = Some(second);
            let t =
                OffsetDateTime::from_unix_timestamp(second).unwrap_or(OffsetDateTime::UNIX_EPOCH);
            let text = format!(
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
                t.year(),
                u8::from(t.month()),
                t.day(),
                t.hour(),
                t.minute(),
                t.second()
            );
            // All 64-bit times in nanoseconds have a year of four digits.
            self.text = text.as_bytes().try_into().unwrap_or(self.text);
        }
        &self.text
    }
}

fn elapsed(ns: i64, digits: usize, out: &mut Vec<u8>) {
    if ns < 0 {
        out.push(b'-');
    }
    let ns = ns.unsigned_abs();
    out.extend_from_slice(itoa::Buffer::new().format(ns / NANOS.unsigned_abs()).as_bytes());
    fraction((ns % NANOS.unsigned_abs()).cast_signed(), digits, out);
}

/// A dot and the first of nine digits.
fn fraction(ns: i64, digits: usize, out: &mut Vec<u8>) {
    let mut text = *b".000000000";
    let mut rest = ns;
    for digit in text[1..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&text[..=digits]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(moment: Moment) -> String {
        let mut out = Vec::new();
        TimeFormat::default().full(moment, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn moments_are_rfc3339_or_seconds() {
        assert_eq!(full(Moment::Wall(1_767_225_600_000_000_007)), "2026-01-01T00:00:00.000000007Z");
        assert_eq!(full(Moment::Wall(-1)), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(full(Moment::Elapsed(1_500_000_000)), "1.500000000");
        assert_eq!(full(Moment::Elapsed(-1)), "-0.000000001");
    }

    #[test]
    fn the_short_form_is_the_time_of_day() {
        let mut out = Vec::new();
        TimeFormat::default().short(Moment::Wall(1_767_225_661_123_456_789), &mut out);
        assert_eq!(out, b"00:01:01.123456");
    }
}
