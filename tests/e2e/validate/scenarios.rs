//! The scripts. Each says what it makes, and from when on: a transfer needs some round trips until its limit is reached.

use std::time::Duration;

use super::Set;
use super::run::{Label, Parameters, Run};
use crate::support::{Pace, SocketOption, Way};

pub struct Scenario {
    pub name: &'static str,
    /// Not of the sets before that one.
    since: Set,
    /// Between two rows: a period must be several times as long.
    pub interval: &'static str,
    pub way: fn(&Parameters) -> Way,
    pub script: fn(&mut Run),
}

impl Scenario {
    pub fn is_in(&self, set: Set) -> bool {
        set as u8 >= self.since as u8
    }
}

const fn scenario(
    name: &'static str,
    way: fn(&Parameters) -> Way,
    script: fn(&mut Run),
) -> Scenario {
    Scenario { name, since: Set::Tuning, interval: "100ms", way, script }
}

const fn proof(name: &'static str, way: fn(&Parameters) -> Way, script: fn(&mut Run)) -> Scenario {
    Scenario { since: Set::Proof, ..scenario(name, way, script) }
}

const fn fresh(name: &'static str, way: fn(&Parameters) -> Way, script: fn(&mut Run)) -> Scenario {
    Scenario { since: Set::Fresh, ..scenario(name, way, script) }
}

/// Rows of a second: what is not printed yet may still become a timeout.
const fn slow(scenario: Scenario) -> Scenario {
    Scenario { interval: "1s", ..scenario }
}

pub static SCENARIOS: &[Scenario] = &[
    scenario("SYN lost", open, syn_lost),
    scenario("pauses between transfers", open, pauses),
    scenario("writes in bursts", open, bursts),
    scenario("requests and replies", open, requests),
    scenario("small SO_SNDBUF", open, small_sndbuf),
    scenario("small SO_RCVBUF", open, small_rcvbuf),
    scenario("no window scaling", far, no_window_scaling),
    scenario("slow reader", open, slow_reader),
    scenario("stopped reader", open, stopped_reader),
    scenario("SO_MAX_PACING_RATE", open, pacing_cap),
    scenario("slow local qdisc", open, local_queue),
    scenario("short flows", open, short_flows),
    scenario("cwnd clamp", open, cwnd_clamp),
    scenario("bottleneck, small queue", |p| bottleneck(p, 0.5), at_bottleneck),
    scenario("bottleneck, large queue", |p| bottleneck(p, 4.0), at_bottleneck),
    scenario("loss 0.1 %", |p| bottleneck(p, 1.0), |run| losses(run, 1000)),
    scenario("loss 1 %", |p| bottleneck(p, 1.0), |run| losses(run, 100)),
    scenario("loss 3 %", |p| bottleneck(p, 1.0), |run| losses(run, 33)),
    slow(scenario("black hole", |p| bottleneck(p, 1.0), black_hole)),
    slow(scenario("tail loss", open, tail_loss)),
    proof("policer", policer, policed),
    proof("reordering", |p| bottleneck(p, 2.0), reordered),
    proof("half the rate", |p| bottleneck(p, 2.0), half_the_rate),
    proof("cap, then bottleneck", |p| bottleneck(p, 2.0), cap_then_bottleneck),
    proof("bulk and pauses", |p| bottleneck(p, 2.0), bulk_and_pauses),
    proof("bulk and stopped reader", |p| bottleneck(p, 1.0), bulk_and_stops),
    fresh("bottleneck, queue of one product", |p| bottleneck(p, 1.0), at_bottleneck),
    fresh("twice the rate", |p| bottleneck(p, 2.0), twice_the_rate),
    fresh("loss 8 %", |p| bottleneck(p, 1.0), |run| losses(run, 12)),
];

const APPLICATION: Label = Label("application", &["application", "idle"]);
const IDLE: Label = Label("idle", &["idle"]);
const RWND: Label = Label("rwnd", &["rwnd", "zero_window"]);
const ZERO_WINDOW: Label = Label("zero_window", &["zero_window"]);
const PACING_CAP: Label = Label("pacing_cap", &["pacing_cap"]);
const RTO: Label = Label("rto", &["rto"]);

/// No bottleneck.
fn open(p: &Parameters) -> Way {
    Way::far(Duration::from_millis(p.rtt_ms))
}

