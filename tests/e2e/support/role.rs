//! The test process's own end: it carries out orders until the test ends.

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Uid, fchown};
use rustix::net::sockopt;
use serde_json::{Value, json};
use socket2::{Domain, Protocol, SockRef, Type};

use super::orders::{AcceptCall, Order, Pace, Socket, SocketOption};
use super::socket_options::{set_ack_timestamps, set_max_pacing_rate, set_tcp};
use super::test_process::{CONTROL, ROLE};

const IN_PROGRESS: i32 = rustix::io::Errno::INPROGRESS.raw_os_error();

type Answer = Result<Value, Box<dyn Error>>;

/// Not a test: what a test process runs. Does nothing where no test started it.
#[test]
#[ignore = "the role that test processes run this program in"]
fn carry_out() {
    let Some(path) = std::env::var_os(CONTROL) else {
        return;
    };
    let stream = UnixStream::connect(path).expect("the test");
    let mut out = stream.try_clone().expect("a copy");
    let mut role = Role::default();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let answer = serde_json::from_str(&line).map_err(Into::into).and_then(|o| role.obey(o));
        let answer: Result<Value, String> = answer.map_err(|error| error.to_string());
        if writeln!(out, "{}", json!(answer)).is_err() {
            break;
        }
    }
    // At once, without what the harness prints.
    std::process::exit(0);
}

#[derive(Default)]
struct Role {
    listener: Option<TcpListener>,
    connections: HashMap<String, TcpStream>,
    sinks: HashMap<String, Sender<Pace>>,
    children: Vec<Child>,
    cc: Option<String>,
}

impl Role {
    fn obey(&mut self, order: Order) -> Answer {
        match order {
            Order::Listen { addr } => {
                let listener = TcpListener::bind(addr)?;
                self.use_cc(SockRef::from(&listener))?;
                let addr = listener.local_addr()?;
                self.listener = Some(listener);
                return Ok(json!(addr));
            }
            Order::ListenShared { addr } => {
                let socket = self.socket(addr)?;
                socket.set_reuse_port(true)?;
                socket.bind(&addr.into())?;
                socket.listen(128)?;
                self.listener = Some(socket.into());
            }
            Order::NarrowListener { bytes } => {
                SockRef::from(self.listener()?).set_recv_buffer_size(bytes)?;
            }
            Order::Unlisten => self.listener = None,
            Order::BindListener { mark, device } => {
                let socket = SockRef::from(self.listener()?);
                socket.set_mark(mark)?;
                socket.bind_device(Some(device.as_bytes()))?;
            }
            Order::Accept { name, call } => {
                if self.listener.is_none() {
                    self.listener = Some(inherited()?.into());
                }
                let listener = self.listener()?;
                let stream = match call {
                    AcceptCall::Accept4 => listener.accept()?.0,
                    AcceptCall::Accept => rustix::net::accept(listener)?.into(),
                };
                return self.keep(name, stream);
            }
            Order::Serve { count } => {
                for _ in 0..count {
                    let (mut stream, _) = self.listener()?.accept()?;
                    std::io::copy(&mut stream, &mut std::io::sink())?;
                }
            }
            Order::Connect { name, to } => {
                let socket = self.socket(to)?;
                socket.connect(&to.into())?;
                return self.keep(name, socket.into());
            }
            Order::TryConnect { to } => return Ok(errno(TcpStream::connect(to).err())),
            Order::TryFastOpen { to } => {
                const MSG_FASTOPEN: i32 = 0x2000_0000;
                let socket = self.socket(to)?;
                return Ok(errno(socket.send_to_with_flags(b"x", &to.into(), MSG_FASTOPEN).err()));
            }
            Order::Knock { to } => {
                drop(TcpStream::connect_timeout(&to, Duration::from_millis(100)));
            }
            Order::StartConnect { name, to } => {
                let socket = self.socket(to)?;
                socket.set_nonblocking(true)?;
                match socket.connect(&to.into()) {
                    Err(error) if error.raw_os_error() != Some(IN_PROGRESS) => {
                        return Err(error.into());
                    }
                    _ => return self.keep(name, socket.into()),
                }
            }
            Order::FailConnect { name, to } => {
                let socket = self.socket(to)?;
                socket.connect(&to.into()).err().ok_or("it connects")?;
                return self.keep(name, socket.into());
            }
            Order::Disconnect { name } => rustix::net::connect_unspec(self.named(&name)?)?,
            Order::ConnectAgain { name, to } => match rustix::net::connect(self.named(&name)?, &to)
            {
                Err(rustix::io::Errno::INPROGRESS) => {}
                other => other?,
            },
            Order::Reconnect { name, to } => rustix::net::connect(self.named(&name)?, &to)?,
            Order::Outcome { name } => return self.wait(&name, PollFlags::OUT),
            // The poll ends with the error, which is always reported.
            Order::WaitError { name } => return self.wait(&name, PollFlags::empty()),
            Order::Rename { name } => std::fs::write("/proc/self/comm", name)?,
            Order::Burst { to, count, bytes } => burst(to, count, bytes)?,
            Order::Inherit { name } => return self.keep(name, inherited()?.into()),
            Order::Send { name, bytes } => self.named(&name)?.write_all(&vec![b'x'; bytes])?,
            Order::Receive { name, bytes } => self.named(&name)?.read_exact(&mut vec![0; bytes])?,
            Order::SendFor { name, ms, pace } => send_for(self.named(&name)?, ms, pace)?,
            Order::Sink { name, pace } => self.sink(&name, pace)?,
            Order::Fill { name } => return fill(self.named(&name)?),
            Order::Shutdown { name } => self.named(&name)?.shutdown(Shutdown::Write)?,
            Order::Close { name } => drop(self.connections.remove(&name)),
            Order::Set { name, option } => set(self.named(&name)?, option)?,
            Order::UseCc { cc } => self.cc = Some(cc),
            Order::Fork { name, control } => {
                let inherited: OwnedFd = match name {
                    Some(name) => self.named(&name)?.try_clone()?.into(),
                    None => self.listener()?.try_clone()?.into(),
                };
                let mut child = Command::new(std::env::current_exe()?);
                child.args(ROLE).env(CONTROL, control).stdin(inherited).stdout(Stdio::null());
                self.children.push(child.spawn()?);
            }
            Order::Datagram { to } => {
                let local = if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
                UdpSocket::bind(local)?.send_to(b"x", to)?;
            }
            Order::ForgeSyn { to } => forge_syn(to)?,
        }
        Ok(Value::Null)
    }

