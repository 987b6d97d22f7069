//! Selects the columns to print.

use anyhow::{Result, bail};

use crate::config::{Fields, Output, Usage};
use crate::events::EventType;
use crate::events::fields::FieldGroups;
use crate::events::life::{LIMITS, SAMPLED};
use crate::sink::Format;
use crate::sink::template::EVENT_TYPE;
use crate::suggest;
use crate::table::{Column, ColumnSet, Member, Selected, Set};

/// The columns of each event type, in output order.
#[derive(Clone, Default)]
pub struct Selection {
    pub tables: Vec<(&'static EventType, ColumnSet)>,
    /// What is loaded for `probe` beyond the tracepoint's record.
    pub groups: FieldGroups,
    /// Only --where needs more than that record.
    pub groups_by_where: bool,
    /// Columns that --where reads, whether they are printed or not.
    pub read: Vec<&'static Column>,
    /// The columns that a format reads by itself, by the format's name.
    pub formats: Vec<(&'static str, Vec<ColumnSet>)>,
    /// Only such a format needs more than the tracepoint's record.
    pub groups_by_format: bool,
    /// A column shows the owning process.
    pub owner: bool,
    /// A column names kernel code.
    pub code: bool,
    /// A column of `life` needs samples.
    pub samples: bool,
    /// A column of `life` needs what limits connections.
    pub limits: bool,
}

/// Columns that need the owning process.
const OWNER: &[&str] = &["pid", "comm"];
/// Columns that name kernel code; the second is printed only on request.
const CODE: &[&str] = &["location", STACK];
const STACK: &str = "stack";

/// Selects the columns and checks names; an unknown one is an error. `has` tests whether the kernel has a member.
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
    let mut selection = Selection::default();
    for (event_type, table) in &tables {
        selection.load(event_type, table.columns.iter().map(|selected| selected.column));
    }
    selection.samples &= !by_view(output);
    selection.tables = tables;
    for format in output.destinations.iter().map(|destination| destination.format) {
        selection.add_format(format, event_types, &has);
    }
    Ok(selection)
}

impl Selection {
    /// Has the programs provide these columns of an event type, whether they are printed or not.
    pub fn load(
        &mut self,
        event_type: &EventType,
        columns: impl IntoIterator<Item = &'static Column>,
    ) {
        for column in columns {
            if event_type.is_probe() {
                self.groups.add(column);
            }
            self.owner |= OWNER.contains(&column.name);
            self.code |= CODE.contains(&column.name);
            self.samples |= SAMPLED.contains(&column.name);
            self.limits |= LIMITS.contains(&column.name);
        }
    }

