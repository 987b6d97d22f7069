//! What this kernel can do, and what we may do: asked of BTF, tracefs and our own credentials, never of a version number.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rustix::thread::CapabilitySet;
use rustix::time::{ClockId, clock_getres};

use crate::btf::Btf;
use crate::escape;
use crate::events::ca::{Algorithm, Bits, Layouts};
use crate::events::ca_mainline;
use crate::events::{EventType, Hook, Types};
use crate::table::Member;

/// The kernel's own BTF.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";
/// libbpf looks in the same places, in this order.
const TRACEFS: &[&str] = &["/sys/kernel/debug/tracing", "/sys/kernel/tracing"];

const SECURITYFS: &str = "/sys/kernel/security";
const SECURITYFS_MAGIC: u64 = 0x7363_6673;

/// The members of the tcp_probe record that are read, with their size in bits. A record that has them all, so wide, is
/// one that we know; where `family` or `skaddr` stand beside them makes no difference.
const RECORD: &[(&str, u32)] = &[
    ("saddr", 28 * 8),
    ("daddr", 28 * 8),
    ("sport", 16),
    ("dport", 16),
    ("mark", 32),
    ("data_len", 16),
    ("snd_nxt", 32),
    ("snd_una", 32),
    ("snd_cwnd", 32),
    ("ssthresh", 32),
    ("snd_wnd", 32),
    ("srtt", 32),
    ("rcv_wnd", 32),
    ("sock_cookie", 64),
];

/// Enums of drop reasons beside the kernel's own, and whose BTF has them where they are not built in.
const SUBSYSTEM_REASONS: &[(&str, Option<&str>)] = &[
    ("mac80211_drop_reason", Some("mac80211")),
    ("ovs_drop_reason", Some("openvswitch")),
    ("qdisc_drop_reason", None),
];

/// Answers about the running kernel.
pub struct Kernel {
    pub btf_path: PathBuf,
    btf: std::io::Result<Btf<'static>>,
}

impl Kernel {
    /// Reads the BTF, the kernel's own or the one that was given.
    #[must_use]
    pub fn new(btf: Option<&Path>) -> Self {
        let btf_path = btf.unwrap_or(Path::new(KERNEL_BTF)).to_owned();
        let btf = Btf::from_file(&btf_path);
        Kernel { btf_path, btf }
    }

