//! Whose a RST is: the process that closes, disconnects or is killed, though it has done nothing but accept.

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{
    Expected, FAMILIES, Fixture, Reader, SocketOption, Tcc, TestProcess, assert_events, is_root,
    is_whole, some_turn,
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
    /// By a bystander.
    SsKill,
}

const ENDS: [End; 6] = [
    End::CloseUnread,
    End::LingerZero,
    End::Disconnect,
    End::SsKill,
    End::DataAfterClose,
    End::Killed,
];

#[track_caller]
fn reset(fixture: &mut Fixture, server: &mut TestProcess, end: End, port: u16) {
    match end {
        End::CloseUnread => server.close("a"),
        End::LingerZero => server.reset("a"),
        End::Disconnect => server.disconnect("a"),
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

fn check_owner(reader: Reader) {
    need!(is_root(), "not root");
    some_turn(|| shows_owner(reader));
}

#[track_caller]
fn shows_owner(reader: Reader) -> bool {
    let mut fixture = Fixture::new();
    let tracer =
        Tcc::events(&["life", "reset_sent"]).all_fields().reader(reader).ports(&[fixture.port]);
    let tracer = tracer.start();
    let mut expected: Vec<(u16, Vec<Expected>)> = Vec::new();
    for end in ENDS {
        let mut server = TestProcess::start_in(&fixture.ns.launch());
        server.listen(&format!("[::]:{}", fixture.port));
        let addr = fixture.addr(FAMILIES[0]);
        let client = fixture.client.connect("a", addr).local.port();
        server.accept("a");
        if matches!(end, End::CloseUnread | End::Killed) {
            fixture.client.send("a", 100);
        }
        let resets = fixture.ns.counters()["OutRsts"];
        reset(&mut fixture, &mut server, end, client);
        let error = fixture.client.wait_error("a");
        // The FIN may have come through the second time.
        if matches!(end, End::DataAfterClose) && error == Some(Errno::PIPE) {
            return false;
        }
        assert_eq!(error, Some(Errno::CONNRESET), "{end:?}");
        assert_eq!(fixture.ns.counters()["OutRsts"], resets + 1, "{end:?}");
        fixture.client.close("a");
        let by_owner = !matches!(end, End::SsKill);
        let pid = by_owner.then_some(u64::from(server.pid));
        let mut life = event!(life { pid: pid, closed_by: "local" });
        if !matches!(end, End::DataAfterClose) {
            life = life.with("reason", if by_owner { "reset_sent" } else { "error" });
        }
        let sent = event!(reset_sent { pid: pid });
        // A bystander's RST comes before the change of state; up to 6.10 after it.
        expected.push((client, vec![life, sent]));
        if !matches!(end, End::Killed) {
            server.unlisten();
        }
    }
    fixture.settle();
    let trace = tracer.stop();
    trace.check_account();
    if !is_whole(&trace) {
        return false;
    }
    for (client, expected) in expected {
        let mut events: Vec<_> =
            trace.events.iter().filter(|event| event["dport"] == client).collect();
        events.sort_by_key(|event| event["type"] != "life");
        assert_events(events, expected);
    }
    true
}

/// `--pid` lets its RSTs through and nobody else's.
fn check_pid(reader: Reader) {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let tracer = Tcc::events(&["reset_sent"]).reader(reader).ports(&[fixture.port, fixture.closed]);
    let tracer = tracer.option("--pid", &fixture.server.pid.to_string()).start();
    fixture.connect("a", FAMILIES[0]);
    fixture.client.set("a", SocketOption::LingerZero);
    fixture.client.close("a");
    fixture.server.close("a");
    let (client, _) = fixture.connect("b", FAMILIES[0]);
    fixture.client.send("b", 1);
    fixture.server.close("b");
    fixture.client.close("b");
    fixture.settle();
    let trace = tracer.stop();
    trace.check_account();
    let event = event!(reset_sent { dport: client.local.port(), pid: fixture.server.pid });
    assert_events(&trace.events, [event]);
}

by_sock_and_raw! {
    check_owner: owner_by_sock owner_by_raw;
    check_pid: by_pid_by_sock by_pid_by_raw;
}
