//! A record of each event type, with another value in each member; some event types have several, for what one cannot tell.

use plain::Plain;
use tcc_trace::events::EventType;
use tcc_trace::skel::{
    AcceptRecord, CongStateRecord, ConnectRecord, DestroyRecord, DropRecord, DropStackRecord,
    ErrorRecord, Event, Head, HeadFlag, LifeRecord, ListenDropRecord, Owner, Presence,
    ProbeFullRecord, ProbeRecord, ProbeStd, QueueRecord, RcvSpaceRecord, RcvbufGrowRecord,
    ResetReceivedRecord, ResetSentRecord, RetransmitRecord, SendRecord, Sender, SpuriousRecord,
    StateRecord, SynackRetransmitRecord, Tcp, Totals, ZeroWindowRecord, bytes,
};

/// The number that the types of the test have a name for, as a reason.
pub const REASON: u32 = 77;
/// Where a function begins that they have a name for.
pub const CODE: u64 = 0xffff_ffff_8100_0200;

/// Those of that event type, with heads that tell which they are.
pub fn records(event_type: &EventType) -> Vec<Vec<u8>> {
    let records = match event_type.name {
        "probe" => vec![of(&probe()), of(&full("cubic")), of(&full("bbr")), of(&full("dctcp"))],
        "state" => vec![of(&state())],
        "retransmit" => vec![of(&retransmit())],
        "synack_retransmit" => vec![of(&synack_retransmit())],
        "reset_sent" => vec![of(&reset_sent()), of(&reset_without_socket())],
        "reset_received" => vec![of(&reset_received())],
        "destroy" => vec![of(&destroy()), of(&destroy_after_disconnect())],
        "cong_state" => vec![of(&cong_state())],
        "rcv_space" => vec![of(&rcv_space())],
        "error" => vec![of(&error())],
        "connect" => vec![of(&connect())],
        "life" => vec![of(&life())],
        "accept" => vec![of(&accept())],
        "drop" => vec![of(&dropped()), of(&drop_stack())],
        "zero_window" => vec![of(&zero_window()), of(&own_zero_window())],
        "spurious" => vec![of(&spurious()), of(&spurious_by_dsack())],
        "queue" => vec![of(&queue())],
        "rcvbuf_grow" => vec![of(&rcvbuf_grow())],
        "listen_drop" => vec![of(&listen_drop())],
        "send" => vec![of(&send())],
        name => panic!("no record of {name}: make one here"),
    };
    let heads = records.into_iter().enumerate().map(|(i, mut record)| {
        let mut head = head(event_type, i, record.len());
        if event_type.name == "destroy" && i > 0 {
            head.flags |= HeadFlag::TCC_HEAD_WIPED.0 as u8;
            head.saddr = [0; 16];
        }
        let head = bytes(&head).to_vec();
        record[..head.len()].copy_from_slice(&head);
        record
    });
    heads.collect()
}

fn of<T: Plain>(record: &T) -> Vec<u8> {
    bytes(record).to_vec()
}

/// The first is IPv4, all others IPv6.
fn head(event_type: &EventType, index: usize, len: usize) -> Head {
    let addr = |last: u8| {
        let mut addr = [0; 16];
        addr[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        if index == 0 {
            addr = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 0];
        }
        addr[15] = last;
        addr
    };
    Head {
        mono_ns: 5_000_123_456_789 + 1_000_001 * index as u64,
        cookie: 4_711 + index as u64,
        saddr: addr(1),
        daddr: addr(2),
        sport: 443,
        dport: 50_412,
        event_type: event_type.number,
        flags: 0,
        len: len as u16,
    }
}

fn padded<const N: usize>(text: &[u8]) -> [u8; N] {
    let mut padded = [0; N];
    padded[..text.len()].copy_from_slice(text);
    padded
}

/// Bytes that are all different; mode's bits in BBR's are those of PROBE_BW.
fn ca_priv() -> [u8; 104] {
    let mut bytes = std::array::from_fn(|i| i as u8 + 1);
    bytes[56] = 0xb2;
    bytes
}

fn event() -> Event {
    Event { head: Head::default(), owner: owner(), tcp: tcp() }
}

fn probe() -> ProbeRecord {
    ProbeRecord { head: Head::default(), std: standard() }
}

fn full(algorithm: &str) -> ProbeFullRecord {
    let mut record = ProbeFullRecord { std: standard(), owner: owner(), ..fields() };
    record.ca.name = padded(algorithm.as_bytes());
    record
}

