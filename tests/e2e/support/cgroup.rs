//! Control groups.

use std::path::PathBuf;

use super::launch::Launch;
use super::wait_until;

/// A v2 group, gone with its owner.
pub struct Cgroup(pub PathBuf);

impl Cgroup {
    #[track_caller]
    pub fn new(path: PathBuf) -> Self {
        std::fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Cgroup(path)
    }

    /// A program that is in the group before it runs.
    pub fn launch(&self, launch: Launch) -> Launch {
        let procs = self.0.join("cgroup.procs").display().to_string();
        launch.within(&["sh", "-c", "echo $$ >\"$0\" && exec \"$@\"", &procs])
    }

    pub fn name(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Its processes have ended, but the kernel may need a moment to notice.
        wait_until("the group to be empty", || {
            std::fs::remove_dir(&self.0).is_ok() || !self.0.exists()
        });
    }
}
