//! The sink that was asked for, on standard output.

use std::io::{self, Write};

use super::columns::Selection;
use crate::config::{Fields, Format, Output};
use crate::probe::{Kind, View};
use crate::sink::Sink;
use crate::sink::csv::Csv;
use crate::sink::jsonl::Jsonl;
use crate::sink::template::{KIND, Template};
use crate::sink::text::{Cell, Layout, Part, Text};
use crate::stdio::Stdout;
pub use crate::stdio::tell;
use crate::table::{Across, Selected, Set, Table, Type, Unit};

/// The sink.
pub fn sink(output: &Output, selection: &Selection) -> io::Result<Box<dyn Sink>> {
    Ok(sink_into(Stdout::new()?, output, selection))
}

/// The same, of bytes that go elsewhere.
pub fn sink_into<W: Write + 'static>(
    out: W,
    output: &Output,
    selection: &Selection,
) -> Box<dyn Sink> {
    let tables: Vec<Table> = selection.tables.iter().map(|(_, table)| table.clone()).collect();
    if let Some(template) = &output.template {
        return Box::new(Template::new(out, &tables, template));
    }
    match output.format {
        Format::Jsonl => Box::new(Jsonl::new(out, &tables)),
        Format::Csv => Box::new(Csv::new(out, &tables, output.header)),
        Format::Text => Box::new(Text::new(out, text_layout(output, selection, &tables), &tables)),
    }
}

/// Of one kind its own view, or the command's, and what it does not show of all fields below; named fields in their
/// order. Of several what they have in common, and the rest of each one's view, or of all fields, behind it.
fn text_layout(output: &Output, selection: &Selection, tables: &[Table]) -> Layout {
    let named = matches!(output.fields, Fields::Named(_));
    let (cells, details, inline) = match (&selection.tables[..], output.view) {
        ([], _) => Default::default(),
        ([(_, table)], _) if named => {
            let names = table.columns.iter().filter(|s| !is_list(s)).map(|s| s.column.name);
            let cells = names.filter_map(|name| cell(tables, name, name, 0)).collect();
            let lists = table.columns.iter().filter(|s| is_list(s)).copied().collect();
            (cells, vec![Table { columns: lists, ..table.clone() }], false)
        }
        ([(kind, table)], None) => {
            (view(kind.view, tables), vec![beyond(table, kind.view, output)], false)
        }
        (_, Some(of_command)) if !named => {
            let details = tables.iter().map(|table| beyond(table, of_command, output)).collect();
            (view(of_command, tables), details, false)
        }
        (several, _) => {
            let common = several.first().map_or(&[][..], |(kind, _)| common(kind));
            let mut cells = view(common, tables);
            let kind = Cell { title: "EVENT".into(), part: Part::Kind, width: 14 };
            cells.insert(cells.len().min(1), kind);
            let details = several.iter().map(|(kind, table)| rest(kind, table, output)).collect();
            (cells, details, true)
        }
    };
    Layout {
        cells,
        details,
        inline,
        header: output.header,
        color: output.color,
        redraw: output.redraw,
    }
}

/// How many cells every kind's view begins with: time and the two ends.
const COMMON: usize = 3;

fn common(kind: &Kind) -> View {
    kind.view.get(..COMMON).unwrap_or_default()
}

fn view(view: View, tables: &[Table]) -> Vec<Cell> {
    view.iter().filter_map(|&(title, name, width)| cell(tables, title, name, width)).collect()
}

/// A list has lines of its own.
fn is_list(selected: &Selected) -> bool {
    selected.column.ty == Type::TextList
}

/// Does that view show the column, in a cell of its own or as one of an end's two?
fn shows(view: View, column: &str) -> bool {
    view.iter().any(|(_, of, _)| of.split(':').any(|name| name == column))
}

/// What that view does not show: of all fields the rest, else what was asked for beyond the standard ones.
fn beyond(table: &Table, view: View, output: &Output) -> Table {
    let rest = |s: &&Selected| {
        !shows(view, s.column.name) && (output.fields == Fields::All || s.column.set == Set::Full)
    };
    Table { columns: table.columns.iter().filter(rest).copied().collect(), ..table.clone() }
}

/// What a kind's line shows behind the common cells.
fn rest(kind: &Kind, table: &Table, output: &Output) -> Table {
    let shown = |s: &&Selected| {
        !shows(common(kind), s.column.name)
            && (output.fields != Fields::Standard || shows(kind.view, s.column.name) || is_list(s))
    };
    Table { columns: table.columns.iter().filter(shown).copied().collect(), ..table.clone() }
}

/// `None` where no table has such a column.
fn cell(tables: &[Table], title: &str, name: &str, width: usize) -> Option<Cell> {
    let find = |name: &str| Across::new(tables, name);
    let part = match name.split_once(':') {
        Some((addr, port)) => Part::Endpoint(find(addr)?, find(port)?),
        None if name == KIND => Part::Kind,
        None => Part::Column(find(name)?),
    };
    let least = match &part {
        Part::Column(of) if width == 0 => match of.column().ty {
            Type::Time | Type::Address => 15,
            Type::Unsigned | Type::Signed => match of.column().unit {
                Unit::BytesPerSecond => 11,
                Unit::Sequence => 10,
                _ => 6,
            },
            _ => 4,
        },
        _ => width,
    };
    Some(Cell { title: title.into(), part, width: least.max(title.len()) })
}
