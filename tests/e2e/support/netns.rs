//! Network namespaces, gone with their owner.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;

use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::thread::UnshareFlags;
use socket2::{Domain, Protocol, Type};

use super::launch::{Launch, in_netns};
use super::sockets::{SocketEntry, sockets};
use super::{run, unique, wait_until};

/// By name, of /proc/net/snmp and netstat.
pub type Counters = BTreeMap<String, u64>;

/// One, with its loopback up, and a name that `ip netns` knows.
pub struct Netns {
    pub name: String,
}

impl Netns {
    #[track_caller]
    pub fn new() -> Self {
        let ns = Netns { name: unique("tcc-") };
        fs::create_dir_all("/run/netns").expect("/run/netns");
        File::create_new(ns.path()).expect("the namespace's file");
        // A thread's namespace ends with the thread, if no file keeps it.
        let make = || {
            #[expect(deprecated, reason = "a thread that does nothing else shares no file table")]
            rustix::thread::unshare(UnshareFlags::NEWNET).expect("unshare");
            mount_bind("/proc/thread-self/ns/net", ns.path()).expect("a bind mount");
            set_loopback_up().expect("the loopback interface");
        };
        std::thread::scope(|scope| scope.spawn(make).join()).expect("a namespace");
        ns
    }

    fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    pub fn launch(&self) -> Launch {
        Launch::in_netns(self.path())
    }

    /// Does that in this namespace, by a thread of its own (see [`in_netns`]).
    #[track_caller]
    pub fn inside<T: Send>(&self, done: impl FnOnce() -> T + Send) -> T {
        in_netns(&self.path(), done)
    }

    /// Runs a command inside; its output.
    pub fn try_run(&self, words: &[&str]) -> Result<String, String> {
        let mut program = self.launch().command(words[0]);
        program.args(&words[1..]);
        run::output(program)
    }

    #[track_caller]
    pub fn run(&self, words: &[&str]) -> String {
        self.try_run(words).unwrap()
    }

    /// Several commands of `ip` at once, a line each.
    #[track_caller]
    pub fn ip(&self, commands: &str) {
        let mut program = self.launch().command("ip");
        program.args(["-batch", "-"]);
        run::output_of(program, commands).unwrap();
    }

    /// Several commands of `nft` at once, a line each.
    #[track_caller]
    pub fn nft(&self, commands: &str) {
        let mut program = self.launch().command("nft");
        program.args(["-f", "-"]);
        run::output_of(program, commands).unwrap();
    }

    /// Adds rules to a chain of its own at that hook, which has the hook's name in the table `inet t`.
    #[track_caller]
    pub fn firewall(&self, hook: &str, rules: &[&str]) {
        let rules: Vec<String> =
            rules.iter().map(|rule| format!("add rule inet t {hook} {rule}")).collect();
        self.nft(&format!(
            "add table inet t
             add chain inet t {hook} {{ type filter hook {hook} priority 0; }}
             {}",
            rules.join("\n")
        ));
    }

