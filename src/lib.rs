//! TCP congestion-control tracing: what every connection's congestion control does, and what limits it.
//!
//! ```text
//!  kernel hook ── thin SEC() wrapper ── on_<probe>() ── filters, limits ── record ──► ring or perf buffer
//!                                           └── counters ──► BPF maps ──────────────┐
//!  loader::live ─► records ─► pipeline (reorder, decode, where, limit) ─► sinks     │
//!  SIGUSR1, --stats, the end ─► summary ◄────────────────────────────────────────────┘
//! ```
//!
//! Kernel bytes become a typed event once, in [`decode`]. Above it there are only events and columns ([`table`]). A
//! module uses only modules before it in this order, which `tests/architecture.rs` checks: escape, stdio, suggest,
//! symbols, slot, table, accounting, skel, btf, privilege, events, environment, kernel, decode, recording, anonymize,
//! predicate, limits, assertion, sink, config, pipeline, loader, summary, report, export, session, live, check, cli, cmd.

#![deny(unsafe_code)]

pub mod accounting;
pub mod anonymize;
pub mod assertion;
pub mod btf;
pub mod check;
pub mod cli;
pub mod cmd;
pub mod config;
pub mod decode;
pub mod environment;
pub mod escape;
pub mod events;
pub mod export;
pub mod kernel;
pub mod limits;
pub mod live;
pub mod loader;
pub mod pipeline;
pub mod predicate;
pub mod privilege;
pub mod recording;
pub mod report;
pub mod session;
pub mod sink;
pub mod skel;
pub mod slot;
pub mod stdio;
pub mod suggest;
pub mod summary;
pub mod symbols;
pub mod table;
