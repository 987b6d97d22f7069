//! A program that the kernel does not take: it is named, the verifier is heard with -v, and the next reader is tried.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Launch, Server, TempDir, Tracer, is_root, text, traffic, u64_of, wait_until};

const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";
/// Only programs with typed loads read it: to these the verifier knows what lies where.
const MEMBER: &str = "skc_cookie";

/// The kernel's types, in which that member lies a byte further than it does.
fn shifted(dir: &TempDir) -> PathBuf {
    let mut bytes = fs::read(KERNEL_BTF).expect("the kernel's BTF");
    let word = |bytes: &[u8], at: usize| {
        u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("4 bytes")) as usize
    };
    let section = |at: usize| word(&bytes, 4) + word(&bytes, at);
    let (mut at, strings) = (section(8), section(16));
    let end = at + word(&bytes, 12);
    let mut found = 0;
    while at < end {
        let info = word(&bytes, at + 4);
        let (event_type, len) = (info >> 24 & 0x1f, info & 0xffff);
        at += 12;
        match event_type {
            // A struct or a union: name, type and offset in bits of each member.
            4 | 5 => {
                for member in (0..len).map(|i| at + i * 12) {
                    let name = &bytes[strings + word(&bytes, member)..];
                    if name.starts_with(MEMBER.as_bytes()) && name[MEMBER.len()] == 0 {
                        let offset = (word(&bytes, member + 8) + 8) as u32;
                        bytes[member + 8..member + 12].copy_from_slice(&offset.to_ne_bytes());
                        found += 1;
                    }
                }
                at += len * 12;
            }
            15 | 19 => at += len * 12,
            6 | 13 => at += len * 8,
            1 | 14 | 17 => at += 4,
            3 => at += 12,
            _ => {}
        }
    }
    assert_eq!(found, 1, "{MEMBER}");
    let path = dir.path().join("shifted");
    fs::write(&path, bytes).expect("a file");
    path
}

/// Words that only libbpf or the verifier says.
fn is_heard(stderr: &str) -> bool {
    stderr.contains("libbpf: ") || stderr.contains("access beyond")
}

#[test]
fn the_next_reader_is_tried() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let btf = shifted(&dir);
    let btf = btf.to_str().expect("UTF-8");
    let server = Server::start("127.0.0.1:0", None);
    let (to, port) = (server.addr.to_string(), server.port_text());
    for (verbose, heard) in [(&[][..], false), (&["-v"], true), (&["-q"], false)] {
        let args = [&["-o", "jsonl", "-a", "-P", &port, "--btf", btf, "--stats", "10ms"], verbose];
        let tracer = Tracer::spawn(&Launch::here(), &args.concat());
        wait_until("the trace to begin", || !tracer.stats().is_empty());
        traffic(&["pingpong", "--to", &to, "--count", "20", "--interval", "1ms"]);
        wait_until("events", || tracer.events().len() >= 20);
        let trace = tracer.stop();
        trace.check_account();
        let last = trace.events.last().expect("an event");
        assert_eq!((u64_of(last, "mss") > 0, &last["state"]), (true, &"ESTABLISHED".into()));

        let stderr = &trace.stderr;
        assert_eq!(is_heard(stderr), heard, "{stderr}");
        let notes: Vec<&str> =
            stderr.lines().filter(|line| line.contains("note: reader")).collect();
        if verbose == ["-q"] {
            assert_eq!(stderr, "");
            continue;
        }
        assert!(stderr.contains("(reader raw, "), "{stderr}");
        let [note] = notes[..] else { panic!("{stderr}") };
        let start =
            "tcc-trace: note: reader sock: the kernel rejected program tcp_probe_lean_btf: ";
        assert!(note.starts_with(start) && note.contains("Permission denied"), "{stderr}");
    }
}

#[test]
fn where_there_is_no_other_it_is_the_error() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let btf = shifted(&dir);
    let args = ["-a", "-d", "1s", "--reader", "sock", "--btf", btf.to_str().expect("UTF-8")];
    let refused = Tracer::spawn(&Launch::here(), &args).wait_raw();
    assert_eq!((refused.status.code(), refused.stdout.as_str()), (Some(1), ""));
    let start = "tcc-trace: no reader works on this kernel: sock: the kernel rejected program tcp_probe_lean_btf: ";
    assert!(refused.stderr.starts_with(start), "{}", refused.stderr);
    assert!(refused.stderr.trim_end().ends_with("run with -v"), "{}", refused.stderr);
    assert_eq!(refused.stderr.lines().count(), 1, "{}", refused.stderr);

    let verbose = Tracer::spawn(&Launch::here(), &[&args[..], &["-v"]].concat()).wait_raw();
    assert_eq!(verbose.status.code(), Some(1), "{}", verbose.stderr);
    // The verifier's reason, and ours last.
    assert!(is_heard(&verbose.stderr), "{}", verbose.stderr);
    let last = verbose.stderr.lines().last().expect("a line");
    assert!(last.starts_with(start) && !last.contains("-v"), "{}", verbose.stderr);
}

/// One refused program does not speak for the others: each event type is tried by itself then.
#[test]
fn check_names_only_what_the_kernel_refuses() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let btf = shifted(&dir);
    let args = ["check", "-o", "json", "--btf", btf.to_str().expect("UTF-8")];
    let report: Value =
        serde_json::from_str(&Tracer::spawn(&Launch::here(), &args).wait_raw().stdout)
            .expect("JSON");
    let mut loads = BTreeSet::new();
    for event_type in report["events"].as_array().expect("a list") {
        let requests = event_type["requests"].as_array().expect("a list").iter();
        for reader in requests.flat_map(|one| one["readers"].as_array().expect("a list")) {
            assert_eq!(reader["loads"] == true, reader["error"].is_null(), "{reader}");
            loads.insert((text(reader, "name").to_owned(), reader["loads"] == true));
        }
    }
    let loads = |reader: &str, how: bool| loads.contains(&(reader.to_owned(), how));
    assert!(loads("sock", false) && loads("sock", true), "{report}");
    assert!(loads("raw", true) && !loads("raw", false), "{report}");
}
