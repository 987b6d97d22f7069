//! What limits each connection, as the programs of `limits` account for it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use anyhow::Result;

use super::follow::Side;
use super::programs::Programs;
use super::rows::Limit;
use crate::config::summary::{Limits, LimitsBy};
use crate::summary::Aggregate;
use crate::summary::limits::LimitsTable;
use crate::summary::limits::columns::CAUSES;
use crate::summary::totals::Intervals;

/// The rows that are counted, and not printed.
#[must_use]
pub fn options() -> Limits {
    Limits { by: vec![LimitsBy::Conn], min_share: 0, rows: None }
}

pub struct LimitsOf<'s> {
    pub side: Side<'s>,
    accounts: Rc<RefCell<Intervals<LimitsTable>>>,
}

impl<'s> LimitsOf<'s> {
    pub fn new(programs: &'s Programs<'_, '_>) -> Result<Self> {
        let accounts = Rc::new(RefCell::new(Intervals::new(LimitsTable::new(&options()), true)));
        let taking = Rc::clone(&accounts);
        let side = Side::of_rows(programs, move |bytes| taking.borrow_mut().record(bytes))?;
        accounts.borrow_mut().begin(&programs.loaded)?;
        Ok(LimitsOf { side, accounts })
    }

    /// The main cause of the interval since the last call, by cookie.
    pub fn poll(&mut self, programs: &Programs<'_, '_>) -> Result<HashMap<u64, Limit>> {
        self.side.drain()?;
        self.accounts.borrow_mut().poll(&programs.loaded)?;
        self.side.drain()?;
        let rows = self.accounts.borrow_mut().rows(&programs.loaded)?.rows;
        let main = |row: &crate::summary::limits::ConnectionRow| {
            let limit = Limit::main(row.counts.0.get(..CAUSES)?)?;
            Some((row.gauges.event.head.cookie, limit))
        };
        Ok(rows.iter().filter_map(|(_, row)| main(row)).collect())
    }
}
