//! Text: aligned columns with two header lines (names, units), at most 100 characters wide with IPv4 addresses. Further fields
//! follow on indented lines, as in `ss`.

use std::io::{self, Write};
use std::iter::repeat_n;

use anstyle::{AnsiColor, Style};

use super::csv::write_value;
use super::jsonl::write_ip;
use super::out::Out;
use super::summary::TextStyle;
use super::time::TimeFormat;
use super::{Format, Note, Progress, Sink, Stage};
use crate::accounting::Accounting;
use crate::decode::Event;
use crate::table::summary::Summary;
use crate::table::{ColumnSet, MergedColumn, Moment, Type, Unit, Value};

pub(super) const TITLE: Style = Style::new().bold();
const DETAIL: Style = AnsiColor::BrightBlack.on_default();
/// Where detail lines wrap.
pub(super) const WIDTH: usize = 100;
/// What was left out.
const NOTICE: Style = AnsiColor::Yellow.on_default();
const INDENT: &str = "    ";
/// Moves the cursor to the top left and clears the screen.
const CLEAR: &[u8] = b"\x1b[H\x1b[2J";

/// The content of a cell.
#[derive(Clone)]
pub enum CellPart {
    Column(MergedColumn),
    /// `address:port`, of two columns.
    Endpoint(MergedColumn, MergedColumn),
    /// The event type.
    EventType,
}

/// A column of the text output. It widens for a longer value and stays so.
#[derive(Clone)]
pub struct Cell {
    pub title: String,
    pub part: CellPart,
    pub width: usize,
}

impl Cell {
    fn unit(&self) -> &'static str {
        match &self.part {
            CellPart::Column(c) => match c.column().unit {
                Unit::Segments => "segs",
                Unit::Sequence => "seq",
                unit => unit.name(),
            },
            CellPart::Endpoint(..) | CellPart::EventType => "",
        }
    }

    fn left(&self) -> bool {
        match &self.part {
            CellPart::Column(c) => is_left(c.column().ty),
            CellPart::Endpoint(..) | CellPart::EventType => true,
        }
    }
}

/// Text is aligned to the left, numbers to the right.
pub(super) fn is_left(ty: Type) -> bool {
    matches!(ty, Type::Text | Type::Address | Type::Time)
}

/// The layout of the lines.
#[derive(Clone, Default)]
pub struct Layout {
    pub cells: Vec<Cell>,
    /// Further fields of each event type, as `name:value`.
    pub details: Vec<ColumnSet>,
    /// The details begin on the event's line, not on an indented one below it.
    pub inline: bool,
    pub header: bool,
    pub color: bool,
    /// Each summary replaces the previous one.
    pub redraw: bool,
    /// The maximum number of rows of a summary.
    pub rows: Option<usize>,
}

/// The format.
pub static FORMAT: Format = Format {
    is_text: true,
    ..Format::lines("text", "Aligned columns, for people.", |out, columns| {
        Box::new(Text::new(out, columns.layout.clone()))
    })
};

/// The sink.
pub struct Text<W: Write> {
    buffer: Out<W>,
    layout: Layout,
    cell: Vec<u8>,
    time: TimeFormat,
}

impl<W: Write> Text<W> {
    pub fn new(out: W, layout: Layout) -> Self {
        Text { buffer: Out::new(out), layout, cell: Vec::new(), time: TimeFormat::default() }
    }

    fn header_line(&mut self, text: impl Fn(&Cell) -> String) {
        let mut line = String::new();
        for cell in &self.layout.cells {
            let text = text(cell);
            let width = cell.width;
            line +=
                &if cell.left() { format!("{text:<width$} ") } else { format!("{text:>width$} ") };
        }
        let line = line.trim_end();
        // No column has a unit.
        if line.is_empty() {
            return;
        }
        if self.layout.color {
            self.buffer.extend_from_slice(format!("{TITLE}{line}{TITLE:#}\n").as_bytes());
        } else {
            self.buffer.extend_from_slice(format!("{line}\n").as_bytes());
        }
    }

