//! Computations that several event types share.

use crate::table::Value::{self, Null, U64};
use crate::table::origin::Inputs;

/// The difference of two sequence numbers, which wrap at 2^32.
pub(super) fn difference(a: u64, b: u64) -> u64 {
    (a as u32).wrapping_sub(b as u32).into()
}

/// `tcp_packets_in_flight()`.
pub(super) fn in_flight(
    [packets_out, sacked_out, lost_out, retrans_out]: Inputs,
) -> Value<'static> {
    U64(difference(packets_out + retrans_out, sacked_out + lost_out))
}

/// `tcp_compute_delivery_rate()`, in bytes per second.
pub(super) fn delivery_rate([delivered, mss, interval_us, ..]: Inputs) -> Value<'static> {
    if delivered == 0 || interval_us == 0 {
        return Null;
    }
    let bytes = delivered * mss;
    U64(match bytes.checked_mul(1_000_000) {
        Some(bytes) => bytes / interval_us,
        None => (u128::from(bytes) * 1_000_000 / u128::from(interval_us)) as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_wrap() {
        assert_eq!(difference(5, 10), 0xffff_fffb);
        assert_eq!(in_flight([10, 3, 2, 1]), U64(6));
        assert_eq!(in_flight([1, 3, 0, 0]), U64(0xffff_fffe));
    }

    #[test]
    fn a_delivery_rate_needs_a_sample() {
        assert_eq!(delivery_rate([10, 1_448, 1_000, 0]), U64(14_480_000));
        let most = u64::from(u32::MAX);
        assert_eq!(delivery_rate([most, most, 1_000_000, 0]), U64(most * most));
        assert_eq!(delivery_rate([10, 1_448, 0, 0]), Null);
        assert_eq!(delivery_rate([0, 1_448, 1_000, 0]), Null);
    }
}
