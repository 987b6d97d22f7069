//! Looks up the numbers that the kernel uses for cgroups, network namespaces, interfaces and processes.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::escape;
use crate::kernel::{self, NSFS_MAGIC, in_host_pid_namespace, is_on};
use crate::stdio::print_line;
use crate::suggest;

const CGROUP2_MAGIC: u64 = 0x6367_7270;
/// The smallest number of a namespace (`MNT_NS_INIT_INO`).
const FIRST_NAMESPACE: u64 = 0xefff_fff8;
/// The kernel numbers interfaces with an int, from 1.
const MAX_IFINDEX: u32 = i32::MAX.cast_unsigned();
/// The greatest number of a process (PID_MAX_LIMIT).
const MAX_PID: u32 = 4 << 20;
/// The algorithms that are loaded.
const ALGORITHMS: &str = "/proc/sys/net/ipv4/tcp_available_congestion_control";
/// Levels above a socket's cgroup that filter_cgroup() checks.
const CGROUP_LEVELS: usize = 32;

/// A network namespace: its inode, and the file that opens it, if known.
pub struct Netns {
    pub inode: u64,
    path: Option<PathBuf>,
}

/// The id of a v2 cgroup: on 64-bit kernels its directory's inode.
pub fn cgroup(path: &Path) -> Result<u64> {
    let mount = kernel::cgroup::mount();
    let candidates = [
        Some(path.to_owned()),
        mount.map(|mount| mount.join(path.strip_prefix("/").unwrap_or(path))),
    ];
    let dirs: Vec<PathBuf> =
        candidates.into_iter().flatten().filter(|path| path.is_dir()).collect();
    // Paths such as `/` also exist outside cgroup2: use the first that is a cgroup.
    let is_group = |path: &Path| is_on(path, CGROUP2_MAGIC);
    let Some(found) = dirs.iter().find(|path| is_group(path)) else {
        match dirs.first() {
            Some(dir) => bail!(
                "--cgroup {}: not a v2 cgroup; give a directory of the cgroup2 file system",
                escape::path(dir)
            ),
            None => bail!("--cgroup {}: no such cgroup", escape::path(path)),
        }
    };
    let error = || format!("--cgroup {}", escape::path(found));
    let found = found.canonicalize().with_context(error)?;
    let level = found.ancestors().skip(1).take_while(|path| is_group(path)).count();
    if level >= CGROUP_LEVELS {
        bail!("{}: {level} levels deep; at most {} are supported", error(), CGROUP_LEVELS - 1);
    }
    Ok(std::fs::metadata(&found).with_context(error)?.ino())
}

/// Checks that the processes exist: one that has ended would never match. In a pid namespace other than the host's our numbers
/// differ from the kernel's, so nothing is checked there.
pub fn pids(pids: Vec<u32>) -> Result<Vec<u32>> {
    if let Some(beyond) = pids.iter().find(|pid| **pid > MAX_PID) {
        bail!("--pid {beyond}: no such process");
    }
    if in_host_pid_namespace() {
        pids.iter().try_for_each(|&pid| check_process(pid))?;
    }
    Ok(pids)
}

fn check_process(pid: u32) -> Result<()> {
    if is_gone(pid) {
        bail!("--pid {pid}: no such process");
    }
    // With hidepid, /proc may not show it.
    match process_of(pid) {
        Some(process) if process != pid => {
            bail!("--pid {pid}: this is a thread; use its process, {process}")
        }
        _ => Ok(()),
    }
}

/// A thread has a directory in /proc too, which is not listed.
fn process_of(thread: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

fn is_gone(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_none_or(|pid| test_kill_process(pid) == Err(Errno::SRCH))
}

/// Whether it is a name known to `ip netns`.
pub fn is_netns_name(name: &str) -> bool {
    !name.starts_with("pid:") && !name.contains('/') && name.parse::<u64>().is_err()
}

/// `4026531840`, `/run/netns/blue`, `pid:123`, `blue`.
pub fn netns(name: &str) -> Result<Netns> {
    if let Ok(inode) = name.parse() {
        if inode < FIRST_NAMESPACE {
            bail!("--netns {name}: not a namespace inode; they start at {FIRST_NAMESPACE}");
        }
        if let Some(other) = namespace_type(inode).filter(|other| other != "net") {
            bail!("--netns {name}: not a network namespace, but of type {other}");
        }
        return Ok(Netns { inode, path: None });
    }
    let path = if let Some(pid) = name.strip_prefix("pid:") {
        let pid: u32 =
            pid.parse().map_err(|_| anyhow!("--netns {name}: `{pid}` is not a process number"))?;
        PathBuf::from(format!("/proc/{pid}/ns/net"))
    } else if name.contains('/') {
        PathBuf::from(name)
    } else {
        Path::new("/run/netns").join(name)
    };
    let inode = std::fs::metadata(&path)
        .with_context(|| format!("--netns {name}: {}", escape::path(&path)))?
        .ino();
    if !is_on(&path, NSFS_MAGIC) {
        bail!("--netns {name}: {} is not a network namespace", escape::path(&path));
    }
    if !is_net(&path).with_context(|| format!("--netns {name}: {}", path.display()))? {
        bail!("--netns {name}: {} is not a network namespace", path.display());
    }
    Ok(Netns { inode, path: Some(path) })
}

/// Is this the file of a network namespace? setns() checks the type before permissions. With permission it enters the
/// namespace, so a separate thread calls it.
fn is_net(path: &Path) -> Result<bool> {
    let file = File::open(path)?;
    let entered = std::thread::Builder::new()
        .spawn(move || move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)))
        .context("cannot start a thread")?;
    let entered = entered.join().map_err(|_| anyhow!("cannot examine the namespace"))?;
    Ok(entered != Err(Errno::INVAL))
}

