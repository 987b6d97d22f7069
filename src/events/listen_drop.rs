//! `listen_drop`: a listening socket's drop counter. No tracepoint reports these drops.

use super::common::{Field, std};
use super::connect::us;
use super::socket::{self, socket_event_type};
use crate::skel::ListenDropRecord;
use crate::table::Type::{Bool as Flag, Unsigned};
use crate::table::Unit::{Count, Microseconds, None};
use crate::table::Value::{Bool, U64};

/// The kernel records the time of SYN cookies once a second.
const COOKIE_NOTED_US: u64 = 1_000_000;

/// True if the listener has sent a SYN cookie since the last snapshot, as exactly as the kernel records it.
#[must_use]
pub fn sends_cookies(r: &ListenDropRecord) -> bool {
    r.syncookie_us <= (r.interval_ns / 1000).saturating_add(COOKIE_NOTED_US)
}

#[rustfmt::skip]
static FIELDS: &[Field<ListenDropRecord>] = &[
    std("drops", (Unsigned, Count), "sk_drops", "Packets dropped since the previous snapshot: SYNs, ACKs that complete a handshake, and others for this socket.", |r| U64(r.drops.into())),
    std("interval_us", (Unsigned, Microseconds), "bpf_ktime_get_ns()", "Time since the previous snapshot, within which the drops occurred.", |r| us(r.interval_ns)),
    std("total_drops", (Unsigned, Count), "sk_drops", "Packets dropped since the socket was created (skmem `d` in ss).", |r| U64(r.total_drops.into())),
    std("backlog", (Unsigned, Count), "sk_ack_backlog", "Connections in the accept queue (Recv-Q in `ss -l`).", |r| U64(r.backlog.into())),
    std("max_backlog", (Unsigned, Count), "sk_max_ack_backlog", "Limit of the accept queue (Send-Q in `ss -l`). The queue is full when `backlog` is greater.", |r| U64(r.max_backlog.into())),
    std("syn_backlog", (Unsigned, Count), "icsk_accept_queue.qlen", "Unfinished handshakes (the SYN queue). `max_backlog` limits these, too.", |r| U64(r.syn_backlog.into())),
    std("syncookies", (Flag, None), "tp->rx_opt.ts_recent_stamp", "True if SYN cookies were sent since the previous snapshot, or in the second before it. The kernel records them once a second, and jointly for a SO_REUSEPORT group.", |r| Bool(sends_cookies(r))),
    std("closed", (Flag, None), "sock:inet_sock_set_state", "True if the socket stops listening: its last event.", |r| Bool(r.closed != 0)),
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
    ],
    |bytes, _, index| socket::value(FIELDS, bytes, index)
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_count_for_the_interval_and_the_second_before_it() {
        let sends = |syncookie_us, interval_ns| {
            sends_cookies(&ListenDropRecord { syncookie_us, interval_ns, ..Default::default() })
        };
        assert!(!sends(u64::MAX, 5_000_000_000), "never");
        assert!(sends(1_500_000, 500_000_000));
        assert!(!sends(1_500_001, 500_000_000));
    }
}
