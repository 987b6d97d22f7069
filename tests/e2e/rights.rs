//! Without rights, types or tracefs: one clear line, and as much as goes without.

use std::path::PathBuf;

use rustix::io::Errno;
use serde_json::Value;

use crate::support::{
    Launch, Lossy, Output, RIGHT, Server, TempDir, Tracer, is_root, kernel, run, traffic,
    wait_until,
};

/// As nobody, with these capabilities only.
fn nobody(caps: &[&str]) -> Launch {
    let list = caps.iter().fold("-all".to_owned(), |list, cap| format!("{list},+{cap}"));
    Launch::here().within(&[
        "setpriv",
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
        "--inh-caps",
        &list,
        "--ambient-caps",
        &list,
    ])
}

fn run(launch: &Launch, args: &[&str]) -> Output {
    Tracer::spawn(launch, args).wait_raw()
}

/// Says these words in its one line.
#[track_caller]
fn check_refused(output: &Output, status: i32, words: &[&str]) {
    let text = &output.stderr;
    assert_eq!(output.status.code(), Some(status), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("tcc-trace: "), "{text}");
    for word in words {
        assert!(text.contains(word), "no {word}: {text}");
    }
}

#[test]
fn missing_rights_are_named() {
    need!(is_root(), "not root");
    let traces = ["-P", "1", "-d", "1s"];
    check_refused(&run(&nobody(&[]), &traces), 1, &["CAP_BPF and CAP_PERFMON", "sudo", "setcap"]);
    check_refused(&run(&nobody(&["bpf"]), &traces), 1, &["missing capability: CAP_PERFMON"]);
    check_refused(&run(&nobody(&["perfmon"]), &traces), 1, &["missing capability: CAP_BPF"]);
}

/// As on any distribution: debugfs and tracefs are mounted, and only root may read them.
#[test]
fn a_tracefs_of_root_is_not_called_unmounted() {
    need!(is_root(), "not root");
    let closed = "for dir in debug tracing; do \
        mount -t tmpfs -o mode=700 tmpfs /sys/kernel/$dir || exit; done; exec \"$0\" \"$@\"";
    let launch = nobody(&[]).within(&["unshare", "-m", "sh", "-c", closed]);
    let output = run(&launch, &["check"]);
    let why = "/sys/kernel/tracing is not accessible to this user";
    assert!(output.stdout.contains(why), "{}{}", output.stdout, output.stderr);
    // Guests have no securityfs.
    let mut lines = output.stdout.lines().filter(|line| line.contains("tracefs"));
    assert!(lines.all(|line| !line.contains("not mounted")), "{}", output.stdout);
}

/// What is wrong with the options is said to anybody.
#[test]
fn mistakes_are_reported_before_missing_rights() {
    need!(is_root(), "not root");
    check_refused(&run(&nobody(&[]), &["--fields", "cwnd"]), 2, &["`cwnd`", "snd_cwnd"]);
    check_refused(&run(&nobody(&[]), &["--reader", "record", "-a"]), 2, &["--reader sock"]);
    check_refused(&run(&nobody(&[]), &["-P", "70000"]), 2, &["70000"]);
}

/// A user who may have no thread but the first two, of which the second takes signals.
#[test]
fn where_no_thread_can_be_made_that_is_the_error() {
    need!(is_root(), "not root");
    let launch = Launch::here().within(&[
        "setpriv",
        "--reuid",
        "54321",
        "--clear-groups",
        "--inh-caps",
        "-all",
        "sh",
        "-c",
        // What shells call it: dash and busybox so, bash otherwise.
        "ulimit -p 2 2>/dev/null || ulimit -u 2; exec \"$0\" \"$@\"",
    ]);
    for (option, value) in
        [("--iface", "lo"), ("--addr", "fe80::1%lo"), ("--netns", "/proc/self/ns/net")]
    {
        let words = ["cannot start a thread: Resource temporarily unavailable"];
        check_refused(&run(&launch, &[option, value]), 2, &words);
    }
}

