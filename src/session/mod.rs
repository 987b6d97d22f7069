//! One trace: what is asked and what the kernel has become a plan; its variants are tried until one runs.

mod books;
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
use crate::config::summary::What;
use crate::config::{Config, Fields, Transport, Usage};
use crate::kernel::{self, KERNEL_BTF, Kernel, Rights};
use crate::loader::plan::{Facts, Refusal, Request, lacking, lacking_hooks, plan};
use crate::loader::source::{possible_cpus, whole_size};
use crate::loader::{self, CoreTypes, Refused, files};
use crate::privilege;
use crate::probe::{Kind, Types, drop};
use crate::summary;
use crate::symbols::Symbols;

/// Traces those kinds of events as the configuration says. The exit status is the command's, if one was run.
pub fn run(config: &Config, kinds: &[&'static Kind]) -> Result<u8> {
    let signals = Signals::start()?;
    // The verifier's words have addresses of the kernel in them.
    loader::set_log(config.output.verbose && !privilege::elevated());
    let kernel = Kernel::new(config.tap.btf.as_deref());
    // What is wrong with the options is said to anybody, before what is wrong here.
    let selection = match config.summarise {
        Some(_) => {
            let owner = of_flows(config) || of_listeners(config);
            Selection { tables: Vec::new(), full: false, owner, code: false, samples: false }
        }
        None => columns::select(kinds, &config.output, |member| kernel.has_member(member))?,
    };
    check_limits(config, kinds)?;
    let plan = plan(&request(config, kinds, &selection), &facts(&kernel));
    if let Err(Refusal::Usage(text)) = plan {
        bail!(Usage(text));
    }
    let namespace =
        privilege::in_user_namespace().map(|why| format!("; {why}")).unwrap_or_default();
    Rights::current().check().map_err(|why| anyhow!("{why}{namespace}"))?;
    possible_cpus().map_err(|why| anyhow!(why))?;
    kernel.btf().map_err(|why| anyhow!(why))?;
    priority::check(config.tap.nice)?;
    let plan = plan.map_err(|refusal| anyhow!(refusal.text().to_owned()))?;
    if let Some(asked) = config.tap.buffer_size
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
    let types = types(config, kinds, &selection, &kernel, &core_types);
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
                        reading: config
                            .summarise
                            .as_ref()
                            .map(|what| summary::reading(what).into()),
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
    kinds: &[&'static Kind],
    selection: &Selection,
    kernel: &Kernel,
    core_types: &CoreTypes,
) -> Types {
    let mut types = kernel.types();
    if kinds.iter().any(|kind| kind.number == drop::KIND.number) {
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
fn check_limits(config: &Config, kinds: &[&'static Kind]) -> Result<()> {
    let limits = &config.limits;
    let options = [
        ("--sample", limits.sample.is_some()),
        ("--every", limits.every.is_some()),
        ("--on-change", limits.on_change),
    ];
    match options.iter().find(|(_, given)| *given) {
        Some((option, _)) if !kinds.iter().any(|kind| kind.is_probe()) => {
            bail!(Usage(format!("{option} thins the samples of `probe`, which is not asked for")))
        }
        _ => Ok(()),
    }
}

/// Are connections read as a whole?
fn of_flows(config: &Config) -> bool {
    config.summarise.as_ref().is_some_and(|summarise| matches!(summarise.what, What::Top(_)))
}

/// Are listening sockets?
fn of_listeners(config: &Config) -> bool {
    config.summarise.as_ref().is_some_and(|summarise| matches!(summarise.what, What::Listeners(_)))
}

/// What the options ask of the kernel side.
fn request(config: &Config, kinds: &[&'static Kind], selection: &Selection) -> Request {
    let filters = &config.filters;
    let by_columns = selection.full.then_some(if config.output.fields == Fields::All {
        "--all-fields"
    } else {
        "--fields"
    });
    let by_command = (!config.command.is_empty()).then_some("-- COMMAND");
    let by_summary = config.summarise.is_some().then_some("a summary");
    let by_change = config.limits.on_change.then_some("--on-change");
    Request {
        kinds: kinds.to_vec(),
        reader: config.tap.reader,
        transport: config.tap.transport,
        beyond_record: by_columns
            .or(filters.by_socket())
            .or(by_command)
            .or(by_change)
            .or(by_summary),
        per_connection: config.limits.per_connection(),
        owner: selection.owner || filters.by_owner(),
        tree: !config.command.is_empty(),
        flows: of_flows(config),
        listeners: of_listeners(config),
        counted: config.summarise.is_some(),
        dwelling: matches!(
            config.summarise.as_ref().map(|summarise| &summarise.what),
            Some(What::Cong(_))
        ),
        derived: config.tap.derived,
        list_open: config.only.list_open,
        samples: selection.samples,
    }
}

/// What the kernel has.
#[must_use]
pub fn facts(kernel: &Kernel) -> Facts {
    Facts {
        record: kernel.record(),
        tp_btf: kernel.has_tp_btf(),
        cookie_helper: kernel.has_cookie_helper(),
        ringbuf: kernel.has_ringbuf(),
        lacking: lacking(|kind| kernel.lacks(kind)),
        lacking_hooks: lacking_hooks(|name| kernel.has_tracepoint(name)),
        iterators: Path::new(KERNEL_BTF).exists(),
        sendmsg: kernel.has_tracepoint("tcp_sendmsg_locked"),
        tracefs: kernel::tracefs_event("tcp", "tcp_probe"),
    }
}
