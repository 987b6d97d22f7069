//! Events in a custom line format (`--format`).

use std::io::{self, Write};
use std::iter::repeat_n;

use super::out::Out;
use super::text::{is_left, write_cell};
use super::time::TimeFormat;
use super::{Progress, Sink, Stage};
use crate::accounting::Accounting;
use crate::decode::Event;
use crate::table::summary::Summary;
use crate::table::{ColumnSet, MergedColumn, Moment, Value};

/// The event type's name, which is not a column.
pub const EVENT_TYPE: &str = "type";

/// How a column is padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text to the left, numbers to the right.
    ByType,
    Left,
    Right,
}

/// A parsed piece of the template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    /// The column of that name, or [`EVENT_TYPE`].
    Column {
        name: String,
        align: Align,
        width: usize,
    },
}

/// A piece with its column resolved.
enum Part {
    Text(String),
    /// The event type's name (`None`) or a column, and how it is padded.
    Cell {
        of: Option<MergedColumn>,
        left: bool,
        width: usize,
    },
}

/// The sink.
pub struct Template<W: Write> {
    buffer: Out<W>,
    parts: Vec<Part>,
    cell: Vec<u8>,
    time: TimeFormat,
}

impl<W: Write> Template<W> {
    /// The names must exist in one of the tables.
    pub fn new(out: W, tables: &[ColumnSet], template: &[Piece]) -> Self {
        let parts = template.iter().map(|piece| match piece {
            Piece::Text(text) => Part::Text(text.clone()),
            Piece::Column { name, align, width } => {
                let of = MergedColumn::new(tables, name);
                let left = match align {
                    Align::Left => true,
                    Align::Right => false,
                    Align::ByType => of.as_ref().is_none_or(|of| is_left(of.column().ty)),
                };
                Part::Cell { of, left, width: *width }
            }
        });
        Template {
            buffer: Out::new(out),
            parts: parts.collect(),
            cell: Vec::new(),
            time: TimeFormat::default(),
        }
    }
}

impl<W: Write> Sink for Template<W> {
    fn begin(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn event(&mut self, event: &Event<'_>) -> io::Result<()> {
        for part in &self.parts {
            let (of, left, width) = match part {
                Part::Text(text) => {
                    self.buffer.extend_from_slice(text.as_bytes());
                    continue;
                }
                Part::Cell { of, left, width } => (of, *left, *width),
            };
            let value = match of {
                Some(column) => event.merged(column),
                None => Value::Str(event.event_type().name),
            };
            self.cell.clear();
            write_cell(value, &mut self.time, &mut self.cell);
            let padding = width.saturating_sub(self.cell.len());
            if !left {
                self.buffer.extend(repeat_n(b' ', padding));
            }
            self.buffer.extend_from_slice(&self.cell);
            if left {
                self.buffer.extend(repeat_n(b' ', padding));
            }
        }
        self.buffer.push(b'\n');
        self.buffer.line()
    }

    fn summary(&mut self, _: &Summary<'_>) -> io::Result<()> {
        // The command line does not allow it.
        Err(io::Error::other("--format cannot be used with a summary"))
    }

    fn account(&mut self, _: Stage, _: Moment, _: &Accounting) -> io::Result<()> {
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.buffer.flush()
    }

    fn progress(&self) -> Progress {
        self.buffer.progress()
    }
}