/// Nobody, with what it takes.
fn two_capabilities() -> Launch {
    let launch = nobody(&["bpf", "perfmon"]);
    // Before 5.11 maps count against RLIMIT_MEMLOCK, which nobody may not raise.
    if kernel() >= (5, 11) {
        return launch;
    }
    launch.within(&["sh", "-c", "ulimit -l unlimited && exec \"$0\" \"$@\""])
}

#[test]
fn two_capabilities_are_enough() {
    need!(is_root(), "not root");
    let launch = two_capabilities();
    // Debian's level 3 keeps perf events from all but CAP_SYS_ADMIN.
    let paranoid = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid");
    let perf_allowed = paranoid.is_ok_and(|level| level.trim().parse::<i32>().is_ok_and(|n| n < 3));
    let server = Server::start("127.0.0.1:0", None);
    let (port, pid) = (server.port_text(), server.pid().to_string());
    for reader in ["sock", "raw"] {
        for transport in ["ringbuf", "perfbuf"] {
            let common = ["-P", &port, "--reader", reader, "--transport", transport, "-a"];
            let args = [&common[..], &["--pid", &pid]].concat();
            if transport == "perfbuf" && !perf_allowed {
                check_refused(&run(&launch, &args), 1, &["perf buffers", "Permission denied"]);
                continue;
            }
            let tracer = Tracer::start_in(&launch, &args);
            let to = server.addr.to_string();
            traffic(&["pingpong", "--to", &to, "--count", "20", "--interval", "1ms"]);
            wait_until("events", || tracer.events().len() >= 20);
            let trace = tracer.stop();
            trace.check_account();
            let last = trace.events.last().expect("an event");
            assert_eq!((&last["comm"], &last["state"]), (&"traffic".into(), &"ESTABLISHED".into()));
        }
    }
}

fn check(launch: &Launch, args: &[&str]) -> (Output, Value) {
    let output = run(launch, &[&["check", "-o", "json"], args].concat());
    let report = serde_json::from_str(&output.stdout).expect("JSON");
    (output, report)
}

/// Of the system.
#[track_caller]
fn item<'a>(report: &'a Value, name: &str) -> &'a Value {
    let mut items = report["system"].as_array().expect("items").iter();
    items.find(|item| item["name"] == name).unwrap_or_else(|| panic!("no {name}: {report}"))
}

#[test]
fn check_needs_no_rights_and_says_what_it_did_not_see() {
    need!(is_root(), "not root");
    let (output, report) = check(&nobody(&[]), &[]);
    assert_eq!((output.status.code(), &report["ready"]), (Some(1), &false.into()), "{report}");
    for request in report["events"][0]["requests"].as_array().expect("requests") {
        for reader in request["readers"].as_array().expect("readers") {
            assert!(reader["loads"].is_null(), "{request}");
        }
    }
    let text = run(&nobody(&[]), &["check"]);
    assert_eq!((text.status.code(), text.stderr.as_str()), (Some(1), ""));
    assert!(text.stdout.contains(": not ready"), "{}", text.stdout);
    assert!(text.stdout.contains("CAP_BPF and CAP_PERFMON"), "{}", text.stdout);
    assert!(text.stdout.contains("run as root"), "{}", text.stdout);
}

fn write(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).expect("a file");
    path
}

