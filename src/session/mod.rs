//! One trace: plans it from the options and the kernel's features, and tries the plan's variants until one runs.

mod account;
mod addresses;
mod announce;
mod assertions;
pub mod child;
pub mod columns;
mod command;
mod destinations;
mod directory;
pub mod environment;
pub mod event_loop;
mod export;
mod flight;
mod follow;
mod growth;
pub mod header;
mod listen;
pub mod output;
mod own_cost;
mod parts;
pub mod priority;
pub mod recorder;
pub(crate) mod replay;
pub mod scan;
mod service;
pub mod signals;
mod time;
mod trace;

use std::cell::{Cell, RefCell};
use std::mem::MaybeUninit;
use std::path::Path;

use anyhow::{Result, anyhow, bail};

pub use self::parts::utc;

use self::columns::Selection;
use self::export::Exporter;
use self::growth::Shown;
use self::recorder::RecordingFile;
use self::signals::Signals;
use self::trace::Trace;
use crate::anonymize::{self, Anonymizer, Key};
use crate::config::summary::{Metric, Observe};
use crate::config::{Config, Fields, Transport, Usage};
use crate::events::fields::RecordLayout;
use crate::events::{EventType, ca_mainline};
use crate::kernel::{self, KERNEL_BTF, Kernel, Rights};
use crate::loader::live::{possible_cpus, whole_size};
use crate::loader::plan::{KernelFeatures, Refusal, Request, missing_events, missing_hooks, plan};
use crate::loader::{self, CoreTypes, Refused, files};
use crate::predicate::Compiled;
use crate::privilege;
use crate::summary;
use crate::table::summary::AggregateType;

