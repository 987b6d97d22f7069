//! One trace: what is asked and what the kernel has become a plan; its variants are tried until one runs.

mod account;
pub mod child;
pub mod columns;
mod command;
mod listen;
pub mod output;
pub mod priority;
pub mod signals;
mod time;
mod trace;
pub mod wait;

use std::cell::{Cell, RefCell};
use std::mem::MaybeUninit;
use std::path::Path;

use anyhow::{Result, anyhow, bail};

use self::columns::Selection;
use self::signals::Signals;
use self::trace::Trace;
use crate::config::summary::SummaryCommand;
use crate::config::{Config, Fields, Transport, Usage};
use crate::events::{EventType, Types, drop};
use crate::kernel::{self, KERNEL_BTF, Kernel, Rights};
use crate::loader::plan::{KernelFeatures, Refusal, Request, missing_events, missing_hooks, plan};
use crate::loader::source::{possible_cpus, whole_size};
use crate::loader::{self, CoreTypes, Refused, files};
use crate::privilege;
use crate::summary;
use crate::symbols::Symbols;

/// Traces those event types as the configuration says. The exit status is the command's, if one was run.
pub fn run(config: &Config, event_types: &[&'static EventType]) -> Result<u8> {
    let signals = Signals::start()?;
    // The verifier's words have addresses of the kernel in them.
    loader::set_log(config.output.verbose && !privilege::elevated());
    let kernel = Kernel::new(config.kernel_options.btf.as_deref());
    // What is wrong with the options is said to anybody, before what is wrong here.
    let selection = match config.summary {
        Some(_) => {
            let owner = needs_conn_snapshots(config) || of_listeners(config);
            Selection { tables: Vec::new(), full: false, owner, code: false, samples: false }
        }
        None => columns::select(event_types, &config.output, |member| kernel.has_member(member))?,
    };
    check_limits(config, event_types)?;
    let plan = plan(&request(config, event_types, &selection), &features(&kernel));
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
    if let Some(asked) = config.kernel_options.buffer_size
        && !config.output.quiet
        && let size = whole_size(plan.transport, Some(asked))
        && size != asked as usize
    {
        let why = match plan.transport {
            Transport::RingBuf => "a power of two",
            Transport::PerfBuf => "for each CPU a power of two of pages",
        };
        output::tell(&format!("note: --buffer-size {asked} becomes {size} ({why})"));
    }

    if !config.filters.pid.is_empty() && !kernel::in_host_pid_namespace() && !config.output.quiet {
        output::tell("note: --pid: the numbers are the host's, not those of this pid namespace");
    }
    let core_types = CoreTypes::new(&kernel);
    let types = types(config, event_types, &selection, &kernel, &core_types);
    // Its types are megabytes, and not needed any more.
    drop(kernel);
    let mut refused: Vec<String> = Vec::new();
    for variant in &plan.variants {
        let mut storage = MaybeUninit::uninit();
        let started =
            loader::load(&mut storage, &core_types, config, &plan, variant, selection.full)
                .and_then(|loaded| {
                    // Where none works they are the error, and no notes.
                    for why in refused.drain(..).filter(|_| !config.output.quiet) {
                        output::tell(&format!("note: reader {why}"));
                    }
                    Trace {
                        config,
                        plan: &plan,
                        variant,
                        selection: &selection,
                        loaded,
                        signals,
                        aggregate: config
                            .summary
                            .as_ref()
                            .map(|what| summary::aggregate(what).into()),
                        read_ns: Cell::new(0),
                        ownerless: RefCell::default(),
                        told_of_untraced: Cell::default(),
                    }
                    .run(types.clone())
                });
        match started {
            Err(error) if error.is::<Refused>() => {
                let why = format!("{}: {error:#}", variant.reader.name());
                if let Some(remedy) = files::remedy(&why) {
                    bail!("no reader works here: {why}; {remedy}");
                }
                refused.push(why);
            }
            ended => return ended,
        }
    }
    if kernel::locked_down() == Some(true) {
        bail!(
            "the kernel is locked down, which forbids programs to read its memory: boot without lockdown=confidentiality (typed loads go: the standard fields of probe, and rtt)"
        );
    }
    let hint = if !Rights::current().sys_resource && !plan.cookie_helper {
        "; kernels before 5.11 also ask for CAP_SYS_RESOURCE, or ulimit -l unlimited"
    } else if config.output.verbose || privilege::elevated() {
        ""
    } else {
        "; the kernel's own words: run it with -v"
    };
    bail!("no reader works here: {}{hint}{namespace}", refused.join("; "))
}

/// What records are read by.
fn types(
    config: &Config,
    event_types: &[&'static EventType],
    selection: &Selection,
    kernel: &Kernel,
    core_types: &CoreTypes,
) -> Types {
    let mut types = kernel.types();
    if event_types.iter().any(|event_type| event_type.number == drop::EVENT_TYPE.number) {
        types.drop_reasons = kernel.drop_reasons();
    }
    if selection.code {
        types.symbols = symbols(config, core_types);
    }
    types
}

/// The names of the kernel's code. Its addresses are shown to whom the kernel shows them, and not by rights that the caller
/// does not have.
fn symbols(config: &Config, core_types: &CoreTypes) -> Symbols {
    let symbols = match Symbols::load() {
        Some(symbols) if !privilege::elevated() => return symbols,
        Some(symbols) => symbols,
        None => loader::code::symbols(core_types).unwrap_or_default(),
    };
    if symbols.is_empty() && !config.output.quiet {
        output::tell(
            "note: the kernel hides its symbols from us (CAP_SYSLOG, kernel.kptr_restrict): `location` and `stack` are null",
        );
    }
    symbols.names_only()
}

/// Sampling is of samples; no other event is left out by it.
fn check_limits(config: &Config, event_types: &[&'static EventType]) -> Result<()> {
    let limits = &config.limits;
    let options = [
        ("--sample", limits.sample.is_some()),
        ("--every", limits.every.is_some()),
        ("--on-change", limits.on_change),
    ];
    match options.iter().find(|(_, given)| *given) {
        Some((option, _)) if !event_types.iter().any(|event_type| event_type.is_probe()) => {
            bail!(Usage(format!("{option} thins the samples of `probe`, which is not asked for")))
        }
        _ => Ok(()),
    }
}

/// Are connections read as a whole?
fn needs_conn_snapshots(config: &Config) -> bool {
    config.summary.as_ref().is_some_and(|summary| matches!(summary.what, SummaryCommand::Top(_)))
}

/// Are listening sockets?
fn of_listeners(config: &Config) -> bool {
    config
        .summary
        .as_ref()
        .is_some_and(|summary| matches!(summary.what, SummaryCommand::Listeners(_)))
}

/// What the options ask of the kernel side.
fn request(config: &Config, event_types: &[&'static EventType], selection: &Selection) -> Request {
    let filters = &config.filters;
    let by_columns = selection.full.then_some(if config.output.fields == Fields::All {
        "--all-fields"
    } else {
        "--fields"
    });
    let by_command = (!config.command.is_empty()).then_some("-- COMMAND");
    let by_summary = config.summary.is_some().then_some("a summary");
    let by_change = config.limits.on_change.then_some("--on-change");
    Request {
        event_types: event_types.to_vec(),
        reader: config.kernel_options.reader,
        transport: config.kernel_options.transport,
        beyond_record: by_columns
            .or(filters.by_socket())
            .or(by_command)
            .or(by_change)
            .or(by_summary),
        per_connection: config.limits.per_connection(),
        owner: selection.owner || filters.by_owner(),
        traced_pids: !config.command.is_empty(),
        conn_snapshots: needs_conn_snapshots(config),
        listeners: of_listeners(config),
        counted: config.summary.is_some(),
        ca_state_times: matches!(
            config.summary.as_ref().map(|summary| &summary.what),
            Some(SummaryCommand::Cong(_))
        ),
        inferred: config.kernel_options.inferred,
        list_open: config.event_filters.list_open,
        samples: selection.samples,
    }
}

/// What the kernel has.
#[must_use]
pub fn features(kernel: &Kernel) -> KernelFeatures {
    KernelFeatures {
        record: kernel.record(),
        tp_btf: kernel.has_tp_btf(),
        cookie_helper: kernel.has_cookie_helper(),
        ringbuf: kernel.has_ringbuf(),
        missing_events: missing_events(|event_type| kernel.missing(event_type)),
        missing_hooks: missing_hooks(|name| kernel.has_tracepoint(name)),
        iterators: Path::new(KERNEL_BTF).exists(),
        sendmsg: kernel.has_tracepoint("tcp_sendmsg_locked"),
        tracefs: kernel::tracefs_event("tcp", "tcp_probe"),
    }
}
