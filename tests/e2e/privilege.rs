//! The program with rights that its caller does not have: by file capabilities, and by a set-user-ID bit.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr};
use rustix::io::Errno;
use serde_json::Value;

use crate::support::{Launch, Lossy, Output, RIGHT, TempDir, Tracer, is_root, kernel, tcc_trace};

const NOBODY: [&str; 6] = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];

/// Copies of the program that give whoever runs them its rights.
struct Installed {
    dir: TempDir,
    programs: [PathBuf; 2],
}

impl Installed {
    /// None where the file system keeps no capabilities.
    fn new() -> Option<Self> {
        let dir = TempDir::new();
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode")
        };
        mode(dir.path(), 0o755);
        let programs = ["capable", "setuid"].map(|name| dir.path().join(name));
        for program in &programs {
            fs::copy(tcc_trace(), program).expect("a copy");
        }
        mode(&programs[0], 0o755);
        mode(&programs[1], 0o4755);
        let set =
            setxattr(&programs[0], "security.capability", &capabilities(), XattrFlags::empty());
        set.is_ok().then_some(Installed { dir, programs })
    }

    /// Run by nobody, whose own rights are none.
    fn launch(&self, program: &Path) -> Launch {
        let script = format!("exec {} \"$@\"", program.display());
        Launch::here().within(&[&NOBODY[..], &["sh", "-c", &script]].concat())
    }
}

/// CAP_BPF and CAP_PERFMON, permitted and effective, as `setcap` writes them (struct vfs_cap_data, revision 2); before 5.11
/// CAP_SYS_RESOURCE too, for the memory of maps.
fn capabilities() -> Vec<u8> {
    let low: u32 = if kernel() < (5, 11) { 1 << 24 } else { 0 };
    let high: u32 = 1 << (38 - 32) | 1 << (39 - 32);
    [0x0200_0001, low, 0, high, 0].iter().flat_map(|word: &u32| word.to_le_bytes()).collect()
}

fn run(launch: &Launch, args: &[&str]) -> Output {
    Tracer::spawn(launch, args).wait_raw()
}

#[track_caller]
fn check_refused(output: &Output, what: &str) {
    let text = &output.stderr;
    assert_eq!((output.status.code(), output.stdout.as_str()), (Some(1), ""), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with(&format!("tcc-trace: {what}")) && text.contains("refused"), "{text}");
}

#[test]
fn a_caller_without_rights_does_not_choose_what_is_read() {
    need!(is_root(), "not root");
    let installed = Installed::new();
    need!(installed.is_some(), "no file capabilities here");
    let Some(installed) = installed else { return };
    // Nobody ever writes into it: whoever opened it would wait.
    let fifo = installed.dir.path().join("types");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o444), 0).expect("a FIFO");
    let fifo = fifo.to_str().expect("UTF-8");
    let btf = format!("--btf={fifo}");
    for program in &installed.programs {
        let launch = installed.launch(program);
        for args in [
            &["--btf", fifo][..],
            &["--reader", "raw", &btf, "-a"],
            &["events", "all", "--btf", fifo],
            &["top", &btf],
            &["rtt", "--btf", "/sys/kernel/btf/vmlinux"],
            &["check", "--btf", fifo],
            &["--btf", "/nonexistent", "--", "true"],
        ] {
            check_refused(&run(&launch, args), "--btf: ");
        }
        let token = launch.clone().within(&["env", "LIBBPF_BPF_TOKEN_PATH=/sys/fs/bpf"]);
        check_refused(&run(&token, &["-d", "1s"]), "LIBBPF_BPF_TOKEN_PATH ");
        let without = launch.within(&["env", "LIBBPF_BPF_TOKEN_PATH="]);
        let traced = run(&without, &["-P", "1", "-d", "10ms"]);
        assert!(traced.status.success(), "{}", traced.stderr);
    }
}

