//! Metrics for Prometheus: reads all totals when a snapshot is wanted, and hands them over.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};

use super::event_loop::{EventLoop, Interest};
use super::follow::Token;
use super::output::print_line;
use super::service;
use super::trace::Trace;
use crate::accounting::{AggregateCounts, Evicted};
use crate::config::summary::Observe;
use crate::config::{Config, Otlp, Reload, Targets};
use crate::environment::Environment;
use crate::escape;
use crate::export::server::{Bound, PATH, Server};
use crate::export::{Exposition, Format, Pusher, Snapshot, textfile};
use crate::loader::Loaded;
use crate::pipeline::Pipeline;
use crate::sink::Stage;
use crate::summary::observe::exported::ExportedTables;
use crate::summary::observe::labels;

/// How often rows that are idle make room.
const RETIRE: Duration = Duration::from_secs(60);

pub(super) struct Exporter<'c> {
    /// Where metrics go now.
    targets: RefCell<Targets>,
    reload: Option<&'c Reload>,
    quiet: bool,
    observe: &'c Observe,
    kernel: String,
    /// The addresses until they are served.
    bound: RefCell<Vec<(SocketAddr, Bound)>>,
    /// By the address that was requested.
    servers: RefCell<Vec<(SocketAddr, Server)>>,
    tables: RefCell<ExportedTables>,
    accounting: RefCell<Counters>,
    /// The file could not be written: this is printed once.
    failed: RefCell<Option<String>>,
    /// --otlp
    pusher: RefCell<Option<Pusher>>,
    /// When the counters were zero.
    begin: SystemTime,
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

fn bind(addresses: &[SocketAddr]) -> Result<Vec<(SocketAddr, Bound)>> {
    let bind = |address: &SocketAddr| {
        let bound = Bound::new(*address);
        let bound = bound.with_context(|| format!("--listen {address}: cannot listen"))?;
        Ok((*address, bound))
    };
    addresses.iter().map(bind).collect()
}

impl<'c> Exporter<'c> {
    /// Binds the addresses; `None` for other commands.
    pub(super) fn open(config: &'c Config, environment: &Environment) -> Result<Option<Self>> {
        let observe = config.summary.as_ref().and_then(|summary| summary.rows.observe());
        let (Some(options), Some(observe)) = (&config.export, observe) else { return Ok(None) };
        let targets = options.targets.clone();
        let bound = bind(&targets.listen)?;
        Ok(Some(Exporter {
            targets: RefCell::new(targets),
            reload: options.reload.as_ref(),
            quiet: config.output.quiet,
            observe,
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            bound: RefCell::new(bound),
            servers: RefCell::default(),
            tables: RefCell::new(ExportedTables::new(observe, &environment.types)),
            accounting: RefCell::default(),
            failed: RefCell::default(),
            pusher: RefCell::default(),
            begin: SystemTime::now(),
        }))
    }

    /// Called with the programs attached.
    pub(super) fn begin(&self, loaded: &Loaded<'_>) -> Result<()> {
        self.tables.borrow().begin(loaded)
    }

    /// Serves from now on.
    pub(super) fn begin_serving(&self, events: &mut EventLoop<Token>) -> Result<()> {
        self.serve(self.bound.take(), events)?;
        self.start_pushing(self.targets.borrow().otlp.as_ref())?;
        events.at(Token::Interval, self.targets.borrow().at_interval().then(Instant::now));
        events.every(Token::Retire, RETIRE);
        service::ready(events, &self.status());
        Ok(())
    }

    fn serve(&self, bound: Vec<(SocketAddr, Bound)>, events: &mut EventLoop<Token>) -> Result<()> {
        for (requested, bound) in bound {
            let address = bound.address().context("cannot serve metrics")?;
            let server = bound.serve().context("cannot serve metrics")?;
            events.register(server.wanted(), Interest::Readable, Token::Scrape)?;
            self.servers.borrow_mut().push((requested, server));
            if !self.quiet {
                print_line(&format!("metrics at http://{address}{PATH}"));
            }
        }
        Ok(())
    }

    fn start_pushing(&self, otlp: Option<&Otlp>) -> Result<()> {
        let new = |otlp| Pusher::new(otlp, self.begin, self.quiet);
        self.pusher.replace(otlp.map(new).transpose()?);
        if let Some(Otlp { url, .. }) = otlp.filter(|_| !self.quiet) {
            print_line(&format!("metrics are pushed to {}", escape::line(url)));
        }
        Ok(())
    }

    /// Serves no more. The file goes away: its values would look as if nothing happened any more.
    pub(super) fn end(&self) {
        service::stopping();
        self.servers.take();
        self.pusher.take();
        self.remove_textfile();
    }

    fn remove_textfile(&self) {
        if let Some(path) = &self.targets.borrow().textfile
            && let Err(error) = textfile::remove(path)
        {
            print_line(&format!("warning: cannot remove {}: {error}", escape::path(path)));
        }
    }

