//! Summaries with several metrics per key, as text: a block per key, a line per metric.

use super::summary::{TextStyle, push};
use super::text::{WIDTH, write_cell};
use super::time::TimeFormat;
use crate::table::Value;
use crate::table::summary::{Line, Summary, SummarySchema};

/// Width of the metric's name, at least.
const NAME: usize = 15;
/// Columns of a distribution, in order of printing.
const STATISTICS: [&str; 7] = ["avg", "min", "p50", "p90", "p99", "p999", "max"];

pub(super) fn write(
    summary: &Summary<'_>,
    style: TextStyle,
    time: &mut TimeFormat,
    out: &mut Vec<u8>,
) {
    let shape = summary.shape;
    let lines: Vec<(String, &Line<'_>)> =
        summary.lines.iter().map(|line| (heading(shape, line, time), line)).collect();
    let metric = |line: &Line<'_>| match shape.find(line, "metric") {
        Some(Value::Str(metric)) => metric.to_owned(),
        _ => String::new(),
    };
    let longest = summary.lines.iter().map(|line| metric(line).len()).max();
    let width = longest.unwrap_or_default().max(NAME);
    for block in lines.chunk_by(|(a, _), (b, _)| a == b).take(style.rows) {
        if let Some((heading, _)) = block.first().filter(|(heading, _)| !heading.is_empty()) {
            push(out, style, heading);
        }
        for metrics in block.chunk_by(|(_, a), (_, b)| metric(a) == metric(b)) {
            let mut cells = Vec::new();
            for (_, line) in metrics {
                add_cells(shape, line, time, &mut cells);
            }
            let name = metrics.first().map(|(_, line)| metric(line)).unwrap_or_default();
            wrap(&name, width, &cells, out);
        }
    }
}

/// `sport=443 ca_name=cubic`; empty without keys.
fn heading(shape: &SummarySchema, line: &Line<'_>, time: &mut TimeFormat) -> String {
    let Some(key) = &line.key else { return "all others".to_owned() };
    let parts = shape.key.iter().zip(key);
    let parts = parts.map(|(column, value)| format!("{}={}", column.name, text(*value, time)));
    parts.collect::<Vec<_>>().join(" ")
}

fn text(value: Value<'_>, time: &mut TimeFormat) -> String {
    let mut text = Vec::new();
    write_cell(value, time, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn add_cells(
    shape: &SummarySchema,
    line: &Line<'_>,
    time: &mut TimeFormat,
    cells: &mut Vec<String>,
) {
    let find = |name: &str| shape.find(line, name).unwrap_or(Value::Null);
    let value = text(find("value"), time);
    match (find("label"), find("unset")) {
        (Value::Str(label), _) => cells.push(format!("{label} {value}")),
        (_, Value::Null) => cells.push(value),
        (_, _) => {
            cells.push(format!("{value} values"));
            let known = |name: &&&str| find(name) != Value::Null;
            let statistics = STATISTICS.iter().filter(known);
            cells.extend(statistics.map(|name| match find(name) {
                Value::F64(number) => format!("{name} {number:.1}"),
                value => format!("{name} {}", text(value, time)),
            }));
        }
    }
    if let Value::F64(ratio) = find("per_data_seg")
        && ratio > 0.0
        && let Some(last) = cells.last_mut()
    {
        *last += &format!(" ({:.3} %)", ratio * 100.0);
    }
}

fn wrap(name: &str, width: usize, cells: &[String], out: &mut Vec<u8>) {
    let mut line = format!("  {name:<width$}");
    let mut is_full = false;
    for cell in cells {
        if is_full && line.chars().count() + 2 + cell.chars().count() > WIDTH {
            out.extend_from_slice(line.trim_end().as_bytes());
            out.push(b'\n');
            line = " ".repeat(width + 2);
        }
        line += "  ";
        line += cell;
        is_full = true;
    }
    out.extend_from_slice(line.trim_end().as_bytes());
    out.push(b'\n');
}
