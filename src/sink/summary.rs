//! Summaries as text: aligned lines, or histograms like those of the bcc tools.

use super::text::{TITLE, WIDTH, write_cell, write_endpoint};
use super::time::TimeFormat;
use super::{page, shares};
use crate::table::summary::{Bucket, Form, Line, Scale, Summary, SummarySchema, ViewColumn};
use crate::table::{Type, Value};

#[derive(Clone, Copy)]
pub(super) struct TextStyle {
    pub(super) header: bool,
    pub(super) color: bool,
    /// The maximum number of rows.
    pub(super) rows: usize,
}

/// The length of the longest bar.
const BAR: u64 = 40;

pub(super) fn write(
    summary: &Summary<'_>,
    style: TextStyle,
    time: &mut TimeFormat,
    out: &mut Vec<u8>,
) {
    if style.header {
        let mut moment = Vec::new();
        time.short(summary.time, &mut moment);
        let moment = String::from_utf8_lossy(&moment).into_owned();
        push(out, style, format!("{moment} {}", summary.title).trim_end());
    }
    match &summary.shape.form {
        Form::Shares(shares) => shares::write(summary, shares, style, time, out),
        Form::Page => page::write(summary, style, time, out),
        Form::Lines(views) => lines(summary, views, style, time, out),
        Form::Histogram(scale) => {
            for line in &summary.lines {
                histogram(summary.shape, line, *scale, style, time, out);
            }
        }
    }
    // Separates summaries.
    out.push(b'\n');
}

pub(super) fn push(out: &mut Vec<u8>, style: TextStyle, text: &str) {
    if style.color {
        out.extend_from_slice(format!("{TITLE}{text}{TITLE:#}\n").as_bytes());
    } else {
        out.extend_from_slice(text.as_bytes());
        out.push(b'\n');
    }
}

fn lines(
    summary: &Summary<'_>,
    views: &[ViewColumn],
    style: TextStyle,
    time: &mut TimeFormat,
    out: &mut Vec<u8>,
) {
    let shape = summary.shape;
    let rows: Vec<Vec<String>> = summary
        .lines
        .iter()
        .take(style.rows)
        .map(|line| views.iter().map(|view| cell(shape, line, view, time)).collect())
        .collect();
    let widths: Vec<usize> = views
        .iter()
        .enumerate()
        .map(|(i, view)| {
            let longest = rows.iter().filter_map(|row| row.get(i)).map(|cell| cell.chars().count());
            longest.max().unwrap_or(0).max(view.width).max(view.title.len())
        })
        .collect();
    let pad = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for ((view, width), cell) in views.iter().zip(&widths).zip(cells) {
            text += &if left(shape, view) {
                format!("{cell:<width$} ")
            } else {
                format!("{cell:>width$} ")
            };
        }
        text.trim_end().to_owned()
    };
    if style.header {
        push(out, style, &pad(&mut views.iter().map(|view| view.title)));
    }
    for row in &rows {
        out.extend_from_slice(pad(&mut row.iter().map(String::as_str)).as_bytes());
        out.push(b'\n');
    }
}

fn left(shape: &SummarySchema, view: &ViewColumn) -> bool {
    view.column.contains(':')
        || shape
            .column(view.column)
            .is_some_and(|column| matches!(column.ty, Type::Text | Type::Address))
}

