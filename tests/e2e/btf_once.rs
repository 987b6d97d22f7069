//! The kernel's types are parsed once in a run, whatever the command asks of them.

use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

use crate::support::{Launch, TempDir, Tracer, is_root};

/// Counts how often a file is opened.
struct Opens(OwnedFd);

impl Opens {
    fn of(path: &Path) -> Self {
        let inotify = inotify::init(CreateFlags::NONBLOCK).expect("inotify");
        // The kernel merges equal events that follow one another, so the end of each is waited for as well.
        inotify::add_watch(&inotify, path, WatchFlags::OPEN | WatchFlags::CLOSE).expect("a watch");
        Opens(inotify)
    }

    fn count(self) -> usize {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = Reader::new(self.0, &mut buffer);
        let mut opened = 0;
        while let Ok(event) = events.next() {
            opened += usize::from(event.events().contains(ReadFlags::OPEN));
        }
        opened
    }
}

#[test]
fn types_are_parsed_once() {
    need!(is_root(), "not root");
    let kernel = Path::new("/sys/kernel/btf/vmlinux");
    need!(kernel.exists(), "no BTF");
    let dir = TempDir::new();
    // libbpf opens the kernel's own file, so what is opened here is opened by us.
    let copy = dir.path().join("types");
    fs::write(&copy, fs::read(kernel).expect("the kernel's types")).expect("a copy");
    let commands: [&[&str]; 5] = [
        &["probe"],
        &["events", "all"],
        &["events", "drop"],
        &["connlat"],
        &["connlat", "--by", "raddr"],
    ];
    for command in commands {
        let opens = Opens::of(&copy);
        let options = ["--btf", copy.to_str().expect("UTF-8"), "-o", "jsonl"];
        let mut tracer =
            Tracer::spawn(&Launch::here().with_tracefs(), &[command, &options].concat());
        tracer.wait_ready();
        tracer.stop();
        assert_eq!(opens.count(), 1, "{command:?}");
    }
}
