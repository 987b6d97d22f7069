//! Layouts of `struct bbr` and `struct dctcp` in mainline, for kernels whose modules have no BTF (before 5.11, or built
//! without it). They have not changed from 5.1 to 7.x; a test compares them with the BTF of every kernel that has it.

use super::ca::Bits;

/// Type, member, offset and size in bits.
pub const MEMBERS: &[(&str, &str, u32, u32)] = &[
    ("bbr", "min_rtt_us", 0, 32),
    ("bbr", "bw.s.v", 128, 32),
    ("bbr", "rtt_cnt", 288, 32),
    ("bbr", "next_rtt_delivered", 320, 32),
    ("bbr", "mode", 448, 3),
    ("bbr", "prev_ca_state", 451, 3),
    ("bbr", "packet_conservation", 454, 1),
    ("bbr", "round_start", 455, 1),
    ("bbr", "idle_restart", 456, 1),
    ("bbr", "lt_is_sampling", 471, 1),
    ("bbr", "lt_rtt_cnt", 472, 7),
    ("bbr", "lt_use_bw", 479, 1),
    ("bbr", "lt_bw", 480, 32),
    ("bbr", "pacing_gain", 608, 10),
    ("bbr", "cwnd_gain", 618, 10),
    ("bbr", "full_bw_reached", 628, 1),
    ("bbr", "full_bw_cnt", 629, 2),
    ("bbr", "cycle_idx", 631, 3),
    ("bbr", "prior_cwnd", 640, 32),
    ("dctcp", "old_delivered", 0, 32),
    ("dctcp", "old_delivered_ce", 32, 32),
    ("dctcp", "prior_rcv_nxt", 64, 32),
    ("dctcp", "dctcp_alpha", 96, 32),
    ("dctcp", "next_seq", 128, 32),
    ("dctcp", "ce_state", 160, 32),
    ("dctcp", "loss_cwnd", 192, 32),
];

/// True if the layout of that type is known.
#[must_use]
pub fn knows(type_name: &str) -> bool {
    MEMBERS.iter().any(|(t, ..)| *t == type_name)
}

/// Position of the member in mainline.
#[must_use]
pub fn locate(type_name: &str, member: &str) -> Option<Bits> {
    let (_, _, offset, size) = MEMBERS.iter().find(|(t, m, ..)| (*t, *m) == (type_name, member))?;
    Some(Bits { offset: *offset, size: *size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{ca, ca_columns};

    #[test]
    fn every_column_of_the_two_has_its_place() {
        for field in ca_columns::FIELDS {
            let type_name = ca::ALGORITHMS[field.algorithm].type_name;
            if type_name != "bictcp" {
                assert!(locate(type_name, field.member).is_some(), "{}", field.column.name);
            }
        }
    }
}
