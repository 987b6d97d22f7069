//! The page: one HTML file that needs nothing else.

use std::collections::HashSet;
use std::fmt::Write;

use serde_json::json;

use super::assets;
use super::connection::{Connection, MARKS};
use super::html::{self, escape, own};
use super::number;
use super::overview::{self, Shown};
use super::pack::{pack, pack_text};
use super::run::Run;
use super::section::section;

/// Sections and rows that are HTML from the start, of the connections that moved most. Others are packed, and a script unpacks
/// them when they are wanted: a browser takes seconds to lay out ten thousand rows.
const PLAIN_SECTIONS: usize = 50;
const PLAIN_ROWS: usize = 500;

/// Writing to a String does not fail.
macro_rules! put {
    ($($part:tt)*) => {{ let _ = write!($($part)*); }};
}

/// The page of one recording.
pub fn page(run: &Run, all: &[Shown<'_>]) -> std::io::Result<String> {
    let title = format!("TCP report: {}, {}", run.host, run.started.replace('T', " "));
    let mut out = assets::head(&title);
    header(run, all.len(), &mut out);
    accounting(run, &mut out);
    let (plain, rows) = (largest(all, PLAIN_SECTIONS), largest(all, PLAIN_ROWS));
    out.push_str("<section class=\"card\" id=\"overview\">");
    if all.is_empty() {
        out.push_str("<p class=\"note\">The recording has no events of connections.</p>");
    } else {
        out.push_str(&overview::table(all.iter().filter(|shown| rows.contains(&shown.id))));
    }
    out.push_str("</section>");
    out.push_str("<div id=\"sections\">");
    for shown in all.iter().filter(|shown| plain.contains(&shown.id)) {
        out.push_str(&section_of(run, shown));
    }
    out.push_str("</div>");
    if all.len() > plain.len() {
        put!(
            out,
            "<noscript><p class=\"note\">Without scripts, {} of {} connections are described, and {} listed: those that moved most.</p></noscript>",
            plain.len(),
            all.len(),
            rows.len()
        );
    }
    out.push_str(assets::STACK);
    footer(run, &mut out);
    let meta = json!({
        "marks": MARKS.map(|(_, name, group)| json!([name, group])),
        "absent": run.absent,
        "ends": run.two_ends.as_ref().map(|ends| json!({
            "offset_ns": ends.offset.ns,
            "half_width_ns": ends.offset.half_width_ns,
            "drift_ppb": ends.offset.drift_ppb,
            "matches": ends.offset.matches,
            "same_clock": ends.same_clock,
        })),
    });
    put!(out, "<script type=\"application/json\" id=\"meta\">{}</script>\n", html::json(&meta));
    let rest = overview::rows(all.iter().filter(|shown| !rows.contains(&shown.id)));
    if !rest.is_empty() {
        put!(out, "<script type=\"text/plain\" id=\"rest\">{}</script>\n", pack_text(&rest)?);
    }
    for shown in all {
        let other = shown.connection.other_end.and_then(|at| run.collected.connections.get(at));
        let html = (!plain.contains(&shown.id)).then(|| section_of(run, shown));
        data(&format!("d{}", shown.id), shown.connection, html.as_deref(), &mut out)?;
        if let Some(other) = other {
            data(&format!("o{}", shown.id), other, None, &mut out)?;
        }
    }
    put!(out, "{}</body></html>\n", assets::scripts(&assets::script()));
    Ok(out)
}

fn section_of(run: &Run, shown: &Shown<'_>) -> String {
    let start = run.clock_time(shown.connection.start_ns());
    section(shown.connection, &shown.stats, shown.id, &start)
}

fn data(
    id: &str,
    connection: &Connection,
    html: Option<&str>,
    out: &mut String,
) -> std::io::Result<()> {
    put!(out, "<script type=\"text/plain\" id=\"{id}\">{}</script>\n", pack(connection, html)?);
    Ok(())
}

/// The numbers of the connections that moved most.
fn largest(all: &[Shown<'_>], count: usize) -> HashSet<usize> {
    let mut sorted: Vec<&Shown<'_>> = all.iter().collect();
    sorted.sort_by_key(|shown| std::cmp::Reverse(shown.stats.moved_bytes()));
    sorted.iter().take(count).map(|shown| shown.id).collect()
}

fn header(run: &Run, connections: usize, out: &mut String) {
    put!(
        out,
        "<header><h1>TCP report</h1><p>host <b>{}</b>, Linux {} · {} UTC · {}</p>",
        escape(&run.host),
        escape(&run.kernel),
        escape(&run.started.replace('T', " ")),
        own(&number::plural(connections as u64, "connection"))
    );
    if let Some(ends) = &run.two_ends {
        put!(
            out,
            "<p class=\"ends\">other end: host <b>{}</b>, Linux {} · ",
            escape(&ends.host),
            escape(&ends.kernel)
        );
        put!(out, "<a href=\"#accounting\">{}</a></p>", own(&ends.clock()));
    }
    let (lost, seen) = run.lost();
    let share = if seen > 0 { lost as f64 / seen as f64 } else { 0.0 };
    let (class, text) = match lost {
        0 if !run.has_counters() => ("badge", "no counters: losses are not known".to_owned()),
        0 => ("badge good", format!("no events lost of {}", number::count(seen))),
        _ => (
            "badge",
            format!(
                "{} of {} events lost ({})",
                number::count(lost),
                number::count(seen),
                number::percent(share)
            ),
        ),
    };
    put!(out, "<a class=\"{class}\" href=\"#accounting\">{}</a>", own(&text));
    for problem in run.problems() {
        put!(out, " <span class=\"badge\">{}</span>", own(&problem));
    }
    out.push_str("<span class=\"buttons\"></span></header>\n");
}

/// What the recording's counters are, and what is missing.
fn accounting(run: &Run, out: &mut String) {
    out.push_str("<details class=\"card\" id=\"accounting\"><summary>Accounting and gaps</summary><table><thead><tr>");
    let titles = [
        "event type",
        "seen",
        "recorded",
        "filtered",
        "sampled out",
        "rate-limited",
        "lost",
        "in this file",
    ];
    titles.iter().for_each(|title| {
        put!(out, "<th scope=\"col\">{title}</th>");
    });
    out.push_str("</tr></thead><tbody>");
    for (name, counts, read) in &run.counts {
        put!(out, "<tr><td>{}</td>", escape(name));
        let numbers = counts.map(|counts| {
            [
                counts.seen,
                counts.emitted,
                counts.filtered,
                counts.sampled_out,
                counts.rate_limited,
                counts.lost,
            ]
        });
        for at in 0..6 {
            let text = numbers.map_or("–".to_owned(), |numbers| number::count(numbers[at]));
            put!(out, "<td class=\"n\">{}</td>", own(&text));
        }
        put!(out, "<td class=\"n\">{}</td></tr>", own(&number::count(*read)));
    }
    out.push_str("</tbody></table><ul>");
    for line in run.notes() {
        put!(out, "<li>{}</li>", own(&line));
    }
    out.push_str("</ul></details>\n");
}

fn footer(run: &Run, out: &mut String) {
    put!(
        out,
        "<footer><p>A sample is the state of a connection before a received packet is processed, so it held since the packet before. \
         Hatched: packets came, but no samples of them are in the recording. Time counts from a connection's first sample. \
         RTT percentiles are of the smoothed RTT over samples. Goodput is acknowledged (or received) bytes from the first to the last sample.</p>\
         <p>{} · {} · written by {}</p></footer>\n",
        escape(&run.file),
        escape(&run.command),
        escape(&run.program)
    );
}
