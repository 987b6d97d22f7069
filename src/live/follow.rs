//! The two sides of the kernel that the screen shows: all connections, read each interval; and the events of one of them.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::Result;

use super::collect::{Collector, Shared, Target};
use super::programs::Programs;
use super::rows::Row;
use crate::accounting::{Accounting, ActionCounts};
use crate::config::summary::{Sort, Top};
use crate::config::{Content, TimeMode};
use crate::loader::live::Live;
use crate::pipeline::Pipeline;
use crate::pipeline::clock::{Clock, mono_ns};
use crate::pipeline::tee::{Branch, Tee};
use crate::sink::Stage;
use crate::summary::top::ConnectionTable;
use crate::summary::totals::Intervals;
use crate::summary::{self, Aggregate, evictions};

type Connections = Rc<RefCell<Intervals<ConnectionTable>>>;

/// How often to read the counters until no program runs.
const SETTLE_TRIES: usize = 20;

/// Programs, and what takes their records.
pub struct Side<'s> {
    pub pipeline: Pipeline<'s>,
    pub source: Live<'s>,
}

impl<'s> Side<'s> {
    pub fn new(mut pipeline: Pipeline<'s>, programs: &'s Programs<'_, '_>) -> Result<Self> {
        let source = Live::new(
            &programs.loaded.skel,
            programs.request.plan.transport,
            programs.request.config.kernel_options.buffer_size,
            pipeline.records(),
        )?;
        source.start()?;
        pipeline.begin();
        Ok(Side { pipeline, source })
    }

    /// Programs that count, and whose records are rows rather than events.
    pub fn of_rows(
        programs: &'s Programs<'_, '_>,
        record: impl FnMut(&[u8]) -> bool + 's,
    ) -> Result<Self> {
        let pipeline = Pipeline::new(
            Tee::new(Vec::new()),
            programs.request.environment.clone(),
            Clock::new(TimeMode::Wall),
            None,
            Some(Box::new(record)),
        );
        Side::new(pipeline, programs)
    }

    /// Takes what has arrived; whether there may be more, and whether something came.
    pub fn consume(&mut self) -> Result<(bool, bool)> {
        let before = self.pipeline.received();
        self.pipeline.clock.update();
        let more = self.pipeline.consume(&self.source)?;
        self.pipeline.flush();
        Ok((more, self.pipeline.received() > before || self.pipeline.holds()))
    }

    pub fn drain(&mut self) -> Result<()> {
        self.pipeline.drain(&self.source)?;
        self.pipeline.flush();
        Ok(())
    }

    /// The counters so far, or of all.
    pub fn accounting(&mut self, stage: Stage, programs: &Programs<'_, '_>) -> Result<Accounting> {
        let skel = &programs.loaded.skel;
        let actions = programs.request.config.actions;
        let types = || programs.variant.event_types();
        let mut cpus = summary::cpus(skel)?;
        for _ in 0..SETTLE_TRIES {
            if types().all(|of| summary::counters(&cpus, of).running(actions) == 0) {
                break;
            }
            cpus = summary::cpus(skel)?;
        }
        let counts: Vec<_> = types().map(|of| (of, summary::counters(&cpus, of))).collect();
        Ok(self.pipeline.accounting(stage, actions, &counts, evictions::evicted(skel)?))
    }
}

/// All connections.
pub struct Table<'s> {
    pub side: Side<'s>,
    connections: Connections,
    read_ns: u64,
}

impl<'s> Table<'s> {
    pub fn new(programs: &'s Programs<'_, '_>) -> Result<Self> {
        let all = ConnectionTable::new(&Top { sort: Sort::All, rows: None, limits: false });
        let connections: Connections = Rc::new(RefCell::new(Intervals::new(all, true)));
        let taking = Rc::clone(&connections);
        let side = Side::of_rows(programs, move |bytes| taking.borrow_mut().record(bytes))?;
        connections.borrow_mut().begin(&programs.loaded)?;
        Ok(Table { side, connections, read_ns: mono_ns() })
    }

    /// Reads all connections; the rows of the interval, and how long it was.
    pub fn poll(&mut self, programs: &Programs<'_, '_>) -> Result<(Vec<Row>, u64)> {
        self.side.drain()?;
        self.connections.borrow_mut().poll(&programs.loaded)?;
        self.side.drain()?;
        let now = mono_ns();
        let interval_ns = now.saturating_sub(std::mem::replace(&mut self.read_ns, now));
        let rows = self.connections.borrow_mut().rows(&programs.loaded)?;
        let rows = rows.rows.into_iter().map(|(id, row)| Row::new(id, row, interval_ns));
        Ok((rows.collect(), interval_ns))
    }
}

/// The events of one connection.
pub struct Connection<'s> {
    pub side: Side<'s>,
    target: Target,
    /// The cookie in the gate.
    open: Option<u64>,
}

impl<'s> Connection<'s> {
    pub fn new(programs: &'s Programs<'_, '_>) -> Result<Self> {
        let target = Target::default();
        let branch = Branch {
            content: Content::Events,
            format: "live",
            path: None,
            essential: true,
            sink: Box::new(Collector::new(Rc::clone(&target), true, programs.twin_options())),
        };
        let environment = programs.request.environment.clone();
        let clock = Clock::new(TimeMode::Wall);
        let pipeline = Pipeline::new(Tee::new(vec![branch]), environment, clock, None, None);
        Ok(Connection { side: Side::new(pipeline, programs)?, target, open: None })
    }

    /// Follows that connection and no other, or none.
    pub fn follow(
        &mut self,
        programs: &Programs<'_, '_>,
        wanted: Option<(u64, Shared)>,
    ) -> Result<()> {
        let gate = programs.loaded.gate();
        if let Some(cookie) = self.open.take() {
            gate.close(cookie)?;
        }
        match &wanted {
            None => programs.detach(),
            Some((cookie, _)) => {
                gate.open(*cookie)?;
                self.open = Some(*cookie);
                programs.attach()?;
            }
        }
        // What is on its way belongs to the last one.
        self.side.drain()?;
        self.target.replace(wanted);
        Ok(())
    }
}

/// Events of the followed connections that were lost so far.
#[must_use]
pub fn lost(accounting: &Accounting) -> u64 {
    accounting.event_types.iter().map(|(_, counts)| counts.lost()).sum()
}
