//! The environment of live records: what the running kernel and the host have.

use super::columns::Selection;
use super::output::print_line;
use crate::config::Config;
use crate::environment::Environment;
use crate::events::fields::RecordLayout;
use crate::events::{EventType, drop};
use crate::kernel::{self, Kernel};
use crate::loader::{self, CoreTypes};
use crate::privilege;
use crate::symbols::Symbols;

/// All but the clocks, which are read when the trace starts.
#[must_use]
pub fn live(
    config: &Config,
    event_types: &[&'static EventType],
    selection: &Selection,
    kernel: &Kernel,
    core_types: &CoreTypes,
) -> Environment {
    let mut environment = Environment {
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        kernel: kernel::release(),
        layout: RecordLayout::new(selection.groups),
        types: kernel.types(),
        ..Environment::default()
    };
    let columns = selection.tables.iter().flat_map(|(_, table)| &table.columns);
    let printed = columns.filter(|s| !s.present).filter_map(|s| s.column.need);
    let read = selection.read.iter().filter_map(|column| column.need);
    for member in printed.chain(read.filter(|member| !kernel.has_member(*member))) {
        environment.add_missing(member);
    }
    if event_types.iter().any(|event_type| event_type.number == drop::EVENT_TYPE.number) {
        environment.types.drop_reasons = kernel.drop_reasons();
    }
    if selection.code {
        environment.types.symbols = symbols(config, core_types);
    }
    environment
}

/// Kernel symbols. Addresses are shown only if the kernel shows them to the caller without elevated privileges.
fn symbols(config: &Config, core_types: &CoreTypes) -> Symbols {
    let symbols = match Symbols::load() {
        Some(symbols) if !privilege::elevated() => return symbols,
        Some(symbols) => symbols,
        None => loader::code::symbols(core_types).unwrap_or_default(),
    };
    if symbols.is_empty() && !config.output.quiet {
        print_line(
            "note: the kernel hides its symbols, so `location` and `stack` are null: grant CAP_SYSLOG and set kernel.kptr_restrict below 2",
        );
    }
    symbols.names_only()
}
