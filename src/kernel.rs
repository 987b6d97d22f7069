//! The kernel's features and the process's capabilities, determined from BTF, tracefs and credentials, never from a version.

pub mod cgroup;
mod features;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rustix::thread::CapabilitySet;
use rustix::time::{ClockId, clock_getres};

pub use self::features::has_map_iterators;
use crate::btf::Btf;
use crate::escape;
use crate::events::ca::{Algorithm, Bits, Layouts};
use crate::events::ca_mainline;
use crate::events::{EventType, Hook, Types};
use crate::table::Member;

/// The kernel's own BTF.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";
/// Mount points in the order in which libbpf tries them.
const TRACEFS: &[&str] = &["/sys/kernel/debug/tracing", "/sys/kernel/tracing"];

const SECURITYFS: &str = "/sys/kernel/security";
const SECURITYFS_MAGIC: u64 = 0x7363_6673;

/// The members of the tcp_probe record that are read, with their sizes in bits. A record with all of them at these sizes is
/// known; other members such as `family` or `skaddr` make no difference.
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

/// Enums of subsystems' drop reasons, and the module whose BTF has them if they are not built in.
const SUBSYSTEM_REASONS: &[(&str, Option<&str>)] = &[
    ("mac80211_drop_reason", Some("mac80211")),
    ("ovs_drop_reason", Some("openvswitch")),
    ("qdisc_drop_reason", None),
];

/// Features of the running kernel.
pub struct Kernel {
    pub btf_path: PathBuf,
    btf: std::io::Result<Btf<'static>>,
}

impl Kernel {
    /// Reads the kernel's BTF, or the given file.
    #[must_use]
    pub fn new(btf: Option<&Path>) -> Self {
        let btf_path = btf.unwrap_or(Path::new(KERNEL_BTF)).to_owned();
        let btf = Btf::from_file(&btf_path);
        Kernel { btf_path, btf }
    }

    /// The BTF, or why there is none and what to do.
    pub fn btf(&self) -> Result<&Btf<'static>, String> {
        self.btf.as_ref().map_err(|error| {
            let path = escape::path(&self.btf_path);
            let none = error.kind() == std::io::ErrorKind::NotFound;
            if none && self.btf_path == Path::new(KERNEL_BTF) {
                format!("no BTF: {path}: {error}; this kernel was built without CONFIG_DEBUG_INFO_BTF: pass its BTF with --btf FILE")
            } else {
                format!("cannot read BTF from {path}: {error}")
            }
        })
    }

    fn query(&self, question: impl FnOnce(&Btf<'static>) -> bool) -> bool {
        self.btf.as_ref().is_ok_and(question)
    }

    /// Whether this kernel has a column's struct member.
    #[must_use]
    pub fn has_member(&self, member: Member) -> bool {
        self.query(|btf| btf.member(member.type_name, member.member).is_some())
    }

    /// Whether programs can attach to that tracepoint (tp_btf, raw_tp).
    #[must_use]
    pub fn has_tracepoint(&self, name: &str) -> bool {
        self.query(|btf| btf.has_typedef(&format!("btf_trace_{name}")))
    }

    /// Why an event type is unavailable on this kernel.
    #[must_use]
    pub fn missing(&self, event_type: &EventType) -> Option<String> {
        if let Some(("syscalls", name)) = event_type.hook.split_once(':') {
            let none = || {
                format!(
                    "this kernel has no tracepoint {} (CONFIG_FTRACE_SYSCALLS)",
                    event_type.hook
                )
            };
            // If tracefs works, the tracepoint itself is missing.
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

    /// Checks that the tcp_probe record has a known layout, and may be read.
    pub fn record(&self) -> Result<(), String> {
        self.record_layout()?;
        tracefs_event("tcp", "tcp_probe")
    }

    /// Checks that the tcp_probe record has a known layout.
    pub fn record_layout(&self) -> Result<(), String> {
        let btf = self.btf()?;
        for &(member, size) in RECORD {
            match btf.member("trace_event_raw_tcp_probe", member) {
                Some(found) if found.size == size => {}
                Some(found) => {
                    return Err(format!(
                        "its member `{member}` has {} bits on this kernel, not {size}",
                        found.size
                    ));
                }
                None => return Err(format!("it has no member `{member}` on this kernel")),
            }
        }
        Ok(())
    }

    /// The kernel types and names that decoding needs.
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

    /// The names of drop reasons: the kernel's own, and its subsystems', which the upper 16 bits distinguish (Linux 6.4).
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

    /// The layout of each algorithm's private state.
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

    /// The source of the layout of an algorithm's state.
    #[must_use]
    pub fn ca_state(&self, algorithm: &Algorithm) -> CaState {
        let Ok(btf) = self.btf.as_ref() else {
            return CaState::Unknown;
        };
        // Bit-field offsets count from the other end there, which is untested.
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
            // The kernel has BTF for other modules, but not for this one: its layout is unknown.
            _ if self.has_module_btf() => CaState::Unknown,
            _ if ca_mainline::knows(algorithm.type_name) => CaState::Mainline,
            _ => CaState::Unknown,
        }
    }

    fn module(&self, name: &str) -> Option<Btf<'_>> {
        let base = self.btf.as_ref().ok()?;
        Btf::split_from_file(&self.btf_path.with_file_name(name), base)
    }

    /// Modules have BTF since Linux 5.11 (36e68442d1af), if the kernel is built with it.
    fn has_module_btf(&self) -> bool {
        if self.btf_path != Path::new(KERNEL_BTF) {
            return false;
        }
        let dir = self.btf_path.parent().and_then(|dir| std::fs::read_dir(dir).ok());
        dir.is_some_and(|dir| dir.count() > 1)
    }
}

