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

pub struct Names {
    resets: HashMap<u64, String>,
    drops: HashMap<u64, String>,
    /// Paths by id.
    cgroups: HashMap<u64, String>,
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
            cgroups: HashMap::new(),
            interfaces: HashMap::new(),
            netns,
        }
    }

    /// Reads the names that the keys need, which may be new ones.
    pub fn update(&mut self, options: &Observe) {
        if options.keys.by.contains(&By::Cgroup) {
            self.cgroups = cgroups();
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
        self.cgroups.get(&id).map(String::as_str)
    }

    pub fn interface(&self, netns: u32, index: u32) -> Option<&str> {
        self.interfaces.get(&index).filter(|_| netns == self.netns).map(String::as_str)
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
