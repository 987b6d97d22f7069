//! Measurement tool of script/bench: `replay FORMAT standard|all|NAME,…` gives records of `probe` to a sink whose output is
//! discarded. For each line on standard input, a number of events, it prints the CPU ns of this process for one event, decoding
//! included. `replay tcc=FILE standard|all` writes that number of them into a recording, and prints its size.

#![deny(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::env;
use std::fs::File;
use std::io::{self, BufRead};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::time::{ClockId, clock_gettime};
use tcc_trace::accounting::Counts;
use tcc_trace::config::{Content, Destination, Fields, Output, TimeMode};
use tcc_trace::environment::{ClockReading, Environment};
use tcc_trace::events::ca::{Bits, Layouts};
use tcc_trace::events::fields::{FieldGroups, RecordLayout};
use tcc_trace::events::{Types, ca_mainline, tcp_probe};
use tcc_trace::pipeline::Pipeline;
use tcc_trace::pipeline::clock::Clock;
use tcc_trace::pipeline::reorder::ReorderBuffer;
use tcc_trace::pipeline::source::Source;
use tcc_trace::pipeline::tee::{Branch, Tee};
use tcc_trace::recording::codec::ByteOrder;
use tcc_trace::recording::header::{AccountingFrame, Header};
use tcc_trace::recording::schema::shapes;
use tcc_trace::recording::writer::Writer;
use tcc_trace::session::columns::select;
use tcc_trace::session::output::sink_into;
use tcc_trace::sink::FORMATS;
use tcc_trace::skel::{Head, Owner, ProbeFullRecord, ProbeRecord, ProbeStd, bytes};

/// Events between two flushes, as from a ring buffer.
const BATCH: usize = 64;

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [format, fields] = args.iter().map(String::as_str).collect::<Vec<_>>()[..] else {
        bail!("usage: replay jsonl|csv|text|tcc=FILE standard|all|NAME,…");
    };
    if let Some(path) = format.strip_prefix("tcc=") {
        let records = if fields == "all" { full() } else { standard() };
        return record(Path::new(path), records);
    }
    let format = FORMATS.iter().find(|known| known.name == format);
    let format = format.with_context(|| format!("unknown format {}", args[0]))?;
    let (fields, records) = match fields {
        "standard" => (Fields::Standard, standard()),
        "all" => (Fields::All, full()),
        names => (Fields::Named(names.split(',').map(str::to_owned).collect()), full()),
    };
    let output = Output { fields, header: true, ..Output::default() };
    let selection = select(&[&tcp_probe::EVENT_TYPE], &output, |_| true)?;
    let destination = Destination::new(format, None);
    let sink = sink_into(io::sink(), &destination, &output, &selection);
    let branch =
        Branch { content: Content::Events, format: format.name, path: None, essential: true, sink };
    let layout = RecordLayout::new(selection.groups);
    let records = records.iter().map(|record| loaded(record, &layout)).collect();
    let environment = Environment { types: types(), layout, ..Environment::default() };
    let clock = Clock::new(TimeMode::Wall);
    let mut pipeline = Pipeline::new(Tee::new(vec![branch]), environment, clock, None, None);
    pipeline.begin();
    let buffer = pipeline.records();
    let records = RefCell::new(records);
    let mut source = Replay { records, buffer, next: Cell::new(0), left: Cell::new(0) };
    for line in io::stdin().lock().lines() {
        let count: usize = line?.trim().parse().context("not a number")?;
        source.left = Cell::new(count);
        let before = cpu_ns();
        while pipeline.consume(&source)? {
            pipeline.flush();
        }
        pipeline.drain(&source)?;
        pipeline.flush();
        println!("{:.1}", (cpu_ns() - before) as f64 / count as f64);
    }
    Ok(())
}

