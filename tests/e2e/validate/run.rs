//! One connection over a path, and the periods in which its script makes a cause.

use std::time::Duration;

use serde_json::Value;

use super::Set;
use super::matrix::{CAUSES, Period};
use super::scenarios::Scenario;
use crate::support::{Pace, Relay, Socket, Ss, Tcc, Tracer, mono_ns, u64_of, wait_until};

#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    pub cc: &'static str,
    pub rtt_ms: u64,
    /// Bytes per second.
    pub rate: u64,
    /// Of the run, among those that differ in nothing else.
    pub number: u64,
    pub set: Set,
}

/// A cause, and others that mean the same in this scenario.
#[derive(Clone, Copy, Debug)]
pub struct Label(pub &'static str, pub &'static [&'static str]);

/// One tracer for all runs of a scenario; of each connection the sender's end.
pub fn tracer(interval: &str) -> Tracer {
    let tcc = Tcc::command("limits").option("--time", "mono").option("--raddr", "10.8.0.2");
    tcc.option("--interval", interval).start()
}

pub struct Run {
    pub relay: Relay,
    pub parameters: Parameters,
    sockets: Vec<Socket>,
    phases: Vec<Phase>,
}

/// What the script made.
#[derive(Debug)]
pub struct Phase {
    parameters: Parameters,
    label: Label,
    cookie: u64,
    /// None: all of the connection but its handshake and idle times.
    span: Option<(u64, u64)>,
    /// When it was over.
    at_ns: u64,
    /// When its packets were late.
    pub late: Vec<(u64, u64)>,
}

impl Run {
    pub fn new(scenario: &Scenario, parameters: Parameters) -> Self {
        let mut relay = Relay::new((scenario.way)(&parameters));
        relay.client.use_cc(parameters.cc);
        Run { relay, parameters, sockets: Vec::new(), phases: Vec::new() }
    }

    pub fn is_bbr(&self) -> bool {
        self.parameters.cc == "bbr"
    }

    /// So many round trips of the path without a queue, in milliseconds; many of them are several rows at least.
    pub fn round_trips(&self, count: u64) -> u64 {
        let ms = count * self.parameters.rtt_ms;
        if count >= 10 { ms.max(500) } else { ms }
    }

    fn name(&self) -> String {
        self.sockets.len().to_string()
    }

    /// A new connection, which all that follows is about.
    pub fn connect(&mut self) {
        let name = (self.sockets.len() + 1).to_string();
        let addr = self.relay.addr();
        let socket = self.relay.client.connect(&name, addr);
        self.relay.server.accept(&name);
        self.sockets.push(socket);
    }

    /// Begins to connect, and does not wait.
    pub fn start_connect(&mut self) {
        let name = (self.sockets.len() + 1).to_string();
        let addr = self.relay.addr();
        let socket = self.relay.client.start_connect(&name, addr);
        self.sockets.push(socket);
    }

    pub fn set(&mut self, option: crate::support::SocketOption) {
        let name = self.name();
        self.relay.client.set(&name, option);
    }

    pub fn read_at(&mut self, pace: Pace) {
        let name = self.name();
        self.relay.server.sink(&name, pace);
    }

    pub fn send_for(&mut self, ms: u64, pace: Pace) {
        let name = self.name();
        self.relay.client.send_for(&name, ms, pace);
    }

    /// As fast as the connection can.
    pub fn bulk(&mut self, ms: u64) {
        self.send_for(ms, Pace::FAST);
    }

    pub fn send(&mut self, bytes: u64) {
        let name = self.name();
        self.relay.client.send(&name, bytes);
    }

    /// Ends the connection.
    pub fn close(&mut self) {
        let name = self.name();
        self.relay.client.close(&name);
        self.relay.server.close(&name);
    }

    /// A request and its reply.
    pub fn exchange(&mut self, bytes: u64) {
        let name = self.name();
        let Relay { client, server, .. } = &mut self.relay;
        client.transfer(&name, server, bytes);
        server.transfer(&name, client, bytes);
    }

    /// Waits until all is acknowledged.
    pub fn acked(&self) {
        let Some(socket) = self.sockets.last() else { return };
        let (sport, dport) = (socket.local.port(), self.relay.port);
        wait_until("the acknowledgements", || {
            let ss = Ss::of(&self.relay.left, sport, dport);
            !ss.has("unacked") && !ss.has("notsent")
        });
    }

    /// The pause is the cause, not a wait for something.
    pub fn pause(&self, ms: u64) {
        std::thread::sleep(Duration::from_millis(ms));
    }

    /// What is done meanwhile makes that cause.
    pub fn phase(&mut self, label: Label, script: impl FnOnce(&mut Run)) {
        let from = mono_ns();
        script(self);
        self.keep(label, Some((from, mono_ns())));
    }

    /// All of this connection has that cause, but for handshake and idle times.
    pub fn whole(&mut self, label: Label) {
        self.keep(label, None);
    }

    fn keep(&mut self, label: Label, span: Option<(u64, u64)>) {
        let cookie = self.sockets.last().map_or(0, |socket| socket.cookie);
        let at_ns = mono_ns();
        let (parameters, late) = (self.parameters, Vec::new());
        self.phases.push(Phase { parameters, label, cookie, span, at_ns, late });
    }

    /// Bulk over a bottleneck of that rate. What limits is measured: the bottleneck, if it was never without a packet; cwnd, if losses
    /// keep a good part of it unused; in between, each of them at times. BBR keeps to the rate that it measures.
    pub fn bottleneck(&mut self, rate: u64, ms: u64) {
        let (from, before) = (mono_ns(), self.relay.passed());
        self.bulk(ms);
        let to = mono_ns();
        let bytes = self.relay.passed() - before;
        let used = bytes as f64 * 1e9 / (rate as f64 * (to - from) as f64);
        let label = if used > 0.97 || self.is_bbr() {
            Label("path", &["path", "recovery"])
        } else if used < 0.7 {
            Label("cwnd", &["cwnd", "recovery", "rto"])
        } else {
            Label("mixed", &["cwnd", "path", "recovery", "rto"])
        };
        self.keep(label, Some((from, to)));
    }

    pub fn end(mut self) -> Vec<Phase> {
        for name in 1..=self.sockets.len() {
            self.relay.client.close(&name.to_string());
        }
        let late = self.relay.late();
        self.phases.iter_mut().for_each(|phase| phase.late = late.clone());
        self.phases
    }
}

impl Phase {
    /// Any of its time lies in that span; of a connection as a whole, the last ten seconds.
    pub fn overlaps(&self, (from, to): (u64, u64)) -> bool {
        let begin = self.span.map_or(self.at_ns.saturating_sub(10_000_000_000), |span| span.0);
        begin < to && from < self.at_ns
    }

    /// Whether a row's time was changed by a pause: the path was longer then, or the process did not write. A pause matters if it is a
    /// quarter of the round trip and a tenth of the row, and up to two round trips later.
    fn is_disturbed(&self, (from, to): (u64, u64), stopped: &[(u64, u64)]) -> bool {
        let rtt_ns = self.parameters.rtt_ms * 1_000_000;
        let least = (rtt_ns / 4).max((to - from) / 10);
        self.late
            .iter()
            .chain(stopped)
            .any(|(begin, end)| end - begin > least && *begin < to && from < end + 2 * rtt_ns)
    }

    /// The time of rows that are of this phase alone.
    pub fn measured(
        self,
        scenario: &'static str,
        rows: &[Value],
        stopped: &[(u64, u64)],
    ) -> Period {
        let mut us = [0; CAUSES.len()];
        let mut disturbed = [0; CAUSES.len()];
        let mut kernel = [0; 3];
        for row in rows.iter().filter(|row| row["key"]["cookie"] == self.cookie) {
            let end = row["time"].as_f64().map_or(0, |seconds| (seconds * 1e9) as u64);
            let long = u64_of(row, "interval_ns").max(u64_of(row, "observed_us") * 1000);
            if self.span.is_some_and(|(from, to)| end > to || end.saturating_sub(long) < from) {
                continue;
            }
            let apart = self.is_disturbed((end.saturating_sub(long), end), stopped);
            let sums = if apart { &mut disturbed } else { &mut us };
            for (us, cause) in sums.iter_mut().zip(CAUSES) {
                *us += u64_of(row, &format!("{cause}_us"));
            }
            if apart {
                continue;
            }
            for (us, of) in kernel.iter_mut().zip(["busy", "rwnd_limited", "sndbuf_limited"]) {
                *us += u64_of(row, &format!("{of}_us"));
            }
        }
        if self.span.is_none() {
            us[..2].fill(0);
            disturbed[..2].fill(0);
        }
        let Parameters { cc, rtt_ms, number, set, .. } = self.parameters;
        let Label(label, accepted) = self.label;
        Period {
            scenario,
            set: set.name(),
            cc,
            rtt_ms,
            number,
            label,
            accepted,
            us,
            disturbed,
            kernel,
        }
    }
}
