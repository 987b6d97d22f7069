//! Who holds the socket: process, user, namespace, cgroup, inode, as the kernel tells them elsewhere. The process may not
//! be known at first; it is never a wrong one.

use std::os::unix::fs::MetadataExt;

use serde_json::Value;

use crate::support::{
    Launch, Program, Socket, SocketOption, TestProcess, Tracer, cgroup2, has_tracepoint, is_root,
    mono_ns, run, u64_of, wait_until,
};

const READERS: [&str; 2] = ["sock", "raw"];
/// In these the owner of an accepted connection that does anything must have become known.
const SOON_NS: u64 = 5_000_000_000;

fn start(reader: &str, port: u16) -> Tracer {
    let port = port.to_string();
    let args = ["--all-fields", "--reader", reader, "--port", &port];
    Tracer::start_in(&Launch::here().with_tracefs(), &args)
}

fn of(events: &[Value], socket: Socket) -> Vec<&Value> {
    events.iter().filter(|event| event["cookie"] == socket.cookie).collect()
}

fn inode(path: &str) -> u64 {
    std::fs::metadata(path).unwrap_or_else(|error| panic!("{path}: {error}")).ino()
}

/// Everything but the process, which is the same from the first sample on.
#[track_caller]
fn check_place(event: &Value, pid: u32) {
    assert_eq!(event["netns"], inode(&format!("/proc/{pid}/ns/net")), "{event}");
    assert_eq!(event["uid"], 0, "{event}");
    if let Some(root) = cgroup2() {
        let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("cgroup");
        let path = text.lines().find_map(|line| line.strip_prefix("0::/")).expect("a v2 cgroup");
        assert_eq!(event["cgroup_id"], inode(&root.join(path).to_string_lossy()), "{event}");
    }
}

/// The samples of one socket name this process or none; a name is given with it.
#[track_caller]
fn check_process(event: &Value, pids: &[u32]) {
    if event["pid"].is_null() {
        assert!(event["comm"].is_null(), "{event}");
        return;
    }
    let pid = u64_of(event, "pid");
    assert!(pids.iter().any(|&p| pid == u64::from(p)), "pid {pid}, not of {pids:?}: {event}");
    let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).expect("comm");
    assert_eq!(event["comm"], comm.trim_end(), "{event}");
}

/// All of a socket's samples are right, and the process is known from the first or soon.
#[track_caller]
fn check_owner(tracer: &Tracer, socket: Socket, pid: u32, at_once: bool) {
    let events = tracer.events();
    let samples = of(&events, socket);
    for sample in &samples {
        check_place(sample, pid);
        check_process(sample, &[pid]);
        // Until it is accepted, it has no file.
        assert!(sample["ino"].is_null() || sample["ino"] == socket.ino, "{sample}");
    }
    let first = samples.first().unwrap_or_else(|| panic!("no sample of {socket:?}"));
    let known = samples.iter().find(|sample| sample["pid"] == pid);
    let known = known.unwrap_or_else(|| panic!("{} samples, none knows {pid}", samples.len()));
    let took = u64_of(known, "mono_ns") - u64_of(first, "mono_ns");
    assert!(took == 0 || !at_once, "not known at once: {first}");
    assert!(took <= SOON_NS, "known after {took} ns");
    assert_eq!(samples.last().expect("one")["ino"], socket.ino);
}

/// Does the socket's newest sample know the process?
fn knows(tracer: &Tracer, socket: Socket, pid: u32) -> bool {
    of(&tracer.events(), socket).last().is_some_and(|sample| sample["pid"] == pid)
}

/// `ss` looks at every socket under its lock, and owns none.
fn bystander() {
    let mut ss = Program::new("ss");
    ss.arg("-tin");
    run::output(ss).unwrap();
}

