//! The registry: every kind of event, its columns, and how its bytes are read.
//!
//! To add a probe: its record in `bpf/event.h`, its handler in `bpf/probes/`, a module here, one line in [`KINDS`] and
//! one arm in `event.rs`. Nothing else knows the kinds one by one.

pub mod ca;
pub mod ca_columns;
pub mod ca_mainline;
pub mod common;
pub mod tcp_columns;
pub mod tcp_probe;

use crate::table::Column;

/// One kind of event.
pub struct Kind {
    /// As in `"type"`.
    pub name: &'static str,
    /// `enum tcc_kind`.
    pub number: u8,
    /// One sentence for the schema and the reference page.
    pub doc: &'static str,
    /// The kernel hook.
    pub hook: &'static str,
    /// All columns, in output order: the common ones first.
    pub columns: fn() -> Vec<&'static Column>,
    /// The text format's columns: title, column or `address:port`, least width.
    pub view: &'static [(&'static str, &'static str, usize)],
}

/// Every kind.
pub const KINDS: &[Kind] = &[tcp_probe::KIND];

/// The kind of that name.
#[must_use]
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}
