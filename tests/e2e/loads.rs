//! Every program of every flavour, for each of its readers and transports: this kernel's verifier accepts it, and it attaches.

use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::path::Path;

use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use tcc_trace::skel::TccTraceSkelBuilder;

use crate::support::{Launch, Output, Tracer, is_root};

/// Command lines that together load every program. By the readers of the socket; this one has another reader, too:
const PROBE: &[&str] = &["probe"];
/// All event types of this kernel.
const ALL: &[&str] = &["events", "all", "--all-fields", "--stack"];
const PRINTED: [&[&str]; 4] = [PROBE, &["probe", "--all-fields"], &["life", "--limits"], ALL];
/// By the other transport: the same programs, with the other way out in each place.
const BY_PERFBUF: [&[&str]; 1] = [ALL];
/// Those that count in the kernel, for which there is no transport.
const COUNTED: [&[&str]; 7] = [
    &["rtt", "--by", "cc"],
    &["top", "--interval", "1s"],
    &["top", "--limits"],
    &["limits"],
    &["cong", "--by", "cc"],
    &["retrans", "--by", "cc"],
    &["connlat", "--histogram"],
];

/// What a run has loaded. All of it is attached when the run says that it traces.
struct Loaded {
    /// As it lists them itself.
    programs: BTreeSet<String>,
    /// Hashes that the kernel makes of the programs' instructions, as relocated.
    tags: Vec<String>,
}

#[track_caller]
fn load(launch: &Launch, command: &[&str], reader: &str, more: &[&str]) -> Loaded {
    let options = ["-v", "-o", "jsonl", "--port", "1", "--reader", reader];
    let args = [command, &options, more].concat();
    let mut tracer = Tracer::spawn(launch, &args);
    tracer.wait_ready();
    let tags = tags(tracer.pid());
    let output = tracer.stop_raw();
    assert!(output.status.success(), "{args:?}: {}", output.stderr);
    let line = |start| output.stderr.lines().find_map(|line: &str| line.strip_prefix(start));
    let used = line("tcc-trace: reader ").unwrap_or_else(|| panic!("{args:?}: {}", output.stderr));
    assert_eq!(used.split(':').next(), Some(reader), "{args:?}: {}", output.stderr);
    Loaded { programs: programs(&output), tags }
}

/// What it has listed with `-v`.
#[track_caller]
fn programs(output: &Output) -> BTreeSet<String> {
    let mut lines = output.stderr.lines();
    let list = lines.find_map(|line| line.strip_prefix("tcc-trace: programs: "));
    let list = list.unwrap_or_else(|| panic!("{}", output.stderr));
    list.split_whitespace().map(str::to_owned).collect()
}

fn tags(pid: u32) -> Vec<String> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("its files");
    let texts = files.flatten().filter_map(|file| std::fs::read_to_string(file.path()).ok());
    let tag = |text: String| {
        text.lines().find_map(|line| line.strip_prefix("prog_tag:").map(str::to_owned))
    };
    let mut tags: Vec<String> = texts.filter_map(tag).collect();
    tags.sort();
    tags
}

/// Each of these by each reader of the socket.
fn each<'c>(
    commands: &'c [&'static [&'static str]],
) -> impl Iterator<Item = (&'static [&'static str], &'static str)> + 'c {
    commands.iter().flat_map(|command| ["sock", "raw"].map(|reader| (*command, reader)))
}

/// libbpf is given an excerpt of the kernel's types, by a path in /proc. Without /proc it searches all of them, and must arrive
/// at the same programs.
#[test]
fn every_program_is_accepted_and_attached() {
    need!(is_root(), "not root");
    let here = Launch::here().with_tracefs();
    let script = "mount -t tmpfs none /proc; exec \"$0\" \"$@\"";
    let without_proc = Launch::here().with_tracefs().within(&["unshare", "-m", "sh", "-c", script]);
    let mut seen = BTreeSet::new();
    for (transport, commands) in [("ringbuf", &PRINTED[..]), ("perfbuf", &BY_PERFBUF)] {
        let more = ["--transport", transport];
        seen.extend(load(&here, PROBE, "record", &more).programs);
        for (command, reader) in each(commands) {
            let by_excerpt = load(&here, command, reader, &more);
            if command == ALL && transport == "ringbuf" && reader == "sock" {
                let by_all_types = load(&without_proc, command, reader, &more);
                assert!(by_excerpt.tags.len() > 20, "{:?}", by_excerpt.tags);
                assert_eq!(by_excerpt.tags, by_all_types.tags, "{reader}");
            }
            seen.extend(by_excerpt.programs);
        }
    }
    for (command, reader) in each(&COUNTED) {
        seen.extend(load(&here, command, reader, &[]).programs);
    }
    // Some follow a command's children.
    let output = Tracer::spawn(&here, &["-v", "--", "true"]).wait_raw();
    assert!(output.status.success(), "{}", output.stderr);
    seen.extend(programs(&output));
    let mut object = MaybeUninit::uninit();
    let skeleton = TccTraceSkelBuilder::default().open(&mut object).expect("the object");
    for program in skeleton.open_object().progs() {
        let name = program.name().to_string_lossy().into_owned();
        let section = program.section().to_string_lossy().into_owned();
        let needed = exists_here(&section) && !is_fallback(&name);
        assert!(seen.contains(&name) || !needed, "{name} ({section}) was never loaded: {seen:?}");
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

/// Loaded only where the kernel skips nested runs.
fn is_fallback(name: &str) -> bool {
    name.contains("_fallback_")
}
