//! Evictions from the maps that keep state between events (entries.bpf.h).

use anyhow::{Context, Result};
use libbpf_rs::{MapCore, MapFlags};

use crate::accounting::Evicted;
use crate::events::tcp_probe::copy;
use crate::skel::{Entries, EntryCounts, TccTraceSkel};

/// Number of entries evicted from full maps.
pub fn evicted(skel: &TccTraceSkel<'_>) -> Result<Evicted> {
    read(skel).context("cannot read the numbers of map entries")
}

fn read(skel: &TccTraceSkel<'_>) -> Result<Evicted> {
    let maps = &skel.maps;
    let cpus = maps.entry_counts.lookup_percpu(&0_u32.to_ne_bytes(), MapFlags::ANY)?;
    let cpus: Vec<EntryCounts> = cpus.unwrap_or_default().iter().filter_map(|n| copy(n)).collect();
    let of = |map: &dyn MapCore, entries: fn(&EntryCounts) -> &Entries| {
        let of_cpus = cpus.iter().map(entries);
        let (made, removed) =
            of_cpus.fold((0, 0), |(made, removed), n| (made + n.made, removed + n.removed));
        missing(map, made.saturating_sub(removed))
    };
    let processes = maps.traced_pids_refused.lookup(&0_u32.to_ne_bytes(), MapFlags::ANY)?;
    let processes = processes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes);
    Ok(Evicted {
        processes: processes.into(),
        conns: of(&maps.conns, |all| &all.conns),
        listeners: of(&maps.listeners, |all| &all.listeners),
        accepting: of(&maps.accepting, |all| &all.accepting),
        zero_windows: of(&maps.zero_windows, |all| &all.zero_windows),
        spurious_states: of(&maps.spurious_states, |all| &all.spurious_states),
        ca_state_times: of(&maps.ca_state_times, |all| &all.ca_state_times),
        synacks: of(&maps.synacks, |all| &all.synacks),
        queued_packets: of(&maps.queued_packets, |all| &all.queued_packets),
        closed_conns: of(&maps.closed_conns, |all| &all.closed_conns),
        listen_states: of(&maps.listen_states, |all| &all.listen_states),
        limits_conns: of(&maps.limits_conns, |all| &all.limits_conns),
    })
}

/// Entries that were inserted, not deleted, and are not in the map.
fn missing(map: &dyn MapCore, kept: u64) -> u64 {
    let size = u64::from(map.max_entries());
    // Far from full, so nothing was evicted.
    if kept <= size / 2 {
        return 0;
    }
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    kept.saturating_sub(map.keys().take(size).count() as u64)
}
