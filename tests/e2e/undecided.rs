//! Events of which nobody can say whether they are the command's, as there was no room for what says it: not "filtered".

use rustix::process::Signal;

use crate::support::{
    Fixture, Launch, Server, Tcc, TestProcess, Tracer, is_root, traffic_program, u64_of, wait_until,
};

/// More connections at a time than are remembered.
#[test]
fn events_of_evicted_owners_are_lost_and_not_filtered() {
    need!(is_root(), "not root");
    let program = traffic_program();
    let program = program.to_str().expect("UTF-8");
    for reader in ["sock", "raw"] {
        for (room, enough) in [("16", false), ("10000", true)] {
            let server = Server::start("127.0.0.1:0", None);
            let (port, to) = (server.port_text(), server.addr.to_string());
            // The client's side alone: those are all the command's.
            let all = Tcc::probe().option("--rport", &port).start();
            let args = ["-o", "jsonl", "--rport", &port, "--reader", reader, "--max-conns", room];
            // All of them talk again and again, so that each is evicted in between.
            let command = [program, "pingpong", "--to", &to, "--parallel", "150", "--count", "10"];
            let trace =
                Tracer::spawn(&Launch::here(), &[&args, &["--"][..], &command].concat()).wait();
            trace.check_account();
            server.settle();
            let all = all.stop();
            let undecided = u64_of(&trace.end, "lost_undecided");
            assert_eq!(undecided == 0, enough, "{}", trace.end);
            assert_eq!(trace.events.len() as u64 + undecided, all.events.len() as u64);
            let reported = trace.stderr.contains("could not be filtered");
            assert_eq!(reported, !enough, "{}", trace.stderr);
            assert_eq!(trace.stderr.contains("raise --max-conns"), !enough, "{}", trace.stderr);
        }
    }
}

/// As many processes as are remembered: the tracer is none of them.
#[test]
fn the_room_is_the_commands_alone() {
    need!(is_root(), "not root");
    let trace = Tracer::spawn(
        &Launch::here(),
        &["-o", "jsonl", "-P", "1", "--max-conns", "1", "-q", "--", "true"],
    )
    .wait();
    trace.check_account();
    assert_eq!(trace.end["evicted"]["processes"], 0, "{}", trace.end);
    assert_eq!(trace.stderr, "");
}

/// Said also of a command that has ended before anybody looks.
#[test]
fn a_warning_counts_processes_without_room_however_short_they_are() {
    need!(is_root(), "not root");
    for script in ["true & wait", "true & true & true & wait", "sleep 0.3 & wait"] {
        let args = ["-o", "jsonl", "-P", "1", "--max-conns", "1", "-q", "--", "sh", "-c", script];
        let trace = Tracer::spawn(&Launch::here(), &args).wait();
        let warning = "warning: the command has more than 1 processes at a time";
        assert_eq!(trace.stderr.matches(warning).count(), 1, "{script}: {}", trace.stderr);
        assert!(u64_of(&trace.end["evicted"], "processes") > 0, "{script}: {}", trace.end);
    }
}

/// Where two processes of different names listen at one address, nobody knows whose the next connection will be.
#[test]
fn connections_of_a_shared_address_are_nobodys_until_accepted() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    let mut second = TestProcess::start_in(&fixture.ns.launch());
    fixture.server.rename(b"first-of-two");
    second.rename(b"second-of-two");
    let addr = format!("127.0.0.1:{}", fixture.port).parse().expect("an address");
    let tcc = |name: &str| Tcc::events(&["state"]).option("--comm", name).ports(&[fixture.port]);
    let tracers = ["first-of-two", "second-of-two"].map(|name| tcc(name).start());
    fixture.server.listen_shared(addr);
    second.listen_shared(addr);
    // Nobody accepts it.
    fixture.client.connect("a", addr);
    for (tracer, name) in tracers.into_iter().zip(["first-of-two", "second-of-two"]) {
        let trace = tracer.stop();
        trace.check_account();
        let of_child = trace.events.iter().filter(|event| event["dport"] != 0);
        assert_eq!(of_child.count(), 0, "{name}: {:#?}", trace.events);
        // That is not for want of room.
        assert_eq!(u64_of(&trace.end, "lost_undecided"), 0, "{name}: {}", trace.end);
    }
}

/// More processes at a time than are remembered: said at once, and counted.
#[test]
fn a_warning_counts_processes_without_room_at_once() {
    need!(is_root(), "not root");
    let server = Server::start("127.0.0.1:0", None);
    let (port, to) = (server.port_text(), server.addr.to_string());
    let script = "\
        for i in 1 2 3 4 5 6; do sleep 300 & all=\"$all $!\"; done; \
        trap 'kill $all; exit 0' TERM; \
        \"$0\" pingpong --to \"$1\" --count 5 --interval 0ms; \
        echo done; while :; do sleep 0.1; done";
    let program = traffic_program();
    let args = ["-o", "jsonl", "--rport", &port, "--max-conns", "3", "-q", "--"];
    let command = ["sh", "-c", script, program.to_str().expect("UTF-8"), &to];
    let tracer = Tracer::spawn(&Launch::here(), &[&args[..], &command].concat());
    // The shell, two of six.
    let warning = "tcc-trace: warning: the command has more than 3 processes at a time";
    wait_until("the warning, and the client's end", || {
        let stderr = tracer.stderr();
        stderr.contains(warning) && stderr.lines().any(|line| line == "done")
    });
    tracer.signal(Signal::TERM);
    let trace = tracer.wait();
    trace.check_account();
    assert!(trace.events.is_empty(), "{:?}", trace.events);
    let processes = u64_of(&trace.end["evicted"], "processes");
    assert!(processes > 4, "four, the client, and what sleeps for 0.1 s: {}", trace.end);
    // The handshake's last packet and five replies, at least.
    assert!(u64_of(&trace.end, "lost_undecided") >= 5, "{}", trace.end);
    assert_eq!(u64_of(&trace.end, "lost_undecided"), u64_of(&trace.end, "lost"));
}
