//! Kernels that lack what others have: IPv6, types and helpers of newer ones, cgroup v2; and one that is locked down for integrity.
//! A kernel without something is made of the running one by its types (`--btf`), in which names are changed, or by how
//! a guest is booted (`variants` in script/vm.d/common.sh).

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{
    Launch, Server, TempDir, Trace, Tracer, cgroup2, is_root, text, traffic, unique, wait_until,
};

const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// The kernel's types, in which nothing has any of these names.
#[track_caller]
fn types_without(dir: &TempDir, names: &[&str]) -> PathBuf {
    let mut bytes = fs::read(KERNEL_BTF).expect("the kernel's BTF");
    for name in names {
        let whole = [b"\0", name.as_bytes(), b"\0"].concat();
        let places: Vec<usize> = (0..bytes.len() - whole.len())
            .filter(|&at| bytes[at] == 0 && bytes[at..].starts_with(&whole))
            .collect();
        let [place] = places[..] else { panic!("{name} at {places:?}") };
        bytes[place + 1] = b'_';
    }
    let path = dir.path().join("types");
    fs::write(&path, bytes).expect("a file");
    path
}

/// A few requests over IPv4, traced with these arguments.
#[track_caller]
fn traced(launch: &Launch, args: &[&str]) -> (Trace, Server) {
    let server = Server::start("127.0.0.1:0", None);
    let port = server.port_text();
    let mut tracer = Tracer::spawn(launch, &[args, &["-o", "jsonl", "--port", &port]].concat());
    tracer.wait_ready();
    let to = server.addr.to_string();
    traffic(&["pingpong", "--to", &to, "--count", "20", "--interval", "1ms"]);
    server.settle();
    wait_until("events", || tracer.events().len() >= 40);
    let trace = tracer.stop();
    trace.check_account();
    (trace, server)
}

/// All events are of the server's port at 127.0.0.1, and the samples have values.
#[track_caller]
fn check_ends(trace: &Trace, server: &Server) {
    let port = u64::from(server.port());
    let is_listener = |event: &Value| event["new_state"] == "LISTEN" || event["state"] == "LISTEN";
    for event in trace.events.iter().filter(|event| !is_listener(event)) {
        assert_eq!((&event["family"], &event["saddr"]), (&"ipv4".into(), &"127.0.0.1".into()));
        assert_eq!(event["daddr"], "127.0.0.1", "{event}");
        assert!([&event["sport"], &event["dport"]].iter().any(|end| **end == port), "{event}");
    }
    let samples = trace.of_type("probe");
    assert!(samples.len() >= 40, "{}", trace.end);
    assert!(samples.iter().all(|sample| sample["snd_cwnd"].as_u64().is_some_and(|n| n >= 2)));
}

/// Loads these programs.
#[track_caller]
fn check_loads(args: &[&str]) {
    let mut tracer = Tracer::spawn(&Launch::here().with_tracefs(), args);
    tracer.wait_ready();
    let output = tracer.stop_raw();
    assert!(output.status.success(), "{args:?}: {}", output.stderr);
}

/// CONFIG_IPV6=n: a socket has no IPv6 addresses.
#[test]
fn without_ipv6_in_the_kernels_types_ipv4_is_traced() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let btf = types_without(&dir, &["skc_v6_daddr", "skc_v6_rcv_saddr"]);
    let btf = btf.to_str().expect("UTF-8");
    for reader in ["sock", "raw"] {
        let options = ["--btf", btf, "--reader", reader];
        let (trace, server) = traced(
            &Launch::here().with_tracefs(),
            &[&["events", "all", "-a"], &options[..]].concat(),
        );
        check_ends(&trace, &server);
        for command in [
            &["observe", "--metrics", "all", "--by", "cc"][..],
            &["top", "--interval", "1s"],
            &["listeners", "--interval", "1s"],
            &["limits"],
            &["connlat", "--histogram"],
        ] {
            check_loads(&[command, &options, &["-o", "jsonl", "--port", "1"]].concat());
        }
    }
}

