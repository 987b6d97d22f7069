//! The columns of samples that a page draws, and how they are kept.

/// How a column's value becomes a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// Unsigned; of a signed one, what is below zero counts as zero.
    Number,
    /// 0 or 1.
    Flag,
    /// The place of the word in a list that the page gets, too.
    Word,
    /// In millionths: gains, shares.
    Millionths,
    /// A sequence number: the distance from the first one, without wraps.
    Offset,
    /// For what is computed of it; the page does not have it.
    Hidden,
}

/// Columns of `probe` by their names, which the page uses, too; and what is known of the time up to a sample from elsewhere: `queue` events
/// and the connection's other end. Those without any value take no room.
pub const SERIES: &[(&str, Store)] = &[
    ("snd_cwnd", Store::Number),
    ("ssthresh", Store::Number),
    ("packets_in_flight", Store::Number),
    ("snd_wnd", Store::Number),
    ("srtt_us", Store::Number),
    ("min_rtt_us", Store::Number),
    ("mdev_us", Store::Number),
    ("delivered", Store::Number),
    ("delivered_ce", Store::Number),
    ("mss", Store::Number),
    ("delivery_rate", Store::Number),
    ("pacing_rate", Store::Number),
    ("app_limited", Store::Flag),
    ("bytes_acked", Store::Number),
    ("bytes_received", Store::Number),
    ("segs_in", Store::Number),
    ("data_segs_out", Store::Number),
    ("total_retrans", Store::Number),
    ("snd_una", Store::Offset),
    ("bytes_in_flight", Store::Number),
    ("notsent_bytes", Store::Number),
    ("wmem_alloc", Store::Number),
    ("rcv_nxt", Store::Hidden),
    ("data_len", Store::Hidden),
    ("queue.queue_us", Store::Number),
    ("queue.qdisc_us", Store::Number),
    ("queue.backlog_bytes", Store::Number),
    ("delay.unsent_us", Store::Number),
    ("delay.qdisc_us", Store::Number),
    ("delay.path_us", Store::Number),
    ("delay.read_us", Store::Number),
    ("delay.return_us", Store::Number),
    ("ca_state", Store::Word),
    ("cubic.last_max_cwnd", Store::Number),
    ("cubic.bic_origin_point", Store::Number),
    ("cubic.tcp_cwnd", Store::Number),
    ("cubic.bic_k", Store::Number),
    ("cubic.delay_min_us", Store::Number),
    ("cubic.found", Store::Flag),
    ("bbr.bw", Store::Number),
    ("bbr.min_rtt_us", Store::Number),
    ("bbr.mode", Store::Word),
    ("bbr.pacing_gain", Store::Millionths),
    ("bbr.cwnd_gain", Store::Millionths),
    ("bbr.full_bw_cnt", Store::Number),
    ("bbr.lt_use_bw", Store::Flag),
    ("bbr.prior_cwnd", Store::Number),
    ("dctcp.alpha", Store::Millionths),
    ("dctcp.loss_cwnd", Store::Number),
];

/// The place of a column in [`SERIES`]; past its end if there is none.
#[must_use]
pub fn at(name: &str) -> usize {
    SERIES.iter().position(|(known, _)| *known == name).unwrap_or(SERIES.len())
}

/// Numbers, row by row, of which each may be null. A column takes four bytes a row, or eight if a number needs them, and none
/// while all are null.
#[derive(Clone, Debug, Default)]
pub struct Column {
    /// The number plus one; 0 is null.
    low: Vec<u32>,
    high: Vec<u32>,
}

/// The largest number that a page can have.
const MOST: u64 = (1 << 53) - 2;

impl Column {
    /// One without any number.
    #[must_use]
    pub const fn none() -> Self {
        Column { low: Vec::new(), high: Vec::new() }
    }

    /// Sets a row behind all others; those between are null.
    pub fn set(&mut self, row: usize, value: Option<u64>) {
        let Some(value) = value else { return };
        let stored = value.min(MOST) + 1;
        let high = (stored >> 32) as u32;
        self.low.resize(row, 0);
        self.low.push(stored as u32);
        if high > 0 || !self.high.is_empty() {
            self.high.resize(row, 0);
            self.high.push(high);
        }
    }

