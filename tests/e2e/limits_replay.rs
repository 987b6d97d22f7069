//! `limits` of a recording: it gives the causes that `limits` gave of the same run, live.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::support::{
    Launch, Pace, Relay, Socket, SocketOption, Ss, Tcc, TempDir, Tracer, Way, has_cc, has_tun,
    is_root, text, u64_of, wait_until,
};

/// Microseconds of each cause, over all rows of a connection.
pub fn causes(rows: &[Value], socket: &Socket) -> BTreeMap<String, u64> {
    let mut causes = BTreeMap::new();
    for row in rows.iter().filter(|row| row["key"]["cookie"] == socket.cookie) {
        let mut sum = 0;
        for (name, value) in row.as_object().expect("an object") {
            let kernel = ["observed_us", "busy_us", "rwnd_limited_us", "sndbuf_limited_us"];
            if let Some(cause) =
                name.strip_suffix("_us").filter(|_| !kernel.contains(&name.as_str()))
            {
                let us = value.as_u64().expect("microseconds");
                *causes.entry(cause.to_owned()).or_default() += us;
                sum += us;
            }
        }
        assert_eq!(sum, u64_of(row, "observed_us"), "{row}");
    }
    causes
}

fn replay(args: &[&str], path: &str) -> (Vec<Value>, String) {
    let args = [&["limits", "-r", path, "-o", "jsonl"], args].concat();
    let trace = Tracer::spawn(&Launch::here(), &args).wait_raw();
    assert!(trace.status.success(), "{}", trace.stderr);
    let stderr = trace.stderr.clone();
    (trace.trace().events, stderr)
}

/// A transfer over a bottleneck, one at a maximum rate, a pause, a closed window, silence.
pub fn traffic(relay: &mut Relay) -> Socket {
    let addr = relay.addr();
    let socket = relay.client.connect("a", addr);
    relay.server.accept("a");
    relay.server.sink("a", Pace::FAST);
    relay.client.send_for("a", 1200, Pace::FAST);
    relay.client.set("a", SocketOption::MaxPacingRate(300_000));
    relay.client.send_for("a", 600, Pace::FAST);
    let ss = |relay: &Relay| Ss::of(&relay.left, socket.local.port(), relay.port);
    let acked = |relay: &Relay| {
        wait_until("the acknowledgements", || {
            let ss = ss(relay);
            !ss.has("unacked") && !ss.has("notsent")
        });
    };
    acked(relay);
    relay.client.send_for("a", 400, Pace { chunk: 2000, pause_ms: 100 });
    relay.silent(true);
    relay.client.send("a", 20_000);
    wait_until("timeouts", || ss(relay).number("backoff").is_some_and(|backoff| backoff >= 2.0));
    relay.silent(false);
    acked(relay);
    relay.client.close("a");
    relay.server.close("a");
    relay.left.settle();
    socket
}

