//! The section of a connection: findings and summary, as HTML that needs no script.

use std::fmt::Write;

use super::connection::Connection;
use super::ends::{Delay, PARTS};
use super::findings;
use super::html::{escape, own};
use super::number;
use super::stats::Stats;

/// Shares below this are not named if there are many.
const LEAST_SHOWN: f64 = 0.01;

/// Writing to a String does not fail.
macro_rules! put {
    ($($part:tt)*) => {{ let _ = write!($($part)*); }};
}

/// The two ends as a title.
#[must_use]
pub fn title(connection: &Connection) -> String {
    match connection.ends {
        Some(ends) => format!("{} → {}", ends.local, ends.peer),
        None => "unknown ends".to_owned(),
    }
}

/// The names of the algorithms.
#[must_use]
pub fn algorithms(connection: &Connection) -> String {
    connection.ca_names.join(", ")
}

/// The section with that number. `start` is the wall clock at the first sample.
#[must_use]
pub fn section(connection: &Connection, stats: &Stats, id: usize, start: &str) -> String {
    let mut out = String::new();
    put!(
        out,
        "<section class=\"card conn\" id=\"c{id}\"><h2>{} <small>{}</small></h2>",
        escape(&title(connection)),
        own(&about(connection, stats, start))
    );
    out.push_str("<ul class=\"findings\">");
    for finding in findings::of(connection, stats) {
        let class = if finding.is_bad { " class=\"bad\"" } else { "" };
        put!(out, "<li{class}>{}</li>", own(&finding.text));
    }
    out.push_str("</ul><div class=\"boxes\">");
    goodput(connection, stats, &mut out);
    round_trip(stats, &mut out);
    losses(stats, &mut out);
    time(connection, stats, &mut out);
    if let Some(delay) = &connection.delay {
        delay_box(delay, &mut out);
    }
    out.push_str("</div></section>");
    out
}

/// `cubic · python3 9165 · from 17:54:01.682 UTC · 1 520 samples`
fn about(connection: &Connection, stats: &Stats, start: &str) -> String {
    let mut parts = Vec::new();
    let algorithms = algorithms(connection);
    if !algorithms.is_empty() {
        parts.push(algorithms);
    }
    if let Some((name, pid)) = &connection.process {
        parts.push(format!("{name} {pid}"));
    }
    parts.push(format!("from {start} UTC"));
    if let Some(cookie) = connection.cookie {
        parts.push(format!("cookie {cookie}"));
    }
    let samples = number::plural(connection.samples.read, "sample");
    let gaps = match stats.gaps {
        0 => String::new(),
        gaps => format!(" with {}", number::plural(gaps, "gap")),
    };
    parts.push(format!("{samples}{gaps}"));
    parts.join(" · ")
}

/// A box: its title, a large number and what follows it, and rows.
fn open_box(title: &str, large: Option<&str>, then: &str, out: &mut String) {
    put!(out, "<div><h3>{title}</h3>");
    let (number, unit) = match large {
        Some(text) => text.split_once('\u{202f}').unwrap_or((text, "")),
        None => ("–", ""),
    };
    put!(out, "<p class=\"large\">{} <span>{}{}</span></p>", own(number), own(unit), own(then));
}

fn rows(rows: &[(&str, Option<String>)], out: &mut String) {
    out.push_str("<dl>");
    for (name, value) in rows {
        let value = value.as_deref().unwrap_or("–");
        put!(out, "<dt>{}</dt><dd>{}</dd>", own(name), own(value));
    }
    out.push_str("</dl>");
}

fn goodput(connection: &Connection, stats: &Stats, out: &mut String) {
    let large = stats.goodput().map(number::rate);
    open_box("Goodput", large.as_deref(), "", out);
    let segments = |n: u64| number::plural(n, "segment");
    let mss = connection.samples.column("mss").ends().map(|(_, mss)| number::bytes(mss));
    rows(
        &[
            ("acknowledged", stats.acked_bytes.map(number::bytes)),
            ("received", stats.received_bytes.map(number::bytes)),
            ("in", Some(number::time_us(stats.duration_ns as f64 / 1000.0))),
            ("in flight, median", stats.in_flight.map(segments)),
            (
                "cwnd, median (range)",
                stats.cwnd.map(|[least, median, most]| format!("{median} ({least}–{most})")),
            ),
            ("MSS", mss),
        ],
        out,
    );
    out.push_str("</div>");
}

fn round_trip(stats: &Stats, out: &mut String) {
    let time = |us: u64| number::time_us(us as f64);
    let rtt = |at: usize| stats.srtt_us.map(|all| all[at]);
    let then = match (rtt(1), stats.min_rtt_us.filter(|least| *least > 0)) {
        (Some(median), Some(least)) => {
            format!(", {}× the smallest", number::significant(median as f64 / least as f64))
        }
        _ => String::new(),
    };
    open_box("Round-trip time, median", rtt(1).map(time).as_deref(), &then, out);
    rows(
        &[
            ("smallest (min_rtt)", stats.min_rtt_us.map(time)),
            ("95\u{202f}%", rtt(2).map(time)),
            ("99\u{202f}%", rtt(3).map(time)),
            ("largest srtt", rtt(4).map(time)),
            ("above 1.5× the smallest", stats.inflated.map(number::percent)),
        ],
        out,
    );
    out.push_str("</div>");
}

