//! Network namespaces, gone with their owner.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::run::{self, Launch};
use super::unique;

/// By name, of /proc/net/snmp and netstat.
pub type Counters = BTreeMap<String, u64>;

/// One, with its loopback up.
pub struct Netns {
    pub name: String,
}

impl Netns {
    #[track_caller]
    pub fn new() -> Self {
        let name = unique("tcc-");
        run::output(command(&["ip", "netns", "add", &name])).unwrap();
        let ns = Netns { name };
        ns.run(&["ip", "link", "set", "lo", "up"]);
        ns
    }

    pub fn launch(&self) -> Launch {
        Launch::here().within(&["ip", "netns", "exec", &self.name])
    }

    /// Runs a command inside; its output.
    pub fn try_run(&self, words: &[&str]) -> Result<String, String> {
        let mut command = self.launch().command(Path::new(words[0]));
        command.args(&words[1..]);
        run::output(command)
    }

    #[track_caller]
    pub fn run(&self, words: &[&str]) -> String {
        self.try_run(words).unwrap()
    }

    /// `Tcp: RetransSegs …` and `Tcp: 0 …`, of both files.
    #[track_caller]
    pub fn counters(&self) -> Counters {
        let text = self.run(&["cat", "/proc/net/snmp", "/proc/net/netstat"]);
        let lines: Vec<&str> = text.lines().collect();
        let mut counters = Counters::new();
        for pair in lines.chunks(2) {
            let [names, numbers] = pair else { panic!("{text}") };
            for (name, number) in names.split(' ').zip(numbers.split(' ')).skip(1) {
                // Some are -1.
                counters.insert(name.to_owned(), number.parse().unwrap_or(0));
            }
        }
        counters
    }

    /// The inode that names it.
    pub fn inode(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(format!("/run/netns/{}", self.name)).expect("a namespace's file").ino()
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = run::output(command(&["ip", "netns", "del", &self.name]));
    }
}

/// Two, joined by a pair of veth: `eth0` in each; 10.0.0.1 and fd00::1 on the left, .2 and ::2 on the right.
pub struct Pair {
    pub left: Netns,
    pub right: Netns,
}

impl Pair {
    #[track_caller]
    pub fn new() -> Self {
        let (left, right) = (Netns::new(), Netns::new());
        left.run(&[
            "ip",
            "link",
            "add",
            "eth0",
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            &right.name,
        ]);
        for (ns, number) in [(&left, 1), (&right, 2)] {
            ns.run(&["ip", "addr", "add", &format!("10.0.0.{number}/24"), "dev", "eth0"]);
            ns.run(&["ip", "addr", "add", &format!("fd00::{number}/64"), "dev", "eth0", "nodad"]);
            ns.run(&["ip", "link", "set", "eth0", "up"]);
        }
        Pair { left, right }
    }

    /// From now on the left sends nothing else: no reports and solicitations, and nobody asks for neighbours.
    #[track_caller]
    pub fn only_tcp(&self) {
        for (ns, other, number) in [(&self.left, &self.right, 2), (&self.right, &self.left, 1)] {
            let mac = other.run(&["cat", "/sys/class/net/eth0/address"]);
            for addr in [format!("10.0.0.{number}"), format!("fd00::{number}")] {
                let neigh = ["ip", "neigh", "replace", &addr, "lladdr", mac.trim(), "dev", "eth0"];
                ns.run(&[&neigh[..], &["nud", "permanent"]].concat());
            }
        }
        for command in [
            "add table inet only",
            "add chain inet only c { type filter hook output priority 0; }",
            "add rule inet only c meta l4proto != tcp drop",
        ] {
            self.left.run(&["nft", command]);
        }
    }
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}
