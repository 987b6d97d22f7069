//! What a recording says of its machine, against other sources than those that it is made from.

use std::fs;

use serde_json::Value;

use crate::support::{Launch, Netns, TempDir, Tracer, is_root, wait_until};

/// The object of the file that `info` prints.
fn header() -> Value {
    let dir = TempDir::new();
    let path = dir.path().join("run.tcc");
    let path = path.to_str().expect("UTF-8");
    let args = ["record", "state", "-w", path, "-P", "1", "-d", "1ms"];
    let recorded = Tracer::spawn(&Launch::here().with_tracefs(), &args).wait_raw();
    assert!(recorded.status.success(), "{}", recorded.stderr);
    let info = Tracer::spawn(&Launch::here(), &["info", path, "-o", "jsonl"]).wait_raw();
    assert!(info.status.success(), "{}", info.stderr);
    let first = info.stdout.lines().next().expect("a line");
    serde_json::from_str(first).expect("JSON")
}

/// Nanoseconds and jiffies, as the kernel's list of timers shows both.
fn timers() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/timer_list").ok()?;
    let number = |start: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(start))?;
        rest.split_whitespace().next()?.parse().ok()
    };
    Some((number("now at ")?, number("jiffies: ")?))
}

#[test]
fn ticks_are_as_fast_as_the_timers_show() {
    need!(is_root(), "not root");
    let Some((begin_ns, begin)) = timers() else {
        return eprintln!("skipped: /proc/timer_list has no jiffies");
    };
    let hz = header()["hz"].as_u64().expect("ticks a second");
    let mut ticks = 0.0;
    wait_until("two seconds of ticks", || {
        let Some((now_ns, now)) = timers() else { return false };
        let seconds = (now_ns - begin_ns) as f64 / 1e9;
        ticks = (now - begin) as f64 / seconds;
        seconds > 2.0
    });
    assert!((ticks - hz as f64).abs() < hz as f64 * 0.02, "{hz} Hz, but {ticks} ticks a second");
}

#[test]
fn namespaces_have_the_names_of_those_who_are_inside() {
    need!(is_root(), "not root");
    let spaces = [Netns::new(), Netns::new()];
    let header = header();
    let named = header["network_namespaces"].as_array().expect("namespaces");
    for ns in &spaces {
        let link = ns.inside(|| fs::read_link("/proc/thread-self/ns/net").expect("a link"));
        let found = named.iter().find(|space| space["name"] == ns.name).expect("its name");
        assert_eq!(format!("net:[{}]", found["inode"]), link.to_string_lossy());
    }
}
