//! The file system of v2 cgroups.

use std::path::PathBuf;

/// Where cgroup2 is mounted, if it is.
#[must_use]
pub fn mount() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let mut fields = mounts.lines().map(|line| line.split(' '));
    fields.find_map(|mut fields| {
        let (path, file_system) = (fields.nth(1)?, fields.next()?);
        (file_system == "cgroup2").then(|| PathBuf::from(path))
    })
}
