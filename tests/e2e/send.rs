//! `send`: of all calls of tcp:tcp_sendmsg_locked that the kernel's own trace has, those that found nothing unsent.

use serde_json::Value;

use crate::support::{
    FAMILIES, Fixture, Instance, Launch, TestProcess, Trace, Tracer, compared, has_tracepoint,
    is_root, maybe_unseen, time_us, turns, u64_of,
};

/// A call, as the kernel prints it.
struct Call {
    time_us: u64,
    maybe_unseen: bool,
    /// Of the last segment that is unsent; 0: there is none.
    skb_len: u64,
    msg_left: u64,
    size_goal: u64,
}

/// `comm-tid … seconds.micros` and `skb_addr … skb_len … msg_left … size_goal …`, in which names and values alternate.
fn parse(line: &str) -> Option<Call> {
    let (head, fields) = line.split_once(": tcp_sendmsg_locked: ")?;
    let words: Vec<&str> = fields.split_whitespace().collect();
    let number = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        words.get(at + 1)?.parse().ok()
    };
    let call = Call {
        time_us: time_us(head)?,
        maybe_unseen: maybe_unseen(head),
        skb_len: number("skb_len")?,
        msg_left: number("msg_left")?,
        size_goal: number("size_goal")?,
    };
    Some(call)
}

/// The calls of one process, which has one thread that sends.
struct Calls(Instance);

impl Calls {
    #[track_caller]
    fn of(process: &TestProcess) -> Self {
        let instance = Instance::start(1024);
        let tasks = std::fs::read_dir(format!("/proc/{}/task", process.pid)).expect("its threads");
        let threads = tasks.map(|task| task.expect("a thread").file_name().into_string());
        let threads: Vec<String> =
            threads.map(|tid| format!("common_pid == {}", tid.expect("a number"))).collect();
        instance.write("events/tcp/tcp_sendmsg_locked/filter", &threads.join(" || "));
        instance.write("events/tcp/tcp_sendmsg_locked/enable", "1");
        Calls(instance)
    }

    #[track_caller]
    fn all(&self) -> Vec<Call> {
        let lines = self.0.lines();
        let calls = lines.iter().filter(|line| !line.starts_with('#'));
        let mut calls: Vec<Call> =
            calls.map(|line| parse(line).unwrap_or_else(|| panic!("{line}"))).collect();
        calls.sort_by_key(|call| call.time_us);
        calls
    }
}

/// Small and large writes of both ends, and one that has to wait for its reader.
#[track_caller]
fn write(fixture: &mut Fixture) {
    for family in FAMILIES {
        fixture.connect("a", family);
        for bytes in [1, 100, 3000, 300_000] {
            fixture.client.transfer("a", &mut fixture.server, bytes);
            fixture.server.transfer("a", &mut fixture.client, bytes + 1);
        }
        let filled = fixture.client.fill("a");
        fixture.server.receive("a", filled);
        fixture.client.close("a");
        fixture.server.close("a");
    }
    fixture.settle();
}

/// The events of one end are the calls of its process that found nothing unsent.
fn compare(trace: &Trace, calls: &[Call], process: &TestProcess) -> Result<(), String> {
    let ours = trace.events.iter().filter(|event| event["pid"] == process.pid);
    let ours: Vec<&Value> = ours.collect();
    let theirs: Vec<&Call> = calls.iter().filter(|call| call.skb_len == 0).collect();
    assert!(theirs.len() >= FAMILIES.len() * 4, "{}", theirs.len());
    assert!(theirs.len() < calls.len(), "no call found unsent data");
    let values = |event: &&Value| (u64_of(event, "msg_left"), u64_of(event, "size_goal"));
    let ours_values: Vec<_> = ours.iter().map(values).collect();
    let theirs_values: Vec<_> = theirs.iter().map(|call| (call.msg_left, call.size_goal)).collect();
    if ours_values != theirs_values && theirs.iter().any(|call| call.maybe_unseen) {
        return Err("a call was hidden".to_owned());
    }
    assert_eq!(ours_values, theirs_values, "pid {}", process.pid);
    for (i, event) in ours.iter().enumerate() {
        // The programs of one call run one after the other, and before the next call.
        let next = theirs.get(i + 1).map_or(u64::MAX, |call| call.time_us);
        let before = i.checked_sub(1).map_or(0, |i| theirs[i].time_us);
        let time = u64_of(event, "mono_ns") / 1000;
        assert!((before..=next).contains(&time), "{before} to {next}: {event}");
        assert_eq!(event["write_seq"], event["snd_nxt"], "{event}");
    }
    compared(ours.len(), 2 * ours.len());
    Ok(())
}

fn check(reader: &str) {
    need!(is_root(), "not root");
    need!(has_tracepoint("send"), "this kernel has no such tracepoint", legitimate: true);
    turns(|| {
        let mut fixture = Fixture::new();
        // A segment as large as the window would wait for a probe timer when that opens by half.
        fixture.ns.run(&["ip", "link", "set", "lo", "mtu", "1500"]);
        fixture.listen();
        let calls = [Calls::of(&fixture.client), Calls::of(&fixture.server)];
        let ports = fixture.ports();
        let args = ["--all-fields", "--reader", reader, "--port", &ports];
        let tracer = Tracer::events_in(&Launch::here().with_tracefs(), "send", &args);
        write(&mut fixture);
        let trace = tracer.stop();
        trace.check_accounts(&["send"]);
        let counters = &trace.end["event_types"]["send"];
        assert_eq!(u64_of(counters, "lost"), 0, "{counters}");
        let [client, server] = calls.map(|calls| calls.all());
        compare(&trace, &client, &fixture.client)?;
        compare(&trace, &server, &fixture.server)?;
        let of_both = [fixture.client.pid, fixture.server.pid];
        assert!(trace.events.iter().all(|event| of_both.iter().any(|pid| event["pid"] == *pid)));
        Ok(())
    });
}

by_sock_and_raw! {
    check: calls_by_sock calls_by_raw;
}
