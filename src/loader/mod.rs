//! Loads the programs into the kernel: configure, load, fill the filter maps, attach. One attempt per variant of the plan.

pub mod code;
pub mod files;
pub mod filters;
pub mod gate;
mod iterator;
pub mod live;
mod log;
mod memory;
pub mod plan;
mod predicate;
mod refused;
mod sizes;
pub mod summaries;
mod types;

use std::collections::HashSet;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};

use anyhow::{Context, Result, anyhow, bail};
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use libbpf_rs::{Link, MapCore, MapFlags, OpenObject, ProgramInput, ProgramMut};

use self::iterator::run;
pub use self::log::set_log;
pub use self::plan::{Plan, Program, Role, Variant};
pub use self::refused::Refused;
pub use self::types::CoreTypes;
use crate::config::{Config, Reader, Transport};
use crate::events::Tracker;
use crate::events::fields::RecordLayout;
use crate::kernel;
use crate::predicate::Compiled;
use crate::skel::{Cpu, Filter, OpenTccTraceSkel, TccTraceSkel, TccTraceSkelBuilder};
use crate::stdio;

/// Of either transport: large enough for the reader to be off the CPU for tens of ms at full loopback rate.
pub const DEFAULT_BUFFER: u32 = 8 << 20;
/// The fill level of a buffer that is large enough is looked at every 16 records of a CPU.
const LOOK_MASK: u32 = 15;
/// Of the ring buffer, the part that packets leave to rarer events: their loss would be felt more.
const RARE_PART: u32 = 8;
/// A record's length in bytes, at most.
const LONGEST: u32 = 2048;
/// The smallest buffer that the kernel accepts.
const PAGE: u32 = 4096;

/// Reads the kernel's clock.
pub const KERNEL_CLOCK: &str = "kernel_clock";
/// The values of `scans`, and the most subflows of a connection: see `mptcp.bpf.h`.
const SCAN_TURN: u32 = 0;
const SCAN_MORE: u32 = 1;
const MAX_SUBFLOWS: u32 = 9;

/// The loaded programs.
pub struct Loaded<'o> {
    pub skel: TccTraceSkel<'o>,
}

/// The ring buffer's size, or that of all perf buffers, rounded up to what the kernel accepts.
#[must_use]
pub fn buffer_size(requested: Option<u32>) -> u32 {
    requested.unwrap_or(DEFAULT_BUFFER).clamp(PAGE, 1 << 30).next_power_of_two()
}

/// Loads one variant. `layout`: of the records of `probe`; `filter`: the kernel's part of --where.
pub fn load<'o>(
    storage: &'o mut MaybeUninit<OpenObject>,
    types: &CoreTypes,
    config: &Config,
    plan: &Plan,
    variant: &Variant,
    layout: &RecordLayout,
    filter: Option<&Compiled>,
) -> Result<Loaded<'o>> {
    let open = open_variant(storage, types, config, plan, variant, layout, filter)?;
    log::take_rejected();
    let skel = open.load().map_err(|error| {
        Refused(match log::take_rejected() {
            Some(what) => format!("the kernel rejected {what}: {error:#}"),
            None => format!("cannot load the BPF programs: {error:#}"),
        })
    })?;
    filters::fill(&skel, config)?;
    let loaded = Loaded { skel };
    variant.programs.iter().try_for_each(|program| loaded.link_fallback(program))?;
    Ok(loaded)
}

/// Opens one variant: its programs, maps and constants as they will be loaded.
pub fn open_variant<'o>(
    storage: &'o mut MaybeUninit<OpenObject>,
    types: &CoreTypes,
    config: &Config,
    plan: &Plan,
    variant: &Variant,
    layout: &RecordLayout,
    filter: Option<&Compiled>,
) -> Result<OpenTccTraceSkel<'o>> {
    let mut open = open(storage, types)?;
    configure(&mut open, config, plan, variant, layout)?;
    if let (Some(filter), Some(rodata)) = (filter, open.maps.rodata_data.as_deref_mut()) {
        predicate::set(&mut rodata.where_terms, &mut rodata.where_start, filter);
    }
    Ok(open)
}

