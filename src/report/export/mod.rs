//! Panels as files for papers: SVG of each, and the series behind it as CSV.

mod figures;
mod svg;
mod tables;

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use self::figures::Figure;
pub use self::tables::text as cell;
use super::compare::Compared;
use super::output::Output;
use super::overview::Shown;
use crate::escape;
use crate::privilege;

/// Connections of a recording that are exported: those that moved most.
const MOST_CONNECTIONS: usize = 10;

/// Where to write.
#[derive(Clone, Debug, Default)]
pub struct Export {
    pub svg: Option<PathBuf>,
    pub csv: Option<PathBuf>,
    /// Existing files are overwritten.
    pub force: bool,
}

impl Export {
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.svg.is_some() || self.csv.is_some()
    }

    /// Makes the directories that are missing, before the work.
    pub fn prepare(&self) -> Result<()> {
        [("--svg", &self.svg), ("--csv", &self.csv)]
            .into_iter()
            .filter_map(|(option, dir)| Some((option, dir.as_ref()?)))
            .try_for_each(|(option, dir)| directory(option, dir))
    }

    /// Writes the connections of a recording; returns how many files.
    pub fn connections(&self, all: &[Shown<'_>]) -> Result<usize> {
        let mut largest: Vec<&Shown<'_>> = all.iter().collect();
        largest.sort_by_key(|shown| std::cmp::Reverse(shown.stats.moved_bytes()));
        let mut count = 0;
        for shown in largest.into_iter().take(MOST_CONNECTIONS) {
            for figure in figures::of_connection(shown.connection) {
                count += self.write(&format!("c{}-{}", shown.id, figure.name), &figure)?;
            }
        }
        Ok(count)
    }

    /// Writes a comparison; returns how many files.
    pub fn comparison(&self, all: &[Compared<'_>]) -> Result<usize> {
        let mut count = 0;
        for figure in figures::of_comparison(all) {
            count += self.write(figure.name, &figure)?;
        }
        if let Some(dir) = &self.csv {
            let table = super::compare::score_table(all);
            Output::create(&dir.join("scores.csv"), self.force)?.finish(&[table.as_bytes()])?;
            count += 1;
        }
        Ok(count)
    }

    fn write(&self, name: &str, figure: &Figure) -> Result<usize> {
        let mut count = 0;
        if let Some(dir) = &self.svg {
            let picture = svg::draw(figure).with_context(|| format!("cannot draw {name}"))?;
            let path = dir.join(format!("{name}.svg"));
            Output::create(&path, self.force)?.finish(&[picture.as_bytes()])?;
            count += 1;
        }
        if let Some(dir) = &self.csv {
            for table in &figure.tables {
                let of =
                    if table.name.is_empty() { String::new() } else { format!("-{}", table.name) };
                let path = dir.join(format!("{name}{of}.csv"));
                Output::create(&path, self.force)?.finish(&[tables::lines(table).as_bytes()])?;
                count += 1;
            }
            if !figure.marks.is_empty() {
                let path = dir.join(format!("{name}-marks.csv"));
                Output::create(&path, self.force)?.finish(&[tables::marks(figure).as_bytes()])?;
                count += 1;
            }
        }
        Ok(count)
    }
}

/// For its owner only, as the files are.
fn directory(option: &str, dir: &Path) -> Result<()> {
    let shown = escape::path(dir);
    let made = privilege::as_caller(|| DirBuilder::new().mode(0o700).create(dir));
    match made {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            if !dir.is_dir() {
                bail!("{option} {shown}: not a directory");
            }
            Ok(())
        }
        made => made.with_context(|| format!("cannot create {shown}")),
    }
}