    /// For the service manager.
    fn status(&self) -> String {
        let targets = self.targets.borrow();
        let listen = targets.listen.iter().map(|address| format!("http://{address}{PATH}"));
        let file = targets.textfile.iter().map(escape::path);
        let push = targets.otlp.iter().map(|otlp| escape::line(&otlp.url));
        let places: Vec<String> = listen.chain(file).chain(push).collect();
        format!("metrics at {}", places.join(", "))
    }

    /// Reads the configuration again, and takes over what may change.
    fn reload(&self, reload: &Reload, events: &mut EventLoop<Token>) -> Result<()> {
        let (given, targets) = (reload.read)()?;
        let fixed = reload.fixed(&given);
        if !fixed.is_empty() {
            bail!("{} cannot change while tracing; restart instead", fixed.join(", "));
        }
        let known: Vec<SocketAddr> =
            self.servers.borrow().iter().map(|(known, _)| *known).collect();
        let added: Vec<SocketAddr> =
            targets.listen.iter().filter(|address| !known.contains(address)).copied().collect();
        // All of it, or nothing.
        let bound = bind(&added)?;
        for (address, server) in self.servers.borrow().iter() {
            if !targets.listen.contains(address) {
                events.unregister(server.wanted())?;
            }
        }
        self.servers.borrow_mut().retain(|(address, _)| targets.listen.contains(address));
        self.serve(bound, events)?;
        if self.targets.borrow().textfile != targets.textfile {
            self.remove_textfile();
        }
        if self.targets.borrow().otlp != targets.otlp {
            self.start_pushing(targets.otlp.as_ref())?;
        }
        events.at(Token::Interval, targets.at_interval().then(Instant::now));
        self.targets.replace(targets);
        Ok(())
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
            time: SystemTime::now(),
            options: exporter.observe.clone(),
            label_names: labels::names(exporter.observe),
            totals,
            named: tables.named(),
            named_so_far: tables.named_so_far(),
            event_types: counters.event_types.clone(),
            evicted: counters.evicted,
            dropped: tables.removed(),
            folded: tables.folded(),
            kernel: exporter.kernel.clone(),
            read: begin.elapsed(),
        }))
    }

    /// Answers those who wait for a snapshot.
    pub(super) fn answer_scrape(&self, pipeline: &Pipeline<'_>) -> Result<()> {
        let Some(exporter) = self.exporter else { return Ok(()) };
        let servers = exporter.servers.borrow();
        let servers = servers.iter().map(|(_, server)| server);
        let mut waiting = servers.filter(|server| server.take_wanted()).peekable();
        if waiting.peek().is_some() {
            let exposition = Arc::new(self.snapshot(exporter, pipeline)?);
            waiting.for_each(|server| server.answer(Arc::clone(&exposition)));
        }
        Ok(())
    }

    /// Pushes the metrics, and writes them to the file. A failure is printed, and does not end the trace: the disk may have room again.
    pub(super) fn export_at_interval(
        &self,
        pipeline: &Pipeline<'_>,
        events: &mut EventLoop<Token>,
    ) -> Result<()> {
        let Some(exporter) = self.exporter else { return Ok(()) };
        let Targets { textfile, interval, .. } = exporter.targets.borrow().clone();
        events.after(Token::Interval, interval);
        let snapshot = Arc::new(self.snapshot(exporter, pipeline)?);
        if let Some(pusher) = &*exporter.pusher.borrow() {
            pusher.offer(Arc::clone(&snapshot));
        }
        let Some(path) = &textfile else { return Ok(()) };
        let encoded = snapshot.encoded(Format::Text).context("cannot encode the metrics")?;
        let failed = textfile::write(path, &encoded).err().map(|error| error.to_string());
        let before = exporter.failed.replace(failed.clone());
        if let Some(error) = failed.filter(|failed| before.as_ref() != Some(failed)) {
            print_line(&format!("warning: cannot write {}: {error}", escape::path(path)));
        }
        Ok(())
    }

    /// SIGHUP. What is wrong with the new configuration is printed, and the old one stays.
    pub(super) fn reload(&self, events: &mut EventLoop<Token>) {
        let reload = self.exporter.and_then(|exporter| Some((exporter, exporter.reload?)));
        let Some((exporter, reload)) = reload else { return };
        service::reloading();
        match exporter.reload(reload, events) {
            Ok(()) if exporter.quiet => {}
            Ok(()) => print_line("note: the configuration was read again"),
            Err(error) => print_line(&format!("warning: the configuration stays: {error:#}")),
        }
        service::reloaded(&exporter.status());
    }

    /// Makes room for new label sets.
    pub(super) fn retire_series(&self) -> Result<()> {
        match self.exporter {
            Some(exporter) => exporter.tables.borrow_mut().retire(&self.loaded),
            None => Ok(()),
        }
    }
}
