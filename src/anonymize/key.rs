//! The key, and its file.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};
use rustix::fs::OFlags;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::escape;
use crate::privilege;

/// Bytes of a key: two keys of AES-128, which must differ.
const LEN: usize = 32;
/// Access for others than the owner.
const OTHERS: u32 = 0o077;

/// A key. It is shown nowhere, and written to its own file only.
#[derive(Clone)]
pub struct Key([u8; LEN]);

impl Key {
    /// A new one, which nobody learns.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0; LEN];
        let mut filled = 0;
        while filled < LEN {
            filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())?;
        }
        Key::new(bytes).ok_or_else(|| io::Error::other("no random numbers"))
    }

    /// `None` if its halves are the same.
    #[must_use]
    pub fn new(bytes: [u8; LEN]) -> Option<Self> {
        let key = Key(bytes);
        let [first, second] = key.halves();
        (first != second).then_some(key)
    }

    /// Reads it from a file, which is created with a new one if it does not exist.
    pub fn of_file(path: &Path) -> Result<Self> {
        let name = escape::path(path);
        let key = Key::random().context("cannot make a key")?;
        let mut options = OpenOptions::new();
        let created =
            privilege::as_caller(|| options.write(true).create_new(true).mode(0o600).open(path));
        match created {
            Ok(mut file) => {
                let written = file.write_all(format!("{}\n", key.hex()).as_bytes());
                written
                    .and_then(|()| file.sync_all())
                    .with_context(|| format!("cannot write {name}"))?;
                return Ok(key);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(|| format!("cannot create {name}")),
        }
        // It may be a FIFO, which is not waited for.
        let flags = OFlags::NONBLOCK.union(OFlags::NOCTTY).bits().cast_signed();
        let mut options = OpenOptions::new();
        let file = privilege::as_caller(|| options.read(true).custom_flags(flags).open(path));
        let file = file.with_context(|| format!("cannot open {name}"))?;
        let metadata = file.metadata().with_context(|| format!("cannot open {name}"))?;
        if !metadata.is_file() {
            bail!("{name}: not a regular file");
        }
        if metadata.permissions().mode() & OTHERS != 0 {
            bail!(
                "{name}: others than its owner may read or write this key; chmod 600 it, or better make a new one"
            );
        }
        Key::read(file).with_context(|| format!("cannot read {name}"))?.with_context(|| {
            format!("{name}: not a key: 64 hexadecimal digits, of which the halves differ")
        })
    }

    fn read(file: File) -> io::Result<Option<Self>> {
        let mut text = String::new();
        // A longer file is not a key.
        match file.take(2 * LEN as u64 + 2).read_to_string(&mut text) {
            Err(error) if error.kind() == ErrorKind::InvalidData => return Ok(None),
            read => read?,
        };
        Ok(Key::parse(text.strip_suffix('\n').unwrap_or(&text)))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; LEN];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != LEN || !rest.is_empty() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(pairs) {
            let digit = |of: u8| char::from(of).to_digit(16);
            *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
        }
        Key::new(bytes)
    }

    fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) fn bytes(&self) -> [u8; LEN] {
        self.0
    }

    pub(super) fn halves(&self) -> [[u8; LEN / 2]; 2] {
        let (halves, _) = self.0.as_chunks();
        [halves[0], halves[1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written() {
        let dir = std::env::temp_dir().join(format!("tcc-key-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let path = dir.join("key");
        let key = Key::of_file(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Key::of_file(&path).unwrap().0 == key.0);
        let refused = |what: &str| {
            let error = Key::of_file(&path).err().unwrap().to_string();
            assert!(error.contains(what), "{error}");
        };
        for mode in [0o640, 0o604, 0o620, 0o602] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            refused("others than its owner");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        for wrong in [
            "",
            "00",
            &format!("{}\n", "00".repeat(32)),
            &format!("{text}0"),
            &text.replace('\n', "g"),
            "\u{ff}",
        ] {
            std::fs::write(&path, wrong).unwrap();
            refused("not a key");
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        refused("not a regular file");
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(Key::of_file(&path).err().unwrap().to_string().contains("cannot create"));
    }

    #[test]
    fn keys_differ() {
        assert!(Key::random().unwrap().0 != Key::random().unwrap().0);
    }
}
