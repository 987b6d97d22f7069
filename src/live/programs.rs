//! The programs: those of the table, and those that record the connection on the screen.

use std::cell::RefCell;
use std::mem::MaybeUninit;

use anyhow::{Result, anyhow, bail};
use libbpf_rs::{Link, OpenObject};

use super::Options;
use crate::config::summary::{RowOptions, Sort, SummaryOptions, Top};
use crate::config::{Config, Fields, KernelOptions, Output};
use crate::environment::Environment;
use crate::events::{
    EventType, ca_mainline, cong_state, destroy, reset_received, reset_sent, retransmit, send,
    spurious, state, tcp_probe, zero_window,
};
use crate::kernel::Kernel;
use crate::limits::twin::TwinOptions;
use crate::loader::plan::{Plan, Refusal, Variant, plan};
use crate::loader::{self, CoreTypes, Loaded, Refused, files};
use crate::session::columns::{self, Selection};
use crate::session::{environment, features, request};
use crate::summary::{limits, top};
use crate::table::Column;

/// What is recorded of a connection, where the kernel has it.
const RECORDED: &[&EventType] = &[
    &tcp_probe::EVENT_TYPE,
    &cong_state::EVENT_TYPE,
    &retransmit::EVENT_TYPE,
    &spurious::EVENT_TYPE,
    &zero_window::EVENT_TYPE,
    // For what limits it: when there is nothing to send.
    &send::EVENT_TYPE,
    &state::EVENT_TYPE,
    &reset_sent::EVENT_TYPE,
    &reset_received::EVENT_TYPE,
];

/// Buffers, unless --buffer-size is given: a mapped one counts twice as resident memory. That of the tables has connections that end; that
/// of the connection its events, which are read as they come.
const TABLE_BUFFER: u32 = 1 << 20;
const CONNECTION_BUFFER: u32 = 4 << 20;

fn with_buffer(options: &KernelOptions, size: u32) -> KernelOptions {
    KernelOptions { buffer_size: options.buffer_size.or(Some(size)), ..options.clone() }
}

/// Programs that are not loaded yet.
pub struct Request {
    pub config: Config,
    pub plan: Plan,
    pub environment: Environment,
}

impl Request {
    fn new(
        config: Config,
        event_types: &[&'static EventType],
        selection: &Selection,
        kernel: &Kernel,
        core_types: &CoreTypes,
    ) -> Result<Self> {
        let request = request(&config, event_types, selection);
        let plan = plan(&request, &features(kernel, &request));
        let plan = plan.map_err(|refusal: Refusal| anyhow!(refusal.text().to_owned()))?;
        let environment = environment::live(&config, event_types, selection, kernel, core_types);
        Ok(Request { config, plan, environment })
    }

    /// Those of the table, which are those of `top`.
    pub fn of_table(options: &Options, kernel: &Kernel, core_types: &CoreTypes) -> Result<Self> {
        let rows = RowOptions::Connections(Top { sort: Sort::All, rows: None, limits: false });
        let config = Config {
            filters: options.filters.clone(),
            kernel_options: with_buffer(&options.kernel_options, TABLE_BUFFER),
            summary: Some(SummaryOptions {
                interval: Some(options.interval),
                aggregate: &top::AGGREGATE,
                rows,
            }),
            ..Config::default()
        };
        let selection = Selection { owner: true, ..Selection::default() };
        Request::new(config, &[&destroy::EVENT_TYPE], &selection, kernel, core_types)
    }

    /// Those that account for what limits each connection, which are those of `limits`.
    pub fn of_limits(options: &Options, kernel: &Kernel, core_types: &CoreTypes) -> Result<Self> {
        let config = Config {
            filters: options.filters.clone(),
            kernel_options: with_buffer(&options.kernel_options, TABLE_BUFFER),
            summary: Some(SummaryOptions {
                interval: Some(options.interval),
                aggregate: &limits::AGGREGATE,
                rows: RowOptions::Limits(super::limits::options()),
            }),
            ..Config::default()
        };
        let selection = Selection { owner: true, ..Selection::default() };
        Request::new(config, &[&destroy::EVENT_TYPE], &selection, kernel, core_types)
    }

    /// Those of the connection on the screen, with all fields. The gate decides which connection that is.
    pub fn of_connection(
        options: &Options,
        kernel: &Kernel,
        core_types: &CoreTypes,
    ) -> Result<Self> {
        let config = Config {
            kernel_options: with_buffer(&options.kernel_options, CONNECTION_BUFFER),
            output: Output { fields: Fields::All, destinations: Vec::new(), ..Output::default() },
            gate: Some(1),
            ..Config::default()
        };
        let missing = features(kernel, &loader::plan::Request::default()).missing_events;
        let is_there = |of: &&&'static EventType| !missing.iter().any(|(name, _)| *name == of.name);
        let event_types: Vec<&'static EventType> =
            RECORDED.iter().filter(is_there).copied().collect();
        let mut selection =
            columns::select(&event_types, &config.output, |member| kernel.has_member(member))?;
        // The table knows the process.
        selection.owner = false;
        Request::new(config, &event_types, &selection, kernel, core_types)
    }

    /// Room for each variant that is tried.
    #[must_use]
    pub fn storage(&self) -> Vec<MaybeUninit<OpenObject>> {
        self.plan.variants.iter().map(|_| MaybeUninit::uninit()).collect()
    }

    /// Loads and attaches the first variant that this kernel accepts.
    pub fn load<'o, 'r>(
        &'r self,
        storage: &'o mut [MaybeUninit<OpenObject>],
        core_types: &CoreTypes,
    ) -> Result<Programs<'o, 'r>> {
        let mut refused: Vec<String> = Vec::new();
        for (variant, storage) in self.plan.variants.iter().zip(storage) {
            let layout = &self.environment.layout;
            let loaded =
                loader::load(storage, core_types, &self.config, &self.plan, variant, layout, None);
            let attached = loaded.and_then(|loaded| {
                let links = loaded.attach(&variant.programs)?;
                Ok(Programs { loaded, request: self, variant, links: RefCell::new(links) })
            });
            match attached {
                Err(error) if error.is::<Refused>() => {
                    let why = format!("{}: {error:#}", variant.reader.name());
                    if let Some(remedy) = files::remedy(&why) {
                        bail!("no reader works on this kernel: {why}; {remedy}");
                    }
                    refused.push(why);
                }
                programs => return programs,
            }
        }
        bail!("no reader works on this kernel: {}", refused.join("; "))
    }
}

/// Loaded programs.
pub struct Programs<'o, 'r> {
    pub loaded: Loaded<'o>,
    pub request: &'r Request,
    pub variant: &'r Variant,
    links: RefCell<Vec<Link>>,
}

impl Programs<'_, '_> {
    /// What the records show of a sender's limits.
    pub fn twin_options(&self) -> TwinOptions {
        let environment = &self.request.environment;
        let present: Vec<&'static EventType> = self.variant.event_types().collect();
        let has = |_, column: &Column| column.need.is_none_or(|member| environment.has(member));
        let mainline_bbr = environment.types.layouts.agrees("bbr", ca_mainline::locate);
        TwinOptions::of(&present, has, mainline_bbr)
    }

    pub fn attach(&self) -> Result<()> {
        let mut links = self.links.borrow_mut();
        if links.is_empty() {
            *links = self.loaded.attach(&self.variant.programs)?;
        }
        Ok(())
    }

    /// From now on they cost nothing.
    pub fn detach(&self) {
        // As in a trace: recursion fallbacks before the programs that they back up.
        self.links.take().into_iter().rev().for_each(drop);
    }
}
