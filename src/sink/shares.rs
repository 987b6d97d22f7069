//! Summaries whose rows are parts of a whole, as text: a heading, a bar, and sentences that explain it.

use std::cmp::Reverse;

use anstyle::Style;

use super::summary::{TextStyle, cell};
use super::text::WIDTH;
use super::time::TimeFormat;
use crate::escape;
use crate::table::Value;
use crate::table::summary::{Line, Shares, Summary, SummarySchema};

/// Characters of a bar.
const BAR: usize = 40;
const INDENT: &str = "  ";

pub(super) fn write(
    summary: &Summary<'_>,
    shares: &Shares,
    style: TextStyle,
    time: &mut TimeFormat,
    out: &mut Vec<u8>,
) {
    for line in summary.lines.iter().take(style.rows) {
        let heading = heading(summary.shape, line, shares, time);
        out.extend_from_slice(heading.as_bytes());
        out.push(b'\n');
        bar(summary.shape, line, shares, style.color, out);
        if let Some(Value::Str(notes)) = summary.shape.find(line, shares.notes) {
            for note in notes.split(". ") {
                wrap(note, out);
            }
        }
    }
}

fn heading(
    shape: &SummarySchema,
    line: &Line<'_>,
    shares: &Shares,
    time: &mut TimeFormat,
) -> String {
    let mut parts = Vec::new();
    for view in &shares.heading {
        let text = cell(shape, line, view, time);
        if view.title.is_empty() {
            parts.push(text);
        } else {
            parts.push(format!("{} {text}", view.title));
        }
    }
    parts.join("  ")
}

/// Each part's time, in the order of the bar.
fn times(shape: &SummarySchema, line: &Line<'_>, shares: &Shares) -> Vec<u64> {
    let time = |column: &str| match shape.find(line, column) {
        Some(Value::U64(time)) => time,
        _ => 0,
    };
    shares.parts.iter().map(|part| time(part.column)).collect()
}

/// Characters of each part, which add up to the bar's: rounded down, and what is left goes to the largest remainders.
fn lengths(times: &[u64], length: usize) -> Vec<usize> {
    let total: u128 = times.iter().map(|time| u128::from(*time)).sum();
    if total == 0 {
        return vec![0; times.len()];
    }
    let scaled = |time: &u64| u128::from(*time) * length as u128;
    let mut lengths: Vec<usize> =
        times.iter().map(|time| usize::try_from(scaled(time) / total).unwrap_or(0)).collect();
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by_key(|&part| (Reverse(times.get(part).map(scaled).unwrap_or(0) % total), part));
    let left = length.saturating_sub(lengths.iter().sum());
    for part in order.into_iter().take(left) {
        if let Some(length) = lengths.get_mut(part) {
            *length += 1;
        }
    }
    lengths
}

fn bar(shape: &SummarySchema, line: &Line<'_>, shares: &Shares, color: bool, out: &mut Vec<u8>) {
    let times = times(shape, line, shares);
    out.extend_from_slice(INDENT.as_bytes());
    for (part, length) in shares.parts.iter().zip(lengths(&times, BAR)) {
        let text = part.letter.to_string().repeat(length);
        if color && length > 0 {
            let style = Style::new().bg_color(Some(part.color.into()));
            out.extend_from_slice(format!("{style}{text}{style:#}").as_bytes());
        } else {
            out.extend_from_slice(text.as_bytes());
        }
    }
    let total: u64 = times.iter().sum();
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by_key(|&part| (Reverse(times.get(part)), part));
    let mut width = INDENT.len() + BAR;
    for part in order {
        let (Some(share), Some(&time)) = (shares.parts.get(part), times.get(part)) else {
            continue;
        };
        let percent = (time as f64 * 100.0 / total.max(1) as f64).round();
        if percent < 1.0 {
            break;
        }
        let name = format!("  {} {percent} %", share.name);
        width += name.len();
        if width > WIDTH {
            break;
        }
        if color {
            let style = Style::new().fg_color(Some(share.color.into()));
            out.extend_from_slice(format!("{style}{name}{style:#}").as_bytes());
        } else {
            out.extend_from_slice(name.as_bytes());
        }
    }
    out.push(b'\n');
}