/// The command is the caller's, and so are its rights.
#[test]
fn a_command_runs_with_its_callers_rights() {
    need!(is_root(), "not root");
    let installed = Installed::new();
    need!(installed.is_some(), "no file capabilities here");
    let Some(installed) = installed else { return };
    for program in &installed.programs {
        let show = "cat /proc/self/status; ls -l /proc/self/fd";
        let output = run(&installed.launch(program), &["-P", "1", "-q", "--", "sh", "-c", show]);
        assert!(output.status.success(), "{}", output.stderr);
        let line = |name: &str| {
            let line = output.stderr.lines().find_map(|line| line.strip_prefix(name));
            line.map(|line| line.split_whitespace().collect::<Vec<_>>()).unwrap_or_default()
        };
        for id in ["Uid:", "Gid:"] {
            assert_eq!(line(id)[..3], ["65534"; 3], "{}", output.stderr);
        }
        for set in ["CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(line(set), ["0000000000000000"], "{}", output.stderr);
        }
        assert!(!output.stderr.contains("anon_inode"), "{}", output.stderr);
    }
}

/// The ways in which a trace writes a file.
fn writing(path: &Path) -> [Vec<String>; 3] {
    let path = path.display();
    let commands = [format!("-o csv={path}"), format!("-w {path}"), format!("record -w {path}")];
    commands.map(|command| command.split(' ').map(str::to_owned).collect())
}

/// Files are opened with the caller's permissions, and are the caller's.
#[test]
fn outputs_are_the_callers_files() {
    need!(is_root(), "not root");
    let installed = Installed::new();
    need!(installed.is_some(), "no file capabilities here");
    let Some(installed) = installed else { return };
    let dir = installed.dir.path().join("nobodys");
    fs::create_dir(&dir).expect("a directory");
    std::os::unix::fs::chown(&dir, Some(65534), Some(65534)).expect("an owner");
    for (i, program) in installed.programs.iter().enumerate() {
        let launch = installed.launch(program);
        let path = dir.join(i.to_string());
        for args in writing(&path) {
            let written = trace(&launch, &args, &[]);
            assert!(written.status.success(), "{args:?}: {}", written.stderr);
            let file = fs::metadata(&path).expect("the file");
            assert_eq!((file.uid(), file.gid(), file.mode() & 0o777), (65534, 65534, 0o600));
            fs::remove_file(&path).expect("the file");
        }
        // So are the parts of a recording.
        let args = writing(&path)[2].clone();
        let parts = trace(&launch, &args, &["--rotate", "1MB", "--keep", "2"]);
        assert!(parts.status.success(), "{}", parts.stderr);
        let mut found = 0;
        for entry in fs::read_dir(&dir).expect("the directory") {
            let entry = entry.expect("an entry");
            let file = entry.metadata().expect("the file");
            assert_eq!((file.uid(), file.mode() & 0o777), (65534, 0o600), "{entry:?}");
            fs::remove_file(entry.path()).expect("the file");
            found += 1;
        }
        assert!(found > 0, "no part in {}", dir.display());
    }
}

/// Neither by their names nor by links, and not with `--force`.
#[test]
fn nobody_elses_files_are_written() {
    need!(is_root(), "not root");
    let installed = Installed::new();
    need!(installed.is_some(), "no file capabilities here");
    let Some(installed) = installed else { return };
    let theirs = installed.dir.path().join("theirs");
    fs::write(&theirs, "root's").expect("a file");
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o644)).expect("a mode");
    let before = fs::metadata(&theirs).expect("the file");
    let dir = installed.dir.path().join("nobodys");
    fs::create_dir(&dir).expect("a directory");
    std::os::unix::fs::chown(&dir, Some(65534), Some(65534)).expect("an owner");
    let link = dir.join("link");
    std::os::unix::fs::symlink(&theirs, &link).expect("a link");
    let new = installed.dir.path().join("new");
    let to_new = dir.join("to-new");
    std::os::unix::fs::symlink(&new, &to_new).expect("a link");
    for program in &installed.programs {
        let launch = installed.launch(program);
        for path in [&theirs, &link, &new, &to_new] {
            for args in writing(path) {
                let force: &[&[&str]] = if args[0] == "-o" { &[&[]] } else { &[&[], &["--force"]] };
                for more in force {
                    let denied = trace(&launch, &args, more);
                    assert_eq!(denied.status.code(), Some(1), "{args:?}: {}", denied.stderr);
                    assert!(!new.exists(), "{args:?}");
                }
            }
        }
        let after = fs::metadata(&theirs).expect("the file");
        assert_eq!(fs::read(&theirs).expect("the file"), b"root's");
        assert_eq!(
            (after.ino(), after.uid(), after.mode(), after.mtime_nsec()),
            (before.ino(), before.uid(), before.mode(), before.mtime_nsec())
        );
    }
}

