//! Resets by each cause: whose the RST is (the process that closes, disconnects or is killed, though it has done nothing but
//! accept), why it was sent, and that there are as many as the kernel counts.

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use super::{PERF, Played, Ports, RING, scenario};
use crate::support::{
    Expected, FAMILIES, Fixture, Hidden, OF_CONNECTIONS, SocketOption, TestProcess, Wanted,
    assert_events, compared, is_root, kernel, note, null_or, one_of, u64_of,
};

/// How the server resets.
#[derive(Clone, Copy, Debug)]
enum End {
    CloseUnread,
    LingerZero,
    Disconnect,
    Killed,
    /// Data comes for what it has closed.
    DataAfterClose,
    /// TCP_LINGER2 below 0.
    NoFinWait2,
    /// By a bystander.
    SsKill,
}

const ENDS: [End; 7] = [
    End::CloseUnread,
    End::LingerZero,
    End::Disconnect,
    End::SsKill,
    End::DataAfterClose,
    End::NoFinWait2,
    End::Killed,
];

#[track_caller]
fn reset(fixture: &mut Fixture, server: &mut TestProcess, end: End, port: u16) {
    match end {
        End::CloseUnread => server.close("a"),
        End::LingerZero => server.reset("a"),
        End::Disconnect => server.disconnect("a"),
        End::NoFinWait2 => {
            server.set("a", SocketOption::Linger2(-1));
            server.close("a");
        }
        End::Killed => {
            let pid = Pid::from_raw(server.pid.cast_signed()).expect("a pid");
            kill_process(pid, Signal::KILL).expect("kill");
        }
        End::DataAfterClose => {
            // The client does not know yet that it is closed.
            fixture.rule(&format!("tcp sport {} drop", fixture.port));
            server.close("a");
            fixture.speak();
            fixture.client.send("a", 100);
        }
        End::SsKill => {
            let (ours, theirs) = (format!("sport = :{}", fixture.port), format!("dport = :{port}"));
            fixture.ns.run(&["ss", "--kill", &ours, "and", &theirs]);
        }
    }
}

/// What is known of the act.
pub struct Resets {
    port: u16,
    all: Vec<Reset>,
}

struct Reset {
    end: End,
    /// The client's port.
    port: u16,
    server_pid: u32,
}

pub fn play(ports: &mut Ports, closed: u16) -> Played<Resets> {
    Played::play(|| {
        let port = ports.next();
        let hidden = Hidden::watch(port, OF_CONNECTIONS);
        let mut fixture = Fixture::at(port, closed);
        let all = ENDS.map(|end| play_end(&mut fixture, end));
        fixture.settle();
        let whole = match all.iter().all(Option::is_some) {
            true => hidden.check(),
            false => Err("a FIN came before the data".to_owned()),
        };
        (Resets { port, all: all.into_iter().flatten().collect() }, whole)
    })
}

/// `None`: the FIN has come through a second time.
#[track_caller]
fn play_end(fixture: &mut Fixture, end: End) -> Option<Reset> {
    let mut server = TestProcess::start_in(&fixture.ns.launch());
    server.listen(&format!("[::]:{}", fixture.port));
    let addr = fixture.addr(FAMILIES[0]);
    let port = fixture.client.connect("a", addr).local.port();
    server.accept("a");
    if matches!(end, End::CloseUnread | End::Killed) {
        fixture.client.send("a", 100);
    }
    let resets = fixture.ns.counters()["OutRsts"];
    reset(fixture, &mut server, end, port);
    let error = fixture.client.wait_error("a");
    fixture.client.close("a");
    if !matches!(end, End::Killed) {
        server.unlisten();
    }
    if matches!(end, End::DataAfterClose) && error == Some(Errno::PIPE) {
        return None;
    }
    // A FIN comes before this RST.
    let expected = if matches!(end, End::NoFinWait2) { Errno::PIPE } else { Errno::CONNRESET };
    assert_eq!(error, Some(expected), "{end:?}");
    assert_eq!(fixture.ns.counters()["OutRsts"], resets + 1, "{end:?}");
    Some(Reset { end, port, server_pid: server.pid })
}

/// What the kernel gives as the reason, from 6.12 on.
fn reason(end: End) -> Wanted {
    match end {
        End::CloseUnread | End::Killed => "TCP_ABORT_ON_CLOSE".into(),
        End::LingerZero | End::Disconnect | End::SsKill => "TCP_STATE".into(),
        End::DataAfterClose => "TCP_ABORT_ON_DATA".into(),
        // Whether the ACK of the FIN comes before close() looks, or after.
        End::NoFinWait2 => one_of(["TCP_ABORT_ON_LINGER", "TCP_ABORT_ON_DATA"]),
    }
}

fn check(reader: &str, transport: &str) {
    need!(is_root(), "not root");
    let act = &scenario().resets;
    let Resets { port, all } = &act.truth;
    let [life, sent] = ["life", "reset_sent"]
        .map(|event_type| scenario().by(reader, transport).all_fields(event_type, &[*port]));
    let lost = ["life", "reset_sent"]
        .into_iter()
        .zip([&life, &sent])
        .map(|(event_type, trace)| u64_of(&trace.end["event_types"][event_type], "lost"));
    let lost: u64 = lost.sum();
    if lost > 0 {
        note(&format!("resets by {reader}: {lost} lost"));
        return;
    }
    if act.explains(sent.events.len() < ENDS.len()) {
        return;
    }
    assert_eq!(all.len(), ENDS.len());
    for Reset { end, port, server_pid } in all {
        let by_owner = !matches!(end, End::SsKill);
        // A bystander finds an owner that has done nothing but accept, if that was traced.
        let pid = || if by_owner { one_of([*server_pid]) } else { null_or(*server_pid) };
        let mut expected_life = event!(life { pid: pid(), closed_by: "local" });
        if !matches!(end, End::DataAfterClose) {
            let reason = if by_owner { "reset_sent" } else { "error" };
            expected_life = expected_life.with("reason", reason);
        }
        let mut expected_sent = event!(reset_sent { pid: pid() });
        if kernel() >= (6, 12) {
            expected_sent = expected_sent.with("reason", reason(*end));
        }
        // A bystander's RST comes before the change of state; up to 6.10 after it.
        let of_client = |event: &&serde_json::Value| event["dport"] == *port;
        let events = life.events.iter().chain(&sent.events).filter(of_client);
        let expected: Vec<Expected> = vec![expected_life, expected_sent];
        assert_events(events, expected);
        compared(2, 4);
    }
    assert_eq!(sent.events.len(), ENDS.len(), "{:#?}", sent.events);
}

fn check_ring(reader: &str) {
    check(reader, RING);
}

fn check_perf(reader: &str) {
    check(reader, PERF);
}

by_sock_and_raw! {
    check_ring: owner_and_reason_by_sock owner_and_reason_by_raw;
    check_perf: owner_and_reason_by_sock_and_perfbuf owner_and_reason_by_raw_and_perfbuf;
}
