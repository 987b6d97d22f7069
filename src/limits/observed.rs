//! The state of a socket as records show it. Those of `probe` have all that the rules read; of the other event types a member that their
//! records do not have keeps its last value.

use super::account::BusyTime;
use super::rules::Sock;
use crate::events::ca::until_nul;
use crate::skel::{Event, LimitsSnapshot, ProbeFullRecord, Sender};

/// Columns of `probe` that the rules read.
pub const COLUMNS: [&str; 27] = [
    "snd_nxt",
    "write_seq",
    "packets_out",
    "state",
    "snd_una",
    "sacked_out",
    "lost_out",
    "retrans_out",
    "ca_state",
    "snd_wnd",
    "max_window",
    "snd_cwnd",
    "snd_cwnd_clamp",
    "mss",
    "rack_rtt_us",
    "min_rtt_us",
    "srtt_us",
    "wmem_alloc",
    "sock_nospace",
    "tsq_flags",
    "pacing_rate",
    "max_pacing_rate",
    "chrono_type",
    "snd_ssthresh",
    "timer",
    "pacing_status",
    "tcp_wstamp_ns",
];
/// Of these, those that show whether a connection is idle.
pub const BASIC: usize = 4;

/// TSQ_THROTTLED and TSQ_QUEUED.
const TSQ_WAITS: u32 = 3;
/// The kernel's busy time has steps of a jiffy, which is at most 10 ms: two of them.
const CARRY_NS: u32 = 20_000_000;

/// A sample: everything.
pub(super) fn sample(sock: &mut Sock, record: &ProbeFullRecord, bbr: bool) {
    let ProbeFullRecord { std, cong, flight, rtt, timer, rate, memory, pacing, .. } = record;
    *sock = Sock {
        now_ns: record.head.mono_ns,
        wstamp_ns: pacing.tcp_wstamp_ns,
        pacing_rate: rate.pacing_rate,
        max_pacing_rate: rate.max_pacing_rate,
        packets_out: flight.packets_out,
        sacked_out: flight.sacked_out,
        lost_out: flight.lost_out,
        retrans_out: flight.retrans_out,
        write_seq: record.data.write_seq,
        snd_nxt: std.snd_nxt,
        snd_una: std.snd_una,
        snd_wnd: std.snd_wnd,
        max_window: record.window.max_window,
        snd_cwnd: std.snd_cwnd,
        snd_cwnd_clamp: record.recovery.snd_cwnd_clamp,
        snd_ssthresh: cong.snd_ssthresh,
        mss: record.mss.mss,
        rtt_us: record.rack.rtt_us,
        min_rtt_us: rtt.min_rtt_us,
        srtt_us: std.srtt_us,
        wmem_alloc: memory.wmem_alloc.cast_unsigned(),
        state: cong.state,
        ca_state: cong.ca_state,
        pending: timer.pending,
        chrono_type: record.chrono_now.chrono_type,
        tsq: u8::from(pacing.tsq_flags & TSQ_WAITS != 0),
        // 255: there is no struct socket.
        nospace: u8::from(record.nospace.sock_nospace == 1),
        paced: u8::from(pacing.status != 0),
        ..Sock::default()
    };
    if bbr {
        set_bbr(sock, &record.ca_priv.bytes);
    }
}

/// The positions of its members in mainline; see ca_mainline.rs.
fn set_bbr(sock: &mut Sock, state: &[u8]) {
    let byte = |bit: usize| state.get(bit / 8).copied().unwrap_or_default();
    sock.bbr_mode = byte(448) & 7;
    sock.bbr_lt_bw = byte(479) >> (479 % 8) & 1;
    sock.bbr_full_bw = byte(628) >> (628 % 8) & 1;
}

/// The kernel's busy time as of a sample.
pub(super) fn busy(record: &ProbeFullRecord) -> BusyTime {
    BusyTime { ticks: record.chrono.busy_us as u32, tick_ns: 1000, carry_ns: CARRY_NS }
}

/// What another event shows.
pub(super) fn event(sock: &mut Sock, event: &Event, sender: Option<&Sender>) {
    let tcp = &event.tcp;
    sock.now_ns = event.head.mono_ns;
    // TCC_SOCK_PRESENT
    if tcp.present != 1 {
        return;
    }
    sock.packets_out = tcp.packets_out;
    sock.sacked_out = tcp.sacked_out;
    sock.lost_out = tcp.lost_out;
    sock.retrans_out = tcp.retrans_out;
    sock.write_seq = tcp.write_seq;
    sock.snd_nxt = tcp.snd_nxt;
    sock.snd_una = tcp.snd_una;
    sock.snd_wnd = tcp.snd_wnd;
    sock.snd_cwnd = tcp.snd_cwnd;
    sock.snd_ssthresh = tcp.snd_ssthresh;
    sock.srtt_us = tcp.srtt_us;
    sock.state = tcp.state;
    sock.ca_state = tcp.ca_state;
    if let Some(sender) = sender {
        sock.mss = sender.mss;
        sock.pacing_rate = sender.pacing_rate;
    }
}

/// What explains the account, as of a sample.
pub(super) fn explain_sample(last: &mut LimitsSnapshot, record: &ProbeFullRecord) {
    last.event.head = record.head;
    if record.owner.pid != 0 || last.event.owner.pid == 0 {
        last.event.owner = record.owner;
    }
    let tcp = &mut last.event.tcp;
    tcp.bytes_acked = record.data.bytes_acked;
    tcp.bytes_received = record.data.bytes_received;
    tcp.snd_cwnd = record.std.snd_cwnd;
    tcp.srtt_us = record.std.srtt_us;
    tcp.total_retrans = record.loss.total_retrans;
    last.pacing_rate = record.rate.pacing_rate;
    last.max_pacing_rate = record.rate.max_pacing_rate;
    last.busy_us = record.chrono.busy_us;
    last.rwnd_limited_us = record.chrono.rwnd_limited_us;
    last.sndbuf_limited_us = record.chrono.sndbuf_limited_us;
    last.mss = record.mss.mss;
    last.min_rtt_us = record.rtt.min_rtt_us;
    last.max_window = record.window.max_window;
    last.sndbuf = record.memory.sndbuf.cast_unsigned();
    last.snd_wscale = record.options.snd_wscale;
    last.ca_name = record.ca.name;
}

/// The same of another event.
pub(super) fn explain_event(last: &mut LimitsSnapshot, event: &Event) {
    last.event.head = event.head;
    if event.owner.pid != 0 || last.event.owner.pid == 0 {
        last.event.owner = event.owner;
    }
    if event.tcp.present == 1 {
        last.event.tcp = event.tcp;
    }
}

/// Does it run BBR as mainline has it?
pub(super) fn is_bbr(record: &ProbeFullRecord, mainline: bool) -> bool {
    mainline && until_nul(&record.ca.name) == b"bbr"
}
