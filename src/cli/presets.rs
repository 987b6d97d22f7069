//! Expressions with names, for `observe --trigger`.

use std::fmt::Write;

use crate::config::summary::Metric;

pub struct Preset {
    pub name: &'static str,
    pub expr: &'static str,
    /// Whose event types have its fields.
    pub metric: Metric,
    meaning: &'static str,
}

#[rustfmt::skip]
pub static PRESETS: [Preset; 9] = [
    preset("rtt-jump", "srtt_us > 200ms", Metric::Rtt, "the smoothed RTT is high; choose a time that is above that of your paths"),
    preset("retransmit-burst", "retrans_out >= 5", Metric::Rtt, "five retransmitted segments are on their way at a time"),
    preset("rto", "class == \"rto\"", Metric::Retransmits, "the retransmission timer retransmits"),
    preset("cwnd-collapse", "snd_cwnd <= 2", Metric::Rtt, "the congestion window is that of a connection after a timeout"),
    preset("zero-window", "phase == \"begin\"", Metric::ZeroWindows, "a window closes, the peer's or the local one"),
    preset("reset", "type in (\"reset_sent\", \"reset_received\")", Metric::Resets, "a RST is sent or received"),
    preset("drop", "type == \"drop\"", Metric::Drops, "a packet is dropped"),
    preset("slow-connect", "latency_us > 1s", Metric::Connlat, "a connection takes a second to open, or fails after it"),
    preset("stall", "backoff >= 2", Metric::Rtt, "something arrives after the timer has been doubled twice: nothing was acknowledged meanwhile"),
];

const fn preset(
    name: &'static str,
    expr: &'static str,
    metric: Metric,
    meaning: &'static str,
) -> Preset {
    Preset { name, expr, metric, meaning }
}

/// The preset of that name.
#[must_use]
pub fn of(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

/// A line for each: its name, its expression, what it means.
#[must_use]
pub fn list() -> String {
    let width = |of: fn(&Preset) -> usize| PRESETS.iter().map(of).max().unwrap_or(0);
    let (names, exprs) = (width(|preset| preset.name.len()), width(|preset| preset.expr.len()));
    let mut text = String::new();
    for Preset { name, expr, meaning, .. } in &PRESETS {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:names$}  {expr:exprs$}  {meaning}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predicate::Predicate;

    #[test]
    fn each_is_an_expression_and_documented() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/observe.md");
        let page = std::fs::read_to_string(page).unwrap();
        for Preset { name, expr, .. } in &PRESETS {
            assert!(Predicate::parse_of("--trigger", expr).is_ok(), "{name}");
            assert!(page.contains(&format!("| `{name}` | `{expr}` |")), "{name}");
            assert_eq!(of(name).map(|preset| preset.expr), Some(*expr));
        }
        assert!(of("srtt_us > 1s").is_none());
    }
}
