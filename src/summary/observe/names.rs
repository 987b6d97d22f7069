//! Names of what the kernel numbers: reasons, cgroups and interfaces.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::summary::{By, Observe};
use crate::events::Types;
use crate::kernel;
use crate::skel::ObserveReason;

/// Levels of cgroups that are read, and how many of them.
const LEVELS: usize = 32;
const MOST_CGROUPS: usize = 65_536;
/// The last ones that went away keep their names: so many, and as many again.
const MOST_GONE: usize = 4096;

pub struct Names {
    resets: HashMap<u64, String>,
    drops: HashMap<u64, String>,
    cgroups: Cgroups,
    /// Interfaces by index, and the network namespace that they are of.
    interfaces: HashMap<u32, String>,
    netns: u32,
}

impl Names {
    pub fn new(types: &Types) -> Self {
        let netns = fs::metadata("/proc/self/ns/net").map_or(0, |of| of.ino() as u32);
        Names {
            resets: types.reset_reasons.clone(),
            drops: types.drop_reasons.clone(),
            cgroups: Cgroups::default(),
            interfaces: HashMap::new(),
            netns,
        }
    }

    /// Reads the names that the keys need, which may be new ones.
    pub fn update(&mut self, options: &Observe) {
        if options.keys.by.contains(&By::Cgroup) {
            self.cgroups.replace(cgroups());
        }
        if options.keys.iface {
            self.interfaces = interfaces();
        }
    }

    /// Null where the kernel gives none, and for a number without a name.
    pub fn reason(&self, of: u32, reason: u32) -> Option<&str> {
        let names = if of == ObserveReason::TCC_REASON_DROP.0 { &self.drops } else { &self.resets };
        names.get(&u64::from(reason)).map(String::as_str)
    }

    pub fn cgroup(&self, id: u64) -> Option<&str> {
        self.cgroups.path(id)
    }

    pub fn interface(&self, netns: u32, index: u32) -> Option<&str> {
        self.interfaces.get(&index).filter(|_| netns == self.netns).map(String::as_str)
    }
}

/// Paths by id, which the kernel never uses again. One that went away was there for a part of the interval, and its sockets may
/// stay for longer.
#[derive(Default)]
struct Cgroups {
    now: HashMap<u64, String>,
    gone: HashMap<u64, String>,
    gone_before: HashMap<u64, String>,
}

impl Cgroups {
    fn replace(&mut self, now: HashMap<u64, String>) {
        let before = std::mem::replace(&mut self.now, now);
        self.gone.extend(before.into_iter().filter(|(id, _)| !self.now.contains_key(id)));
        if self.gone.len() >= MOST_GONE {
            self.gone_before = std::mem::take(&mut self.gone);
        }
    }

    fn path(&self, id: u64) -> Option<&str> {
        let all = [&self.now, &self.gone, &self.gone_before];
        all.into_iter().find_map(|paths| paths.get(&id)).map(String::as_str)
    }
}

/// All v2 cgroups: an id is a directory's inode.
fn cgroups() -> HashMap<u64, String> {
    let Some(mount) = kernel::cgroup::mount() else { return HashMap::new() };
    let mut found = HashMap::new();
    let mut level = vec![mount.clone()];
    for _ in 0..LEVELS {
        let mut below = Vec::new();
        for path in level {
            if found.len() >= MOST_CGROUPS {
                return found;
            }
            add_cgroup(&mount, &path, &mut found);
            below.extend(directories(&path));
        }
        level = below;
    }
    found
}

fn add_cgroup(mount: &Path, path: &Path, found: &mut HashMap<u64, String>) {
    if let (Ok(metadata), Ok(name)) = (fs::metadata(path), path.strip_prefix(mount)) {
        found.insert(metadata.ino(), format!("/{}", name.to_string_lossy()));
    }
}

fn directories(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let is_directory = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.filter_map(Result::ok).filter(is_directory).map(|entry| entry.path()).collect()
}

/// Of our own network namespace.
fn interfaces() -> HashMap<u32, String> {
    let Ok(entries) = fs::read_dir("/sys/class/net") else { return HashMap::new() };
    let of_entry = |entry: fs::DirEntry| {
        let index = fs::read_to_string(entry.path().join("ifindex")).ok()?;
        Some((index.trim().parse().ok()?, entry.file_name().to_string_lossy().into_owned()))
    };
    entries.filter_map(Result::ok).filter_map(of_entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_that_went_away_keep_their_paths() {
        let mut cgroups = Cgroups::default();
        let of = |ids: std::ops::Range<u64>| ids.map(|id| (id, format!("/{id}"))).collect();
        cgroups.replace(of(0..2));
        cgroups.replace(of(1..2));
        cgroups.replace(HashMap::new());
        assert_eq!(
            (cgroups.path(0), cgroups.path(1), cgroups.path(2)),
            (Some("/0"), Some("/1"), None)
        );
        // As many as come and go.
        for id in 2..50_000 {
            cgroups.replace(of(id..id + 1));
        }
        let kept = (0..50_000).filter(|id| cgroups.path(*id).is_some()).count();
        assert!((MOST_GONE..=2 * MOST_GONE + 1).contains(&kept), "{kept}");
        assert_eq!(cgroups.path(50_000 - MOST_GONE as u64), Some("/45904"));
        assert_eq!(cgroups.path(0), None);
    }
}