/// An indented sentence, at most as wide as the page.
fn wrap(text: &str, out: &mut Vec<u8>) {
    let mut width = 0;
    for word in text.split(' ') {
        let word = escape::line(word);
        if width > 0 && width + 1 + word.chars().count() > WIDTH {
            out.push(b'\n');
            width = 0;
        }
        let before = if width == 0 { INDENT } else { " " };
        width += before.len() + word.chars().count();
        out.extend_from_slice(before.as_bytes());
        out.extend_from_slice(word.as_bytes());
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use anstyle::AnsiColor;
    use proptest::prelude::*;

    use super::*;
    use crate::table::summary::{Form, Share, view};
    use crate::table::{Column, Moment, Origin, Set, Type, Unit};

    proptest! {
        #[test]
        fn a_bar_is_full(times in proptest::collection::vec(any::<u64>(), 1..16)) {
            let lengths = lengths(&times, BAR);
            let whole = if times.iter().any(|time| *time > 0) { BAR } else { 0 };
            prop_assert_eq!(lengths.iter().sum::<usize>(), whole);
            let total: f64 = times.iter().map(|time| *time as f64).sum();
            for (time, length) in times.iter().zip(lengths) {
                let exact = if total > 0.0 { *time as f64 * BAR as f64 / total } else { 0.0 };
                prop_assert!((exact - length as f64).abs() < 1.001, "{} {}", exact, length);
            }
        }
    }

    static COLUMNS: [Column; 4] = [
        column("sport", Type::Unsigned, Unit::None),
        column("idle_us", Type::Unsigned, Unit::Microseconds),
        column("path_us", Type::Unsigned, Unit::Microseconds),
        column("evidence", Type::Text, Unit::None),
    ];

    const fn column(name: &'static str, ty: Type, unit: Unit) -> Column {
        let (set, origin) = (Set::Standard, Origin::Aggregate);
        Column { name, ty, unit, set, doc: "", source: "", need: None, origin }
    }

    const fn share(column: &'static str, name: &'static str, letter: char) -> Share {
        Share { column, name, letter, color: AnsiColor::Green }
    }

    static PARTS: [Share; 2] = [share("idle_us", "idle", '.'), share("path_us", "path", '=')];

    fn written(color: bool) -> String {
        let shares =
            Shares { heading: vec![view("port", "sport", 0, 1)], parts: &PARTS, notes: "evidence" };
        let shape = SummarySchema {
            command: "demo",
            key: COLUMNS[..1].iter().collect(),
            columns: COLUMNS[1..].iter().collect(),
            form: Form::Shares(shares.clone()),
        };
        let line = |port, idle, path, notes| Line {
            key: Some(vec![Value::U64(port)]),
            values: vec![Value::U64(idle), Value::U64(path), notes],
            buckets: Vec::new(),
        };
        let notes = Value::Str("path: a queue \x1b[2J of 1.5 ms. idle: 2 pauses");
        let lines =
            vec![line(80, 10, 30, notes), line(81, 0, 0, Value::Null), line(82, 1, 1, notes)];
        let (time, interval_ns, title) = (Moment::Elapsed(0), 1, String::new());
        let summary = Summary { shape: &shape, time, interval_ns, title, lines };
        let style = TextStyle { header: true, color, rows: 2 };
        let mut out = Vec::new();
        write(&summary, &shares, style, &mut TimeFormat::default(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_row_is_a_heading_a_bar_and_sentences() {
        let text = "\
port 80
  ..........==============================  path 75 %  idle 25 %
  path: a queue \\x1b[2J of 1.5 ms
  idle: 2 pauses
port 81
  \n";
        assert_eq!(written(false), text);
        let colored = written(true);
        assert!(colored.contains("\x1b[42m..........\x1b[0m"), "{colored:?}");
    }

    #[test]
    fn a_sentence_fits_the_page() {
        let mut out = Vec::new();
        wrap(&"word ".repeat(50), &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().count() > 2);
        assert!(text.lines().all(|line| line.len() <= WIDTH && line.starts_with(INDENT)), "{text}");
    }
}