fn open<'o>(
    storage: &'o mut MaybeUninit<OpenObject>,
    types: &CoreTypes,
) -> Result<OpenTccTraceSkel<'o>> {
    let mut builder = TccTraceSkelBuilder::default();
    if let Some(path) = types.path() {
        builder.obj_builder.btf_custom_path(path).context("--btf")?;
    }
    builder.open(storage).context("cannot open the BPF object")
}

impl Loaded<'_> {
    /// Gives a fallback the program that it calls.
    fn link_fallback(&self, of: &Program) -> Result<()> {
        if of.fallback.is_none() {
            return Ok(());
        }
        let name = format!("{}_first", of.tracepoint);
        let map = self.skel.object().maps().find(|map| *map.name() == *name);
        let (Some(map), Some(first)) = (map, program(&self.skel, &of.name)) else {
            bail!("no program {} or map {name}", of.name);
        };
        let fd = first.as_fd().as_raw_fd().to_ne_bytes();
        map.update(&0_u32.to_ne_bytes(), &fd, MapFlags::ANY)
            .map_err(|error| anyhow!(Refused(format!("cannot link {}: {error:#}", of.name))))
    }

    /// Attaches the programs in that order, each with its fallback behind it. Dropping a link detaches its program.
    pub fn attach<'p>(&self, programs: impl IntoIterator<Item = &'p Program>) -> Result<Vec<Link>> {
        let mut links = Vec::new();
        for Program { name, role, fallback, .. } in programs {
            for name in [Some(name), fallback.as_ref()].into_iter().flatten() {
                let program =
                    program(&self.skel, name).ok_or_else(|| anyhow!("no program {name}"))?;
                match program.attach() {
                    Ok(link) => links.push(link),
                    // Only cookies depend on it, and perf events may be forbidden even where BPF programs are not.
                    Err(error) if *role == Role::Cookies => stdio::print_line(&format!(
                        "note: cannot attach {name}: {error:#}; `cookie` is null for sockets without one"
                    )),
                    Err(error) => bail!(Refused(format!("cannot attach {name}: {error:#}"))),
                }
            }
        }
        Ok(links)
    }

    /// Runs an iterator over all open files.
    pub fn scan(&self, name: &str) -> Result<()> {
        let program = program(&self.skel, name).ok_or_else(|| anyhow!("no program {name}"))?;
        self.run(&program, name).map(drop)
    }

    /// Runs an iterator over sockets, once more for each further subflow that an MPTCP connection has.
    fn run(&self, program: &ProgramMut<'_>, name: &str) -> Result<Vec<u8>> {
        let scans = &self.skel.maps.scans;
        let set = |of: u32, value: u32| {
            scans
                .update(&of.to_ne_bytes(), &value.to_ne_bytes(), MapFlags::ANY)
                .context("cannot scan")
        };
        let mut written = Vec::new();
        for turn in 0..MAX_SUBFLOWS {
            set(SCAN_TURN, turn)?;
            set(SCAN_MORE, 0)?;
            written.append(&mut run(program, name)?);
            let more =
                scans.lookup(&SCAN_MORE.to_ne_bytes(), MapFlags::ANY).context("cannot scan")?;
            if more.is_none_or(|more| more == [0; 4]) {
                break;
            }
        }
        Ok(written)
    }

    /// A snapshot of all processes' connections: concatenated records.
    pub fn conn_snapshots(&self) -> Result<Vec<u8>> {
        self.run(&self.skel.progs.conn_snapshot_iter, "conn_snapshot_iter")
    }

    /// The accounts of all processes' connections: concatenated records.
    pub fn limits_snapshots(&self) -> Result<Vec<u8>> {
        self.run(&self.skel.progs.limits_iter, plan::LIMITS_SCAN)
    }

    /// Finds the connections that are open, for `observe`.
    pub fn observe_scan(&self) -> Result<()> {
        self.run(&self.skel.progs.observe_scan_iter, plan::OBSERVE_SCAN).map(drop)
    }

    /// Adds what all connections have transferred since the last time. With `export --top` it writes them: concatenated records.
    pub fn observe_read(&self, connections: &mut Vec<u8>) -> Result<()> {
        let (progs, maps) = (&self.skel.progs, &self.skel.maps);
        if progs.observe_iter.autoload() {
            let (program, map) = (&progs.observe_iter, &maps.observed_conns);
            return iterator::run_over(program, plan::OBSERVE_READ, map.as_fd(), connections);
        }
        connections.clear();
        // The walk begins again at a key that was removed meanwhile.
        let keys: HashSet<Vec<u8>> = maps.observed_conns.keys().collect();
        for mut key in keys {
            let input = ProgramInput { context_in: Some(&mut key), ..ProgramInput::default() };
            let read = progs.observe_one.test_run(input).context("cannot read connections")?;
            if read.return_value == 1 && maps.observe_top.autocreate() {
                let top = maps.observe_top.lookup(&0_u32.to_ne_bytes(), MapFlags::ANY);
                connections.extend(top.context("cannot read connections")?.unwrap_or_default());
            }
        }
        Ok(())
    }

    /// The kernel's clock, which the records use.
    pub fn kernel_ns(&self) -> Result<u64> {
        const ERROR: &str = "cannot read the kernel's clock";
        let skel = &self.skel;
        skel.progs.kernel_clock.test_run(ProgramInput::default()).context(ERROR)?;
        let time = skel.maps.kernel_time.lookup(&0_u32.to_ne_bytes(), MapFlags::ANY);
        let time = time.context(ERROR)?.and_then(|bytes| bytes.try_into().ok());
        time.map(u64::from_ne_bytes).context(ERROR)
    }

    /// A snapshot of all processes' listening sockets: concatenated records.
    pub fn listeners(&self) -> Result<Vec<u8>> {
        run(&self.skel.progs.listen_iter, plan::LISTEN_SCAN)
    }

    /// How often the owner of a sample was unknown so far.
    pub fn owner_scan_requests(&self) -> u32 {
        let requests = &self.skel.maps.owner_scan_requests;
        let value = requests.lookup(&0_u32.to_ne_bytes(), MapFlags::ANY).ok().flatten();
        value.and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes)
    }

    /// How often the kernel skipped the program because it was already running on that CPU, and no fallback ran in its place;
    /// 0 if the kernel does not count it.
    #[must_use]
    pub fn recursion_misses(&self, program: &Program, cpus: &[Cpu]) -> u64 {
        self.skipped(&program.name).saturating_sub(program.caught(cpus))
    }

    fn skipped(&self, name: &str) -> u64 {
        let Some(program) = program(&self.skel, name) else {
            return 0;
        };
        let info =
            std::fs::read_to_string(format!("/proc/self/fdinfo/{}", program.as_fd().as_raw_fd()));
        let info = info.unwrap_or_default();
        let line = info.lines().find_map(|line| line.strip_prefix("recursion_misses:"));
        line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }
}

