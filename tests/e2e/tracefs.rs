//! Every standard field of every event equals what the kernel's own trace prints for the same call.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::Value;

use crate::support::{
    Ftrace, Launch, Netns, Seen, Server, Trace, Tracer, compared, is_root, text, traffic,
    traffic_in, u64_of,
};

/// What both sides tell of a call, in a form in which equal is equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Call {
    cookie: u64,
    local: (String, u64),
    peer: (String, u64),
    family: &'static str,
    mark: u64,
    /// The kernel's record has 16 bits for it.
    data_len: u64,
    snd_nxt: u64,
    snd_una: u64,
    snd_cwnd: u64,
    ssthresh: Option<u64>,
    snd_wnd: u64,
    srtt_us: Option<u64>,
    rcv_wnd: u64,
}

impl Call {
    fn theirs(seen: &Seen) -> Self {
        Call {
            cookie: seen.cookie,
            local: (seen.local.ip().to_string(), seen.local.port().into()),
            peer: (seen.peer.ip().to_string(), seen.peer.port().into()),
            family: if seen.peer.is_ipv4() { "ipv4" } else { "ipv6" },
            mark: seen.mark,
            data_len: seen.data_len,
            snd_nxt: seen.snd_nxt,
            snd_una: seen.snd_una,
            snd_cwnd: seen.snd_cwnd,
            ssthresh: (seen.ssthresh != 0x7fff_ffff).then_some(seen.ssthresh),
            snd_wnd: seen.snd_wnd,
            srtt_us: (seen.srtt != 0).then_some(seen.srtt),
            rcv_wnd: seen.rcv_wnd,
        }
    }

    fn ours(event: &Value, reader: &str) -> Self {
        let n = |key: &str| u64_of(event, key);
        let unset = |key: &str| {
            if event[key].is_null() { None } else { Some(n(key)) }
        };
        if reader == "record" {
            assert!(n("data_len") < 65536, "{event}");
        }
        let in_flight = (n("snd_nxt") as u32).wrapping_sub(n("snd_una") as u32);
        assert_eq!(n("bytes_in_flight"), u64::from(in_flight), "{event}");
        Call {
            cookie: n("cookie"),
            local: (text(event, "saddr").into(), n("sport")),
            peer: (text(event, "daddr").into(), n("dport")),
            family: if text(event, "family") == "ipv4" { "ipv4" } else { "ipv6" },
            mark: n("mark"),
            data_len: n("data_len") % 65536,
            snd_nxt: n("snd_nxt"),
            snd_una: n("snd_una"),
            snd_cwnd: n("snd_cwnd"),
            ssthresh: unset("ssthresh"),
            snd_wnd: n("snd_wnd"),
            srtt_us: unset("srtt_us"),
            rcv_wnd: n("rcv_wnd"),
        }
    }
}

/// Every call that the kernel tells is among our events with all values equal, or accounted for as lost (the kernel does
/// not run a program that it has interrupted), or may have been hidden from us; and no event of ours is one that the kernel
/// does not tell. In each connection they come in the same order.
#[track_caller]
fn compare(trace: &Trace, seen: &[Seen], reader: &str) -> Share {
    trace.check_account();
    assert!(seen.len() > 100, "too little traffic to say anything: {}", seen.len());
    let sure = seen.iter().filter(|seen| !seen.maybe_unseen).count();
    assert!(u64_of(&trace.end, "seen") >= sure as u64, "{} < {sure}", trace.end);

    let mut ours: BTreeMap<u64, Vec<Call>> = BTreeMap::new();
    for event in &trace.events {
        ours.entry(u64_of(event, "cookie")).or_default().push(Call::ours(event, reader));
    }
    let mut theirs: BTreeMap<u64, Vec<(Call, bool)>> = BTreeMap::new();
    for seen in seen {
        let call = (Call::theirs(seen), seen.maybe_unseen);
        theirs.entry(seen.cookie).or_default().push(call);
    }
    assert!(ours.keys().eq(theirs.keys()), "cookies: {:?} {:?}", ours.keys(), theirs.keys());
    let mut missing = 0;
    for (cookie, theirs) in &theirs {
        let mut ours = ours[cookie].iter().peekable();
        for (call, maybe_unseen) in theirs {
            if ours.peek() == Some(&call) {
                ours.next();
            } else {
                missing += u64::from(!maybe_unseen);
                eprintln!("the kernel has {call:?}\n   we have next {:?}", ours.peek());
            }
        }
        assert_eq!(
            ours.next(),
            None,
            "the kernel does not tell this one, or it differs from what it tells"
        );
    }
    // Twelve values of each, beside the cookie.
    compared(trace.events.len(), 12 * trace.events.len());
    let lost = u64_of(&trace.end, "lost");
    assert!(missing <= lost, "{missing} are missing, {lost} are accounted for as lost");
    Share { missing, all: seen.len() as u64 }
}

