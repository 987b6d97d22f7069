//! `zero_window`: zero windows of either side, from begin to end.

use super::Hook;
use super::common::{Field, full, std, us};
use super::socket::{socket_event_type, view};
use crate::skel::ZeroWindowRecord;
use crate::table::Type::{Bool as Boolean, Signed, Text, Unsigned};
use crate::table::Unit::{Bytes, Count, Microseconds, None};
use crate::table::Value::{self, Bool, I64, Null, Str, U64};

/// Null for the local window.
fn of_peer(r: &ZeroWindowRecord, value: Value<'static>) -> Value<'static> {
    if r.local == 0 { value } else { Null }
}

/// Null for the peer's window.
fn of_local(r: &ZeroWindowRecord, value: Value<'static>) -> Value<'static> {
    if r.local == 0 { Null } else { value }
}

fn notsent(r: &ZeroWindowRecord) -> u64 {
    let tcp = &r.event.tcp;
    tcp.write_seq.wrapping_sub(tcp.snd_nxt).into()
}

#[rustfmt::skip]
static FIELDS: &[Field<ZeroWindowRecord>] = &[
    std("side", (Text, None), "tp->snd_wnd, tp->rcv_wnd", "Side whose window it is: `peer` (the local side cannot send) or `local`.", |r| Str(if r.local == 0 { "peer" } else { "local" })),
    std("phase", (Text, None), "tp->snd_wnd, tp->rcv_wnd", "`begin` when the window closes, `end` when it opens or ceases to matter (see `closed`).", |r| Str(if r.end == 0 { "begin" } else { "end" })),
    std("duration_us", (Unsigned, Microseconds), "from begin to end", "Time that the window was closed. Null for `begin`, and if the begin or the end was not observed.", |r| us(r.duration_ns)),
    std("ago_us", (Unsigned, Microseconds), "peer: bpf_ktime_get_ns(); local: tp->tcp_clock_cache", "Time between the change and this record: the peer's window changes with its packet, a change of the local one is observed at the next packet or read. Null if the change preceded the trace, or followed the FIN of either side.", |r| us(r.ago_ns)),
    std("closed", (Boolean, None), "sk->sk_state", "For `end`: true if the window never opened again because the connection, or that half of it, ended. Null for `begin`.", |r| if r.end == 0 { Null } else { Bool(r.closed != 0) }),
    std("wnd_bytes", (Unsigned, Bytes), "ntohs(th->window) << rx_opt.snd_wscale; tp->rcv_wnd", "Window after the change.", |r| U64(r.wnd_bytes.into())),
    std("probes", (Unsigned, Count), "sum of icsk->icsk_probes_out before each ACK", "Zero-window probes sent while the peer's window was closed, as counted by TCPWinProbe. Null for `local`.", |r| of_peer(r, U64(r.probes.into()))),
    full("probes_out", (Unsigned, Count), "icsk->icsk_probes_out", "Probes sent since the last ACK, before this packet is processed. Null for `local`.", |r| of_peer(r, U64(r.probes_out.into()))),
    full("backoff", (Unsigned, Count), "icsk->icsk_backoff", "Number of times that the probe timer has been doubled. Null for `local`.", |r| of_peer(r, U64(r.backoff.into()))),
    std("notsent_bytes", (Unsigned, Bytes), "tp->write_seq - tp->snd_nxt", "Bytes waiting for their first transmission. Null for `local`.", |r| of_peer(r, U64(notsent(r)))),
    std("rmem_alloc", (Signed, Bytes), "sk->sk_rmem_alloc", "Receive buffer memory in use. Null for `peer`.", |r| of_local(r, I64(r.rmem_alloc.into()))),
    std("rcvbuf", (Signed, Bytes), "sk->sk_rcvbuf", "Receive buffer limit. Null for `peer`.", |r| of_local(r, I64(r.rcvbuf.into()))),
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
    "tcp:tcp_probe" and EXTRA_HOOKS,
    "A receive window, the peer's or the local one, closes or opens again.",
    view![
        ("PID", "pid", 6),
        ("SIDE", "side", 5),
        ("PHASE", "phase", 5),
        ("us", "duration_us", 9),
        ("probes", "probes", 6),
        ("notsent", "notsent_bytes", 8),
        ("used", "rmem_alloc", 8),
    ]
);
