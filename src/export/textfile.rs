//! A file for node_exporter's textfile collector, which never sees a part of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::privilege;

/// Others have to read it.
const MODE: u32 = 0o644;

/// Writes it anew, and then gives it its name.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    privilege::as_caller(|| {
        let new = beside(path);
        let written = create(&new).and_then(|mut file| file.write_all(bytes));
        let renamed = written.and_then(|()| fs::rename(&new, path));
        if renamed.is_err() {
            let _ = fs::remove_file(&new);
        }
        renamed
    })
}

/// Removes it, if it is there.
pub fn remove(path: &Path) -> io::Result<()> {
    match privilege::as_caller(|| fs::remove_file(path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// The collector reads names that end with `.prom`.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    name.into()
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    options.write(true).create(true).truncate(true).mode(MODE).custom_flags(flags).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_or_not_at_all() {
        let dir = std::env::temp_dir().join(format!("tcc-textfile-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let path = dir.join("tcc.prom");
        write(&path, b"1").unwrap();
        let reader = File::open(&path).unwrap();
        write(&path, b"22").unwrap();
        assert_eq!(io::read_to_string(reader).unwrap(), "1", "the old one is still whole");
        assert_eq!(fs::read(&path).unwrap(), b"22");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing else is left");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(write(&path, b"3").is_err());
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        fs::remove_dir_all(dir).unwrap();
    }
}