/// So far that 64 KiB per round trip are a rate that the relay can carry.
fn far(p: &Parameters) -> Way {
    Way::far(Duration::from_millis(3 * p.rtt_ms))
}

/// A queue of so many bandwidth-delay products.
fn bottleneck(p: &Parameters, queue: f64) -> Way {
    let product = p.rate as f64 * p.rtt_ms as f64 / 1000.0;
    Way { rate: Some(p.rate), queue: (product * queue) as u64, ..open(p) }
}

fn policer(p: &Parameters) -> Way {
    Way { rate: Some(p.rate), bucket: Some(p.rate * p.rtt_ms / 1000), ..open(p) }
}

fn connect(run: &mut Run) {
    run.connect();
    run.read_at(Pace::FAST);
}

fn syn_lost(run: &mut Run) {
    run.relay.silent(true);
    run.phase(Label("handshake", &["handshake"]), |run| {
        run.start_connect();
        run.pause(900);
    });
    run.relay.silent(false);
    run.relay.server.accept("1");
}

fn pauses(run: &mut Run) {
    connect(run);
    for bytes in [30_000, 60_000] {
        run.send(bytes);
        run.acked();
        run.phase(IDLE, |run| run.pause(run.round_trips(12)));
    }
}

fn bursts(run: &mut Run) {
    connect(run);
    let pause_ms = run.round_trips(5) / 2;
    run.phase(APPLICATION, |run| run.send_for(run.round_trips(30), Pace { chunk: 6000, pause_ms }));
}

fn requests(run: &mut Run) {
    run.connect();
    run.phase(APPLICATION, |run| (0..15).for_each(|_| run.exchange(1000)));
}

fn small_sndbuf(run: &mut Run) {
    // One segment a packet: the buffer takes a whole packet, whatever its size.
    run.relay.left.run(&["ip", "link", "set", "tun0", "gso_max_segs", "1"]);
    connect(run);
    run.set(SocketOption::SendBuffer(4096));
    run.bulk(run.round_trips(5));
    run.phase(Label("sndbuf", &["sndbuf"]), |run| run.bulk(run.round_trips(20)));
}

fn small_rcvbuf(run: &mut Run) {
    run.relay.server.narrow_listener(16_384);
    connect(run);
    run.bulk(run.round_trips(6));
    run.phase(RWND, |run| run.bulk(run.round_trips(20)));
}

fn no_window_scaling(run: &mut Run) {
    run.relay.right.sysctl("ipv4/tcp_window_scaling", "0");
    connect(run);
    run.bulk(run.round_trips(30));
    run.phase(RWND, |run| run.bulk(run.round_trips(40)));
}

fn slow_reader(run: &mut Run) {
    run.relay.server.narrow_listener(32_768);
    run.connect();
    let pause_ms = run.parameters.rtt_ms / 2;
    run.read_at(Pace { chunk: 6000, pause_ms });
    run.bulk(run.round_trips(10));
    run.phase(RWND, |run| run.bulk(run.round_trips(30)));
}

/// Its buffer is full within a few round trips.
fn stopped_reader(run: &mut Run) {
    run.relay.server.narrow_listener(16_384);
    connect(run);
    run.bulk(run.round_trips(6));
    run.read_at(Pace { chunk: 1, pause_ms: 60_000 });
    run.bulk(run.round_trips(6));
    run.phase(ZERO_WINDOW, |run| run.bulk(run.round_trips(20).max(500)));
    run.read_at(Pace::FAST);
}

fn pacing_cap(run: &mut Run) {
    connect(run);
    run.set(SocketOption::MaxPacingRate(run.parameters.rate / 3));
    run.bulk(run.round_trips(8));
    run.phase(PACING_CAP, |run| run.bulk(run.round_trips(30)));
}

fn local_queue(run: &mut Run) {
    let rate = format!("{}bit", run.parameters.rate * 8);
    let tbf = ["tbf", "rate", &rate, "burst", "6k", "limit", "300k"];
    run.relay.left.run(&[&["tc", "qdisc", "add", "dev", "tun0", "root"], &tbf[..]].concat());
    connect(run);
    run.bulk(run.round_trips(12));
    run.phase(Label("local_queue", &["local_queue"]), |run| run.bulk(run.round_trips(30)));
}

fn short_flows(run: &mut Run) {
    // The first window of 64 KiB is more than cwnd in these three round trips.
    for _ in 0..4 {
        connect(run);
        run.send(95_000);
        run.acked();
        run.whole(Label("slow_start", &["slow_start", "application"]));
    }
}