fn reset_without_socket() -> ResetSentRecord {
    let event = Event { tcp: Tcp { present: 0, ..tcp() }, ..event() };
    ResetSentRecord { event, state: 0, ..reset_sent() }
}

/// Whose end nobody saw.
fn destroy_after_disconnect() -> DestroyRecord {
    let tcp = Tcp { present: Presence::TCC_SOCK_WIPED.0 as u8, ..tcp() };
    DestroyRecord { event: Event { tcp, ..event() }, ..destroy() }
}

fn drop_stack() -> DropStackRecord {
    let mut stack = [0; 64];
    stack[0] = CODE + 0x1a;
    stack[1] = CODE + 0x2b;
    DropStackRecord { drop: DropRecord { outgoing: 0, ..dropped() }, stack }
}

fn own_zero_window() -> ZeroWindowRecord {
    ZeroWindowRecord { local: 1, ..zero_window() }
}

fn spurious_by_dsack() -> SpuriousRecord {
    SpuriousRecord { evidence: 0, undo: 0, ..spurious() }
}

#[rustfmt::skip]
fn owner() -> Owner {
    Owner {
        cgroup_id: 1_101_101_101, ino: 1_102_102_102, netns: 10_103, ifindex: 10_104, bound_dev_if: 10_107, unused: 0, uid: 10_105,
        pid: 10_106, comm: padded(b"server"),
    }
}

#[rustfmt::skip]
fn standard() -> ProbeStd {
    ProbeStd {
        mark: 10_107, data_len: 10_108, snd_nxt: 4_000_000_000, snd_una: 3_999_980_000,
        snd_cwnd: 10_109, ssthresh: 10_110, snd_wnd: 10_111, srtt_us: 10_112, rcv_wnd: 10_113,
        unused: 0,
    }
}

#[rustfmt::skip]
fn fields() -> ProbeFullRecord {
    let mut all = ProbeFullRecord::default();
    all.cong.snd_ssthresh = 10_123; all.cong.state = 1; all.cong.ca_state = 2;
    all.cong.is_cwnd_limited = 1;
    all.flight.packets_out = 600; all.flight.retrans_out = 30; all.flight.sacked_out = 200;
    all.flight.lost_out = 70;
    all.rtt.rttvar_us = 10_124; all.rtt.mdev_us = 10_125; all.rtt.min_rtt_us = 10_126;
    all.rtt.rto_us = 10_127;
    all.timer.ato_us = 10_128; all.timer.timer_us = 10_152; all.timer.retransmits = 82;
    all.timer.backoff = 83; all.timer.probes_out = 84; all.timer.pending = 5;
    all.mss.mss = 10_129; all.mss.advmss = 10_130; all.mss.rcv_mss = 10_131; all.mss.pmtu = 10_132;
    all.rate.pacing_rate = 1_118_118_118; all.rate.max_pacing_rate = 1_119_119_119;
    all.rate.delivered = 10_135; all.rate.delivered_ce = 10_136; all.rate.rate_delivered = 10_137;
    all.rate.rate_interval_us = 10_138; all.rate.rate_app_limited = 1;
    all.loss.bytes_retrans = 1_117_117_117; all.loss.total_retrans = 10_133;
    all.loss.lost = 10_134; all.loss.reordering = 10_139; all.loss.reord_seen = 10_140;
    all.loss.dsack_dups = 10_141; all.loss.timeout_rehash = 1176;
    all.recovery.prior_cwnd = 10_153; all.recovery.prior_ssthresh = 10_154;
    all.recovery.snd_cwnd_cnt = 10_155; all.recovery.snd_cwnd_clamp = 10_156;
    all.recovery.prr_delivered = 10_157; all.recovery.prr_out = 10_158;
    all.recovery.high_seq = 10_159; all.recovery.undo_marker = 10_160;
    all.recovery.undo_retrans = -3; all.recovery.tlp_high_seq = 10_161;
    all.data.bytes_sent = 1_114_114_114; all.data.bytes_acked = 1_115_115_115;
    all.data.bytes_received = 1_116_116_116; all.data.segs_in = 10_142; all.data.segs_out = 10_143;
    all.data.data_segs_in = 10_144; all.data.data_segs_out = 10_145;
    all.data.write_seq = 4_000_003_000; all.data.rcv_nxt = 10_146;
    all.window.rcv_ssthresh = 10_147; all.window.window_clamp = 10_148;
    all.window.rcv_rtt_us = 10_149; all.window.rcv_space = 10_150; all.window.rcv_ooopack = 10_151;
    all.window.max_window = 10_172;
    all.last.last_data_sent_us = 1_120_120_120; all.last.last_data_recv_us = 1_121_121_121;
    all.last.last_ack_recv_us = 1_122_122_122;
    all.chrono.busy_us = 1_173_173_173; all.chrono.rwnd_limited_us = 1_174_174_174;
    all.chrono.sndbuf_limited_us = 1_175_175_175;
    all.chrono_now.elapsed_us = 1_281_281_281; all.chrono_now.chrono_type = 2;
    all.pacing.tcp_wstamp_ns = 5_000_123_282_282; all.pacing.tsq_flags = 283; all.pacing.status = 2;
    all.rack.rtt_us = 10_284; all.nospace.sock_nospace = 1;
    all.memory.drops = 10_164; all.memory.wmem_queued = 10_165; all.memory.wmem_alloc = 10_166;
    all.memory.sndbuf = 10_167; all.memory.rmem_alloc = 10_168; all.memory.rcvbuf = 10_169;
    all.memory.forward_alloc = -4096; all.memory.omem_alloc = 10_170;
    all.memory.backlog_len = 10_171;
    all.options.sk_mark = 10_162; all.options.sk_priority = 10_163;
    all.options.mptcp_token = 4_001_271_271; all.options.ecn_flags = 9; all.options.tstamp_ok = 1;
    all.options.sack_ok = 1; all.options.snd_wscale = 7; all.options.rcv_wscale = 8;
    all.options.tos = 85;
    all.ca.name = padded(b"cubic");
    all.ca_priv.bytes = ca_priv();
    all
}

