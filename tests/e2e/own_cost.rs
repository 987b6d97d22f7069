//! The account of a trace has what the trace itself costs: against what the kernel says of the same process and programs.

use std::collections::BTreeSet;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Launch, Server, Tracer, is_root, kernel, traffic, u64_of, wait_until};

/// The first number of that line of a file in /proc.
fn number(path: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(path).expect(path);
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    line.split_whitespace().next().expect("a number").parse().expect("a number")
}

/// User and system time of a process, in µs, from its ticks.
fn cpu_us(pid: u32) -> [u64; 2] {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    let tick_us = 1_000_000 / rustix::param::clock_ticks_per_second();
    // utime and stime, the 14th and 15th field of which two are before the parenthesis.
    [11, 12].map(|at| fields[at].parse::<u64>().expect("ticks") * tick_us)
}

/// The next account on request.
fn asked(tracer: &Tracer) -> Value {
    let before = tracer.stats().len();
    tracer.signal(Signal::USR1);
    wait_until("an account", || tracer.stats().len() > before);
    tracer.stats()[before].clone()
}

#[test]
fn the_process_is_the_kernels() {
    need!(is_root(), "not root");
    let server = Server::start("127.0.0.1:0", None);
    let tracer = Tracer::start(&["-a", "-P", &server.port_text()]);
    let to = server.addr.to_string();
    traffic(&["pingpong", "--to", &to, "--count", "2000", "--interval", "0ms"]);
    let pid = tracer.pid();
    let before = cpu_us(pid);
    let stats = asked(&tracer);
    let after = cpu_us(pid);
    let cost = &stats["own_cost"];
    let tick_us = 1_000_000 / rustix::param::clock_ticks_per_second();
    for (at, name) in ["cpu_user_us", "cpu_system_us"].into_iter().enumerate() {
        let us = u64_of(cost, name);
        // The ticks are whole.
        let from = before[at].saturating_sub(tick_us);
        assert!(
            (from..=after[at] + tick_us).contains(&us),
            "{name}: {us}, not {from} to {after:?}"
        );
    }
    assert!(u64_of(cost, "cpu_user_us") + u64_of(cost, "cpu_system_us") > 10_000, "{cost}");
    let hwm = number(&format!("/proc/{pid}/status"), "VmHWM:") * 1024;
    let rss = u64_of(cost, "rss_max_bytes");
    // Reading the account may have taken some more.
    assert!(rss <= hwm && rss > hwm / 2, "{rss} of {hwm}");
    // Both or none: another test may have the kernel measure it meanwhile.
    let is_known = |name: &str| cost[name].is_u64();
    assert_eq!(is_known("programs_run_time_ns"), is_known("programs_run_cnt"), "{cost}");
    let trace = tracer.stop();
    let end = &trace.end["own_cost"];
    assert!(u64_of(end, "cpu_system_us") >= u64_of(cost, "cpu_system_us"));
    // The ring buffer of 8 MiB is among them.
    assert!(u64_of(end, "maps_bytes") > 8 << 20, "{end}");
    assert!(trace.stderr.contains("own cost: "), "{}", trace.stderr);
}

/// The programs or maps that a process holds, as bpftool shows them.
fn held(pid: u32, kind: &str) -> Vec<Value> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("its files");
    let texts = files.filter_map(|file| std::fs::read_to_string(file.ok()?.path()).ok());
    let name = format!("{kind}_id:");
    let id = |text: String| -> Option<u64> {
        text.lines().find_map(|line| line.strip_prefix(&name)?.trim().parse().ok())
    };
    // A link has the ID of its program.
    let ids: BTreeSet<u64> = texts.filter_map(id).collect();
    let output = Command::new("bpftool").args(["-j", kind, "show"]).output().expect("bpftool");
    let all: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    all.into_iter().filter(|of| of["id"].as_u64().is_some_and(|id| ids.contains(&id))).collect()
}

/// What the maps take, by the refusal of a bound that none of them fits in; with room for that many connections.
fn estimated(args: &[&str]) -> u64 {
    let args = [args, &["--max-map-bytes", "1K"]].concat();
    let output = Tracer::spawn(&Launch::here(), &args).wait_raw();
    assert_eq!(output.status.code(), Some(2), "{}", output.stderr);
    let (_, rest) = output.stderr.split_once("the maps take ").expect("a size");
    assert!(rest.contains("; lower --"), "{rest}");
    rest.split(' ').next().expect("a number").parse().expect("a number")
}

#[test]
fn maps_stay_within_their_bound() {
    need!(is_root(), "not root");
    // From 5.11 (80ee81e0403c) to 6.4 (90a5527d7686) it counts keys and values, of which a ring buffer has none.
    let counts_all = !((5, 11)..(6, 4)).contains(&kernel());
    need!(counts_all, "this kernel does not count the memory of maps", legitimate: true);
    for args in [
        &["events", "probe,life,spurious", "-o", "jsonl", "--port", "1"][..],
        &["rtt", "--by", "pid", "-o", "jsonl", "--port", "1", "--max-rows", "200"],
        &["observe", "--by", "cc", "-o", "jsonl", "--port", "1", "--max-rows", "100"],
    ] {
        let cost = |more: &[&str]| {
            let mut tracer = Tracer::spawn(&Launch::here(), &[args, more].concat());
            tracer.wait_ready();
            let trace = tracer.stop();
            (u64_of(&trace.end["own_cost"], "maps_bytes"), trace.stderr)
        };
        let (least, _) = cost(&["--max-conns", "1024"]);
        let known = estimated(&[args, &["--max-conns", "1024"]].concat());
        assert!(known.abs_diff(least) * 10 < least, "{known} is not {least}: {args:?}");
        assert_eq!(estimated(args), known, "the fewest connections");
        let bound = least * 2;
        let (bytes, stderr) = cost(&["--max-map-bytes", &bound.to_string()]);
        assert!(bytes <= bound && bytes > least, "{least}, {bytes} of {bound}: {args:?}");
        assert!(stderr.contains("note: --max-map-bytes: room for "), "{stderr}");
    }
}

#[test]
fn programs_and_maps_are_the_kernels() {
    need!(is_root(), "not root");
    let has_bpftool = Command::new("bpftool").arg("version").output().is_ok();
    need!(has_bpftool, "no bpftool", legitimate: true);
    let server = Server::start("127.0.0.1:0", None);
    let tracer = Tracer::start(&["-a", "-P", &server.port_text(), "--bpf-stats"]);
    let to = server.addr.to_string();
    traffic(&["pingpong", "--to", &to, "--count", "500", "--interval", "0ms"]);
    // Traffic of others runs the programs, too.
    let sum = |of: &[Value], name: &str| -> u64 {
        of.iter().map(|of| of[name].as_u64().unwrap_or(0)).sum()
    };
    let before = held(tracer.pid(), "prog");
    let cost = asked(&tracer)["own_cost"].clone();
    let after = held(tracer.pid(), "prog");
    for (ours, theirs) in [("programs_run_cnt", "run_cnt"), ("programs_run_time_ns", "run_time_ns")]
    {
        let range = sum(&before, theirs)..=sum(&after, theirs);
        assert!(range.contains(&u64_of(&cost, ours)), "{ours}: {cost}, {range:?}");
    }
    assert!(u64_of(&cost, "programs_run_cnt") >= 1000, "{cost}");
    assert_eq!(u64_of(&cost, "maps_bytes"), sum(&held(tracer.pid(), "map"), "bytes_memlock"));
    let trace = tracer.stop();
    assert!(trace.stderr.contains("; its programs ran "), "{}", trace.stderr);
}
