//! The generated skeleton: the BPF object, and the records that C and Rust share.
//!
//! The only file that may use `unsafe`: it declares which generated types may be read from bytes, and holds the few calls
//! that the standard library leaves to its user.
//! Everything else in the generated module (a hundred kernel structs) stays hidden in here.

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use libbpf_rs::PerfBuffer;
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use plain::Plain;
use rustix::process::{Resource, Rlimit, set_parent_process_death_signal, setrlimit};

#[allow(
    clippy::all,
    clippy::pedantic,
    dead_code,
    non_camel_case_types,
    non_snake_case,
    missing_docs,
    unused_imports
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/tcc_trace.skel.rs"));
}

include!(concat!(env!("OUT_DIR"), "/core_types.rs"));

pub use generated::types::{
    tcc_accept as AcceptRecord, tcc_action as Action, tcc_addr_key as AddrKey, tcc_by as By,
    tcc_ca_state_time as CaStateTime, tcc_cause as Cause, tcc_config as BpfConfig,
    tcc_cong_state as CongStateRecord, tcc_cong_sum as CongSum, tcc_conn_limits as ConnLimits,
    tcc_conn_snapshot as ConnSnapshot, tcc_connect as ConnectRecord, tcc_cpu as Cpu,
    tcc_destroy as DestroyRecord, tcc_drop as DropRecord, tcc_drop_stack as DropStackRecord,
    tcc_entries as Entries, tcc_entry_counts as EntryCounts, tcc_error as ErrorRecord,
    tcc_event as Event, tcc_event_type as EventType, tcc_filter as Filter,
    tcc_filter_key as FilterKey, tcc_head as Head, tcc_head_flag as HeadFlag,
    tcc_histogram as Histogram, tcc_hook as HookNumber, tcc_key as Key, tcc_life as LifeRecord,
    tcc_limits as Limits, tcc_limits_snapshot as LimitsSnapshot,
    tcc_listen_drop as ListenDropRecord, tcc_load as TermLoad, tcc_observe_reason as ObserveReason,
    tcc_observe_sum as ObserveSum, tcc_observed as Observed, tcc_owner as Owner,
    tcc_presence as Presence, tcc_probe as ProbeRecord, tcc_probe_full as ProbeFullRecord,
    tcc_probe_std as ProbeStd, tcc_queue as QueueRecord, tcc_rcv_space as RcvSpaceRecord,
    tcc_rcvbuf_grow as RcvbufGrowRecord, tcc_reader as ReaderState,
    tcc_reset_received as ResetReceivedRecord, tcc_reset_sent as ResetSentRecord,
    tcc_retrans_sum as RetransSum, tcc_retransmit as RetransmitRecord, tcc_send as SendRecord,
    tcc_sender as Sender, tcc_sleep as Sleep, tcc_spurious as SpuriousRecord,
    tcc_state as StateRecord, tcc_sums as Sums, tcc_synack_retransmit as SynackRetransmitRecord,
    tcc_tcp as Tcp, tcc_term as Term, tcc_term_limit as TermLimit, tcc_top_conn as TopConn,
    tcc_totals as Totals, tcc_tracker as Tracker, tcc_trigger_limit as TriggerLimit,
    tcc_value as Value, tcc_where as Where, tcc_zero_window as ZeroWindowRecord,
};
pub use generated::{OpenTccTraceMaps, OpenTccTraceSkel, TccTraceSkel, TccTraceSkelBuilder};

/// Without functions of the kernel.
static WITHOUT_KFUNCS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/without_kfuncs.o"));

