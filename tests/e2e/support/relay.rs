//! A path with a round-trip time, a bottleneck and losses that the test chooses: two namespaces, each with a TUN device, and threads that
//! carry the packets between them. (A host without netem has no delay of its own.)

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::filtered::unique_port;
use super::socket_options::{run_first, tun};
use super::{Netns, TestProcess, mono_ns};

const DEVICE: &str = "tun0";

/// From the client to the server.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Both ways together.
    pub rtt: Duration,
    /// Bytes per second of the bottleneck; none: as fast as the relay.
    pub rate: Option<u64>,
    /// Bytes that may wait for it.
    pub queue: u64,
    /// A policer of that rate in its place: what exceeds it and so many bytes is lost, and nothing waits.
    pub bucket: Option<u64>,
}

impl Way {
    /// A round-trip time, and nothing else.
    pub const fn far(rtt: Duration) -> Self {
        Way { rtt, rate: None, queue: 0, bucket: None }
    }
}

/// What the test may change.
struct Control {
    end: AtomicBool,
    silent: AtomicBool,
    /// One of so many packets with data is lost; 0: none.
    loses: AtomicU64,
    /// One of so many packets with data comes late; 0: none.
    delays: AtomicU64,
    /// So many packets with data pass, then none.
    passes: AtomicU64,
    /// Bytes per second; 0: no bottleneck.
    rate: AtomicU64,
    /// Bytes that have passed the bottleneck.
    passed: AtomicU64,
    /// When packets arrived late, as nothing ran: from when they were due.
    late: Mutex<Vec<(u64, u64)>>,
}

/// Packets that are as late as that are noted.
const LATE: Duration = Duration::from_millis(3);

/// The client is on the left, the server on the right.
pub struct Relay {
    pub left: Netns,
    pub right: Netns,
    pub client: TestProcess,
    pub server: TestProcess,
    pub port: u16,
    control: Arc<Control>,
    threads: Vec<JoinHandle<()>>,
}

/// Can there be such a path here?
pub fn has_tun() -> bool {
    File::open("/dev/net/tun").is_ok()
}

