//! The clients.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustix::time::{ClockId, clock_gettime};
use socket2::Socket;

use crate::server::send;
use crate::tcp_info::TcpInfo;
use crate::{
    BulkArgs, HoldArgs, PingpongArgs, STALL, Target, new_socket, plain, raise_file_limit,
    std_address, wait_for_end,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const BULK_SECONDS: Duration = Duration::from_secs(5);
const PINGPONG_COUNT: u64 = 1000;

pub fn connect(target: &Target, bind: Option<IpAddr>) -> Result<Socket> {
    let to = target.to;
    let socket = new_socket(to, target.cc.as_deref())?;
    if let Some(mut address) = bind {
        if let (IpAddr::V4(v4), true) = (address, to.is_ipv6()) {
            address = v4.to_ipv6_mapped().into();
        }
        socket
            .bind(&SocketAddr::new(address, 0).into())
            .map_err(plain)
            .with_context(|| format!("bind {address}"))?;
    }
    socket
        .connect_timeout(&to.into(), CONNECT_TIMEOUT)
        .map_err(plain)
        .with_context(|| format!("connect {to}"))?;
    socket.set_read_timeout(Some(STALL)).map_err(plain).context("socket")?;
    Ok(socket)
}

/// The JSON members that identify a connection.
fn identity(socket: &Socket) -> Result<String> {
    let local = std_address(socket.local_addr())?;
    let peer = std_address(socket.peer_addr())?;
    let cookie = socket.cookie().map_err(plain).context("socket cookie")?;
    let cc = socket.tcp_congestion().map_err(plain).context("congestion control")?;
    let cc = String::from_utf8_lossy(&cc);
    let cc = cc.trim_end_matches('\0');
    Ok(format!(r#""local":"{local}","peer":"{peer}","cookie":{cookie},"cc":"{cc}""#))
}

pub fn print(line: &str) -> Result<()> {
    writeln!(io::stdout(), "{line}").map_err(plain).context("stdout")
}

pub fn bulk(args: &BulkArgs) -> Result<()> {
    at_once(args.parallel, || bulk_one(args))
}

/// Runs a number of connections in parallel.
fn at_once(connections: u32, one: impl Fn() -> Result<()> + Sync) -> Result<()> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(&one)).collect();
        let results = threads.into_iter().map(|thread| thread.join().expect("no panic"));
        // Let every connection end before reporting the first error.
        results.collect::<Vec<_>>().into_iter().collect()
    })
}

fn bulk_one(args: &BulkArgs) -> Result<()> {
    let socket = connect(&args.target, args.bind)?;
    let identity = identity(&socket)?;
    let start = Instant::now();
    let limit = args.bytes.unwrap_or(u64::MAX);
    let time = args.seconds.or(args.bytes.is_none().then_some(BULK_SECONDS));
    let bytes = if args.download {
        receive(&socket, limit, time)
    } else {
        // The first byte, which selects bulk, counts as one of the bytes.
        let until = time.and_then(|time| start.checked_add(time));
        send(&socket, limit, until).and_then(|bytes| {
            socket.shutdown(Shutdown::Write)?;
            drain(&socket)?;
            Ok(bytes)
        })
    };
    let bytes = bytes.map_err(stalled).with_context(|| format!("bulk {}", args.target.to))?;
    let seconds = start.elapsed().as_secs_f64();
    print(&format!(r#"{{"type":"bulk","bytes":{bytes},"seconds":{seconds:.6},{identity}}}"#))
}

fn receive(mut socket: &Socket, limit: u64, time: Option<Duration>) -> io::Result<u64> {
    let milliseconds = time.map_or(u64::MAX, |time| time.as_millis() as u64);
    let mut request = vec![b'S'];
    request.extend(limit.to_be_bytes());
    request.extend(milliseconds.to_be_bytes());
    socket.write_all(&request)?;
    drain(socket)
}

/// Read until the server closes; returns how much came.
fn drain(mut socket: &Socket) -> io::Result<u64> {
    let mut buffer = vec![0; 256 << 10];
    let mut bytes = 0;
    loop {
        match socket.read(&mut buffer)? {
            0 => return Ok(bytes),
            n => bytes += n as u64,
        }
    }
}

fn stalled(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            anyhow!("no progress for {} seconds", STALL.as_secs())
        }
        io::ErrorKind::UnexpectedEof => anyhow!("closed by the server"),
        _ => plain(error),
    }
}

