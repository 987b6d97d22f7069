//! Tracers side by side: what one with a filter prints is exactly that part of what one without prints.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::RwLockReadGuard;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::flood::quiet;
use super::launch::Launch;
use super::run;
use super::tracer::{Trace, Tracer, text, u64_of};
use super::{TempDir, check_whole, guest, patience, traffic_program};

/// What the reference tells beyond the standard fields: all that a filter may be about but the owner's process.
const REFERENCE: &str = "time,mono_ns,cookie,family,saddr,sport,daddr,dport,mark,data_len,snd_nxt,snd_una,snd_cwnd,\
    ssthresh,snd_wnd,srtt_us,rcv_wnd,netns,cgroup_id,ifindex,uid,ca_name,ca_state,snd_ssthresh,sk_mark,state,\
    app_limited,bytes_acked";
/// What two tracers tell alike of one call.
const SAME: &[&str] = &[
    "family", "mark", "snd_nxt", "snd_una", "snd_cwnd", "ssthresh", "snd_wnd", "srtt_us", "rcv_wnd",
];

type Connection = (u64, String, u64, String, u64);

/// The calls of each connection, in order, in a form in which equal is equal.
pub fn calls<'e>(events: impl IntoIterator<Item = &'e Value>) -> BTreeMap<Connection, Vec<String>> {
    let mut calls: BTreeMap<Connection, Vec<String>> = BTreeMap::new();
    for event in events {
        let connection = (
            event["cookie"].as_u64().unwrap_or(0),
            text(event, "saddr").to_owned(),
            u64_of(event, "sport"),
            text(event, "daddr").to_owned(),
            u64_of(event, "dport"),
        );
        let call = SAME.iter().map(|name| format!("{name}={}", event[*name]));
        // The kernel's record has 16 bits for the length.
        let len = format!("data_len={}", u64_of(event, "data_len") % 65536);
        let call: Vec<String> = call.chain([len]).collect();
        calls.entry(connection).or_default().push(call.join(" "));
    }
    calls
}

/// A reference on these ports, and others with a filter each.
pub struct FilteredTracers {
    reference: Tracer,
    others: Vec<(String, Tracer)>,
    _quiet: RwLockReadGuard<'static, ()>,
}

/// As they happened. On a busy machine one may be printed behind younger ones (see `late`).
fn in_order(mut events: Vec<Value>) -> Vec<Value> {
    events.sort_by_key(|event| u64_of(event, "mono_ns"));
    events
}

impl FilteredTracers {
    /// All of them trace when this returns. A filter's words stand with blanks between.
    #[track_caller]
    pub fn start(ports: &str, reader: &str, filters: &[String]) -> Self {
        let quiet = quiet();
        let common = ["-o", "jsonl", "--buffer-size", "2M", "--reader"];
        let here = Launch::here().with_tracefs();
        // First, so that it makes the cookies that the raw reader cannot make.
        let args = ["sock", "--port", ports, "--fields", REFERENCE];
        let mut reference = Tracer::spawn(&here, &[&common, &args[..]].concat());
        reference.wait_ready();
        let spawn = |filter: &String| {
            // A condition is one word.
            let at = filter.find("--where=").unwrap_or(filter.len());
            let (words, condition) = filter.split_at(at);
            let condition = Some(condition).filter(|condition| !condition.is_empty());
            let filter: Vec<&str> = words.split_whitespace().chain(condition).collect();
            let args = [&common, &[reader][..], &filter].concat();
            (format!("reader {reader} {filter:?}"), Tracer::spawn(&here, &args))
        };
        let mut others: Vec<_> = filters.iter().map(spawn).collect();
        others.iter_mut().for_each(|(_, tracer)| tracer.wait_ready());
        FilteredTracers { reference, others, _quiet: quiet }
    }

    pub fn reference(&self) -> Vec<Value> {
        self.reference.events()
    }

    /// Waits until that tracer has exactly the reference's events that `keep` keeps, of which there are some and which
    /// are not all.
    pub fn expect(&self, index: usize, keep: impl Fn(&Value) -> bool) -> Result<(), String> {
        self.expect_of(
            index,
            |events| events.into_iter().filter(|event| keep(event)).collect(),
            true,
        )
    }