    /// Prints the details of an event, starting at that column of the line and wrapping at `WIDTH`. Each stack frame has a
    /// separate line.
    fn details(&mut self, event: &Event<'_>, mut column: usize) {
        let start = self.buffer.len();
        let mut group_absent = None;
        let mut stack = None;
        let event_type = usize::from(event.event_type().number);
        let table = self.layout.details.iter().find(|table| table.event_type == event_type);
        for selected in table.iter().flat_map(|table| &table.columns) {
            let group = selected.column.group();
            if group.is_some() && group_absent == group {
                continue;
            }
            if let Some(name) = group
                && !event.has_group(name)
            {
                group_absent = group;
                continue;
            }
            let value = event.selected(Some(selected));
            if value == Value::Null {
                continue;
            }
            if let Value::Stack(addresses, symbols) = value {
                stack = Some((addresses, symbols));
                continue;
            }
            self.cell.clear();
            self.cell.extend_from_slice(selected.column.name.as_bytes());
            self.cell.push(b':');
            write_value(value, &mut self.time, &mut self.cell);
            if column + 1 + self.cell.len() > WIDTH {
                if self.layout.inline || self.buffer.len() > start {
                    self.buffer.push(b'\n');
                }
                self.buffer.extend_from_slice(INDENT.as_bytes());
                column = INDENT.len();
            } else {
                self.buffer.push(b' ');
                column += 1;
            }
            self.buffer.extend_from_slice(&self.cell);
            column += self.cell.len();
        }
        for (i, address) in stack.iter().flat_map(|(addresses, _)| addresses.iter()).enumerate() {
            if i > 0 || self.layout.inline || self.buffer.len() > start {
                self.buffer.push(b'\n');
            }
            self.buffer.extend_from_slice(INDENT.as_bytes());
            if let Some((_, symbols)) = stack {
                write_cell(Value::Code(address, symbols), &mut self.time, &mut self.buffer);
            }
        }
        if self.buffer.len() > start && self.layout.color {
            let lines = self.buffer.split_off(start);
            let lines = String::from_utf8_lossy(&lines).into_owned();
            self.buffer.extend_from_slice(format!("{DETAIL}{lines}{DETAIL:#}").as_bytes());
        }
        if self.layout.inline || self.buffer.len() > start {
            self.buffer.push(b'\n');
        }
    }
}

impl<W: Write> Sink for Text<W> {
    fn begin(&mut self) -> io::Result<()> {
        // Summaries print their own header.
        if self.layout.header && !self.layout.cells.is_empty() {
            self.header_line(|cell| cell.title.clone());
            self.header_line(|cell| cell.unit().to_owned());
        }
        Ok(())
    }

    fn event(&mut self, event: &Event<'_>) -> io::Result<()> {
        let line = self.buffer.len();
        let last = self.layout.cells.len().saturating_sub(usize::from(!self.layout.inline));
        for (i, cell) in self.layout.cells.iter_mut().enumerate() {
            self.cell.clear();
            match &cell.part {
                CellPart::Column(column) => {
                    write_cell(event.merged(column), &mut self.time, &mut self.cell)
                }
                CellPart::Endpoint(addr, port) => {
                    write_endpoint(event.merged(addr), event.merged(port), &mut self.cell)
                }
                CellPart::EventType => {
                    self.cell.extend_from_slice(event.event_type().name.as_bytes());
                }
            }
            cell.width = cell.width.max(self.cell.len());
            let padding = cell.width - self.cell.len();
            if !cell.left() {
                self.buffer.extend(repeat_n(b' ', padding));
            }
            self.buffer.extend_from_slice(&self.cell);
            if i < last {
                let padding = if cell.left() { padding + 1 } else { 1 };
                self.buffer.extend(repeat_n(b' ', padding));
            }
        }
        if self.layout.inline {
            let column = self.buffer.len() - line;
            self.details(event, column);
        } else {
            self.buffer.push(b'\n');
            self.details(event, WIDTH);
        }
        self.buffer.line()
    }

    fn summary(&mut self, summary: &Summary<'_>) -> io::Result<()> {
        let Layout { header, color, rows, .. } = self.layout;
        let style = TextStyle { header, color, rows: rows.unwrap_or(usize::MAX) };
        if self.layout.redraw {
            self.buffer.extend_from_slice(CLEAR);
        }
        super::summary::write(summary, style, &mut self.time, &mut self.buffer);
        Ok(())
    }

    fn account(&mut self, _: Stage, _: Moment, _: &Accounting) -> io::Result<()> {
        Ok(())
    }

    /// `-- in 1.0 s: probe: 300 rate limited + 12 lost`
    fn note(&mut self, note: &Note<'_>) -> io::Result<()> {
        let Note::LeftOut(_, notice) = note else { return Ok(()) };
        let line = notice.line();
        if self.layout.color {
            writeln!(self.buffer, "{NOTICE}-- {line}{NOTICE:#}")
        } else {
            writeln!(self.buffer, "-- {line}")
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.buffer.flush()
    }

    fn progress(&self) -> Progress {
        self.buffer.progress()
    }
}

pub(super) fn write_cell(value: Value<'_>, time: &mut TimeFormat, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(b'-'),
        Value::Code(address, symbols) if symbols.shown(address).is_none() => out.push(b'-'),
        Value::Time(moment) => time.short(moment, out),
        value => write_value(value, time, out),
    }
}

pub(super) fn write_endpoint(addr: Value<'_>, port: Value<'_>, out: &mut Vec<u8>) {
    if let (Value::Ip(ip), Value::U64(port)) = (addr, port) {
        if ip.is_ipv6() {
            out.push(b'[');
        }
        write_ip(ip, out);
        if ip.is_ipv6() {
            out.push(b']');
        }
        out.push(b':');
        out.extend_from_slice(itoa::Buffer::new().format(port).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_command_the_terminal() {
        let mut out = Vec::new();
        write_cell(Value::Str("e\x1b[2J\nx\u{9b}"), &mut TimeFormat::default(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r"e\x1b[2J\x0ax\xc2\x9b");
    }
}