pub fn pingpong(args: &PingpongArgs) -> Result<()> {
    at_once(args.parallel, || pingpong_one(args))
}

fn pingpong_one(args: &PingpongArgs) -> Result<()> {
    let name = || format!("pingpong {}", args.target.to);
    let socket = connect(&args.target, args.bind)?;
    socket.set_tcp_nodelay(true).map_err(plain).with_context(name)?;
    let identity = identity(&socket)?;
    let count = args.count.unwrap_or(match args.seconds {
        Some(_) => u64::MAX,
        None => PINGPONG_COUNT,
    });
    let start = Instant::now();
    let until = args.seconds.and_then(|time| start.checked_add(time));

    let body = vec![b'q'; args.request as usize];
    let mut first = vec![b'E'];
    first.extend(args.request.to_be_bytes());
    first.extend(args.response.to_be_bytes());
    first.extend(&body);

    let mut replies = 0;
    let (mut shortest, mut longest, mut sum) = (Duration::MAX, Duration::ZERO, Duration::ZERO);
    let mut next = start;
    while replies < count && until.is_none_or(|until| Instant::now() < until) {
        let begin = Instant::now();
        exchange(&socket, if replies == 0 { &first } else { &body }, args.response.into())
            .map_err(stalled)
            .with_context(name)?;
        let took = begin.elapsed();
        shortest = shortest.min(took);
        longest = longest.max(took);
        sum += took;
        replies += 1;
        if args.tcp_info {
            let info = TcpInfo::of(&socket).map_err(plain).context("getsockopt TCP_INFO")?;
            let now = clock_gettime(ClockId::Monotonic);
            let mono_ns = now.tv_sec * 1_000_000_000 + now.tv_nsec;
            let fields = info.json();
            print(&format!(
                r#"{{"type":"tcp_info","reply":{replies},"mono_ns":{mono_ns},{identity},{fields}}}"#
            ))?;
        }
        // Late requests are not made up for.
        next = (next + args.interval).max(Instant::now());
        if replies == count || until.is_some_and(|until| next >= until) {
            break;
        }
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let seconds = start.elapsed().as_secs_f64();
    let us = |time: Duration| time.as_micros();
    let (min, mean, max) = match u32::try_from(replies) {
        Ok(0) | Err(_) => (0, 0, us(longest)),
        Ok(n) => (us(shortest), us(sum / n), us(longest)),
    };
    print(&format!(
        r#"{{"type":"pingpong","replies":{replies},"seconds":{seconds:.6},"min_us":{min},"mean_us":{mean},"max_us":{max},{identity}}}"#
    ))
}

fn exchange(mut socket: &Socket, request: &[u8], response: u64) -> io::Result<()> {
    socket.write_all(request)?;
    match io::copy(&mut socket.take(response), &mut io::sink())? {
        n if n == response => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

pub fn hold(args: &HoldArgs) -> Result<()> {
    raise_file_limit();
    let mut sources = args.bind_list.iter().cycle();
    let mut sockets = Vec::new();
    for opened in 0..args.connections {
        let source = sources.next().copied();
        let socket =
            hold_one(&args.target, source).with_context(|| format!("connection {}", opened + 1))?;
        sockets.push(socket);
    }
    print(&format!("holding {}", sockets.len()))?;
    wait_for_end()
}

fn hold_one(target: &Target, source: Option<IpAddr>) -> Result<Socket> {
    let socket = connect(target, source)?;
    let mut reply = [0];
    (&socket)
        .write_all(b"H")
        .and_then(|()| (&socket).read_exact(&mut reply))
        .map_err(stalled)
        .with_context(|| format!("hold {}", target.to))?;
    Ok(socket)
}
