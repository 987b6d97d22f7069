//! The sink that was asked for, on standard output.

use std::io::{self, Write};

use super::columns::Selection;
use crate::config::{Fields, Format, Output};
use crate::probe::Kind;
use crate::sink::csv::Csv;
use crate::sink::jsonl::Jsonl;
use crate::sink::text::{Cell, Layout, Part, Text};
use crate::sink::{Sink, Stdout};
use crate::table::{Selected, Set, Table, Type};

/// A line on standard error, in one piece: the command that is traced writes there too.
pub fn tell(line: &str) {
    let _ = io::stderr().write_all(format!("tcc-trace: {line}\n").as_bytes());
}

/// The sink.
pub fn sink(output: &Output, selection: &Selection) -> io::Result<Box<dyn Sink>> {
    let out = Stdout::new()?;
    let tables: Vec<Table> = selection.tables.iter().map(|(_, table)| table.clone()).collect();
    Ok(match (output.format, &tables[..]) {
        (Format::Jsonl, _) => Box::new(Jsonl::new(out, &tables)),
        (Format::Csv, [table]) => Box::new(Csv::new(out, table, output.header)),
        (Format::Csv, _) => return Err(io::Error::other("csv has the columns of one kind only")),
        (Format::Text, _) => Box::new(Text::new(out, text_layout(output, selection))),
    })
}

/// Of one kind its own view, and what goes beyond the standard fields below; named fields in their order. Of several what
/// they have in common, and the rest of each one's view behind it.
fn text_layout(output: &Output, selection: &Selection) -> Layout {
    let (cells, details, inline) = match &selection.tables[..] {
        [(_, table)] if matches!(output.fields, Fields::Named(_)) => {
            let cells = table.columns.iter().map(|&s| cell(s.column.name, 0, s)).collect();
            (cells, Vec::new(), false)
        }
        [(kind, table)] => (view(kind.view, table), vec![beyond(table)], false),
        several => {
            let common = several.first().map_or(Vec::new(), |(kind, table)| {
                view(kind.view.get(..COMMON).unwrap_or_default(), table)
            });
            let kind = Cell { title: "EVENT".into(), part: Part::Kind, width: 14 };
            let mut cells = common;
            cells.insert(cells.len().min(1), kind);
            let details = several.iter().map(|(kind, table)| rest(kind, table, output)).collect();
            (cells, details, true)
        }
    };
    Layout { cells, details, inline, header: output.header, color: output.color }
}

/// How many cells every kind's view begins with: time and the two ends.
const COMMON: usize = 3;

fn view(view: &[(&str, &str, usize)], table: &Table) -> Vec<Cell> {
    let find = |name: &str| table.columns.iter().find(|s| s.column.name == name).copied();
    view.iter()
        .filter_map(|&(title, name, width)| match name.split_once(':') {
            Some((addr, port)) => {
                let part = Part::Endpoint(find(addr)?, find(port)?);
                Some(Cell { title: title.into(), part, width })
            }
            None => Some(cell(title, width, find(name)?)),
        })
        .collect()
}

fn beyond(table: &Table) -> Table {
    let full = |s: &&Selected| s.column.set == Set::Full;
    Table { columns: table.columns.iter().filter(full).copied().collect(), ..table.clone() }
}

/// What a kind's line shows behind the common cells.
fn rest(kind: &Kind, table: &Table, output: &Output) -> Table {
    let viewed = |name: &str| kind.view.iter().skip(COMMON).any(|(_, column, _)| *column == name);
    let shown = |s: &&Selected| match output.fields {
        Fields::Standard => viewed(s.column.name),
        Fields::All => viewed(s.column.name) || s.column.set == Set::Full,
        Fields::Named(_) => {
            !matches!(s.column.name, "time" | "saddr" | "sport" | "daddr" | "dport")
        }
    };
    Table { columns: table.columns.iter().filter(shown).copied().collect(), ..table.clone() }
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