/// The object to load here. libbpf finds functions of the kernel in the kernel's own types only, never in those of `--btf`.
pub(crate) fn object(with_kfuncs: &'static [u8]) -> &'static [u8] {
    let has_types = Path::new("/sys/kernel/btf/vmlinux").exists();
    if has_types { with_kfuncs } else { WITHOUT_KFUNCS }
}

// SAFETY: these are `repr(C)` structs of integers and integer arrays without padding (their headers assert it), so
// every bit pattern is a value of theirs.
unsafe impl Plain for Head {}
unsafe impl Plain for ProbeRecord {}
unsafe impl Plain for ProbeFullRecord {}
unsafe impl Plain for Event {}
unsafe impl Plain for StateRecord {}
unsafe impl Plain for RetransmitRecord {}
unsafe impl Plain for SynackRetransmitRecord {}
unsafe impl Plain for ResetSentRecord {}
unsafe impl Plain for ResetReceivedRecord {}
unsafe impl Plain for DestroyRecord {}
unsafe impl Plain for CongStateRecord {}
unsafe impl Plain for RcvSpaceRecord {}
unsafe impl Plain for RcvbufGrowRecord {}
unsafe impl Plain for ErrorRecord {}
unsafe impl Plain for ConnectRecord {}
unsafe impl Plain for LifeRecord {}
unsafe impl Plain for AcceptRecord {}
unsafe impl Plain for ZeroWindowRecord {}
unsafe impl Plain for DropRecord {}
unsafe impl Plain for DropStackRecord {}
unsafe impl Plain for SpuriousRecord {}
unsafe impl Plain for QueueRecord {}
unsafe impl Plain for ListenDropRecord {}
unsafe impl Plain for SendRecord {}
unsafe impl Plain for Cpu {}
unsafe impl Plain for EntryCounts {}
unsafe impl Plain for Key {}
unsafe impl Plain for Histogram {}
unsafe impl Plain for Sums {}
unsafe impl Plain for Observed {}
unsafe impl Plain for TopConn {}
unsafe impl Plain for CaStateTime {}
unsafe impl Plain for ConnSnapshot {}
unsafe impl Plain for ConnLimits {}
unsafe impl Plain for Limits {}
unsafe impl Plain for LimitsSnapshot {}
unsafe impl Plain for FilterKey {}
unsafe impl Plain for AddrKey {}
unsafe impl Plain for ReaderState {}
unsafe impl Plain for Term {}

impl Histogram {
    /// How many buckets it has.
    pub const BUCKETS: usize =
        (size_of::<Histogram>() - std::mem::offset_of!(Histogram, buckets)) / 8;
}

impl Sums {
    /// How many sums it has.
    pub const COUNT: usize = (size_of::<Sums>() - std::mem::offset_of!(Sums, n)) / 8;
}

/// Of the libbpf that is linked: major, minor.
#[must_use]
pub fn libbpf_version() -> (u32, u32) {
    use libbpf_rs::libbpf_sys::{libbpf_major_version, libbpf_minor_version};
    // SAFETY: they take nothing and return numbers.
    unsafe { (libbpf_major_version(), libbpf_minor_version()) }
}

/// Was this program started with rights that its caller does not have (AT_SECURE)?
#[must_use]
pub fn at_secure() -> bool {
    // SAFETY: it takes a number and returns one.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// libbpf's epoll of all perf buffers.
#[must_use]
pub fn perf_buffer_fd<'b>(buffer: &'b PerfBuffer<'_>) -> BorrowedFd<'b> {
    // SAFETY: it is open for as long as the buffers are.
    unsafe { BorrowedFd::borrow_raw(buffer.epoll_fd()) }
}

/// Has the kernel measure the run time of all BPF programs until the descriptor is closed.
pub fn enable_run_time_stats() -> io::Result<OwnedFd> {
    use libbpf_rs::libbpf_sys::{BPF_STATS_RUN_TIME, bpf_enable_stats};
    // SAFETY: it takes a number, and returns a descriptor that nobody else has, or an error as a negative number.
    match unsafe { bpf_enable_stats(BPF_STATS_RUN_TIME) } {
        error if error < 0 => Err(io::Error::from_raw_os_error(-error)),
        file => Ok(unsafe { OwnedFd::from_raw_fd(file) }),
    }
}

/// Does the kernel accept an iterator of that type?
#[must_use]
pub fn loads_iterator(name: &CStr) -> bool {
    use libbpf_rs::libbpf_sys::{
        BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER, bpf_insn, bpf_prog_load, bpf_prog_load_opts,
        libbpf_find_vmlinux_btf_id,
    };
    // SAFETY: the name ends in NUL.
    let id = unsafe { libbpf_find_vmlinux_btf_id(name.as_ptr(), BPF_TRACE_ITER) };
    let Ok(attach_btf_id) = u32::try_from(id) else { return false };
    let mut options = bpf_prog_load_opts {
        sz: size_of::<bpf_prog_load_opts>() as _,
        expected_attach_type: BPF_TRACE_ITER,
        attach_btf_id,
        attempts: 1,
        ..Default::default()
    };
    // r0 = 0; exit
    let program = [0xb7, 0x95].map(|code| bpf_insn { code, ..Default::default() });
    let (load, license) = (bpf_prog_load, c"GPL");
    // SAFETY: all that it is given outlives the call; what it returns is a descriptor that nobody else has, or an error.
    unsafe {
        let file = load(
            BPF_PROG_TYPE_TRACING,
            std::ptr::null(),
            license.as_ptr(),
            program.as_ptr(),
            program.len() as _,
            &raw mut options,
        );
        if file >= 0 {
            drop(OwnedFd::from_raw_fd(file));
        }
        file >= 0
    }
}

/// A map key's or value's bytes.
pub fn bytes<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: a Plain type has no padding here (see above), so all its bytes are initialised; the lifetime is `value`'s.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// The command begins with what we began with, and not with what we changed for ourselves; and it is sent SIGTERM should we
/// end in a way that leaves us no time for it (SIGKILL).
pub fn start_as_inherited(
    command: &mut Command,
    blocked: SigSet,
    ignored: &[Signal],
    files: Option<Rlimit>,
) {
    let ignored = ignored.to_vec();
    let before_exec = move || {
        set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
        if let Some(files) = files {
            setrlimit(Resource::Nofile, files)?;
        }
        for &ignored in &ignored {
            // SAFETY: SIG_IGN is no function that could do harm.
            unsafe { signal(ignored, SigHandler::SigIgn)? };
        }
        blocked.thread_set_mask()?;
        Ok(())
    };
    // SAFETY: it makes system calls only, all of which may be made between fork and exec, and does not allocate.
    unsafe { command.pre_exec(before_exec) };
}