/// The route's metric holds from the second connection on.
fn cwnd_clamp(run: &mut Run) {
    let route = "route replace 10.8.0.2/32 dev tun0 cwnd lock 12";
    run.relay.left.ip(&format!("{route}\n"));
    connect(run);
    run.send(50_000);
    run.acked();
    run.close();
    run.relay.left.settle();
    connect(run);
    run.bulk(run.round_trips(12));
    run.phase(Label("cwnd", &["cwnd"]), |run| run.bulk(run.round_trips(20)));
}

fn at_bottleneck(run: &mut Run) {
    connect(run);
    run.bulk(run.round_trips(20));
    run.bottleneck(run.parameters.rate, run.round_trips(50));
}

fn losses(run: &mut Run, one_of: u64) {
    run.relay.loses(one_of);
    connect(run);
    run.bulk(run.round_trips(20));
    run.bottleneck(run.parameters.rate, run.round_trips(60));
}

fn black_hole(run: &mut Run) {
    connect(run);
    run.bulk(run.round_trips(20));
    run.relay.silent(true);
    run.phase(RTO, |run| run.bulk(3500));
    run.relay.silent(false);
}

/// The last packets are lost, with what repeats them.
fn tail_loss(run: &mut Run) {
    connect(run);
    run.send(40_000);
    run.acked();
    run.relay.passes(6);
    run.send(14_480);
    run.pause(run.round_trips(2));
    run.phase(RTO, |run| run.pause(3000));
    run.relay.passes(u64::MAX);
}

/// No queue shows a policer: its losses limit, as any others do. BBR finds its rate.
fn policed(run: &mut Run) {
    connect(run);
    run.bulk(run.round_trips(20));
    let label = if run.is_bbr() {
        Label("path", &["path", "pacing", "cwnd", "recovery"])
    } else {
        Label("cwnd", &["cwnd", "recovery", "rto"])
    };
    run.phase(label, |run| run.bulk(run.round_trips(50)));
}

fn reordered(run: &mut Run) {
    run.relay.delays(100);
    at_bottleneck(run);
}

fn half_the_rate(run: &mut Run) {
    let half = run.parameters.rate / 2;
    connect(run);
    run.bulk(run.round_trips(20));
    run.bottleneck(run.parameters.rate, run.round_trips(40));
    run.relay.rate(half);
    run.bulk(run.round_trips(20));
    run.bottleneck(half, run.round_trips(40));
}

fn twice_the_rate(run: &mut Run) {
    let (half, rate) = (run.parameters.rate / 2, run.parameters.rate);
    run.relay.rate(half);
    connect(run);
    run.bulk(run.round_trips(20));
    run.bottleneck(half, run.round_trips(40));
    run.relay.rate(rate);
    run.bulk(run.round_trips(40));
    run.bottleneck(rate, run.round_trips(40));
}

fn cap_then_bottleneck(run: &mut Run) {
    connect(run);
    run.set(SocketOption::MaxPacingRate(run.parameters.rate / 4));
    run.bulk(run.round_trips(8));
    run.phase(PACING_CAP, |run| run.bulk(run.round_trips(20)));
    run.set(SocketOption::MaxPacingRate(u64::MAX));
    run.bulk(run.round_trips(30));
    run.bottleneck(run.parameters.rate, run.round_trips(40));
}

fn bulk_and_pauses(run: &mut Run) {
    connect(run);
    run.bulk(run.round_trips(20));
    for _ in 0..2 {
        run.bottleneck(run.parameters.rate, run.round_trips(20));
        run.acked();
        run.phase(IDLE, |run| run.pause(run.round_trips(12)));
        run.bulk(run.round_trips(10));
    }
}

fn bulk_and_stops(run: &mut Run) {
    run.relay.server.narrow_listener(65_536);
    connect(run);
    run.bulk(run.round_trips(20));
    for _ in 0..2 {
        run.read_at(Pace { chunk: 1, pause_ms: 60_000 });
        run.bulk(run.round_trips(20));
        run.phase(ZERO_WINDOW, |run| run.bulk(run.round_trips(15)));
        run.read_at(Pace::FAST);
        run.acked();
        run.phase(IDLE, |run| run.pause(run.round_trips(12)));
    }
}