    fn listener(&self) -> Result<&TcpListener, &'static str> {
        self.listener.as_ref().ok_or("no listener")
    }

    fn named(&self, name: &str) -> Result<&TcpStream, String> {
        self.connections.get(name).ok_or_else(|| format!("no connection {name}"))
    }

    fn use_cc(&self, socket: SockRef<'_>) -> std::io::Result<()> {
        self.cc.as_ref().map_or(Ok(()), |cc| socket.set_tcp_congestion(cc.as_bytes()))
    }

    fn socket(&self, to: SocketAddr) -> std::io::Result<socket2::Socket> {
        let socket = socket2::Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        self.use_cc(SockRef::from(&socket))?;
        // Made now, as before 5.12 no BPF program can make it: an event may be over before the test has asked for it.
        sockopt::socket_cookie(&socket)?;
        Ok(socket)
    }

    fn keep(&mut self, name: String, stream: TcpStream) -> Answer {
        stream.set_nodelay(true)?;
        let ino = std::fs::metadata(format!("/proc/self/fd/{}", stream.as_raw_fd()))?.ino();
        let (cookie, local) = (sockopt::socket_cookie(&stream)?, stream.local_addr()?);
        self.connections.insert(name, stream);
        Ok(json!(Socket { cookie, ino, local }))
    }

    /// Begins to read, or changes the pace of who does.
    fn sink(&mut self, name: &str, pace: Pace) -> Result<(), Box<dyn Error>> {
        let known = self.sinks.get(name).is_some_and(|sink| sink.send(pace).is_ok());
        if !known {
            let stream = self.named(name)?.try_clone()?;
            let (sender, receiver) = channel();
            sender.send(pace)?;
            std::thread::spawn(move || read_at(stream, &receiver));
            self.sinks.insert(name.to_owned(), sender);
        }
        Ok(())
    }

    /// Waits for that, or an error; the errno.
    fn wait(&self, name: &str, flags: PollFlags) -> Answer {
        let stream = self.named(name)?;
        poll(&mut [PollFd::new(stream, flags)], None)?;
        Ok(errno(stream.take_error()?))
    }
}