/// Traces those event types. The exit status is the command's, if one was run.
pub fn run(config: &Config, event_types: &[&'static EventType]) -> Result<u8> {
    if config.read.is_wanted() {
        return replay::run(config, event_types);
    }
    run_on(Kernel::new(config.kernel_options.btf.as_deref()), config, event_types)
}

/// The same on a kernel whose BTF was read already: parsing it takes a noticeable part of the startup time.
pub fn run_on(kernel: Kernel, config: &Config, event_types: &[&'static EventType]) -> Result<u8> {
    let signals = Signals::start()?;
    // The verifier's messages contain kernel addresses.
    loader::set_log(config.output.verbose && !privilege::elevated());
    // Usage errors come first, and need no privileges.
    let selection = if prints_events(config) {
        columns::select(event_types, &config.output, |member| kernel.has_member(member))?
    } else {
        // Tables of sockets have their owners.
        let owner =
            config.summary.as_ref().is_some_and(|summary| !summary.aggregate.counts_events());
        Selection { owner, ..Selection::default() }
    };
    let mut selection = selection;
    if let Some(predicate) = &config.predicate {
        let checked = predicate.check(event_types, None)?;
        event_types.iter().for_each(|of| selection.read(of, &checked.columns(of)));
    }
    let trigger = config.output.trigger();
    if let Some(trigger) = trigger {
        let checked = trigger.check(event_types, None)?;
        event_types.iter().for_each(|of| selection.read(of, &checked.columns(of)));
    }
    if let Some(all) = &config.assertions {
        assertions::select(all, event_types, &mut selection)?;
    }
    check_limits(config, event_types)?;
    let request = request(config, event_types, &selection);
    let plan = plan(&request, &features(&kernel, &request));
    if let Err(Refusal::Usage(text)) = plan {
        bail!(Usage(text));
    }
    let namespace =
        privilege::in_user_namespace().map(|why| format!("; {why}")).unwrap_or_default();
    Rights::current().check().map_err(|why| anyhow!("{why}{namespace}"))?;
    possible_cpus().map_err(|why| anyhow!(why))?;
    kernel.btf().map_err(|why| anyhow!(why))?;
    priority::check(config.kernel_options.nice)?;
    let plan = plan.map_err(|refusal| anyhow!(refusal.text().to_owned()))?;
    if let Some(requested) = config.kernel_options.buffer_size
        && !config.output.quiet
        && let size = whole_size(plan.transport, Some(requested))
        && size != requested as usize
    {
        let why = match plan.transport {
            Transport::RingBuf => "a power of two of at least one page",
            Transport::PerfBuf => "a power of two of pages for each CPU",
        };
        output::print_line(&format!("note: --buffer-size {requested} rounded to {size} ({why})"));
    }

    if !config.filters.pid.is_empty() && !kernel::in_host_pid_namespace() && !config.output.quiet {
        output::print_line("note: --pid takes process IDs of the host, not of this PID namespace");
    }
    let core_types = CoreTypes::new(&kernel);
    let environment = environment::live(config, event_types, &selection, &kernel, &core_types);
    let filter = match &config.predicate {
        Some(predicate) => {
            let checked = predicate.check(event_types, Some(&environment.types))?;
            let compiled = checked.compile(event_types, &environment);
            let whole = config.summary.as_ref().and_then(|summary| summary.rows.observe());
            if let Some(option) = whole.and_then(|observe| observe.condition)
                && let Some((event_type, condition, why)) = compiled.beyond_kernel(&checked)
            {
                bail!(Usage(format!(
                    "{option}: the kernel cannot decide `{condition}` for {} events: {why}; record with -w, and use --where with -r",
                    event_type.name
                )));
            }
            Some(compiled)
        }
        None => None,
    };
    let trigger = match trigger {
        Some(trigger) => {
            let checked = trigger.check(event_types, Some(&environment.types))?;
            Some(Compiled::in_user_space(&checked, &environment))
        }
        None => None,
    };
    let recording = config.output.recording.as_ref().map(RecordingFile::open).transpose()?;
    let key = config.anonymize.as_ref().map(anonymize::Options::load).transpose()?;
    let outputs = destinations::open(&config.output, signals, &[])?;
    recording.iter().try_for_each(RecordingFile::empty)?;
    if recording.as_ref().is_some_and(RecordingFile::is_flight) {
        signals.seal_by_usr2();
    }
    if config.export.as_ref().is_some_and(|export| export.reload.is_some()) {
        signals.reload_by_hup();
    }
    let exporter = Exporter::open(config, &environment)?;
    // Frees its BTF of several megabytes.
    drop(kernel);
    let bpf_stats = config.kernel_options.bpf_stats.then(own_cost::measure_programs).flatten();
    let mut refused: Vec<String> = Vec::new();
    for variant in &plan.variants {
        let mut storage = MaybeUninit::uninit();
        let started = loader::load(
            &mut storage,
            &core_types,
            config,
            &plan,
            variant,
            &environment.layout,
            filter.as_ref(),
        )
        .and_then(|loaded| {
            // If none works they are part of the error instead.
            for why in refused.drain(..).filter(|_| !config.output.quiet) {
                output::print_line(&format!("note: reader {why}"));
            }
            Trace {
                config,
                plan: &plan,
                variant,
                selection: &selection,
                outputs: &outputs,
                recording: recording.as_ref(),
                shown: Shown::default(),
                filter: filter.as_ref(),
                trigger: trigger.as_ref(),
                key: key.as_ref(),
                loaded,
                signals,
                exporter: exporter.as_ref(),
                aggregate: config
                    .summary
                    .as_ref()
                    .filter(|_| exporter.is_none())
                    .map(|summary| summary::aggregate(summary, &environment.types))
                    .transpose()?
                    .map(RefCell::new),
                read_ns: Cell::new(0),
                bpf_stats: bpf_stats.is_some(),
                noticed: RefCell::default(),
                ownerless: RefCell::default(),
                warned_untraced: Cell::default(),
            }
            .run(environment.clone())
        });
        match started {
            Err(error) if error.is::<Refused>() => {
                let why = format!("{}: {error:#}", variant.reader.name());
                if let Some(remedy) = files::remedy(&why) {
                    bail!("no reader works on this kernel: {why}; {remedy}");
                }
                refused.push(why);
            }
            ended => return ended,
        }
    }
    if kernel::locked_down() == Some(true) {
        bail!(
            "the kernel is locked down: BPF programs may not read kernel memory; boot without lockdown=confidentiality, or trace only the standard fields of probe, or rtt"
        );
    }
    let hint = if !Rights::current().sys_resource && !plan.cookie_helper {
        "; before Linux 5.11, also grant CAP_SYS_RESOURCE or set ulimit -l unlimited"
    } else if config.output.verbose || privilege::elevated() {
        ""
    } else {
        "; for the verifier's messages, run with -v"
    };
    bail!("no reader works on this kernel: {}{hint}{namespace}", refused.join("; "))
}

/// Replaces what names hosts and processes, in records of that layout.
fn anonymizer(config: &Config, key: &Key, layout: &RecordLayout) -> Anonymizer {
    let ports = config.anonymize.as_ref().is_some_and(|options| options.ports);
    Anonymizer::new(key, ports, layout)
}

/// Whether events are printed, and not only taken by an aggregate.
fn prints_events(config: &Config) -> bool {
    let aggregate = config.summary.as_ref().map(|summary| summary.aggregate);
    config.actions.record && aggregate.is_none_or(AggregateType::counts_events)
}

/// Sampling applies to `probe` only.
fn check_limits(config: &Config, event_types: &[&'static EventType]) -> Result<()> {
    let limits = &config.limits;
    let options = [
        ("--sample", limits.sample.is_some()),
        ("--every", limits.every.is_some()),
        ("--on-change", limits.on_change),
    ];
    match options.iter().find(|(_, given)| *given) {
        Some((option, _)) if !event_types.iter().any(|event_type| event_type.is_probe()) => {
            bail!(Usage(format!("{option} applies to probe events only, and none are requested")))
        }
        _ => Ok(()),
    }
}

/// What the options require of the kernel side.
#[must_use]
pub fn request(
    config: &Config,
    event_types: &[&'static EventType],
    selection: &Selection,
) -> Request {
    let filters = &config.filters;
    let aggregate = config.summary.as_ref().map(|summary| summary.aggregate);
    let observe = config.summary.as_ref().and_then(|summary| summary.rows.observe());
    let by_columns = (!selection.groups.is_empty()).then_some(match config.output.fields {
        Fields::All => "--all-fields",
        _ if selection.groups_by_format => "this output format",
        _ if selection.groups_by_where => "--where",
        _ => "--fields",
    });
    let by_command = (!config.command.is_empty()).then_some("-- CMD");
    let by_summary = aggregate.map(|_| "a summary");
    let by_limits = selection.limits.then_some("`limits_main`");
    let by_change = config.limits.on_change.then_some("--on-change");
    Request {
        event_types: event_types.to_vec(),
        reader: config.kernel_options.reader,
        transport: config.kernel_options.transport,
        beyond_record: by_columns
            .or(filters.by_socket())
            .or(by_command)
            .or(by_change)
            .or(by_limits)
            .or(by_summary),
        per_connection: config.limits.per_connection(),
        owner: selection.owner
            || filters.by_owner()
            || config.summary.as_ref().is_some_and(|summary| summary.rows.by_owner()),
        traced_pids: !config.command.is_empty(),
        conn_snapshots: aggregate.is_some_and(AggregateType::reads_connections),
        listeners: aggregate.is_some_and(AggregateType::reads_listeners),
        limits: selection.limits
            || config.output.limits
            || aggregate.is_some_and(AggregateType::reads_limits)
            || observe.is_some_and(|observe| observe.has(Metric::Limits)),
        limits_snapshots: aggregate.is_some_and(AggregateType::reads_limits),
        observes: observe.is_some_and(Observe::connections),
        one_by_one: config.kernel_options.one_by_one,
        unrecorded: !config.actions.record,
        ca_state_times: aggregate.is_some_and(AggregateType::reads_state_times)
            || observe.is_some_and(|observe| observe.has(Metric::CaStates)),
        inferred: config.kernel_options.inferred,
        list_open: config.event_filters.list_open,
        samples: selection.samples,
    }
}

/// What the kernel has, as far as the request may need it.
#[must_use]
pub fn features(kernel: &Kernel, request: &Request) -> KernelFeatures {
    KernelFeatures {
        record: kernel.record(),
        tp_btf: kernel.has_tp_btf(),
        cookie_helper: kernel.has_cookie_helper(),
        tcp_sock_type: kernel.tcp_sock_type(),
        ringbuf: kernel.has_ringbuf(),
        skips_nested: kernel.skips_nested(),
        missing_events: missing_events(|event_type| kernel.missing(event_type)),
        missing_hooks: missing_hooks(|name| kernel.has_tracepoint(name)),
        iterators: Path::new(KERNEL_BTF).exists(),
        map_iterators: request.observes && !request.one_by_one && kernel::has_map_iterators(),
        sendmsg: kernel.has_tracepoint("tcp_sendmsg_locked"),
        mainline_bbr: kernel.ca_layouts().agrees("bbr", ca_mainline::locate),
        tracefs: kernel::tracefs_event("tcp", "tcp_probe"),
    }
}
