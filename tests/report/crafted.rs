//! Recordings of connections that the test chooses, packet by packet.

#![allow(dead_code, reason = "each test uses its own part")]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use tcc_trace::accounting::Counts;
use tcc_trace::environment::{ClockReading, Environment};
use tcc_trace::events::ca::{Bits, Layouts};
use tcc_trace::events::fields::{FieldGroups, RecordLayout};
use tcc_trace::events::{EVENT_TYPES, EventType, Types, ca_mainline, event_type};
use tcc_trace::recording::codec::ByteOrder;
use tcc_trace::recording::header::{AccountingFrame, ClockSample, Header};
use tcc_trace::recording::schema::shapes;
use tcc_trace::recording::writer::Writer;
use tcc_trace::skel::{
    DropRecord, Head, Presence, ProbeFullRecord, ProbeRecord, QueueRecord, RcvSpaceRecord,
    ResetSentRecord, RetransmitRecord, StateRecord, bytes,
};

/// The trace starts there.
pub const START_NS: u64 = 5_000_000_000_000;
pub const WALL_NS: i64 = 1_700_000_000_000_000_000;
/// The number that the recording has a name for, as a reason of drops and resets.
const REASON: u32 = 77;

/// A recording that is written.
pub struct Crafted {
    writer: Writer<File>,
    counts: BTreeMap<String, Counts>,
    /// By cookie.
    retransmitted: BTreeMap<u64, u32>,
    /// The last bytes of both addresses are raised by this at the other end, and the ports too.
    pub nat: u8,
}

/// A connection: the number decides its cookie, and ports if they are not given.
#[derive(Clone, Copy)]
pub struct Conn {
    pub cookie: u64,
    pub comm: &'static [u8],
    pub ca: &'static [u8],
}

/// A sample; what is not said is 0.
#[derive(Clone, Copy, Default)]
pub struct Sample {
    pub us: u64,
    pub cwnd: u32,
    pub ssthresh: u32,
    pub srtt_us: u32,
    pub una: u32,
    pub flight_bytes: u32,
    pub acked: u64,
    pub delivered: u32,
    pub segs_in: u32,
    pub ca_state: u8,
    /// What the delivery rate and the RTT's deviation are made of.
    pub interval_us: u32,
}

impl Conn {
    pub fn new(cookie: u64) -> Self {
        Conn { cookie, comm: b"sender", ca: b"cubic" }
    }

    fn head(self, event_type: &EventType, us: u64, len: usize) -> Head {
        let addr = |last: u8| [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, last];
        Head {
            mono_ns: START_NS + us * 1000,
            cookie: self.cookie,
            saddr: addr(1),
            daddr: addr(2),
            sport: 1024 + (self.cookie % 60_000) as u16,
            dport: 443,
            event_type: event_type.number,
            flags: 0,
            len: len as u16,
        }
    }
}

/// Of `struct bictcp`, only this member.
fn cubic(member: &str) -> Option<Bits> {
    (member == "last_max_cwnd").then_some(Bits { offset: 32, size: 32 })
}

fn named<const N: usize>(name: &[u8]) -> [u8; N] {
    let mut all = [0; N];
    all[..name.len()].copy_from_slice(name);
    all
}

impl Crafted {
    pub fn new(path: &Path) -> Self {
        Crafted::with_fields(path, FieldGroups::ALL)
    }

    /// Samples have these field groups beside the standard fields.
    pub fn with_fields(path: &Path, groups: FieldGroups) -> Self {
        let layouts = Layouts::new(|algorithm, member| {
            ca_mainline::locate(algorithm.type_name, member).or_else(|| cubic(member))
        });
        let reasons = |name: &str| [(REASON.into(), name.to_owned())].into();
        let types = Types {
            layouts,
            reset_reasons: reasons("ABORTED"),
            drop_reasons: reasons("QDISC_DROP"),
            ..Types::default()
        };
        let environment = Environment {
            host: "<b>host</b>".into(),
            kernel: "6.18.0".into(),
            clock: ClockReading { start_ns: START_NS, wall_offset_ns: WALL_NS },
            layout: RecordLayout::new(groups),
            types,
            ..Environment::default()
        };
        let event_types: Vec<&'static EventType> = EVENT_TYPES.iter().collect();
        let header = Header {
            program: concat!("tcc-trace ", env!("CARGO_PKG_VERSION")).into(),
            recording: "a6b1f0de-0000-4000-8000-000000000001".into(),
            byte_order: ByteOrder::NATIVE,
            command_line: vec!["tcc-trace".into(), "</script>".into()],
            shapes: shapes(&event_types, &environment),
            environment,
            ..Header::default()
        };
        let mut writer = Writer::new(File::create(path).unwrap(), ByteOrder::NATIVE).unwrap();
        writer.begin(&header).unwrap();
        Crafted { writer, counts: BTreeMap::new(), retransmitted: BTreeMap::new(), nat: 0 }
    }

