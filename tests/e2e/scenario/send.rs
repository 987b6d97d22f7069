//! `send`: of all calls of tcp:tcp_sendmsg_locked that the kernel's own trace has, those that found nothing unsent.

use serde_json::Value;

use super::{PERF, Played, Ports, RING, scenario};
use crate::support::{
    FAMILIES, Fixture, Instance, TestProcess, Trace, compared, is_root, maybe_unseen, note,
    time_us, u64_of,
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

/// What is known of the act.
pub struct Sends {
    port: u16,
    /// The client and the server.
    ends: [End; 2],
}

/// A process, and all its calls.
struct End {
    pid: u32,
    calls: Vec<Call>,
}

pub fn play(ports: &mut Ports) -> Played<Sends> {
    Played::play(|| {
        let port = ports.next();
        let mut fixture = Fixture::at(port, port);
        // A segment as large as the window would wait for a probe timer when that opens by half.
        fixture.ns.run(&["ip", "link", "set", "lo", "mtu", "1500"]);
        fixture.listen();
        let pids = [fixture.client.pid, fixture.server.pid];
        let calls = [Calls::of(&fixture.client), Calls::of(&fixture.server)];
        write(&mut fixture);
        let [client, server] = calls.map(|calls| calls.all());
        let counted = |call: &&Call| call.skb_len == 0 && call.maybe_unseen;
        let hidden = [&client, &server].into_iter().flatten().filter(counted).count();
        let whole = if hidden == 0 { Ok(()) } else { Err(format!("{hidden} calls are hidden")) };
        let ends = [End { pid: pids[0], calls: client }, End { pid: pids[1], calls: server }];
        (Sends { port, ends }, whole)
    })
}

/// The events of one end are the calls of its process that found nothing unsent. Whether any is missing.
#[track_caller]
fn compare(trace: &Trace, end: &End) -> bool {
    let ours: Vec<&Value> = trace.events.iter().filter(|event| event["pid"] == end.pid).collect();
    let theirs: Vec<&Call> = end.calls.iter().filter(|call| call.skb_len == 0).collect();
    assert!(theirs.len() >= FAMILIES.len() * 4, "{}", theirs.len());
    assert!(theirs.len() < end.calls.len(), "no call found unsent data");
    if ours.len() < theirs.len() {
        return true;
    }
    let values = |event: &&Value| (u64_of(event, "msg_left"), u64_of(event, "size_goal"));
    let ours_values: Vec<_> = ours.iter().map(values).collect();
    let theirs_values: Vec<_> = theirs.iter().map(|call| (call.msg_left, call.size_goal)).collect();
    assert_eq!(ours_values, theirs_values, "pid {}", end.pid);
    for (i, event) in ours.iter().enumerate() {
        // The programs of one call run one after the other, and before the next call.
        let next = theirs.get(i + 1).map_or(u64::MAX, |call| call.time_us);
        let before = i.checked_sub(1).map_or(0, |i| theirs[i].time_us);
        let time = u64_of(event, "mono_ns") / 1000;
        assert!((before..=next).contains(&time), "{before} to {next}: {event}");
        assert_eq!(event["write_seq"], event["snd_nxt"], "{event}");
    }
    compared(ours.len(), 2 * ours.len());
    false
}

fn check(reader: &str, transport: &str) {
    need!(is_root(), "not root");
    let act = &scenario().sends;
    need!(act.is_some(), "this kernel has no such tracepoint", legitimate: true);
    let act = act.as_ref().expect("checked");
    let Sends { port, ends } = &act.truth;
    let trace = scenario().by(reader, transport).all_fields("send", &[*port]);
    let counters = &trace.end["event_types"]["send"];
    let lost = u64_of(counters, "lost");
    let of_both = |event: &Value| ends.iter().any(|end| event["pid"] == end.pid);
    assert!(trace.events.iter().all(of_both), "{:#?}", trace.events);
    let missing = ends.iter().map(|end| compare(&trace, end)).filter(|missing| *missing).count();
    if missing > 0 && lost > 0 {
        note(&format!("send by {reader}: {lost} lost"));
    } else if !act.explains(missing > 0) {
        assert_eq!(missing, 0, "{counters}: {:#?}", trace.events);
    }
}

fn check_ring(reader: &str) {
    check(reader, RING);
}

fn check_perf(reader: &str) {
    check(reader, PERF);
}

by_sock_and_raw! {
    check_ring: calls_by_sock calls_by_raw;
    check_perf: calls_by_sock_and_perfbuf calls_by_raw_and_perfbuf;
}
