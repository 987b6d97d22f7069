//! All actions at once through the library, and the gate of records, which opens and closes while the programs run.

use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;

use rustix::net::sockopt::socket_cookie;
use serde_json::Value;
use tcc_trace::accounting::{Accounting, ActionCounts, Evicted};
use tcc_trace::config::summary::{Histograms, Keys, RowOptions, SummaryOptions, TimeField};
use tcc_trace::config::{
    Actions, Config, Content, Destination, Fields, Filters, KernelOptions, Limits, Output, Rate,
    Reader, TimeMode, Transport,
};
use tcc_trace::environment::Environment;
use tcc_trace::events::fields::RecordLayout;
use tcc_trace::events::{EventType, tcp_probe};
use tcc_trace::kernel::Kernel;
use tcc_trace::loader::live::Live;
use tcc_trace::loader::plan::{Request, plan};
use tcc_trace::loader::{CoreTypes, Loaded, load};
use tcc_trace::pipeline::Pipeline;
use tcc_trace::pipeline::clock::Clock;
use tcc_trace::pipeline::tee::{Branch, Tee};
use tcc_trace::session::columns::select;
use tcc_trace::session::features;
use tcc_trace::session::output::sink_into;
use tcc_trace::sink::{Stage, jsonl};
use tcc_trace::summary::{counters, cpus, rtt};
use tcc_trace::table::summary::Scale;

use crate::generated::Written;
use crate::support::{
    Flood, Hidden, flooding, is_root, kernel_counters, tcp_info, turns, u64_of, wait_until,
};

const PROBE: &[&EventType] = &[&tcp_probe::EVENT_TYPE];
const ALL: Actions = Actions { count: true, aggregate: true, record: true };

fn config(reader: Reader, transport: Transport, port: u16) -> Config {
    let histograms = Histograms {
        fields: vec![TimeField::Srtt],
        busy: true,
        keys: Keys { by: Vec::new(), iface: false, prefix: 32, prefix6: 128 },
        scale: Scale::Microseconds,
        max_rows: None,
    };
    Config {
        filters: Filters { port: vec![port..=port], ..Filters::default() },
        output: Output {
            fields: Fields::Named(vec!["cookie".into(), "srtt_us".into()]),
            ..Output::default()
        },
        kernel_options: KernelOptions {
            reader: Some(reader),
            transport: Some(transport),
            ..KernelOptions::default()
        },
        actions: ALL,
        summary: Some(SummaryOptions {
            interval: None,
            aggregate: &rtt::AGGREGATE,
            rows: RowOptions::Histograms(histograms),
        }),
        ..Config::default()
    }
}

/// A run of `probe` in this process: what `step` does with the programs attached, and the accounting when they are not any more.
struct Run<'r, 'l> {
    loaded: &'r Loaded<'l>,
    source: &'r Live<'r>,
    pipeline: &'r mut Pipeline<'static>,
    written: Written,
}

