//! The example `traffic`: a server, and its clients.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::Value;

use super::launch::Launch;
use super::run::{self, Running};
use super::sockets::{ESTABLISHED, SocketEntry};
use super::traffic_program;

/// Ends with its owner.
pub struct Server {
    process: Running,
    launch: Launch,
    pub addr: SocketAddr,
}

impl Server {
    /// Port 0 lets the kernel choose; `addr` says which. `cc`: of the accepted sockets.
    #[track_caller]
    pub fn start(listen: &str, cc: Option<&str>) -> Self {
        Server::start_in(&Launch::here(), listen, cc)
    }

    #[track_caller]
    pub fn start_in(launch: &Launch, listen: &str, cc: Option<&str>) -> Self {
        let mut command = launch.command(traffic_program());
        command.args(["server", "--listen", listen]).stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(cc) = cc {
            command.args(["--cc", cc]);
        }
        let mut process = Running::spawn(&mut command);
        let mut line = String::new();
        BufReader::new(process.child().stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("a line");
        let addr = line.strip_prefix("listening ").and_then(|rest| rest.trim().parse().ok());
        let addr = addr.unwrap_or_else(|| panic!("{command:?}: {line:?} {:?}", process.wait()));
        Server { process, launch: launch.clone(), addr }
    }

    /// Waits until none of its connections is established: then no more events come. A client's end is not the end of
    /// what is on its way.
    #[track_caller]
    pub fn settle(&self) {
        let port = self.port();
        let ours = |entry: &SocketEntry| entry.local.port() == port || entry.peer.port() == port;
        super::wait_until("the connections to end", || {
            let sockets = self.launch.sockets();
            !sockets.iter().any(|entry| entry.state == ESTABLISHED && ours(entry))
        });
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// For `--port`.
    pub fn port_text(&self) -> String {
        self.addr.port().to_string()
    }
}

/// Requests and responses, one after the other.
pub struct Pingpong {
    pub cc: &'static str,
    /// Bytes.
    pub request: u64,
    pub response: u64,
    pub count: usize,
    pub interval: &'static str,
}

impl Pingpong {
    /// Runs it to its end; what `TCP_INFO` told after each response, and more lines.
    #[track_caller]
    pub fn run_in(&self, launch: &Launch, to: SocketAddr) -> Vec<Value> {
        let (to, count) = (to.to_string(), self.count.to_string());
        let (request, response) = (self.request.to_string(), self.response.to_string());
        let args =
            ["pingpong", "--tcp-info", "--to", &to, "--cc", self.cc, "--interval", self.interval];
        let sizes = ["--request", &request, "--response", &response, "--count", &count];
        traffic_in(launch, &[&args[..], &sizes[..]].concat())
    }
}

/// Runs a client to its end; its lines.
#[track_caller]
pub fn traffic(args: &[&str]) -> Vec<Value> {
    traffic_in(&Launch::here(), args)
}

#[track_caller]
pub fn traffic_in(launch: &Launch, args: &[&str]) -> Vec<Value> {
    let mut command = launch.command(traffic_program());
    command.args(args);
    let text = run::output(command).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect()
}