    #[must_use]
    pub fn get(&self, row: usize) -> Option<u64> {
        let low = u64::from(self.low.get(row).copied().unwrap_or_default());
        let high = u64::from(self.high.get(row).copied().unwrap_or_default());
        (high << 32 | low).checked_sub(1)
    }

    /// Whether no row has a number.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.low.is_empty()
    }

    /// The stored halves, each with that many rows.
    #[must_use]
    pub fn halves(&self, rows: usize) -> [Option<Vec<u32>>; 2] {
        [&self.low, &self.high].map(|half| {
            (!half.is_empty()).then(|| {
                let mut half = half.clone();
                half.resize(rows, 0);
                half
            })
        })
    }

    /// The rows of that list only.
    pub fn retain(&mut self, rows: &[usize]) {
        for half in [&mut self.low, &mut self.high] {
            if !half.is_empty() {
                *half = rows.iter().map(|row| half.get(*row).copied().unwrap_or(0)).collect();
            }
        }
    }

    /// The first and the last number.
    #[must_use]
    pub fn ends(&self) -> Option<(u64, u64)> {
        let rows = self.low.len();
        let first = (0..rows).find_map(|row| self.get(row))?;
        let last = (0..rows).rev().find_map(|row| self.get(row))?;
        Some((first, last))
    }

    /// By how much a counter grew.
    #[must_use]
    pub fn growth(&self) -> Option<u64> {
        self.ends().map(|(first, last)| last.saturating_sub(first))
    }

    /// All numbers in ascending order.
    #[must_use]
    pub fn sorted(&self) -> Vec<u64> {
        let mut all: Vec<u64> = (0..self.low.len()).filter_map(|row| self.get(row)).collect();
        all.sort_unstable();
        all
    }
}

/// The words of a column, by number.
#[derive(Clone, Debug, Default)]
pub struct Words(Vec<String>);

/// Most words of one column.
const MOST_WORDS: usize = 64;

impl Words {
    /// The number of a word; `None` if there are too many.
    pub fn number(&mut self, word: &str) -> Option<u64> {
        let known = self.0.iter().position(|known| known == word);
        if known.is_none() && self.0.len() < MOST_WORDS {
            self.0.push(word.to_owned());
        }
        let number = known.or((self.0.last()? == word).then(|| self.0.len() - 1))?;
        u64::try_from(number).ok()
    }

    #[must_use]
    pub fn get(&self, number: u64) -> &str {
        usize::try_from(number).ok().and_then(|at| self.0.get(at)).map_or("", String::as_str)
    }

    #[must_use]
    pub fn all(&self) -> &[String] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_nulls_are_kept() {
        let mut column = Column::default();
        assert!(column.is_empty() && column.ends().is_none());
        let values = [None, Some(0), Some(u64::from(u32::MAX)), None, Some(1 << 40), Some(7)];
        values.iter().enumerate().for_each(|(row, value)| column.set(row, *value));
        let read: Vec<Option<u64>> = (0..values.len()).map(|row| column.get(row)).collect();
        assert_eq!(read, values);
        assert_eq!(column.ends(), Some((0, 7)));
        assert_eq!(column.sorted(), [0, 7, u64::from(u32::MAX), 1 << 40]);
        let [low, high] = column.halves(8);
        assert_eq!((low.unwrap().len(), high.unwrap().len()), (8, 8));
        column.retain(&[1, 4]);
        assert_eq!([column.get(0), column.get(1), column.get(2)], [Some(0), Some(1 << 40), None]);
    }

    #[test]
    fn words_are_numbered_in_order() {
        let mut words = Words::default();
        assert_eq!(
            [words.number("Open"), words.number("Loss"), words.number("Open")],
            [Some(0), Some(1), Some(0)]
        );
        for at in 0..2 * MOST_WORDS {
            let _ = words.number(&at.to_string());
        }
        assert_eq!(words.number("one too many"), None);
        assert_eq!(words.get(1), "Loss");
    }
}
