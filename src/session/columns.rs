//! Which columns are printed.

use anyhow::Result;

use crate::config::{Fields, Usage};
use crate::kernel::Kernel;
use crate::probe::Kind;
use crate::table::{Column, Selected, Set};

/// The columns, in output order.
#[derive(Clone, Debug)]
pub struct Selection {
    pub columns: Vec<Selected>,
    /// One of them needs more than the standard record.
    pub full: bool,
    /// One of them tells the owner's process.
    pub owner: bool,
}

/// Columns that need the owner to be known.
const OWNER: &[&str] = &["pid", "comm"];

/// Chooses and checks; an unknown name is refused with the nearest one.
pub fn select(kind: &Kind, fields: &Fields, kernel: &Kernel) -> Result<Selection> {
    let all = (kind.columns)();
    let chosen: Vec<usize> = match fields {
        Fields::Standard => (0..all.len()).filter(|&i| all[i].set == Set::Standard).collect(),
        Fields::All => (0..all.len()).collect(),
        Fields::Named(names) => {
            let mut chosen = Vec::new();
            for name in names {
                chosen.extend(named(kind, &all, name)?);
            }
            chosen
        }
    };
    let columns: Vec<Selected> = chosen
        .into_iter()
        .map(|index| {
            let column = all[index];
            Selected {
                index,
                column,
                present: column.need.is_none_or(|need| kernel.has_member(need)),
            }
        })
        .collect();
    let full = columns.iter().any(|s| s.column.set == Set::Full);
    let owner = columns.iter().any(|s| OWNER.contains(&s.column.name));
    Ok(Selection { columns, full, owner })
}

/// A column, or all of a group (`bbr`).
fn named(kind: &Kind, all: &[&'static Column], name: &str) -> Result<Vec<usize>> {
    let found: Vec<usize> =
        (0..all.len()).filter(|&i| all[i].name == name || all[i].group() == Some(name)).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    // Of equals the first in output order, so backwards: max_by takes the last.
    let near = all
        .iter()
        .rev()
        .map(|column| (likeness(name, column.name), column.name))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = near.map_or_else(String::new, |(_, near)| format!(" (is it {near}?)"));
    Err(Usage(format!(
        "no field `{name}` in {}{hint}; all fields: tcc-trace schema {}",
        kind.name, kind.name
    ))
    .into())
}

/// A part of a name (`cwnd`) is as good as a slip of the pen.
fn likeness(asked: &str, name: &str) -> f64 {
    let slip = strsim::jaro_winkler(asked, name);
    if name.ends_with(&format!("_{asked}")) { slip.max(0.9) } else { slip }
}
