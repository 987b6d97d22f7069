//! What tcc-trace itself costs, as the kernel accounts for it.

use std::fs;
use std::os::fd::OwnedFd;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use super::output;
use crate::accounting::OwnCost;
use crate::skel;

/// Has the kernel measure the run time of BPF programs, for as long as the descriptor is open.
pub(super) fn measure_programs() -> Option<OwnedFd> {
    match skel::enable_run_time_stats() {
        Ok(file) => Some(file),
        Err(error) => {
            output::print_line(&format!(
                "warning: --bpf-stats: the kernel does not measure run times: {error}; this needs CAP_SYS_ADMIN"
            ));
            None
        }
    }
}

/// The cost so far.
pub(super) fn read(measured: bool) -> OwnCost {
    let mut cost = OwnCost { rss_max_bytes: rss_max_bytes(), ..OwnCost::default() };
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        cost.cpu_user_us = micros(usage.user_time());
        cost.cpu_system_us = micros(usage.system_time());
    }
    let (mut run_time_ns, mut run_cnt) = (0, 0);
    for info in open_files() {
        if number(&info, "map_type:").is_some() {
            cost.maps_bytes += number(&info, "memlock:").unwrap_or(0);
        }
        run_time_ns += number(&info, "run_time_ns:").unwrap_or(0);
        run_cnt += number(&info, "run_cnt:").unwrap_or(0);
    }
    // Another may have asked for it, too (kernel.bpf_stats_enabled).
    if measured || run_cnt > 0 {
        cost.programs_run_time_ns = Some(run_time_ns);
        cost.programs_run_cnt = Some(run_cnt);
    }
    cost
}

fn micros(time: TimeVal) -> u64 {
    u64::try_from(time.tv_sec() * 1_000_000 + time.tv_usec()).unwrap_or(0)
}

/// What the kernel says of each open file of this process, its maps and programs among them.
fn open_files() -> impl Iterator<Item = String> {
    let files = fs::read_dir("/proc/self/fdinfo").into_iter().flatten();
    files.filter_map(|file| fs::read_to_string(file.ok()?.path()).ok())
}

/// Not ru_maxrss, which begins with that of the program that has started this one.
fn rss_max_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    number(&status, "VmHWM:").unwrap_or(0) * 1024
}

/// The first word of the line that begins with that.
fn number(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
