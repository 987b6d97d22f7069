//! Writes files whole or not at all.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::escape;
use crate::privilege;

/// A file that appears under its name when it is complete.
pub struct Output {
    path: PathBuf,
    temporary: PathBuf,
    file: Option<File>,
}

impl Output {
    /// Opens it with the caller's permissions. A new file is for its owner only, as it has addresses of all users.
    pub fn create(path: &Path, force: bool) -> Result<Self> {
        let shown = escape::path(path);
        match path.symlink_metadata() {
            Ok(metadata) if !metadata.is_file() => bail!("-w {shown}: not a regular file"),
            Ok(_) if !force => {
                bail!(
                    "-w {shown}: the file exists; choose another name, or overwrite it with --force"
                )
            }
            _ => {}
        }
        let Some(name) = path.file_name() else { bail!("-w {shown}: name a file") };
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}", std::process::id()));
        let temporary = path.with_file_name(hidden);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let file = privilege::as_caller(|| options.open(&temporary));
        let file = file.with_context(|| format!("cannot create {shown}"))?;
        Ok(Output { path: path.to_owned(), temporary, file: Some(file) })
    }

    /// Writes all of it, and gives it its name.
    pub fn finish(mut self, parts: &[&[u8]]) -> Result<()> {
        let shown = escape::path(&self.path);
        let Some(mut file) = self.file.take() else { return Ok(()) };
        let written = parts.iter().try_for_each(|part| file.write_all(part));
        let written = written.and_then(|()| file.sync_all());
        drop(file);
        let named = written
            .and_then(|()| privilege::as_caller(|| std::fs::rename(&self.temporary, &self.path)));
        if named.is_err() {
            self.remove();
        }
        named.with_context(|| format!("cannot write {shown}"))
    }

    fn remove(&self) {
        match privilege::as_caller(|| std::fs::remove_file(&self.temporary)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                crate::stdio::print_line(&format!(
                    "warning: cannot remove {}: {error}",
                    escape::path(&self.temporary)
                ));
            }
            _ => {}
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            self.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_appears_when_it_is_complete() {
        let dir = std::env::temp_dir().join(format!("tcc-report-output-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("a.html");
        let count = || std::fs::read_dir(&dir).unwrap().count();
        drop(Output::create(&path, false).unwrap());
        assert_eq!(count(), 0);
        let output = Output::create(&path, false).unwrap();
        assert!(!path.exists() && count() == 1);
        output.finish(&[b"a", b"b"]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"ab");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let refused = Output::create(&path, false).err().unwrap().to_string();
        assert!(refused.contains("the file exists; choose another name"), "{refused}");
        Output::create(&path, true).unwrap().finish(&[b"c"]).unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), count()), (b"c".to_vec(), 1));
        let refused = Output::create(&dir, true).err().unwrap().to_string();
        assert!(refused.contains("not a regular file"), "{refused}");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
