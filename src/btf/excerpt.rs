//! An excerpt of a kernel's BTF: the types of some names, and the types that these contain.
//!
//! For each type in a CO-RE relocation, libbpf compares its name with every type in the BTF. With a kernel's 150 000 types, this
//! took a third of the startup time.

use std::collections::HashMap;

use super::{
    ARRAY, Btf, CONST, ENUM, ENUM64, Entry, FLOAT, FWD, INT, MAGIC, PTR, RESTRICT, STRUCT,
    TYPE_TAG, TYPEDEF, UNION, VOLATILE, extra, word,
};

const VERSION_AND_FLAGS: [u8; 2] = [1, 0];
const HEADER_BYTES: u32 = 24;

/// The types in the excerpt.
#[derive(Default)]
struct Chosen {
    /// Their IDs in the kernel's BTF.
    ids: Vec<u32>,
    /// Their IDs in the excerpt, by the former.
    new_ids: HashMap<u32, u32>,
}

impl Chosen {
    /// Adds the type if needed, and returns its ID in the excerpt.
    fn add(&mut self, id: u32) -> u32 {
        *self.new_ids.entry(id).or_insert_with(|| {
            self.ids.push(id);
            self.ids.len() as u32
        })
    }
}

/// The string table, without duplicates.
struct Strings {
    bytes: Vec<u8>,
    offsets: HashMap<u32, u32>,
}

impl Strings {
    fn new() -> Self {
        Strings { bytes: vec![0], offsets: HashMap::from([(0, 0)]) }
    }

    fn add(&mut self, btf: &Btf<'_>, offset: u32) -> Option<u32> {
        if let Some(known) = self.offsets.get(&offset) {
            return Some(*known);
        }
        let text = btf.string_bytes(offset)?;
        let new = u32::try_from(self.bytes.len()).ok()?;
        self.bytes.extend_from_slice(text);
        self.bytes.push(0);
        self.offsets.insert(offset, new);
        Some(new)
    }
}

impl Btf<'static> {
    /// Self-contained BTF, in which pointers are to `void`: a program's access through a pointer is relocated by the pointed-to
    /// type itself. `None` if the BTF is broken.
    #[must_use]
    pub fn excerpt(&self, names: &[&str]) -> Option<Vec<u8>> {
        let mut chosen = Chosen::default();
        for name in names {
            for (id, _) in self.named(name) {
                chosen.add(id);
            }
        }
        let (mut types, mut strings) = (Vec::new(), Strings::new());
        let mut next = 0;
        while let Some(id) = chosen.ids.get(next) {
            self.write(self.entry(*id)?, &mut chosen, &mut strings, &mut types)?;
            next += 1;
        }
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).ok();
        let (types_len, strings_len) = (len(&types)?, len(&strings.bytes)?);
        let sections = [HEADER_BYTES, 0, types_len, types_len, strings_len];
        let mut file = [&MAGIC.to_ne_bytes()[..], &VERSION_AND_FLAGS].concat();
        sections.iter().for_each(|word| file.extend_from_slice(&word.to_ne_bytes()));
        file.extend_from_slice(&types);
        file.extend_from_slice(&strings.bytes);
        Some(file)
    }

    /// Appends the type, with its names and type IDs translated.
    fn write(
        &self,
        entry: Entry<'_>,
        chosen: &mut Chosen,
        strings: &mut Strings,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let kind = entry.kind();
        let end = entry.at.checked_add(12 + extra(entry.info)?)?;
        let words = self.bytes.get(entry.at..end)?;
        // The positions of names and type IDs among its words.
        let member_words = if kind == ENUM { 2 } else { 3 };
        let is_name = |i: usize| match kind {
            _ if i == 0 => true,
            STRUCT | UNION | ENUM | ENUM64 => i >= 3 && (i - 3).is_multiple_of(member_words),
            _ => false,
        };
        let is_type = |i: usize| match kind {
            TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG => i == 2,
            ARRAY => i == 3 || i == 4,
            STRUCT | UNION => i >= 3 && (i - 3) % member_words == 1,
            _ => false,
        };
        for i in 0..words.len() / 4 {
            let value = word(words, i * 4)?;
            let new = match () {
                () if is_name(i) => strings.add(self, value)?,
                () if is_type(i) => self.choose(value, chosen)?,
                () if kind == PTR && i == 2 => 0,
                () => value,
            };
            out.extend_from_slice(&new.to_ne_bytes());
        }
        Some(())
    }

    /// Adds a type that another one contains.
    fn choose(&self, id: u32, chosen: &mut Chosen) -> Option<u32> {
        const CONTAINED: [u32; 14] = [
            INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FLOAT,
            TYPE_TAG, ENUM64,
        ];
        if id == 0 {
            return Some(0);
        }
        CONTAINED.contains(&self.entry(id)?.kind()).then(|| chosen.add(id))
    }
}