#[test]
fn children_that_accept_own_what_they_accept() {
    need!(is_root(), "not root");
    for reader in READERS {
        let mut master = TestProcess::start();
        let addr = master.listen("127.0.0.1:0");
        let tracer = start(reader, addr.port());
        let mut children = [master.fork_listener(), master.fork_listener()];
        let mut client = TestProcess::start();
        let mut pairs = Vec::new();
        for (i, name) in ["a", "b"].into_iter().enumerate() {
            let theirs = client.connect(name, addr);
            // Nobody's yet.
            client.send(name, 100);
            pairs.push((theirs, children[i].accept(name)));
        }
        wait_until("the owners", || {
            for (child, name) in children.iter_mut().zip(["a", "b"]) {
                child.receive(name, 100);
                child.send(name, 50);
                client.receive(name, 50);
                client.send(name, 100);
            }
            bystander();
            pairs.iter().zip(&children).all(|(pair, child)| {
                knows(&tracer, pair.0, client.pid) && knows(&tracer, pair.1, child.pid)
            })
        });
        for (pair, child) in pairs.iter().zip(&children) {
            check_owner(&tracer, pair.0, client.pid, true);
            check_owner(&tracer, pair.1, child.pid, false);
        }
        tracer.stop().check_account();
    }
}

/// Also where the kernel has no hook for sending.
#[test]
fn an_accepted_connection_that_only_sends_has_its_owner() {
    need!(is_root(), "not root");
    for reader in READERS {
        let mut server = TestProcess::start();
        let addr = server.listen("[::1]:0");
        let tracer = start(reader, addr.port());
        let mut client = TestProcess::start();
        let theirs = client.connect("a", addr);
        let ours = server.accept("a");
        wait_until("the owner", || {
            server.send("a", 100);
            client.receive("a", 100);
            bystander();
            knows(&tracer, ours, server.pid)
        });
        check_owner(&tracer, theirs, client.pid, true);
        check_owner(&tracer, ours, server.pid, false);
        tracer.stop().check_account();
    }
}

#[test]
fn connections_from_before_the_trace_have_their_owners_at_once() {
    need!(is_root(), "not root");
    for reader in READERS {
        let (mut server, mut client) = (TestProcess::start(), TestProcess::start());
        let addr = server.listen("127.0.0.1:0");
        let receiver = client.connect("receives", addr);
        let from = server.accept("sends");
        let sender = client.connect("sends", addr);
        let to = server.accept("receives");
        let tracer = start(reader, addr.port());
        for _ in 0..10 {
            server.send("sends", 100);
            client.receive("receives", 100);
            client.send("sends", 100);
            server.receive("receives", 100);
        }
        tracer.wait_events("samples of all four", |events| {
            [receiver, from, sender, to].iter().all(|&socket| !of(events, socket).is_empty())
        });
        for (socket, pid) in
            [(receiver, client.pid), (sender, client.pid), (from, server.pid), (to, server.pid)]
        {
            check_owner(&tracer, socket, pid, true);
        }
        tracer.stop().check_account();
    }
}

/// What waits to be accepted has no file and no process, however much arrives; then it is who accepts it.
#[test]
fn what_nobody_accepted_is_nobodys() {
    need!(is_root(), "not root");
    for reader in READERS {
        let mut server = TestProcess::start();
        let addr = server.listen("127.0.0.1:0");
        let tracer = start(reader, addr.port());
        let mut client = TestProcess::start();
        client.connect("a", addr);
        let waiting = |events: &[Value]| {
            let samples: Vec<Value> =
                events.iter().filter(|e| e["sport"] == addr.port()).cloned().collect();
            for sample in &samples {
                for column in ["pid", "comm", "ino"] {
                    assert!(sample[column].is_null(), "{column}: {sample}");
                }
            }
            // Long enough to have been asked for.
            let times: Vec<u64> = samples.iter().map(|sample| u64_of(sample, "mono_ns")).collect();
            times.len() > 10 && times[times.len() - 1] - times[0] > 300_000_000
        };
        let mut sent = 0;
        wait_until("samples", || {
            client.send("a", 100);
            sent += 100;
            waiting(&tracer.events())
        });
        let ours = server.accept("a");
        server.receive("a", sent);
        wait_until("the owner", || {
            client.send("a", 100);
            server.receive("a", 100);
            knows(&tracer, ours, server.pid)
        });
        let events = tracer.events();
        of(&events, ours).iter().for_each(|sample| check_process(sample, &[server.pid]));
        tracer.stop().check_account();
    }
}

