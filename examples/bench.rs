//! Measurement tool of script/bench.
//!
//! `bench pingpong`: times TCP ping-pong on the loopback interface. All measurements use one connection, so that none of them
//! includes a handshake or slow start. For each line on standard input, a number of exchanges, it prints three numbers: wall-clock
//! ns, CPU ns of this process (both ends, including kernel time), and TCP segments received in this network namespace.
//!
//! `bench writes`: a connection whose peer reads nothing, so that each write finds data unsent. For each line on standard input, a
//! number, it makes so many writes, and answers with an empty line.
//!
//! `bench attach FILE`: loads a BPF object and attaches all its programs, until standard input ends.
//!
//! `bench stats`: enables the BPF run-time statistics until standard input ends. It uses a file descriptor instead of the sysctl:
//! several processes may do so at a time, and the kernel disables the statistics when they exit.

#![deny(unsafe_code)]

use std::env;
use std::fs;
use std::io::{self, BufRead, Read, Write};

use std::net::{TcpListener, TcpStream};
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use libbpf_rs::ObjectBuilder;
use rustix::net::sockopt::{set_socket_send_buffer_size_force, set_tcp_congestion};
use rustix::time::{ClockId, clock_gettime};

const MESSAGE: usize = 100;

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["pingpong"] => pingpong(),
        ["writes"] => writes(),
        ["attach", file] => attach(file),
        ["stats"] => stats(),
        _ => bail!("usage: bench pingpong | bench writes | bench attach FILE | bench stats"),
    }
}

fn cpu_ns() -> i64 {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    t.tv_sec * 1_000_000_000 + t.tv_nsec
}

/// `InSegs` of the namespace's TCP.
fn segments() -> Result<u64> {
    let text = fs::read_to_string("/proc/self/net/snmp").context("/proc/self/net/snmp")?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let names = lines.next().context("no Tcp line")?;
    let values = lines.next().context("no Tcp values")?;
    let segments = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == "InSegs");
    Ok(segments.context("no InSegs")?.1.parse()?)
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut message = [0; MESSAGE];
    loop {
        stream.read_exact(&mut message)?;
        stream.write_all(&message)?;
    }
}

fn pingpong() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").context("listen")?;
    let mut client = TcpStream::connect(listener.local_addr()?).context("connect")?;
    let (server, _) = listener.accept().context("accept")?;
    for socket in [&client, &server] {
        socket.set_nodelay(true)?;
        // Without pacing timers. If the kernel has no cubic, use its default.
        let _ = set_tcp_congestion(socket, "cubic");
    }
    thread::spawn(|| echo(server));

    let mut message = [0; MESSAGE];
    for line in io::stdin().lock().lines() {
        let count: u64 = line?.trim().parse().context("not a number")?;
        let (segments_before, cpu, wall) = (segments()?, cpu_ns(), Instant::now());
        for _ in 0..count {
            client.write_all(&message)?;
            client.read_exact(&mut message)?;
        }
        let (wall, cpu) = (wall.elapsed().as_nanos(), cpu_ns() - cpu);
        println!("{wall} {cpu} {}", segments()? - segments_before);
    }
    Ok(())
}

fn writes() -> Result<()> {
    const ROOM: usize = 64 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").context("listen")?;
    let mut client = TcpStream::connect(listener.local_addr()?).context("connect")?;
    set_socket_send_buffer_size_force(&client, ROOM).context("SO_SNDBUFFORCE")?;
    let _server = listener.accept().context("accept")?;
    // More than the peer takes.
    client.write_all(&vec![0; ROOM / 8])?;
    client.set_nonblocking(true)?;
    for line in io::stdin().lock().lines() {
        let count: u64 = line?.trim().parse().context("not a number")?;
        for _ in 0..count {
            client.write_all(&[0; 64]).context("write")?;
        }
        println!();
    }
    Ok(())
}

fn attach(file: &str) -> Result<()> {
    let object = ObjectBuilder::default().open_file(Path::new(file))?.load().context("load")?;
    let links = object
        .progs_mut()
        .map(|program| program.attach())
        .collect::<Result<Vec<_>, _>>()
        .context("attach")?;
    println!("attached {}", links.len());
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

#[allow(unsafe_code)]
fn stats() -> Result<()> {
    // SAFETY: no pointers; a new file descriptor, or a negative errno.
    let fd = unsafe {
        libbpf_rs::libbpf_sys::bpf_enable_stats(libbpf_rs::libbpf_sys::BPF_STATS_RUN_TIME)
    };
    if fd < 0 {
        bail!("BPF_ENABLE_STATS: {}", io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: it is open and not owned elsewhere.
    let counting = unsafe { OwnedFd::from_raw_fd(fd) };
    println!("counting");
    io::copy(&mut io::stdin(), &mut io::sink())?;
    drop(counting);
    Ok(())
}
