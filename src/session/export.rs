//! Metrics for Prometheus: reads all totals when a snapshot is wanted, and hands them over.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::event_loop::{EventLoop, Interest};
use super::follow::Token;
use super::output::print_line;
use super::trace::Trace;
use crate::accounting::{AggregateCounts, Evicted};
use crate::config::summary::Observe;
use crate::config::{Config, Export};
use crate::environment::Environment;
use crate::escape;
use crate::export::server::{Bound, PATH, Server};
use crate::export::{Exposition, Format, Snapshot, textfile};
use crate::loader::Loaded;
use crate::pipeline::Pipeline;
use crate::sink::Stage;
use crate::summary::observe::exported::ExportedTables;
use crate::summary::observe::labels;

/// How often rows that are idle make room.
const RETIRE: Duration = Duration::from_secs(60);

pub(super) struct Exporter<'c> {
    options: &'c Export,
    observe: &'c Observe,
    kernel: String,
    /// The addresses until they are served.
    bound: RefCell<Vec<Bound>>,
    servers: RefCell<Vec<Server>>,
    tables: RefCell<ExportedTables>,
    accounting: RefCell<Counters>,
    /// The file could not be written: this is printed once.
    failed: RefCell<Option<String>>,
}

/// The newest counters, which never fall.
#[derive(Default)]
struct Counters {
    event_types: Vec<(&'static str, AggregateCounts)>,
    evicted: Evicted,
}

impl Counters {
    fn raise(&mut self, event_types: &[(&'static str, AggregateCounts)], evicted: &Evicted) {
        self.evicted = self.evicted.combine(evicted, u64::max);
        for (name, counts) in event_types {
            match self.event_types.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => *known = known.combine(counts, u64::max),
                None => self.event_types.push((name, *counts)),
            }
        }
    }
}

impl<'c> Exporter<'c> {
    /// Binds the addresses; `None` for other commands.
    pub(super) fn open(config: &'c Config, environment: &Environment) -> Result<Option<Self>> {
        let observe = config.summary.as_ref().and_then(|summary| summary.rows.observe());
        let (Some(options), Some(observe)) = (&config.export, observe) else { return Ok(None) };
        let bind = |address: &SocketAddr| {
            Bound::new(*address).with_context(|| format!("--listen {address}: cannot listen"))
        };
        let bound = options.listen.iter().map(bind).collect::<Result<_>>()?;
        Ok(Some(Exporter {
            options,
            observe,
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            bound: RefCell::new(bound),
            servers: RefCell::default(),
            tables: RefCell::new(ExportedTables::new(observe, &environment.types)),
            accounting: RefCell::default(),
            failed: RefCell::default(),
        }))
    }

    /// Called with the programs attached.
    pub(super) fn begin(&self, loaded: &Loaded<'_>) -> Result<()> {
        self.tables.borrow().begin(loaded)
    }

    /// Serves from now on.
    pub(super) fn serve(&self, events: &mut EventLoop<Token>, quiet: bool) -> Result<()> {
        for bound in self.bound.take() {
            let address = bound.address().context("cannot serve metrics")?;
            let server = bound.serve().context("cannot serve metrics")?;
            events.register(server.wanted(), Interest::Readable, Token::Scrape)?;
            self.servers.borrow_mut().push(server);
            if !quiet {
                print_line(&format!("metrics at http://{address}{PATH}"));
            }
        }
        if self.options.textfile.is_some() {
            events.after(Token::Textfile, Duration::ZERO);
        }
        events.every(Token::Retire, RETIRE);
        Ok(())
    }

    /// Serves no more. The file goes away: its values would look as if nothing happened any more.
    pub(super) fn end(&self) {
        self.servers.take();
        if let Some(path) = &self.options.textfile
            && let Err(error) = textfile::remove(path)
        {
            print_line(&format!("warning: cannot remove {}: {error}", escape::path(path)));
        }
    }
}

impl Trace<'_, '_> {
    /// Reads everything that a scrape shows.
    fn snapshot(&self, exporter: &Exporter<'_>, pipeline: &Pipeline<'_>) -> Result<Exposition> {
        let begin = Instant::now();
        let mut tables = exporter.tables.borrow_mut();
        let totals = tables.read(&self.loaded)?;
        let accounting = self.accounting(Stage::Interim, pipeline)?;
        let mut counters = exporter.accounting.borrow_mut();
        counters.raise(&accounting.aggregate, &accounting.evicted);
        Ok(Exposition::new(Snapshot {
            options: exporter.observe.clone(),
            label_names: labels::names(exporter.observe),
            totals,
            event_types: counters.event_types.clone(),
            evicted: counters.evicted,
            dropped: tables.removed(),
            kernel: exporter.kernel.clone(),
            read: begin.elapsed(),
        }))
    }

    /// Answers those who wait for a snapshot.
    pub(super) fn answer_scrape(&self, pipeline: &Pipeline<'_>) -> Result<()> {
        let Some(exporter) = self.exporter else { return Ok(()) };
        let servers = exporter.servers.borrow();
        let mut waiting = servers.iter().filter(|server| server.take_wanted()).peekable();
        if waiting.peek().is_some() {
            let exposition = Arc::new(self.snapshot(exporter, pipeline)?);
            waiting.for_each(|server| server.answer(Arc::clone(&exposition)));
        }
        Ok(())
    }

    /// Writes the file of --textfile. A failure is printed, and does not end the trace: the disk may have room again.
    pub(super) fn write_textfile(
        &self,
        pipeline: &Pipeline<'_>,
        events: &mut EventLoop<Token>,
    ) -> Result<()> {
        let Some(exporter) = self.exporter else { return Ok(()) };
        let Some(path) = &exporter.options.textfile else { return Ok(()) };
        events.after(Token::Textfile, exporter.options.interval);
        let snapshot = self.snapshot(exporter, pipeline)?;
        let encoded = snapshot.encoded(Format::Text).context("cannot encode the metrics")?;
        let failed = textfile::write(path, &encoded).err().map(|error| error.to_string());
        let before = exporter.failed.replace(failed.clone());
        if let Some(error) = failed.filter(|failed| before.as_ref() != Some(failed)) {
            print_line(&format!("warning: cannot write {}: {error}", escape::path(path)));
        }
        Ok(())
    }

    /// Makes room for new label sets.
    pub(super) fn retire_series(&self) -> Result<()> {
        match self.exporter {
            Some(exporter) => exporter.tables.borrow_mut().retire(&self.loaded),
            None => Ok(()),
        }
    }
}
