//! Connections that were open before the trace, and that nobody has asked for a cookie: it is made where they are first
//! seen, and is theirs to the end. (TestProcesss ask for theirs.)

use std::net::{TcpListener, TcpStream};

use rustix::net::sockopt::socket_cookie;
use serde_json::Value;

use crate::support::{Launch, Tracer, is_root, kernel, u64_of};

/// Of all that is told of either end, by `life` and `top`.
#[test]
fn their_cookies_are_made_at_the_first_scan() {
    need!(is_root(), "not root");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let addr = listener.local_addr().expect("its address");
    let client = TcpStream::connect(addr).expect("a connection");
    let (server, _) = listener.accept().expect("a connection");
    let port = addr.port().to_string();
    let start = |command: &[&str]| {
        let args = ["--port", &port];
        Tracer::command_in(&Launch::here().with_tracefs(), command, &args)
    };
    let tracers = [start(&["top", "--interval", "100ms"]), start(&["life"])];
    tracers[1].wait_events("both ends", |events| events.len() == 2);
    for (mut from, to) in [(&client, &server), (&server, &client)] {
        use std::io::{Read, Write};
        from.write_all(b"x").expect("a byte");
        (&mut &*to).read_exact(&mut [0]).expect("a byte");
    }
    tracers[0].wait_events("both ends", |rows| rows.len() >= 2);
    // Asked only now, the kernel names the one that is there, or makes another.
    let truth = [&server, &client].map(|end| socket_cookie(end).expect("SO_COOKIE"));
    drop((client, server));
    tracers[1].wait_events("both ends' ends", |events| events.len() == 4);
    for tracer in tracers {
        let trace = tracer.stop();
        for (local, truth) in [true, false].into_iter().zip(truth) {
            // A row of `top` has what names it in its key.
            let named = trace.events.iter().map(|row| row.get("key").unwrap_or(row));
            let of = |row: &&Value| (u64_of(row, "sport") == u64::from(addr.port())) == local;
            let cookies: Vec<&Value> = named.filter(of).map(|row| &row["cookie"]).collect();
            // Without the helper (before 5.12) there is none before somebody asks.
            let known = cookies.iter().all(|cookie| **cookie == truth);
            assert!(!cookies.is_empty() && (known || kernel() < (5, 12)), "{:#?}", trace.events);
        }
    }
}
