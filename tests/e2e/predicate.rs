//! `--where`: for each operator, what a tracer with a condition prints is exactly its part of what one without it prints.

use serde_json::Value;

use tcc_trace::predicate::Predicate;

use crate::generated::reference::truth;
use crate::support::{
    FilteredTracers, Fixture, Netns, QUICK, Reader, Server, Tcc, Tracer, check_whole, is_root,
    text, traffic_in, turns, u64_of, unique_port,
};

/// With the port for `PORT`. Each is true for some events of the traffic and not for all, unless noted below.
const CONDITIONS: &[&str] = &[
    "lport == PORT",
    "PORT != lport",
    "data_len > 0",
    "data_len >= 1B && data_len < 1kB",
    "data_len <= 0.5",
    "raddr in 127.0.0.0/31",
    "raddr not in (127.0.0.1, 2001:db8::/32)",
    "laddr == ::1",
    "lport in (PORT, 1-100)",
    "!(lport in PORT || raddr == ::1)",
    "lport == PORT && raddr in 127.0.0.0/8",
    "lport == PORT || data_len == 0",
    // Not by the kernel:
    "family == 'ipv6'",
    "snd_nxt - snd_una > 0",
    "snd_nxt == snd_una",
    "lport > rport",
    "data_len > 0 && snd_nxt - snd_una > 0",
];
/// These may be true for all or for none.
const ANY: &[&str] = &[
    "ssthresh is null",
    "ssthresh is not null && srtt_us < 1min",
    "srtt_us / 2 > 10us",
    "snd_wnd * 2 >= 1MiB",
    "type == 'probe' && mark == 0x0",
];
/// Of fields that the tracepoint's record does not have.
const BY_SOCKET: &[&str] = &[
    "cc == 'cubic' || cc == 'reno'",
    "ca_state in ('Open', 'Loss') && state != 'CLOSE'",
    "snd_cwnd > 2 * snd_ssthresh || snd_ssthresh is null",
    "uid == 0 && netns > 1",
    "!app_limited && bytes_acked >= 1B",
];

/// What a kernel has to accept: decided by its programs, by the reader, by both, and by a field of the socket.
const SEVERAL: &[&str] = &[
    "lport == PORT && raddr in 127.0.0.0/8",
    "lport > rport",
    "data_len > 0 && snd_nxt - snd_una > 0",
    "cc == 'cubic' || cc == 'reno'",
];

fn operators(reader: &str) {
    let mut texts = [CONDITIONS, ANY].concat();
    if reader != "record" {
        texts.extend(BY_SOCKET);
    }
    check(reader, &texts);
}

fn check(reader: &str, texts: &[&str]) {
    need!(is_root(), "not root");
    turns(|| conditions(reader, texts));
}

fn conditions(reader: &str, texts: &[&str]) -> Result<(), String> {
    let ns = Netns::new();
    let server = Server::start_in(&ns.launch(), &format!("[::]:{}", unique_port()), None);
    let port = server.port();
    let with_port =
        |text: &&str| (text.replace("PORT", &port.to_string()), CONDITIONS.contains(text));
    let texts: Vec<(String, bool)> = texts.iter().map(with_port).collect();
    // A few at a time: each is a tracer.
    for texts in texts.chunks(6) {
        let filter = |(text, _): &(String, bool)| format!("-P {port} --where={text}");
        let filters: Vec<String> = texts.iter().map(filter).collect();
        let sides = FilteredTracers::start(&port.to_string(), reader, &filters);
        for (to, bind) in [("127.0.0.1", "127.0.0.2"), ("[::1]", "::1"), ("127.0.0.1", "127.0.0.1")]
        {
            let to = format!("{to}:{port}");
            let args = [&["pingpong", "--to", &to, "--bind", bind], QUICK].concat();
            traffic_in(&ns.launch(), &args);
        }
        let traces = sides.finish(|sides| {
            for (index, (text, some)) in texts.iter().enumerate() {
                let expr = Predicate::parse(text).expect("it was parsed").expr;
                let part = |events: Vec<Value>| {
                    events.into_iter().filter(|event| is_true(&expr, event)).collect()
                };
                sides.expect_of(index, part, *some).map_err(|why| format!("{text}: {why}"))?;
            }
            Ok(())
        })?;
        for (trace, (text, _)) in traces.iter().skip(1).zip(texts) {
            let end = |name: &str| u64_of(&trace.end, name);
            let rejected = end("where_kernel") + end("where_user");
            assert!(end("filtered") >= rejected, "{text}: {}", trace.end);
            let printed = trace.events.len() as u64;
            assert_eq!(traces[0].events.len() as u64, printed + rejected, "{text}: {}", trace.end);
        }
    }
    Ok(())
}

/// By the fields that the reference has; the last conditions name some that it does not have.
fn is_true(expr: &tcc_trace::predicate::syntax::Expr, event: &Value) -> bool {
    truth(expr, event) == Some(true)
}

#[test]
fn operators_by_record() {
    operators("record");
}

#[test]
fn operators_by_sock() {
    operators("sock");
}

#[test]
fn operators_by_raw() {
    operators("raw");
}

#[test]
fn several_by_sock() {
    check("sock", SEVERAL);
}

/// Sets of flags, which only packets have: the condition, and whether it holds for a packet with these.
type OfFlags = (&'static str, fn(&[&str]) -> bool);
const OF_FLAGS: [OfFlags; 4] = [
    ("flags has 'PSH|ACK'", |flags| flags.contains(&"PSH") && flags.contains(&"ACK")),
    ("flags == 'SYN'", |flags| flags == ["SYN"]),
    ("flags in ('SYN', 'ACK')", |flags| flags == ["SYN"] || flags == ["ACK"]),
    ("!(flags has 'ACK')", |flags| !flags.contains(&"ACK")),
];

/// The packets, in a form in which those of two tracers compare.
fn packets<'e>(events: impl Iterator<Item = &'e Value>) -> Vec<String> {
    let names = ["saddr", "sport", "daddr", "dport", "seq", "data_len", "flags"];
    let packet = |event: &Value| names.map(|name| event[name].to_string()).join(" ");
    let mut packets: Vec<String> = events.map(packet).collect();
    packets.sort();
    packets
}

fn flags(reader: Reader) {
    need!(is_root(), "not root");
    turns(|| {
        let mut fixture = Fixture::new();
        fixture.listen();
        let tcc = Tcc::events(&["queue"]).reader(reader).ports(&[fixture.port]);
        let all = tcc.start();
        let parts = OF_FLAGS.map(|(condition, _)| tcc.clone().option("--where", condition).start());
        fixture.exchange();
        fixture.settle();
        let all = all.stop();
        let parts = parts.map(Tracer::stop);
        std::iter::once(&all).chain(&parts).try_for_each(check_whole)?;
        for ((condition, holds), part) in OF_FLAGS.iter().zip(&parts) {
            let held = all
                .events
                .iter()
                .filter(|event| holds(&text(event, "flags").split('|').collect::<Vec<_>>()));
            let held = packets(held);
            assert!(!held.is_empty() && held.len() < all.events.len(), "{condition}");
            assert_eq!(packets(part.events.iter()), held, "{condition}: {}", part.end);
        }
        Ok(())
    });
}

#[test]
fn flags_by_sock() {
    flags(Reader::Sock);
}

#[test]
fn flags_by_raw() {
    flags(Reader::Raw);
}
