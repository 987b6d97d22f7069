//! The tables of the last intervals, for steps back in time.

use std::collections::VecDeque;
use std::rc::Rc;

use super::rows::Row;

/// Rows that are kept at most, in all tables; one table is always kept.
const MOST_ROWS: usize = 10_000;
/// Tables that are kept at most.
const MOST_TABLES: usize = 600;

/// All connections at the end of an interval.
#[derive(Clone)]
pub struct Table {
    pub at_ns: u64,
    pub interval_ns: u64,
    pub rows: Rc<Vec<Row>>,
}

#[derive(Default)]
pub struct Past {
    /// By time.
    tables: VecDeque<Table>,
    rows: usize,
    /// Earlier tables were removed.
    is_cut: bool,
}

impl Past {
    /// Adds a table, which is newer than all others.
    pub fn add(&mut self, table: Table) {
        while self.tables.back().is_some_and(|newest| newest.at_ns >= table.at_ns) {
            self.rows -= self.tables.pop_back().map_or(0, |newest| newest.rows.len());
        }
        self.rows += table.rows.len();
        self.tables.push_back(table);
        while self.tables.len() > MOST_TABLES || (self.rows > MOST_ROWS && self.tables.len() > 1) {
            self.rows -= self.tables.pop_front().map_or(0, |oldest| oldest.rows.len());
            self.is_cut = true;
        }
    }

    /// The newest table up to that time; if all are later, the first.
    #[must_use]
    pub fn at(&self, ns: u64) -> Option<&Table> {
        self.tables.get(self.before(ns).saturating_sub(1))
    }

    /// How many tables there are up to that time.
    fn before(&self, ns: u64) -> usize {
        self.tables.partition_point(|table| table.at_ns <= ns)
    }

    /// The time of the table before or after that time.
    #[must_use]
    pub fn beside(&self, ns: u64, forward: bool) -> Option<u64> {
        let before = self.before(ns);
        let at = match forward {
            true => before,
            // The table of this very time is not before it.
            false => self.tables.partition_point(|table| table.at_ns < ns).checked_sub(1)?,
        };
        self.tables.get(at).map(|table| table.at_ns)
    }

    /// The time of the oldest table, if earlier ones were removed.
    #[must_use]
    pub fn cut_ns(&self) -> Option<u64> {
        self.tables.front().filter(|_| self.is_cut).map(|table| table.at_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_found_by_time() {
        let mut past = Past::default();
        assert!(past.at(5).is_none() && past.beside(5, true).is_none());
        for at_ns in [10, 20, 30] {
            past.add(Table { at_ns, interval_ns: 10, rows: Rc::default() });
        }
        let at = |ns| past.at(ns).map(|table| table.at_ns);
        assert_eq!([0, 10, 19, 20, 99].map(at), [10, 10, 10, 20, 30].map(Some));
        assert_eq!([20, 25, 30].map(|ns| past.beside(ns, true)), [Some(30), Some(30), None]);
        assert_eq!([10, 20, 25].map(|ns| past.beside(ns, false)), [None, Some(10), Some(20)]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut past = Past::default();
        for at_ns in 0..2 * MOST_TABLES as u64 {
            past.add(Table { at_ns, interval_ns: 1, rows: Rc::default() });
        }
        assert_eq!((past.tables.len(), past.cut_ns()), (MOST_TABLES, Some(MOST_TABLES as u64)));
    }
}
