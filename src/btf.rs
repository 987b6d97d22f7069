//! A reader of BTF, the kernel's type information: which members a struct has on this kernel, and where.
//!
//! A separate implementation, as the queries are few and startup must be fast: types are indexed by offset and decoded only
//! when needed (3 ms for a whole kernel, where building every type takes 180 ms), and module BTF ("split": its IDs and strings
//! continue where the kernel's end) needs no privileges. Any input is safe.

mod excerpt;
mod file;

use std::cell::OnceCell;
use std::io;
use std::path::Path;

const MAGIC: u16 = 0xeb9f;
/// Deeper than any kernel struct is nested; ends loops in broken BTF.
const MAX_DEPTH: u32 = 32;

const INT: u32 = 1;
const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const FWD: u32 = 7;
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const RESTRICT: u32 = 11;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;
const VAR: u32 = 14;
const DATASEC: u32 = 15;
const FLOAT: u32 = 16;
const DECL_TAG: u32 = 17;
const TYPE_TAG: u32 = 18;
const ENUM64: u32 = 19;

/// The kinds looked up by name. Functions are left out: they are most of a kernel's names, and only two are looked up.
const INDEXED: [u32; 5] = [STRUCT, UNION, ENUM, ENUM64, TYPEDEF];

/// Where a member lies in its struct, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    pub offset: u32,
    pub size: u32,
}

/// The types of a kernel, or of a module on top of a kernel's.
pub struct Btf<'base> {
    bytes: Vec<u8>,
    strings: usize,
    strings_end: usize,
    /// The offset of each type, by ID.
    types: Vec<u32>,
    base: Option<&'base Btf<'base>>,
    /// The types of `INDEXED` kinds: the name's hash in the upper half, the index in `types` in the lower; sorted. Built on the
    /// first lookup.
    names: OnceCell<Vec<u64>>,
}

/// A type's fixed part, and the BTF that its IDs and offsets refer to.
#[derive(Clone, Copy)]
struct Entry<'b> {
    btf: &'b Btf<'b>,
    name: u32,
    info: u32,
    /// Size or type, by kind.
    size: u32,
    at: usize,
}

/// A member of a struct.
struct Found<'b> {
    /// In bits.
    offset: u32,
    /// Of a bit-field; else 0.
    bits: u32,
    of: Entry<'b>,
}

impl<'b> Entry<'b> {
    fn kind(self) -> u32 {
        self.info >> 24 & 0x1f
    }

    fn len(self) -> usize {
        (self.info & 0xffff) as usize
    }

    /// Whether member offsets include bit-field sizes.
    fn kind_flag(self) -> bool {
        self.info >> 31 == 1
    }

    /// Compares without finding the name's end, as it runs for very many types.
    fn is_named(self, name: &str) -> bool {
        let rest = self.btf.text(self.name).and_then(|text| text.strip_prefix(name.as_bytes()));
        rest.is_some_and(|rest| rest.first() == Some(&0))
    }

    fn word(self, at: usize) -> Option<u32> {
        word(&self.btf.bytes, self.at.checked_add(at)?)
    }

    fn member(self, name: &str, depth: u32) -> Option<Found<'b>> {
        if depth == 0 || !matches!(self.kind(), STRUCT | UNION) {
            return None;
        }
        for i in 0..self.len() {
            let at = 12 + i * 12;
            let (member, type_id, raw) = (self.word(at)?, self.word(at + 4)?, self.word(at + 8)?);
            let (offset, bits) =
                if self.kind_flag() { (raw & 0xff_ffff, raw >> 24) } else { (raw, 0) };
            let member = self.btf.string(member)?;
            let of = self.btf.entry(type_id)?;
            if member == name {
                return Some(Found { offset, bits, of });
            }
            if member.is_empty()
                && let Some(inner) = of.element(MAX_DEPTH)
                && let Some(found) = inner.member(name, depth - 1)
            {
                return Some(Found { offset: offset.checked_add(found.offset)?, ..found });
            }
        }
        None
    }

    /// Resolves typedefs, qualifiers and arrays.
    fn element(self, depth: u32) -> Option<Entry<'b>> {
        match self.kind() {
            TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG if depth > 0 => {
                self.btf.entry(self.size)?.element(depth - 1)
            }
            ARRAY if depth > 0 => self.btf.entry(self.word(12)?)?.element(depth - 1),
            _ => Some(self),
        }
    }

    fn size_bits(self, depth: u32) -> Option<u32> {
        match self.kind() {
            INT | ENUM | ENUM64 | STRUCT | UNION | FLOAT => self.size.checked_mul(8),
            PTR => Some(usize::BITS),
            TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG if depth > 0 => {
                self.btf.entry(self.size)?.size_bits(depth - 1)
            }
            ARRAY if depth > 0 => {
                let of = self.btf.entry(self.word(12)?)?;
                of.size_bits(depth - 1)?.checked_mul(self.word(20)?)
            }
            _ => None,
        }
    }
}