/// Writes a recording of so many events.
fn record(path: &Path, mut records: Vec<Vec<u8>>) -> Result<()> {
    let line = io::stdin().lock().lines().next().context("no number")??;
    let count: usize = line.trim().parse().context("not a number")?;
    let len = records[0].len();
    let layout = match len == size_of::<ProbeFullRecord>() {
        true => RecordLayout::new(FieldGroups::ALL),
        false => RecordLayout::default(),
    };
    let clock = ClockReading { start_ns: mono_ns(0), wall_offset_ns: 1_700_000_000_000_000_000 };
    let environment = Environment { types: types(), layout, clock, ..Environment::default() };
    let shapes = shapes(&[&tcp_probe::EVENT_TYPE], &environment);
    let header = Header { shapes, environment, ..Header::default() };
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut writer = Writer::new(file, ByteOrder::NATIVE)?;
    writer.begin(&header)?;
    let different = records.len();
    for number in 0..count {
        let record = &mut records[number % different];
        record[..8].copy_from_slice(&mono_ns(number).to_ne_bytes());
        writer.record(tcp_probe::EVENT_TYPE.number.into(), record)?;
    }
    let counts = Counts { seen: count as u64, emitted: count as u64, ..Counts::default() };
    let event_types = [("probe".to_owned(), counts)].into();
    writer.accounting(&AccountingFrame { event_types, ..AccountingFrame::default() })?;
    writer.end(mono_ns(count), None)?;
    println!("{}", writer.bytes());
    Ok(())
}

/// A record as it is with this layout.
fn loaded(record: &[u8], layout: &RecordLayout) -> Vec<u8> {
    let mut loaded = vec![0; layout.record_len().into()];
    for (offset, byte) in record.iter().enumerate() {
        if let Some(at) = layout.locate(offset) {
            loaded[at] = *byte;
        }
    }
    let len = std::mem::offset_of!(Head, len);
    loaded[len..len + 2].copy_from_slice(&layout.record_len().to_ne_bytes());
    loaded
}

/// The records, one after another and again from the first, in the order of time.
struct Replay {
    records: RefCell<Vec<Vec<u8>>>,
    buffer: Rc<RefCell<ReorderBuffer>>,
    next: Cell<usize>,
    left: Cell<usize>,
}