#[rustfmt::skip]
fn tcp() -> Tcp {
    Tcp {
        bytes_acked: 1_181_181_181, bytes_received: 1_182_182_182, snd_cwnd: 10_183,
        snd_ssthresh: 10_184, snd_una: 3_000_000_000, snd_nxt: 3_000_014_480,
        write_seq: 3_000_020_000, snd_wnd: 10_185, rcv_wnd: 10_186, srtt_us: 10_187,
        packets_out: 500, sacked_out: 100, lost_out: 50, retrans_out: 20, total_retrans: 10_188,
        state: 1, ca_state: 3, retransmits: 94, present: 1, mptcp_token: 4_001_272_272, unused: 0,
    }
}

#[rustfmt::skip]
fn sender() -> Sender {
    Sender { pacing_rate: 1_285_285_285, mss: 10_286, wmem_queued: 10_287 }
}

#[rustfmt::skip]
fn state() -> StateRecord {
    StateRecord {
        event: event(), sender: sender(), old_state_ns: 1_190_190_190, old_state: 2, new_state: 1, unused: [0; 6],
    }
}

#[rustfmt::skip]
fn retransmit() -> RetransmitRecord {
    RetransmitRecord {
        event: event(), sender: sender(), seq: 10_000, end_seq: 12_897, segs: 10_191, err: -11, class: 1,
        tcp_flags: 25, unused: [0; 6],
    }
}

#[rustfmt::skip]
fn synack_retransmit() -> SynackRetransmitRecord {
    SynackRetransmitRecord {
        event: event(), attempt: 10_192, unused: 0,
    }
}

#[rustfmt::skip]
fn reset_sent() -> ResetSentRecord {
    ResetSentRecord {
        event: event(), reason: REASON, state: 8, has_reason: 1, unused: [0; 2],
    }
}

#[rustfmt::skip]
fn reset_received() -> ResetReceivedRecord {
    ResetReceivedRecord {
        event: event(),
    }
}

#[rustfmt::skip]
fn destroy() -> DestroyRecord {
    DestroyRecord {
        event: event(),
        totals: Totals {
            bytes_sent: 1_193_193_193, bytes_retrans: 1_194_194_194, segs_in: 10_195,
            segs_out: 10_196, data_segs_in: 10_197, data_segs_out: 10_198, min_rtt_us: 10_199,
            delivered: 10_200, lost: 10_201, dsack_dups: 10_202,
        },
    }
}

#[rustfmt::skip]
fn cong_state() -> CongStateRecord {
    CongStateRecord {
        event: event(), sender: sender(), old_ca_state_ns: 1_203_203_203, prior_cwnd: 10_204, prior_ssthresh: 10_205,
        old_ca_state: 0, new_ca_state: 3, inferred: 1, unused: [0; 5],
    }
}

#[rustfmt::skip]
fn rcv_space() -> RcvSpaceRecord {
    RcvSpaceRecord {
        event: event(), rcv_rtt_us: 10_206, rcv_space: 10_207, rcv_ssthresh: 10_208,
        window_clamp: 10_209, rcvbuf: 10_210, rmem_alloc: 10_211,
    }
}

