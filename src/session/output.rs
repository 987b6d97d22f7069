//! Creates the sink of an output.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use super::columns::Selection;
use crate::config::{Content, Destination, Fields, Output};
use crate::events::{EventType, View};
use crate::sink::template::{EVENT_TYPE, Template};
use crate::sink::text::{Cell, CellPart, Layout};
use crate::sink::{Columns, Create, Files, Sink};
pub use crate::stdio::print_line;
use crate::table::{ColumnSet, MergedColumn, Selected, Set, Type, Unit};

/// A sink on any writer.
pub fn sink_into<W: Write + 'static>(
    out: W,
    destination: &Destination,
    output: &Output,
    selection: &Selection,
) -> Box<dyn Sink> {
    let columns = columns(destination, output, selection);
    if let Some(template) = &output.template {
        return Box::new(Template::new(out, &columns.tables, template));
    }
    match destination.format.create {
        Create::Stream(create) => create(Box::new(out), &columns),
        Create::Directory(create) => {
            create(Box::new(OneFile(Rc::new(RefCell::new(out)))), &columns)
        }
    }
}

/// A sink in a directory; `None` if the format is for a file.
pub fn sink_in(
    files: impl Files + 'static,
    destination: &Destination,
    output: &Output,
    selection: &Selection,
) -> Option<Box<dyn Sink>> {
    match destination.format.create {
        Create::Stream(_) => None,
        Create::Directory(create) => {
            Some(create(Box::new(files), &columns(destination, output, selection)))
        }
    }
}

/// All files in one, one behind the other.
struct OneFile<W>(Rc<RefCell<W>>);

impl<W: Write + 'static> Files for OneFile<W> {
    fn open(&self, _: &str, _: bool) -> io::Result<Box<dyn Write>> {
        Ok(Box::new(OneFile(Rc::clone(&self.0))))
    }
}

impl<W: Write> Write for OneFile<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.borrow_mut().flush()
    }
}

/// What a sink prints.
fn columns(destination: &Destination, output: &Output, selection: &Selection) -> Columns {
    // Summaries bring their own columns.
    let none = Selection::default();
    let selection = if destination.content == Content::Events { selection } else { &none };
    let of_format = selection.formats.iter().find(|(name, _)| *name == destination.format.name);
    let tables: Vec<ColumnSet> = match of_format {
        Some((_, tables)) => tables.clone(),
        None => selection.tables.iter().map(|(_, table)| table.clone()).collect(),
    };
    let layout = text_layout(destination, output, selection, &tables);
    Columns { tables, header: output.header, layout }
}

/// The named fields in their order. Else for one event type: the columns of its view, or the command's, and other requested
/// fields on the lines below. For several: the common columns, followed on the same line by the rest of each one's view, or by
/// all fields.
fn text_layout(
    destination: &Destination,
    output: &Output,
    selection: &Selection,
    tables: &[ColumnSet],
) -> Layout {
    let (cells, details, inline) = match (&selection.tables[..], output.view, &output.fields) {
        ([], ..) => Default::default(),
        (several, _, Fields::Named(names)) => {
            let mut cells: Vec<Cell> = names
                .iter()
                .flat_map(|name| named(name, tables))
                .filter_map(|name| cell(tables, name, name, 0))
                .collect();
            if several.len() > 1 {
                cells.insert(cells.len().min(1), event_cell());
            }
            let lists = |table: &ColumnSet| ColumnSet {
                columns: table.columns.iter().filter(|s| is_list(s)).copied().collect(),
                ..table.clone()
            };
            (cells, tables.iter().map(lists).collect(), false)
        }
        ([(event_type, table)], None, _) => {
            (view(event_type.view, tables), vec![beyond(table, event_type.view, output)], false)
        }
        (_, Some(of_command), _) => {
            let details = tables.iter().map(|table| beyond(table, of_command, output)).collect();
            (view(of_command, tables), details, false)
        }
        (several, ..) => {
            let common = several.iter().map(|(event_type, _)| common(event_type));
            let common = common.max_by_key(|view| view.len()).unwrap_or_default();
            let mut cells = view(common, tables);
            cells.insert(cells.len().min(1), event_cell());
            let details =
                several.iter().map(|(of, table)| rest(of, common, table, output)).collect();
            (cells, details, true)
        }
    };
    Layout {
        cells,
        details,
        inline,
        header: output.header,
        color: destination.color,
        redraw: destination.redraw,
        rows: destination.rows,
    }
}

fn event_cell() -> Cell {
    Cell { title: "EVENT".into(), part: CellPart::EventType, width: 14 }
}

/// The columns of that name, or of that group, which any of the event types has; lists are printed elsewhere.
fn named(name: &str, tables: &[ColumnSet]) -> Vec<&'static str> {
    let mut found: Vec<&str> = Vec::new();
    for selected in tables.iter().flat_map(|table| &table.columns).filter(|s| !is_list(s)) {
        let column = selected.column;
        let is_named = column.name == name || column.group() == Some(name);
        if is_named && !found.contains(&column.name) {
            found.push(column.name);
        }
    }
    found
}

/// The cells at the start of a view that others have too: time and the two ends. A listener has no peer.
fn common(event_type: &EventType) -> View {
    const COMMON: [&str; 3] = ["time", "saddr:sport", "daddr:dport"];
    let is_common = |(_, column, _): &&(_, &str, _)| COMMON.contains(column);
    &event_type.view[..event_type.view.iter().take_while(is_common).count()]
}

fn view(view: View, tables: &[ColumnSet]) -> Vec<Cell> {
    view.iter().filter_map(|&(title, name, width)| cell(tables, title, name, width)).collect()
}

/// Lists are printed on separate lines.
fn is_list(selected: &Selected) -> bool {
    selected.column.ty == Type::TextList
}

/// Whether the view shows the column, in its own cell or as part of an endpoint.
fn shows(view: View, column: &str) -> bool {
    view.iter().any(|(_, of, _)| of.split(':').any(|name| name == column))
}

/// Requested columns that the view does not show: all others with --all-fields, else those beyond the standard fields.
fn beyond(table: &ColumnSet, view: View, output: &Output) -> ColumnSet {
    let rest = |s: &&Selected| {
        let requested = match output.fields {
            Fields::All => true,
            Fields::Named(_) => s.column.set != Set::Standard,
            Fields::Standard => s.column.set == Set::Full,
        };
        requested && !shows(view, s.column.name)
    };
    ColumnSet { columns: table.columns.iter().filter(rest).copied().collect(), ..table.clone() }
}

/// The columns after the common cells.
fn rest(event_type: &EventType, common: View, table: &ColumnSet, output: &Output) -> ColumnSet {
    let shown = |s: &&Selected| {
        !shows(common, s.column.name)
            && (output.fields != Fields::Standard
                || shows(event_type.view, s.column.name)
                || is_list(s))
    };
    ColumnSet { columns: table.columns.iter().filter(shown).copied().collect(), ..table.clone() }
}

/// `None` if no table has the column.
fn cell(tables: &[ColumnSet], title: &str, name: &str, width: usize) -> Option<Cell> {
    let find = |name: &str| MergedColumn::new(tables, name);
    let part = match name.split_once(':') {
        Some((addr, port)) => CellPart::Endpoint(find(addr)?, find(port)?),
        None if name == EVENT_TYPE => CellPart::EventType,
        None => CellPart::Column(find(name)?),
    };
    let min_width = match &part {
        CellPart::Column(of) if width == 0 => match of.column().ty {
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
    Some(Cell { title: title.into(), part, width: min_width.max(title.len()) })
}
