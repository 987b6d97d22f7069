//! The kernel's own trace: an instance of tracefs for one test, and what it tells of tcp:tcp_probe.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::launch::Program;
use super::run::Running;
use super::{guest, unique};

/// Mounts tracefs where only it sees it, makes the instance, and takes it away when its input ends: also when we are
/// killed, nothing stays.
const HOLDER: &str = r#"
[ -d /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing || exit
cd /sys/kernel/tracing/instances && mkdir "$0" && echo ready && read -r _
cd "$0" && echo 0 >events/enable; cd ..
until rmdir "$0" 2>/dev/null || [ ! -d "$0" ]; do sleep 0.01; done
"#;

/// An instance of tracefs, gone with its owner.
pub struct Instance {
    holder: Running,
    dir: PathBuf,
}

/// A running trace of the connections of one port.
pub struct Ftrace(Instance);

/// One call of tcp_probe, as the kernel prints it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    pub time_us: u64,
    /// See [`maybe_unseen`].
    pub maybe_unseen: bool,
    pub cookie: u64,
    pub local: SocketAddr,
    pub peer: SocketAddr,
    pub mark: u64,
    pub data_len: u64,
    pub snd_nxt: u64,
    pub snd_una: u64,
    pub snd_cwnd: u64,
    pub ssthresh: u64,
    pub snd_wnd: u64,
    pub srtt: u64,
    pub rcv_wnd: u64,
}