/// The type of the namespace with that number, if a process is in it. Numbers are unique among all types.
fn namespace_type(inode: u64) -> Option<String> {
    let links = |dir: PathBuf| std::fs::read_dir(dir.join("ns")).into_iter().flatten().flatten();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let files = processes.flat_map(|process| links(process.path()));
    let number = format!(":[{inode}]");
    files.filter_map(|file| std::fs::read_link(file.path()).ok()).find_map(|link| {
        link.to_str()?.strip_suffix(&number).map(|name| {
            // The namespace of a process's future children has the same type.
            name.trim_end_matches("_for_children").to_owned()
        })
    })
}

/// Prints a note on algorithms that are not loaded: they may be mistyped, or loaded later.
pub fn note_unloaded(algorithms: &[[u8; 16]]) {
    let Ok(loaded) = std::fs::read_to_string(ALGORITHMS) else { return };
    for name in algorithms {
        let name = String::from_utf8_lossy(name);
        let name = name.trim_end_matches('\0');
        if !loaded.split_whitespace().any(|other| other == name) {
            let list = format!("loaded: {}", loaded.trim());
            let hint = suggest::did_you_mean(name, loaded.split_whitespace(), &list);
            print_line(&format!("note: --cc {name}: this algorithm is not loaded; {hint}"));
        }
    }
}

/// Interface numbers. They are per namespace, so a name also filters by the namespace in which it was found.
pub fn ifaces(names: &[String], netns: &mut Vec<Netns>) -> Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for name in names {
        if name.chars().all(|c| c.is_ascii_digit()) && !name.is_empty() {
            match name.parse() {
                Ok(number @ 1..=MAX_IFINDEX) => numbers.push(number),
                _ => bail!("--iface {name}: not an interface number (1 to {MAX_IFINDEX})"),
            }
            continue;
        }
        if netns.is_empty() {
            netns.push(self::netns("/proc/self/ns/net")?);
        }
        let [only] = netns.as_slice() else {
            bail!("--iface {name}: with several --netns, give the interface by number");
        };
        let Some(path) = &only.path else {
            bail!("--iface {name}: with --netns as a number, give the interface by number");
        };
        numbers.push(iface_in(path, name)?);
    }
    Ok(numbers)
}

/// Looks it up in a separate thread, which enters the namespace.
fn iface_in(path: &Path, name: &str) -> Result<u32> {
    let ns = File::open(path).with_context(|| format!("--iface {name}: {}", escape::path(path)))?;
    // Names are accepted as they are printed.
    let Ok(wanted) = String::from_utf8(escape::unescape(name)) else {
        bail!("--iface {name}: not UTF-8; give the interface by number");
    };
    let lookup = move || -> Result<u32> {
        // Staying in our own namespace needs no permission.
        if ns.metadata()?.ino() != std::fs::metadata("/proc/thread-self/ns/net")?.ino() {
            move_into_link_name_space(ns.as_fd(), Some(LinkNameSpaceType::Network))
                .context("cannot enter the namespace")?;
        }
        let socket = rustix::net::socket(
            rustix::net::AddressFamily::INET,
            rustix::net::SocketType::DGRAM,
            None,
        )?;
        rustix::net::netdevice::name_to_index(&socket, &wanted).context("no such interface")
    };
    let thread = std::thread::Builder::new().spawn(lookup);
    let thread = thread.with_context(|| format!("--iface {name}: cannot start a thread"))?;
    let found = thread.join().map_err(|_| anyhow!("--iface {name}: the lookup failed"))?;
    found.with_context(|| format!("--iface {name}"))
}
