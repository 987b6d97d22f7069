//! Names that the kernel knows by number: cgroups, network namespaces, interfaces.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::escape;
use crate::kernel::{in_host_pid_namespace, is_on};

const CGROUP2_MAGIC: u64 = 0x6367_7270;
const NSFS_MAGIC: u64 = 0x6e73_6673;
/// The kernel gives its namespaces no smaller numbers (`MNT_NS_INIT_INO`).
const FIRST_NAMESPACE: u64 = 0xefff_fff8;
/// The kernel counts them in an int, from the loopback interface on.
const MAX_IFINDEX: u32 = i32::MAX.cast_unsigned();
/// No process has a greater number (PID_MAX_LIMIT).
const MAX_PID: u32 = 4 << 20;
/// So many levels are looked at above a socket's group, see filter_cgroup().
const CGROUP_LEVELS: usize = 32;

/// A network namespace: its inode, and the file that opens it if we know one.
pub struct Netns {
    pub inode: u64,
    path: Option<PathBuf>,
}

/// The id of a v2 cgroup: on 64-bit kernels its directory's inode.
pub fn cgroup(path: &Path) -> Result<u64> {
    let mount = cgroup2_mount();
    let candidates = [
        Some(path.to_owned()),
        mount.map(|mount| mount.join(path.strip_prefix("/").unwrap_or(path))),
    ];
    let dirs: Vec<PathBuf> =
        candidates.into_iter().flatten().filter(|path| path.is_dir()).collect();
    // `/` and the like exist outside too: the first that is a group counts.
    let is_group = |path: &Path| is_on(path, CGROUP2_MAGIC);
    let Some(found) = dirs.iter().find(|path| is_group(path)) else {
        match dirs.first() {
            Some(dir) => bail!(
                "--cgroup {}: that is not in a cgroup2 file system, and a socket knows its v2 group only",
                escape::path(dir)
            ),
            None => bail!("--cgroup {}: no such cgroup", escape::path(path)),
        }
    };
    let error = || format!("--cgroup {}", escape::path(found));
    let found = found.canonicalize().with_context(error)?;
    let level = found.ancestors().skip(1).take_while(|path| is_group(path)).count();
    if level >= CGROUP_LEVELS {
        bail!("{}: it lies {level} groups deep, and {} are looked at", error(), CGROUP_LEVELS - 1);
    }
    Ok(std::fs::metadata(&found).with_context(error)?.ino())
}

/// Where cgroup2 is mounted, if it is.
fn cgroup2_mount() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let mut fields = mounts.lines().map(|line| line.split(' '));
    fields.find_map(|mut fields| {
        let (path, kind) = (fields.nth(1)?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(path))
    })
}

/// Processes that there are: of one that has ended nothing would ever be seen. In a pid namespace that is not the host's we
/// see other numbers than the kernel's programs, and take what is asked.
pub fn pids(pids: Vec<u32>) -> Result<Vec<u32>> {
    if let Some(beyond) = pids.iter().find(|pid| **pid > MAX_PID) {
        bail!("--pid {beyond}: there is no such process");
    }
    if in_host_pid_namespace() {
        pids.iter().try_for_each(|&pid| check_process(pid))?;
    }
    Ok(pids)
}

fn check_process(pid: u32) -> Result<()> {
    if is_gone(pid) {
        bail!("--pid {pid}: there is no such process");
    }
    // Where /proc hides it (hidepid) nothing more is known.
    match process_of(pid) {
        Some(process) if process != pid => {
            bail!("--pid {pid}: that is a thread; its process is {process}")
        }
        _ => Ok(()),
    }
}

