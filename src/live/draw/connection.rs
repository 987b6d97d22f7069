//! One connection: its state in numbers, charts, strips of states and losses, and its last events.

use std::cmp::Reverse;

use anstyle::AnsiColor;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};

use super::chart::{Chart, Curve, Dots, MARGIN};
use super::{Theme, footer, frozen, put, put_all};
use crate::events::names::CA_STATES;
use crate::live::app::{App, Shown};
use crate::live::history::{Bin, History, Series};
use crate::live::number;
use crate::live::rows::end;
use crate::summary::limits::columns::SHARES;
use crate::table::summary::Share;

const SECOND_NS: u64 = 1_000_000_000;
/// A letter for each congestion-control state.
const LETTERS: [char; 5] = ['\u{2500}', 'd', 'c', 'R', 'L'];

const KEYS: &[(&str, &str)] = &[
    ("Esc", "back"),
    ("[ ]", "other connection"),
    ("+ -", "time"),
    ("\u{2191}\u{2193}", "events"),
    ("f", "freeze"),
    (", .", "step"),
    ("w", "write"),
    ("?", "help"),
    ("q", "quit"),
];

/// Draws it.
pub fn draw(app: &App, shown: &Shown, theme: Theme, now_ns: u64, area: Rect, buf: &mut Buffer) {
    let history = shown.history.borrow();
    let now_ns = app.view_ns(now_ns);
    title(app, shown, theme, area, buf);
    facts(shown, history.samples_until(now_ns), theme, area, buf);
    let head = 3;
    let strips = 4;
    let free = area.height.saturating_sub(head + strips + 2);
    // A fifth of what is left is for events; charts have the rest.
    let charts = (free / 3).clamp(1, 3);
    let each = (free.saturating_sub((free / 5).clamp(3, 12)) / charts).max(3);
    let span_ns = app.span_s() * SECOND_NS;
    let dots = usize::from(area.width.saturating_sub(MARGIN + 1)) * 2;
    let window =
        Window { history: &history, from_ns: now_ns.saturating_sub(span_ns), to_ns: now_ns, dots };
    let all = [window.windows(), window.times(), window.rates()];
    let mut y = head;
    for chart in all.iter().take(charts.into()) {
        chart.draw(theme, Rect { y: area.y + y, height: each, ..area }, buf);
        y += each;
    }
    y = window.strips(theme, area, y, app.span_s(), buf);
    let room = area.height.saturating_sub(y + 1);
    events(app, &history, now_ns, theme, Rect { y: area.y + y, height: room, ..area }, buf);
    footer(app, theme, KEYS, area, buf);
}

fn title(app: &App, shown: &Shown, theme: Theme, area: Rect, buf: &mut Buffer) {
    let row = &shown.row;
    let state = match (shown.ended, shown.is_later) {
        (true, _) => "ended",
        (_, true) => "not yet open",
        _ => row.state(),
    };
    let texts = [
        (row.process() + "   ", theme.bold()),
        (end(row.local()), theme.color(Color::Cyan)),
        (" \u{2192} ".to_owned(), theme.dim()),
        (end(row.peer()), theme.color(Color::Cyan)),
        (format!("   {state}   "), if shown.ended { theme.alarm() } else { Style::new() }),
        (row.cc(), theme.color(Color::Green).patch(theme.bold())),
    ];
    put_all(buf, area, 0, &texts);
    let x = frozen(app, theme, area, buf);
    if app.lost > 0 {
        let text = format!(" {} events lost ", app.lost);
        put(buf, area, x.saturating_sub(text.len() as u16), 0, &text, theme.alarm());
    }
}

/// Numbers that no chart has.
fn facts(shown: &Shown, samples: u64, theme: Theme, area: Rect, buf: &mut Buffer) {
    let row = &shown.row;
    let tcp = &row.last.event.tcp;
    let unsent = tcp.write_seq.wrapping_sub(tcp.snd_nxt);
    let unsent = if unsent > i32::MAX as u32 { 0 } else { unsent };
    let pairs = [
        ("tx", number::bits(row.tx_rate) + "bit/s"),
        ("rx", number::bits(row.rx_rate) + "bit/s"),
        ("retransmitted", format!("{} (+{})", tcp.total_retrans, row.retrans)),
        ("lost now", tcp.lost_out.to_string()),
        ("unsent", format!("{}B", number::count(unsent.into()))),
        ("peer window", format!("{}B", number::count(tcp.snd_wnd.into()))),
        ("acked", format!("{}B", number::count(tcp.bytes_acked))),
        ("received", format!("{}B", number::count(tcp.bytes_received))),
        ("samples", number::count(samples)),
        ("cookie", format!("{:#x}", row.cookie())),
    ];
    let (mut x, mut y) = (0, 1);
    for (name, value) in pairs {
        let len = (name.len() + value.len() + 1) as u16;
        if x + len > area.width {
            (x, y) = (0, y + 1);
        }
        if y > 2 {
            break;
        }
        x = put(buf, area, x, y, name, theme.dim());
        x = put(buf, area, x + 1, y, &value, theme.bold()) + 3;
    }
}