#[rustfmt::skip]
fn error() -> ErrorRecord {
    ErrorRecord {
        event: event(), err: 104, unused: 0,
    }
}

#[rustfmt::skip]
fn connect() -> ConnectRecord {
    ConnectRecord {
        event: event(), latency_ns: 1_212_212_212, syn_wait_ns: 1_270_270_270, err: 111, outcome: 1, unused: [0; 3],
    }
}

#[rustfmt::skip]
fn life() -> LifeRecord {
    LifeRecord {
        event: event(), duration_ns: 1_213_213_213, bytes_sent: 1_214_214_214,
        bytes_retrans: 1_215_215_215, srtt_sum_us: 2_000_000, srtt_samples: 7,
        srtt_max_us: 300_001, snd_cwnd_max: 10_215, handshake_us: 10_216, min_rtt_us: 10_217,
        rate_delivered: 10_218, rate_interval_us: 10_219, mss: 10_220, err: 110, reason: 4,
        closed_by: 2, limits_observed_ns: 1_300_000_000, limits_main_ns: 806_000_000,
        limits_main: 12, unused: [0; 1],
    }
}

#[rustfmt::skip]
fn accept() -> AcceptRecord {
    AcceptRecord {
        event: event(), wait_ns: 1_221_221_221, handshake_us: 10_222, backlog: 10_223,
        max_backlog: 10_224, has_listener: 1, unused: [0; 3],
    }
}

#[rustfmt::skip]
fn dropped() -> DropRecord {
    DropRecord {
        event: event(), location: CODE + 0x1a, reason: REASON, seq: 10_225, ack_seq: 10_226,
        data_len: 10_227, skb_len: 10_228, mark: 10_229, tcp_flags: 0x12, segs: 2, outgoing: 1,
        state: 10, frames: 2, unused: 0,
    }
}

#[rustfmt::skip]
fn zero_window() -> ZeroWindowRecord {
    ZeroWindowRecord {
        event: event(), ago_ns: 1_230_230_230, duration_ns: 1_231_231_231, wnd_bytes: 10_232,
        probes: 10_233, rmem_alloc: 10_234, rcvbuf: 10_235, local: 0, end: 1, closed: 1,
        probes_out: 44, backoff: 45, unused: [0; 3],
    }
}

#[rustfmt::skip]
fn spurious() -> SpuriousRecord {
    SpuriousRecord {
        event: event(), packet_ns: 1_238_238_238, retrans_ns: 1_239_239_239, segs: 10_240,
        seq: 10_245, end_seq: 10_246, dsack_dups: 10_241, old_snd_cwnd: 10_242, old_snd_ssthresh: 10_243, prior_cwnd: 10_244,
        prior_ssthresh: 10_245, evidence: 1, undo: 2, old_ca_state: 4, new_ca_state: 0, has_seq: 1, has_segs: 1,
        unused: [0; 2],
    }
}

#[rustfmt::skip]
fn queue() -> QueueRecord {
    QueueRecord {
        event: event(), queue_ns: 1_246_246_246, qdisc_ns: 1_247_247_247, seq: 10_248,
        data_len: 10_249, len: 10_250, qlen: 10_251, backlog: 10_252, dev_netns: 10_253,
        queue_mapping: 1254, segs: 1255, tcp_flags: 0x18, has_header: 1, has_qlen: 1,
        dev: padded(b"eth0"), qdisc: padded(b"fq_codel"),
    }
}

#[rustfmt::skip]
fn rcvbuf_grow() -> RcvbufGrowRecord {
    RcvbufGrowRecord {
        event: event(), time_us: 10_256, rcv_rtt_us: 10_257, copied: 10_258, inq: 10_259,
        rcv_space: 10_260, ooo_space: 10_261, rcv_ssthresh: 10_262, window_clamp: 10_263,
        rcvbuf: 10_264, scaling_ratio: 200,
    }
}

fn listen_drop() -> ListenDropRecord {
    ListenDropRecord {
        event: event(),
        sk: 1_401_401_401,
        interval_ns: 250_402_402,
        syncookie_us: 1_250_402,
        drops: 14_403,
        total_drops: 14_404,
        backlog: 14_405,
        max_backlog: 14_406,
        syn_backlog: 14_407,
        closed: 0,
        unused: [0; 3],
    }
}

fn send() -> SendRecord {
    SendRecord {
        event: event(),
        sender: sender(),
        msg_left: 1_288_288_288,
        size_goal: 10_289,
        unused: 0,
    }
}
