//! `life`'s columns of samples, against the kernel's own trace of the same packets.

use serde_json::Value;

use crate::support::{FAMILIES, Fixture, Ftrace, Launch, Seen, Tracer, is_root, some_turn, u64_of};

const COLUMNS: &str = "event,open_before,sport,dport,srtt_us,snd_cwnd,srtt_avg_us,srtt_max_us,snd_cwnd_max,srtt_samples";
const SAMPLED: [&str; 4] = ["srtt_avg_us", "srtt_max_us", "snd_cwnd_max", "srtt_samples"];

#[track_caller]
fn start(args: &[&str]) -> Tracer {
    let mut tracer = Tracer::spawn(&Launch::here().with_tracefs(), &[&["life"], args].concat());
    tracer.wait_ready();
    tracer
}

/// What the kernel's lines of that end's packets make, and its state at the end. `None`: some may have been hidden from
/// programs.
fn expected(seen: &[Seen], event: &Value) -> Option<[u64; 4]> {
    let [local, peer] = ["sport", "dport"].map(|name| u64_of(event, name));
    let ends = |seen: &Seen| (u64::from(seen.local.port()), u64::from(seen.peer.port()));
    let of_end: Vec<&Seen> = seen.iter().filter(|seen| ends(seen) == (local, peer)).collect();
    let srtt = of_end.iter().map(|seen| seen.srtt).chain([event["srtt_us"].as_u64().unwrap_or(0)]);
    let srtt: Vec<u64> = srtt.filter(|&srtt| srtt > 0).collect();
    let count = srtt.len() as u64;
    let cwnd = of_end.iter().map(|seen| seen.snd_cwnd).chain([u64_of(event, "snd_cwnd")]).max()?;
    let average = (srtt.iter().sum::<u64>() + count / 2) / count;
    let sure = of_end.iter().all(|seen| !seen.maybe_unseen);
    sure.then_some([average, *srtt.iter().max()?, cwnd, count])
}

/// Each end of each connection, of which one was there before the trace, has what the kernel's trace makes. A program that
/// the kernel skipped, as it was at work on that CPU, makes it another turn.
fn check_samples(reader: &str) {
    need!(is_root(), "not root");
    let once = || {
        let mut fixture = Fixture::new();
        fixture.ns.run(&["ip", "link", "set", "lo", "mtu", "1500"]);
        fixture.listen();
        fixture.connect("old", FAMILIES[0]);
        fixture.client.transfer("old", &mut fixture.server, 100_000);
        let fields = ["-o", "jsonl", "--fields", COLUMNS];
        let ports = fixture.ports();
        let tracer = start(&[&fields[..], &["--port", &ports, "--reader", reader]].concat());
        let theirs = Ftrace::start(fixture.port);
        for (i, family) in FAMILIES.into_iter().enumerate() {
            fixture.connect("new", family);
            for bytes in [1, 1_000, 300_000 * i as u64] {
                fixture.client.transfer("new", &mut fixture.server, bytes);
                fixture.server.transfer("new", &mut fixture.client, bytes / 2);
            }
            fixture.client.close("new");
            fixture.server.close("new");
        }
        fixture.server.transfer("old", &mut fixture.client, 200_000);
        fixture.server.close("old");
        fixture.client.close("old");
        fixture.settle();
        let (trace, seen) = (tracer.stop(), theirs.seen());
        trace.check_accounts(&["life"]);
        let (ends, open): (Vec<&Value>, Vec<&Value>) =
            trace.events.iter().partition(|event| event["event"] == "end");
        assert_eq!(open.len(), 2, "{open:#?}");
        for event in open {
            assert!(SAMPLED.iter().all(|name| event[*name].is_null()), "{event}");
        }
        // Else an end was hidden from us, too.
        let mut whole = ends.len() == 2 * FAMILIES.len() + 2;
        let mut most = 0;
        for event in ends {
            let ours = SAMPLED.map(|name| u64_of(event, name));
            match expected(&seen, event) {
                Some(theirs) if theirs[3] == ours[3] => assert_eq!(ours, theirs, "{event}"),
                Some(theirs) => {
                    assert!(ours[3] < theirs[3], "more than there were, {theirs:?}: {event}");
                    whole = false;
                }
                None => whole = false,
            }
            most = most.max(ours[2]);
        }
        assert!(!whole || most > 10, "no window has grown: {:#?}", trace.events);
        whole
    };
    some_turn(once);
}

by_sock_and_raw! {
    check_samples: samples_by_sock samples_by_raw;
}

/// Where they are not shown packets cost nothing.
#[test]
fn no_program_sees_packets_unless_samples_are_requested() {
    need!(is_root(), "not root");
    let programs = |args: &[&str]| {
        let output = start(&[&["-v", "--port", "1"], args].concat()).stop_raw();
        let line = output.stderr.lines().find(|line| line.starts_with("tcc-trace: programs: "));
        line.unwrap_or_else(|| panic!("{}", output.stderr)).to_owned()
    };
    for args in [&[][..], &["-o", "jsonl", "--fields", "time,srtt_us"]] {
        assert!(!programs(args).contains(" tcp_probe_"), "{args:?}");
    }
    for args in [
        &["-a"][..],
        &["-o", "jsonl"],
        &["-o", "csv"],
        &["--fields", "snd_cwnd_max"],
        &["--format", "{srtt_avg_us}"],
    ] {
        assert!(programs(args).contains(" tcp_probe_"), "{args:?}");
    }
}
