//! The private state of congestion-control algorithms.
//!
//! Records carry the raw bytes of `icsk_ca_priv`. Their layout comes from the BTF of the kernel or of the algorithm's
//! module. So other layouts work, as do modules loaded later, and no program has to be relocated against module BTF,
//! which needs `CAP_SYS_ADMIN`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ca_columns::{Convert, FIELDS};
use crate::skel::Sock;
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
}

/// In the columns' order.
pub const ALGORITHMS: &[Algorithm] = &[
    Algorithm { name: "cubic", type_name: "bictcp", module: "tcp_cubic" },
    Algorithm { name: "bbr", type_name: "bbr", module: "tcp_bbr" },
    Algorithm { name: "dctcp", type_name: "dctcp", module: "tcp_dctcp" },
];

/// Members that conversions need beside the column's own.
const LT_BW: (usize, &str) = (1, "lt_bw");
const LT_USE_BW: (usize, &str) = (1, "lt_use_bw");
const ALPHA_ONE: f64 = 1024.0;
const GAIN_ONE: f64 = 256.0;

/// Position of a member in `icsk_ca_priv`, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bits {
    pub offset: u32,
    pub size: u32,
}

impl Bits {
    /// The value of the member; `None` if it lies outside the bytes.
    #[must_use]
    pub fn read(self, bytes: &[u8]) -> Option<u64> {
        let (first, shift) = ((self.offset / 8) as usize, self.offset % 8);
        let last = self.offset.checked_add(self.size)?.div_ceil(8) as usize;
        if self.size == 0 || self.size > 64 || last > bytes.len() || last - first > 8 {
            return None;
        }
        let mut word = [0; 8];
        word[..last - first].copy_from_slice(&bytes[first..last]);
        let value = u64::from_le_bytes(word) >> shift;
        Some(if self.size == 64 { value } else { value & ((1 << self.size) - 1) })
    }
}

/// Position of every column's member on a kernel. Stored by member, as versions differ in their columns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, Bits>", into = "BTreeMap<String, Bits>")]
pub struct Layouts {
    fields: Vec<Option<Bits>>,
    lt_bw: Option<Bits>,
    lt_use_bw: Option<Bits>,
}

impl Layouts {
    /// `locate(algorithm, member path)` looks a member up in BTF.
    pub fn new(mut locate: impl FnMut(&Algorithm, &str) -> Option<Bits>) -> Self {
        let mut at = |(algorithm, member): (usize, &str)| locate(&ALGORITHMS[algorithm], member);
        Layouts {
            fields: FIELDS.iter().map(|f| at((f.algorithm, f.member))).collect(),
            lt_bw: at(LT_BW),
            lt_use_bw: at(LT_USE_BW),
        }
    }

    /// True if the position of that column's member is known.
    #[must_use]
    pub fn knows(&self, column: &str) -> bool {
        let index = FIELDS.iter().position(|field| field.column.name == column);
        index.and_then(|index| self.fields.get(index)).is_some_and(Option::is_some)
    }

    /// The value of column `index` of [`FIELDS`]; null if the socket runs another algorithm.
    #[must_use]
    pub fn value(&self, index: usize, algorithm: Option<usize>, sock: &Sock) -> Value<'static> {
        let field = &FIELDS[index];
        if algorithm != Some(field.algorithm) {
            return Value::Null;
        }
        let read = |bits: Option<Bits>| bits.and_then(|bits| bits.read(&sock.ca_priv));
        let Some(raw) = read(self.fields.get(index).copied().flatten()) else {
            return Value::Null;
        };
        match field.convert {
            Convert::Number => Value::U64(raw),
            Convert::NumberOrNone => Value::unless(raw, u32::MAX.into()),
            Convert::Bool => Value::Bool(raw != 0),
            Convert::Gain => Value::F64(raw as f64 / GAIN_ONE),
            Convert::Alpha => Value::F64(raw as f64 / ALPHA_ONE),
            Convert::Mode => mode(raw).map_or(Value::Null, Value::Str),
            Convert::Bandwidth => {
                let in_use = read(self.lt_use_bw) == Some(1);
                let bw = if in_use { read(self.lt_bw).unwrap_or(raw) } else { raw };
                let bytes = u128::from(bw) * u128::from(sock.mss) * 1_000_000;
                Value::U64(u64::try_from(bytes >> 24).unwrap_or(u64::MAX))
            }
        }
    }
}

/// `bbr.bw.s.v`: the type and the member.
fn stored(algorithm: &Algorithm, member: &str) -> String {
    format!("{}.{member}", algorithm.type_name)
}

impl From<Layouts> for BTreeMap<String, Bits> {
    fn from(layouts: Layouts) -> Self {
        let columns = FIELDS.iter().map(|field| (field.algorithm, field.member));
        let members = columns.zip(layouts.fields);
        let all = members.chain([(LT_BW, layouts.lt_bw), (LT_USE_BW, layouts.lt_use_bw)]);
        let name = |(algorithm, member): (usize, &str)| stored(&ALGORITHMS[algorithm], member);
        all.filter_map(|(member, bits)| Some((name(member), bits?))).collect()
    }
}

impl From<BTreeMap<String, Bits>> for Layouts {
    fn from(bits: BTreeMap<String, Bits>) -> Self {
        Layouts::new(|algorithm, member| bits.get(&stored(algorithm, member)).copied())
    }
}

/// Which of [`ALGORITHMS`] the socket runs. DCTCP without ECN is `dctcp-reno`, which keeps no state.
#[must_use]
pub fn algorithm(sock: &Sock) -> Option<usize> {
    let name = name(sock);
    ALGORITHMS.iter().position(|algorithm| algorithm.name.as_bytes() == name)
}

/// The algorithm's name.
#[must_use]
pub fn name(sock: &Sock) -> &[u8] {
    until_nul(&sock.ca_name)
}

/// Names from the kernel end at the first NUL, and may have any bytes before it.
#[must_use]
pub fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

fn mode(raw: u64) -> Option<&'static str> {
    ["STARTUP", "DRAIN", "PROBE_BW", "PROBE_RTT"].get(usize::try_from(raw).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_read_across_bytes_and_never_beyond() {
        let bytes = [0b1010_0000, 0b0000_0101, 0xff];
        assert_eq!(Bits { offset: 5, size: 6 }.read(&bytes), Some(0b10_1101));
        assert_eq!(Bits { offset: 0, size: 24 }.read(&bytes), Some(0xff_05a0));
        assert_eq!(Bits { offset: 17, size: 8 }.read(&bytes), None);
        assert_eq!(Bits { offset: 0, size: 0 }.read(&bytes), None);
        assert_eq!(Bits { offset: u32::MAX - 64, size: 64 }.read(&bytes), None);
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
        let mut sock = Sock { mss: 1448, ..Sock::default() };
        sock.ca_name[..3].copy_from_slice(b"bbr");
        // 1 packet per ms
        sock.ca_priv[..4].copy_from_slice(&(((1u64 << 24) / 1000) as u32).to_le_bytes());
        assert_eq!(layouts.value(index, algorithm(&sock), &sock), Value::U64(1_447_981));
        sock.ca_priv[8] = 1;
        assert_eq!(layouts.value(index, algorithm(&sock), &sock), Value::U64(0));
        sock.ca_name[0] = b'x';
        assert_eq!(algorithm(&sock), None);
        assert_eq!(layouts.value(index, None, &sock), Value::Null);
    }
}
