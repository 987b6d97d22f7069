//! A process that makes and uses sockets as the test orders: this test program, run again as the role in `role`.
//!
//! The orders go through a Unix socket, which reaches into other namespaces, tells the process's pid here, and ends the
//! process when the test ends.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;

use rustix::io::Errno;
use rustix::net::sockopt;
use serde::de::DeserializeOwned;

use super::launch::Launch;
use super::orders::{AcceptCall, Order, Pace, Socket, SocketOption};
use super::run::Running;
use super::times::Timer;
use super::{TempDir, patience, wait_for};

/// Arguments of this program, which make it a test process.
pub(super) const ROLE: [&str; 5] =
    ["--exact", "support::role::carry_out", "--ignored", "--nocapture", "--test-threads=1"];
/// Names the variable that says where the orders come from.
pub(super) const CONTROL: &str = "TCC_TEST_PROCESS";

/// The test's end. Each method is one order, and returns when the order is carried out.
pub struct TestProcess {
    control: BufReader<UnixStream>,
    /// None for one that another test process started.
    process: Option<Running>,
    _dir: Option<TempDir>,
    /// As seen from here.
    pub pid: u32,
}

impl TestProcess {
    #[track_caller]
    pub fn start() -> Self {
        TestProcess::start_in(&Launch::here())
    }

    #[track_caller]
    pub fn start_in(launch: &Launch) -> Self {
        let timer = Timer::start("process");
        let dir = TempDir::new();
        let path = dir.path().join("control");
        let listener = UnixListener::bind(&path).expect("a Unix socket");
        let program = std::env::current_exe().expect("this program");
        let mut program = launch.command(&program);
        program.args(ROLE).env(CONTROL, &path).stdin(Stdio::null()).stdout(Stdio::null());
        let process = Running::spawn(&mut program);
        let process = TestProcess::meet(&listener, Some(process), Some(dir));
        timer.log("");
        process
    }

    #[track_caller]
    fn meet(listener: &UnixListener, mut process: Option<Running>, dir: Option<TempDir>) -> Self {
        listener.set_nonblocking(true).expect("nonblocking");
        let (stream, _) = wait_for("a test process", || {
            if let Some(process) = &mut process {
                assert!(!process.ended(), "the test process ended: {}", process.stderr());
            }
            listener.accept().ok()
        });
        stream.set_nonblocking(false).expect("blocking");
        stream.set_read_timeout(Some(patience())).expect("a timeout");
        let peer = sockopt::socket_peercred(&stream).expect("SO_PEERCRED");
        let pid = peer.pid.as_raw_nonzero().get().cast_unsigned();
        TestProcess { control: BufReader::new(stream), process, _dir: dir, pid }
    }

    #[track_caller]
    fn order(&mut self, order: &Order) {
        let line = serde_json::to_string(order).expect("JSON");
        writeln!(self.control.get_mut(), "{line}").expect("the test process listens");
    }