#[test]
fn types_that_are_no_types_are_refused() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let whole = std::fs::read("/sys/kernel/btf/vmlinux").expect("the kernel's BTF");
    let half = whole.len() / 2;
    let mut swapped = whole.clone();
    swapped[..2].reverse();
    for path in [
        PathBuf::from("/nonexistent"),
        write(&dir, "empty", b""),
        write(&dir, "garbage", &[0x5a; 4096]),
        write(&dir, "header only", &whole[..24]),
        write(&dir, "half", &whole[..half]),
        write(&dir, "all but one", &whole[..whole.len() - 1]),
        write(&dir, "swapped", &swapped),
        dir.path().to_owned(),
    ] {
        let name = path.to_str().expect("UTF-8");
        check_refused(&run(&Launch::here(), &["-d", "1s", "--btf", name]), 1, &["BTF", name]);
        let (output, report) = check(&Launch::here(), &["--btf", name]);
        assert_eq!((output.status.code(), &report["ready"]), (Some(1), &false.into()), "{report}");
    }
    // A copy of the right ones is right.
    let copy = write(&dir, "copy", &whole);
    let args =
        ["-o", "jsonl", "-P", "1", "-d", "50ms", "-a", "--btf", copy.to_str().expect("UTF-8")];
    run(&Launch::here(), &args).trace().check_account();
}

/// A kernel that was built without its types; and one that does not let us see them.
#[test]
fn a_kernel_without_types_is_reported_and_can_be_helped() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let copy = dir.path().join("copy");
    std::fs::copy("/sys/kernel/btf/vmlinux", &copy).expect("the kernel's BTF");
    let hide = |mode: &str, launch: Launch| {
        let script =
            format!("mount -t tmpfs -o mode={mode} none /sys/kernel/btf && exec \"$0\" \"$@\"");
        launch.within(&["unshare", "-m", "sh", "-c", &script])
    };
    let hidden = hide("755", Launch::here());
    check_refused(&run(&hidden, &["-d", "1s"]), 1, &["CONFIG_DEBUG_INFO_BTF", "--btf FILE"]);
    let args = ["-o", "jsonl", "-P", "1", "-d", "50ms", "--btf", copy.to_str().expect("UTF-8")];
    let trace = run(&hidden, &args).trace();
    trace.check_account();
    // That one needs the kernel's own.
    assert!(!trace.stderr.contains("(reader sock, "), "{}", trace.stderr);

    let forbidden = run(&hide("700", nobody(&["bpf", "perfmon"])), &["-d", "1s"]);
    check_refused(&forbidden, 1, &["/sys/kernel/btf/vmlinux: Permission denied"]);
    assert!(!forbidden.stderr.contains("CONFIG_DEBUG_INFO_BTF"), "{}", forbidden.stderr);
}

#[test]
fn without_tracefs_the_record_is_refused_and_the_rest_works() {
    need!(is_root(), "not root");
    let script = "for dir in /sys/kernel/tracing /sys/kernel/debug; do \
        while grep -q \" $dir[ /]\" /proc/self/mounts; do umount -l $dir || exit; done; done 2>/dev/null; \
        exec \"$0\" \"$@\"";
    let launch = Launch::here().within(&["unshare", "-m", "sh", "-c", script]);
    let refused = run(&launch, &["--reader", "record", "-d", "1s"]);
    check_refused(&refused, 1, &["tracefs is not mounted", "mount -t tracefs"]);
    for reader in ["auto", "sock", "raw"] {
        let args = ["-o", "jsonl", "-P", "1", "-d", "50ms", "--reader", reader];
        let trace = run(&launch, &args).trace();
        trace.check_account();
        assert!(!trace.stderr.contains("reader record"), "{}", trace.stderr);
    }
}

/// What needs no kernel needs no rights.
#[test]
fn papers_are_printed_for_anybody() {
    need!(is_root(), "not root");
    for args in [&["schema"][..], &["man"], &["completions", "bash"], &["--help"], &["--version"]] {
        let output = run(&nobody(&[]), args);
        assert_eq!((output.status.code(), output.stderr.as_str()), (Some(0), ""), "{args:?}");
        assert!(!output.stdout.is_empty());
    }
}

