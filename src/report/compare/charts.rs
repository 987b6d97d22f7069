//! Pictures of a comparison that do not change: SVG in the page, in the page's colours.

use std::fmt::Write;

use super::Compared;
use crate::report::html::{escape, own};
use crate::report::number;
use crate::report::stats::percentile;

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 74.0;
const BOTTOM: f64 = 24.0;
const TOP: f64 = 8.0;
const RIGHT: f64 = 12.0;

/// Writing to a String does not fail.
macro_rules! put {
    ($($part:tt)*) => {{ let _ = write!($($part)*); }};
}

/// A number on an axis.
type Text = fn(f64) -> String;

/// A chart's axes: from 0 or a smallest number to a largest one.
struct Chart {
    x: (f64, f64),
    y: (f64, f64),
    out: String,
}

/// A step of 1, 2 or 5 times a power of ten, for about that many ticks.
fn step(span: f64, count: f64) -> f64 {
    let raw = (span / count).max(f64::MIN_POSITIVE);
    let power = 10_f64.powf(raw.log10().floor());
    let times = [1.0, 2.0, 5.0, 10.0].into_iter().find(|times| power * times >= raw);
    power * times.unwrap_or(10.0)
}

impl Chart {
    fn new(title: &str, x: (f64, f64), y: (f64, f64), texts: (Text, Text)) -> Self {
        let mut chart = Chart { x, y, out: String::new() };
        put!(
            chart.out,
            "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            own(title)
        );
        for (range, text, is_x) in [(x, texts.0, true), (y, texts.1, false)] {
            let by = step(range.1 - range.0, if is_x { 6.0 } else { 5.0 });
            let mut at = (range.0 / by).ceil() * by;
            while at <= range.1 * 1.000_001 && by > 0.0 && at + by > at {
                if is_x {
                    let x = chart.px(at);
                    put!(
                        chart.out,
                        "<path class=\"grid\" d=\"M{x:.1} {TOP}V{:.1}\"/>",
                        HEIGHT - BOTTOM
                    );
                    put!(
                        chart.out,
                        "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                        HEIGHT - 8.0,
                        own(&text(at))
                    );
                } else {
                    let y = chart.py(at);
                    put!(
                        chart.out,
                        "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{:.1}\"/>",
                        WIDTH - RIGHT
                    );
                    put!(
                        chart.out,
                        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                        LEFT - 6.0,
                        y + 4.0,
                        own(&text(at))
                    );
                }
                at += by;
            }
        }
        chart
    }

    fn px(&self, x: f64) -> f64 {
        LEFT + (x - self.x.0) / (self.x.1 - self.x.0) * (WIDTH - LEFT - RIGHT)
    }

    fn py(&self, y: f64) -> f64 {
        HEIGHT - BOTTOM - (y - self.y.0) / (self.y.1 - self.y.0) * (HEIGHT - TOP - BOTTOM)
    }

    /// A mark: a shape of its own for each label.
    fn mark(&mut self, label: usize, x: f64, y: f64, title: &str) {
        let (x, y) = (self.px(x), self.py(y));
        let class = label % 6;
        put!(self.out, "<g class=\"run r{class}\"><title>{}</title>", own(title));
        match label % 3 {
            0 => put!(self.out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>"),
            1 => put!(
                self.out,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"8\" height=\"8\"/>",
                x - 4.0,
                y - 4.0
            ),
            _ => put!(self.out, "<path d=\"M{x:.1} {:.1}l5 9h-10z\"/>", y - 5.0),
        }
        self.out.push_str("</g>");
    }

    fn text(&mut self, label: usize, x: f64, y: f64, text: &str) {
        // Names of points that are close to each other.
        let (x, y) = (self.px(x), self.py(y) + 12.0 * (label % 3) as f64);
        // At the right border, the text stands before the point.
        let (x, anchor) = if x > WIDTH - 110.0 { (x - 8.0, "end") } else { (x + 8.0, "start") };
        put!(
            self.out,
            "<text class=\"name r{}\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
            label % 6,
            y + 4.0,
            own(text)
        );
    }

    fn finish(mut self) -> String {
        self.out.push_str("</svg>");
        self.out
    }
}

/// Shares of samples with at most that RTT, a line for each run.
#[must_use]
pub fn rtt_cdf(all: &[Compared<'_>], label: impl Fn(&Compared<'_>) -> usize) -> String {
    let least = all.iter().filter_map(|one| one.score.rtts.first()).min();
    let most = all.iter().filter_map(|one| percentile(&one.score.rtts, 0.999)).max();
    let (Some(least), Some(most)) = (least, most) else { return String::new() };
    let (from, to) = (*least as f64, (most as f64).max(*least as f64 * 1.01 + 1.0));
    let pad = (to - from) * 0.04;
    let texts: (Text, Text) = (number::time_us, number::percent);
    let title = "Share of samples with at most that RTT";
    let mut chart = Chart::new(title, ((from - pad).max(0.0), to + pad), (0.0, 1.0), texts);
    for one in all {
        let (rtts, at) = (&one.score.rtts, label(one));
        let mut path = String::new();
        for share in (0..=400).map(|part| f64::from(part) / 400.0) {
            let Some(us) = percentile(rtts, share) else { continue };
            let pen = if path.is_empty() { 'M' } else { 'L' };
            let (x, y) = (chart.px((us as f64).min(to)), chart.py(share));
            put!(path, "{pen}{x:.1} {y:.1}");
        }
        put!(chart.out, "<path class=\"line r{}\" d=\"{path}\"/>", at % 6);
        for (share, name) in [(0.5, "50"), (0.95, "95"), (0.99, "99")] {
            let Some(us) = percentile(rtts, share) else { continue };
            let text = number::time_us(us as f64);
            chart.mark(at, us as f64, share, &format!("{}: {name} % below {text}", one.label));
        }
    }
    // Names in different heights, so that similar lines do not hide them.
    for (place, one) in all.iter().enumerate() {
        let share = 0.5 - 0.12 * (place % 4) as f64;
        if let Some(us) = percentile(&one.score.rtts, share) {
            chart.text(label(one), us as f64, share, &one.label);
        }
    }
    chart.finish()
}

/// A point for each run: up and left is better.
#[must_use]
pub fn goodput_against_rtt(all: &[Compared<'_>], label: impl Fn(&Compared<'_>) -> usize) -> String {
    let points: Vec<(f64, f64, &Compared<'_>)> = all
        .iter()
        .filter_map(|one| Some((one.score.srtt_us?[2], one.score.goodput?, one)))
        .collect();
    let most = |of: fn(&(f64, f64, &Compared<'_>)) -> f64| {
        points.iter().map(of).fold(0.0, f64::max) * 1.12
    };
    let (x, y) = (most(|point| point.0), most(|point| point.1));
    if x <= 0.0 || y <= 0.0 {
        return String::new();
    }
    let title = "Goodput against the 95th percentile of RTT";
    let mut chart = Chart::new(title, (0.0, x), (0.0, y), (number::time_us, number::rate));
    for (rtt, goodput, one) in points {
        let title = format!(
            "{}: {} at {}",
            escape(&one.label),
            number::rate(goodput),
            number::time_us(rtt)
        );
        chart.mark(label(one), rtt, goodput, &title);
        chart.text(label(one), rtt, goodput, &one.label);
    }
    chart.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        assert_eq!([step(10.0, 5.0), step(97.0, 6.0), step(0.3, 5.0)], [2.0, 20.0, 0.1]);
        assert!(step(0.0, 5.0) > 0.0);
    }
}