impl Btf<'static> {
    /// The kernel's BTF, or another self-contained file.
    pub fn from_file(path: &Path) -> io::Result<Self> {
        Self::parse(file::read(path)?, None).ok_or_else(|| file::invalid("not BTF"))
    }
}

impl<'base> Btf<'base> {
    /// A module's BTF, on top of the kernel's.
    #[must_use]
    pub fn split_from_file(path: &Path, base: &'base Btf<'base>) -> Option<Self> {
        Self::parse(file::read(path).ok()?, Some(base))
    }

    /// `None` if the bytes are not BTF of this machine's byte order.
    #[must_use]
    pub fn parse(bytes: Vec<u8>, base: Option<&'base Btf<'base>>) -> Option<Self> {
        if !has_magic(&bytes) {
            return None;
        }
        let header = word(&bytes, 4)? as usize;
        let section = |at: usize| -> Option<(usize, usize)> {
            let start = header.checked_add(word(&bytes, at)? as usize)?;
            let end = start.checked_add(word(&bytes, at + 4)? as usize)?;
            (end <= bytes.len()).then_some((start, end))
        };
        let (mut at, types_end) = section(8)?;
        let (strings, strings_end) = section(16)?;
        let mut types = Vec::new();
        while at < types_end {
            types.push(u32::try_from(at).ok()?);
            at = at.checked_add(12 + extra(word(&bytes, at + 4)?)?)?;
        }
        Some(Btf { bytes, strings, strings_end, types, base, names: OnceCell::new() })
    }

    /// Whether there is such a struct or union.
    #[must_use]
    pub fn has_struct(&self, name: &str) -> bool {
        self.find(name, STRUCT).is_some()
    }

    /// The ID of a struct.
    #[must_use]
    pub fn struct_id(&self, name: &str) -> Option<u32> {
        self.named(name).find(|(_, entry)| entry.kind() == STRUCT).map(|(id, _)| id)
    }

    /// Whether there is such a function.
    #[must_use]
    pub fn has_func(&self, name: &str) -> bool {
        let is = |entry: Entry<'_>| entry.kind() == FUNC && entry.is_named(name);
        self.types.iter().filter_map(|at| self.entry_at(*at as usize)).any(is)
            || self.base.is_some_and(|base| base.has_func(name))
    }

    /// Whether there is such a typedef. A tracepoint `x` has one, `btf_trace_x`.
    #[must_use]
    pub fn has_typedef(&self, name: &str) -> bool {
        self.find(name, TYPEDEF).is_some()
    }