fn check_replay(cc: &str) {
    need!(is_root(), "not root");
    need!(has_tun(), "no /dev/net/tun", legitimate: true);
    need!(has_cc(cc), "no such congestion control", legitimate: true);
    let (dir, rtt) = (TempDir::new(), Duration::from_millis(20));
    let mut relay = Relay::new(Way { rate: Some(1_000_000), queue: 40_000, ..Way::far(rtt) });
    relay.client.use_cc(cc);
    let path = dir.path().join("run.tcc");
    let path = path.to_str().expect("UTF-8");
    let port = relay.port.to_string();
    let live = Tcc::command("limits").ports(&[relay.port]).option("--interval", "1h").start();
    let mut recorder =
        Tracer::spawn(&Launch::here().with_tracefs(), &["record", "-w", path, "-P", &port]);
    recorder.wait_ready();
    let socket = traffic(&mut relay);
    let (live, recorded) = (live.stop(), recorder.stop_raw());
    assert!(recorded.status.success(), "{}", recorded.stderr);

    let live_rows = live.events;
    let live = causes(&live_rows, &socket);
    let whole: u64 = live.values().sum();
    let (rows, _) = replay(&["--interval", "1h"], path);
    let found = causes(&rows, &socket);
    let off: u64 = live.iter().map(|(cause, us)| us.abs_diff(found[cause])).sum();
    assert!(off * 100 <= whole * 4, "{off} of {whole} us\nlive   {live:?}\nreplay {found:?}");
    assert!(live["rto"] > 300_000 && live["path"] > 300_000, "{live:?}");
    assert!(live["pacing_cap"] > 200_000 && live["idle"] + live["application"] > 200_000);
    let row = rows.iter().find(|row| row["key"]["cookie"] == socket.cookie).expect("its row");
    assert!(text(row, "evidence").len() > 20, "{row}");
    // Each timeout is counted, also those that change no state.
    let known =
        live_rows.iter().find(|row| row["key"]["cookie"] == socket.cookie).expect("its row");
    for name in ["rtos", "tlps"] {
        assert_eq!(row[name], known[name], "{name}: {row}\n{known}");
    }
    assert!(u64_of(row, "rtos") >= 2, "{row}");

    // Intervals divide the same time.
    let (rows, _) = replay(&["--interval", "100ms"], path);
    let divided = causes(&rows, &socket);
    let off = found.iter().map(|(cause, us)| us.abs_diff(divided[cause])).max();
    assert!(off.is_some_and(|off| off <= rows.len() as u64), "{found:?}\n{divided:?}");
    let intervals = rows.iter().filter(|row| row["key"]["cookie"] == socket.cookie).count() as u64;
    assert!(intervals >= whole / 100_000, "{intervals}");
}

#[test]
fn a_recording_has_the_causes_of_the_trace_cubic() {
    check_replay("cubic");
}

#[test]
fn a_recording_has_the_causes_of_the_trace_bbr() {
    check_replay("bbr");
}

/// What the records do not have is named, and what needs it is not decided.
#[test]
fn what_a_recording_lacks_is_undecided() {
    need!(is_root(), "not root");
    need!(has_tun(), "no /dev/net/tun", legitimate: true);
    let (dir, rtt) = (TempDir::new(), Duration::from_millis(20));
    let mut relay = Relay::new(Way { rate: Some(1_000_000), queue: 40_000, ..Way::far(rtt) });
    let path = dir.path().join("run.tcc");
    let path = path.to_str().expect("UTF-8");
    let port = relay.port.to_string();
    let fields = "snd_nxt,snd_una,write_seq,packets_out,state,srtt_us";
    let args = ["record", "probe,state", "--fields", fields, "-w", path, "-P", &port];
    let mut recorder = Tracer::spawn(&Launch::here().with_tracefs(), &args);
    recorder.wait_ready();
    let addr = relay.addr();
    let socket = relay.client.connect("a", addr);
    relay.server.accept("a");
    relay.client.transfer("a", &mut relay.server, 500_000);
    relay.client.close("a");
    relay.server.close("a");
    relay.left.settle();
    assert!(recorder.stop_raw().status.success());

    let (rows, stderr) = replay(&["--interval", "1h"], path);
    let found = causes(&rows, &socket);
    let whole: u64 = found.values().sum();
    assert!(found["undecided"] * 10 > whole * 8 && found["handshake"] > 15_000, "{found:?}");
    assert!(stderr.contains("do not have: ") && stderr.contains("wmem_alloc"), "{stderr}");

    let args = ["record", "state", "-w", path, "--force", "--duration", "1ms"];
    Tracer::spawn(&Launch::here().with_tracefs(), &args).wait_raw();
    let refused = Tracer::spawn(&Launch::here(), &["limits", "-r", path]).wait_raw();
    assert_eq!(refused.status.code(), Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("`limits` needs probe records"), "{}", refused.stderr);
}