    /// Writes a file of /proc/sys/net.
    #[track_caller]
    pub fn sysctl(&self, name: &str, value: &str) {
        let path = format!("/proc/sys/net/{name}");
        let written = self.inside(|| fs::write(&path, value));
        written.unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    #[track_caller]
    pub fn counters(&self) -> Counters {
        self.inside(counters)
    }

    /// Its TCP sockets, as the kernel lists them.
    #[track_caller]
    pub fn sockets(&self) -> Vec<SocketEntry> {
        self.inside(sockets)
    }

    /// Waits until a socket with these ports satisfies the condition.
    #[track_caller]
    pub fn wait_socket(
        &self,
        (sport, dport): (u16, u16),
        what: &str,
        condition: impl Fn(&SocketEntry) -> bool,
    ) {
        let found = |entry: &SocketEntry| entry.is_of(sport, dport) && condition(entry);
        wait_until(what, || self.sockets().iter().any(found));
    }

    /// Waits until no socket has these ports any more: a RST or a timeout has ended it.
    #[track_caller]
    pub fn wait_gone(&self, (sport, dport): (u16, u16)) {
        wait_until("the end", || !self.sockets().iter().any(|entry| entry.is_of(sport, dport)));
    }

    /// Waits until there are only listeners, and those who wait for nothing but time: then no more events come.
    #[track_caller]
    pub fn settle(&self) {
        wait_until("the connections to end", || self.sockets().iter().all(SocketEntry::is_over));
    }

    /// The inode that names it.
    pub fn inode(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(self.path()).expect("a namespace's file").ino()
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = unmount(self.path(), UnmountFlags::DETACH);
        let _ = fs::remove_file(self.path());
    }
}

/// What `ip link set lo up` does, without a program that has to be started.
fn set_loopback_up() -> std::io::Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const NLM_F_REQUEST: u16 = 1;
    const IFF_UP: u32 = 1;
    // struct nlmsghdr, struct ifinfomsg.
    let mut message = Vec::new();
    message.extend(32_u32.to_ne_bytes());
    message.extend([RTM_NEWLINK, NLM_F_REQUEST].map(u16::to_ne_bytes).concat());
    message.extend([0, 0].map(u32::to_ne_bytes).concat());
    let first_interface = 1;
    message.extend([0, first_interface, IFF_UP, IFF_UP].map(u32::to_ne_bytes).concat());
    let netlink = socket2::Socket::new(Domain::from(16), Type::RAW, Some(Protocol::from(0)))?;
    netlink.send(&message).map(drop)
}

/// Two, joined by a pair of veth: `eth0` in each; 10.0.0.1 and fd00::1 on the left, .2 and ::2 on the right.
pub struct Pair {
    pub left: Netns,
    pub right: Netns,
    /// The left one's.
    pub dev: String,
}

/// The devices' addresses of a pair.
pub const MACS: [&str; 2] = ["02:00:00:00:00:01", "02:00:00:00:00:02"];

impl Pair {
    #[track_caller]
    pub fn new() -> Self {
        Pair::of("eth0", 2)
    }

    /// The left device's name and number.
    ///
    /// Each side knows the other's hardware address. Otherwise the first IPv6 neighbour solicitation may be lost: IPv6 is not ready
    /// until the kernel's link watch has run, up to a second after the link came up. The SYN then waits a second for the next
    /// solicitation, which is its own retransmission timeout, and with no sample of the RTT the next timeout is 3 s.
    #[track_caller]
    pub fn of(dev: &str, index: u32) -> Self {
        let (left, right) = (Netns::new(), Netns::new());
        let [mac, their_mac] = MACS;
        let addresses = |number: u32, dev: &str, peer: u32, peer_mac: &str| {
            format!(
                "addr add 10.0.0.{number}/24 dev {dev}\n\
                 addr add fd00::{number}/64 dev {dev} nodad\n\
                 link set {dev} up\n\
                 neigh replace 10.0.0.{peer} lladdr {peer_mac} dev {dev} nud permanent\n\
                 neigh replace fd00::{peer} lladdr {peer_mac} dev {dev} nud permanent\n"
            )
        };
        let link = format!(
            "link add {dev} address {mac} index {index} type veth \
             peer name eth0 address {their_mac} netns {}\n",
            right.name
        );
        left.ip(&(link + &addresses(1, dev, 2, their_mac)));
        right.ip(&addresses(2, "eth0", 1, mac));
        Pair { left, right, dev: dev.to_owned() }
    }

    /// From now on the left sends TCP only: no reports, no solicitations.
    #[track_caller]
    pub fn only_tcp(&self) {
        self.left.nft(
            "add table inet only
             add chain inet only c { type filter hook output priority 0; }
             add rule inet only c meta l4proto != tcp drop",
        );
    }

    /// Waits until both sides have only listeners, and those who wait for nothing but time.
    #[track_caller]
    pub fn settle(&self) {
        self.left.settle();
        self.right.settle();
    }
}

/// The counters of this network namespace: `Tcp: RetransSegs …` and `Tcp: 0 …`, of both files.
#[track_caller]
pub fn counters() -> Counters {
    let read = |name| fs::read_to_string(format!("/proc/thread-self/net/{name}"));
    let text = read("snmp").expect("snmp") + &read("netstat").expect("netstat");
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
