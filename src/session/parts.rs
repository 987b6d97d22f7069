//! The files of a recording that is divided: `NAME-0001.tcc`, `NAME-0002.tcc` and so on, beside the path of -w.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use time::OffsetDateTime;

use super::recorder::open_locked;
use crate::config::{Keep, Parts};
use crate::escape;
use crate::privilege;

const EXTENSION: &str = ".tcc";
/// Digits of a part's number, at least.
const DIGITS: usize = 4;

/// The names of the parts, and those that are there.
pub(super) struct PartFiles {
    /// The path of -w without `.tcc`.
    stem: PathBuf,
    policy: Parts,
    /// Number of the newest part, which is being written.
    newest: u32,
    begun: Instant,
    /// The others that are kept, oldest first, and when each ended.
    closed: VecDeque<(u32, Instant)>,
}

impl PartFiles {
    /// Refuses parts of another recording, or removes them. Returns the path of the first part, too.
    pub(super) fn new(path: &Path, policy: &Parts, force: bool) -> Result<(Self, PathBuf)> {
        let bytes = path.as_os_str().as_bytes();
        let stem = bytes.strip_suffix(EXTENSION.as_bytes()).unwrap_or(bytes);
        let files = PartFiles {
            stem: OsString::from_vec(stem.to_vec()).into(),
            policy: policy.clone(),
            newest: 1,
            begun: Instant::now(),
            closed: VecDeque::new(),
        };
        let existing = files.existing().with_context(|| {
            format!("cannot look for parts beside {}", escape::path(&files.stem))
        })?;
        if let Some(first) = existing.first().filter(|_| !force) {
            bail!(
                "-w {}: {} exists; choose another name, or remove the parts with --force",
                escape::path(path),
                escape::path(first)
            );
        }
        for old in existing {
            // Not if somebody still writes it.
            open_locked(&old, true)?;
            remove(&old).with_context(|| format!("cannot remove {}", escape::path(&old)))?;
        }
        let first = files.path(1);
        Ok((files, first))
    }

    fn path(&self, number: u32) -> PathBuf {
        self.beside(&format!("{number:0DIGITS$}"))
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.stem.clone().into_os_string();
        path.push(format!("-{suffix}{EXTENSION}"));
        path.into()
    }

    /// Parts that are there.
    fn existing(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = self.beside_named(is_part)?;
        found.sort();
        Ok(found)
    }

    fn beside_named(&self, is_one: fn(&OsStr, &OsStr) -> bool) -> io::Result<Vec<PathBuf>> {
        let dir = self.stem.parent().filter(|dir| !dir.as_os_str().is_empty());
        let dir = dir.unwrap_or(Path::new("."));
        let name = self.stem.file_name().unwrap_or_default();
        let mut found = Vec::new();
        for entry in privilege::as_caller(|| std::fs::read_dir(dir))? {
            let entry = entry?.file_name();
            if is_one(&entry, name) {
                found.push(self.stem.with_file_name(entry));
            }
        }
        Ok(found)
    }

    /// Whether the newest part has to end.
    pub(super) fn is_due(&self, bytes: u64) -> bool {
        self.is_full(bytes) || self.policy.age.is_some_and(|most| self.begun.elapsed() >= most)
    }

    /// Whether it has to end because of its size.
    pub(super) fn is_full(&self, bytes: u64) -> bool {
        self.policy.bytes.is_some_and(|most| bytes >= most)
    }

    /// The newest part has nothing in it, and goes on.
    pub(super) fn begin_again(&mut self) {
        self.begun = Instant::now();
    }

    /// The newest part has ended, and there will be no other.
    pub(super) fn close(&mut self) {
        self.closed.push_back((self.newest, Instant::now()));
    }

    /// Creates the next part; the newest one has ended.
    pub(super) fn next(&mut self) -> Result<File> {
        let path = self.path(self.newest + 1);
        let (file, _) = open_locked(&path, self.policy.force)?;
        file.set_len(0).with_context(|| format!("cannot empty {}", escape::path(&path)))?;
        self.closed.push_back((self.newest, Instant::now()));
        self.newest += 1;
        self.begun = Instant::now();
        Ok(file)
    }

