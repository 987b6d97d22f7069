//! The names of the kernel's code, from /proc/kallsyms.

use std::io::Write;

/// The least distance from the nearest name at which an address is not that function's any more.
const FAR: u64 = 1 << 20;

/// Names by address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Symbols {
    /// Where code begins, and where its name does in `names`; by address.
    starts: Vec<(u64, u32)>,
    /// One after the other, each with a newline.
    names: String,
}

impl Symbols {
    /// Of the running kernel; `None` where it hides them from us.
    #[must_use]
    pub fn load() -> Option<Self> {
        let text = std::fs::read_to_string("/proc/kallsyms").ok()?;
        let symbols = Symbols::parse(&text);
        (!symbols.starts.is_empty()).then_some(symbols)
    }

    /// Lines of `address type name [module]`. Only code; hidden addresses are all zero.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut symbols = Symbols::default();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some(address), Some(kind), Some(name)) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            let Ok(address) = u64::from_str_radix(address, 16) else { continue };
            if address != 0
                && matches!(kind, "t" | "T" | "w" | "W")
                && let Ok(at) = u32::try_from(symbols.names.len())
            {
                symbols.starts.push((address, at));
                symbols.names.push_str(name);
                symbols.names.push('\n');
            }
        }
        // Of several names of one place the kernel itself takes the first: the sort is stable.
        symbols.starts.sort_by_key(|(address, _)| *address);
        symbols.starts.dedup_by_key(|(address, _)| *address);
        symbols
    }

    /// The function that the address is in, and how far from its beginning.
    #[must_use]
    pub fn find(&self, address: u64) -> Option<(&str, u64)> {
        let after = self.starts.partition_point(|(start, _)| *start <= address);
        let (start, at) = *self.starts.get(after.checked_sub(1)?)?;
        let offset = address - start;
        let name = self.names.get(at as usize..)?.lines().next()?;
        (offset < FAR).then_some((name, offset))
    }

    /// `name+0x1a`; the address where there is no name.
    pub fn write(&self, address: u64, out: &mut Vec<u8>) {
        // Writing to a Vec does not fail.
        let _ = match self.find(address) {
            Some((name, offset)) => write!(out, "{name}+{offset:#x}"),
            None => write!(out, "{address:#x}"),
        };
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
        let mut out = Vec::new();
        symbols.write(0xffff_ffff_8100_0234, &mut out);
        symbols.write(0x12, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "tcp_drop+0x340x12");
    }

    #[test]
    fn hidden_symbols_are_none() {
        assert_eq!(Symbols::parse("0000000000000000 T _stext\n"), Symbols::default());
    }
}