fn losses(stats: &Stats, out: &mut String) {
    let share = stats.retransmitted().map(number::percent);
    let then = match (stats.retransmitted_segs, stats.sent_segs) {
        (Some(again), Some(sent)) => {
            format!(", {} of {} segments", number::count(again), number::count(sent))
        }
        _ => String::new(),
    };
    open_box("Sent again", share.as_deref(), &then, out);
    let mut list: Vec<(&str, Option<String>)> = Vec::new();
    let names = [
        ("fast", "fast"),
        ("slow_start", "in Loss"),
        ("rto", "timeout"),
        ("tlp", "loss probe"),
        ("syn", "SYN"),
        ("other", "other"),
    ];
    for (class, name) in names {
        let count = stats.classes.get(class).copied();
        list.extend(count.map(|count| (name, Some(number::count(count)))));
    }
    let drops: u64 = stats.drops.values().sum();
    list.push(("drops seen, segments", Some(number::count(drops))));
    if stats.ack_drops > 0 {
        list.push(("ACK drops seen", Some(number::count(stats.ack_drops))));
    }
    list.push(("not needed", Some(number::count(stats.spurious))));
    let longest = number::time_us(stats.recoveries.1 as f64 / 1000.0);
    list.push((
        "recoveries (longest)",
        Some(match stats.recoveries.0 {
            0 => "0".to_owned(),
            count => format!("{} ({longest})", number::count(count)),
        }),
    ));
    rows(&list, out);
    out.push_str("</div>");
}

/// Where the time of its data went, from one end to the other.
fn delay_box(delay: &Delay, out: &mut String) {
    let time = |us: u64| number::time_us(us as f64);
    // The ACK goes its own way while the data waits to be read.
    let parts = delay.parts[..PARTS.len() - 1].iter();
    let sum = parts.flatten().map(|[median, _]| median).sum();
    out.push_str("<div class=\"delay\">");
    put!(out, "<h3>Delay of its data</h3>");
    let large = time(sum);
    let (large, unit) = large.split_once('\u{202f}').unwrap_or((&large, ""));
    put!(
        out,
        "<p class=\"large\">{} <span>{}, sum of the medians up to the reader</span></p>",
        own(large),
        own(unit)
    );
    let row = |((_, name), part): (&(&'static str, &'static str), &Option<[u64; 2]>)| {
        let text =
            part.map(|[median, p95]| format!("{} (95\u{202f}% {})", time(median), time(p95)));
        (*name, text)
    };
    let list: Vec<_> = PARTS.iter().zip(&delay.parts).map(row).collect();
    rows(&list, out);
    if delay.half_width_ns > 0 {
        let half = number::time_us(delay.half_width_ns as f64 / 1000.0);
        put!(
            out,
            "<p class=\"note\">path and way back ± {}: the clocks are not known better</p>",
            own(&half)
        );
    }
    for lack in &delay.lacks {
        put!(out, "<p class=\"note\">not recorded: {}</p>", own(lack));
    }
    out.push_str("</div>");
}

fn time(connection: &Connection, stats: &Stats, out: &mut String) {
    out.push_str("<div>");
    let causes = connection.causes.by_time();
    if !causes.is_empty() {
        let named = causes.iter().map(|(cause, ns)| (cause.name().replace('_', " "), *ns));
        out.push_str("<h3>Time by what limits it</h3>");
        bar(&named.collect::<Vec<_>>(), "limit", out);
    }
    out.push_str("<h3>Time by CA state</h3>");
    bar(&stats.ca_states, "ca", out);
    if !stats.bbr_modes.is_empty() {
        out.push_str("<h3>Time by BBR mode</h3>");
        bar(&stats.bbr_modes, "mode", out);
    }
    out.push_str("</div>");
}

/// A bar of shares, with a legend that has their numbers.
pub fn bar(states: &[(String, u64)], of: &str, out: &mut String) {
    let sum: u64 = states.iter().map(|(_, ns)| ns).sum();
    if sum == 0 {
        out.push_str("<p>not recorded</p>");
        return;
    }
    let share = |ns: u64| ns as f64 / sum as f64;
    let class = |name: &str| {
        let is_word = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
        let word: String = name.replace(' ', "_").chars().filter(is_word).collect();
        format!("{of}-{word}")
    };
    out.push_str("<div class=\"bar\" aria-hidden=\"true\">");
    for (name, ns) in states {
        put!(out, "<i class=\"{}\" style=\"flex:{:.4}\"></i>", class(name), share(*ns));
    }
    out.push_str("</div><ul class=\"key\">");
    for (name, ns) in states {
        let percent = number::percent(share(*ns));
        // A long tail says little.
        if share(*ns) < LEAST_SHOWN && states.len() > 6 {
            continue;
        }
        put!(
            out,
            "<li><i class=\"{}\"></i>{} <b>{}</b></li>",
            class(name),
            escape(name),
            own(&percent)
        );
    }
    out.push_str("</ul>");
}
