//! The registry: every event type, its columns, and how its bytes are read.
//!
//! A new event type needs a record in `bpf/event.h` and `skel.rs`, a handler in `bpf/events/`, a module here, and a line in
//! [`EVENT_TYPES`].

pub mod accept;
pub mod ca;
pub mod ca_columns;
pub mod ca_mainline;
pub mod common;
mod computed;
pub mod cong_state;
pub mod connect;
pub mod connection;
pub mod destroy;
pub mod drop;
pub mod error;
pub mod fields;
pub mod life;
pub mod listen_drop;
pub mod names;
mod owner;
pub mod queue;
pub mod rcv_space;
pub mod rcvbuf_grow;
pub mod reset_received;
pub mod reset_sent;
pub mod retransmit;
pub mod send;
pub mod socket;
pub mod spurious;
pub mod state;
pub mod synack_retransmit;
pub mod tcp_columns;
pub mod tcp_probe;
pub mod tracker;
pub mod value;
pub mod zero_window;

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

pub use self::tracker::Tracker;
use crate::slot::{KernelEnum, Names};
use crate::symbols::Symbols;
use crate::table::Column;

/// Names and layouts that differ between kernels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Types {
    /// Layouts of the algorithms' private state.
    pub layouts: ca::Layouts,
    /// `enum sk_rst_reason`, without its prefix.
    pub reset_reasons: HashMap<u64, String>,
    /// `enum skb_drop_reason` without its prefix, and those of subsystems.
    pub drop_reasons: HashMap<u64, String>,
    /// Kernel symbols; empty if no traced event type shows any.
    pub symbols: Symbols,
    /// Columns that these records do not have, by the number of their event type and their place in its list: they are null.
    #[serde(skip)]
    pub absent: BTreeSet<(u8, usize)>,
}

impl Types {
    /// The name of a number.
    #[must_use]
    pub fn name(&self, names: Names, number: u64) -> Option<&str> {
        match names {
            Names::Kernel(KernelEnum::ResetReason) => &self.reset_reasons,
            Names::Kernel(KernelEnum::DropReason) => &self.drop_reasons,
            names => return names.name(number),
        }
        .get(&number)
        .map(String::as_str)
    }
}

/// Columns of the text format: title, column or `address:port`, minimum width. `type` is the event type's name.
pub type View = &'static [(&'static str, &'static str, usize)];

/// One event type.
pub struct EventType {
    /// Value of `"type"`.
    pub name: &'static str,
    /// `enum tcc_event_type`.
    pub number: u8,
    /// One or two sentences for the schema and the reference.
    pub doc: &'static str,
    /// The tracepoint, `group:name`.
    pub hook: &'static str,
    /// Further tracepoints.
    pub extra_hooks: &'static [Hook],
    /// Tracepoints to infer events from on kernels without `hook`. Empty: no events there.
    pub fallback_hooks: &'static [Hook],
    /// All columns, in output order: the common ones first.
    pub columns: fn() -> Vec<&'static Column>,
    /// Columns of the text format.
    pub view: View,
    /// State that its records need from earlier events.
    pub trackers: &'static [Tracker],
    pub record: Record,
}

/// Its name.
impl std::fmt::Debug for EventType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// One more tracepoint of an event type.
pub struct Hook {
    /// `group:name`.
    pub hook: &'static str,
    /// The tracepoint is optional: the consequence where the kernel does not have it.
    pub without: Option<&'static str>,
}

impl Hook {
    /// The tracepoint's name without its group.
    #[must_use]
    pub fn tracepoint(&self) -> &'static str {
        after_group(self.hook)
    }

    /// True for the tracepoints of system calls.
    #[must_use]
    pub fn is_of_calls(&self) -> bool {
        self.hook.starts_with("raw_syscalls:")
    }
}

/// The tracepoint's name without its group.
#[must_use]
pub fn after_group(hook: &'static str) -> &'static str {
    hook.split_once(':').map_or(hook, |(_, name)| name)
}

/// Sizes of the records.
#[derive(Clone, Copy)]
pub struct Record {
    pub size: usize,
    /// Size with optional data: a stack, or what `probe` shows beyond the standard fields. Else as `size`.
    pub longest: usize,
}

impl EventType {
    /// For the tables: an event type of records of one size, with one hook. The rest is up to them.
    const fn of<R>() -> Self {
        EventType {
            name: "",
            number: 0,
            doc: "",
            hook: "",
            extra_hooks: &[],
            fallback_hooks: &[],
            columns: Vec::new,
            view: &[],
            trackers: &[],
            record: Record { size: size_of::<R>(), longest: size_of::<R>() },
        }
    }

    /// The tracepoint's name without its group.
    #[must_use]
    pub fn tracepoint(&self) -> &'static str {
        after_group(self.hook)
    }

    /// `hook` and the extra hooks, `group:name`.
    pub fn hooks(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.hook).chain(self.extra_hooks.iter().map(|extra| extra.hook))
    }

    /// True for `probe`, which several readers serve.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        u32::from(self.number) == crate::skel::EventType::TCC_EVENT_PROBE.0
    }

    /// Whether there may be one for each packet, which can be more than the reader takes.
    #[must_use]
    pub fn is_per_packet(&self) -> bool {
        use crate::skel::EventType as Number;
        [Number::TCC_EVENT_PROBE, Number::TCC_EVENT_QUEUE, Number::TCC_EVENT_SEND]
            .contains(&Number(self.number.into()))
    }
}

/// Every event type, by number.
pub const EVENT_TYPES: &[EventType] = &[
    tcp_probe::EVENT_TYPE,
    state::EVENT_TYPE,
    retransmit::EVENT_TYPE,
    synack_retransmit::EVENT_TYPE,
    reset_sent::EVENT_TYPE,
    reset_received::EVENT_TYPE,
    destroy::EVENT_TYPE,
    cong_state::EVENT_TYPE,
    rcv_space::EVENT_TYPE,
    error::EVENT_TYPE,
    connect::EVENT_TYPE,
    life::EVENT_TYPE,
    accept::EVENT_TYPE,
    drop::EVENT_TYPE,
    zero_window::EVENT_TYPE,
    spurious::EVENT_TYPE,
    queue::EVENT_TYPE,
    rcvbuf_grow::EVENT_TYPE,
    listen_drop::EVENT_TYPE,
    send::EVENT_TYPE,
];

/// The event type of that name.
#[must_use]
pub fn event_type(name: &str) -> Option<&'static EventType> {
    EVENT_TYPES.iter().find(|event_type| event_type.name == name)
}

#[cfg(test)]
mod tests;