    /// The types; else why there are none, and what to do.
    pub fn btf(&self) -> Result<&Btf<'static>, String> {
        self.btf.as_ref().map_err(|error| {
            let path = escape::path(&self.btf_path);
            let none = error.kind() == std::io::ErrorKind::NotFound;
            if none && self.btf_path == Path::new(KERNEL_BTF) {
                format!("no BTF: {path}: {error}; this kernel was built without CONFIG_DEBUG_INFO_BTF: give its BTF with --btf FILE")
            } else {
                format!("no BTF: {path}: {error}")
            }
        })
    }

    fn ask(&self, question: impl FnOnce(&Btf<'static>) -> bool) -> bool {
        self.btf.as_ref().is_ok_and(question)
    }

    /// Does a column's member exist here?
    #[must_use]
    pub fn has_member(&self, member: Member) -> bool {
        self.ask(|btf| btf.member(member.type_name, member.member).is_some())
    }

    /// Can programs attach to that tracepoint (tp_btf, raw_tp)?
    #[must_use]
    pub fn has_tracepoint(&self, name: &str) -> bool {
        self.ask(|btf| btf.has_typedef(&format!("btf_trace_{name}")))
    }

    /// Why there can be no events of that event type here.
    #[must_use]
    pub fn missing(&self, event_type: &EventType) -> Option<String> {
        if let Some(("syscalls", name)) = event_type.hook.split_once(':') {
            let none = || {
                format!(
                    "this kernel has no tracepoint {} (CONFIG_FTRACE_SYSCALLS)",
                    event_type.hook
                )
            };
            // Where it has another event and not this one, that is why.
            return tracefs_event("syscalls", name)
                .err()
                .map(|why| tracefs_event("tcp", "tcp_probe").map_or(why, |()| none()));
        }
        let has_all =
            |hooks: &[Hook]| hooks.iter().all(|hook| self.has_tracepoint(hook.tracepoint()));
        let there = self.has_tracepoint(event_type.tracepoint())
            || (!event_type.fallback_hooks.is_empty() && has_all(event_type.fallback_hooks));
        (!there).then(|| format!("this kernel has no tracepoint {}", event_type.hook))
    }

    /// The ring buffer: 5.8.
    #[must_use]
    pub fn has_ringbuf(&self) -> bool {
        self.ask(|btf| btf.has_struct("bpf_ringbuf"))
    }

    /// tp_btf: programs that load typed memory directly, 5.5.
    #[must_use]
    pub fn has_tp_btf(&self) -> bool {
        self.ask(|btf| btf.has_func("bpf_skc_to_tcp_sock")) && self.has_tracepoint("tcp_probe")
    }

    /// bpf_get_socket_cookie() in tracing programs: 5.12 (c5dbb89fc2ac), which added this function.
    #[must_use]
    pub fn has_cookie_helper(&self) -> bool {
        self.ask(|btf| btf.has_func("bpf_get_socket_ptr_cookie"))
    }

    /// Is the tcp_probe record one that we can read, and may we? Else why not.
    pub fn record(&self) -> Result<(), String> {
        self.record_layout()?;
        tracefs_event("tcp", "tcp_probe")
    }

    /// Is it one that we can read? Else why not.
    pub fn record_layout(&self) -> Result<(), String> {
        let btf = self.btf()?;
        for &(member, size) in RECORD {
            match btf.member("trace_event_raw_tcp_probe", member) {
                Some(found) if found.size == size => {}
                Some(found) => {
                    return Err(format!(
                        "its `{member}` has {} bits here and not {size}",
                        found.size
                    ));
                }
                None => return Err(format!("it has no `{member}` here")),
            }
        }
        Ok(())
    }

    /// What records are read by.
    #[must_use]
    pub fn types(&self) -> Types {
        let reasons = self.btf.as_ref().map(|btf| btf.enumerators("sk_rst_reason"));
        let name = |name: String| name.trim_start_matches("SK_RST_REASON_").to_owned();
        Types {
            layouts: self.ca_layouts(),
            reset_reasons: reasons
                .unwrap_or_default()
                .into_iter()
                .map(|(reason, number)| (number, name(reason)))
                .collect(),
            ..Types::default()
        }
    }

    /// The names of drop reasons: the kernel's own, and its subsystems', which are told apart by the upper 16 bits (6.4).
    #[must_use]
    pub fn drop_reasons(&self) -> HashMap<u64, String> {
        let Ok(btf) = self.btf.as_ref() else {
            return HashMap::new();
        };
        let name = |name: &str| {
            let name = name.trim_start_matches('_');
            let name = name.strip_prefix("SKB_DROP_REASON_").or(name.strip_prefix("SKB_"));
            name.map(str::to_owned)
        };
        let mut names: HashMap<u64, String> = btf
            .enumerators("skb_drop_reason")
            .into_iter()
            .filter_map(|(reason, number)| Some((number, name(&reason)?)))
            .collect();
        for &(type_name, module) in SUBSYSTEM_REASONS {
            let found = match btf.enumerators(type_name) {
                own if own.is_empty() => {
                    module.and_then(|name| Some(self.module(name)?.enumerators(type_name)))
                }
                own => Some(own),
            };
            let own = found.unwrap_or_default().into_iter().filter(|(_, number)| number >> 16 > 0);
            names.extend(own.map(|(reason, number)| (number, reason)));
        }
        names
    }

    /// Where the private state of each algorithm lies.
    #[must_use]
    pub fn ca_layouts(&self) -> Layouts {
        let Ok(btf) = self.btf.as_ref() else {
            return Layouts::default();
        };
        let mut modules = HashMap::new();
        Layouts::new(|algorithm, member| {
            let found = match self.ca_state(algorithm) {
                CaState::Kernel => btf.member(algorithm.type_name, member)?,
                CaState::Module => {
                    let module = modules
                        .entry(algorithm.module)
                        .or_insert_with(|| self.module(algorithm.module));
                    module.as_ref()?.member(algorithm.type_name, member)?
                }
                CaState::Mainline => return ca_mainline::locate(algorithm.type_name, member),
                CaState::NotLoaded | CaState::Unknown => return None,
            };
            Some(Bits { offset: found.offset, size: found.size })
        })
    }

    /// Where the layout of an algorithm's state is known from.
    #[must_use]
    pub fn ca_state(&self, algorithm: &Algorithm) -> CaState {
        let Ok(btf) = self.btf.as_ref() else {
            return CaState::Unknown;
        };
        // Bits of a member are counted from the other end there, which nobody has tried.
        if cfg!(target_endian = "big") {
            return CaState::Unknown;
        }
        if btf.has_struct(algorithm.type_name) {
            return CaState::Kernel;
        }
        if !is_loaded(algorithm) {
            return CaState::NotLoaded;
        }
        match self.module(algorithm.module) {
            Some(module) if module.has_struct(algorithm.type_name) => CaState::Module,
            // A kernel with BTF for other modules has left this one out: then its layout is anybody's guess.
            _ if self.has_module_btf() => CaState::Unknown,
            _ if ca_mainline::knows(algorithm.type_name) => CaState::Mainline,
            _ => CaState::Unknown,
        }
    }

    fn module(&self, name: &str) -> Option<Btf<'_>> {
        let base = self.btf.as_ref().ok()?;
        Btf::split_from_file(&self.btf_path.with_file_name(name), base)
    }

    /// Modules carry BTF since 5.11 (36e68442d1af), where the kernel is built so.
    fn has_module_btf(&self) -> bool {
        if self.btf_path != Path::new(KERNEL_BTF) {
            return false;
        }
        let dir = self.btf_path.parent().and_then(|dir| std::fs::read_dir(dir).ok());
        dir.is_some_and(|dir| dir.count() > 1)
    }
}