    /// Adds what a format reads by itself.
    fn add_format(
        &mut self,
        format: &Format,
        event_types: &[&'static EventType],
        has: &impl Fn(Member) -> bool,
    ) {
        if format.reads.is_empty() || self.formats.iter().any(|(name, _)| *name == format.name) {
            return;
        }
        let before = self.groups.is_empty();
        let mut tables = Vec::new();
        for event_type in event_types {
            let all = (event_type.columns)();
            let chosen = format.reads.iter().flat_map(|name| named(&all, name));
            let table = column_set(event_type, &all, chosen, has);
            self.load(event_type, table.columns.iter().map(|selected| selected.column));
            tables.push(table);
        }
        self.groups_by_format |= before && !self.groups.is_empty();
        self.formats.push((format.name, tables));
    }

    /// Adds what --where reads.
    pub fn read(&mut self, event_type: &EventType, columns: &[&'static Column]) {
        self.groups_by_where |= self.groups.is_empty();
        self.load(event_type, columns.iter().copied());
        self.groups_by_where &= !self.groups.is_empty();
        self.read.extend(columns);
    }
}

/// Does the event types' view choose the columns? Text output shows only those of the standard columns.
fn by_view(output: &Output) -> bool {
    let all_text = output.recording.is_none()
        && output.destinations.iter().all(|destination| destination.format.is_text);
    all_text && output.fields == Fields::Standard
}

fn table(
    event_type: &'static EventType,
    output: &Output,
    has: &impl Fn(Member) -> bool,
) -> ColumnSet {
    let all = (event_type.columns)();
    // The columns of the command's view are standard columns too.
    let view =
        |name: &str| output.view.is_some_and(|view| view.iter().any(|(_, of, _)| *of == name));
    let standard = |column: &Column| column.set == Set::Standard || view(column.name);
    let mut chosen: Vec<usize> = match &output.fields {
        Fields::Standard => (0..all.len()).filter(|&i| standard(all[i])).collect(),
        Fields::All => (0..all.len()).filter(|&i| all[i].set != Set::Named).collect(),
        Fields::Named(names) => names.iter().flat_map(|name| named(&all, name)).collect(),
    };
    let stack = all.iter().position(|column| column.name == STACK);
    if output.stack
        && let Some(stack) = stack.filter(|stack| !chosen.contains(stack))
    {
        chosen.push(stack);
    }
    if output.limits {
        let limits = (0..all.len()).filter(|i| LIMITS.contains(&all[*i].name));
        let added: Vec<usize> = limits.filter(|i| !chosen.contains(i)).collect();
        chosen.extend(added);
    }
    column_set(event_type, &all, chosen, has)
}

fn column_set(
    event_type: &'static EventType,
    all: &[&'static Column],
    chosen: impl IntoIterator<Item = usize>,
    has: &impl Fn(Member) -> bool,
) -> ColumnSet {
    let select = |index: usize| {
        let column: &'static Column = all[index];
        let present = column.need.is_none_or(has);
        Selected { index, column, present }
    };
    let columns = chosen.into_iter().map(select).collect();
    ColumnSet { event_type: event_type.number.into(), name: event_type.name, columns }
}

/// Each name must be a field of at least one event type; in a line template, a single field.
fn check_names(event_types: &[&'static EventType], names: &[String], in_line: bool) -> Result<()> {
    let all: Vec<&'static Column> =
        event_types.iter().flat_map(|event_type| (event_type.columns)()).collect();
    for name in names {
        let known = named(&all, name);
        if in_line && known.len() > 1 && all.iter().all(|column| column.name != name) {
            let first = all[known[0]].name;
            bail!(Usage(format!(
                "--format: `{name}` is a group of fields; name one of them, such as `{first}`"
            )));
        }
        if !known.is_empty() || (in_line && name == EVENT_TYPE) {
            continue;
        }
        let of: Vec<&str> = event_types.iter().map(|event_type| event_type.name).collect();
        let only = if let [only] = of[..] { format!(" {only}") } else { String::new() };
        let list = format!("tcc-trace schema{only} lists them");
        let hint = suggest::did_you_mean(name, all.iter().map(|column| column.name), &list);
        bail!(Usage(format!("unknown field `{name}` of {}; {hint}", of.join(", "))));
    }
    Ok(())
}

/// A column, or all of a group (`bbr`).
fn named(all: &[&'static Column], name: &str) -> Vec<usize> {
    (0..all.len()).filter(|&i| all[i].name == name || all[i].group() == Some(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::life;

    fn of_life(output: &Output) -> (Vec<&'static str>, bool) {
        let selection = select(&[&life::EVENT_TYPE], output, |_| true).unwrap();
        let names = selection.tables[0].1.columns.iter().map(|selected| selected.column.name);
        (names.collect(), selection.limits)
    }

    #[test]
    fn what_limits_a_connection_is_selected_on_request_only() {
        for fields in [Fields::Standard, Fields::All] {
            let output = Output { fields: fields.clone(), ..Output::default() };
            let (names, limits) = of_life(&output);
            assert!(!limits && !names.iter().any(|name| LIMITS.contains(name)), "{fields:?}");
            let (names, limits) = of_life(&Output { limits: true, ..output });
            assert!(limits && LIMITS.iter().all(|name| names.contains(name)), "{fields:?}");
        }
        let fields = Fields::Named(vec!["pid".into(), "limits_main".into()]);
        let output = Output { fields, ..Output::default() };
        assert_eq!(of_life(&output), (vec!["pid", "limits_main"], true));
        let all = vec!["pid", "limits_main", LIMITS[1], LIMITS[2], LIMITS[3]];
        assert_eq!(of_life(&Output { limits: true, ..output }), (all, true));
    }
}