/// A trace of nothing, for a moment.
fn trace(launch: &Launch, args: &[String], more: &[&str]) -> Output {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    run(launch, &[&args[..], &["-P", "1", "-d", "10ms", "-q"], more].concat())
}

/// What root sees of the same packet by /proc/kallsyms, and no address.
#[test]
fn code_has_names_and_no_addresses() {
    need!(is_root(), "not root");
    let installed = Installed::new();
    need!(installed.is_some(), "no file capabilities here");
    let Some(installed) = installed else { return };
    let mut lossy = Lossy::new();
    let port = lossy.closed.to_string();
    let args = ["drop", "-o", "jsonl", "--stack", "-v", "--port", &port];
    let mut root = Tracer::spawn(&Launch::here(), &args);
    let mut others: Vec<Tracer> = installed
        .programs
        .iter()
        .map(|program| Tracer::spawn(&installed.launch(program), &args))
        .collect();
    root.wait_ready();
    others.iter_mut().for_each(Tracer::wait_ready);
    assert_eq!(lossy.client.try_connect(lossy.closed(RIGHT[0])), Some(Errno::CONNREFUSED));
    let [truth] = &root.stop().events[..] else { panic!("one packet is dropped") };
    let types = fs::read("/sys/kernel/btf/vmlinux").expect("the kernel's types");
    let iterator = b"\0bpf_iter_ksym\0";
    let has_names = types.windows(iterator.len()).any(|name| name == iterator);
    for tracer in others {
        let trace = tracer.stop();
        let [drop] = &trace.events[..] else { panic!("{:?}", trace.events) };
        if has_names {
            assert_eq!(drop["location"], truth["location"]);
            assert_eq!(named(drop), named(truth), "{drop} {truth}");
        } else {
            assert!(drop["location"].is_null() && drop["stack"].is_null(), "{drop}");
        }
        let notes = trace.stderr.lines().filter(|line| line.contains("hides its symbols")).count();
        assert_eq!(notes, usize::from(!has_names), "{}", trace.stderr);
        assert!(!format!("{drop} {}", trace.stderr).contains("0xffff"), "{drop} {}", trace.stderr);
    }
}

/// The stack's function names; null for a frame of another tracer's program, which has one for root only.
fn named(drop: &Value) -> Vec<Option<&str>> {
    let frames = drop["stack"].as_array().expect("a stack").iter();
    frames.map(|code| code.as_str().filter(|code| !code.contains("bpf_"))).collect()
}

/// In a user namespace one may have all rights, and they do not count.
#[test]
fn a_user_namespace_is_named() {
    need!(is_root(), "not root");
    let launch = Launch::here().within(&["unshare", "-Ur"]);
    let output = run(&launch, &["-P", "1", "-d", "1s"]);
    assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
    assert!(output.stderr.contains("this is a user namespace"), "{}", output.stderr);
    let report = run(&launch, &["check", "-o", "json"]);
    assert_eq!(report.status.code(), Some(1), "{}", report.stdout);
    let report: Value = serde_json::from_str(&report.stdout).expect("JSON");
    let rights = report["system"].as_array().expect("items").iter();
    let rights = rights.clone().find(|item| item["name"] == "privileges").expect("privileges");
    assert_eq!(rights["ok"], false, "{rights}");
    assert!(rights["detail"].as_str().is_some_and(|why| why.contains("user namespace")));
}

/// Counters are per CPU, and sysfs alone tells of how many: that is said before anything is traced.
#[test]
fn without_sysfs_nothing_is_begun() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let types = dir.path().join("types");
    fs::copy("/sys/kernel/btf/vmlinux", &types).expect("a copy");
    let script = "mount -t tmpfs none /sys && exec \"$0\" \"$@\"";
    let launch = Launch::here().within(&["unshare", "-m", "sh", "-c", script]);
    let types = types.to_str().expect("UTF-8");
    for args in [&["-d", "1s"][..], &["-d", "1s", "--btf", types], &["--btf", types, "--", "true"]]
    {
        let output = run(&launch, args);
        assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
        assert_eq!((output.stderr.lines().count(), output.stdout.as_str()), (1, ""));
        assert!(output.stderr.contains("mount -t sysfs sysfs /sys"), "{}", output.stderr);
    }
}
