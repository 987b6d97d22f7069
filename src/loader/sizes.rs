//! The sizes of the maps, which depend on the options.

use anyhow::{Result, bail};

use super::{Plan, Variant, filters, memory, summaries};
use crate::config::summary::Trigger;
use crate::config::{Config, Transport, Usage};
use crate::events::Tracker;
use crate::skel::OpenTccTraceSkel;
use crate::stdio;

/// Connections tracked at a time, for owners, limits and times.
const CONNECTIONS: u32 = 65_536;
/// The fewest that --max-map-bytes leaves.
const FEWEST_CONNECTIONS: u32 = 1_024;
const LISTENERS: u32 = 8_192;
const PROCESSES: u32 = 16_384;
/// The highest number of process IDs (PID_MAX_LIMIT).
const MAX_PROCESSES: u32 = 4 << 20;
/// Threads at a time whose connect() has failed but not returned.
const FAILED_CALLS: u32 = 256;
/// Handshakes at a time with a retransmitted SYN-ACK.
const SYNACKS: u32 = 8_192;
/// Sockets at a time that are open but whose connection is closed.
const CLOSED: u32 = 16_384;
/// Packets at a time between TCP and the drivers; and, of those with several segments, blocks of 8 KiB.
const QUEUED: u32 = 16_384;
const UNCUT: u32 = 16_384;
/// Queued packets for each connection of --max-conns.
const PACKETS_EACH: u32 = 16;

/// Threads at a time whose marks are kept (see `marks.bpf.h`), and how many at least for each CPU: kernels before 6.16
/// (d4adf1c9ee77) set entries of LRU maps aside for each.
const THREADS: u32 = 4_096;
const THREADS_PER_CPU: u32 = 256;

/// Sets all of them. Within --max-map-bytes there may be room for fewer connections than by default.
pub fn set(
    open: &mut OpenTccTraceSkel<'_>,
    config: &Config,
    plan: &Plan,
    variant: &Variant,
    trigger: Option<Trigger>,
    probe_len: u16,
) -> Result<()> {
    let options = &config.kernel_options;
    let wanted = options.max_conns.unwrap_or(CONNECTIONS);
    let mut connections = wanted;
    loop {
        set_maps(open, config, plan, variant, connections)?;
        set_trigger(open, trigger, probe_len, connections)?;
        let Some(most) = options.max_map_bytes else { return Ok(()) };
        let maps = memory::of(open)?;
        let bytes: u64 = maps.iter().map(|(bytes, _)| bytes).sum();
        if bytes <= most {
            break;
        }
        if options.max_conns.is_some() || connections <= FEWEST_CONNECTIONS {
            bail!(Usage(memory::too_large(most, bytes, &maps, connections)));
        }
        connections = (connections / 2).max(FEWEST_CONNECTIONS);
    }
    if connections < wanted && !config.output.quiet {
        stdio::print_line(&format!(
            "note: --max-map-bytes: room for {connections} connections instead of {wanted}"
        ));
    }
    Ok(())
}

/// Those of --trigger, which follow from the length of a sample.
fn set_trigger(
    open: &mut OpenTccTraceSkel<'_>,
    trigger: Option<Trigger>,
    probe_len: u16,
    connections: u32,
) -> Result<()> {
    let maps = &mut open.maps;
    maps.trigger_conns.set_autocreate(trigger.is_some())?;
    maps.trigger_empty.set_autocreate(trigger.is_some())?;
    maps.trigger_busy.set_autocreate(trigger.is_some())?;
    if let Some(trigger) = trigger {
        maps.trigger_conns.set_max_entries(trigger.connections(probe_len).min(connections))?;
        maps.trigger_conns.set_value_size(trigger.bytes(probe_len))?;
        maps.trigger_empty.set_value_size(trigger.bytes(probe_len))?;
    }
    Ok(())
}

/// The others, and which transport there is.
fn set_maps(
    open: &mut OpenTccTraceSkel<'_>,
    config: &Config,
    plan: &Plan,
    variant: &Variant,
    connections: u32,
) -> Result<()> {
    let ring = plan.transport == Transport::RingBuf;
    summaries::size(open, config.summary.as_ref(), connections)?;
    let maps = &mut open.maps;
    maps.task_marks.set_autocreate(plan.skips_nested)?;
    let cpus = u32::try_from(libbpf_rs::num_possible_cpus()?).unwrap_or(u32::MAX);
    maps.task_marks.set_max_entries(THREADS.max(cpus.saturating_mul(THREADS_PER_CPU)))?;
    maps.gate.set_autocreate(config.gate.is_some())?;
    maps.gate.set_max_entries(config.gate.unwrap_or(1))?;
    maps.events_ring.set_autocreate(ring)?;
    maps.events_perf.set_autocreate(!ring)?;
    maps.events_ring.set_max_entries(super::buffer_size(config.kernel_options.buffer_size))?;
    if plan.track_conn {
        maps.conns.set_max_entries(connections)?;
    }
    if variant.tracks(Tracker::SynackTime) {
        maps.synacks.set_max_entries(SYNACKS.min(connections))?;
    }
    if variant.tracks(Tracker::Closed) {
        maps.closed_conns.set_max_entries(CLOSED.min(connections))?;
    }
    if variant.has("accept") {
        maps.accepting.set_max_entries(PROCESSES.min(connections))?;
    }
    maps.failed_calls.set_max_entries(FAILED_CALLS)?;
    if variant.has("zero_window") {
        maps.zero_windows.set_max_entries(connections)?;
    }
    if variant.has("spurious") {
        maps.spurious_states.set_max_entries(connections)?;
    }
    if variant.has("queue") {
        let packets = QUEUED.min(connections.saturating_mul(PACKETS_EACH));
        maps.queued_packets.set_max_entries(packets)?;
        maps.uncut_packets.set_max_entries(UNCUT)?;
    }
    if variant.tracks(Tracker::Limits) {
        maps.limits_conns.set_max_entries(connections)?;
    }
    if plan.track_owner {
        maps.listeners.set_max_entries(LISTENERS.min(connections))?;
    }
    if variant.has("listen_drop") {
        maps.listen_states.set_max_entries(LISTENERS.min(connections))?;
    }
    if !config.command.is_empty() {
        let processes = config.kernel_options.max_conns.unwrap_or(PROCESSES).min(MAX_PROCESSES);
        // One entry is for the tracer itself.
        maps.traced_pids.set_max_entries(processes + 1)?;
    }
    let (values, addrs) = filters::sizes(&config.filters);
    maps.filter_values.set_max_entries(values)?;
    maps.filter_addrs.set_max_entries(addrs)?;
    Ok(())
}
