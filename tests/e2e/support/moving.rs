//! Columns that may differ between two traces of the same packet, whose programs run one after the other.

use rustix::time::{ClockId, clock_getres};

/// Computed from the current tick, which may pass between the programs.
pub const TICKS: &[&str] = &[
    "timer_us",
    "last_data_sent_us",
    "last_data_recv_us",
    "last_ack_recv_us",
    "busy_us",
    "rwnd_limited_us",
    "sndbuf_limited_us",
    "chrono_elapsed_us",
];
/// What needs no lock: a packet that comes in is counted, another's memory is freed, which may let the socket send again.
pub const UNLOCKED: &[&str] =
    &["segs_in", "data_segs_in", "backlog_len", "wmem_alloc", "tsq_flags"];
/// Each trace learns it by itself, one of them maybe later.
pub const LEARNT: &[&str] = &["pid", "comm"];

/// Microseconds.
pub fn tick() -> i64 {
    clock_getres(ClockId::MonotonicCoarse).tv_nsec / 1000
}