pub(super) fn cell(
    shape: &SummarySchema,
    line: &Line<'_>,
    view: &ViewColumn,
    time: &mut TimeFormat,
) -> String {
    let find = |name: &str| shape.find(line, name).unwrap_or(Value::Null);
    let of = view.column.split_once(':').map_or(view.column, |(addr, _)| addr);
    if line.key.is_none() && shape.key.first().is_some_and(|column| column.name == of) {
        return "all others".to_owned();
    }
    let mut text = Vec::new();
    match view.column.split_once(':') {
        Some((addr, port)) => write_endpoint(find(addr), find(port), &mut text),
        None => match find(view.column) {
            Value::U64(n) => {
                write_cell(Value::U64((n + view.per / 2) / view.per.max(1)), time, &mut text);
            }
            value => write_cell(value, time, &mut text),
        },
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn histogram(
    shape: &SummarySchema,
    line: &Line<'_>,
    scale: Scale,
    style: TextStyle,
    time: &mut TimeFormat,
    out: &mut Vec<u8>,
) {
    out.push(b'\n');
    let text = |value: Value<'_>, time: &mut TimeFormat| {
        let mut text = Vec::new();
        write_cell(value, time, &mut text);
        String::from_utf8_lossy(&text).into_owned()
    };
    let name = match &line.key {
        None => "all others".to_owned(),
        Some(key) => {
            let parts = shape.key.iter().zip(key);
            let parts =
                parts.map(|(column, value)| format!("{}={}", column.name, text(*value, time)));
            parts.collect::<Vec<_>>().join(" ")
        }
    };
    if !name.is_empty() {
        push(out, style, &name);
    }
    bars(&line.buckets, scale, out);
    let values = shape.columns.iter().zip(&line.values);
    let mut column_at = 0;
    for (i, (column, value)) in values.enumerate() {
        let cell = match (scale, column.name.strip_suffix("_us")) {
            (Scale::Milliseconds, Some(name)) => format!("{name}_ms:{}", milliseconds(*value)),
            _ => format!("{}:{}", column.name, text(*value, time)),
        };
        if i > 0 {
            let fits = column_at + 1 + cell.len() <= WIDTH;
            out.push(if fits { b' ' } else { b'\n' });
            column_at = if fits { column_at + 1 } else { 0 };
        }
        column_at += cell.len();
        out.extend_from_slice(cell.as_bytes());
    }
    out.push(b'\n');
}

/// A row for each power of two, from 0 to the last that is not empty.
fn bars(buckets: &[Bucket], scale: Scale, out: &mut Vec<u8>) {
    let mut rows: Vec<u64> = Vec::new();
    for bucket in buckets {
        let row = power(bucket.from);
        rows.resize(rows.len().max(row + 1), 0);
        rows[row] += bucket.count;
    }
    let max = rows.iter().copied().max().unwrap_or(0);
    if max == 0 {
        return;
    }
    let unit = if scale == Scale::Microseconds { "us" } else { "ms" };
    out.extend_from_slice(format!("{unit:>20}{:<15}: count     distribution\n", "").as_bytes());
    for (row, &count) in rows.iter().enumerate() {
        let (from, to) = (if row == 0 { 0 } else { 1_u64 << row }, (2_u64 << row) - 1);
        let length = u128::from(count) * u128::from(BAR) / u128::from(max);
        let stars = "*".repeat(usize::try_from(length).unwrap_or(0));
        let (from, to) = (label(from, scale), label(to, scale));
        let line = format!("{from:>14} -> {to:<14}   : {count:<8} |{stars:<40}|\n");
        out.extend_from_slice(line.as_bytes());
    }
}

/// The power of two at which the value's row begins; 0 shares a row with 1.
fn power(value: u64) -> usize {
    value.max(1).ilog2() as usize
}

/// Microseconds as milliseconds, without loss of precision.
fn milliseconds(us: Value<'_>) -> String {
    match us {
        Value::U64(us) => label(us, Scale::Milliseconds),
        Value::F64(us) => format!("{:.3}", us / 1000.0),
        _ => "-".to_owned(),
    }
}

fn label(us: u64, scale: Scale) -> String {
    match scale {
        Scale::Microseconds => us.to_string(),
        Scale::Milliseconds => format!("{}.{:03}", us / 1000, us % 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sink;
    use super::super::csv::Csv;
    use super::super::jsonl::Jsonl;
    use super::super::text::{Layout, Text};
    use super::*;
    use crate::table::{Column, Moment, Origin, Set, Unit};

    const fn column(name: &'static str, ty: Type) -> Column {
        Column {
            name,
            ty,
            unit: Unit::None,
            set: Set::Standard,
            doc: "",
            source: "",
            need: None,
            origin: Origin::Aggregate,
        }
    }

    static KEY: [Column; 2] = [column("saddr", Type::Address), column("sport", Type::Unsigned)];
    static COLUMNS: [Column; 3] = [
        column("comm", Type::Text),
        column("tx_bytes", Type::Unsigned),
        column("srtt_us", Type::Unsigned),
    ];
    const VIEW: &[ViewColumn] = &[
        ViewColumn { title: "COMM", column: "comm", width: 8, per: 1 },
        ViewColumn { title: "LOCAL", column: "saddr:sport", width: 12, per: 1 },
        ViewColumn { title: "TX_KB", column: "tx_bytes", width: 6, per: 1024 },
        ViewColumn { title: "SRTT_US", column: "srtt_us", width: 4, per: 1 },
    ];

    /// Two rows in that form; the second one has no key.
    fn written(form: Form, format: &str) -> String {
        let (key, columns) = (KEY.iter().collect(), COLUMNS.iter().collect());
        let shape = SummarySchema { command: "demo", key, columns, form };
        let bucket = |from, to, count| Bucket { from, to, count };
        let lines = vec![
            Line {
                key: Some(vec![Value::Ip([192, 0, 2, 1].into()), Value::U64(443)]),
                values: vec![Value::Str("a\x1bb"), Value::U64(2_097_152 + 600), Value::U64(70)],
                buckets: vec![bucket(0, 0, 1), bucket(1, 1, 1), bucket(8, 8, 4), bucket(9, 9, 4)],
            },
            Line {
                key: None,
                values: vec![Value::Null, Value::U64(0), Value::Null],
                buckets: vec![bucket(2, 2, 1)],
            },
        ];
        let (time, title) = (Moment::Elapsed(1_500_000_000), "1.000 s".to_owned());
        let summary = Summary { shape: &shape, time, interval_ns: 1_000_000_000, title, lines };
        let mut out = Vec::new();
        let mut sink: Box<dyn Sink + '_> = match format {
            "csv" => Box::new(Csv::new(&mut out, &[], true)),
            "jsonl" => Box::new(Jsonl::new(&mut out, &[])),
            _ => Box::new(Text::new(
                &mut out,
                Layout {
                    cells: Vec::new(),
                    details: Vec::new(),
                    inline: false,
                    header: true,
                    color: false,
                    redraw: format == "screen",
                    rows: None,
                },
            )),
        };
        sink.begin().unwrap();
        sink.summary(&summary).unwrap();
        sink.flush().unwrap();
        drop(sink);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_are_aligned_and_a_missing_value_is_a_dash() {
        let text = "\
1.500000 1.000 s
COMM     LOCAL          TX_KB SRTT_US
a\\x1bb   192.0.2.1:443   2049      70
-        all others         0       -

";
        assert_eq!(written(Form::Lines(VIEW.to_vec()), "text"), text);
    }

    #[test]
    fn a_bar_for_each_power_of_two() {
        let text = "\
1.500000 1.000 s

saddr=192.0.2.1 sport=443
                  us               : count     distribution
             0 -> 1                : 2        |**********                              |
             2 -> 3                : 0        |                                        |
             4 -> 7                : 0        |                                        |
             8 -> 15               : 8        |****************************************|
comm:a\\x1bb tx_bytes:2097752 srtt_us:70

all others
                  us               : count     distribution
             0 -> 1                : 0        |                                        |
             2 -> 3                : 1        |****************************************|
comm:- tx_bytes:0 srtt_us:-

";
        assert_eq!(written(Form::Histogram(Scale::Microseconds), "text"), text);
        let ms = written(Form::Histogram(Scale::Milliseconds), "text");
        let row = "         0.008 -> 0.015            : 8        |****************************************|";
        assert!(ms.lines().any(|line| line == row), "{ms}");
        let values: Vec<&str> = ms.lines().filter(|line| line.starts_with("comm:")).collect();
        let wanted = ["comm:a\\x1bb tx_bytes:2097752 srtt_ms:0.070", "comm:- tx_bytes:0 srtt_ms:-"];
        assert_eq!(values, wanted, "{ms}");
        assert_eq!(milliseconds(Value::F64(1_234_567.8)), "1234.568");
    }

    #[test]
    fn on_a_screen_one_takes_the_place_of_the_other() {
        let text = written(Form::Lines(VIEW.to_vec()), "screen");
        assert!(text.starts_with("\x1b[H\x1b[2J1.500000 1.000 s\n"), "{text:?}");
        assert_eq!(text.matches('\x1b').count(), 2, "{text:?}");
    }

    #[test]
    fn machines_get_every_bucket_with_its_row() {
        let csv = "\
type,command,time,interval_ns,saddr,sport,comm,tx_bytes,srtt_us,bucket_from_us,bucket_to_us,bucket_count
summary,demo,1.500000000,1000000000,192.0.2.1,443,a\\x1bb,2097752,70,0,0,1
summary,demo,1.500000000,1000000000,192.0.2.1,443,a\\x1bb,2097752,70,1,1,1
summary,demo,1.500000000,1000000000,192.0.2.1,443,a\\x1bb,2097752,70,8,8,4
summary,demo,1.500000000,1000000000,192.0.2.1,443,a\\x1bb,2097752,70,9,9,4
summary,demo,1.500000000,1000000000,,,,0,,2,2,1
";
        assert_eq!(written(Form::Histogram(Scale::Microseconds), "csv"), csv);
        let lines = written(Form::Lines(VIEW.to_vec()), "csv");
        assert!(lines.ends_with("summary,demo,1.500000000,1000000000,,,,0,\n"), "{lines}");
        let jsonl = written(Form::Histogram(Scale::Microseconds), "jsonl");
        let second = r#"{"type":"summary","command":"demo","time":1.500000000,"interval_ns":1000000000,"key":null,"comm":null,"tx_bytes":0,"srtt_us":null,"buckets":[{"from_us":2,"to_us":2,"count":1}]}"#;
        assert_eq!(jsonl.lines().nth(1), Some(second));
        assert!(jsonl.contains(r#""key":{"saddr":"192.0.2.1","sport":443},"comm":"a\u001bb""#));
        assert!(!written(Form::Lines(VIEW.to_vec()), "jsonl").contains("buckets"));
    }
}