impl Run<'_, '_> {
    /// The events since the last call.
    fn events(&mut self) -> Vec<Value> {
        self.pipeline.drain(self.source).expect("records");
        self.pipeline.flush();
        let written = std::mem::take(&mut *self.written.0.borrow_mut());
        let text = String::from_utf8(written).expect("UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    fn accounting(&self, stage: Stage) -> Accounting {
        let cpus = cpus(&self.loaded.skel).expect("the counters");
        let counts = [(PROBE[0], counters(&cpus, PROBE[0]))];
        self.pipeline.accounting(stage, ALL, &counts, Evicted::default())
    }
}

fn run(config: &Config, step: impl FnOnce(&mut Run<'_, '_>)) -> Accounting {
    let kernel = Kernel::new(None);
    let request = Request {
        event_types: PROBE.to_vec(),
        reader: config.kernel_options.reader,
        transport: config.kernel_options.transport,
        per_connection: config.limits.per_connection(),
        ..Request::default()
    };
    let plan = plan(&request, &features(&kernel, &request)).expect("a plan");
    let selection =
        select(PROBE, &config.output, |member| kernel.has_member(member)).expect("columns");
    let (mut storage, types) = (MaybeUninit::uninit(), CoreTypes::new(&kernel));
    let variant = &plan.variants[0];
    let layout = RecordLayout::new(selection.groups);
    let loaded =
        load(&mut storage, &types, config, &plan, variant, &layout, None).expect("it loads");
    let written = Written::default();
    let destination = Destination::new(&jsonl::FORMAT, None);
    let branch = Branch {
        content: Content::Events,
        format: "jsonl",
        path: None,
        essential: true,
        sink: sink_into(written.clone(), &destination, &config.output, &selection),
    };
    let environment =
        Environment { types: kernel.types(), layout: layout.clone(), ..Environment::default() };
    let clock = Clock::new(TimeMode::Mono);
    let mut pipeline = Pipeline::new(Tee::new(vec![branch]), environment, clock, None, None);
    let size = config.kernel_options.buffer_size;
    let source =
        Live::new(&loaded.skel, plan.transport, size, pipeline.records()).expect("a buffer");
    source.start().expect("the reader");
    let links = loaded.attach(&variant.programs).expect("it attaches");
    pipeline.begin();
    let mut run = Run { loaded: &loaded, source: &source, pipeline: &mut pipeline, written };
    step(&mut run);
    links.into_iter().rev().for_each(drop);
    wait_until("the programs to end", || {
        run.events();
        let cpus = cpus(&loaded.skel).expect("the counters");
        counters(&cpus, PROBE[0]).running(ALL) == 0
    });
    run.events();
    run.accounting(Stage::End)
}

/// The sum of each action.
#[track_caller]
fn check(accounting: &Accounting) {
    let (_, record) = accounting.event_types[0];
    let (_, aggregate) = accounting.aggregate[0];
    let (_, count) = accounting.count[0];
    assert_eq!(record.seen, record.accounted(), "{record:?}");
    assert_eq!(aggregate.seen, aggregate.accounted(), "{aggregate:?}");
    assert_eq!(count.seen, count.accounted(), "{count:?}");
    assert_eq!((record.seen, aggregate.seen), (count.seen, count.seen));
    assert_eq!(aggregate.aggregated, count.counted, "all that pass the filters");
}

/// Both ends of a connection, and what each has received.
struct Connection {
    ends: [TcpStream; 2],
}

impl Connection {
    fn new(listener: &TcpListener) -> Self {
        let client =
            TcpStream::connect(listener.local_addr().expect("an address")).expect("it connects");
        let (server, _) = listener.accept().expect("it accepts");
        let connection = Connection { ends: [client, server] };
        connection.ends.iter().for_each(|end| end.set_nodelay(true).expect("TCP_NODELAY"));
        connection.talk(1);
        connection
    }

    /// Sends a byte each way, that often, and waits until nothing is on its way: each packet is acknowledged by the next one, or
    /// by an ACK.
    fn talk(&self, count: usize) {
        for _ in 0..count {
            for (from, to) in [(0, 1), (1, 0)] {
                (&self.ends[from]).write_all(b"x").expect("it sends");
                (&self.ends[to]).read_exact(&mut [0]).expect("it receives");
            }
        }
        wait_until("the last ACK", || self.ends.iter().all(|end| info(end, UNACKED) == 0));
    }

    fn cookies(&self) -> [u64; 2] {
        [0, 1].map(|end: usize| socket_cookie(self.ends[end].as_fd()).expect("a cookie"))
    }