/// Where the layout of an algorithm's private state is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaState {
    /// The kernel's BTF: built in.
    Kernel,
    /// The module's BTF.
    Module,
    /// This kernel's modules carry no BTF: mainline's layout is taken.
    Mainline,
    /// The module is not loaded, so no connection can use it now.
    NotLoaded,
    Unknown,
}

/// Is the algorithm's module in the kernel?
#[must_use]
pub fn is_loaded(algorithm: &Algorithm) -> bool {
    Path::new("/sys/module").join(algorithm.module).exists()
}

/// Is that event there for classic tracepoint programs? Else why not, and what to do.
pub fn tracefs_event(group: &str, name: &str) -> Result<(), String> {
    let look = |dir: &&&str| Path::new(dir).join("events").metadata();
    let Some(dir) = TRACEFS.iter().find(|dir| look(dir).is_ok()) else {
        let denied = |dir: &&&str| {
            look(dir).is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
        };
        return Err(match TRACEFS.iter().find(denied) {
            // Debugfs is closed to others wherever tracefs is, so that one proves nothing; the other does.
            Some(dir) if *dir == TRACEFS[1] => {
                format!("{dir} is closed to this user: run it as root, or chmod a+rx {dir}")
            }
            _ => "tracefs is not mounted: mount -t tracefs tracefs /sys/kernel/tracing".into(),
        });
    };
    let id = Path::new(dir).join("events").join(group).join(name).join("id");
    match std::fs::read(&id) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{}: {error}", escape::path(&id))),
    }
}

/// What we may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    pub bpf: bool,
    pub perfmon: bool,
    pub sys_admin: bool,
    /// Raises the limit on locked memory, which maps counted against until 5.11.
    pub sys_resource: bool,
}

impl Rights {
    /// Ours now.
    #[must_use]
    pub fn current() -> Self {
        let effective = rustix::thread::capabilities(None)
            .map_or(CapabilitySet::empty(), |sets| sets.effective);
        Rights {
            bpf: effective.contains(CapabilitySet::BPF),
            perfmon: effective.contains(CapabilitySet::PERFMON),
            sys_admin: effective.contains(CapabilitySet::SYS_ADMIN),
            sys_resource: effective.contains(CapabilitySet::SYS_RESOURCE),
        }
    }

    /// Enough to trace? Else what is missing and what mends it.
    pub fn check(self) -> Result<(), String> {
        const MEND: &str = "run it with sudo, or once: setcap cap_bpf,cap_perfmon=ep tcc-trace, for a group only (docs/security.md)";
        match self {
            Rights { sys_admin: true, .. } | Rights { bpf: true, perfmon: true, .. } => Ok(()),
            Rights { bpf: true, .. } => {
                Err(format!("missing right: CAP_PERFMON (CAP_BPF is there); {MEND}"))
            }
            Rights { perfmon: true, .. } => {
                Err(format!("missing right: CAP_BPF (CAP_PERFMON is there); {MEND}"))
            }
            _ => Err(format!("missing rights: CAP_BPF and CAP_PERFMON; {MEND}")),
        }
    }
}

/// Microseconds per jiffy with 16 fractional bits. The coarse clock's resolution is one tick: CONFIG_HZ without its
/// configuration file, which containers and small systems do not have.
#[must_use]
pub fn us_per_jiffy_q16() -> u64 {
    let tick = clock_getres(ClockId::MonotonicCoarse);
    let ns = u64::try_from(tick.tv_sec).unwrap_or(0) * 1_000_000_000
        + u64::try_from(tick.tv_nsec).unwrap_or(0);
    (u128::from(ns) * 65536).div_ceil(1000) as u64
}

/// Are our pids those that the kernel's programs see?
#[must_use]
pub fn in_host_pid_namespace() -> bool {
    // PROC_PID_INIT_INO.
    std::fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link == Path::new("pid:[4026531836]"))
}

/// CONFIG_HZ.
#[must_use]
pub fn hz() -> u32 {
    u32::try_from((1_000_000 << 16) / us_per_jiffy_q16().max(1)).unwrap_or(u32::MAX)
}

/// The kernel's release, for reports only.
#[must_use]
pub fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Kernel lockdown in `confidentiality` mode forbids programs to read kernel memory. `None`: securityfs, which tells, is
/// not mounted.
#[must_use]
pub fn locked_down() -> Option<bool> {
    match std::fs::read_to_string(Path::new(SECURITYFS).join("lockdown")) {
        Ok(text) => Some(text.contains("[confidentiality]")),
        // A kernel that cannot be locked down has no such file.
        Err(_) => is_on(Path::new(SECURITYFS), SECURITYFS_MAGIC).then_some(false),
    }
}

/// Is that file of this file system?
#[must_use]
pub fn is_on(path: &Path, magic: u64) -> bool {
    rustix::fs::statfs(path).is_ok_and(|stat| u64::try_from(stat.f_type) == Ok(magic))
}
