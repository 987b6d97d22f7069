//! `listen_drop`: a listening socket's own count of drops, which no tracepoint reports.

use super::common::{Field, std};
use super::connect::us;
use super::socket::{self, socket_event_type};
use crate::skel::ListenDropRecord;
use crate::table::Type::{Bool as Flag, Unsigned};
use crate::table::Unit::{Count, Microseconds, None};
use crate::table::Value::{Bool, U64};

/// The kernel notes a SYN cookie's time once a second.
const COOKIE_NOTED_US: u64 = 1_000_000;

/// Has the listener sent a SYN cookie since the last snapshot, as exactly as the kernel notes it?
#[must_use]
pub fn sends_cookies(r: &ListenDropRecord) -> bool {
    r.syncookie_us <= (r.interval_ns / 1000).saturating_add(COOKIE_NOTED_US)
}

#[rustfmt::skip]
static FIELDS: &[Field<ListenDropRecord>] = &[
    std("drops", (Unsigned, Count), "sk_drops", "Dropped since the last snapshot: SYNs, ACKs that end a handshake, and other packets for this socket.", |r| U64(r.drops.into())),
    std("interval_us", (Unsigned, Microseconds), "see the documentation", "How long before the event the last snapshot was: the drops lie in between.", |r| us(r.interval_ns)),
    std("total_drops", (Unsigned, Count), "sk_drops", "Dropped since the socket was made (`d` of ss -m).", |r| U64(r.total_drops.into())),
    std("backlog", (Unsigned, Count), "sk_ack_backlog", "Connections that wait to be accepted (Recv-Q of ss -l).", |r| U64(r.backlog.into())),
    std("max_backlog", (Unsigned, Count), "sk_max_ack_backlog", "The limit of the accept queue (Send-Q of ss -l): with more than that waiting, it is full.", |r| U64(r.max_backlog.into())),
    std("syn_backlog", (Unsigned, Count), "icsk_accept_queue.qlen", "Handshakes that are not finished: the SYN queue, which has the same limit.", |r| U64(r.syn_backlog.into())),
    std("syncookies", (Flag, None), "tp->rx_opt.ts_recent_stamp", "SYN cookies were sent since the last snapshot, or in the second before it (the kernel notes their time once a second, for a SO_REUSEPORT group in one place).", |r| Bool(sends_cookies(r))),
    std("closed", (Flag, None), "sock:inet_sock_set_state", "The socket stops listening: its last event.", |r| Bool(r.closed != 0)),
];

socket_event_type!(
    ListenDropRecord,
    TCC_EVENT_LISTEN_DROP,
    "listen_drop",
    "sock:inet_sock_set_state",
    "A listening socket has dropped something, mostly because its accept queue is full; found by snapshots four times a second, and when it stops listening.",
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
