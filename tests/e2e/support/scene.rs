//! A namespace with a client and a server, which do step by step what makes events.

use std::net::SocketAddr;

use super::puppet::{Puppet, Socket};
use super::side::unique_port;
use super::{Netns, wait_until};

/// The peer as a client may name it: IPv4, IPv6, IPv4 by an IPv6 socket.
pub const FAMILIES: [&str; 3] = ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"];

/// The server listens for all families.
pub struct Scene {
    pub ns: Netns,
    pub client: Puppet,
    pub server: Puppet,
    pub port: u16,
    /// Where nobody listens.
    pub closed: u16,
}

impl Scene {
    #[track_caller]
    pub fn new() -> Self {
        let ns = Netns::new();
        let (client, server) = (Puppet::start_in(&ns.launch()), Puppet::start_in(&ns.launch()));
        let (port, closed) = (unique_port(), unique_port());
        Scene { ns, client, server, port, closed }
    }

    #[track_caller]
    pub fn listen(&mut self) {
        self.server.listen(&format!("[::]:{}", self.port));
    }

    /// For `--port`.
    pub fn ports(&self) -> String {
        format!("{},{}", self.port, self.closed)
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

    /// A connection that is refused.
    #[track_caller]
    pub fn refused(&mut self, family: &str) {
        let order = format!("attempt {family}:{}", self.closed);
        assert_eq!(self.client.ask(&order), "ConnectionRefused");
    }

    /// A rule for what comes in, such as `tcp dport 80 drop`.
    #[track_caller]
    pub fn rule(&self, rule: &str) {
        for command in [
            "add table inet t",
            "add chain inet t in { type filter hook input priority 0; }",
            &format!("add rule inet t in {rule}"),
        ] {
            self.ns.run(&["nft", command]);
        }
    }

    /// Nothing the server's way.
    #[track_caller]
    pub fn silence(&self) {
        self.rule(&format!("tcp dport {} drop", self.port));
    }

    /// No rules any more.
    #[track_caller]
    pub fn speak(&self) {
        self.ns.run(&["nft", "add table inet t; flush table inet t"]);
    }

    /// Waits until there are only listeners, and those who wait for nothing but time: then no more events come.
    #[track_caller]
    pub fn settle(&self) {
        wait_until("the connections to end", || {
            let text = self.ns.run(&["ss", "-tanH"]);
            text.lines().all(|line| line.starts_with("LISTEN") || line.starts_with("TIME-WAIT"))
        });
    }
}