/// The source of the layout of an algorithm's private state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaState {
    /// The kernel's BTF: built in.
    Kernel,
    /// The module's BTF.
    Module,
    /// This kernel's modules have no BTF: mainline's layout is used.
    Mainline,
    /// The module is not loaded, so no connection uses it.
    NotLoaded,
    Unknown,
}

/// Whether the algorithm's module is loaded.
#[must_use]
pub fn is_loaded(algorithm: &Algorithm) -> bool {
    Path::new("/sys/module").join(algorithm.module).exists()
}

/// Checks that classic tracepoint programs can use the event. The error says what to do.
pub fn tracefs_event(group: &str, name: &str) -> Result<(), String> {
    let metadata = |dir: &&&str| Path::new(dir).join("events").metadata();
    let Some(dir) = TRACEFS.iter().find(|dir| metadata(dir).is_ok()) else {
        // Debugfs is always closed to other users, so its error does not show that tracefs is mounted there.
        let dir = TRACEFS[1];
        let denied = metadata(&&dir)
            .is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
        return Err(if denied {
            format!("{dir} is not accessible to this user: run as root, or chmod a+rx {dir}")
        } else {
            format!("tracefs is not mounted: mount -t tracefs tracefs {dir}")
        });
    };
    let id = Path::new(dir).join("events").join(group).join(name).join("id");
    match std::fs::read(&id) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{}: {error}", escape::path(&id))),
    }
}

/// The capabilities that tracing needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    pub bpf: bool,
    pub perfmon: bool,
    pub sys_admin: bool,
    /// Raises the limit on locked memory, which applies to maps before Linux 5.11.
    pub sys_resource: bool,
}

impl Rights {
    /// Those of this process.
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

    /// Checks that they suffice to trace; the error names what is missing and the fix.
    pub fn check(self) -> Result<(), String> {
        const FIX: &str = "run with sudo, or set file capabilities: setcap cap_bpf,cap_perfmon=ep tcc-trace (docs/security.md)";
        match self {
            Rights { sys_admin: true, .. } | Rights { bpf: true, perfmon: true, .. } => Ok(()),
            Rights { bpf: true, .. } => Err(format!("missing capability: CAP_PERFMON; {FIX}")),
            Rights { perfmon: true, .. } => Err(format!("missing capability: CAP_BPF; {FIX}")),
            _ => Err(format!("missing capabilities: CAP_BPF and CAP_PERFMON; {FIX}")),
        }
    }
}

/// Microseconds per jiffy with 16 fractional bits. The coarse clock's resolution is one tick, which gives CONFIG_HZ even
/// without the kernel's configuration file.
#[must_use]
pub fn us_per_jiffy_q16() -> u64 {
    let tick = clock_getres(ClockId::MonotonicCoarse);
    let ns = u64::try_from(tick.tv_sec).unwrap_or(0) * 1_000_000_000
        + u64::try_from(tick.tv_nsec).unwrap_or(0);
    (u128::from(ns) * 65536).div_ceil(1000) as u64
}

/// Whether process IDs are those that BPF programs see.
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

/// The kernel release, for display only.
#[must_use]
pub fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Kernel lockdown in `confidentiality` mode forbids programs to read kernel memory. `None`: unknown, as securityfs is not
/// mounted.
#[must_use]
pub fn locked_down() -> Option<bool> {
    match std::fs::read_to_string(Path::new(SECURITYFS).join("lockdown")) {
        Ok(text) => Some(text.contains("[confidentiality]")),
        // A kernel without lockdown support has no such file.
        Err(_) => is_on(Path::new(SECURITYFS), SECURITYFS_MAGIC).then_some(false),
    }
}

/// Where the files of namespaces are.
pub const NSFS_MAGIC: u64 = 0x6e73_6673;

/// Whether the path is on a file system of that type.
#[must_use]
pub fn is_on(path: &Path, magic: u64) -> bool {
    rustix::fs::statfs(path).is_ok_and(|stat| u64::try_from(stat.f_type) == Ok(magic))
}
