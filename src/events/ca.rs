//! The private state of congestion-control algorithms.
//!
//! Records carry the raw bytes of `icsk_ca_priv`. Their layout comes from the BTF of the kernel or of the algorithm's
//! module. So other layouts work, as do modules loaded later, and no program has to be relocated against module BTF,
//! which needs `CAP_SYS_ADMIN`.

use std::collections::BTreeMap;
use std::mem::offset_of;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::ca_columns::{CaField, Convert, FIELDS};
use super::common::slot;
use crate::skel::ProbeFullRecord as Record;
use crate::slot::Names::List;
use crate::slot::{Condition, Form, Names, Scale, Slot};
use crate::table::Value;

/// An algorithm whose state is shown.
#[derive(Debug)]
pub struct Algorithm {
    /// The columns' group and the name in `tcp_congestion_ops`.
    pub name: &'static str,
    /// The struct in `icsk_ca_priv`.
    pub type_name: &'static str,
    /// The module that defines it, if it is not built in.
    pub module: &'static str,
    /// Whether the socket of a record runs it. DCTCP without ECN is `dctcp-reno`, which keeps no state.
    pub runs: &'static [Condition],
}

/// In the columns' order.
pub const ALGORITHMS: &[Algorithm] = &[
    Algorithm {
        name: "cubic",
        type_name: "bictcp",
        module: "tcp_cubic",
        runs: &[runs_as("cubic")],
    },
    Algorithm { name: "bbr", type_name: "bbr", module: "tcp_bbr", runs: &[runs_as("bbr")] },
    Algorithm { name: "dctcp", type_name: "dctcp", module: "tcp_dctcp", runs: &[runs_as("dctcp")] },
];

const fn runs_as(name: &'static str) -> Condition {
    Condition::text(offset_of!(Record, ca.name), name)
}

/// Members that conversions need beside the column's own.
const LT_BW: (usize, &str) = (1, "lt_bw");
const LT_USE_BW: (usize, &str) = (1, "lt_use_bw");
/// Fractional bits of `DCTCP_MAX_ALPHA` and `BBR_UNIT`.
const ALPHA: Scale = Scale::Fraction(10);
const GAIN: Scale = Scale::Fraction(8);
/// `enum bbr_mode`.
pub const MODE_NAMES: Names = List(&["STARTUP", "DRAIN", "PROBE_BW", "PROBE_RTT"]);

const CA_PRIV: Slot =
    Slot::array(offset_of!(Record, ca_priv.bytes), |r: &Record| &r.ca_priv.bytes, Form::Text);
const MSS: Slot = slot!(Record, mss.mss);

/// Position of a member in `icsk_ca_priv`, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bits {
    pub offset: u32,
    pub size: u32,
}

impl Bits {
    /// The position of that slot's member.
    fn of(slot: Slot) -> Bits {
        let first = u32::from(slot.offset.saturating_sub(CA_PRIV.offset));
        Bits { offset: first * 8 + u32::from(slot.shift), size: slot.mask.count_ones() }
    }

    /// The slot in a record of `probe`; `None` if the member lies outside the bytes of the state.
    #[must_use]
    pub fn slot(self) -> Option<Slot> {
        let (first, shift) = (self.offset / 8, self.offset % 8);
        let end = self.offset.checked_add(self.size)?.div_ceil(8);
        let width = end - first;
        if !(1..=64).contains(&self.size) || width > 8 || end > CA_PRIV.width.into() {
            return None;
        }
        let slot = Slot::number(usize::from(CA_PRIV.offset) + first as usize, width as usize);
        Some(Slot { shift: shift as u8, mask: u64::MAX >> (64 - self.size), ..slot })
    }
}

/// The slots of all columns on this kernel. Stored by member, as versions differ in their columns.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, Bits>", into = "BTreeMap<String, Bits>")]
pub struct Layouts {
    id: u64,
    slots: Vec<Option<Slot>>,
    lt_bw: Option<Slot>,
    lt_use_bw: Option<Slot>,
}

