//! `zero_window`: a window of no bytes, from its beginning to its end, on either side.

use super::Hook;
use super::common::{Field, full, std, us};
use super::socket::{socket_event_type, view};
use crate::skel::ZeroWindowRecord;
use crate::table::Type::{Bool as Boolean, Signed, Text, Unsigned};
use crate::table::Unit::{Bytes, Count, Microseconds, None};
use crate::table::Value::{self, Bool, I64, Null, Str, U64};

/// Of the peer's window only.
fn of_peer(r: &ZeroWindowRecord, value: Value<'static>) -> Value<'static> {
    if r.local == 0 { value } else { Null }
}

/// Of our own only.
fn of_local(r: &ZeroWindowRecord, value: Value<'static>) -> Value<'static> {
    if r.local == 0 { Null } else { value }
}

fn notsent(r: &ZeroWindowRecord) -> u64 {
    let tcp = &r.event.tcp;
    tcp.write_seq.wrapping_sub(tcp.snd_nxt).into()
}

#[rustfmt::skip]
static FIELDS: &[Field<ZeroWindowRecord>] = &[
    std("side", (Text, None), "tp->snd_wnd, tp->rcv_wnd", "Whose window: `peer`, so that we may not send, or `local`.", |r| Str(if r.local == 0 { "peer" } else { "local" })),
    std("phase", (Text, None), "tp->snd_wnd, tp->rcv_wnd", "`begin`: it is closed now; `end`.", |r| Str(if r.end == 0 { "begin" } else { "end" })),
    std("duration_us", (Unsigned, Microseconds), "from begin to end", "How long it was closed; null at the beginning, and where that or the end was not seen.", |r| us(r.duration_ns)),
    std("ago_us", (Unsigned, Microseconds), "peer: bpf_ktime_get_ns(); local: tp->tcp_clock_cache", "How long before this record it happened: the peer's window is seen as its packet comes, ours at the next packet or read. Null: not known, as it was so when the trace began, or came to be so after either side had closed its half.", |r| us(r.ago_ns)),
    std("closed", (Boolean, None), "sk->sk_state", "At the end: the window never opened; the connection, or the half of it that the window is for, has ended. Null at the beginning.", |r| if r.end == 0 { Null } else { Bool(r.closed != 0) }),
    std("wnd_bytes", (Unsigned, Bytes), "ntohs(th->window) << rx_opt.snd_wscale; tp->rcv_wnd", "The window from now on.", |r| U64(r.wnd_bytes.into())),
    std("probes", (Unsigned, Count), "sum of icsk->icsk_probes_out before each ACK", "Of the peer's: zero-window probes that we sent since it began; TCPWinProbe grows by as many.", |r| of_peer(r, U64(r.probes.into()))),
    full("probes_out", (Unsigned, Count), "icsk->icsk_probes_out", "Of the peer's: probes since the last ACK, as they stand before this packet is processed.", |r| of_peer(r, U64(r.probes_out.into()))),
    full("backoff", (Unsigned, Count), "icsk->icsk_backoff", "Of the peer's: doublings of the probe timer.", |r| of_peer(r, U64(r.backoff.into()))),
    std("notsent_bytes", (Unsigned, Bytes), "tp->write_seq - tp->snd_nxt", "Of the peer's: what waits to be sent for the first time.", |r| of_peer(r, U64(notsent(r)))),
    std("rmem_alloc", (Signed, Bytes), "sk->sk_rmem_alloc", "Of ours: receive buffer in use.", |r| of_local(r, I64(r.rmem_alloc.into()))),
    std("rcvbuf", (Signed, Bytes), "sk->sk_rcvbuf", "Of ours: receive buffer.", |r| of_local(r, I64(r.rcvbuf.into()))),
];

const MORE: &[Hook] = &[
    Hook { hook: "tcp:tcp_rcv_space_adjust", program: "zero_window_read", without: Option::None },
    Hook { hook: "sock:inet_sock_set_state", program: "zero_window_state", without: Option::None },
    Hook { hook: "tcp:tcp_destroy_sock", program: "zero_window_destroy", without: Option::None },
];

socket_event_type!(
    ZeroWindowRecord,
    TCC_EVENT_ZERO_WINDOW,
    "zero_window",
    "tcp:tcp_probe" and MORE,
    "A receive window closes, the peer's or our own, or is open again.",
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
