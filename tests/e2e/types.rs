//! Files that `--btf` names.

use std::fs;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::{Launch, TempDir, Tracer, is_root};

/// Nothing is waited for, and a large file is not read.
#[test]
fn types_are_taken_from_regular_files_only() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let [fifo, large] = ["fifo", "large"].map(|name| dir.path().join(name));
    mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a FIFO");
    let mut start = fs::read("/sys/kernel/btf/vmlinux").expect("the kernel's types");
    start.truncate(1 << 20);
    fs::write(&large, start).expect("a file");
    // A hole: reading it would take minutes.
    let file = fs::OpenOptions::new().write(true).open(&large).expect("a file");
    file.set_len(1 << 40).or_else(|_| file.set_len(1 << 33)).expect("a hole");
    for (path, why) in [
        (fifo.as_path(), "not a regular file"),
        (Path::new("/dev/zero"), "not a regular file"),
        (&large, "too large"),
    ] {
        let output =
            Tracer::spawn(&Launch::here(), &["-d", "1s", "--btf", path.to_str().expect("UTF-8")])
                .wait_raw();
        assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
        assert!(output.stderr.contains(why), "{}", output.stderr);
        assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
    }
}