fn program<'a>(skel: &'a TccTraceSkel<'_>, name: &str) -> Option<ProgramMut<'a>> {
    skel.object().progs_mut().find(|program| program.name() == name)
}

fn configure(
    open: &mut OpenTccTraceSkel<'_>,
    config: &Config,
    plan: &Plan,
    variant: &Variant,
    layout: &RecordLayout,
) -> Result<()> {
    let ring = plan.transport == Transport::RingBuf;
    let size = buffer_size(config.kernel_options.buffer_size);
    let limits = &config.limits;
    let rodata = open
        .maps
        .rodata_data
        .as_deref_mut()
        .ok_or_else(|| anyhow!("the BPF object has no rodata"))?;
    let cfg = &mut rodata.cfg;
    // What may arrive on all CPUs between two looks at the fill level.
    let cpus = u32::try_from(libbpf_rs::num_possible_cpus()?).unwrap_or(u32::MAX);
    let unseen = cpus.saturating_mul(LOOK_MASK * LONGEST);
    cfg.every_ns =
        limits.every.map_or(0, |every| u64::try_from(every.as_nanos()).unwrap_or(u64::MAX));
    if let Some(rate) = limits.rate {
        (cfg.rate_interval_ns, cfg.rate_burst_ns) = (rate.interval_ns, rate.burst_ns);
    }
    if let Some(rate) = limits.rate_per_conn {
        (cfg.conn_rate_interval_ns, cfg.conn_rate_burst_ns) = (rate.interval_ns, rate.burst_ns);
    }
    cfg.min_ns = config
        .event_filters
        .min_duration
        .map_or(0, |duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    cfg.failed_only = config.event_filters.failed.into();
    cfg.us_per_jiffy_q16 = kernel::us_per_jiffy_q16();
    cfg.hz = kernel::hz();
    cfg.sample = limits.sample.unwrap_or(0);
    cfg.wake_bytes = size / 4;
    cfg.wake_mask = if size / 2 >= unseen { LOOK_MASK } else { 0 };
    cfg.filters = filters::mask(&config.filters);
    if !config.command.is_empty() {
        cfg.filters |= Filter::TCC_FILTER_TRACED_PIDS.0;
    }
    if let Some(ends) = &config.filters.follow {
        filters::set_follow(cfg, ends);
    }
    cfg.ringbuf = ring.into();
    cfg.probe_len = layout.record_len();
    cfg.fields = layout.offsets();
    cfg.on_change = limits.on_change.into();
    cfg.track_conn = plan.track_conn.into();
    cfg.track_owner = plan.track_owner.into();
    cfg.key_by_cookie = (variant.reader == Reader::Record).into();
    summaries::set(cfg, config.summary.as_ref());
    cfg.cookie_helper = plan.cookie_helper.into();
    cfg.tcp_sock_type = plan.tcp_sock_type.unwrap_or(0);
    cfg.keep_gone = (plan.track_owner && variant.has("reset_sent")).into();
    cfg.sees_returns = variant.hooks("sys_exit").into();
    cfg.inferred = variant.inferred.into();
    cfg.skips_nested = plan.skips_nested.into();
    cfg.sees_writes = variant.hooks("tcp_sendmsg_locked").into();
    cfg.mainline_bbr = plan.mainline_bbr.into();
    cfg.trackers = variant.trackers.iter().fold(0, |bits, tracker| bits | tracker.bit());
    cfg.gated = config.gate.is_some().into();
    // Nothing is set aside if there are no others.
    let has_rare = variant.event_types().any(|of| !of.is_per_packet());
    cfg.yield_bytes = size - size / RARE_PART;
    for event_type in variant.event_types() {
        if let Some(actions) = cfg.actions.get_mut(usize::from(event_type.number)) {
            let yields = has_rare && event_type.is_per_packet();
            *actions = summaries::action_bits(config.actions, yields);
        }
    }
    let trigger = config.summary.as_ref().and_then(|summary| summary.rows.observe()?.trigger);
    if let Some(trigger) = trigger {
        cfg.trigger = 1;
        cfg.before = trigger.before;
        cfg.after_ns = u64::try_from(trigger.after.as_nanos()).unwrap_or(u64::MAX / 2);
    }
    cfg.stack = config.output.stack.into();
    filters::set_ports(&mut rodata.ports_either, &config.filters.port);
    filters::set_ports(&mut rodata.ports_local, &config.filters.lport);
    filters::set_ports(&mut rodata.ports_peer, &config.filters.rport);

    sizes::set(open, config, plan, variant, trigger, layout.record_len())?;
    for mut program in open.open_object_mut().progs_mut() {
        let name = program.name().to_string_lossy().into_owned();
        let wanted = variant.program_names().any(|program| program == name)
            || name == KERNEL_CLOCK
            || (plan.scan_owners && name == plan::OWNER_SCAN)
            || (plan.list_open && name == plan::OPEN_SCAN)
            || (plan.listen_snapshots && name == plan::LISTEN_SCAN)
            || (config.summary.as_ref().is_some_and(|s| s.aggregate.reads_connections())
                && name == "conn_snapshot_iter")
            || (config.summary.as_ref().is_some_and(|s| s.aggregate.reads_limits())
                && name == plan::LIMITS_SCAN)
            || (variant.tracks(Tracker::Observed)
                && (name == plan::OBSERVE_SCAN || name == plan.observe_read()));
        program.set_autoload(wanted);
    }
    Ok(())
}
