//! Numbers as the page shows them: three significant digits, a narrow space between groups and before units.

/// U+202F, which does not break lines.
const SPACE: char = '\u{202f}';

/// With groups of three digits from 1000 on.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(SPACE);
        }
        text.push(digit);
    }
    text
}

/// Three significant digits; whole numbers from 100 on.
#[must_use]
pub fn significant(number: f64) -> String {
    let magnitude = number.abs();
    if magnitude >= 99.95 {
        return count(magnitude.round() as u64);
    }
    let decimals = if magnitude >= 9.995 {
        1
    } else if magnitude >= 0.9995 {
        2
    } else {
        3
    };
    let text = format!("{number:.decimals$}");
    if number == 0.0 { "0".to_owned() } else { text }
}

fn scaled(number: f64, units: &[(f64, &str)]) -> String {
    let last = units.len() - 1;
    // The unit that leaves less than 1000 after rounding.
    let fits = |(scale, _): &&(f64, &str)| number / scale < 999.5;
    let (scale, unit) = units.iter().find(fits).unwrap_or(&units[last]);
    format!("{}{SPACE}{unit}", significant(number / scale))
}

/// In powers of 1000.
#[must_use]
pub fn bytes(number: u64) -> String {
    if number < 1000 {
        return format!("{number}{SPACE}B");
    }
    let units = [(1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB")];
    scaled(number as f64, &units)
}

/// From bits per second.
#[must_use]
pub fn rate(bits_per_second: f64) -> String {
    let units =
        [(1.0, "bit/s"), (1e3, "kbit/s"), (1e6, "Mbit/s"), (1e9, "Gbit/s"), (1e12, "Tbit/s")];
    scaled(bits_per_second, &units)
}

/// From microseconds.
#[must_use]
pub fn time_us(us: f64) -> String {
    scaled(us, &[(1.0, "µs"), (1e3, "ms"), (1e6, "s")])
}

/// From microseconds, with its sign.
#[must_use]
pub fn signed_time_us(us: f64) -> String {
    let sign = if us < 0.0 { "−" } else { "+" };
    format!("{sign}{}", time_us(us.abs()))
}

/// A share of one.
#[must_use]
pub fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.001 {
        return format!("<{SPACE}0.1{SPACE}%");
    }
    format!("{}{SPACE}%", short(share * 100.0))
}

/// Two significant digits below 10.
fn short(number: f64) -> String {
    if number == 0.0 {
        "0".to_owned()
    } else if number < 0.995 {
        format!("{number:.2}")
    } else if number < 99.95 {
        format!("{number:.1}")
    } else {
        format!("{number:.0}")
    }
}

/// `1 packet`, `2 packets`.
#[must_use]
pub fn plural(number: u64, singular: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{}{SPACE}{singular}{end}", count(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let plain = |text: String| text.replace(SPACE, " ");
        assert_eq!(plain(count(1_234_567)), "1 234 567");
        assert_eq!(plain(count(999)), "999");
        let rates = [0.0, 12.0, 999.4, 999.6, 65_400.0, 18_712_000.0, 9.996e9];
        assert_eq!(
            rates.map(rate).map(plain),
            [
                "0 bit/s",
                "12.0 bit/s",
                "999 bit/s",
                "1.00 kbit/s",
                "65.4 kbit/s",
                "18.7 Mbit/s",
                "10.0 Gbit/s"
            ]
        );
        assert_eq!([0, 1448, 5_180_000].map(bytes).map(plain), ["0 B", "1.45 kB", "5.18 MB"]);
        assert_eq!(
            [27_700.0, 0.5, 1_500_000.0].map(time_us).map(plain),
            ["27.7 ms", "0.500 µs", "1.50 s"]
        );
        assert_eq!(
            [0.0, 0.0001, 0.0014, 0.0258, 0.44, 1.0].map(percent).map(plain),
            ["0 %", "< 0.1 %", "0.14 %", "2.6 %", "44.0 %", "100 %"]
        );
        assert_eq!([1, 2].map(|n| plain(plural(n, "packet"))), ["1 packet", "2 packets"]);
    }
}
