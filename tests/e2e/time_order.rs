//! One stream in the order of time, though events come from every CPU. That every other trace here is in order is checked
//! where it ends (`Output::books`).

use std::thread;

use serde_json::Value;

use crate::support::{Launch, Server, Tracer, guest, is_root, traffic_in, u64_of, wait_until};

/// How often an event of another connection follows.
fn turns(events: &[Value], server: u16) -> usize {
    let client = |event: &Value| {
        let sport = u64_of(event, "sport");
        if sport == u64::from(server) { u64_of(event, "dport") } else { sport }
    };
    events.windows(2).filter(|two| client(&two[0]) != client(&two[1])).count()
}

/// Two connections at once, each on a CPU of its own, through buffers of the CPUs and of all: neighbours in time are
/// neighbours in the stream.
#[test]
fn events_of_two_cpus_come_in_order() {
    need!(is_root(), "not root");
    need!(thread::available_parallelism().is_ok_and(|cpus| cpus.get() > 1), "one CPU");
    let server = Server::start("127.0.0.1:0", None);
    let port = server.addr.port().to_string();
    for transport in ["ringbuf", "perfbuf"] {
        let args = ["--port", &port, "--transport", transport, "--fields", "mono_ns,sport,dport"];
        let tracer =
            Tracer::events_in(&Launch::here().with_tracefs(), "state,destroy,probe", &args);
        let both = || {
            thread::scope(|scope| {
                for cpu in [0, 1] {
                    let launch = Launch::here().on_cpu(cpu);
                    let to = server.addr.to_string();
                    scope.spawn(move || {
                        let args =
                            ["pingpong", "--to", &to, "--count", "1000", "--interval", "0ms"];
                        traffic_in(&launch, &args);
                    });
                }
            });
        };
        // There has to be something to bring into order. On a busy machine each has its CPU for long.
        wait_until("two CPUs that work at a time", || {
            both();
            tracer.with_events(|events| turns(events, server.addr.port())) > 20
        });
        let trace = tracer.stop();
        trace.check_account();
        // That all others are printed in order is checked of each trace. A guest's CPU may be taken away between the reading
        // of the clock and the record.
        let late = u64_of(&trace.end, "late");
        assert!(late == 0 || (guest() && late < 10), "{transport}: {}", trace.end);
    }
}
