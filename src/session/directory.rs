//! A directory in which a sink makes its files.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat};

use crate::privilege;
use crate::sink::Files;
use crate::stdio::Writer;

/// An open directory.
pub(super) struct Directory(File);

impl Directory {
    /// Opens it with the caller's permissions. A new one is for its owner only.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        privilege::as_caller(|| {
            match DirBuilder::new().mode(0o700).create(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            let flags = OFlags::DIRECTORY.bits().cast_signed();
            OpenOptions::new().read(true).custom_flags(flags).open(path).map(Directory)
        })
    }

    pub(super) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Directory)
    }

    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        self.0.metadata()
    }
}

impl Files for Directory {
    /// A new file is for its owner only. Symbolic links are not followed, as the names are not the user's.
    fn open(&self, name: &str, continued: bool) -> io::Result<Box<dyn Write>> {
        let place = if continued { OFlags::APPEND } else { OFlags::TRUNC };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY | place;
        let file =
            privilege::as_caller(|| Ok(openat(&self.0, name, flags, Mode::RUSR | Mode::WUSR)?))?;
        Ok(Box::new(Writer::new(File::from(file))?))
    }
}