/// A time of a history, in columns of dots.
struct Window<'h> {
    history: &'h History,
    from_ns: u64,
    to_ns: u64,
    dots: usize,
}

impl Window<'_> {
    fn parts(&self, count: usize) -> Vec<Bin> {
        self.history.parts(self.from_ns, self.to_ns, count)
    }

    /// A state, which holds until the next sample.
    fn held(&self, parts: &[Bin], series: Series) -> Vec<Dots> {
        let mut before = self.history.before(series, self.from_ns).map(|value| value as f64);
        let dots = |part: &Bin| {
            if part.samples > 0 {
                let extent = part.values[series as usize];
                before = extent.map(|extent| extent.last as f64);
                return extent.map(|e| (e.min as f64, e.max as f64, e.last as f64));
            }
            before.map(|value| (value, value, value))
        };
        parts.iter().map(dots).collect()
    }

    /// What was added, per second. Nothing is known of the time before the first sample, nor of what samples do not have.
    fn rate(&self, parts: &[Bin], known: bool, of: fn(&Bin) -> u64) -> Vec<Dots> {
        let width_ns = (self.to_ns - self.from_ns) / parts.len().max(1) as u64;
        let first = known.then_some(self.history.first_ns).flatten().unwrap_or(u64::MAX);
        let rate = |(at, part): (usize, &Bin)| {
            let until = self.from_ns + width_ns * (at as u64 + 1);
            let rate = of(part) as f64 * SECOND_NS as f64 / width_ns.max(1) as f64;
            (until > first).then_some((rate, rate, rate))
        };
        parts.iter().enumerate().map(rate).collect()
    }

    fn curve(
        &self,
        parts: &[Bin],
        name: &'static str,
        series: Series,
        color: Color,
        label: fn(u64) -> String,
    ) -> Curve {
        let is_bound = matches!(series, Series::Ssthresh | Series::Pacing | Series::MinRtt);
        let dots = self.held(parts, series);
        let last = dots.last().copied().flatten();
        let value = last.map_or("-".to_owned(), |(_, _, last)| label(last as u64));
        Curve { name, value, color, is_bound, dots }
    }

    fn windows(&self) -> Chart {
        let parts = self.parts(self.dots);
        Chart {
            title: "CWND",
            curves: vec![
                self.curve(&parts, "in flight", Series::Flight, Color::Yellow, number::count),
                self.curve(&parts, "cwnd", Series::Cwnd, Color::Cyan, number::count),
                self.curve(&parts, "ssthresh", Series::Ssthresh, Color::Magenta, number::count),
            ],
            label: number::count,
        }
    }

    fn times(&self) -> Chart {
        let parts = self.parts(self.dots);
        Chart {
            title: "RTT",
            curves: vec![
                self.curve(&parts, "srtt", Series::Srtt, Color::Cyan, number::micros),
                self.curve(&parts, "min", Series::MinRtt, Color::Green, number::micros),
            ],
            label: number::micros,
        }
    }

    /// Rates of the connection.
    fn rates(&self) -> Chart {
        let parts = self.parts(self.dots);
        let added = |name, total: Option<u64>, of: fn(&Bin) -> u64, color| {
            let rate = self.rate(&parts, total.is_some(), of);
            let dots = smooth(&rate, self.to_ns - self.from_ns);
            let last = dots.iter().rev().find_map(|dot| *dot);
            let value = last.map_or("-".to_owned(), |(_, _, last)| number::bits(last as u64));
            Curve { name, value, color, is_bound: false, dots }
        };
        let last = &self.history.last;
        Chart {
            title: "bit/s",
            curves: vec![
                self.curve(&parts, "delivery", Series::Delivery, Color::Blue, number::bits),
                added("tx", last.acked, |part| part.acked, Color::Cyan),
                added("rx", last.received, |part| part.received, Color::Green),
                self.curve(&parts, "pacing", Series::Pacing, Color::Magenta, number::bits),
            ],
            label: number::bits,
        }
    }

    /// Congestion-control states, retransmissions, and the time axis.
    fn strips(&self, theme: Theme, area: Rect, y: u16, span_s: u64, buf: &mut Buffer) -> u16 {
        let width = self.dots / 2;
        let parts = self.parts(width);
        put(buf, area, 0, y, "STATE", theme.bold());
        put(buf, area, 0, y + 1, "LIMIT", theme.bold());
        put(buf, area, 0, y + 2, "RETR", theme.bold());
        let mut held = None;
        for (x, part) in (MARGIN + 1..).zip(&parts) {
            held = part.worst_ca_state().or(held);
            if let Some(letter) = held.and_then(|state| LETTERS.get(state)) {
                let style = match held {
                    Some(0) => theme.color(Color::Green),
                    Some(1 | 2) => theme.color(Color::Yellow).patch(theme.bold()),
                    _ => theme.alarm(),
                };
                put(buf, area, x, y, &letter.to_string(), style);
            }
            if let Some(share) = part.main_cause().and_then(|cause| SHARES.get(cause)) {
                put(
                    buf,
                    area,
                    x,
                    y + 1,
                    share.letter.encode_utf8(&mut [0; 4]),
                    cause(share, theme),
                );
            }
            let mark = match part.retrans {
                0 => continue,
                count @ 1..=9 => count.to_string(),
                _ => "+".to_owned(),
            };
            put(buf, area, x, y + 2, &mark, theme.alarm());
        }
        let axis = format!("{:<w$}", format!("-{span_s} s"), w = width.saturating_sub(3));
        let x = put(buf, area, MARGIN + 1, y + 3, &axis, theme.dim());
        put(buf, area, x, y + 3, "now", theme.dim());
        legend(&parts, theme, Rect { width: x.min(area.width), ..area }, y + 3, buf);
        y + 4
    }
}

