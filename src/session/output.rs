//! The sink that was asked for, on standard output.

use std::io::{self, Write};

use super::columns::Selection;
use crate::config::{Fields, Format, Output};
use crate::probe::Kind;
use crate::sink::csv::Csv;
use crate::sink::jsonl::Jsonl;
use crate::sink::text::{Cell, Layout, Part, Text};
use crate::sink::{Sink, Stdout};
use crate::table::{Selected, Set, Type};

/// A line on standard error, in one piece: the command that is traced writes there too.
pub fn tell(line: &str) {
    let _ = io::stderr().write_all(format!("tcc-trace: {line}\n").as_bytes());
}

/// The sink.
pub fn sink(
    output: &Output,
    kind: &'static Kind,
    selection: &Selection,
) -> io::Result<Box<dyn Sink>> {
    let out = Stdout::new()?;
    Ok(match output.format {
        Format::Jsonl => Box::new(Jsonl::new(out, kind.name, &selection.columns)),
        Format::Csv => Box::new(Csv::new(out, kind.name, &selection.columns, output.header)),
        Format::Text => Box::new(Text::new(out, text_layout(output, kind, selection))),
    })
}

/// Named fields are columns in that order. Else the kind's own view, and what goes beyond the standard fields below.
fn text_layout(output: &Output, kind: &Kind, selection: &Selection) -> Layout {
    let (cells, details) = if matches!(output.fields, Fields::Named(_)) {
        (selection.columns.iter().map(|&s| cell(s.column.name, 0, s)).collect(), Vec::new())
    } else {
        let find = |name: &str| selection.columns.iter().find(|s| s.column.name == name).copied();
        let cells = kind
            .view
            .iter()
            .filter_map(|&(title, name, width)| match name.split_once(':') {
                Some((addr, port)) => {
                    let part = Part::Endpoint(find(addr)?, find(port)?);
                    Some(Cell { title: title.into(), part, width })
                }
                None => Some(cell(title, width, find(name)?)),
            })
            .collect();
        (cells, selection.columns.iter().filter(|s| s.column.set == Set::Full).copied().collect())
    };
    Layout { cells, details, header: output.header, color: output.color }
}

fn cell(title: &str, width: usize, selected: Selected) -> Cell {
    let least = if width > 0 {
        width
    } else {
        match selected.column.ty {
            Type::Time => 15,
            Type::Address => 15,
            Type::Unsigned | Type::Signed => 6,
            _ => 4,
        }
    };
    Cell { title: title.into(), part: Part::Column(selected), width: least.max(title.len()) }
}