/// Threads have numbers of the same kind, and a directory each, which is not listed.
fn process_of(thread: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

fn is_gone(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_none_or(|pid| test_kill_process(pid) == Err(Errno::SRCH))
}

/// `4026531840`, `/run/netns/blue`, `pid:123`, `blue`.
pub fn netns(name: &str) -> Result<Netns> {
    if let Ok(inode) = name.parse() {
        if inode < FIRST_NAMESPACE {
            bail!("--netns {name}: no namespace has that number, they begin at {FIRST_NAMESPACE}");
        }
        if let Some(kind) = kind_of_namespace(inode).filter(|kind| kind != "net") {
            bail!("--netns {name}: that is a namespace of another kind ({kind})");
        }
        return Ok(Netns { inode, path: None });
    }
    let path = if let Some(pid) = name.strip_prefix("pid:") {
        let pid: u32 =
            pid.parse().map_err(|_| anyhow!("--netns {name}: `{pid}` is no process number"))?;
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
        bail!("--netns {name}: {} is no namespace", escape::path(&path));
    }
    if !is_net(&path).with_context(|| format!("--netns {name}: {}", path.display()))? {
        bail!("--netns {name}: {} is a namespace of another kind", path.display());
    }
    Ok(Netns { inode, path: Some(path) })
}

/// Is that namespace's file of a network? setns() compares the kind before it asks for rights; who has them enters it, so a
/// thread of its own does this, and ends.
fn is_net(path: &Path) -> Result<bool> {
    let file = File::open(path)?;
    let entered = std::thread::Builder::new()
        .spawn(move || move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)))
        .context("it takes a thread")?;
    let entered = entered.join().map_err(|_| anyhow!("it cannot be looked at"))?;
    Ok(entered != Err(Errno::INVAL))
}

/// What kind of namespace has that number, if a process is in it: no two of any kind have the same.
fn kind_of_namespace(inode: u64) -> Option<String> {
    let links = |dir: PathBuf| std::fs::read_dir(dir.join("ns")).into_iter().flatten().flatten();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let files = processes.flat_map(|process| links(process.path()));
    let number = format!(":[{inode}]");
    files.filter_map(|file| std::fs::read_link(file.path()).ok()).find_map(|link| {
        link.to_str()?.strip_suffix(&number).map(|kind| {
            // The namespace that a process's children will be in is of the same kind.
            kind.trim_end_matches("_for_children").to_owned()
        })
    })
}

/// Interface numbers. A number is per namespace, so a name pins the namespace in which it was looked up.
pub fn ifaces(names: &[String], netns: &mut Vec<Netns>) -> Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for name in names {
        if name.chars().all(|c| c.is_ascii_digit()) && !name.is_empty() {
            match name.parse() {
                Ok(number @ 1..=MAX_IFINDEX) => numbers.push(number),
                _ => bail!("--iface {name}: interfaces have the numbers 1 to {MAX_IFINDEX}"),
            }
            continue;
        }
        if netns.is_empty() {
            netns.push(self::netns("/proc/self/ns/net")?);
        }
        let [only] = netns.as_slice() else {
            bail!("--iface {name}: with several --netns give the interface by number");
        };
        let Some(path) = &only.path else {
            bail!("--iface {name}: with --netns as a number give the interface by number too");
        };
        numbers.push(iface_in(path, name)?);
    }
    Ok(numbers)
}

/// Looked up by a thread of its own, which enters the namespace and ends.
fn iface_in(path: &Path, name: &str) -> Result<u32> {
    let ns = File::open(path).with_context(|| format!("--iface {name}: {}", escape::path(path)))?;
    // As it is printed.
    let Ok(wanted) = String::from_utf8(escape::unescape(name)) else {
        bail!("--iface {name}: that is not UTF-8; give the interface by number");
    };
    let lookup = move || -> Result<u32> {
        // Our own namespace needs no rights to stay in.
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
    let thread = thread.with_context(|| format!("--iface {name}: it takes a thread"))?;
    let found = thread.join().map_err(|_| anyhow!("--iface {name}: the lookup failed"))?;
    found.with_context(|| format!("--iface {name}"))
}
