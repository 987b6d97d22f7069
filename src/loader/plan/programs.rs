//! The BPF programs that emit the events of a type.

use super::{KernelFeatures, Request};
use crate::config::Reader;
use crate::events::{EventType, Hook};

/// A program that emits events, and its tracepoint.
pub(super) struct Program {
    pub(super) event_type: usize,
    pub(super) name: String,
    pub(super) tracepoint: &'static str,
    /// Whether it is the main program of the event type.
    pub(super) first: bool,
}

/// The programs that emit this type's events on this kernel.
pub(super) fn programs(
    event_type: &'static EventType,
    reader: Reader,
    request: &Request,
    features: &KernelFeatures,
) -> Vec<Program> {
    let number = event_type.number.into();
    let own = |name| Program {
        event_type: number,
        name,
        tracepoint: event_type.tracepoint(),
        first: true,
    };
    let first = if is_inferred(event_type, request, features) {
        Vec::new()
    } else if event_type.programs.is_empty() {
        vec![own(program(event_type, reader, request))]
    } else {
        event_type.programs.iter().map(|&name| own(name.to_owned())).collect()
    };
    let fallback =
        event_type.fallback_hooks.iter().filter(|_| is_inferred(event_type, request, features));
    let extra = event_type
        .extra_hooks
        .iter()
        .chain(fallback)
        // Aggregates do not include return values.
        .filter(|hook| !(request.aggregated && hook.is_of_calls()))
        .filter(|hook| !features.missing_hooks.contains(&hook.tracepoint()));
    let extra = extra.map(|hook| Program {
        event_type: number,
        name: extra_program(hook, reader),
        tracepoint: hook.tracepoint(),
        first: false,
    });
    first.into_iter().chain(extra).collect()
}

/// Whether its events are inferred at other tracepoints.
pub(super) fn is_inferred(
    event_type: &EventType,
    request: &Request,
    features: &KernelFeatures,
) -> bool {
    let missing = features.missing_hooks.contains(&event_type.tracepoint());
    !event_type.fallback_hooks.is_empty() && (request.inferred || missing)
}

/// The program named after the event type.
fn program(event_type: &EventType, reader: Reader, request: &Request) -> String {
    match reader {
        _ if request.conn_snapshots => flavour("conn_snapshot_end", reader),
        _ if !event_type.is_probe() => flavour(event_type.name, reader),
        Reader::Record => "probe_record".to_owned(),
        Reader::Sock => "probe_sock".to_owned(),
        Reader::Raw => "probe_raw".to_owned(),
    }
}

/// Programs on system calls read no kernel structs, so they have a single flavour.
fn extra_program(hook: &Hook, reader: Reader) -> String {
    if hook.has_one_flavour() { hook.program.to_owned() } else { flavour(hook.program, reader) }
}

/// The name of a program with a typed and an untyped flavour.
pub(super) fn flavour(name: &str, reader: Reader) -> String {
    format!("{name}_{}", if reader == Reader::Sock { "btf" } else { "raw" })
}
