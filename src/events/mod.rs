//! The registry: every event type, its columns, and how its bytes are read.
//!
//! To add a probe: its record in `bpf/event.h` and `skel.rs`, its handler in `bpf/probes/`, a module here, one line in
//! [`EVENT_TYPES`]. Nothing else knows the event types one by one, but for `probe` itself, which has several readers.

pub mod accept;
pub mod ca;
pub mod ca_columns;
pub mod ca_mainline;
pub mod common;
pub mod cong_state;
pub mod connect;
pub mod destroy;
pub mod drop;
pub mod error;
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
pub mod socket;
pub mod spurious;
pub mod state;
pub mod synack_retransmit;
pub mod tcp_columns;
pub mod tcp_probe;
pub mod zero_window;

use std::collections::HashMap;

use crate::symbols::Symbols;
use crate::table::{Column, Value};

/// What is different on each kernel and looked up in its types.
#[derive(Clone, Debug, Default)]
pub struct Types {
    /// Of the algorithms' private state.
    pub layouts: ca::Layouts,
    /// `enum sk_rst_reason`, without its prefix.
    pub reset_reasons: HashMap<u64, String>,
    /// `enum skb_drop_reason` without its prefix, and those of subsystems.
    pub drop_reasons: HashMap<u64, String>,
    /// Of the kernel's code; none where no event type that is traced shows any.
    pub symbols: Symbols,
}

/// Columns on a terminal: title, column or `address:port`, least width. `type` is the event type's name.
pub type View = &'static [(&'static str, &'static str, usize)];

/// One event type.
pub struct EventType {
    /// As in `"type"`.
    pub name: &'static str,
    /// `enum tcc_event_type`.
    pub number: u8,
    /// One sentence for the schema and the reference page.
    pub doc: &'static str,
    /// The kernel's tracepoint, `group:name`; the program there is called as the event type is.
    pub hook: &'static str,
    /// What it is looked at from besides.
    pub extra_hooks: &'static [Hook],
    /// What its events are worked out from where the kernel lacks its tracepoint; none: then there are none.
    pub fallback_hooks: &'static [Hook],
    /// All columns, in output order: the common ones first.
    pub columns: fn() -> Vec<&'static Column>,
    /// The text format's columns.
    pub view: View,
    /// Programs that remember, from event to event, what its records tell; without their flavour.
    pub state_trackers: &'static [&'static str],
    /// The programs that make its events; none: the one of the event type's name, in its flavour.
    pub programs: &'static [&'static str],
    /// Its records; `None` for `probe`, which has two of them.
    pub record: Option<Record>,
}

/// One more tracepoint of an event type.
pub struct Hook {
    /// `group:name`.
    pub hook: &'static str,
    /// The program there, without its flavour.
    pub program: &'static str,
    /// The event type does without where the kernel has none; what is then missing.
    pub without: Option<&'static str>,
}

impl Hook {
    /// The tracepoint's name without its group.
    #[must_use]
    pub fn tracepoint(&self) -> &'static str {
        after_group(self.hook)
    }

    /// Are its program's arguments the same for all flavours: system calls have no types to load from, and io_uring's tracepoint
    /// has other arguments on each kernel, but not another record?
    #[must_use]
    pub fn has_one_flavour(&self) -> bool {
        self.is_of_calls() || self.hook.starts_with("io_uring:")
    }

    /// Is it of system calls?
    #[must_use]
    pub fn is_of_calls(&self) -> bool {
        self.hook.starts_with("raw_syscalls:")
    }
}

fn after_group(hook: &'static str) -> &'static str {
    hook.split_once(':').map_or(hook, |(_, name)| name)
}

/// Records of one size, or of two.
pub struct Record {
    pub size: usize,
    /// With what was asked for beyond the columns; else as `size`.
    pub longest: usize,
    /// A cell, counted from after the common columns. The bytes are 8-aligned and of one of these lengths.
    pub value: for<'a> fn(&'a [u8], &'a Types, usize) -> Value<'a>,
}

impl EventType {
    /// The tracepoint's name without its group.
    #[must_use]
    pub fn tracepoint(&self) -> &'static str {
        after_group(self.hook)
    }

    /// All its tracepoints, `group:name`.
    pub fn hooks(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.hook).chain(self.extra_hooks.iter().map(|more| more.hook))
    }

    /// Is it the one that several readers serve?
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.record.is_none()
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
];

/// The event type of that name.
#[must_use]
pub fn event_type(name: &str) -> Option<&'static EventType> {
    EVENT_TYPES.iter().find(|event_type| event_type.name == name)
}
