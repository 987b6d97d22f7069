//! What a trace itself costs.

use serde::{Deserialize, Serialize};

documented! {
/// What the trace itself has cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OwnCost {
    /// CPU time of tcc-trace in user mode (ru_utime), from its start.
    pub cpu_user_us: u64,
    /// CPU time of tcc-trace in the kernel (ru_stime), from its start. Without that of its programs, which run in the context of
    /// others.
    pub cpu_system_us: u64,
    /// The most memory that the process has had resident at a time (VmHWM).
    pub rss_max_bytes: u64,
    /// Kernel memory of all maps, the event buffer among them, as the kernel accounts for it (memlock).
    pub maps_bytes: u64,
    /// Time that the programs have run, on all CPUs. Null unless the kernel measures it (`--bpf-stats`).
    pub programs_run_time_ns: Option<u64>,
    /// How often they have run. Null as for `programs_run_time_ns`.
    pub programs_run_cnt: Option<u64>,
}
}

impl OwnCost {
    /// `own cost: …`
    #[must_use]
    pub fn line(&self) -> String {
        format!("own cost: {}", self.parts())
    }

    /// `0.42 s of CPU (0.30 user + 0.12 system), 13.1 MB resident at most, 27.0 MB in BPF maps`
    #[must_use]
    pub fn parts(&self) -> String {
        let seconds = |us: u64| format!("{}.{:02}", us / 1_000_000, us % 1_000_000 / 10_000);
        let mb = |bytes: u64| format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000);
        let mut line = format!(
            "{} s of CPU ({} user + {} system), {} resident at most, {} in BPF maps",
            seconds(self.cpu_user_us + self.cpu_system_us),
            seconds(self.cpu_user_us),
            seconds(self.cpu_system_us),
            mb(self.rss_max_bytes),
            mb(self.maps_bytes)
        );
        if let (Some(ns), Some(runs)) = (self.programs_run_time_ns, self.programs_run_cnt) {
            let each = ns.checked_div(runs).unwrap_or(0);
            line += &format!(
                "; its programs ran {runs} times for {} s, {each} ns each",
                seconds(ns / 1000)
            );
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_what_is_known() {
        let cost = OwnCost {
            cpu_user_us: 300_000,
            cpu_system_us: 125_000,
            rss_max_bytes: 13_150_000,
            maps_bytes: 27_000_000,
            ..OwnCost::default()
        };
        let line = "own cost: 0.42 s of CPU (0.30 user + 0.12 system), 13.1 MB resident at most, 27.0 MB in BPF maps";
        assert_eq!(cost.line(), line);
        let measured = OwnCost {
            programs_run_time_ns: Some(25_000_000),
            programs_run_cnt: Some(125_000),
            ..cost
        };
        assert_eq!(
            measured.line(),
            format!("{line}; its programs ran 125000 times for 0.02 s, 200 ns each")
        );
    }
}
