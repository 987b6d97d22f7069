//! `export`: clients that ask for what is not there, that send garbage, that are slow, and many at a time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Barrier;
use std::thread;

use crate::support::{Exporter, FAMILIES, Fixture, Scrape, http, is_root, patience, wait_until};

fn status(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

#[test]
fn what_is_not_a_request_for_metrics_gets_an_error() {
    need!(is_root(), "not root");
    let exporter = Exporter::start(&["--metrics", "connections"]);
    let long = format!("GET /metrics HTTP/1.1\r\nHost: t\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    for (request, wanted) in [
        ("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n", "200"),
        ("GET /metrics HTTP/1.0\r\n\r\n", "200"),
        ("GET /metrics?x=1 HTTP/1.1\r\nHost: t\r\n\r\n", "200"),
        ("GET / HTTP/1.1\r\nHost: t\r\n\r\n", "200"),
        ("GET /-/healthy HTTP/1.1\r\nHost: t\r\n\r\n", "200"),
        ("POST /-/healthy HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n", "405"),
        ("GET /metrics/x HTTP/1.1\r\nHost: t\r\n\r\n", "404"),
        ("GET /../etc/passwd HTTP/1.1\r\nHost: t\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc", "405"),
        ("DELETE / HTTP/1.1\r\nHost: t\r\n\r\n", "405"),
        ("garbage\r\n\r\n", "400"),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\u{7f}\r\n\r\n", "400"),
        ("GET /metrics HTTP/1.1\r\nno colon\r\n\r\n", "400"),
        ("GET /metrics HTTP/9.9\r\n\r\n", "400"),
        (&long, "431"),
    ] {
        let (head, body) = http(exporter.addr, request);
        let shown: String = request.chars().take(60).collect();
        assert_eq!(status(&head), wanted, "{shown:?}: {head}{body}");
    }
    let (head, body) = http(exporter.addr, "HEAD /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!((status(&head), body.as_str()), ("200", ""));
    let text = "GET /metrics HTTP/1.1\r\nHost: t\r\nAccept: text/plain;version=0.0.4\r\n\r\n";
    let (head, body) = http(exporter.addr, text);
    assert!(
        head.contains("\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n"),
        "{head}"
    );
    assert!(body.contains("# TYPE tcctrace_connections_failed_total counter"), "{body}");
    let output = exporter.tracer.stop_raw();
    assert!(output.status.success(), "{}", output.stderr);
    let lines: Vec<&str> = output.stderr.lines().collect();
    assert!(
        lines.iter().all(|line| !line.contains("http") || line.contains("metrics at")),
        "{lines:?}"
    );
}

/// A hundred clients that send a byte and wait hold no scrape up for longer than a connection may take, and are cut off.
#[test]
fn slow_clients_are_cut_off() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let port = fixture.port.to_string();
    let exporter = Exporter::start(&["-R", &port]);
    let mut slow: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = TcpStream::connect(exporter.addr).expect("a connection");
            stream.set_read_timeout(Some(patience())).expect("a socket");
            stream.write_all(b"G").expect("a byte");
            stream
        })
        .collect();
    // Tracing goes on meanwhile, and a scrape comes through in the end.
    fixture.connect("a", FAMILIES[0]);
    fixture.client.transfer("a", &mut fixture.server, 77_777);
    let scrape = exporter
        .wait("what it sent", |scrape| scrape.sum("tcctrace_acked_bytes_total", &[]) >= 77_777.0);
    assert_eq!(scrape.sum("tcctrace_events_lost_total", &[]), 0.0, "{}", scrape.text);
    for stream in &mut slow {
        let mut rest = Vec::new();
        // At its end, or reset.
        let _ = stream.read_to_end(&mut rest);
        let answer = String::from_utf8_lossy(&rest);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    // One that does not read what it has requested.
    let mut deaf: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = TcpStream::connect(exporter.addr).expect("a connection");
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n").expect("a request");
            stream
        })
        .collect();
    exporter.scrape();
    deaf.clear();
    assert!(exporter.tracer.stop_raw().status.success());
}

/// Fifty at a time get whole answers of the same moment, from a few readings of all connections.
#[test]
fn many_scrapes_at_a_time() {
    need!(is_root(), "not root");
    let mut fixture = Fixture::new();
    fixture.listen();
    let ports = fixture.ports();
    let exporter = Exporter::start(&["--port", &ports, "--labels", "lport"]);
    fixture.exchange();
    fixture.settle();
    exporter.wait("all closed", |scrape| {
        let [established, closed] = ["established", "closed"]
            .map(|name| scrape.sum(&format!("tcctrace_connections_{name}_total"), &[]));
        established == 6.0 && closed == 6.0
    });
    let (addr, start) = (exporter.addr, Barrier::new(50));
    let scrapes: Vec<Scrape> = thread::scope(|scope| {
        let clients: Vec<_> = (0..50)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    Scrape::of(addr)
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("a scrape")).collect()
    });
    let mut texts: Vec<&str> = scrapes.iter().map(|scrape| scrape.text.as_str()).collect();
    texts.sort_unstable();
    texts.dedup();
    assert!(texts.len() < 10, "{} readings for 50 clients", texts.len());
    for scrape in &scrapes {
        assert!(scrape.text.ends_with("\n# EOF\n"));
        assert_eq!(scrape.sum("tcctrace_connections_established_total", &[]), 6.0);
    }
    wait_until("a new reading", || exporter.scrape().text != texts[0]);
    assert!(exporter.tracer.stop_raw().status.success());
}
