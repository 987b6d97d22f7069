//! Halves the samples of a connection that has very many, and keeps the extremes that one can see.

use super::connection::Samples;
use super::series;

/// Rows that become half as many.
const BLOCK: usize = 64;
/// The columns whose smallest and largest number of a block are kept.
const SEEN: [&str; 6] =
    ["snd_cwnd", "srtt_us", "delivery_rate", "pacing_rate", "bytes_in_flight", "packets_in_flight"];

/// Of each block, keeps the first and the last row, those with extremes, and others up to half of them.
pub fn thin(samples: &mut Samples) {
    let mut kept = Vec::with_capacity(samples.len() / 2 + BLOCK);
    let columns: Vec<usize> = SEEN.iter().map(|name| series::at(name)).collect();
    let state = series::at("ca_state");
    for from in (0..samples.len()).step_by(BLOCK) {
        let to = (from + BLOCK).min(samples.len());
        let mut keep = vec![false; to - from];
        let mut room = (to - from) / 2;
        let mut mark = |row: usize| {
            if !std::mem::replace(&mut keep[row - from], true) {
                room = room.saturating_sub(1);
            }
        };
        mark(from);
        mark(to - 1);
        for at in &columns {
            let column = &samples.columns[*at];
            let of = |row: &usize| column.get(*row);
            let rows = || (from..to).filter(|row| of(row).is_some());
            rows().min_by_key(of).into_iter().for_each(&mut mark);
            rows().max_by_key(of).into_iter().for_each(&mut mark);
        }
        let word = |row: usize| samples.columns[state].get(row);
        (from + 1..to).filter(|row| word(*row) != word(row - 1)).take(8).for_each(&mut mark);
        for row in (from..to).step_by(2) {
            if room == 0 {
                break;
            }
            if !std::mem::replace(&mut keep[row - from], true) {
                room -= 1;
            }
        }
        kept.extend((from..to).filter(|row| keep[row - from]));
    }
    samples.time_ns = kept.iter().map(|row| samples.time_ns[*row]).collect();
    samples.columns.iter_mut().for_each(|column| column.retain(&kept));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_stay() {
        let mut samples = Samples::default();
        let cwnd = series::at("snd_cwnd");
        let rows: u64 = 10_000;
        for row in 0..rows {
            samples.time_ns.push(row * 1000);
            let value = if row == 4321 { 900 } else { 10 + row % 7 };
            samples.columns[cwnd].set(row as usize, Some(value));
        }
        thin(&mut samples);
        assert!((4000..6000).contains(&samples.len()), "{}", samples.len());
        assert_eq!((samples.time_ns[0], *samples.time_ns.last().unwrap()), (0, 9_999_000));
        let at = samples.time_ns.iter().position(|ns| *ns == 4_321_000).unwrap();
        assert_eq!(samples.columns[cwnd].get(at), Some(900));
    }
}