    fn add(&mut self, name: &str, record: &[u8]) {
        let event_type = event_type(name).unwrap();
        self.writer.record(event_type.number.into(), record).unwrap();
        let counts = self.counts.entry(name.to_owned()).or_default();
        counts.seen += 1;
        counts.emitted += 1;
    }

    pub fn sample(&mut self, conn: Conn, sample: Sample) {
        let mut record = ProbeFullRecord::default();
        record.head = conn.head(event_type("probe").unwrap(), sample.us, size_of_val(&record));
        record.std.snd_una = sample.una;
        record.std.snd_nxt = sample.una.wrapping_add(sample.flight_bytes);
        record.std.snd_cwnd = sample.cwnd;
        record.std.ssthresh = if sample.ssthresh == 0 { 0x7fff_ffff } else { sample.ssthresh };
        record.std.snd_wnd = 65_535;
        record.std.srtt_us = sample.srtt_us;
        record.owner.pid = 77;
        record.owner.comm = named(conn.comm);
        record.cong.ca_state = sample.ca_state;
        record.cong.state = 1;
        record.cong.snd_ssthresh = record.std.ssthresh;
        record.flight.packets_out = sample.flight_bytes / 1448;
        record.rtt.min_rtt_us = 20_000;
        record.rtt.mdev_us = sample.srtt_us / 16 + sample.interval_us % 512;
        record.mss.mss = 1448;
        record.rate.delivered = sample.delivered;
        record.rate.rate_delivered = if sample.interval_us > 0 { 10 } else { 0 };
        record.rate.rate_interval_us = sample.interval_us;
        record.rate.pacing_rate =
            2_500_000 + u64::from(sample.cwnd) * 1000 + u64::from(sample.interval_us) * 17;
        record.data.bytes_acked = sample.acked;
        record.data.segs_in = sample.segs_in;
        record.data.data_segs_out = sample.delivered + 10;
        record.data.write_seq = record.std.snd_nxt.wrapping_add(5000);
        // One byte is the socket's own.
        record.memory.wmem_alloc = 1;
        record.ca.name = named(conn.ca);
        record.loss.total_retrans = self.retransmitted.get(&conn.cookie).copied().unwrap_or(0);
        match conn.ca {
            // `min_rtt_us` of mainline.
            b"bbr" => {
                record.ca_priv.bytes[..4].copy_from_slice(&(12_000 + sample.cwnd).to_ne_bytes());
            }
            b"cubic" => {
                let last_max = 40 + sample.segs_in / 100;
                record.ca_priv.bytes[4..8].copy_from_slice(&last_max.to_ne_bytes());
            }
            _ => {}
        }
        self.add("probe", bytes(&record));
    }

    /// A sample of a recording whose samples have the standard fields only.
    pub fn standard_sample(&mut self, conn: Conn, sample: Sample) {
        let mut record = ProbeRecord::default();
        record.head = conn.head(event_type("probe").unwrap(), sample.us, size_of_val(&record));
        record.std.snd_una = sample.una;
        record.std.snd_nxt = sample.una.wrapping_add(sample.flight_bytes);
        record.std.snd_cwnd = sample.cwnd;
        record.std.srtt_us = sample.srtt_us;
        self.add("probe", bytes(&record));
    }

    /// As the other end has it.
    fn peer(&self, head: Head) -> Head {
        let (mut saddr, mut daddr) = (head.daddr, head.saddr);
        saddr[15] += self.nat;
        daddr[15] += self.nat;
        let port = |port: u16| port + u16::from(self.nat);
        let (sport, dport) = (port(head.dport), port(head.sport));
        Head { saddr, daddr, sport, dport, cookie: head.cookie + 1000, ..head }
    }

    /// A packet with data arrives in order at the connection's other end, which expects that number.
    pub fn receive(&mut self, conn: Conn, us: u64, rcv_nxt: u32, len: u32) {
        let mut record = ProbeFullRecord::default();
        record.head = self.peer(conn.head(event_type("probe").unwrap(), us, size_of_val(&record)));
        record.std.data_len = len;
        record.std.snd_cwnd = 10;
        record.std.ssthresh = 0x7fff_ffff;
        record.cong.state = 1;
        record.data.rcv_nxt = rcv_nxt;
        record.ca.name = named(conn.ca);
        self.add("probe", bytes(&record));
    }