    /// The same for any part of the reference; `some`: neither none nor all.
    pub fn expect_of(
        &self,
        index: usize,
        part: impl Fn(Vec<Value>) -> Vec<Value>,
        some: bool,
    ) -> Result<(), String> {
        let (what, tracer) = &self.others[index];
        let start = Instant::now();
        let patience = if guest() { patience() } else { Duration::from_secs(15) };
        let mut before = None;
        loop {
            let all = in_order(self.reference.events());
            let total = all.len();
            // Twice the same: nothing more is on its way.
            let settled = before.replace(total) == Some(total);
            let wanted = part(all);
            let found = in_order(tracer.events());
            let equal = || wanted.len() == found.len() && calls(&wanted) == calls(&found);
            if settled && (!some || (!wanted.is_empty() && wanted.len() < total)) && equal() {
                return Ok(());
            }
            if start.elapsed() > patience {
                let differ = difference(&wanted, &found);
                return Err(format!(
                    "{what}: {} wanted of {total}, {} found\n{differ}",
                    wanted.len(),
                    found.len()
                ));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends all; the reference first. In each every event is accounted for.
    #[track_caller]
    pub fn stop(self) -> Vec<Trace> {
        let mut traces = vec![self.reference.stop()];
        traces.extend(self.others.into_iter().map(|(_, tracer)| tracer.stop()));
        traces.iter().for_each(Trace::check_account);
        traces
    }

    /// Compares, and ends all. What differs is the reason for another turn where the kernel has skipped programs (those of the
    /// record while any other runs on their CPU), and else a failure.
    #[track_caller]
    pub fn finish(
        self,
        compare: impl FnOnce(&Self) -> Result<(), String>,
    ) -> Result<Vec<Trace>, String> {
        let compared = compare(&self);
        let traces = self.stop();
        if let Err(difference) = compared {
            traces.iter().try_for_each(check_whole)?;
            panic!("{difference}");
        }
        Ok(traces)
    }
}

/// The first few connections that are not the same.
fn difference(wanted: &[Value], found: &[Value]) -> String {
    let (wanted, found) = (calls(wanted), calls(found));
    let mut lines = String::new();
    let keys: std::collections::BTreeSet<_> = wanted.keys().chain(found.keys()).collect();
    for key in keys {
        let (w, f) = (wanted.get(key), found.get(key));
        if w != f {
            let count = |calls: Option<&Vec<String>>| calls.map_or(0, Vec::len);
            let at =
                (0..).find(|&i| w.and_then(|w| w.get(i)) != f.and_then(|f| f.get(i))).unwrap_or(0);
            lines += &format!(
                "{key:?}: {} wanted, {} found, first difference at {at}:\n  {:?}\n  {:?}\n",
                count(w),
                count(f),
                w.and_then(|w| w.get(at)),
                f.and_then(|f| f.get(at))
            );
        }
    }
    lines
}

/// A port below the ephemeral ones that no other test uses.
pub fn unique_port() -> u16 {
    unique_ports::<1>()[0]
}

/// The same, of several that follow each other.
pub fn unique_ports<const N: usize>() -> [u16; N] {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // More than all tests need, so that none gets one that another is still using.
    const PORTS: u16 = 1000;
    let base = 10_000 + (std::process::id() % 20) as u16 * PORTS;
    loop {
        let first = NEXT.fetch_add(N as u16, Ordering::Relaxed) % PORTS;
        if first + N as u16 <= PORTS {
            return std::array::from_fn(|i| base + first + i as u16);
        }
    }
}

/// Runs a program to its end; its JSON lines.
#[track_caller]
pub fn run_lines(launch: &Launch, program: &Path, args: &[&str]) -> Vec<Value> {
    let mut command = launch.command(program);
    command.args(args);
    let output = run::output(command).unwrap();
    let parse =
        |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    output.lines().map(parse).collect()
}

/// The local port of each connection that `traffic` tells of.
pub fn local_ports(lines: &[Value]) -> Vec<u64> {
    let ports = lines.iter().map(|line| text(line, "local").rsplit_once(':').expect("a port").1);
    ports.map(|port| port.parse().expect("a number")).collect()
}

/// Options of a short `traffic pingpong`.
pub const QUICK: &[&str] = &["--count", "5", "--interval", "0ms"];

/// Runs a short `traffic pingpong` to its end; its local port.
#[track_caller]
pub fn pingpong(launch: &Launch, program: &Path, to: SocketAddr, more: &[&str]) -> Vec<u64> {
    let to = to.to_string();
    let args = [&["pingpong", "--to", &to], QUICK, more].concat();
    local_ports(&run_lines(launch, program, &args))
}

/// `traffic` under another name, where anybody may run it.
pub fn named(dir: &TempDir, name: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::copy(traffic_program(), &path).expect("a copy of traffic");
    path
}

/// Is that port one of these?
pub fn is_one_of(event: &Value, key: &str, ports: &[u64]) -> bool {
    ports.contains(&u64_of(event, key))
}

/// The tests of a check that is made by either reader of the socket.
macro_rules! by_sock_and_raw {
    ($($check:ident: $sock:ident $raw:ident;)*) => { $(
        #[test]
        fn $sock() {
            $check($crate::support::Reader::Sock.into());
        }

        #[test]
        fn $raw() {
            $check($crate::support::Reader::Raw.into());
        }
    )* };
}