/// Of two holders, the one that uses it.
#[test]
fn a_connection_handed_to_a_child_becomes_the_childs() {
    need!(is_root(), "not root");
    for reader in READERS {
        let (mut server, mut client) = (TestProcess::start(), TestProcess::start());
        let addr = server.listen("127.0.0.1:0");
        let theirs = client.connect("a", addr);
        let ours = server.accept("a");
        let mut child = server.fork_connection("a");
        let tracer = start(reader, addr.port());
        wait_until("the child to be known", || {
            client.send("a", 100);
            child.receive("a", 100);
            child.send("a", 100);
            client.receive("a", 100);
            knows(&tracer, ours, child.pid)
        });
        let events = tracer.events();
        of(&events, ours).iter().for_each(|sample| check_process(sample, &[server.pid, child.pid]));
        check_owner(&tracer, theirs, client.pid, true);
        tracer.stop().check_account();
    }
}

/// Also where nothing is received, and each write finds data unsent.
#[test]
fn who_writes_behind_unsent_data_owns_the_connection() {
    need!(is_root(), "not root");
    need!(has_tracepoint("send"), "no tcp_sendmsg_locked (6.16)", legitimate: true);
    for reader in READERS {
        let (mut server, mut client) = (TestProcess::start(), TestProcess::start());
        let addr = server.listen("127.0.0.1:0");
        client.connect("a", addr);
        let ours = server.accept("a");
        let mut child = server.fork_connection("a");
        let tracer = start(reader, addr.port());
        server.set("a", SocketOption::SendBuffer(50_000));
        let mut unread = server.fill("a");
        server.set("a", SocketOption::SendBuffer(200_000));
        for writer in [&mut child, &mut server] {
            wait_until("the writer to be known", || {
                writer.send("a", 100);
                let wrote_ns = mono_ns();
                // What the client reads now is acknowledged while most is still unsent.
                client.receive("a", unread / 4);
                unread = unread - unread / 4 + 100;
                let later = |sample: &&Value| u64_of(sample, "mono_ns") > wrote_ns;
                tracer.wait_events("a sample", |events| of(events, ours).iter().any(later));
                knows(&tracer, ours, writer.pid)
            });
            let events = tracer.events();
            let last = *of(&events, ours).last().expect("one");
            assert!(u64_of(last, "notsent_bytes") > 0, "{last}");
        }
        tracer.stop().check_account();
    }
}

/// The user is the socket's: it changes with its file's.
#[test]
fn the_user_is_the_sockets() {
    need!(is_root(), "not root");
    for reader in READERS {
        let (mut server, mut client) = (TestProcess::start(), TestProcess::start());
        let addr = server.listen("127.0.0.1:0");
        let theirs = client.connect("a", addr);
        let ours = server.accept("a");
        client.set("a", SocketOption::Owner(12345));
        server.set("a", SocketOption::Owner(4294967294));
        let tracer = start(reader, addr.port());
        client.send("a", 100);
        server.receive("a", 100);
        tracer.wait_events("both ends", |events| {
            [theirs, ours].iter().all(|&s| !of(events, s).is_empty())
        });
        let events = tracer.stop().events;
        of(&events, theirs).iter().for_each(|event| assert_eq!(event["uid"], 12345, "{event}"));
        of(&events, ours)
            .iter()
            .for_each(|event| assert_eq!(event["uid"], 4_294_967_294_u64, "{event}"));
    }
}
