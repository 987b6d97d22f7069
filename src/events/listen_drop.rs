//! `listen_drop`: a listening socket's drop counter. No tracepoint reports these drops.

use super::common::{call, of, std};
use super::socket::socket_event_type;
use crate::skel::ListenDropRecord;
use crate::table::Column;
use crate::table::Type::{Bool as Flag, Unsigned};
use crate::table::Unit::{Count, Microseconds, None};
use crate::table::Value::Bool;

/// The kernel records the time of SYN cookies once a second.
const COOKIE_NOTED_US: u64 = 1_000_000;

/// True if the listener has sent a SYN cookie since the last snapshot, as exactly as the kernel records it.
#[must_use]
pub fn sends_cookies(syncookie_us: u64, interval_ns: u64) -> bool {
    syncookie_us <= (interval_ns / 1000).saturating_add(COOKIE_NOTED_US)
}

#[rustfmt::skip]
static COLUMNS: &[Column] = &[
    std("drops", (Unsigned, Count), "sk_drops", "Packets dropped since the previous snapshot: SYNs, ACKs that complete a handshake, and others for this socket.", of!(ListenDropRecord, drops)),
    std("interval_us", (Unsigned, Microseconds), "bpf_ktime_get_ns()", "Time since the previous snapshot, within which the drops occurred.", of!(ListenDropRecord, interval_ns).unset(0).divided(1000)),
    std("total_drops", (Unsigned, Count), "sk_drops", "Packets dropped since the socket was created (skmem `d` in ss).", of!(ListenDropRecord, total_drops)),
    std("backlog", (Unsigned, Count), "sk_ack_backlog", "Connections in the accept queue (Recv-Q in `ss -l`).", of!(ListenDropRecord, backlog)),
    std("max_backlog", (Unsigned, Count), "sk_max_ack_backlog", "Limit of the accept queue (Send-Q in `ss -l`). The queue is full when `backlog` is greater.", of!(ListenDropRecord, max_backlog)),
    std("syn_backlog", (Unsigned, Count), "icsk_accept_queue.qlen", "Unfinished handshakes (the SYN queue). `max_backlog` limits these, too.", of!(ListenDropRecord, syn_backlog)),
    std("syncookies", (Flag, None), "tp->rx_opt.ts_recent_stamp", "True if SYN cookies were sent since the previous snapshot, or in the second before it. The kernel records them once a second, and jointly for a SO_REUSEPORT group.", call!(ListenDropRecord, [syncookie_us, interval_ns], |[syncookie_us, interval_ns, ..]| Bool(sends_cookies(syncookie_us, interval_ns)))),
    std("closed", (Flag, None), "sock:inet_sock_set_state", "True if the socket stops listening: its last event.", of!(ListenDropRecord, closed).flag()),
];

socket_event_type!(
    ListenDropRecord,
    TCC_EVENT_LISTEN_DROP,
    "listen_drop",
    "sock:inet_sock_set_state",
    "A listening socket has dropped packets, mostly because its accept queue is full. Its drop counter is polled four times a second, and read when the socket stops listening.",
    // A listener has no peer.
    &[
        ("TIME", "time", 15),
        ("LOCAL", "saddr:sport", 15),
        ("PID", "pid", 6),
        ("COMM", "comm", 10),
        ("DROPS", "drops", 5),
        ("QUEUE", "backlog", 5),
        ("MAX", "max_backlog", 5),
        ("SYNQ", "syn_backlog", 5),
        ("COOKIES", "syncookies", 7),
    ]
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_count_for_the_interval_and_the_second_before_it() {
        assert!(!sends_cookies(u64::MAX, 5_000_000_000), "never");
        assert!(sends_cookies(1_500_000, 500_000_000));
        assert!(!sends_cookies(1_500_001, 500_000_000));
    }
}