impl Relay {
    #[track_caller]
    pub fn new(way: Way) -> Self {
        let (left, right) = (Netns::new(), Netns::new());
        let devices = [(&left, 1), (&right, 2)].map(|(ns, number)| {
            let device = ns.inside(|| tun(DEVICE).expect("a TUN device"));
            ns.ip(&format!("addr add 10.8.0.{number}/24 dev {DEVICE}\nlink set {DEVICE} up\n"));
            device
        });
        let control = Arc::new(Control {
            end: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            loses: AtomicU64::new(0),
            delays: AtomicU64::new(0),
            passes: AtomicU64::new(u64::MAX),
            rate: AtomicU64::new(way.rate.unwrap_or(0)),
            passed: AtomicU64::new(0),
            late: Mutex::default(),
        });
        let [from_left, from_right] = devices.map(Arc::new);
        let half = way.rtt / 2;
        let mut threads = carry(&from_left, &from_right, Way { rtt: half, ..way }, &control, true);
        let back = Way::far(half);
        threads.extend(carry(&from_right, &from_left, back, &control, false));
        let client = TestProcess::start_in(&left.launch());
        let mut server = TestProcess::start_in(&right.launch());
        let port = unique_port();
        server.listen(&format!("10.8.0.2:{port}"));
        Relay { left, right, client, server, port, control, threads }
    }

    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from(([10, 8, 0, 2], self.port))
    }

    /// The path carries nothing, or all again.
    pub fn silent(&self, silent: bool) {
        self.control.silent.store(silent, Relaxed);
    }

    /// Loses one of so many packets with data, at random.
    pub fn loses(&self, one_of: u64) {
        self.control.loses.store(one_of, Relaxed);
    }

    /// Delays one of so many packets with data by a quarter of the round-trip time.
    pub fn delays(&self, one_of: u64) {
        self.control.delays.store(one_of, Relaxed);
    }

    /// Lets so many more packets with data pass, and none after them.
    pub fn passes(&self, packets: u64) {
        self.control.passes.store(packets, Relaxed);
    }

    /// Changes the rate of the bottleneck.
    pub fn rate(&self, rate: u64) {
        self.control.rate.store(rate, Relaxed);
    }

    /// Bytes that have passed the bottleneck.
    pub fn passed(&self) -> u64 {
        self.control.passed.load(Relaxed)
    }

    /// When packets arrived late: the path was longer than it should have been. CLOCK_MONOTONIC.
    pub fn late(&self) -> Vec<(u64, u64)> {
        self.control.late.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Control {
    /// Packets that were late together are one time.
    fn note(&self, late: Duration) {
        if late < LATE {
            return;
        }
        let now = mono_ns();
        let from = now.saturating_sub(late.as_nanos() as u64);
        let mut all = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        match all.last_mut() {
            Some(last) if from <= last.1 => *last = (last.0.min(from), last.1.max(now)),
            _ => all.push((from, now)),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.control.end.store(true, Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn carry(
    from: &Arc<File>,
    to: &Arc<File>,
    way: Way,
    control: &Arc<Control>,
    lossy: bool,
) -> Vec<JoinHandle<()>> {
    let (sender, receiver) = channel();
    let (from, to) = (from.clone(), to.clone());
    let (reading, writing) = (control.clone(), control.clone());
    vec![
        std::thread::spawn(move || read(&from, &sender, way, &reading, lossy)),
        std::thread::spawn(move || write(&to, &receiver, &writing)),
    ]
}

/// Takes packets from a device, and decides when they arrive.
fn read(
    mut from: &File,
    to: &Sender<(Instant, Vec<u8>)>,
    way: Way,
    control: &Control,
    lossy: bool,
) {
    run_first();
    let mut bottleneck = Bottleneck { free_at: Instant::now(), random: 0x2545_f491_4f6c_dd1d };
    let mut buffer = vec![0; 65536];
    while !control.end.load(Relaxed) {
        let wait = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        let _ = poll(&mut [PollFd::new(&from, PollFlags::IN)], Some(&wait));
        let length = match from.read(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(_) => return,
        };
        if control.silent.load(Relaxed) {
            continue;
        }
        let mut late = Duration::ZERO;
        if lossy {
            match bottleneck.pass(length, way, control) {
                Some(wait) => late = wait,
                None => continue,
            }
        }
        let arrival = Instant::now() + late + way.rtt;
        if to.send((arrival, buffer[..length].to_vec())).is_err() {
            return;
        }
    }
}

struct Bottleneck {
    /// When it has sent all that waits.
    free_at: Instant,
    random: u64,
}

impl Bottleneck {
    /// How long the packet waits; none if it is lost.
    fn pass(&mut self, length: usize, way: Way, control: &Control) -> Option<Duration> {
        let mut late = Duration::ZERO;
        if length > 200 {
            let left = |left: u64| if left == u64::MAX { Some(left) } else { left.checked_sub(1) };
            control.passes.fetch_update(Relaxed, Relaxed, left).ok()?;
            if self.is_one_of(control.loses.load(Relaxed)) {
                return None;
            }
            if self.is_one_of(control.delays.load(Relaxed)) {
                late = way.rtt / 2;
            }
        }
        let rate = control.rate.load(Relaxed);
        if rate > 0 {
            let now = Instant::now();
            let waiting = self.free_at.saturating_duration_since(now).as_secs_f64() * rate as f64;
            if waiting > way.bucket.unwrap_or(way.queue) as f64 {
                return None;
            }
            let time = Duration::from_secs_f64(length as f64 / rate as f64);
            self.free_at = self.free_at.max(now) + time;
            if way.bucket.is_none() {
                late += self.free_at - now;
            }
        }
        control.passed.fetch_add(length as u64, Relaxed);
        Some(late)
    }

    /// Xorshift: the same sequence in each run.
    fn is_one_of(&mut self, one_of: u64) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        one_of > 0 && self.random.is_multiple_of(one_of)
    }
}

/// Hands over each packet at its time.
fn write(mut to: &File, from: &Receiver<(Instant, Vec<u8>)>, control: &Control) {
    run_first();
    let mut waiting: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    while !control.end.load(Relaxed) {
        let idle = Duration::from_millis(20);
        let wait =
            waiting.front().map_or(idle, |(due, _)| due.saturating_duration_since(Instant::now()));
        match from.recv_timeout(wait.min(idle)) {
            Ok(packet) => {
                let at = waiting.iter().rposition(|(due, _)| *due <= packet.0);
                waiting.insert(at.map_or(0, |at| at + 1), packet);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        while waiting.front().is_some_and(|(due, _)| *due <= Instant::now()) {
            let Some((due, packet)) = waiting.pop_front() else { break };
            control.note(due.elapsed());
            // A device that is gone takes nothing.
            if to.write_all(&packet).is_err() {
                return;
            }
        }
    }
}