    /// Removes the parts that are not to be kept.
    pub(super) fn retire(&mut self) -> io::Result<()> {
        while self.oldest_is_over() {
            let Some((number, _)) = self.closed.pop_front() else { break };
            remove(&self.path(number))?;
        }
        // The part that is written takes the last fifth.
        let Some(most) = self.half_size().map(|half| half / 5 * 4) else { return Ok(()) };
        while self.closed_bytes() > most {
            let Some((number, _)) = self.closed.pop_front() else { break };
            remove(&self.path(number))?;
        }
        Ok(())
    }

    /// Of a flight recorder: what the parts may take, and what the sealed files.
    fn half_size(&self) -> Option<u64> {
        self.policy.flight.as_ref()?.most_bytes.map(|most| most / 2)
    }

    /// What the parts that have ended take.
    fn closed_bytes(&self) -> u64 {
        self.closed.iter().map(|(number, _)| size(&self.path(*number))).sum()
    }

    /// Removes the oldest sealed files, so that there is room for one of all parts that have ended.
    pub(super) fn make_room(&self) -> io::Result<()> {
        let Some(most) = self.half_size() else { return Ok(()) };
        let mut sealed = self.beside_named(is_sealed)?;
        sealed.sort();
        let mut left = sealed.iter().map(|path| size(path)).sum::<u64>() + self.closed_bytes();
        for path in &sealed {
            if left <= most {
                break;
            }
            left = left.saturating_sub(size(path));
            remove(path)?;
        }
        Ok(())
    }

    fn oldest_is_over(&self) -> bool {
        let Some((_, ended)) = self.closed.front() else { return false };
        match self.policy.keep {
            Keep::All => false,
            Keep::Newest(count) => self.closed.len() >= count as usize,
            Keep::Span(span) => ended.elapsed() > span,
        }
    }

    /// Removes all that have ended, and the newest, which must have ended too.
    pub(super) fn remove_all(&mut self) -> io::Result<()> {
        let closed = std::mem::take(&mut self.closed);
        let numbers = closed.iter().map(|(number, _)| *number).chain([self.newest]);
        numbers.map(|number| remove(&self.path(number))).fold(Ok(()), io::Result::and)
    }

    /// The parts that have ended, oldest first.
    pub(super) fn open_closed(&self) -> io::Result<Vec<File>> {
        let open =
            |(number, _): &(u32, Instant)| privilege::as_caller(|| File::open(self.path(*number)));
        self.closed.iter().map(open).collect()
    }

    /// Creates the file for what is sealed now: `NAME-20261129T170000Z-signal.tcc`.
    pub(super) fn create_sealed(&self, reason: &str) -> Result<(PathBuf, File)> {
        let now = utc(OffsetDateTime::now_utc());
        for turn in 1..100 {
            let again = if turn > 1 { format!("-{turn}") } else { String::new() };
            let path = self.beside(&format!("{now}-{reason}{again}"));
            // Two in a second.
            if privilege::as_caller(|| Ok(path.symlink_metadata().is_ok()))? {
                continue;
            }
            let (file, _) = open_locked(&path, false)?;
            return Ok((path, file));
        }
        bail!("too many files are named {}", escape::path(self.beside(&format!("{now}-{reason}"))))
    }
}

