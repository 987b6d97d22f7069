//! The page of a comparison.

use std::fmt::Write;

use serde_json::json;

use super::charts;
use super::score::{Better, METRICS, Metric, Unit};
use super::{Align, Compared, Comparison};
use crate::report::export::cell;
use crate::report::html::{self, escape, own};
use crate::report::pack::pack;
use crate::report::section::{bar, title};
use crate::report::{assets, number};

/// Writing to a String does not fail.
macro_rules! put {
    ($($part:tt)*) => {{ let _ = write!($($part)*); }};
}

/// Runs whose overlays are drawn, and flows of each.
const DRAWN_RUNS: usize = 12;
const DRAWN_FLOWS: usize = 8;

/// Smaller differences mean little.
const NOTABLE: f64 = 0.05;

/// Runs of one label.
struct Group<'c, 'r> {
    label: &'c str,
    runs: Vec<&'c Compared<'r>>,
}

impl Group<'_, '_> {
    /// The median, the smallest and the largest number.
    fn spread(&self, metric: &Metric) -> Option<(f64, f64, f64)> {
        let mut numbers: Vec<f64> =
            self.runs.iter().filter_map(|run| (metric.3)(&run.score)).collect();
        numbers.sort_by(f64::total_cmp);
        let (first, last) = (*numbers.first()?, *numbers.last()?);
        let middle = numbers.len() / 2;
        let median = if numbers.len() % 2 == 1 {
            numbers[middle]
        } else {
            f64::midpoint(numbers[middle - 1], numbers[middle])
        };
        Some((median, first, last))
    }
}

fn groups<'c, 'r>(all: &'c [Compared<'r>]) -> Vec<Group<'c, 'r>> {
    let mut groups: Vec<Group<'c, 'r>> = Vec::new();
    for one in all {
        match groups.iter_mut().find(|group| group.label == one.label) {
            Some(group) => group.runs.push(one),
            None => groups.push(Group { label: &one.label, runs: vec![one] }),
        }
    }
    groups
}

