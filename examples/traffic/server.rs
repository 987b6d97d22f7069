//! The server: one thread waits for connections and their first byte, and
//! keeps the idle ones; each of the others gets a thread.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use socket2::Socket;

use crate::{STALL, ServerArgs, new_socket, plain, raise_file_limit, std_address, wait_for_end};

const LISTENER: u64 = 0;

struct Connection {
    socket: Socket,
    held: bool,
}

pub fn run(args: &ServerArgs) -> Result<()> {
    raise_file_limit();
    let listener = listen(args)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC).context("epoll")?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN).context("epoll")?;
    thread::spawn(|| {
        let ended = wait_for_end();
        std::process::exit(i32::from(ended.is_err()));
    });
    let address = std_address(listener.local_addr())?;
    let mut stdout = io::stdout();
    writeln!(stdout, "listening {address}").and_then(|()| stdout.flush()).context("stdout")?;

    let mut connections: HashMap<u64, Connection> = HashMap::new();
    let mut next_id = LISTENER + 1;
    let mut events = [MaybeUninit::uninit(); 64];
    loop {
        let (ready, _) = match epoll::wait(&epoll, &mut events, None) {
            Err(rustix::io::Errno::INTR) => continue,
            result => result.context("epoll")?,
        };
        for event in ready {
            let id = event.data.u64();
            if id == LISTENER {
                let Some(socket) = accept(&listener)? else {
                    continue;
                };
                let added =
                    epoll::add(&epoll, &socket, EventData::new_u64(next_id), EventFlags::IN);
                if added.is_ok() {
                    connections.insert(next_id, Connection { socket, held: false });
                    next_id += 1;
                }
                continue;
            }
            let Some(mut connection) = connections.remove(&id) else {
                continue;
            };
            if connection.read_ready() {
                connections.insert(id, connection);
            } else if !connection.held {
                // It moved to a thread or is closed; its duplicate in that
                // thread must not wake this one.
                let _ = epoll::delete(&epoll, &connection.socket);
            }
        }
    }
}

fn listen(args: &ServerArgs) -> Result<Socket> {
    let name = format!("listen {}", args.listen);
    let socket = new_socket(args.listen, args.cc.as_deref())?;
    let listening = || -> io::Result<()> {
        socket.set_reuse_address(true)?;
        if args.listen.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.bind(&args.listen.into())?;
        socket.listen(65535)?;
        socket.set_nonblocking(true)
    };
    listening().map_err(plain).context(name)?;
    Ok(socket)
}

/// None if the client is gone. Too many open files is a fatal error: a server
/// that no longer accepts connections would block its clients silently.
fn accept(listener: &Socket) -> Result<Option<Socket>> {
    use io::ErrorKind::{ConnectionAborted, Interrupted, WouldBlock};
    match listener.accept() {
        Ok((socket, _)) => Ok(Some(socket)),
        Err(e) if matches!(e.kind(), ConnectionAborted | Interrupted | WouldBlock) => Ok(None),
        Err(e) => Err(plain(e)).context("accept"),
    }
}

impl Connection {
    /// Handle what arrived; false if the connection is no longer this thread's.
    fn read_ready(&mut self) -> bool {
        let mut byte = [0];
        match (&self.socket).read(&mut byte) {
            Ok(1) if self.held => return true,
            Ok(1) => {}
            _ => return false,
        }
        let serve: fn(&Socket) -> io::Result<()> = match byte[0] {
            b'B' => sink,
            b'S' => source,
            b'E' => echo,
            b'H' => {
                self.held = true;
                return (&self.socket).write_all(b"h").is_ok();
            }
            _ => return false,
        };
        if let Ok(socket) = self.socket.try_clone() {
            // If the client is gone, the connection just ends.
            let thread = thread::Builder::new().stack_size(128 << 10);
            let _ = thread.spawn(move || serve(&socket));
        }
        false
    }
}

/// Read and discard until the client stops sending.
fn sink(mut socket: &Socket) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    while socket.read(&mut buffer)? > 0 {}
    Ok(())
}

/// Send until the number of bytes or of milliseconds the client named.
fn source(mut socket: &Socket) -> io::Result<()> {
    let (mut bytes, mut milliseconds) = ([0; 8], [0; 8]);
    socket.read_exact(&mut bytes)?;
    socket.read_exact(&mut milliseconds)?;
    let bytes = u64::from_be_bytes(bytes);
    let until = Instant::now().checked_add(Duration::from_millis(u64::from_be_bytes(milliseconds)));
    send(socket, bytes, until)?;
    socket.shutdown(std::net::Shutdown::Write)?;
    sink(socket)
}

/// Send `limit` bytes, or as many as possible until then; returns the number.
pub fn send(mut socket: &Socket, limit: u64, until: Option<Instant>) -> io::Result<u64> {
    let buffer = vec![b'B'; 128 << 10];
    let mut sent = 0;
    let mut progress = Instant::now();
    // The time limit also applies while the connection is blocked.
    socket.set_write_timeout(Some(Duration::from_millis(100)))?;
    while sent < limit && until.is_none_or(|until| Instant::now() < until) {
        let size = buffer.len().min(usize::try_from(limit - sent).unwrap_or(usize::MAX));
        match socket.write(&buffer[..size]) {
            Ok(n) => {
                sent += n as u64;
                progress = Instant::now();
            }
            Err(e)
                if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) =>
            {
                if progress.elapsed() > STALL {
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
            Err(e) => return Err(e),
        }
    }
    Ok(sent)
}

/// For each request of the client's size send a response of its size.
fn echo(mut socket: &Socket) -> io::Result<()> {
    let (mut request, mut response) = ([0; 4], [0; 4]);
    socket.read_exact(&mut request)?;
    socket.read_exact(&mut response)?;
    let request = u64::from(u32::from_be_bytes(request));
    let response = vec![b'r'; u32::from_be_bytes(response) as usize];
    socket.set_tcp_nodelay(true)?;
    while io::copy(&mut socket.take(request), &mut io::sink())? == request {
        socket.write_all(&response)?;
    }
    Ok(())
}