/// What 5.4 lacks: ring buffers, typed programs, cookies made by programs. What stands in for them is taken by itself.
#[test]
fn without_what_came_after_5_4_samples_are_the_same() {
    need!(is_root(), "not root");
    let dir = TempDir::new();
    let newer = ["bpf_ringbuf", "bpf_skc_to_tcp_sock", "bpf_get_socket_ptr_cookie"];
    // Not every kernel has all of them.
    let whole = fs::read(KERNEL_BTF).expect("the kernel's BTF");
    let is_there = |name: &&str| {
        let name = [b"\0", name.as_bytes(), b"\0"].concat();
        whole.windows(name.len()).any(|window| window == name)
    };
    let newer: Vec<&str> = newer.into_iter().filter(is_there).collect();
    let btf = types_without(&dir, &newer);
    let btf = btf.to_str().expect("UTF-8");
    let launch = Launch::here().with_tracefs();
    let (trace, server) = traced(&launch, &["-a", "--btf", btf]);
    check_ends(&trace, &server);
    assert!(trace.stderr.contains("(reader raw, "), "{}", trace.stderr);
    assert!(trace.stderr.contains("perf buffer"), "{}", trace.stderr);
    assert!(trace.events.iter().all(|event| event["cookie"].as_u64().is_some_and(|n| n > 0)));

    let check = Tracer::spawn(&launch, &["check", "--btf", btf]).wait_raw();
    for line in ["not available before Linux 5.8; perf buffers", "not available before Linux 5.5"] {
        assert!(check.stdout.contains(line), "no {line}: {}", check.stdout);
    }
    let refused = Tracer::spawn(&launch, &["--btf", btf, "--transport", "ringbuf"]).wait_raw();
    assert_eq!(refused.status.code(), Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("no BPF ring buffer (Linux 5.8)"), "{}", refused.stderr);
    assert_eq!(refused.stderr.lines().count(), 1, "{}", refused.stderr);
}

/// ipv6.disable=1: the kernel has IPv6, but nobody can make such a socket.
#[test]
fn with_ipv6_disabled_ipv4_is_traced() {
    need!(is_root(), "not root");
    let is_disabled = !Path::new("/proc/net/if_inet6").exists();
    need!(is_disabled, "boot with ipv6.disable=1", legitimate: true);
    for reader in ["sock", "raw"] {
        let (trace, server) = traced(&Launch::here(), &["events", "all", "-a", "--reader", reader]);
        check_ends(&trace, &server);
    }
    let (trace, server) = traced(&Launch::here(), &["probe", "-a", "--ipv4"]);
    check_ends(&trace, &server);
    let none = Tracer::spawn(&Launch::here(), &["-o", "jsonl", "--ipv6", "-d", "50ms"]).wait_raw();
    assert_eq!(none.trace().events.len(), 0);
}

/// Hosts with cgroup v1 only: all sockets are in the root of v2, and a group of v1 is not taken for one of v2.
#[test]
fn with_cgroup_v1_only_sockets_are_in_the_root() {
    need!(is_root(), "not root");
    let v1 = Path::new("/sys/fs/cgroup/pids");
    let only_v1 = cgroup2().is_none() && v1.join("cgroup.procs").exists();
    need!(only_v1, "boot with cgroup v1 only", legitimate: true);
    let group = v1.join(unique("tcc-"));
    fs::create_dir(&group).expect("a group");
    let name = group.to_str().expect("UTF-8");
    let (trace, server) = traced(&Launch::here(), &["events", "all", "-a"]);
    check_ends(&trace, &server);
    let groups: Vec<&Value> =
        trace.of_type("probe").iter().map(|event| &event["cgroup_id"]).collect();
    assert!(groups.iter().all(|id| **id == 1), "{groups:?}");
    let refused = Tracer::spawn(&Launch::here(), &["--cgroup", name, "-d", "1s"]).wait_raw();
    assert_eq!(refused.status.code(), Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("not a v2 cgroup"), "{}", refused.stderr);
    assert_eq!(refused.stderr.lines().count(), 1, "{}", refused.stderr);
    fs::remove_dir(&group).expect("the group");
}

/// lockdown=integrity protects what programs could change, and tcc-trace changes nothing.
#[test]
fn locked_down_for_integrity_everything_is_traced() {
    need!(is_root(), "not root");
    let mount = ["-t", "securityfs", "none", "/sys/kernel/security"];
    let _ = std::process::Command::new("mount").args(mount).output();
    let lockdown = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    need!(lockdown.contains("[integrity]"), "boot with lockdown=integrity", legitimate: true);
    let here = Launch::here().with_tracefs();
    for reader in ["sock", "raw"] {
        let (trace, server) = traced(&here, &["events", "all", "-a", "--reader", reader]);
        check_ends(&trace, &server);
    }
    let (trace, server) = traced(&here, &["--reader", "record"]);
    check_ends(&trace, &server);
    let check = Tracer::spawn(&here, &["check", "-o", "json"]).wait_raw();
    let report: Value = serde_json::from_str(&check.stdout).expect("JSON");
    let mut items = report["system"].as_array().expect("items").iter();
    let item = items.find(|item| item["name"] == "lockdown").expect("lockdown");
    assert_eq!((&report["ready"], &item["ok"]), (&true.into(), &true.into()), "{report}");
    assert_eq!(text(item, "detail"), "no restriction");
}
