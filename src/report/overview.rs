//! The table of all connections.

use std::fmt::Write;

use super::connection::Connection;
use super::html::{escape, own};
use super::number;
use super::section;
use super::stats::{Stats, spark};

/// Bins of a sparkline.
const BINS: usize = 60;

/// One connection of the page.
pub struct Shown<'c> {
    /// Its number in the page.
    pub id: usize,
    pub connection: &'c Connection,
    pub stats: Stats,
    /// Since the start of the recording, in ns.
    pub since_ns: i64,
}

/// The columns, and whether their cells are numbers.
const COLUMNS: [(&str, bool, &str); 13] = [
    ("cc", false, "cc"),
    ("connection", false, "conn"),
    ("process", false, "process"),
    ("start s", true, "start"),
    ("time s", true, "time"),
    ("bytes", true, "bytes"),
    ("goodput", true, "goodput"),
    ("over time", false, "spark"),
    ("srtt", true, "srtt"),
    ("over time", false, "spark"),
    ("sent again", true, "again"),
    ("limited mostly by", false, "limit"),
    ("", false, "badges"),
];

/// The table with these rows.
#[must_use]
pub fn table<'s>(all: impl Iterator<Item = &'s Shown<'s>>) -> String {
    let mut out = String::from("<table id=\"connections\"><thead><tr>");
    for (title, is_number, class) in COLUMNS {
        let number = if is_number { " data-number" } else { "" };
        let sort = if class == "spark" || class == "badges" { " data-plain" } else { "" };
        // Writing to a String does not fail.
        let _ = write!(out, "<th scope=\"col\" class=\"{class}\"{number}{sort}>{title}</th>");
    }
    out.push_str("</tr></thead><tbody>");
    out.push_str(&rows(all));
    out.push_str("</tbody></table>");
    out
}

/// The rows alone.
#[must_use]
pub fn rows<'s>(all: impl Iterator<Item = &'s Shown<'s>>) -> String {
    let mut out = String::new();
    all.for_each(|shown| row(shown, &mut out));
    out
}

fn row(shown: &Shown<'_>, out: &mut String) {
    let Shown { id, connection, stats, since_ns } = shown;
    let goodput = stats.goodput();
    let median = stats.srtt_us.map(|all| all[1]);
    let samples = &connection.samples;
    let moved = if stats.is_receiver() { "bytes_received" } else { "bytes_acked" };
    let _ = write!(out, "<tr data-c=\"{id}\">");
    let _ = write!(out, "<td class=\"cc\">{}</td>", escape(&section::algorithms(connection)));
    let title = escape(&section::title(connection));
    // On a narrow screen there is room for the peer only.
    let (local, peer) = title.split_once(" → ").unwrap_or(("", &title));
    let local = format!("<span class=\"local\">{local} → </span>");
    let _ = write!(out, "<td class=\"conn\"><a href=\"#c{id}\">{local}{peer}</a></td>");
    let process = connection.process.as_ref().map_or("", |(name, _)| name);
    let _ = write!(out, "<td class=\"process\">{}</td>", escape(process));
    cell("start", Some(*since_ns as f64), format!("{:.2}", *since_ns as f64 / 1e9), out);
    let duration = stats.duration_ns as f64;
    cell("time", Some(duration), format!("{:.2}", duration / 1e9), out);
    let text = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    let bytes = stats.moved_bytes();
    cell("bytes", bytes.map(|bytes| bytes as f64), text(bytes.map(number::bytes)), out);
    cell("goodput", goodput, text(goodput.map(number::rate)), out);
    sparkline("rate", &spark(samples, moved, true, BINS), out);
    let srtt = median.map(|us| us as f64);
    cell("srtt", srtt, text(srtt.map(number::time_us)), out);
    sparkline("rtt", &spark(samples, "srtt_us", false, BINS), out);
    let again = stats.retransmitted();
    cell("again", again, text(again.map(number::percent)), out);
    let limit = connection.causes.by_time().first().map(|(cause, ns)| {
        let share = number::percent(*ns as f64 / connection.causes.sum() as f64);
        let name = cause.name();
        format!("<i class=\"limit-{name}\"></i>{} {}", name.replace('_', " "), own(&share))
    });
    let _ = write!(out, "<td class=\"limit\">{}</td>", limit.unwrap_or_default());
    let badges = badges(stats).into_iter();
    let badges = badges.map(|text| format!("<span class=\"badge\">{}</span> ", own(&text)));
    let _ = write!(out, "<td class=\"badges\">{}</td></tr>", badges.collect::<String>());
}

fn cell(class: &str, value: Option<f64>, text: String, out: &mut String) {
    let value = value.map_or(String::new(), |value| format!(" data-v=\"{value}\""));
    let _ = write!(out, "<td class=\"n {class}\"{value}>{}</td>", own(&text));
}

/// Levels as characters from `0` on; a space where there are no samples.
fn sparkline(of: &str, levels: &[Option<u8>], out: &mut String) {
    let character = |level: &Option<u8>| level.map_or(' ', |level| char::from(b'?' + level));
    let levels: String = levels.iter().map(character).collect();
    let _ = write!(out, "<td class=\"spark\" data-{of}=\"{}\"></td>", escape(&levels));
}

/// What is remarkable.
fn badges(stats: &Stats) -> Vec<String> {
    let mut badges = Vec::new();
    if stats.zero_windows.0 > 0 {
        badges.push(format!("zero window {}×", stats.zero_windows.0));
    }
    if !stats.resets.is_empty() {
        badges.push("reset".to_owned());
    }
    if stats.classes.contains_key("rto") {
        badges.push("timeout".to_owned());
    }
    if stats.gaps > 0 {
        badges.push("gap in data".to_owned());
    }
    badges
}
