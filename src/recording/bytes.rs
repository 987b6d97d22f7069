//! What recordings are read from: files, and bytes in memory.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;

use rustix::fs::{Advice, fadvise};

/// Bytes that can be read at any place.
pub trait Bytes {
    fn size(&self) -> io::Result<u64>;

    /// Reads as much as there is.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Whether what follows is not read, for now.
    fn skips(&self, _: bool) {}

    /// This part is read soon.
    fn is_wanted(&self, _offset: u64, _len: u64) {}
}

impl Bytes for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < buffer.len() {
            match FileExt::read_at(self, &mut buffer[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    /// Else the kernel reads ahead, and from header to header the whole file.
    fn skips(&self, skips: bool) {
        let _ = fadvise(self, 0, None, if skips { Advice::Random } else { Advice::Normal });
    }

    fn is_wanted(&self, offset: u64, len: u64) {
        let _ = fadvise(self, offset, NonZeroU64::new(len), Advice::WillNeed);
    }
}

impl Bytes for &[u8] {
    fn size(&self) -> io::Result<u64> {
        Ok(<[u8]>::len(self) as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(<[u8]>::len(self));
        let rest = &self[start..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}
