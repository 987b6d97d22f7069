//! `report`: a page of the connections in recordings, which needs nothing but a browser.

mod assets;
mod causes;
pub mod collect;
pub mod compare;
pub mod connection;
mod describe;
pub mod ends;
mod export;
mod fields;
mod findings;
mod gaps;
mod html;
mod join;
mod number;
mod output;
mod overview;
mod pack;
mod page;
mod rates;
mod run;
mod section;
mod series;
pub mod stats;
mod thin;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use self::compare::Comparison;
use self::ends::nat::Translation;
pub use self::export::Export;
use self::output::Output;
use self::overview::Shown;
use self::run::Run;
use self::stats::Stats;
use crate::escape;
use crate::stdio;

/// What to write.
pub struct Options {
    pub files: Vec<PathBuf>,
    pub path: PathBuf,
    /// An existing file is overwritten.
    pub force: bool,
    /// Several files, or one that is compared with nothing.
    pub comparison: Comparison,
    /// Two files are of the two ends of the same connections.
    pub ends: bool,
    /// Addresses that differ between them.
    pub nat: Vec<Translation>,
    pub export: Export,
}

/// Writes the page. The exit status is 1 if a part of a file could not be read.
pub fn write(options: &Options) -> Result<u8> {
    // Before the work.
    let output = Output::create(&options.path, options.force)?;
    options.export.prepare()?;
    let mut status = 0;
    let mut runs = Vec::new();
    for path in &options.files {
        let run = Run::read(path)?;
        status |= u8::from(run.is_damaged());
        runs.push(run);
    }
    if options.ends && runs.len() == 2 {
        let other = runs.pop();
        if let (Some(run), Some(other)) = (runs.first_mut(), other) {
            ends::join(run, other, &options.nat)?;
        }
    }
    let Some(run) = runs.first() else { return Ok(status) };
    let (page, connections, files) = if runs.len() > 1 {
        let compared = compare::compare(&runs, &options.files, &options.comparison)?;
        let flows = compared.iter().map(|one| one.flows.len() as u64).sum();
        let files = options.export.comparison(&compared)?;
        (compare::page(&compared, &options.comparison), flows, files)
    } else {
        let shown = shown(run);
        let files = options.export.connections(&shown)?;
        (page::page(run, &shown), shown.len() as u64, files)
    };
    let page = page.context("cannot make the page")?;
    let size = page.len() as u64;
    output.finish(&[page.as_bytes()])?;
    note(&options.path, connections, size);
    if options.export.is_wanted() && files > 0 {
        let files = number::plural(files as u64, "file").replace('\u{202f}', " ");
        stdio::print_line(&format!("wrote {files} of figures and series"));
    }
    Ok(status)
}

fn note(path: &Path, connections: u64, size: u64) {
    let plain = |text: String| text.replace('\u{202f}', " ");
    stdio::print_line(&format!(
        "wrote {}: {}, {}",
        escape::path(path),
        plain(number::plural(connections, "connection")),
        plain(number::bytes(size))
    ));
}

/// The connections of the page, by the time at which they begin.
fn shown(run: &Run) -> Vec<Shown<'_>> {
    let connections = &run.collected.connections;
    let mut order: Vec<usize> =
        (0..connections.len()).filter(|at| join::is_shown(connections, *at)).collect();
    order.sort_by_key(|at| connections[*at].start_ns());
    let of = |(number, at): (usize, usize)| {
        let connection = &connections[at];
        let since = connection.start_ns().cast_signed().wrapping_sub(run.start_ns.cast_signed());
        Shown { id: number + 1, connection, stats: Stats::of(connection), since_ns: since }
    };
    order.into_iter().enumerate().map(of).collect()
}
