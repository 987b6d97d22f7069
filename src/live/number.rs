//! Numbers as the screen shows them: three digits and a unit.

/// Bytes per second as bits per second: `9.43M`, `940k`, `12`.
#[must_use]
pub fn bits(bytes_per_second: u64) -> String {
    scaled(bytes_per_second as f64 * 8.0)
}

/// A count: `1.20k`.
#[must_use]
pub fn count(number: u64) -> String {
    if number < 10_000 { number.to_string() } else { scaled(number as f64) }
}

/// Microseconds: `431us`, `12.3ms`, `1.20s`.
#[must_use]
pub fn micros(us: u64) -> String {
    match us {
        0..1_000 => format!("{us}us"),
        1_000..1_000_000 => format!("{}ms", digits(us as f64 / 1e3)),
        _ => format!("{}s", digits(us as f64 / 1e6)),
    }
}

fn scaled(number: f64) -> String {
    let units = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    match units.iter().find(|(unit, _)| number >= unit * 0.9995) {
        Some((unit, name)) => format!("{}{name}", digits(number / unit)),
        None => format!("{number:.0}"),
    }
}

/// Three significant digits.
fn digits(number: f64) -> String {
    if number >= 99.95 {
        format!("{number:.0}")
    } else if number >= 9.995 {
        format!("{number:.1}")
    } else {
        format!("{number:.2}")
    }
}

/// The end of a scale that has room for that value: 1, 2 or 5 times a power of ten.
#[must_use]
pub fn ceiling(value: f64) -> f64 {
    if !value.is_finite() || value <= 1.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    steps.iter().map(|step| step * power).find(|end| *end >= value).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_a_unit() {
        let shown: Vec<String> = [0, 1, 125, 1_250, 12_500, 117_500_000, u64::MAX].map(bits).into();
        assert_eq!(shown, ["0", "8", "1.00k", "10.0k", "100k", "940M", "147573953T"]);
        let shown: Vec<String> =
            [0, 999, 1_000, 12_345, 999_999, 1_000_000, 90_000_000].map(micros).into();
        assert_eq!(shown, ["0us", "999us", "1.00ms", "12.3ms", "1000ms", "1.00s", "90.0s"]);
        assert_eq!([9_999, 10_000, 2_500_000].map(count), ["9999", "10.0k", "2.50M"]);
    }

    #[test]
    fn a_scale_ends_at_a_round_number() {
        assert_eq!(
            [0.0, 1.0, 7.0, 42.0, 100.0, 101.0].map(ceiling),
            [1.0, 1.0, 8.0, 50.0, 100.0, 150.0]
        );
        assert_eq!(ceiling(f64::NAN), 1.0);
    }
}
