//! `w`: the kept records of the connection on the screen, as a recording.

use std::path::PathBuf;

use anyhow::{Context, Result};
use time::OffsetDateTime;

use super::follow::Connection;
use super::history::History;
use super::programs::Programs;
use crate::accounting::{Accounting, Counts};
use crate::config::Recording;
use crate::decode::{self, Event};
use crate::events::EVENT_TYPES;
use crate::events::fields::Expander;
use crate::session::header::header;
use crate::session::recorder::RecordingFile;
use crate::session::utc;
use crate::sink::{Note, Stage};
use crate::symbols::Symbols;

/// Writes them into a new file in the current directory; returns its name and the number of events.
pub fn write(
    cookie: u64,
    history: &History,
    lost: u64,
    connection: &Connection<'_>,
    programs: &Programs<'_, '_>,
) -> Result<(PathBuf, u64)> {
    let path = PathBuf::from(format!("live-{}-{cookie:x}.tcc", utc(OffsetDateTime::now_utc())));
    let options = Recording { path: path.clone(), force: false, progress: false, parts: None };
    let file = RecordingFile::open(&options)?;
    let clock = &connection.side.pipeline.clock;
    let mut environment = programs.request.environment.clone();
    environment.clock = clock.reading();
    let samples = clock.since(0);
    if let Some(first) = samples.first() {
        environment.clock.wall_offset_ns = first.wall_offset_ns;
    }
    let request = programs.request;
    let header = header(&request.config, &request.plan, programs.variant, environment);
    let types = header.environment.types.clone();
    let mut expander = Expander::new(header.environment.layout.clone());
    let write = || -> Result<u64> {
        let mut sink = file.branch(header, Symbols::default())?.sink;
        sink.begin()?;
        sink.note(&Note::Clock(&samples))?;
        let mut counts = vec![Counts::default(); EVENT_TYPES.len()];
        let mut written = 0;
        for record in &history.records {
            let event = Event::decode(expander.expand(record), &types, |ns| clock.moment(ns));
            let (Ok(event), Some(number)) = (event, decode::event_type(record)) else { continue };
            sink.event(&event.of_raw(record))?;
            counts[number].seen += 1;
            counts[number].emitted += 1;
            written += 1;
        }
        // All that was lost since the connection was opened, most of which are samples.
        counts[0].seen += lost;
        counts[0].lost += lost;
        let event_types = programs.variant.event_types();
        let of = event_types.map(|of| (of.name, counts[usize::from(of.number)])).collect();
        let accounting = Accounting { event_types: of, ..Accounting::default() };
        sink.account(Stage::End, clock.moment(clock.now_ns()), &accounting)?;
        sink.finish()?;
        Ok(written)
    };
    let written = write().with_context(|| format!("cannot write {}", path.display()))?;
    Ok((path, written))
}
