//! What recordings have of what is requested.

use anyhow::{Result, bail};

use super::input::Input;
use crate::config::{Config, Fields, Usage};
use crate::events::{EVENT_TYPES, EventType};
use crate::session::columns::Selection;
use crate::session::output::print_line;

/// The event types that a file has, of those that are wanted.
pub(super) fn event_types(
    config: &Config,
    wanted: &[&'static EventType],
    inputs: &[Input],
) -> Result<Vec<&'static EventType>> {
    let mut all: Vec<&'static EventType> =
        inputs.iter().flat_map(|input| input.recording.event_types()).collect();
    all.sort_by_key(|event_type| event_type.number);
    all.dedup_by_key(|event_type| event_type.number);
    let is_present = |of: &EventType| all.iter().any(|known| known.number == of.number);
    let found: Vec<&'static EventType> =
        wanted.iter().copied().filter(|event_type| is_present(event_type)).collect();
    let names = |event_types: &[&'static EventType]| {
        event_types.iter().map(|event_type| event_type.name).collect::<Vec<_>>().join(", ")
    };
    let missing: Vec<&'static EventType> =
        wanted.iter().copied().filter(|event_type| !is_present(event_type)).collect();
    if found.is_empty() {
        let files: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
        bail!(Usage(format!(
            "no {} events were recorded in {}; it has {}",
            names(&missing),
            files.join(", "),
            names(&all)
        )));
    }
    // Of all event types, those that were recorded are meant.
    let all_wanted = wanted.len() == EVENT_TYPES.len();
    if !missing.is_empty() && !all_wanted && !config.output.quiet {
        print_line(&format!("note: no {} events were recorded", names(&missing)));
    }
    Ok(found)
}

/// Notes fields that were named and that no file has.
pub(super) fn note_absent(config: &Config, selection: &Selection, inputs: &[Input]) {
    if !matches!(config.output.fields, Fields::Named(_)) || config.output.quiet {
        return;
    }
    for (event_type, table) in &selection.tables {
        let absent = table
            .columns
            .iter()
            .filter(|selected| !inputs.iter().any(|input| input.shows(event_type, selected.index)));
        let names: Vec<&str> = absent.map(|selected| selected.column.name).collect();
        if !names.is_empty() {
            print_line(&format!(
                "note: null, as the {} records do not have them: {}",
                event_type.name,
                names.join(", ")
            ));
        }
    }
}
