//! A small TCP traffic generator for the demo, the tests and the benchmarks.
//!
//! One server serves four types of client. A client's first byte selects the
//! service: `B` bulk, `S` source, `E` request and response, `H` hold.

#![deny(unsafe_code)]

mod churn;
mod client;
mod server;
mod tcp_info;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::{Args, Parser, Subcommand};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, fstat};
use rustix::process::{PidfdFlags, Resource, Rlimit, getppid, getrlimit, pidfd_open, setrlimit};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// How long a connection may make no progress before it is an error.
pub const STALL: Duration = Duration::from_secs(30);

#[derive(Parser)]
#[command(name = "traffic", about = "Generates TCP traffic to trace")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answer clients; prints `listening ADDR:PORT` when ready
    ///
    /// Ends on SIGTERM, when the parent process ends, or when standard input
    /// is a pipe and is closed.
    Server(ServerArgs),
    /// Send as fast as TCP allows; prints a JSON line per connection
    Bulk(BulkArgs),
    /// Send requests, wait for each response; prints a JSON line per connection
    Pingpong(PingpongArgs),
    /// Open idle connections; prints `holding N`
    ///
    /// Ends as the server does.
    Hold(HoldArgs),
    /// Open and close connections all the time; prints a JSON line
    Churn(ChurnArgs),
}

#[derive(Args)]
pub struct ServerArgs {
    /// Address to listen on; port 0 lets the kernel choose
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: SocketAddr,
    /// Congestion control of the accepted sockets
    #[arg(long, value_name = "NAME")]
    pub cc: Option<String>,
}

/// Options of all clients.
#[derive(Args, Clone)]
pub struct Target {
    /// The server; may be an IPv4-mapped IPv6 address
    #[arg(long, value_name = "ADDR:PORT")]
    pub to: SocketAddr,
    /// Congestion control of the client's sockets
    #[arg(long, value_name = "NAME")]
    pub cc: Option<String>,
}

#[derive(Args)]
pub struct BulkArgs {
    #[command(flatten)]
    pub target: Target,
    /// Stop after this many bytes per connection
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub bytes: Option<u64>,
    /// Stop after this many seconds [default: 5, or no limit with --bytes]
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub seconds: Option<Duration>,
    /// Number of connections
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub parallel: u32,
    /// Source address
    #[arg(long, value_name = "ADDR")]
    pub bind: Option<IpAddr>,
    /// Let the server send and the client receive
    #[arg(long)]
    pub download: bool,
}

#[derive(Args)]
pub struct PingpongArgs {
    #[command(flatten)]
    pub target: Target,
    /// Size of a request
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub request: u32,
    /// Size of a response
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub response: u32,
    /// Stop after this many replies [default: 1000, or no limit with --seconds]
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// Stop after this many seconds
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub seconds: Option<Duration>,
    /// Time between the starts of two requests
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = humantime::parse_duration)]
    pub interval: Duration,
    /// Number of connections
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub parallel: u32,
    /// Source address
    #[arg(long, value_name = "ADDR")]
    pub bind: Option<IpAddr>,
    /// After each reply print getsockopt(TCP_INFO) as a JSON line
    #[arg(long)]
    pub tcp_info: bool,
}

#[derive(Args)]
pub struct HoldArgs {
    #[command(flatten)]
    pub target: Target,
    /// Number of connections
    #[arg(long, value_name = "N")]
    pub connections: u32,
    /// Source addresses, used in turn
    #[arg(long, value_name = "ADDR,…", value_delimiter = ',')]
    pub bind_list: Vec<IpAddr>,
}

#[derive(Args)]
pub struct ChurnArgs {
    /// The first of 64 addresses, each of which the server listens on
    #[command(flatten)]
    pub target: Target,
    /// Stop after this many seconds
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub seconds: Duration,
    /// Number of connections at a time
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub parallel: u32,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_string())?;
    Duration::try_from_secs_f64(value).map_err(|e| e.to_string())
}

/// The system's message for an error, without Rust's "(os error N)".
pub fn plain(error: io::Error) -> anyhow::Error {
    let text = error.to_string();
    let end = text.rfind(" (os error").unwrap_or(text.len());
    anyhow!("{}", &text[..end])
}

/// A TCP socket for `address` with its congestion control set.
pub fn new_socket(address: SocketAddr, cc: Option<&str>) -> Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))
        .map_err(plain)
        .context("socket")?;
    if let Some(cc) = cc {
        socket
            .set_tcp_congestion(cc.as_bytes())
            .map_err(plain)
            .with_context(|| format!("congestion control {cc}"))?;
    }
    Ok(socket)
}

pub fn std_address(address: io::Result<SockAddr>) -> Result<SocketAddr> {
    let address = address.map_err(plain).context("socket address")?;
    address.as_socket().context("not an IP socket")
}

/// Raise the limit on open files to the kernel's maximum if permitted, else to
/// the hard limit.
pub fn raise_file_limit() {
    let hard = getrlimit(Resource::Nofile).maximum;
    let kernel = std::fs::read_to_string("/proc/sys/fs/nr_open");
    let kernel = kernel.ok().and_then(|text| text.trim().parse().ok());
    // If neither works, the soft limit stays, and the first socket beyond it
    // is an error.
    for maximum in [kernel, hard] {
        let new = Rlimit { current: maximum, maximum };
        if maximum.is_some() && setrlimit(Resource::Nofile, new).is_ok() {
            return;
        }
    }
}

/// Wait until the parent process ends or standard input, if a pipe, is closed.
pub fn wait_for_end() -> Result<()> {
    let stdin = io::stdin();
    let parent = getppid().and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let is_pipe = fstat(&stdin).is_ok_and(|stat| {
        matches!(FileType::from_raw_mode(stat.st_mode), FileType::Fifo | FileType::Socket)
    });
    let mut fds = Vec::new();
    if let Some(parent) = &parent {
        fds.push(PollFd::new(parent, PollFlags::IN));
    }
    if is_pipe {
        // A closed pipe is always reported, a closed socket only if requested.
        fds.push(PollFd::new(&stdin, PollFlags::RDHUP));
    }
    loop {
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => {}
            result => {
                return result.map(drop).map_err(|e| plain(e.into())).context("poll");
            }
        }
    }
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Server(args) => server::run(&args),
        Command::Bulk(args) => client::bulk(&args),
        Command::Pingpong(args) => client::pingpong(&args),
        Command::Hold(args) => client::hold(&args),
        Command::Churn(args) => churn::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("traffic: {error:#}");
            ExitCode::FAILURE
        }
    }
}