    /// Segments that each end has received.
    fn received(&self) -> [u32; 2] {
        [0, 1].map(|end: usize| info(&self.ends[end], SEGS_IN))
    }
}

/// Offsets in struct tcp_info.
const UNACKED: usize = 24;
const SEGS_IN: usize = 140;

fn info(stream: &TcpStream, at: usize) -> u32 {
    let info = tcp_info(stream);
    u32::from_ne_bytes(info[at..at + 4].try_into().expect("four bytes"))
}

/// Packets that the kernel has merged while they waited in a socket's backlog: two segments, and one run of the hook.
fn merged() -> u64 {
    kernel_counters()["TCPBacklogCoalesce"]
}

/// Each end's packets in the phases in which it was in the gate, and no others; the other actions have all of them.
fn check_gate(reader: Reader, transport: Transport) {
    need!(is_root(), "not root");
    let _quiet = flooding();
    turns(|| gate_turn(reader, transport));
}

fn gate_turn(reader: Reader, transport: Transport) -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    let hidden = Hidden::watch(port, &["tcp/tcp_probe"]);
    let mut missing = None;
    let [one, two] = [Connection::new(&listener), Connection::new(&listener)];
    let config = Config { gate: Some(3), ..config(reader, transport, port) };
    let merged_before = merged();
    let is_all = |count: u64, segments: u64| {
        count <= segments && segments - count <= merged() - merged_before
    };
    let before: u32 = one.received().iter().chain(&two.received()).sum();
    let mut recorded = 0;
    let accounting = run(&config, |run| {
        let [a, b] = one.cookies();
        let [c, _] = two.cookies();
        let gate = run.loaded.gate();
        for open in [&[][..], &[a], &[a, b, c], &[c], &[]] {
            for cookie in [a, b, c] {
                let changed =
                    if open.contains(&cookie) { gate.open(cookie) } else { gate.close(cookie) };
                changed.expect("the gate");
            }
            let received = [one.received(), two.received()];
            one.talk(20);
            two.talk(30);
            let events = run.events();
            recorded += events.len() as u64;
            let all = [(&one, received[0]), (&two, received[1])];
            let ends = all.iter().flat_map(|(connection, received)| {
                let grown = connection.received().into_iter().zip(received);
                connection.cookies().into_iter().zip(grown.map(|(now, before)| now - before))
            });
            for (cookie, packets) in ends {
                let is_of_end = |event: &&Value| u64_of(event, "cookie") == cookie;
                let of_end = events.iter().filter(is_of_end).count() as u64;
                let wanted = if open.contains(&cookie) { packets.into() } else { 0 };
                assert!(packets >= 20, "{packets}");
                assert!(of_end <= wanted, "{of_end} of {wanted}: {cookie} with {open:?}");
                if !is_all(of_end, wanted) {
                    missing = Some(format!("{of_end} of {wanted}: {cookie} with {open:?}"));
                }
            }
        }
        for cookie in [a, b, c] {
            gate.open(cookie).expect("room for three");
        }
        assert!(gate.open(two.cookies()[1]).is_err(), "no room for four");
        gate.close(u64::MAX).expect("without effect");
    });
    check(&accounting);
    let (_, record) = accounting.event_types[0];
    let (_, count) = accounting.count[0];
    let after: u32 = one.received().iter().chain(&two.received()).sum();
    assert_eq!((record.lost, record.emitted), (0, recorded));
    let packets = u64::from(after - before);
    assert_eq!(record.filtered - count.filtered, count.counted - recorded, "the gate's");
    assert!(count.counted <= packets, "{} of {packets} of both", count.counted);
    if !is_all(count.counted, packets) {
        missing = Some(format!("{} of {packets} of both", count.counted));
    }
    missing.map_or(Ok(()), |missing| hidden.explains(&missing))
}

#[test]
fn the_gate_lets_through_its_connections_by_sock() {
    check_gate(Reader::Sock, Transport::RingBuf);
}

#[test]
fn the_gate_lets_through_its_connections_by_raw() {
    check_gate(Reader::Raw, Transport::PerfBuf);
}

/// A tiny buffer, and every limit at once: each action's sum holds, and the limits are those of records.
#[test]
fn sums_hold_for_each_action_under_a_flood() {
    need!(is_root(), "not root");
    let mut flood = Flood::ready();
    for transport in [Transport::RingBuf, Transport::PerfBuf] {
        let mut config = config(Reader::Sock, transport, flood.server.port());
        config.kernel_options.buffer_size = Some(4096);
        config.output.fields = Fields::All;
        config.limits = Limits {
            sample: Some(2),
            rate: Some(Rate::new(3_000, std::time::Duration::from_secs(1))),
            ..Limits::default()
        };
        let accounting = run(&config, |run| {
            flood.begin();
            wait_until("losses and limits", || {
                let (_, record) = run.accounting(Stage::Interim).event_types[0];
                record.lost > 0 && record.sampled_out > 0 && record.rate_limited > 0
            });
            flood.end();
        });
        check(&accounting);
        let (_, record) = accounting.event_types[0];
        assert!(record.lost > 0, "{record:?}");
    }
}
