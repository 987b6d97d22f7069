//! `zero_window`: zero windows of either side, from begin to end.

use super::Hook;
use super::common::{UNKNOWN_NS, call, full, of, slot, std};
use super::computed::difference;
use super::socket::{socket_event_type, view};
use crate::skel::ZeroWindowRecord;
use crate::slot::Condition;
use crate::slot::Names::List;
use crate::table::Column;
use crate::table::Type::{Bool as Boolean, Signed, Text, Unsigned};
use crate::table::Unit::{Bytes, Count, Microseconds, None};
use crate::table::Value::U64;

/// The window of either side.
const OF_PEER: &[Condition] = &[Condition::is(slot!(ZeroWindowRecord, local), 0)];
const OF_LOCAL: &[Condition] = &[Condition::is_not(slot!(ZeroWindowRecord, local), 0)];
const ENDED: &[Condition] = &[Condition::is_not(slot!(ZeroWindowRecord, end), 0)];

#[rustfmt::skip]
static COLUMNS: &[Column] = &[
    std("side", (Text, None), "tp->snd_wnd, tp->rcv_wnd", "Side whose window it is: `peer` (the local side cannot send) or `local`.", of!(ZeroWindowRecord, local).flag().named(List(&["peer", "local"]))),
    std("phase", (Text, None), "tp->snd_wnd, tp->rcv_wnd", "`begin` when the window closes, `end` when it opens or ceases to matter (see `closed`).", of!(ZeroWindowRecord, end).flag().named(List(&["begin", "end"]))),
    std("duration_us", (Unsigned, Microseconds), "from begin to end", "Time that the window was closed. Null for `begin`, and if the begin or the end was not observed.", of!(ZeroWindowRecord, duration_ns).unset(UNKNOWN_NS).divided(1000)),
    std("ago_us", (Unsigned, Microseconds), "peer: bpf_ktime_get_ns(); local: tp->tcp_clock_cache", "Time between the change and this record: the peer's window changes with its packet, a change of the local one is observed at the next packet or read. Null if the change preceded the trace, or followed the FIN of either side.", of!(ZeroWindowRecord, ago_ns).unset(UNKNOWN_NS).divided(1000)),
    std("closed", (Boolean, None), "sk->sk_state", "For `end`: true if the window never opened again because the connection, or that half of it, ended. Null for `begin`.", of!(ZeroWindowRecord, closed).flag().when(ENDED)),
    std("wnd_bytes", (Unsigned, Bytes), "ntohs(th->window) << rx_opt.snd_wscale; tp->rcv_wnd", "Window after the change.", of!(ZeroWindowRecord, wnd_bytes)),
    std("probes", (Unsigned, Count), "sum of icsk->icsk_probes_out before each ACK", "Zero-window probes sent while the peer's window was closed, as counted by TCPWinProbe. Null for `local`.", of!(ZeroWindowRecord, probes).when(OF_PEER)),
    full("probes_out", (Unsigned, Count), "icsk->icsk_probes_out", "Probes sent since the last ACK, before this packet is processed. Null for `local`.", of!(ZeroWindowRecord, probes_out).when(OF_PEER)),
    full("backoff", (Unsigned, Count), "icsk->icsk_backoff", "Number of times that the probe timer has been doubled. Null for `local`.", of!(ZeroWindowRecord, backoff).when(OF_PEER)),
    std("notsent_bytes", (Unsigned, Bytes), "tp->write_seq - tp->snd_nxt", "Bytes waiting for their first transmission. Null for `local`.", call!(ZeroWindowRecord, [event.tcp.write_seq, event.tcp.snd_nxt], |[write_seq, snd_nxt, ..]| U64(difference(write_seq, snd_nxt))).when(OF_PEER)),
    std("rmem_alloc", (Signed, Bytes), "sk->sk_rmem_alloc", "Receive buffer memory in use. Null for `peer`.", of!(ZeroWindowRecord, rmem_alloc).when(OF_LOCAL)),
    std("rcvbuf", (Signed, Bytes), "sk->sk_rcvbuf", "Receive buffer limit. Null for `peer`.", of!(ZeroWindowRecord, rcvbuf).when(OF_LOCAL)),
];

const EXTRA_HOOKS: &[Hook] = &[
    Hook { hook: "tcp:tcp_rcv_space_adjust", without: Option::None },
    Hook { hook: "sock:inet_sock_set_state", without: Option::None },
    Hook { hook: "tcp:tcp_destroy_sock", without: Option::None },
];

socket_event_type!(
    ZeroWindowRecord,
    TCC_EVENT_ZERO_WINDOW,
    "zero_window",
    "tcp:tcp_probe",
    "A receive window, the peer's or the local one, closes or opens again.",
    view![
        ("PID", "pid", 6),
        ("SIDE", "side", 5),
        ("PHASE", "phase", 5),
        ("us", "duration_us", 9),
        ("probes", "probes", 6),
        ("notsent", "notsent_bytes", 8),
        ("used", "rmem_alloc", 8),
    ],
    extra_hooks: EXTRA_HOOKS
);