    #[track_caller]
    fn answer<T: DeserializeOwned>(&mut self, order: &Order) -> T {
        let mut line = String::new();
        let read = self.control.read_line(&mut line);
        let answer = serde_json::from_str::<Result<T, String>>(&line);
        match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => panic!("{order:?}: {error}"),
            Err(_) => {
                let stderr = self.process.as_ref().map(Running::stderr);
                panic!("{order:?}: answer {line:?}, {read:?}: {stderr:?}")
            }
        }
    }

    #[track_caller]
    fn ask<T: DeserializeOwned>(&mut self, order: Order) -> T {
        self.order(&order);
        self.answer(&order)
    }

    #[track_caller]
    fn errno(&mut self, order: Order) -> Option<Errno> {
        self.ask::<Option<i32>>(order).map(Errno::from_raw_os_error)
    }

    /// Listens; the address.
    #[track_caller]
    pub fn listen(&mut self, addr: &str) -> SocketAddr {
        self.ask(Order::Listen { addr: addr.parse().expect("an address") })
    }

    /// Listens where others may listen, too (SO_REUSEPORT).
    #[track_caller]
    pub fn listen_shared(&mut self, addr: SocketAddr) {
        self.ask(Order::ListenShared { addr })
    }

    /// Sets SO_RCVBUF of the connections that are accepted from now on.
    #[track_caller]
    pub fn narrow_listener(&mut self, bytes: usize) {
        self.ask(Order::NarrowListener { bytes })
    }

    #[track_caller]
    pub fn unlisten(&mut self) {
        self.ask(Order::Unlisten)
    }

    /// Gives the listener a mark and a device of its own.
    #[track_caller]
    pub fn bind_listener(&mut self, mark: u32, device: &str) {
        self.ask(Order::BindListener { mark, device: device.into() })
    }

    /// Accepts a connection under that name.
    #[track_caller]
    pub fn accept(&mut self, name: &str) -> Socket {
        self.accept_by(AcceptCall::Accept4, name)
    }

    #[track_caller]
    pub fn accept_by(&mut self, call: AcceptCall, name: &str) -> Socket {
        self.ask(Order::Accept { name: name.into(), call })
    }

    /// Waits in accept() while that is done.
    #[track_caller]
    pub fn accept_during<T>(&mut self, name: &str, during: impl FnOnce() -> T) -> T {
        let order = Order::Accept { name: name.into(), call: AcceptCall::Accept4 };
        self.order(&order);
        let done = during();
        self.answer::<Socket>(&order);
        done
    }

    #[track_caller]
    pub fn connect(&mut self, name: &str, to: SocketAddr) -> Socket {
        self.ask(Order::Connect { name: name.into(), to })
    }

    /// Connects and closes; the error of connect().
    #[track_caller]
    pub fn try_connect(&mut self, to: SocketAddr) -> Option<Errno> {
        self.errno(Order::TryConnect { to })
    }

    /// Connects by sendto() with MSG_FASTOPEN and closes; its error.
    #[track_caller]
    pub fn try_fast_open(&mut self, to: SocketAddr) -> Option<Errno> {
        self.errno(Order::TryFastOpen { to })
    }

    /// Connects, and gives up after 100 ms.
    #[track_caller]
    pub fn knock(&mut self, to: SocketAddr) {
        self.ask(Order::Knock { to })
    }

    /// Starts a non-blocking connect().
    #[track_caller]
    pub fn start_connect(&mut self, name: &str, to: SocketAddr) -> Socket {
        self.ask(Order::StartConnect { name: name.into(), to })
    }

    /// Connects, which must fail, and keeps the socket.
    #[track_caller]
    pub fn fail_connect(&mut self, name: &str, to: SocketAddr) -> Socket {
        self.ask(Order::FailConnect { name: name.into(), to })
    }

    /// Ends the connection and keeps the socket.
    #[track_caller]
    pub fn disconnect(&mut self, name: &str) {
        self.ask(Order::Disconnect { name: name.into() })
    }

    /// Connects a socket that was disconnected.
    #[track_caller]
    pub fn reconnect(&mut self, name: &str, to: SocketAddr) {
        self.ask(Order::Reconnect { name: name.into(), to })
    }

    /// The same of a socket that does not block, and without waiting.
    #[track_caller]
    pub fn connect_again(&mut self, name: &str, to: SocketAddr) {
        self.ask(Order::ConnectAgain { name: name.into(), to })
    }

    /// Waits for the end of that connect(); its error.
    #[track_caller]
    pub fn outcome(&mut self, name: &str) -> Option<Errno> {
        self.errno(Order::Outcome { name: name.into() })
    }

    /// Waits until the connection fails; its error.
    #[track_caller]
    pub fn wait_error(&mut self, name: &str) -> Option<Errno> {
        self.errno(Order::WaitError { name: name.into() })
    }

    #[track_caller]
    pub fn send(&mut self, name: &str, bytes: u64) {
        self.ask(Order::Send { name: name.into(), bytes: bytes as usize })
    }

    #[track_caller]
    pub fn receive(&mut self, name: &str, bytes: u64) {
        self.ask(Order::Receive { name: name.into(), bytes: bytes as usize })
    }

    /// Sends for that long.
    #[track_caller]
    pub fn send_for(&mut self, name: &str, ms: u64, pace: Pace) {
        self.ask(Order::SendFor { name: name.into(), ms, pace })
    }

    /// Reads from now on, at that pace.
    #[track_caller]
    pub fn sink(&mut self, name: &str, pace: Pace) {
        self.ask(Order::Sink { name: name.into(), pace })
    }

    /// Sends as much as the buffers take; how much that was.
    #[track_caller]
    pub fn fill(&mut self, name: &str) -> u64 {
        self.ask(Order::Fill { name: name.into() })
    }

    /// Sends from one to the other, and both are done.
    #[track_caller]
    pub fn transfer(&mut self, name: &str, to: &mut TestProcess, bytes: u64) {
        let order = Order::Send { name: name.into(), bytes: bytes as usize };
        self.order(&order);
        to.receive(name, bytes);
        self.answer(&order)
    }

    /// Makes so many connections one after another, each of so many bytes; the server closes when all have come.
    #[track_caller]
    pub fn burst(&mut self, server: &mut TestProcess, to: SocketAddr, count: usize, bytes: u64) {
        let serve = Order::Serve { count };
        server.order(&serve);
        self.ask::<()>(Order::Burst { to, count, bytes: bytes as usize });
        server.answer(&serve)
    }

    /// Ends its own direction by a FIN.
    #[track_caller]
    pub fn shutdown(&mut self, name: &str) {
        self.ask(Order::Shutdown { name: name.into() })
    }

    #[track_caller]
    pub fn close(&mut self, name: &str) {
        self.ask(Order::Close { name: name.into() })
    }

    /// Ends the connection by a RST.
    #[track_caller]
    pub fn reset(&mut self, name: &str) {
        self.set(name, SocketOption::LingerZero);
        self.close(name);
    }

    #[track_caller]
    pub fn set(&mut self, name: &str, option: SocketOption) {
        self.ask(Order::Set { name: name.into(), option })
    }

    /// The congestion control of sockets made from now on.
    #[track_caller]
    pub fn use_cc(&mut self, cc: &str) {
        self.ask(Order::UseCc { cc: cc.into() })
    }

    /// Names the process so, with any bytes.
    #[track_caller]
    pub fn rename(&mut self, name: &[u8]) {
        self.ask(Order::Rename { name: name.into() })
    }

    /// Sends a datagram that nobody takes.
    #[track_caller]
    pub fn datagram(&mut self, to: SocketAddr) {
        self.ask(Order::Datagram { to })
    }

    /// Sends a SYN with a wrong checksum.
    #[track_caller]
    pub fn forge_syn(&mut self, to: SocketAddr) {
        self.ask(Order::ForgeSyn { to })
    }

    /// A child that inherits the listener.
    #[track_caller]
    pub fn fork_listener(&mut self) -> TestProcess {
        self.fork(None)
    }

    /// A child that inherits that connection, under the same name.
    #[track_caller]
    pub fn fork_connection(&mut self, name: &str) -> TestProcess {
        let mut child = self.fork(Some(name));
        child.ask::<Socket>(Order::Inherit { name: name.into() });
        child
    }

    #[track_caller]
    fn fork(&mut self, name: Option<&str>) -> TestProcess {
        let dir = TempDir::new();
        let control = dir.path().join("control");
        let listener = UnixListener::bind(&control).expect("a Unix socket");
        self.ask::<()>(Order::Fork { name: name.map(Into::into), control });
        TestProcess::meet(&listener, None, Some(dir))
    }
}
