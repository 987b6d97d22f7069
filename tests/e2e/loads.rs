//! Every program of every flavour, for each of its readers and transports: this kernel's verifier accepts it, and it attaches.

use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::path::Path;

use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use tcc_trace::skel::TccTraceSkelBuilder;

use crate::support::{Launch, Tracer, is_root};

/// Command lines that together load every program. By the readers of the socket; this one has another reader, too:
const PROBE: &[&str] = &["probe"];
const PRINTED: [&[&str]; 3] = [
    PROBE,
    &["probe", "--all-fields"],
    // All event types of this kernel, with their helpers.
    &["events", "all", "--all-fields", "--stack"],
];
/// Those that count in the kernel, for which there is no transport.
const COUNTED: [&[&str]; 5] = [
    &["rtt", "--by", "cc"],
    &["top", "--interval", "1s"],
    &["cong", "--by", "cc"],
    &["retrans", "--by", "cc"],
    &["connlat", "--histogram"],
];

/// Those that a run loads, as it lists them itself. All of them are attached when it says that it traces.
#[track_caller]
fn loaded(command: &[&str], reader: &str, more: &[&str]) -> BTreeSet<String> {
    let options = ["-v", "-o", "jsonl", "--reader", reader];
    let args = [command, &options, more].concat();
    let output = Tracer::spawn(&Launch::here().with_tracefs(), &args).wait_raw();
    assert!(output.status.success(), "{args:?}: {}", output.stderr);
    let line = |start| output.stderr.lines().find_map(|line: &str| line.strip_prefix(start));
    assert!(line("tcc-trace: tracing ").is_some(), "{args:?}: {}", output.stderr);
    let used = line("tcc-trace: reader ").unwrap_or_else(|| panic!("{args:?}: {}", output.stderr));
    assert_eq!(used.split(':').next(), Some(reader), "{args:?}: {}", output.stderr);
    let programs = line("tcc-trace: programs: ").unwrap_or_else(|| panic!("{}", output.stderr));
    programs.split_whitespace().map(str::to_owned).collect()
}

/// Each of these by each reader of the socket.
fn each<'c>(
    commands: &'c [&'static [&'static str]],
) -> impl Iterator<Item = (&'static [&'static str], &'static str)> + 'c {
    commands.iter().flat_map(|command| ["sock", "raw"].map(|reader| (*command, reader)))
}

#[test]
fn every_program_is_accepted_and_attached() {
    need!(is_root(), "not root");
    let mut seen = BTreeSet::new();
    let briefly = ["--duration", "1ms"];
    for transport in ["ringbuf", "perfbuf"] {
        let more = [&["--transport", transport], &briefly[..]].concat();
        seen.extend(loaded(PROBE, "record", &more));
        for (command, reader) in each(&PRINTED) {
            seen.extend(loaded(command, reader, &more));
        }
    }
    for (command, reader) in each(&COUNTED) {
        seen.extend(loaded(command, reader, &briefly));
    }
    // These follow its children.
    seen.extend(loaded(&["probe"], "sock", &["--", "true"]));
    let mut object = MaybeUninit::uninit();
    let skeleton = TccTraceSkelBuilder::default().open(&mut object).expect("the object");
    for program in skeleton.open_object().progs() {
        let name = program.name().to_string_lossy().into_owned();
        let section = program.section().to_string_lossy().into_owned();
        let needed = exists_here(&section) && !is_fallback(&name);
        assert!(seen.contains(&name) || !needed, "{name} ({section}) was never loaded: {seen:?}");
    }
}

/// The tags of a tracer's programs: hashes that the kernel makes of their instructions, as relocated.
#[track_caller]
fn tags(launch: &Launch, reader: &str) -> Vec<String> {
    let args = ["events", "all", "--all-fields", "-o", "jsonl", "--reader", reader, "--port", "1"];
    let mut tracer = Tracer::spawn(launch, &args);
    tracer.wait_ready();
    let files = std::fs::read_dir(format!("/proc/{}/fdinfo", tracer.pid())).expect("its files");
    let texts = files.flatten().filter_map(|file| std::fs::read_to_string(file.path()).ok());
    let tag = |text: String| {
        text.lines().find_map(|line| line.strip_prefix("prog_tag:").map(str::to_owned))
    };
    let mut tags: Vec<String> = texts.filter_map(tag).collect();
    tags.sort();
    tracer.stop().check_account();
    tags
}

/// libbpf is given an excerpt of the kernel's types, by a path in /proc. Without /proc it looks through all of them itself, and
/// comes to the same programs.
#[test]
fn an_excerpt_relocates_as_all_types_do() {
    need!(is_root(), "not root");
    let script = "mount -t tmpfs none /proc; exec \"$0\" \"$@\"";
    let here = Launch::here().with_tracefs();
    let without_proc = Launch::here().with_tracefs().within(&["unshare", "-m", "sh", "-c", script]);
    for reader in ["sock", "raw"] {
        let tags = [&here, &without_proc].map(|launch| tags(launch, reader));
        assert!(tags[0].len() > 20, "{tags:?}");
        assert_eq!(tags[0], tags[1], "{reader}");
    }
}

/// Has this kernel the tracepoint of that section? Iterators are not in the list of programs: a run that needs one reads it,
/// and fails where it cannot.
fn exists_here(section: &str) -> bool {
    let tracepoint = section.rsplit('/').next().unwrap_or_default();
    let events = Path::new("/sys/kernel/tracing/events");
    let groups = || std::fs::read_dir(events).into_iter().flatten().flatten();
    let known = !events.exists() || groups().any(|group| group.path().join(tracepoint).exists());
    !section.starts_with("iter/") && known
}

/// Loaded only where the kernel skips nested runs, or has no tcp_cong_state_set.
fn is_fallback(name: &str) -> bool {
    name.ends_with("_second") || name.starts_with("cong_seen")
}
