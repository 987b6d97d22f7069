//! A path with a round-trip time, a bottleneck and losses that the test chooses: two namespaces, each with a TUN device, and threads that
//! carry the packets between them. (A host without netem has no delay of its own.)

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::filtered::unique_port;
use super::socket_options::tun;
use super::{Netns, TestProcess};

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
}

/// What the test may change.
#[derive(Default)]
struct Control {
    end: AtomicBool,
    silent: AtomicBool,
    /// One of so many packets with data is lost; 0: none.
    loses: AtomicU64,
}

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
        let control = Arc::new(Control::default());
        let [from_left, from_right] = devices.map(Arc::new);
        let half = way.rtt / 2;
        let mut threads = carry(&from_left, &from_right, Way { rtt: half, ..way }, &control, true);
        let back = Way { rtt: half, rate: None, queue: 0 };
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

    /// Loses one of so many packets with data.
    pub fn loses(&self, one_of: u64) {
        self.control.loses.store(one_of, Relaxed);
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

/// Gives each packet the time at which it arrives.
fn read(
    mut from: &File,
    to: &Sender<(Instant, Vec<u8>)>,
    way: Way,
    control: &Control,
    lossy: bool,
) {
    let (mut packets, mut free_at) = (0_u64, Instant::now());
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
        if lossy && length > 200 {
            packets += 1;
            let one_of = control.loses.load(Relaxed);
            if one_of > 0 && packets % one_of == 0 {
                continue;
            }
        }
        let now = Instant::now();
        let mut sent_at = now;
        if let Some(rate) = way.rate {
            let waiting = free_at.saturating_duration_since(now).as_secs_f64() * rate as f64;
            if waiting > way.queue as f64 {
                continue;
            }
            free_at = free_at.max(now) + Duration::from_secs_f64(length as f64 / rate as f64);
            sent_at = free_at;
        }
        if to.send((sent_at + way.rtt, buffer[..length].to_vec())).is_err() {
            return;
        }
    }
}

/// Hands over each packet at its time.
fn write(mut to: &File, from: &Receiver<(Instant, Vec<u8>)>, control: &Control) {
    let mut waiting: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    while !control.end.load(Relaxed) {
        let idle = Duration::from_millis(20);
        let wait =
            waiting.front().map_or(idle, |(due, _)| due.saturating_duration_since(Instant::now()));
        match from.recv_timeout(wait.min(idle)) {
            Ok(packet) => waiting.push_back(packet),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        while waiting.front().is_some_and(|(due, _)| *due <= Instant::now()) {
            let Some((_, packet)) = waiting.pop_front() else { break };
            // A device that is gone takes nothing.
            if to.write_all(&packet).is_err() {
                return;
            }
        }
    }
}