/// The letters of the strips: states that there were, and causes with their shares of the time that is known.
fn legend(parts: &[Bin], theme: Theme, area: Rect, y: u16, buf: &mut Buffer) {
    let mut ns = [0_u64; SHARES.len()];
    for part in parts {
        ns.iter_mut().zip(part.causes).for_each(|(sum, ns)| *sum += u64::from(ns));
    }
    let sum = ns.iter().sum::<u64>().max(1);
    let mut causes: Vec<_> = SHARES.iter().zip(ns).filter(|(_, ns)| *ns > 0).collect();
    causes.sort_by_key(|(_, ns)| Reverse(*ns));
    let mut x = MARGIN + 1 + 8;
    let mut add = |letter: &str, text: &str, style: Style| {
        if usize::from(x) + text.chars().count() + 4 < usize::from(area.width) {
            let next = put(buf, area, x, y, letter, style);
            x = put(buf, area, next + 1, y, text, theme.dim()) + 2;
        }
    };
    for (state, name) in CA_STATES.iter().enumerate().skip(1) {
        if parts.iter().any(|part| part.had_ca_state(state)) {
            add(&LETTERS[state].to_string(), name, theme.bold());
        }
    }
    for (share, ns) in causes {
        let percent = (ns as f64 * 100.0 / sum as f64).round();
        add(&share.letter.to_string(), &format!("{} {percent}%", share.name), cause(share, theme));
    }
}

/// The style of a cause, as `limits` has it.
fn cause(share: &Share, theme: Theme) -> Style {
    let color = match share.color {
        AnsiColor::Black => Color::Black,
        AnsiColor::Red => Color::Red,
        AnsiColor::Green => Color::Green,
        AnsiColor::Yellow => Color::Yellow,
        AnsiColor::Blue => Color::Blue,
        AnsiColor::Magenta => Color::Magenta,
        AnsiColor::Cyan => Color::Cyan,
        AnsiColor::White => Color::Gray,
        AnsiColor::BrightBlack => Color::DarkGray,
        AnsiColor::BrightRed => Color::LightRed,
        AnsiColor::BrightGreen => Color::LightGreen,
        AnsiColor::BrightYellow => Color::LightYellow,
        AnsiColor::BrightBlue => Color::LightBlue,
        AnsiColor::BrightMagenta => Color::LightMagenta,
        AnsiColor::BrightCyan => Color::LightCyan,
        AnsiColor::BrightWhite => Color::White,
    };
    theme.color(color)
}

/// The mean over a quarter of a second, and over four columns at least: few samples fall into one by chance.
fn smooth(dots: &[Dots], span_ns: u64) -> Vec<Dots> {
    let width_ns = (span_ns / dots.len().max(1) as u64).max(1);
    let count = usize::try_from((SECOND_NS / 4).div_ceil(width_ns)).unwrap_or(1).max(4);
    let mean = |at: usize| {
        dots[at]?;
        let near = &dots[(at + 1).saturating_sub(count)..=at];
        let values = near.iter().flatten().map(|(_, _, last)| last);
        let mean = values.clone().sum::<f64>() / values.count() as f64;
        Some((mean, mean, mean))
    };
    (0..dots.len()).map(mean).collect()
}

/// The last events, the newest at the bottom.
fn events(app: &App, history: &History, now_ns: u64, theme: Theme, area: Rect, buf: &mut Buffer) {
    let before = history.events.iter().filter(|event| event.at_ns <= now_ns);
    let events: Vec<_> = before.rev().skip(app.scrolled).take(area.height.into()).collect();
    if events.is_empty() {
        let text = "no losses, changes of state or resets so far";
        put(buf, area, 0, 0, text, theme.dim());
    }
    for (y, event) in (0..).zip(events.into_iter().rev()) {
        let style = match event.event_type {
            "retransmit" | "reset_sent" | "reset_received" | "zero_window" => theme.alarm(),
            "cong_state" if !event.text.contains(&format!("new={}", CA_STATES[0])) => {
                theme.color(Color::Yellow)
            }
            _ => Style::new(),
        };
        let x = put(buf, area, 0, y, &event.time, theme.dim());
        let x = put(buf, area, x + 1, y, &format!("{:<14}", event.event_type), style);
        put(buf, area, x + 1, y, &event.text, Style::new());
    }
}