/// The scores of all runs as CSV: a row for each metric, in the units of its name.
#[must_use]
pub fn score_table(all: &[Compared<'_>]) -> String {
    let mut out = String::from("metric,unit");
    for one in all {
        out.push(',');
        out.push_str(&cell(&one.label));
    }
    out.push('\n');
    for (name, unit, _, of) in METRICS {
        let unit = match unit {
            Unit::Rate => "bit/s",
            Unit::Share | Unit::Ratio => "1",
            Unit::Seconds => "s",
            Unit::Micros => "us",
            Unit::Count => "count",
        };
        put!(out, "{},{unit}", cell(name));
        for one in all {
            out.push(',');
            out.push_str(&of(&one.score).map_or(String::new(), |number| number.to_string()));
        }
        out.push('\n');
    }
    out
}

/// The whole page.
pub fn page(all: &[Compared<'_>], options: &Comparison) -> std::io::Result<String> {
    let groups = groups(all);
    let place = |one: &Compared<'_>| {
        groups.iter().position(|group| group.label == one.label).unwrap_or_default()
    };
    let names = groups.iter().map(|group| group.label).collect::<Vec<_>>().join(" and ");
    let mut out = assets::head(&format!("{names}, compared"));
    header(all, &names, options, &mut out);
    runs(all, place, &mut out);
    findings(&groups, options, &mut out);
    put!(out, "<div class=\"pair\"><section class=\"card\">");
    scores(&groups, &mut out);
    put!(
        out,
        "</section><section class=\"card charts\"><h3>RTT, share of samples below <small>srtt; marks at 50, 95 and 99 %</small></h3>{}\
         <h3>Goodput against 95 % RTT <small>a point for each run; up and left is better</small></h3>{}</section></div>",
        charts::rtt_cdf(all, place),
        charts::goodput_against_rtt(all, place)
    );
    times(all, place, &mut out);
    out.push_str(assets::OVERLAYS);
    footer(&mut out);
    data(all, place, options, &mut out)?;
    put!(out, "{}</body></html>\n", assets::scripts(&assets::compare_script()));
    Ok(out)
}

fn header(all: &[Compared<'_>], names: &str, options: &Comparison, out: &mut String) {
    put!(out, "<header><h1>{}, compared</h1><p>", escape(names));
    if let Some(first) = all.first() {
        put!(out, "host <b>{}</b>, Linux {}", escape(&first.run.host), escape(&first.run.kernel));
    }
    if let Some(link) = options.bottleneck {
        put!(out, " · bottleneck {} (given)", own(&number::rate(link as f64)));
    }
    out.push_str("</p><span class=\"buttons\"></span></header>");
}

fn runs(all: &[Compared<'_>], place: impl Fn(&Compared<'_>) -> usize, out: &mut String) {
    out.push_str("<section class=\"card\"><table class=\"runs\"><thead><tr>");
    for title in ["run", "flows", "from", "samples", "events lost", "file"] {
        put!(out, "<th scope=\"col\">{title}</th>");
    }
    out.push_str("</tr></thead><tbody>");
    for one in all {
        let samples: u64 = one.flows.iter().map(|flow| flow.connection.samples.read).sum();
        let first = one.flows.first().map(|flow| title(flow.connection)).unwrap_or_default();
        let more = match one.flows.len() {
            0 | 1 => String::new(),
            more => format!(" and {} more", more - 1),
        };
        let (lost, seen) = one.run.lost();
        put!(
            out,
            "<tr><td class=\"name r{}\">{}</td><td>{}{more}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            place(one) % 6,
            escape(&one.label),
            escape(&first),
            escape(&one.run.started.replace('T', " ")),
            own(&number::count(samples)),
            own(&format!("{} of {}", number::count(lost), number::count(seen))),
            escape(&one.run.file)
        );
    }
    out.push_str("</tbody></table></section>");
}

/// The main differences in sentences.
fn findings(groups: &[Group<'_, '_>], options: &Comparison, out: &mut String) {
    let of = |name: &str| METRICS.iter().find(|metric| metric.0 == name);
    let list = |name: &str| -> Option<String> {
        let metric = of(name)?;
        let one = |group: &Group<'_, '_>| {
            let (median, ..) = group.spread(metric)?;
            Some(format!("{} {}", group.label, shown(metric.1, median)))
        };
        groups.iter().map(one).collect::<Option<Vec<_>>>().map(|all| all.join(", "))
    };
    let mut lines = Vec::new();
    let link = options.bottleneck.and_then(|_| list("Utilisation of the bottleneck"));
    let link = link.map(|link| format!(" Of the link: {link}.")).unwrap_or_default();
    lines.extend(list("Goodput").map(|goodput| format!("Goodput: {goodput}.{link}")));
    lines.extend(
        list("RTT, median")
            .zip(list("RTT, 99 %"))
            .map(|(median, p99)| format!("RTT in the median: {median}; at 99 %: {p99}.")),
    );
    lines.extend(list("Sent again").map(|again| format!("Sent again: {again}.")));
    lines
        .extend(list("Fairness of flows (Jain)").map(|jain| format!("Fairness of flows: {jain}.")));
    out.push_str("<section class=\"card\"><ul class=\"findings\">");
    for line in lines {
        put!(out, "<li>{}</li>", own(&line));
    }
    out.push_str("</ul></section>");
}

fn shown(unit: Unit, number: f64) -> String {
    match unit {
        Unit::Rate => number::rate(number),
        Unit::Share => number::percent(number),
        Unit::Seconds => number::time_us(number * 1e6),
        Unit::Micros => number::time_us(number),
        Unit::Ratio => format!("{}×", number::significant(number)),
        Unit::Count => number::significant(number),
    }
}

/// Above a factor of two as a factor, below in percent.
fn difference(number: f64, first: f64) -> String {
    if first == number {
        return "the same".into();
    }
    if first <= 0.0 {
        return "–".into();
    }
    let ratio = number / first;
    if (0.5..=2.0).contains(&ratio) {
        format!("{:+.1}\u{202f}%", (ratio - 1.0) * 100.0)
    } else {
        format!("{}×", number::significant(ratio))
    }
}

fn scores(groups: &[Group<'_, '_>], out: &mut String) {
    out.push_str("<table class=\"scores\"><thead><tr><th scope=\"col\">score</th>");
    for (at, group) in groups.iter().enumerate() {
        let runs = match group.runs.len() {
            1 => String::new(),
            runs => format!(" <small>median of {runs} (range)</small>"),
        };
        put!(
            out,
            "<th scope=\"col\" class=\"name r{}\">{}{runs}</th>",
            at % 6,
            escape(group.label)
        );
    }
    if groups.len() == 2 {
        out.push_str("<th scope=\"col\">against the first</th>");
    }
    out.push_str("</tr></thead><tbody>");
    for metric in &METRICS {
        let spreads: Vec<_> = groups.iter().map(|group| group.spread(metric)).collect();
        if spreads.iter().all(Option::is_none) {
            continue;
        }
        let best = best(metric.2, &spreads);
        put!(out, "<tr><th scope=\"row\">{}</th>", own(metric.0));
        for (at, (group, spread)) in groups.iter().zip(&spreads).enumerate() {
            let Some((median, least, most)) = *spread else {
                out.push_str("<td class=\"n\">–</td>");
                continue;
            };
            let range = match group.runs.len() {
                1 => String::new(),
                _ => format!(
                    " <small>({}–{})</small>",
                    own(&shown(metric.1, least)),
                    own(&shown(metric.1, most))
                ),
            };
            let (class, mark) = if best == Some(at) { (" best", " ✓") } else { ("", "") };
            put!(
                out,
                "<td class=\"n{class}\" data-v=\"{median}\">{}{range}{mark}</td>",
                own(&shown(metric.1, median))
            );
        }
        if let [Some((first, ..)), Some((second, ..))] = spreads[..] {
            put!(out, "<td class=\"n\">{}</td>", own(&difference(second, first)));
        } else if groups.len() == 2 {
            out.push_str("<td class=\"n\">–</td>");
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table>");
}

/// The group that is better than all others by more than a little, and whose runs all are.
fn best(better: Better, spreads: &[Option<(f64, f64, f64)>]) -> Option<usize> {
    if spreads.len() < 2 || spreads.iter().any(Option::is_none) {
        return None;
    }
    let sign = if better == Better::Higher { 1.0 } else { -1.0 };
    let worst = |spread: &(f64, f64, f64)| if sign > 0.0 { spread.1 } else { -spread.2 };
    let top = |spread: &(f64, f64, f64)| if sign > 0.0 { spread.2 } else { -spread.1 };
    let all: Vec<(f64, f64, f64)> = spreads.iter().copied().flatten().collect();
    (0..all.len()).find(|at| {
        all.iter().enumerate().all(|(other, spread)| {
            let (own, others) = (all[*at].0, spread.0);
            let notable = (own - others).abs() > NOTABLE * others.abs().max(own.abs());
            other == *at
                || (sign * own > sign * others && notable && worst(&all[*at]) > top(spread))
        })
    })
}

/// Shares of the time by what limits each run, and by its CA state.
fn times(all: &[Compared<'_>], place: impl Fn(&Compared<'_>) -> usize, out: &mut String) {
    type Sums = Vec<(String, u64)>;
    type Part<'p> = (&'p str, &'p str, &'p dyn Fn(&Compared<'_>) -> Sums);
    let limits = |one: &Compared<'_>| -> Sums {
        let causes = one.flows.iter().flat_map(|flow| flow.connection.causes.by_time());
        causes.map(|(cause, ns)| (cause.name().replace('_', " "), ns)).collect()
    };
    let states = |one: &Compared<'_>| -> Sums {
        one.flows.iter().flat_map(|flow| flow.stats.ca_states.clone()).collect()
    };
    let parts: [Part<'_>; 2] =
        [("Time by what limits it", "limit", &limits), ("Time by CA state", "ca", &states)];
    for (title, class, of) in parts {
        put!(out, "<section class=\"card bars\"><h3>{title}</h3>");
        for one in all {
            let mut sums: Sums = Vec::new();
            for (name, ns) in of(one) {
                match sums.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, sum)) => *sum += ns,
                    None => sums.push((name, ns)),
                }
            }
            let (label, name) = (place(one) % 6, escape(&one.label));
            put!(out, "<div><span class=\"name r{label}\">{name}</span><div>");
            bar(&sums, class, out);
            out.push_str("</div></div>");
        }
        out.push_str("</section>");
    }
}

fn footer(out: &mut String) {
    out.push_str(
        "<footer><p>✓ the median is better by more than 5 %, and so is every run of it. One run of each proves little. Flows that moved less than \
         1 % of a run's bytes, or in the other direction than the largest one, are not compared. Goodput is acknowledged bytes of all flows from the first to the last sample. Utilisation counts \
         headers of Ethernet, IP and TCP with timestamps. Time to 90 % is the end of the first 100 ms in which segments × MSS were delivered at \
         90 % of the run's goodput. RTT is srtt over samples. Fairness after convergence is the smallest of Jain's index over seconds, without \
         the first quarter of the time that the flows share.</p></footer>\n",
    );
}

/// The flows that are drawn, and where their time begins.
fn data(
    all: &[Compared<'_>],
    place: impl Fn(&Compared<'_>) -> usize,
    options: &Comparison,
    out: &mut String,
) -> std::io::Result<()> {
    let mut listed = Vec::new();
    for (run, one) in all.iter().enumerate().take(DRAWN_RUNS) {
        let mut flows = Vec::new();
        for (at, flow) in one.flows.iter().enumerate().take(DRAWN_FLOWS) {
            let id = format!("r{run}f{at}");
            let start = flow.connection.start_ns().cast_signed();
            let since_ns = start.wrapping_sub(one.origin_ns.cast_signed());
            flows.push(json!({"id": id, "since": since_ns as f64 / 1e9}));
            let packed = pack(flow.connection, None)?;
            put!(out, "<script type=\"text/plain\" id=\"{id}\">{packed}</script>\n");
        }
        listed.push(json!({"label": one.label, "group": place(one) % 6, "flows": flows}));
    }
    let left_out = all.len().saturating_sub(DRAWN_RUNS);
    let align = match options.align {
        Align::Start => "the start of the recording",
        Align::FirstData => "the first delivered data",
    };
    let meta = json!({
        "marks": super::super::connection::MARKS.map(|(_, name, group)| json!([name, group])),
        "absent": [],
        "runs": listed,
        "left_out": left_out,
        "align": align,
        "link": options.bottleneck,
    });
    put!(out, "<script type=\"application/json\" id=\"meta\">{}</script>\n", html::json(&meta));
    Ok(())
}