/// Whatever their numbers are.
impl PartialEq for Layouts {
    fn eq(&self, other: &Self) -> bool {
        let positions = BTreeMap::<String, Bits>::from;
        positions(self.clone()) == positions(other.clone())
    }
}

impl Eq for Layouts {}

impl Layouts {
    /// `locate(algorithm, member path)` looks a member up in BTF.
    pub fn new(mut locate: impl FnMut(&Algorithm, &str) -> Option<Bits>) -> Self {
        let mut at = |(algorithm, member): (usize, &str)| {
            let slot = locate(&ALGORITHMS[algorithm], member)?.slot()?;
            Some(Slot { when: ALGORITHMS[algorithm].runs, ..slot })
        };
        let mut slot = |field: &CaField| {
            let slot = at((field.algorithm, field.member))?;
            Some(match field.convert {
                Convert::Number | Convert::Bandwidth => slot,
                Convert::NumberOrNone => Slot { unset: Some(u32::MAX.into()), ..slot },
                Convert::Bool => Slot { form: Form::Flag, ..slot },
                Convert::Gain => Slot { scale: GAIN, ..slot },
                Convert::Alpha => Slot { scale: ALPHA, ..slot },
                Convert::Mode => Slot { names: Some(MODE_NAMES), ..slot },
            })
        };
        let slots = FIELDS.iter().map(&mut slot).collect();
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Layouts { id, slots, lt_bw: at(LT_BW), lt_use_bw: at(LT_USE_BW) }
    }

    /// Differs between all that were made: tells whether anything may have changed.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// True if the position of that column's member is known.
    #[must_use]
    pub fn knows(&self, column: &str) -> bool {
        let index = FIELDS.iter().position(|field| field.column.name == column);
        index.is_some_and(|index| self.slot(index).is_some())
    }

    /// The slot of column `index` of [`FIELDS`], which is null if the socket runs another algorithm. `None` if this kernel's is
    /// not known.
    #[must_use]
    pub fn slot(&self, index: usize) -> Option<&Slot> {
        self.slots.get(index)?.as_ref()
    }

    /// True unless a member of that struct is known to be elsewhere than `locate` finds it.
    pub fn agrees(&self, type_name: &str, locate: impl Fn(&str, &str) -> Option<Bits>) -> bool {
        BTreeMap::<String, Bits>::from(self.clone()).iter().all(|(stored, bits)| {
            stored
                .split_once('.')
                .filter(|(of, _)| *of == type_name)
                .is_none_or(|(of, member)| locate(of, member) == Some(*bits))
        })
    }

    /// `bbr.bw`, whose slot this is, in bytes per second.
    #[must_use]
    pub fn bandwidth(&self, slot: &Slot, bytes: &[u8]) -> Value<'static> {
        let read = |slot: Option<Slot>| slot?.integer_value(bytes);
        let Some(max) = slot.integer_value(bytes) else {
            return Value::Null;
        };
        let in_use = read(self.lt_use_bw) == Some(1);
        let bw = if in_use { read(self.lt_bw).unwrap_or(max) } else { max };
        let mss = read(Some(MSS)).unwrap_or_default();
        let bytes = u128::from(bw) * u128::from(mss) * 1_000_000;
        Value::U64(u64::try_from(bytes >> 24).unwrap_or(u64::MAX))
    }
}

/// What column `index` of [`FIELDS`] is read from on any kernel: the state, the algorithm's name, and for a bandwidth the MSS.
pub fn places(index: usize) -> impl Iterator<Item = Range<usize>> {
    let CaField { algorithm, convert, .. } = &FIELDS[index];
    let mss = (*convert == Convert::Bandwidth).then_some(MSS);
    let slots = [CA_PRIV].into_iter().chain(mss).map(|slot| slot.offset.into()..slot.end());
    slots.chain(ALGORITHMS[*algorithm].runs.iter().map(Condition::place))
}

