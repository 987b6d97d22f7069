//! Which columns are printed.

use anyhow::{Result, bail};

use crate::config::{Fields, Format, Output, Usage};
use crate::events::EventType;
use crate::events::life::SAMPLED;
use crate::sink::template::EVENT_TYPE;
use crate::table::{Column, ColumnSet, Member, Selected, Set};

/// The columns of each event type, in output order.
#[derive(Clone)]
pub struct Selection {
    pub tables: Vec<(&'static EventType, ColumnSet)>,
    /// One of `probe`'s needs more than the standard record.
    pub full: bool,
    /// One of them tells the owner's process.
    pub owner: bool,
    /// One of them names kernel code.
    pub code: bool,
    /// One of `life`'s tells of samples.
    pub samples: bool,
}

/// Columns that need the owner to be known.
const OWNER: &[&str] = &["pid", "comm"];
/// Columns that name kernel code; the second is there only if it is asked for by its own option.
const CODE: &[&str] = &["location", STACK];
const STACK: &str = "stack";

/// Chooses and checks; an unknown name is refused with the nearest one. `has` says whether the kernel has that member.
pub fn select(
    event_types: &[&'static EventType],
    output: &Output,
    has: impl Fn(Member) -> bool,
) -> Result<Selection> {
    if let Fields::Named(names) = &output.fields {
        check_names(event_types, names, output.template.is_some())?;
    }
    let tables: Vec<(&'static EventType, ColumnSet)> = event_types
        .iter()
        .map(|event_type| (*event_type, table(event_type, output, &has)))
        .collect();
    let chosen = || {
        tables
            .iter()
            .flat_map(|(event_type, table)| table.columns.iter().map(move |s| (event_type, s)))
    };
    let full = chosen().any(|(event_type, s)| event_type.is_probe() && s.column.set == Set::Full);
    let owner = chosen().any(|(_, s)| OWNER.contains(&s.column.name));
    let code = chosen().any(|(_, s)| CODE.contains(&s.column.name));
    let samples = !by_view(output) && chosen().any(|(_, s)| SAMPLED.contains(&s.column.name));
    Ok(Selection { tables, full, owner, code, samples })
}

/// Does the text format choose what is shown? Of the standard columns it has those of the event types' views only.
fn by_view(output: &Output) -> bool {
    output.format == Format::Text && output.fields == Fields::Standard
}

fn table(
    event_type: &'static EventType,
    output: &Output,
    has: &impl Fn(Member) -> bool,
) -> ColumnSet {
    let all = (event_type.columns)();
    // The columns of the command's view are its standard ones too.
    let view =
        |name: &str| output.view.is_some_and(|view| view.iter().any(|(_, of, _)| *of == name));
    let standard = |column: &Column| column.set == Set::Standard || view(column.name);
    let mut chosen: Vec<usize> = match &output.fields {
        Fields::Standard => (0..all.len()).filter(|&i| standard(all[i])).collect(),
        Fields::All => (0..all.len()).collect(),
        Fields::Named(names) => names.iter().flat_map(|name| named(&all, name)).collect(),
    };
    let stack = all.iter().position(|column| column.name == STACK);
    if output.stack
        && let Some(stack) = stack.filter(|stack| !chosen.contains(stack))
    {
        chosen.push(stack);
    }
    let select = |index: usize| {
        let column: &'static Column = all[index];
        let present = column.need.is_none_or(has);
        Selected { index, column, present }
    };
    let columns = chosen.into_iter().map(select).collect();
    ColumnSet { event_type: event_type.number.into(), name: event_type.name, columns }
}

/// Every name must be one of at least one of the event types; in a line template, of one column.
fn check_names(event_types: &[&'static EventType], names: &[String], in_line: bool) -> Result<()> {
    let all: Vec<&'static Column> =
        event_types.iter().flat_map(|event_type| (event_type.columns)()).collect();
    for name in names {
        let known = named(&all, name);
        if in_line && known.len() > 1 && all.iter().all(|column| column.name != name) {
            let first = all[known[0]].name;
            bail!(Usage(format!(
                "--format: `{name}` is several fields; name one, such as {first}"
            )));
        }
        if !known.is_empty() || (in_line && name == EVENT_TYPE) {
            continue;
        }
        // Of equals the first in output order, so backwards: max_by takes the last.
        let near = all
            .iter()
            .rev()
            .map(|column| (likeness(name, column.name), column.name))
            .filter(|(score, _)| *score > 0.8)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let hint = near.map_or_else(String::new, |(_, near)| format!(" (is it {near}?)"));
        let of =
            event_types.iter().map(|event_type| event_type.name).collect::<Vec<_>>().join(", ");
        let where_ = if let [event_type] = event_types {
            format!(" {}", event_type.name)
        } else {
            String::new()
        };
        bail!(Usage(format!(
            "no field `{name}` in {of}{hint}; all fields: tcc-trace schema{where_}"
        )));
    }
    Ok(())
}

/// A column, or all of a group (`bbr`).
fn named(all: &[&'static Column], name: &str) -> Vec<usize> {
    (0..all.len()).filter(|&i| all[i].name == name || all[i].group() == Some(name)).collect()
}

/// A part of a name (`cwnd`) is as good as a slip of the pen.
fn likeness(asked: &str, name: &str) -> f64 {
    let slip = strsim::jaro_winkler(asked, name);
    if name.ends_with(&format!("_{asked}")) { slip.max(0.9) } else { slip }
}
