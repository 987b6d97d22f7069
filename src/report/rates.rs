//! The delivered rate of a connection. `series.js` has the same for the panels.

use super::connection::Connection;

/// The window of the mean.
pub const WINDOW_NS: u64 = 100_000_000;

/// Bytes that were delivered up to each sample: segments times MSS, as `bytes_acked` stands still in recovery and then jumps.
#[must_use]
pub fn delivered(connection: &Connection) -> Vec<u64> {
    let samples = &connection.samples;
    let (delivered, mss) = (samples.column("delivered"), samples.column("mss"));
    let (acked, received) = (samples.column("bytes_acked"), samples.column("bytes_received"));
    let is_receiver = received.growth() > acked.growth();
    let counter = if is_receiver { received } else { acked };
    if is_receiver || delivered.is_empty() || mss.is_empty() {
        let first = counter.ends().map_or(0, |(first, _)| first);
        let of = |row| counter.get(row).unwrap_or(first).saturating_sub(first);
        return (0..samples.len()).map(of).collect();
    }
    let mut sum = 0;
    let mut before = None;
    let add = |row| {
        let now = delivered.get(row);
        if let (Some(before), Some(now)) = (before, now) {
            sum += u64::saturating_sub(now, before) * mss.get(row).unwrap_or_default();
        }
        before = now.or(before);
        sum
    };
    (0..samples.len()).map(add).collect()
}

/// Its mean over the last 100 ms in bits per second, where there is one.
#[must_use]
pub fn mean(connection: &Connection, delivered: &[u64]) -> Vec<Option<f64>> {
    let times = &connection.samples.time_ns;
    let srtt = connection.samples.column("srtt_us");
    let is_gap = |row: usize| connection.gaps.iter().any(|gap| gap.row == row);
    let (mut from, mut border) = (0, 0);
    let mut rates = vec![None; times.len()];
    for row in 1..times.len() {
        if is_gap(row) {
            (from, border) = (row, row);
        }
        let span = WINDOW_NS.max(srtt.get(row).unwrap_or_default().saturating_mul(2000));
        while from + 1 < row && times[row] - times[from + 1] >= span {
            from += 1;
        }
        let least = if from == border { span.min(20_000_000) } else { 0 };
        let width = (times[row] - times[from]).max(least);
        if row > from && width > 0 {
            let bytes = delivered[row].saturating_sub(delivered[from]);
            rates[row] = Some(bytes as f64 * 8e9 / width as f64);
        }
    }
    rates
}