impl Instance {
    #[track_caller]
    pub fn start(buffer_kb: u32) -> Self {
        let name = unique("tcc-");
        let mut command = Program::new("unshare");
        command
            .args(["-m", "sh", "-c", HOLDER, &name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut holder = Running::spawn(&mut command);
        let mut line = String::new();
        BufReader::new(holder.child().stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("a line");
        assert_eq!(line, "ready\n", "{}", holder.stderr());
        let dir = PathBuf::from(format!(
            "/proc/{}/root/sys/kernel/tracing/instances/{name}",
            holder.pid()
        ));
        let trace = Instance { holder, dir };
        trace.write("trace_clock", "mono");
        trace.write("buffer_size_kb", &buffer_kb.to_string());
        if !guest() {
            // For `maybe_unseen`, as threads may be gone by then.
            trace.write("options/record-tgid", "1");
        }
        trace
    }

    #[track_caller]
    pub fn write(&self, file: &str, text: &str) {
        let path = self.dir.join(file);
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// A file's text; `None` where this kernel has no such file.
    #[track_caller]
    pub fn read(&self, file: &str) -> Option<String> {
        let path = self.dir.join(file);
        path.exists()
            .then(|| std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{file}: {e}")))
    }

    /// All lines so far, which are all that there were.
    #[track_caller]
    pub fn lines(&self) -> Vec<String> {
        let text = self.read("trace").expect("the trace");
        assert_eq!(self.overruns(), 0, "the kernel's own trace is not complete");
        text.lines().map(str::to_owned).collect()
    }

    fn overruns(&self) -> u64 {
        let cpus = std::fs::read_dir(self.dir.join("per_cpu")).expect("per_cpu");
        let lost = |path: &Path| {
            let text = std::fs::read_to_string(path.join("stats")).expect("stats");
            let numbers = text.lines().filter_map(|line| line.split_once(": "));
            let lost = numbers
                .filter(|(name, _)| ["overrun", "commit overrun", "dropped events"].contains(name));
            lost.map(|(_, number)| number.trim().parse::<u64>().expect("a number")).sum::<u64>()
        };
        cpus.map(|entry| lost(&entry.expect("an entry").path())).sum()
    }
}

impl Ftrace {
    #[track_caller]
    pub fn start(port: u16) -> Self {
        let trace = Instance::start(16384);
        trace.write("events/tcp/tcp_probe/filter", &format!("sport == {port} || dport == {port}"));
        trace.write("events/tcp/tcp_probe/enable", "1");
        Ftrace(trace)
    }

    /// All calls so far, in order.
    #[track_caller]
    pub fn seen(&self) -> Vec<Seen> {
        calls(&self.0.lines())
    }
}

/// The calls of tcp_probe in a trace's lines, in order.
#[track_caller]
pub fn calls(lines: &[String]) -> Vec<Seen> {
    let mut seen: Vec<Seen> = lines
        .iter()
        .filter_map(|line| line.split_once(": tcp_probe: "))
        .map(|(head, fields)| {
            parse(head, fields).unwrap_or_else(|| panic!("not understood: {head}: {fields}"))
        })
        .collect();
    seen.sort_by_key(|seen| seen.time_us);
    seen
}

impl Drop for Instance {
    fn drop(&mut self) {
        drop(self.holder.child().stdin.take());
        if !std::thread::panicking() {
            self.holder.wait();
        } else {
            // Bounded too: the loop ends with the directory.
            let _ = self.holder.child().wait();
        }
    }
}

/// `comm-tid (tgid) [cpu] flags seconds.micros` and `key=value …`.
fn parse(head: &str, fields: &str) -> Option<Seen> {
    let time_us = time_us(head)?;
    let get = |key: &str| pairs(fields).find_map(|(name, value)| (name == key).then_some(value));
    let number = |key: &str| match get(key)?.split_at_checked(2) {
        Some(("0x", hex)) => u64::from_str_radix(hex, 16).ok(),
        _ => get(key)?.parse().ok(),
    };
    Some(Seen {
        time_us,
        maybe_unseen: maybe_unseen(head),
        cookie: u64::from_str_radix(get("sock_cookie")?, 16).ok()?,
        local: canonical(get("src")?)?,
        peer: canonical(get("dest")?)?,
        mark: number("mark")?,
        data_len: number("data_len")?,
        snd_nxt: number("snd_nxt")?,
        snd_una: number("snd_una")?,
        snd_cwnd: number("snd_cwnd")?,
        ssthresh: number("ssthresh")?,
        snd_wnd: number("snd_wnd")?,
        srtt: number("srtt")?,
        rcv_wnd: number("rcv_wnd")?,
    })
}

/// The moment at a line's beginning.
pub fn time_us(head: &str) -> Option<u64> {
    let (seconds, micros) = head.rsplit(' ').next()?.split_once('.')?;
    Some(seconds.parse::<u64>().ok()? * 1_000_000 + micros.parse::<u64>().ok()?)
}

/// Whether a program may have missed the event of that line. There are hosts (sandboxes) whose kernel runs no BPF program
/// while a thread of init is current, nor for what a softirq does on top of one: bpftrace has those events neither, and
/// recursion_misses does not tell.
pub fn maybe_unseen(head: &str) -> bool {
    // `comm-tid (tgid)`, with dashes where the kernel has not recorded whose thread it is.
    let task = head.split(" [").next().unwrap_or(head).trim_end().trim_end_matches(')');
    let Some((task, tgid)) = task.rsplit_once('(') else { return false };
    let tid = task.trim_end().rsplit('-').next().unwrap_or_default();
    let of_init = match tgid.trim().parse::<u32>() {
        Ok(tgid) => tgid == 1,
        Err(_) => Path::new(&format!("/proc/1/task/{tid}")).exists(),
    };
    of_init && !guest()
}

/// `key=value …`
pub fn pairs(fields: &str) -> impl Iterator<Item = (&str, &str)> {
    fields.split_whitespace().filter_map(|pair| pair.split_once('='))
}

/// A mapped address is the IPv4 one.
pub fn canonical(text: &str) -> Option<SocketAddr> {
    let addr: SocketAddr = text.parse().ok()?;
    let ip: IpAddr = addr.ip().to_canonical();
    Some(SocketAddr::new(ip, addr.port()))
}
