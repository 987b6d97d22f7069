//! Names of numbers.

use std::sync::OnceLock;

/// Where the names of a slot's numbers are.
#[derive(Clone, Copy, Debug)]
pub enum Names {
    /// By number, from 0.
    List(&'static [&'static str]),
    /// Of single numbers.
    Pairs(&'static [(u64, &'static str)]),
    /// Of single bits, which may be combined.
    Flags(&'static Flags),
    /// An enum that differs between kernels.
    Kernel(KernelEnum),
}

/// An enum whose names are read from the running kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelEnum {
    /// `enum sk_rst_reason`.
    ResetReason,
    /// `enum skb_drop_reason`, and those of subsystems.
    DropReason,
}

/// Bits with names, from the lowest on. Several are joined by `|`.
#[derive(Debug)]
pub struct Flags {
    pub bits: &'static [&'static str],
    sets: OnceLock<Vec<String>>,
}

impl Flags {
    /// At most 16 bits.
    #[must_use]
    pub const fn new(bits: &'static [&'static str]) -> Self {
        assert!(bits.len() <= 16);
        Flags { bits, sets: OnceLock::new() }
    }

    /// `None` if a bit has no name.
    #[must_use]
    pub fn name(&'static self, flags: u64) -> Option<&'static str> {
        let sets = self.sets.get_or_init(|| {
            let set = |flags: usize| {
                let names = self.bits.iter().enumerate().filter(|(bit, _)| flags >> bit & 1 == 1);
                names.map(|(_, name)| *name).collect::<Vec<_>>().join("|")
            };
            (0..1 << self.bits.len()).map(set).collect()
        });
        sets.get(usize::try_from(flags).ok()?).map(String::as_str)
    }
}

impl Names {
    /// The name of a number; `None` also for the enums of the running kernel.
    #[must_use]
    pub fn name(self, number: u64) -> Option<&'static str> {
        match self {
            Names::List(names) => names.get(usize::try_from(number).ok()?).copied(),
            Names::Pairs(pairs) => {
                pairs.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
            }
            Names::Flags(flags) => flags.name(number),
            Names::Kernel(_) => None,
        }
    }
}

impl PartialEq for Names {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Names::List(a), Names::List(b)) => a == b,
            (Names::Pairs(a), Names::Pairs(b)) => a == b,
            (Names::Flags(a), Names::Flags(b)) => a.bits == b.bits,
            (Names::Kernel(a), Names::Kernel(b)) => a == b,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_names_in_every_combination() {
        static FLAGS: Flags = Flags::new(&["FIN", "SYN", "RST"]);
        assert_eq!(FLAGS.name(0), Some(""));
        assert_eq!(FLAGS.name(5), Some("FIN|RST"));
        assert_eq!(FLAGS.name(8), None);
    }

    #[test]
    fn only_known_numbers_have_names() {
        assert_eq!(Names::List(&["a", "b"]).name(1), Some("b"));
        assert_eq!(Names::List(&["a", "b"]).name(2), None);
        assert_eq!(Names::List(&["a", "b"]).name(u64::MAX), None);
        assert_eq!(Names::Pairs(&[(7, "a")]).name(7), Some("a"));
        assert_eq!(Names::Pairs(&[(7, "a")]).name(0), None);
        assert_eq!(Names::Kernel(KernelEnum::DropReason).name(1), None);
    }
}