/// `20261129T170000Z`
pub fn utc(now: OffsetDateTime) -> String {
    let (date, time) = (now.date(), now.time());
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

fn remove(path: &Path) -> io::Result<()> {
    match privilege::as_caller(|| std::fs::remove_file(path)) {
        // Somebody has moved it away.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// The size of a file that is there.
fn size(path: &Path) -> u64 {
    privilege::as_caller(|| path.symlink_metadata()).map_or(0, |metadata| metadata.len())
}

/// What stands between the stem and the extension.
fn suffix<'n>(name: &'n OsStr, stem: &OsStr) -> Option<&'n [u8]> {
    let rest = name.as_bytes().strip_prefix(stem.as_bytes())?;
    rest.strip_prefix(b"-")?.strip_suffix(EXTENSION.as_bytes())
}

/// Whether a file is named as a sealed one of that recording: `20261129T170000Z-signal`.
fn is_sealed(name: &OsStr, stem: &OsStr) -> bool {
    let Some((time, reason)) = suffix(name, stem).and_then(|rest| rest.split_at_checked(16)) else {
        return false;
    };
    let is_time = time.iter().enumerate().all(|(at, byte)| match at {
        8 => *byte == b'T',
        15 => *byte == b'Z',
        _ => byte.is_ascii_digit(),
    });
    is_time && reason.starts_with(b"-")
}

/// Whether a file is named as a part of that recording.
fn is_part(name: &OsStr, stem: &OsStr) -> bool {
    let number = suffix(name, stem);
    number.is_some_and(|number| number.len() >= DIGITS && number.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(keep: Keep) -> Parts {
        Parts { bytes: Some(100), age: None, keep, force: false, flight: None }
    }

    fn names(dir: &Path) -> Vec<String> {
        let all = std::fs::read_dir(dir).unwrap();
        let mut names: Vec<String> =
            all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn temporary(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("tcc-parts-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).unwrap();
        dir
    }

    #[test]
    fn only_the_newest_parts_stay() {
        let dir = temporary("keep");
        let (mut files, first) =
            PartFiles::new(&dir.join("a.tcc"), &policy(Keep::Newest(2)), false).unwrap();
        assert_eq!(first, dir.join("a-0001.tcc"));
        File::create(first).unwrap();
        assert!(files.is_due(100) && !files.is_due(99));
        for _ in 0..3 {
            files.next().unwrap();
            files.retire().unwrap();
        }
        assert_eq!(names(&dir), ["a-0003.tcc", "a-0004.tcc"]);
        assert_eq!(files.open_closed().unwrap().len(), 1);
        let (sealed, _) = files.create_sealed("signal").unwrap();
        let (again, _) = files.create_sealed("signal").unwrap();
        assert!(sealed != again && again.exists());
        files.remove_all().unwrap();
        assert_eq!(names(&dir).len(), 2);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn parts_of_another_recording_are_not_overwritten() {
        let dir = temporary("force");
        for name in ["a-0001.tcc", "a-12345.tcc", "a-1.tcc", "a-x001.tcc", "ab-0001.tcc"] {
            File::create(dir.join(name)).unwrap();
        }
        let path = dir.join("a.tcc");
        let refused = PartFiles::new(&path, &policy(Keep::All), false).map(drop).unwrap_err();
        assert!(refused.to_string().contains("a-0001.tcc exists"), "{refused}");
        PartFiles::new(&path, &policy(Keep::All), true).unwrap();
        assert_eq!(names(&dir), ["a-1.tcc", "a-x001.tcc", "ab-0001.tcc"]);
        std::fs::remove_dir_all(dir).unwrap();
    }

    fn flight(most_bytes: u64) -> Parts {
        let flight = crate::config::Flight {
            span: std::time::Duration::from_secs(3600),
            trigger: None,
            after: std::time::Duration::ZERO,
            dump_on_exit: false,
            most_bytes: Some(most_bytes),
        };
        let keep = Keep::Span(flight.span);
        Parts { flight: Some(flight), ..policy(keep) }
    }

    #[test]
    fn a_flight_recorder_keeps_to_its_size() {
        let dir = temporary("size");
        let fill =
            |name: &str, bytes: usize| std::fs::write(dir.join(name), vec![0; bytes]).unwrap();
        let (mut files, _) = PartFiles::new(&dir.join("a.tcc"), &flight(1000), false).unwrap();
        fill("a-0001.tcc", 200);
        for part in 2..=4 {
            files.next().unwrap();
            fill(&format!("a-000{part}.tcc"), 200);
        }
        files.retire().unwrap();
        // Those that have ended, 1 to 3, may have 400 bytes.
        assert_eq!(names(&dir), ["a-0002.tcc", "a-0003.tcc", "a-0004.tcc"]);
        let sealed = ["a-20261129T170000Z-signal.tcc", "a-20261129T180000Z-trigger.tcc"];
        sealed.iter().for_each(|name| fill(name, 90));
        let others =
            ["a-20261129T17000Z-x.tcc", "a-20261129T170000Zx.tcc", "b-20261129T170000Z-x.tcc"];
        others.iter().for_each(|name| fill(name, 5000));
        // With the 400 of the parts there is room for one of them.
        files.make_room().unwrap();
        assert!(!dir.join(sealed[0]).exists() && dir.join(sealed[1]).exists());
        assert!(others.iter().all(|name| dir.join(name).exists()));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_time_in_a_name_is_utc() {
        let time = OffsetDateTime::from_unix_timestamp(1_764_435_600).unwrap();
        assert_eq!(utc(time), "20251129T170000Z");
    }
}
