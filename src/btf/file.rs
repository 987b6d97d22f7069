//! Reads a BTF file, which may be any file that the user names.

use std::fs::{OpenOptions, metadata};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{MAGIC, has_magic};

/// Over ten times the size of a kernel's BTF.
const LARGEST_FILE: u64 = 128 << 20;

/// Reads the whole file. Does not block (on a FIFO), and reads only the beginning of a file that is not BTF or is too large.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !metadata(path)?.is_file() {
        return Err(invalid("not a regular file"));
    }
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let length = file.metadata()?.len();
    if length > LARGEST_FILE {
        return Err(invalid("too large to be a kernel's BTF"));
    }
    let mut bytes = Vec::new();
    (&mut file).take(MAGIC.to_ne_bytes().len() as u64).read_to_end(&mut bytes)?;
    if !has_magic(&bytes) {
        return Err(invalid("not BTF"));
    }
    // Avoids repeated reallocation. The length is only a hint: it may be wrong.
    let _ = bytes.try_reserve_exact(usize::try_from(length).unwrap_or(0));
    file.take(LARGEST_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::*;

    #[test]
    fn only_a_regular_file_of_a_sensible_size_that_begins_as_btf_is_read() {
        let dir = std::env::temp_dir().join(format!("tcc-btf-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let path = dir.join("types");
        let why = |path: &Path| read(path).unwrap_err().to_string();
        let mut file = File::create(&path).unwrap();
        file.write_all(b"\x7fELF").unwrap();
        // A hole, which would take its time to be read.
        file.set_len(LARGEST_FILE).unwrap();
        assert_eq!(why(&path), "not BTF");
        file.set_len(LARGEST_FILE + 1).unwrap();
        assert_eq!(why(&path), "too large to be a kernel's BTF");
        std::fs::write(&path, [&MAGIC.to_ne_bytes()[..], b"rest"].concat()).unwrap();
        assert_eq!(read(&path).unwrap(), [&MAGIC.to_ne_bytes()[..], b"rest"].concat());
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        for path in [path.as_path(), &dir, Path::new("/dev/zero")] {
            assert_eq!(why(path), "not a regular file");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