    /// Its application reads.
    pub fn read(&mut self, conn: Conn, us: u64) {
        let mut record = RcvSpaceRecord::default();
        let head = conn.head(event_type("rcv_space").unwrap(), us, size_of_val(&record));
        record.event.head = self.peer(head);
        self.add("rcv_space", bytes(&record));
    }

    /// A packet is handed to the driver, so long after TCP handed it over.
    pub fn queue(&mut self, conn: Conn, us: u64, seq: u32, len: u32, queue_us: u64) {
        let mut record = QueueRecord::default();
        record.event.head = conn.head(event_type("queue").unwrap(), us, size_of_val(&record));
        (record.queue_ns, record.qdisc_ns) = (queue_us * 1000, queue_us * 500);
        (record.seq, record.data_len, record.has_header) = (seq, len, 1);
        (record.backlog, record.has_qlen) = (len * 3, 1);
        self.add("queue", bytes(&record));
    }

    /// A packet of the connection is dropped, as a router without its socket sees it.
    pub fn drop_in_router(&mut self, conn: Conn, us: u64, seq: u32) {
        let mut record = DropRecord::default();
        let mut head = conn.head(event_type("drop").unwrap(), us, size_of_val(&record));
        head.cookie = 0;
        std::mem::swap(&mut head.saddr, &mut head.daddr);
        std::mem::swap(&mut head.sport, &mut head.dport);
        record.event.head = head;
        record.reason = REASON;
        record.seq = seq;
        record.data_len = 1448;
        record.segs = 1;
        record.tcp_flags = 0x10;
        self.add("drop", bytes(&record));
    }

    pub fn retransmit(&mut self, conn: Conn, us: u64, seq: u32) {
        *self.retransmitted.entry(conn.cookie).or_default() += 1;
        let mut record = RetransmitRecord::default();
        record.event.head = conn.head(event_type("retransmit").unwrap(), us, size_of_val(&record));
        record.event.tcp.present = Presence::TCC_SOCK_PRESENT.0 as u8;
        record.event.tcp.snd_cwnd = 5;
        record.seq = seq;
        record.end_seq = seq.wrapping_add(1448);
        record.segs = 1;
        record.class = 1;
        self.add("retransmit", bytes(&record));
    }

    pub fn reset(&mut self, conn: Conn, us: u64) {
        let mut record = ResetSentRecord::default();
        record.event.head = conn.head(event_type("reset_sent").unwrap(), us, size_of_val(&record));
        (record.reason, record.has_reason, record.state) = (REASON, 1, 1);
        self.add("reset_sent", bytes(&record));
    }

    /// SYN_SENT, ESTABLISHED
    pub fn opened(&mut self, conn: Conn, us: u64) {
        let mut record = StateRecord::default();
        record.event.head = conn.head(event_type("state").unwrap(), us, size_of_val(&record));
        (record.old_state, record.new_state) = (2, 1);
        self.add("state", bytes(&record));
    }

    /// ESTABLISHED, CLOSE
    pub fn closed(&mut self, conn: Conn, us: u64) {
        let mut record = StateRecord::default();
        record.event.head = conn.head(event_type("state").unwrap(), us, size_of_val(&record));
        (record.old_state, record.new_state) = (1, 7);
        self.add("state", bytes(&record));
    }

    /// The wall clock is set forward by a second.
    pub fn step_clock(&mut self, us: u64) {
        let after_ns = START_NS + us * 1000;
        let sample = ClockSample { after_ns, wall_offset_ns: WALL_NS + 1_000_000_000 };
        self.writer.clock(&[sample]).unwrap();
    }

    /// Begins a new frame.
    pub fn cut(&mut self) {
        self.writer.cut().unwrap();
    }

    /// With events that the trace lost.
    pub fn end(mut self, us: u64, lost: u64) {
        let probes = self.counts.entry("probe".to_owned()).or_default();
        probes.seen += lost;
        probes.lost += lost;
        let accounting = AccountingFrame {
            duration_ns: us * 1000,
            from_ns: START_NS,
            to_ns: START_NS + us * 1000,
            lost: [("probe".to_owned(), lost)].into_iter().filter(|(_, lost)| *lost > 0).collect(),
            event_types: self.counts,
            ..AccountingFrame::default()
        };
        self.writer.accounting(&accounting).unwrap();
        self.writer.end(START_NS + us * 1000, None).unwrap();
    }
}
