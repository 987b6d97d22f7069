//! A namespace with a client and a server, which do step by step what makes events.

use std::net::SocketAddr;

use rustix::io::Errno;

use super::filtered::unique_port;
use super::orders::Socket;
use super::sockets::CLOSE_WAIT;
use super::test_process::TestProcess;
use super::traffic::{Server, traffic_in};
use super::{Netns, wait_until};

/// The peer as a client may name it: IPv4, IPv6, IPv4 by an IPv6 socket.
pub const FAMILIES: [&str; 3] = ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"];

/// The server listens for all families.
pub struct Fixture {
    pub ns: Netns,
    pub client: TestProcess,
    pub server: TestProcess,
    pub port: u16,
    /// Where nobody listens.
    pub closed: u16,
}

impl Fixture {
    #[track_caller]
    pub fn new() -> Self {
        Fixture::at(unique_port(), unique_port())
    }

    /// With these ports.
    #[track_caller]
    pub fn at(port: u16, closed: u16) -> Self {
        let ns = Netns::new();
        let (client, server) =
            (TestProcess::start_in(&ns.launch()), TestProcess::start_in(&ns.launch()));
        Fixture { ns, client, server, port, closed }
    }

    #[track_caller]
    pub fn listen(&mut self) {
        self.server.listen(&format!("[::]:{}", self.port));
    }

    /// For `--port`.
    pub fn ports(&self) -> String {
        format!("{},{}", self.port, self.closed)
    }

    /// Where nobody listens, in that family.
    pub fn closed(&self, family: &str) -> SocketAddr {
        format!("{family}:{}", self.closed).parse().expect("an address")
    }

    /// The server's address in that family.
    pub fn addr(&self, family: &str) -> SocketAddr {
        format!("{family}:{}", self.port).parse().expect("an address")
    }

    /// The client's end and the server's, both named so.
    #[track_caller]
    pub fn connect(&mut self, name: &str, family: &str) -> (Socket, Socket) {
        let addr = self.addr(family);
        let theirs = self.client.connect(name, addr);
        (theirs, self.server.accept(name))
    }

    /// Closes one end, waits until the other one knows, and closes that. Whoever looks through all files just then (any tracer
    /// that starts) holds a closed socket for so long, so the order of the calls is not the order of the FINs.
    #[track_caller]
    pub fn close_in_order(&mut self, name: &str, client: Socket, server_first: bool) {
        let (sport, dport) = (client.local.port(), self.port);
        let (first, second, other) = if server_first {
            (&mut self.server, &mut self.client, (sport, dport))
        } else {
            (&mut self.client, &mut self.server, (dport, sport))
        };
        first.close(name);
        self.ns.wait_socket(other, "the FIN", |entry| entry.state == CLOSE_WAIT);
        second.close(name);
    }

    /// A connection in each family, each with another amount of data in both directions.
    #[track_caller]
    pub fn exchange(&mut self) {
        for (i, family) in FAMILIES.into_iter().enumerate() {
            self.connect("a", family);
            self.client.transfer("a", &mut self.server, 150_000 * (1 + i as u64));
            self.server.transfer("a", &mut self.client, 20_000 * (1 + i as u64));
            self.client.close("a");
            self.server.close("a");
        }
    }

    /// A connection that is refused.
    #[track_caller]
    pub fn refused(&mut self, family: &str) {
        let closed = self.closed(family);
        assert_eq!(self.client.try_connect(closed), Some(Errno::CONNREFUSED));
    }

    /// A rule for what comes in, such as `tcp dport 80 drop`.
    #[track_caller]
    pub fn rule(&self, rule: &str) {
        self.ns.firewall("input", &[rule]);
    }

    /// Nothing the server's way.
    #[track_caller]
    pub fn silence(&self) {
        self.rule(&format!("tcp dport {} drop", self.port));
    }

    /// No rules any more.
    #[track_caller]
    pub fn speak(&self) {
        self.ns.nft("add table inet t; flush table inet t");
    }

    /// A transfer by each family, under these algorithms, to a server of its own; one in twenty packets is lost.
    #[track_caller]
    pub fn lossy_transfers(&mut self, bytes: u64, algorithms: [&str; 3]) {
        let port = self.port;
        self.ns.run(&["ip", "link", "set", "lo", "mtu", "1500"]);
        let launch = self.ns.launch();
        let server = Server::start_in(&launch, &format!("[::]:{port}"), Some("reno"));
        self.rule(&format!("tcp dport {port} tcp flags & syn == 0 numgen inc mod 20 == 7 drop"));
        for (family, cc) in FAMILIES.into_iter().zip(algorithms) {
            let (to, bytes) = (self.addr(family).to_string(), bytes.to_string());
            traffic_in(&launch, &["bulk", "--to", &to, "--bytes", &bytes, "--cc", cc]);
        }
        self.speak();
        self.settle();
        drop(server);
    }

    /// The client's window closes until it has probed, and opens again; then it is not answered until timeouts.
    #[track_caller]
    pub fn stall(&mut self, name: &str) {
        let probes = self.ns.counters()["TCPWinProbe"];
        let filled = self.client.fill(name);
        wait_until("a window probe", || self.ns.counters()["TCPWinProbe"] > probes);
        self.server.receive(name, filled);
        self.silence();
        self.client.send(name, 100_000);
        let again = self.ns.counters()["RetransSegs"];
        wait_until("timeouts", || self.ns.counters()["RetransSegs"] > again + 2);
        self.speak();
        self.server.receive(name, 100_000);
    }

    /// Waits until there are only listeners, and those who wait for nothing but time: then no more events come.
    #[track_caller]
    pub fn settle(&self) {
        self.ns.settle();
    }
}