/// How many of the kernel's calls are not among ours.
#[derive(Default)]
struct Share {
    missing: u64,
    all: u64,
}

impl Share {
    fn add(&mut self, other: Share) {
        self.missing += other.missing;
        self.all += other.all;
    }

    /// At least 999 of 1000 are there.
    #[track_caller]
    fn check(&self, reader: &str) {
        let Share { missing, all } = self;
        let _ = writeln!(std::io::stderr(), "{reader}: {missing} of {all} are missing");
        assert!(missing * 1000 <= *all, "{missing} of {all} are missing");
    }
}

/// Some of everything: bulk both ways, ping-pong, several connections.
fn make_traffic(to: &str) {
    traffic(&["bulk", "--to", to, "--bytes", "3000000", "--parallel", "2"]);
    traffic(&["bulk", "--to", to, "--bytes", "1000000", "--download"]);
    traffic(&[
        "pingpong",
        "--to",
        to,
        "--count",
        "300",
        "--interval",
        "1ms",
        "--request",
        "100",
        "--response",
        "3000",
    ]);
}

fn check(reader: &str, transport: &str) {
    need!(is_root(), "not root");
    let mut share = Share::default();
    for (listen, to) in
        [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "[::1]"), ("[::]:0", "[::ffff:127.0.0.1]")]
    {
        let server = Server::start(listen, None);
        let ftrace = Ftrace::start(server.port());
        let launch = Launch::here().with_tracefs();
        let args = ["--reader", reader, "--transport", transport, "--port", &server.port_text()];
        let tracer = Tracer::start_in(&launch, &args);
        make_traffic(&format!("{to}:{}", server.port()));
        server.settle();
        let trace = tracer.stop();
        share.add(compare(&trace, &ftrace.seen(), reader));
        let how = if transport == "ringbuf" { "ring buffer" } else { "perf buffers" };
        assert!(trace.stderr.contains(&format!("(reader {reader}, {how} of ")), "{}", trace.stderr);
        let family = if to == "[::1]" { "ipv6" } else { "ipv4" };
        assert!(trace.events.iter().all(|event| event["family"] == family));
    }
    share.check(reader);
}

#[test]
fn record_by_ringbuf_equals_the_kernels_trace() {
    check("record", "ringbuf");
}

#[test]
fn record_by_perfbuf_equals_the_kernels_trace() {
    check("record", "perfbuf");
}

#[test]
fn sock_by_ringbuf_equals_the_kernels_trace() {
    check("sock", "ringbuf");
}

#[test]
fn sock_by_perfbuf_equals_the_kernels_trace() {
    check("sock", "perfbuf");
}

#[test]
fn raw_by_ringbuf_equals_the_kernels_trace() {
    check("raw", "ringbuf");
}

#[test]
fn raw_by_perfbuf_equals_the_kernels_trace() {
    check("raw", "perfbuf");
}

/// The mark is the packet's: it arrives with it where nothing is between, so it is the peer's SO_MARK or its rule's.
#[test]
fn marks_equal_the_kernels_trace() {
    need!(is_root(), "not root");
    for reader in ["record", "sock", "raw"] {
        let ns = Netns::new();
        ns.firewall(
            "output",
            &[
                "tcp dport != 1 tcp sport 1-32767 meta mark set 0x4d",
                "tcp sport 32768-65535 meta mark set 0xdeadbeef",
            ],
        );
        let server = Server::start_in(&ns.launch(), "127.0.0.1:9001", None);
        let ftrace = Ftrace::start(server.port());
        let launch = Launch::here().with_tracefs();
        let tracer = Tracer::start_in(&launch, &["--reader", reader, "--port", "9001"]);
        traffic_in(
            &ns.launch(),
            &["pingpong", "--to", "127.0.0.1:9001", "--count", "100", "--interval", "1ms"],
        );
        server.settle();
        let trace = tracer.stop();
        compare(&trace, &ftrace.seen(), reader).check(reader);
        for event in &trace.events {
            let expected = if event["sport"] == 9001 { 0xdead_beef_u64 } else { 0x4d };
            assert_eq!(event["mark"], expected, "{event}");
        }
    }
}