impl Source for Replay {
    fn take(&self) -> Result<bool> {
        let (mut buffer, mut records) = (self.buffer.borrow_mut(), self.records.borrow_mut());
        let count = records.len();
        for _ in 0..self.left.get().min(BATCH) {
            let record = &mut records[self.next.get() % count];
            record[..8].copy_from_slice(&mono_ns(self.next.get()).to_ne_bytes());
            buffer.push(record);
            self.next.set(self.next.get() + 1);
            self.left.set(self.left.get() - 1);
        }
        Ok(self.left.get() > 0)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn before_wait(&self, _: bool, _: bool) -> Result<Duration> {
        Ok(Duration::ZERO)
    }
}

fn cpu_ns() -> i64 {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    t.tv_sec * 1_000_000_000 + t.tv_nsec
}

/// Positions of all members of the algorithms' state.
fn types() -> Types {
    let mut words = 0;
    let layouts = Layouts::new(|algorithm, member| {
        ca_mainline::locate(algorithm.type_name, member).or_else(|| {
            words += 1;
            Some(Bits { offset: words * 32, size: 32 })
        })
    });
    Types { layouts, ..Types::default() }
}

/// Many different ones, as one connection has them after another.
const RECORDS: u32 = 4096;

/// A number of that many bits. Numbers of a connection differ, but most of them have as many digits as the ones before.
fn number(state: &mut u32, bits: u32) -> u32 {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    (*state >> 1 | 1 << 31) >> (32 - bits)
}

fn mono_ns(i: usize) -> u64 {
    5_000_123_456_789 + i as u64 * 7_919
}

fn head(i: u32, len: usize) -> Head {
    let addr = |last| [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 0, last];
    Head {
        mono_ns: mono_ns(i as usize),
        cookie: 8_193 + u64::from(i % 16),
        saddr: addr(1),
        daddr: addr(2),
        sport: 5_201,
        dport: 40_000 + (i % 16) as u16,
        event_type: tcp_probe::EVENT_TYPE.number,
        flags: 0,
        len: len as u16,
    }
}

#[rustfmt::skip]
fn std(n: &mut u32) -> ProbeStd {
    ProbeStd {
        mark: 0, data_len: number(n, 16), snd_nxt: number(n, 32), snd_una: number(n, 32),
        snd_cwnd: number(n, 10), ssthresh: number(n, 10), snd_wnd: number(n, 22),
        srtt_us: number(n, 17), rcv_wnd: number(n, 22), unused: 0,
    }
}

fn standard() -> Vec<Vec<u8>> {
    let n = &mut 1;
    let record = |i| ProbeRecord { head: head(i, size_of::<ProbeRecord>()), std: std(n) };
    (0..RECORDS).map(record).map(|record| bytes(&record).to_vec()).collect()
}

fn full() -> Vec<Vec<u8>> {
    let n = &mut 1;
    let record = |i| {
        let len = size_of::<ProbeFullRecord>();
        ProbeFullRecord { head: head(i, len), std: std(n), owner: owner(), ..fields(n) }
    };
    (0..RECORDS).map(record).map(|record| bytes(&record).to_vec()).collect()
}

fn owner() -> Owner {
    let mut comm = [0; 16];
    comm[..6].copy_from_slice(b"iperf3");
    Owner {
        cgroup_id: 4_711,
        ino: 77_777,
        netns: 4_026_531_840,
        ifindex: 2,
        pid: 1_234,
        comm,
        ..Owner::default()
    }
}

#[rustfmt::skip]
fn fields(n: &mut u32) -> ProbeFullRecord {
    let mut all = ProbeFullRecord::default();
    all.cong.snd_ssthresh = number(n, 10); all.cong.state = 1;
    all.flight.packets_out = number(n, 8);
    all.rtt.rttvar_us = number(n, 12); all.rtt.mdev_us = number(n, 12);
    all.rtt.min_rtt_us = number(n, 12); all.rtt.rto_us = 204_000;
    all.timer.ato_us = 40_000; all.timer.timer_us = 203_000; all.timer.pending = 1;
    all.mss.mss = 1_448; all.mss.advmss = 1_448; all.mss.rcv_mss = 536; all.mss.pmtu = 1_500;
    all.rate.pacing_rate = u64::from(number(n, 32)) << 4; all.rate.max_pacing_rate = u64::MAX;
    all.rate.delivered = number(n, 24); all.rate.rate_delivered = number(n, 6);
    all.rate.rate_interval_us = number(n, 14) + 1;
    all.loss.reordering = 3;
    all.recovery.prior_cwnd = number(n, 9); all.recovery.snd_cwnd_clamp = u32::MAX;
    all.recovery.high_seq = number(n, 32);
    all.data.bytes_sent = number(n, 32).into();
    all.data.bytes_acked = u64::from(number(n, 32)) << 4;
    all.data.bytes_received = number(n, 12).into(); all.data.segs_in = number(n, 22);
    all.data.segs_out = number(n, 24); all.data.data_segs_out = number(n, 24);
    all.data.write_seq = number(n, 32); all.data.rcv_nxt = number(n, 32);
    all.window.rcv_ssthresh = 64_088; all.window.window_clamp = 65_535;
    all.window.rcv_space = 14_600; all.window.max_window = number(n, 22);
    all.last.last_data_sent_us = 4_000;
    all.chrono.busy_us = number(n, 30).into();
    all.memory.wmem_queued = number(n, 20) as i32; all.memory.sndbuf = 2_626_560;
    all.memory.rcvbuf = 131_072; all.memory.forward_alloc = number(n, 12) as i32;
    all.options.tstamp_ok = 1; all.options.sack_ok = 1; all.options.snd_wscale = 7;
    all.options.rcv_wscale = 7;
    all.ca.name[..5].copy_from_slice(b"cubic");
    for word in all.ca_priv.bytes.as_chunks_mut().0 {
        *word = number(n, 24).to_ne_bytes();
    }
    all
}