/// Before the command has done anything.
#[test]
fn a_priority_that_may_not_be_had_is_refused() {
    need!(is_root(), "not root");
    let script = "echo pid $$ >&2";
    let launch = two_capabilities();
    let output = run(&launch, &["-P", "1", "--nice", "-5", "--", "sh", "-c", script]);
    assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
    let refusal = output.stderr.lines().find(|line| line.starts_with("tcc-trace: --nice -5: "));
    assert!(refusal.is_some_and(|line| line.contains("CAP_SYS_NICE")), "{}", output.stderr);
    assert_eq!(output.stderr.lines().count(), 1, "the command ran: {}", output.stderr);
    // Nobody asked for more than there is: then it stays as it is.
    let quiet = run(&launch, &["-P", "1", "-d", "50ms"]);
    assert_eq!(quiet.status.code(), Some(0), "{}", quiet.stderr);
}

/// In confidentiality mode no program may read kernel memory: what needs that is refused, and said why in one line.
#[test]
fn a_locked_down_kernel_is_reported() {
    need!(is_root(), "not root");
    let mount = ["-t", "securityfs", "none", "/sys/kernel/security"];
    let _ = std::process::Command::new("mount").args(mount).output();
    let lockdown = std::fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    let on = lockdown.contains("[confidentiality]");
    need!(on, "boot with lockdown=confidentiality", legitimate: true);
    for args in [&["-a"][..], &["-a", "--reader", "raw"], &["-a", "-q"], &["events", "state"]] {
        let refused = run(&Launch::here(), &[args, &["-d", "1s", "-P", "1"]].concat());
        check_refused(&refused, 1, &["the kernel is locked down", "lockdown=confidentiality"]);
    }
    let (_, report) = check(&Launch::here(), &[]);
    assert_eq!(item(&report, "lockdown")["ok"], false, "{report}");

    // What typed programs load needs no leave.
    let server = Server::start("127.0.0.1:0", None);
    let tracer = Tracer::start(&["-P", &server.port_text()]);
    let to = server.addr.to_string();
    traffic(&["pingpong", "--to", &to, "--count", "20", "--interval", "1ms"]);
    wait_until("events", || tracer.events().len() >= 20);
    let trace = tracer.stop();
    trace.check_account();
    assert!(trace.events.iter().all(|e| e["snd_cwnd"].as_u64().is_some_and(|n| n > 0)));
}

/// Who may not see where the kernel's code is sees names, or nothing, and is told.
#[test]
fn code_has_no_address_where_the_kernel_hides_it() {
    need!(is_root(), "not root");
    let launch = two_capabilities();
    let mut look = launch.command("grep");
    look.args(["-q", "-v", "^0000000000000000", "/proc/kallsyms"]);
    let hidden = run::output(look).is_err();
    let (_, report) = check(&launch, &[]);
    let names = item(&report, "symbols")["ok"].as_bool().expect("it is known");
    let mut lossy = Lossy::new();
    let port = lossy.closed.to_string();
    let args = ["drop", "-o", "jsonl", "--stack", "--port", &port];
    let mut tracer = Tracer::spawn(&launch, &args);
    tracer.wait_ready();
    assert_eq!(lossy.client.try_connect(lossy.closed(RIGHT[0])), Some(Errno::CONNREFUSED));
    let trace = tracer.stop();
    trace.check_accounts(&["drop"]);
    let notes = trace.stderr.lines().filter(|line| line.contains("hides its symbols")).count();
    assert_eq!(notes, usize::from(!names), "{}", trace.stderr);
    let [drop] = &trace.events[..] else { panic!("{:?}", trace.events) };
    assert!(!hidden || !drop.to_string().contains("0xffff"), "{drop}");
    if names {
        let way = drop["stack"].as_array().expect("a stack");
        assert!(way.len() > 5 && way[0] == drop["location"], "{drop}");
        assert!(way[0].as_str().is_some_and(|code| code.contains('+')), "{drop}");
    } else {
        assert!(drop["location"].is_null() && drop["stack"].is_null(), "{drop}");
    }
}
