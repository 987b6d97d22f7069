//! A container: a cgroup and namespaces of its own, in which the server is process 1. Every event of its connections has the
//! place where the sockets are, and the process as it is known outside.

use std::os::unix::fs::MetadataExt;

use serde_json::Value;

use super::{PERF, RING, scenario};
use crate::support::{
    Cgroup, Fixture, Netns, Socket, TestProcess, cgroup2, compared, guest, is_root, unique,
};

/// What is known of the act.
pub struct Container {
    port: u16,
    netns: u64,
    cgroup_id: u64,
    /// The client and the server: its process as seen from outside, and the socket.
    ends: [(u32, Socket); 2],
}

/// `None` where there is no cgroup v2.
pub fn play(port: u16) -> Option<Container> {
    let cgroup = Cgroup::new(cgroup2()?.join(unique("tcc-")));
    let ns = Netns::new();
    let launch = cgroup.launch(ns.launch());
    let pid_namespace = launch.clone().inside(&["unshare", "-p", "-f"]);
    let (client, server) = (TestProcess::start_in(&launch), TestProcess::start_in(&pid_namespace));
    let mut fixture = Fixture { ns, client, server, port, closed: port };
    let pid_ns = |pid: &str| std::fs::metadata(format!("/proc/{pid}/ns/pid")).map(|m| m.ino()).ok();
    let inner = pid_ns(&fixture.server.pid.to_string());
    assert!(inner.is_some() && inner != pid_ns("self"), "the server has no namespace of its own");
    fixture.listen();
    let (theirs, ours) = fixture.connect("a", "127.0.0.1");
    for bytes in [100, 3000, 100_000] {
        fixture.client.transfer("a", &mut fixture.server, bytes);
        fixture.server.transfer("a", &mut fixture.client, bytes);
    }
    fixture.client.close("a");
    fixture.server.close("a");
    fixture.settle();
    Some(Container {
        port,
        netns: fixture.ns.inode(),
        cgroup_id: std::fs::metadata(&cgroup.0).expect("the cgroup").ino(),
        ends: [(fixture.client.pid, theirs), (fixture.server.pid, ours)],
    })
}

/// The event types that a connection which is opened, used and closed has on every kernel.
const EVENT_TYPES: [&str; 6] = ["probe", "state", "destroy", "connect", "accept", "life"];

fn check(reader: &str, transport: &str) {
    need!(is_root(), "not root");
    let container = &scenario().container;
    need!(container.is_some(), "no cgroup v2 here");
    let container = container.as_ref().expect("checked");
    let trace = scenario().by(reader, transport).all_of(&[container.port]);
    for event_type in EVENT_TYPES {
        assert!(!trace.of_type(event_type).is_empty(), "no {event_type}");
    }
    let listener = |event: &&Value| event["dport"] == 0;
    // A segment that is sent again finds its socket gone, on a slow machine, or in an emulated one in TIME_WAIT.
    let is_over = |event: &Value| guest() && event["sk_state"] == "TIME_WAIT";
    let homeless =
        |event: &&Value| event["type"] == "drop" && (event["sk_state"].is_null() || is_over(event));
    for event in trace.events.iter().filter(|event| !listener(event) && !homeless(event)) {
        let (pid, socket) = container.ends[usize::from(event["sport"] == container.port)];
        assert_eq!(event["netns"], container.netns, "{event}");
        assert_eq!(event["cgroup_id"], container.cgroup_id, "{event}");
        assert!(event["pid"].is_null() || event["pid"] == pid, "not {pid}: {event}");
        assert!(event["ino"].is_null() || event["ino"] == socket.ino, "{socket:?}: {event}");
        assert!(event["cookie"].is_null() || event["cookie"] == socket.cookie, "{event}");
    }
    compared(trace.events.len(), 5 * trace.events.len());
    // At its end at the latest.
    for (pid, socket) in container.ends {
        let life = trace.of_cookie(socket.cookie).into_iter().find(|event| event["type"] == "life");
        let life = life.unwrap_or_else(|| panic!("no life of {socket:?}"));
        assert_eq!(life["pid"], pid, "{life}");
    }
}

fn check_ring(reader: &str) {
    check(reader, RING);
}

fn check_perf(reader: &str) {
    check(reader, PERF);
}

by_sock_and_raw! {
    check_ring: place_and_process_by_sock place_and_process_by_raw;
    check_perf: place_and_process_by_sock_and_perfbuf place_and_process_by_raw_and_perfbuf;
}
