//! Every program of every flavour, for each of its readers and transports: this kernel's verifier accepts it, and it attaches.

use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::path::Path;

use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use tcc_trace::skel::TccTraceSkelBuilder;

use super::recorded::recorder_arguments;
use super::{RING, scenario};
use crate::support::{Launch, Tracer, is_root, tags_of_programs};

/// Command lines that, with those of the scenario, together load every program. This one has the lean ones:
const PROBE: &[&str] = &["probe", "--all-fields"];
/// Those that count in the kernel, for which there is no transport, or keep accounts there.
const COUNTED: [&[&str]; 9] = [
    &["observe", "--metrics", "all", "--by", "cc,iface"],
    &["rtt", "--by", "cc"],
    &["top", "--interval", "1s"],
    &["top", "--limits"],
    &["life", "--limits"],
    &["limits"],
    &["cong", "--by", "cc"],
    &["retrans", "--by", "cc"],
    &["connlat", "--histogram"],
];

/// The programs that it has loaded. All of them are attached when it says that it traces.
#[track_caller]
fn load(command: &[&str], reader: &str) -> BTreeSet<String> {
    let options = ["-v", "-o", "jsonl", "--port", "1", "--reader", reader];
    let args = [command, &options].concat();
    let mut tracer = Tracer::spawn(&Launch::here().with_tracefs(), &args);
    tracer.wait_ready();
    let output = tracer.stop_raw();
    assert!(output.status.success(), "{args:?}: {}", output.stderr);
    assert!(is_read_by(&output.stderr, reader), "{args:?}: {}", output.stderr);
    output.programs()
}

/// Whether it has said so.
fn is_read_by(stderr: &str, reader: &str) -> bool {
    stderr.lines().any(|line| line.starts_with(&format!("tcc-trace: reader {reader}:")))
}

#[test]
fn every_program_is_accepted_and_attached() {
    need!(is_root(), "not root");
    let mut seen = scenario().programs();
    for reader in ["sock", "raw"] {
        for command in [&[PROBE], &COUNTED[..]].concat() {
            seen.extend(load(command, reader));
        }
    }
    // Some follow a command's children.
    let launch = Launch::here().with_tracefs();
    let output = Tracer::spawn(&launch, &["-v", "--", "true"]).wait_raw();
    assert!(output.status.success(), "{}", output.stderr);
    seen.extend(output.programs());
    let mut object = MaybeUninit::uninit();
    let skeleton = TccTraceSkelBuilder::default().open(&mut object).expect("the object");
    for program in skeleton.open_object().progs() {
        let name = program.name().to_string_lossy().into_owned();
        let section = program.section().to_string_lossy().into_owned();
        let needed = exists_here(&section) && !is_fallback(&name);
        assert!(seen.contains(&name) || !needed, "{name} ({section}) was never loaded: {seen:?}");
    }
}

/// libbpf is given an excerpt of the kernel's types, by a path in /proc. Without /proc it searches all of them, and must arrive
/// at the same programs.
#[test]
fn all_types_give_the_same_programs() {
    need!(is_root(), "not root");
    let script = "mount -t tmpfs none /proc; exec \"$0\" \"$@\"";
    let without_proc = Launch::here().with_tracefs().within(&["unshare", "-m", "sh", "-c", script]);
    let args = recorder_arguments("sock", RING, &scenario().ports);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut tracer = Tracer::spawn(&without_proc, &args);
    tracer.wait_ready();
    let by_all_types = tags_of_programs(tracer.pid());
    let output = tracer.stop_raw();
    assert!(output.status.success(), "{}", output.stderr);
    let by_excerpt = &scenario().by("sock", RING).tags;
    assert!(by_excerpt.len() > 20, "{by_excerpt:?}");
    assert_eq!(*by_excerpt, by_all_types);
}

/// Has this kernel the tracepoint of that section? Iterators, and programs that are attached to nothing, are not in the list of
/// programs: a run that needs one runs it, and fails where it cannot.
fn exists_here(section: &str) -> bool {
    let tracepoint = section.rsplit('/').next().unwrap_or_default();
    let events = Path::new("/sys/kernel/tracing/events");
    let groups = || std::fs::read_dir(events).into_iter().flatten().flatten();
    let known = !events.exists() || groups().any(|group| group.path().join(tracepoint).exists());
    section.contains('/') && !section.starts_with("iter/") && known
}

/// Loaded only where the kernel skips nested runs.
fn is_fallback(name: &str) -> bool {
    name.contains("_fallback_")
}