    /// Where a member lies, through anonymous structs and unions; `a.b` goes into `a`, an array means its first
    /// element.
    #[must_use]
    pub fn member(&self, type_name: &str, path: &str) -> Option<Location> {
        let mut entry = self.find(type_name, STRUCT)?;
        let mut offset = 0u32;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            let found = entry.member(part, MAX_DEPTH)?;
            offset = offset.checked_add(found.offset)?;
            if parts.peek().is_none() {
                let size = match found.bits {
                    0 => found.of.size_bits(MAX_DEPTH)?,
                    bits => bits,
                };
                return Some(Location { offset, size });
            }
            entry = found.of.element(MAX_DEPTH)?;
        }
        None
    }

    /// The names and values of an enum; empty if there is no such enum.
    #[must_use]
    pub fn enumerators(&self, name: &str) -> Vec<(String, u64)> {
        let Some(entry) = self.find(name, ENUM) else {
            return Vec::new();
        };
        let one = |i: usize| {
            let at = 12 + i * 8;
            let name = entry.btf.string(entry.word(at)?)?;
            Some((name.to_owned(), entry.word(at + 4)?.into()))
        };
        (0..entry.len()).map_while(one).collect()
    }

    /// The module's types first: it may have copies of the kernel's, or different types of the same names. A union matches where
    /// a struct is wanted.
    fn find(&self, name: &str, kind: u32) -> Option<Entry<'_>> {
        let wanted = |found: u32| found == kind || (kind == STRUCT && found == UNION);
        let own = self.named(name).map(|(_, entry)| entry).find(|entry| wanted(entry.kind()));
        own.or_else(|| self.base?.find(name, kind))
    }

    /// This BTF's types of that name, with their IDs.
    fn named(&self, name: &str) -> impl Iterator<Item = (u32, Entry<'_>)> {
        let names = self.names.get_or_init(|| self.index());
        let first = name_hash(name.as_bytes()) << 32;
        let start = names.partition_point(|key| *key < first);
        let alike = names.iter().skip(start).take_while(move |key| **key >> 32 == first >> 32);
        alike.filter_map(move |key| {
            let place = *key as u32;
            let entry = self.entry_at(*self.types.get(place as usize)? as usize)?;
            entry.is_named(name).then(|| (self.first_id() + place, entry))
        })
    }

    fn index(&self) -> Vec<u64> {
        let key = |(place, at): (usize, &u32)| {
            let entry = self.entry_at(*at as usize)?;
            let name = INDEXED.contains(&entry.kind()).then(|| self.text(entry.name)).flatten()?;
            Some(name_hash(name) << 32 | place as u64)
        };
        let mut names: Vec<u64> = self.types.iter().enumerate().filter_map(key).collect();
        names.sort_unstable();
        names
    }

    fn entry(&self, type_id: u32) -> Option<Entry<'_>> {
        match type_id.checked_sub(self.first_id()) {
            Some(place) => self.entry_at(*self.types.get(place as usize)? as usize),
            None => self.base?.entry(type_id),
        }
    }

    /// A module's IDs continue where the kernel's end; 0 is `void`.
    fn first_id(&self) -> u32 {
        self.base.map_or(1, |base| base.types.len() as u32 + 1)
    }

    fn entry_at(&self, at: usize) -> Option<Entry<'_>> {
        let at_word = |offset| word(&self.bytes, at + offset);
        Some(Entry { btf: self, name: at_word(0)?, info: at_word(4)?, size: at_word(8)?, at })
    }

    fn string(&self, offset: u32) -> Option<&str> {
        std::str::from_utf8(self.string_bytes(offset)?).ok()
    }

    fn string_bytes(&self, offset: u32) -> Option<&[u8]> {
        self.text(offset)?.split(|&byte| byte == 0).next()
    }

    /// The string table from that offset on.
    fn text(&self, offset: u32) -> Option<&[u8]> {
        let first = self.base.map_or(0, |base| base.strings_end - base.strings);
        match (offset as usize).checked_sub(first) {
            Some(offset) => self.bytes.get(self.strings + offset..self.strings_end),
            None => self.base?.text(offset),
        }
    }
}

/// 32-bit FNV-1a, up to the terminating NUL.
fn name_hash(name: &[u8]) -> u64 {
    let step = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    name.iter().take_while(|byte| **byte != 0).fold(0x811c_9dc5, step).into()
}

/// Checks the magic number in this machine's byte order.
fn has_magic(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC.to_ne_bytes())
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// Bytes after a type's fixed part. `None`: a kind newer than this reader, whose length is unknown.
fn extra(info: u32) -> Option<usize> {
    let len = (info & 0xffff) as usize;
    Some(match info >> 24 & 0x1f {
        INT | VAR | DECL_TAG => 4,
        ARRAY => 12,
        STRUCT | UNION | DATASEC | ENUM64 => len * 12,
        ENUM | FUNC_PROTO => len * 8,
        PTR | FWD | TYPEDEF | VOLATILE | CONST | RESTRICT | FUNC | FLOAT | TYPE_TAG => 0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
