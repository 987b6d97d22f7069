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
    /// The left one's.
    pub dev: String,
}

impl Pair {
    #[track_caller]
    pub fn new() -> Self {
        Pair::of("eth0", 2)
    }

    /// The left device's name and number.
    #[track_caller]
    pub fn of(dev: &str, index: u32) -> Self {
        let (left, right) = (Netns::new(), Netns::new());
        let link = format!("link add {dev} index {index} type veth peer name eth0 netns");
        left.run(&[&["ip"], &link.split(' ').collect::<Vec<_>>()[..], &[&right.name]].concat());
        for (ns, number, dev) in [(&left, 1, dev), (&right, 2, "eth0")] {
            ns.run(&["ip", "addr", "add", &format!("10.0.0.{number}/24"), "dev", dev]);
            ns.run(&["ip", "addr", "add", &format!("fd00::{number}/64"), "dev", dev, "nodad"]);
            ns.run(&["ip", "link", "set", dev, "up"]);
        }
        Pair { left, right, dev: dev.to_owned() }
    }

    /// From now on the left sends nothing else: no reports and solicitations, and nobody asks for neighbours.
    #[track_caller]
    pub fn only_tcp(&self) {
        let (left, right) = ((&self.left, self.dev.as_str()), (&self.right, "eth0"));
        for ((ns, dev), (other, theirs), number) in [(left, right, 2), (right, left, 1)] {
            let mac = other.run(&["cat", &format!("/sys/class/net/{theirs}/address")]);
            for addr in [format!("10.0.0.{number}"), format!("fd00::{number}")] {
                let neigh = ["ip", "neigh", "replace", &addr, "lladdr", mac.trim(), "dev", dev];
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