/// What it was started with as standard input.
fn inherited() -> std::io::Result<OwnedFd> {
    std::io::stdin().as_fd().try_clone_to_owned()
}

fn errno(error: Option<std::io::Error>) -> Value {
    json!(error.and_then(|error| error.raw_os_error()))
}

fn burst(to: SocketAddr, count: usize, bytes: usize) -> std::io::Result<()> {
    let bytes = vec![b'x'; bytes];
    for _ in 0..count {
        let mut stream = TcpStream::connect(to)?;
        stream.write_all(&bytes)?;
        // To the server's end of it: if all came at once, some would find the accept queue full, and try again after a
        // second.
        stream.shutdown(Shutdown::Write)?;
        std::io::copy(&mut stream, &mut std::io::sink())?;
    }
    Ok(())
}

/// The pauses are what is tested, not a wait for something.
fn send_for(mut stream: &TcpStream, ms: u64, pace: Pace) -> std::io::Result<()> {
    use std::io::ErrorKind::{Interrupted, WouldBlock};
    let end = Instant::now() + Duration::from_millis(ms);
    let chunk = vec![b'x'; pace.chunk];
    stream.set_write_timeout(Some(Duration::from_millis(50)))?;
    while Instant::now() < end {
        match stream.write(&chunk) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), WouldBlock | Interrupted) => {}
            Err(error) => return Err(error),
        }
        let left = end.saturating_duration_since(Instant::now());
        std::thread::sleep(left.min(Duration::from_millis(pace.pause_ms)));
    }
    stream.set_write_timeout(None)
}

fn read_at(mut stream: TcpStream, paces: &Receiver<Pace>) {
    let Ok(mut pace) = paces.recv() else { return };
    let mut buffer = vec![0; pace.chunk];
    loop {
        let pause = Duration::from_millis(pace.pause_ms);
        match paces.recv_timeout(pause) {
            Ok(new) => {
                pace = new;
                buffer.resize(pace.chunk, 0);
                continue;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if !stream.read(&mut buffer).is_ok_and(|length| length > 0) {
            return;
        }
    }
}

fn fill(mut stream: &TcpStream) -> Answer {
    stream.set_write_timeout(Some(Duration::from_millis(200)))?;
    let mut bytes = 0;
    while let Ok(taken) = stream.write(&[b'x'; 65536]) {
        bytes += taken;
    }
    Ok(json!(bytes))
}

fn set(stream: &TcpStream, option: SocketOption) -> std::io::Result<()> {
    let socket = SockRef::from(stream);
    match option {
        SocketOption::Mark(mark) => socket.set_mark(mark),
        SocketOption::Tos(tos) => socket.set_tos_v4(tos),
        SocketOption::LingerZero => socket.set_linger(Some(Duration::ZERO)),
        SocketOption::UserTimeoutMs(ms) => {
            socket.set_tcp_user_timeout(Some(Duration::from_millis(ms)))
        }
        SocketOption::Linger2(seconds) => set_tcp(stream, libc::TCP_LINGER2, seconds),
        SocketOption::Repair(on) => set_tcp(stream, libc::TCP_REPAIR, on.into()),
        SocketOption::SendBuffer(bytes) => socket.set_send_buffer_size(bytes),
        SocketOption::ReceiveBuffer(bytes) => socket.set_recv_buffer_size(bytes),
        SocketOption::MaxPacingRate(rate) => set_max_pacing_rate(stream, rate),
        SocketOption::AckTimestamps => set_ack_timestamps(stream),
        SocketOption::Owner(uid) => Ok(fchown(stream, Some(Uid::from_raw(uid)), None)?),
    }
}

fn forge_syn(to: SocketAddr) -> std::io::Result<()> {
    let mut syn = [0; 20];
    syn[1] = 7;
    syn[2..4].copy_from_slice(&to.port().to_be_bytes());
    (syn[12], syn[13]) = (5 << 4, 2);
    let socket = socket2::Socket::new(Domain::for_address(to), Type::RAW, Some(Protocol::TCP))?;
    socket.send_to(&syn, &SocketAddr::new(to.ip(), 0).into())?;
    Ok(())
}