/// `bbr.bw.s.v`: the type and the member.
fn stored(algorithm: &Algorithm, member: &str) -> String {
    format!("{}.{member}", algorithm.type_name)
}

impl From<Layouts> for BTreeMap<String, Bits> {
    fn from(layouts: Layouts) -> Self {
        let columns = FIELDS.iter().map(|field| (field.algorithm, field.member));
        let members = columns.zip(layouts.slots);
        let all = members.chain([(LT_BW, layouts.lt_bw), (LT_USE_BW, layouts.lt_use_bw)]);
        let name = |(algorithm, member): (usize, &str)| stored(&ALGORITHMS[algorithm], member);
        all.filter_map(|(member, slot)| Some((name(member), Bits::of(slot?)))).collect()
    }
}

impl From<BTreeMap<String, Bits>> for Layouts {
    fn from(bits: BTreeMap<String, Bits>) -> Self {
        Layouts::new(|algorithm, member| bits.get(&stored(algorithm, member)).copied())
    }
}

/// Whether the socket of a record runs that algorithm; never for one that is not in the list.
#[must_use]
pub fn runs(name: &str) -> &'static [Condition] {
    let algorithm = ALGORITHMS.iter().find(|algorithm| algorithm.name == name);
    algorithm.map_or(&[Condition::NEVER], |algorithm| algorithm.runs)
}

/// Names from the kernel end at the first NUL, and may have any bytes before it.
#[must_use]
pub fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skel::bytes;

    #[test]
    fn bits_lie_in_the_state_or_nowhere() {
        let mut record = Record::default();
        record.ca_priv.bytes[..3].copy_from_slice(&[0b1010_0000, 0b0000_0101, 0xff]);
        record.ca_priv.bytes[103] = 0x80;
        let read = |offset, size| Bits { offset, size }.slot()?.integer_value(bytes(&record));
        assert_eq!(read(5, 6), Some(0b10_1101));
        assert_eq!(read(0, 24), Some(0xff_05a0));
        assert_eq!(read(103 * 8 + 7, 1), Some(1));
        assert_eq!(read(103 * 8 + 7, 2), None);
        assert_eq!(read(1, 64), None, "nine bytes");
        assert_eq!(read(0, 0), None);
        assert_eq!(read(0, 65), None);
        assert_eq!(read(u32::MAX - 64, 64), None);
        assert_eq!(read(u32::MAX, 64), None);
    }

    #[test]
    fn a_name_ends_at_its_nul_and_nowhere_else() {
        assert_eq!(until_nul(b"bbr\0xx"), b"bbr");
        assert_eq!(until_nul(b"a\xff\xfe"), b"a\xff\xfe");
        assert_eq!(until_nul(b""), b"");
    }

    #[test]
    fn bandwidth_is_computed_as_ss_shows_it() {
        let layouts = Layouts::new(|_, member| match member {
            "bw.s.v" => Some(Bits { offset: 0, size: 32 }),
            "lt_bw" => Some(Bits { offset: 32, size: 32 }),
            "lt_use_bw" => Some(Bits { offset: 64, size: 1 }),
            _ => None,
        });
        let index = FIELDS.iter().position(|f| f.column.name == "bbr.bw").unwrap();
        let bw = |record: &Record| layouts.bandwidth(layouts.slot(index).unwrap(), bytes(record));
        let mut record = Record::default();
        record.mss.mss = 1448;
        record.ca.name[..3].copy_from_slice(b"bbr");
        // 1 packet per ms
        record.ca_priv.bytes[..4].copy_from_slice(&(((1u64 << 24) / 1000) as u32).to_le_bytes());
        assert_eq!(bw(&record), Value::U64(1_447_981));
        record.ca_priv.bytes[8] = 1;
        assert_eq!(bw(&record), Value::U64(0));
        record.ca.name[3] = b'x';
        assert_eq!(bw(&record), Value::Null);
    }
}
