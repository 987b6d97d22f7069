//! What `check` says of a kernel: what is so, what is not, and what is not known.

use serde_json::Value;

use crate::support::{
    CHECKED, CHECKED_TEXT, Launch, Tracer, columns, is_root, schema, tcc_trace, tells,
};

fn check(launch: &Launch, args: &[&str]) -> (String, Value) {
    let text = Tracer::spawn(launch, &[&["check"], args].concat()).wait_raw();
    let json = Tracer::spawn(launch, &[&["check", "-o", "json"], args].concat()).wait_raw();
    assert_eq!((text.stderr.as_str(), json.stderr.as_str()), ("", ""));
    assert_eq!(text.status, json.status);
    (text.stdout, serde_json::from_str(&json.stdout).expect("JSON"))
}

/// The one of that name.
#[track_caller]
fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    let mut all = list.as_array().unwrap_or_else(|| panic!("no list: {list}")).iter();
    all.find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name} in {list}"))
}

#[track_caller]
fn has_line(text: &str, start: &str) -> bool {
    text.lines().any(|line| line.starts_with(start))
}

#[test]
fn without_btf_its_features_are_unknown() {
    need!(is_root(), "not root");
    let (text, report) = check(&Launch::here(), &["--btf", "/nonexistent"]);
    assert_eq!(report["ready"], false);
    assert_eq!(named(&report["system"], "btf")["ok"], false, "{report}");
    for name in ["record", "ring buffer", "typed programs", "cookies", "owners"] {
        let item = named(&report["system"], name);
        assert!(item["ok"].is_null(), "{item}");
        assert!(item["fix"].as_str().is_some_and(|fix| fix.contains("--btf FILE")), "{item}");
        assert!(has_line(&text, &format!("  ?    {name:<20} unknown")), "{text}");
    }
    // Once for the system, once for the algorithms.
    assert_eq!(
        text.lines().filter(|line| line.contains("or pass its BTF with --btf FILE")).count(),
        2
    );
    for event_type in report["events"].as_array().expect("events") {
        for request in event_type["requests"].as_array().expect("requests") {
            assert_eq!(
                (&request["available"], &request["readers"]),
                (&Value::Null, &Value::Array(vec![]))
            );
        }
        for field in event_type["fields"].as_array().expect("fields") {
            assert!(field["available"].is_null(), "{field}");
        }
    }
    assert!(!text.contains("this kernel has no"), "{text}");
    assert!(has_line(&text, "  ?    probe                unknown"), "{text}");
}

/// It alone tells whether the kernel is locked down.
#[test]
fn without_securityfs_it_is_not_known_whether_the_kernel_is_locked_down() {
    need!(is_root(), "not root");
    let script = "while grep -q ' /sys/kernel/security ' /proc/self/mounts; do \
        umount -l /sys/kernel/security || exit; done; exec \"$0\" \"$@\"";
    let (text, report) = check(&Launch::here().within(&["unshare", "-m", "sh", "-c", script]), &[]);
    let item = named(&report["system"], "lockdown");
    assert!(item["ok"].is_null(), "{item}");
    assert!(item["fix"].as_str().is_some_and(|fix| fix.starts_with("mount -t securityfs")));
    assert!(has_line(&text, "  ?    lockdown             unknown"), "{text}");

    let mount = "mount -t securityfs none /sys/kernel/security 2>/dev/null; exec \"$0\" \"$@\"";
    let (text, report) = check(&Launch::here().within(&["unshare", "-m", "sh", "-c", mount]), &[]);
    let ok = &named(&report["system"], "lockdown")["ok"];
    assert!(ok.is_boolean(), "{report}");
    assert!(has_line(&text, if *ok == true { "  ok   lockdown" } else { "  no   lockdown" }));
}

/// The layout is the types' to tell; that the record cannot be had without tracefs is said of tracefs.
#[test]
fn the_record_is_known_without_tracefs() {
    need!(is_root(), "not root");
    let script = "for dir in /sys/kernel/tracing /sys/kernel/debug; do \
        while grep -q \" $dir[ /]\" /proc/self/mounts; do umount -l $dir || exit; done; done 2>/dev/null; \
        exec \"$0\" \"$@\"";
    let launch = Launch::here().within(&["unshare", "-m", "sh", "-c", script]);
    let (text, report) = check(&launch, &[]);
    assert_eq!(named(&report["system"], "record")["ok"], true, "{report}");
    assert_eq!(named(&report["system"], "tracefs")["ok"], false, "{report}");
    assert!(has_line(&text, "  ok   record  "), "{text}");
    let fields = &named(&report["events"], "probe")["fields"];
    assert!(!named(fields, "snd_cwnd")["readers"].as_str().expect("readers").contains("record"));
}

