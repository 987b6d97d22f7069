//! Kernel symbols from /proc/kallsyms.

use std::fs::File;
use std::io::{BufRead, BufReader};

use serde::{Deserialize, Serialize};

/// An address this far from the previous symbol does not belong to it.
const FAR: u64 = 1 << 20;

/// Symbols by address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symbols {
    /// Each function's address, and the offset of its name in `names`; sorted.
    starts: Vec<(u64, u32)>,
    /// Names, each followed by a newline.
    names: String,
    /// Do not show addresses without a name.
    names_only: bool,
}

impl Symbols {
    /// The running kernel's symbols; `None` if it hides them.
    #[must_use]
    pub fn load() -> Option<Self> {
        // All of it takes 10 MB and more, line by line next to nothing.
        let file = BufReader::new(File::open("/proc/kallsyms").ok()?);
        let mut symbols = Symbols::default();
        for line in file.lines() {
            symbols.add_line(&line.ok()?);
        }
        symbols.sort();
        (!symbols.starts.is_empty()).then_some(symbols)
    }

    /// Lines of `address type name [module]`. Keeps only code; hidden addresses are all zero.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut symbols = Symbols::default();
        text.lines().for_each(|line| symbols.add_line(line));
        symbols.sort();
        symbols
    }

    fn add_line(&mut self, line: &str) {
        let mut words = line.split_ascii_whitespace();
        let (Some(address), Some(kind), Some(name)) = (words.next(), words.next(), words.next())
        else {
            return;
        };
        let Ok(address) = u64::from_str_radix(address, 16) else { return };
        if address != 0
            && matches!(kind, "t" | "T" | "w" | "W")
            && let Ok(at) = u32::try_from(self.names.len())
        {
            self.starts.push((address, at));
            self.names.push_str(name);
            self.names.push('\n');
        }
    }

    fn sort(&mut self) {
        // Of several names at one address the kernel uses the first: the sort is stable.
        self.starts.sort_by_key(|(address, _)| *address);
        self.starts.dedup_by_key(|(address, _)| *address);
        self.starts.shrink_to_fit();
        self.names.shrink_to_fit();
    }

    /// The function that contains the address, and the offset in it.
    #[must_use]
    pub fn find(&self, address: u64) -> Option<(&str, u64)> {
        let after = self.starts.partition_point(|(start, _)| *start <= address);
        let (start, at) = *self.starts.get(after.checked_sub(1)?)?;
        // Stored ones may not be sorted.
        let offset = address.checked_sub(start)?;
        let name = self.names.get(at as usize..)?.lines().next()?;
        // An empty name ends the function before it.
        (offset < FAR && !name.is_empty()).then_some((name, offset))
    }

    /// The function that contains the address, and where the next one starts, which has an empty name here: enough to find the
    /// address again with [`Symbols::add`].
    #[must_use]
    pub fn around(&self, address: u64) -> Vec<(u64, String)> {
        let Some((name, offset)) = self.find(address) else {
            return vec![(address, String::new())];
        };
        let start = address - offset;
        let after = self.starts.partition_point(|(known, _)| *known <= address);
        let end = self.starts.get(after).map_or(u64::MAX, |(next, _)| *next);
        vec![(start, name.to_owned()), (end.min(start.saturating_add(FAR)), String::new())]
    }

    /// Adds functions by address. A name counts more than an empty one at the same address.
    pub fn add(&mut self, functions: Vec<(u64, String)>) {
        for (address, name) in functions {
            let Ok(at) = u32::try_from(self.names.len()) else { return };
            match self.starts.binary_search_by_key(&address, |(known, _)| *known) {
                Ok(_) if name.is_empty() => continue,
                Ok(place) => self.starts[place].1 = at,
                Err(place) => self.starts.insert(place, (address, at)),
            }
            self.names.push_str(name.lines().next().unwrap_or_default());
            self.names.push('\n');
        }
    }

    /// Whether only names are shown.
    #[must_use]
    pub fn shows_names_only(&self) -> bool {
        self.names_only
    }

    /// For users who may not see kernel addresses: an address without a name is not shown.
    #[must_use]
    pub fn names_only(self) -> Self {
        Symbols { names_only: true, ..self }
    }

    /// Whether there are no symbols.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Whether the address may be shown, as a name or a number.
    #[must_use]
    pub fn shows(&self, address: u64) -> bool {
        !self.names_only || self.find(address).is_some()
    }

    /// `name+0x1a`, or the address if it has no name and may be shown.
    #[must_use]
    pub fn shown(&self, address: u64) -> Option<String> {
        match self.find(address) {
            Some((name, offset)) => Some(format!("{name}+{offset:#x}")),
            None => (!self.names_only).then(|| format!("{address:#x}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "ffffffff81000000 T _stext\nffffffff81000000 T alias\nffffffff81000100 D data\n\
        ffffffffc0000000 t nft_do_chain\t[nf_tables]\nffffffff81000200 t tcp_drop\nbroken\n\n";

    #[test]
    fn addresses_have_the_name_before_them() {
        let symbols = Symbols::parse(TEXT);
        assert_eq!(symbols.find(0xffff_ffff_8100_0000), Some(("_stext", 0)));
        assert_eq!(symbols.find(0xffff_ffff_8100_01ff), Some(("_stext", 0x1ff)));
        assert_eq!(symbols.find(0xffff_ffff_8100_0234), Some(("tcp_drop", 0x34)));
        assert_eq!(symbols.find(0xffff_ffff_c000_0010), Some(("nft_do_chain", 0x10)));
        assert_eq!(symbols.find(0xffff_ffff_8000_0000), None);
        assert_eq!(symbols.find(0xffff_ffff_9000_0000), None, "too far from any");
        assert_eq!(symbols.shown(0xffff_ffff_8100_0234).as_deref(), Some("tcp_drop+0x34"));
        assert_eq!(symbols.shown(0x12).as_deref(), Some("0x12"));
        let names = symbols.names_only();
        assert_eq!(names.shown(0xffff_ffff_8100_0234).as_deref(), Some("tcp_drop+0x34"));
        assert_eq!(names.shown(0xffff_ffff_9000_0000), None);
    }

    #[test]
    fn those_around_an_address_name_it_as_all_do() {
        let all = Symbols::parse(TEXT);
        let addresses = [0xffff_ffff_8100_0234, 0xffff_ffff_8100_01ff, 0xffff_ffff_9000_0000];
        let mut some = Symbols::default();
        addresses.iter().rev().for_each(|address| some.add(all.around(*address)));
        addresses.iter().for_each(|address| assert_eq!(some.shown(*address), all.shown(*address)));
        // What is not known is not the function before it.
        let end = 0xffff_ffff_8100_0200 + FAR;
        assert_eq!(some.find(end), None);
    }

    #[test]
    fn hidden_symbols_are_none() {
        assert_eq!(Symbols::parse("0000000000000000 T _stext\n"), Symbols::default());
    }
}
