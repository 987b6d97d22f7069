//! A process that makes and uses sockets step by step as the test says: this test program, run again as the role in `stage`.
//!
//! The strings go through a Unix socket, which reaches into other namespaces, tells the process's pid here, and ends
//! the process when the test ends.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::net::sockopt;

use super::run::{Launch, Running};
use super::times::Timer;
use super::{PATIENCE, TempDir, wait_for};

const ROLE: &str = "support::stage::role";
pub(super) const CONTROL: &str = "TCC_PUPPET";

/// The test's end.
pub struct Puppet {
    control: BufReader<UnixStream>,
    /// None for one that another puppet started.
    process: Option<Running>,
    _dir: Option<TempDir>,
    /// As seen from here.
    pub pid: u32,
}

/// What the kernel itself says of a puppet's socket.
#[derive(Clone, Copy, Debug)]
pub struct Socket {
    pub cookie: u64,
    pub ino: u64,
    pub local: SocketAddr,
}

impl Puppet {
    #[track_caller]
    pub fn start() -> Self {
        Puppet::start_in(&Launch::here())
    }

    #[track_caller]
    pub fn start_in(launch: &Launch) -> Self {
        let timer = Timer::start("puppet");
        let dir = TempDir::new();
        let path = dir.path().join("control");
        let listener = UnixListener::bind(&path).expect("a Unix socket");
        let program = std::env::current_exe().expect("this program");
        let mut command = command(launch.command(&program), &path);
        let process = Running::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()));
        let puppet = Puppet::meet(&listener, Some(process), Some(dir));
        timer.log("");
        puppet
    }

    #[track_caller]
    fn meet(listener: &UnixListener, mut process: Option<Running>, dir: Option<TempDir>) -> Self {
        listener.set_nonblocking(true).expect("nonblocking");
        let stream = wait_for("a puppet", || {
            if let Some(process) = &mut process {
                assert!(!process.ended(), "the puppet ended: {}", process.stderr());
            }
            listener.accept().ok()
        });
        let stream = stream.0;
        stream.set_nonblocking(false).expect("blocking");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let peer = sockopt::socket_peercred(&stream).expect("SO_PEERCRED");
        let pid = peer.pid.as_raw_nonzero().get().cast_unsigned();
        Puppet { control: BufReader::new(stream), process, _dir: dir, pid }
    }

    /// Pulls a string; what comes back.
    #[track_caller]
    pub fn ask(&mut self, order: &str) -> String {
        self.order(order);
        self.answer(order)
    }

    fn order(&mut self, order: &str) {
        writeln!(self.control.get_mut(), "{order}").expect("the puppet listens");
    }

    #[track_caller]
    fn answer(&mut self, order: &str) -> String {
        let mut line = String::new();
        let read = self.control.read_line(&mut line);
        let answer = line.trim_end_matches('\n').strip_prefix("ok ").map(str::to_owned);
        answer.unwrap_or_else(|| {
            panic!("{order}: {line:?} {read:?}: {:?}", self.process.as_ref().map(Running::stderr))
        })
    }

    #[track_caller]
    fn socket(&mut self, order: &str) -> Socket {
        let answer = self.ask(order);
        let words: Vec<&str> = answer.split(' ').collect();
        let [cookie, ino, local] = words[..] else { panic!("{order}: {answer}") };
        Socket {
            cookie: cookie.parse().expect("a cookie"),
            ino: ino.parse().expect("an inode"),
            local: local.parse().expect("an address"),
        }
    }

    /// Listens; the address.
    #[track_caller]
    pub fn listen(&mut self, addr: &str) -> SocketAddr {
        self.ask(&format!("listen {addr}")).parse().expect("an address")
    }

    /// Accepts a connection under that name.
    #[track_caller]
    pub fn accept(&mut self, name: &str) -> Socket {
        self.socket(&format!("accept {name}"))
    }

    /// Waits in accept() while that is done.
    #[track_caller]
    pub fn accept_during<T>(&mut self, name: &str, during: impl FnOnce() -> T) -> T {
        let order = format!("accept {name}");
        self.order(&order);
        let done = during();
        self.answer(&order);
        done
    }

    #[track_caller]
    pub fn connect(&mut self, name: &str, to: SocketAddr) -> Socket {
        self.socket(&format!("connect {name} {to}"))
    }

    #[track_caller]
    pub fn send(&mut self, name: &str, bytes: u64) {
        self.ask(&format!("send {name} {bytes}"));
    }

    #[track_caller]
    pub fn receive(&mut self, name: &str, bytes: u64) {
        self.ask(&format!("receive {name} {bytes}"));
    }

    /// Sends from one to the other, and both are done.
    #[track_caller]
    pub fn transfer(&mut self, name: &str, to: &mut Puppet, bytes: u64) {
        let order = format!("send {name} {bytes}");
        self.order(&order);
        to.receive(name, bytes);
        self.answer(&order);
    }

    /// So many connections one after another, of so many bytes each; the server closes when all have come.
    #[track_caller]
    pub fn burst(&mut self, server: &mut Puppet, to: SocketAddr, count: usize, bytes: u64) {
        let serve = format!("serve {count}");
        server.order(&serve);
        self.ask(&format!("burst {to} {count} {bytes}"));
        server.answer(&serve);
    }

    #[track_caller]
    pub fn close(&mut self, name: &str) {
        self.ask(&format!("close {name}"));
    }

    /// Ends the connection by a RST.
    #[track_caller]
    pub fn reset(&mut self, name: &str) {
        self.ask(&format!("linger {name}"));
        self.close(name);
    }

    /// A child of the puppet's that inherits its listener.
    #[track_caller]
    pub fn fork_listener(&mut self) -> Puppet {
        self.fork("fork")
    }

    /// A child of the puppet's that inherits that connection, under the same name.
    #[track_caller]
    pub fn fork_connection(&mut self, name: &str) -> Puppet {
        let mut child = self.fork(&format!("fork {name}"));
        child.ask(&format!("inherit {name}"));
        child
    }

    #[track_caller]
    fn fork(&mut self, order: &str) -> Puppet {
        let dir = TempDir::new();
        let path = dir.path().join("control");
        let listener = UnixListener::bind(&path).expect("a Unix socket");
        self.ask(&format!("at {}", path.display()));
        self.ask(order);
        Puppet::meet(&listener, None, Some(dir))
    }
}

pub(super) fn command(mut command: Command, control: &Path) -> Command {
    command
        .args(["--exact", ROLE, "--ignored", "--nocapture", "--test-threads=1"])
        .env(CONTROL, control);
    command
}