/// With all rights everything that is there can be had.
#[test]
fn all_there_is_can_be_had() {
    need!(is_root(), "not root");
    let (output, report) = &*CHECKED;
    assert_eq!((output.status.code(), output.stderr.as_str()), (Some(0), ""), "{report}");
    assert_eq!(report["ready"], true);
    let probe = &report["events"][0];
    let fields = probe["fields"].as_array().expect("fields");
    let names: Vec<&str> = fields.iter().filter_map(|field| field["name"].as_str()).collect();
    assert_eq!(names, columns(schema(), "probe"));
    for request in probe["requests"].as_array().expect("requests") {
        for reader in request["readers"].as_array().expect("readers") {
            assert_eq!(reader["loads"], true, "{request}");
        }
    }
}

#[test]
fn the_text_says_the_same() {
    need!(is_root(), "not root");
    let (text, (json, report)) = (&*CHECKED_TEXT, &*CHECKED);
    assert_eq!((text.status, text.stderr.as_str()), (json.status, ""));
    assert!(text.stdout.lines().next().is_some_and(|line| line.ends_with(": ready")));
    for item in report["system"].as_array().expect("items") {
        let (name, detail) = (item["name"].as_str(), item["detail"].as_str());
        let line = format!("{:<20} {}\n", name.expect("a name"), detail.expect("text"));
        assert!(text.stdout.contains(&line), "no {line}: {}", text.stdout);
    }
    for algorithm in report["algorithms"].as_array().expect("algorithms") {
        let name = algorithm["name"].as_str().expect("a name");
        let line = format!("      ?    {name}.*: ");
        assert_eq!(has_line(&text.stdout, &line), is_not_loaded(algorithm), "{}", text.stdout);
    }
}

fn is_not_loaded(algorithm: &Value) -> bool {
    algorithm["detail"].as_str().is_some_and(|detail| detail.contains("not loaded"))
}

/// What the kernel's own trace of the event does not tell, we do not have either.
#[test]
fn fields_are_available_where_the_kernel_has_them() {
    need!(is_root(), "not root");
    let (_, report) = &*CHECKED;
    for (event_type, name) in [("retransmit", "err"), ("reset_sent", "reason"), ("drop", "reason")]
    {
        let field = named(&named(&report["events"], event_type)["fields"], name);
        assert_eq!(field["available"], tells(event_type, name), "{event_type}: {field}");
        assert_eq!(field["reason"].is_string(), !tells(event_type, name), "{event_type}: {field}");
    }
    for algorithm in report["algorithms"].as_array().expect("algorithms") {
        let name = algorithm["name"].as_str().expect("a name");
        let fields = named(&report["events"], "probe")["fields"].as_array().expect("fields");
        let own = fields.iter().filter(|f| {
            f["name"].as_str().is_some_and(|field| field.starts_with(&format!("{name}.")))
        });
        let mut known: Vec<&Value> = own.map(|field| &field["available"]).collect();
        known.dedup();
        let expected = if is_not_loaded(algorithm) { Value::Null } else { algorithm["ok"].clone() };
        // A kernel may lack a member or two of what it has.
        assert!(known.contains(&&expected) && !known.is_empty(), "{algorithm}: {known:?}");
    }
    let typed = named(&report["system"], "typed programs")["ok"] == true;
    let state = &named(&report["events"], "state")["fields"];
    let readers = if typed { "sock, raw" } else { "raw" };
    assert_eq!(named(state, "old_state")["readers"], readers, "{report}");
}

/// Does the program's file ask for a loader of shared libraries? By its ELF program headers (PT_INTERP).
fn has_interpreter() -> bool {
    let file = std::fs::read(tcc_trace()).expect("the program");
    let half = |at: usize| usize::from(u16::from_le_bytes([file[at], file[at + 1]]));
    let (first, size, count) = (half(32), half(54), half(56));
    (0..count).any(|i| file[first + i * size] == 3)
}

#[test]
fn the_binary_says_what_it_is_made_of() {
    need!(is_root(), "not root");
    let (text, (_, report)) = (&CHECKED_TEXT.stdout, &*CHECKED);
    let detail = named(&report["system"], "binary")["detail"].as_str().expect("text").to_owned();
    assert!(detail.starts_with("libbpf 1."), "{detail}");
    assert_eq!(detail.contains("shared libraries"), has_interpreter(), "{detail}");
    assert!(has_line(text, "  ok   binary               libbpf 1."), "{text}");
}
