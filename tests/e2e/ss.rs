//! Every value that `ss -tinmoe` shows of an idle socket is the one in the socket's next sample.
//!
//! Nothing happens to the socket between the two: the peer sends a byte, and a sample is the state before its packet.

use std::ops::RangeInclusive;

use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

use crate::support::{
    Launch, Netns, Ss, TestProcess, Tracer, cells, guest, has_cc, is_root, u64_of, wait_for,
};

/// ss's name, which of its numbers, ours, how many of ours make one of theirs, and what it is where ss shows nothing.
const NUMBERS: &[(&str, usize, &str, f64, Option<f64>)] = &[
    ("wscale", 0, "snd_wscale", 1.0, None),
    ("wscale", 1, "rcv_wscale", 1.0, None),
    ("rto", 0, "rto_us", 1e3, None),
    ("rtt", 0, "srtt_us", 1e3, None),
    ("rtt", 1, "mdev_us", 1e3, None),
    ("ato", 0, "ato_us", 1e3, Some(0.0)),
    ("mss", 0, "mss", 1.0, None),
    ("pmtu", 0, "pmtu", 1.0, None),
    ("rcvmss", 0, "rcv_mss", 1.0, None),
    ("advmss", 0, "advmss", 1.0, None),
    ("cwnd", 0, "snd_cwnd", 1.0, None),
    ("bytes_sent", 0, "bytes_sent", 1.0, Some(0.0)),
    ("bytes_retrans", 0, "bytes_retrans", 1.0, Some(0.0)),
    ("bytes_acked", 0, "bytes_acked", 1.0, Some(0.0)),
    ("bytes_received", 0, "bytes_received", 1.0, Some(0.0)),
    ("segs_out", 0, "segs_out", 1.0, Some(0.0)),
    ("data_segs_out", 0, "data_segs_out", 1.0, Some(0.0)),
    ("backoff", 0, "backoff", 1.0, Some(0.0)),
    ("pacing_rate", 0, "pacing_rate", 0.125, None),
    ("delivery_rate", 0, "delivery_rate", 0.125, None),
    ("delivered", 0, "delivered", 1.0, None),
    ("delivered_ce", 0, "delivered_ce", 1.0, Some(0.0)),
    ("busy", 0, "busy_us", 1e3, Some(0.0)),
    ("rwnd_limited", 0, "rwnd_limited_us", 1e3, Some(0.0)),
    ("sndbuf_limited", 0, "sndbuf_limited_us", 1e3, Some(0.0)),
    ("unacked", 0, "packets_out", 1.0, Some(0.0)),
    ("retrans", 0, "retrans_out", 1.0, Some(0.0)),
    ("retrans", 1, "total_retrans", 1.0, Some(0.0)),
    ("lost", 0, "lost_out", 1.0, Some(0.0)),
    ("sacked", 0, "sacked_out", 1.0, Some(0.0)),
    ("dsack_dups", 0, "dsack_dups", 1.0, Some(0.0)),
    ("reordering", 0, "reordering", 1.0, Some(3.0)),
    ("reord_seen", 0, "reord_seen", 1.0, Some(0.0)),
    ("rcv_rtt", 0, "rcv_rtt_us", 1e3, Some(0.0)),
    ("rcv_space", 0, "rcv_space", 1.0, None),
    ("rcv_ssthresh", 0, "rcv_ssthresh", 1.0, None),
    ("notsent", 0, "notsent_bytes", 1.0, Some(0.0)),
    ("minrtt", 0, "min_rtt_us", 1e3, None),
    ("rcv_ooopack", 0, "rcv_ooopack", 1.0, Some(0.0)),
    ("snd_wnd", 0, "snd_wnd", 1.0, None),
    ("skmem.r", 0, "rmem_alloc", 1.0, None),
    ("skmem.rb", 0, "rcvbuf", 1.0, None),
    ("skmem.tb", 0, "sndbuf", 1.0, None),
    ("skmem.f", 0, "forward_alloc", 1.0, None),
    ("skmem.w", 0, "wmem_queued", 1.0, None),
    ("skmem.o", 0, "omem_alloc", 1.0, None),
    ("skmem.d", 0, "drops", 1.0, None),
    ("ino", 0, "ino", 1.0, None),
    ("uid", 0, "uid", 1.0, Some(0.0)),
];

/// The algorithms' own state, where it is known.
const STATE: &[(&str, &str, f64)] = &[
    ("bbr.bw", "bbr.bw", 0.125),
    ("bbr.mrtt", "bbr.min_rtt_us", 1e3),
    ("bbr.pacing_gain", "bbr.pacing_gain", 1.0),
    ("bbr.cwnd_gain", "bbr.cwnd_gain", 1.0),
    ("dctcp.ce_state", "dctcp.ce_state", 1.0),
    ("dctcp.alpha", "dctcp.alpha", 1.0 / 1024.0),
];

/// What a packet of one byte occupies at most (its truesize), in bytes.
const ONE_PACKET: u64 = 2304;

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or(value.as_bool().map(|flag| f64::from(u8::from(flag))))
}

fn differences(ss: &Ss, sample: &Value, cc: &str) -> Vec<String> {
    let cells = cells(sample);
    let mut wrong = Vec::new();
    let mut same = |column: &str, theirs: f64, unit: f64| {
        let ours = number(&cells[column]).unwrap_or(0.0);
        // ss shows six digits.
        if (ours - theirs * unit).abs() > theirs.abs() * unit * 1e-5 {
            wrong.push(format!("{column} is {}, ss: {theirs} of {unit}", cells[column]));
        }
    };
    for &(name, index, column, unit, unset) in NUMBERS {
        let theirs = ss.numbers(name).and_then(|numbers| numbers.get(index).copied()).or(unset);
        let theirs = theirs.unwrap_or_else(|| panic!("no {name} in {}", ss.text));
        same(column, theirs, unit);
    }
    for &(name, column, unit) in
        STATE.iter().filter(|(name, ..)| name.starts_with(&format!("{cc}.")))
    {
        let theirs = ss.number(name).unwrap_or_else(|| panic!("no {name} in {}", ss.text));
        // Also where modules have no BTF (before 5.11): mainline's layout is known.
        same(column, theirs, unit);
    }
    // The byte that asks for the sample is counted before TCP looks at it.
    same("segs_in", ss.number("segs_in").unwrap_or(0.0) + 1.0, 1.0);
    same("data_segs_in", ss.number("data_segs_in").unwrap_or(0.0) + 1.0, 1.0);
    // The reference that the socket itself holds.
    same("wmem_alloc", ss.number("skmem.t").expect("skmem") + 1.0, 1.0);
    if let Some(ssthresh) = ss.number("ssthresh") {
        same("snd_ssthresh", ssthresh, 1.0);
    }
    // What came while a process held the socket is counted until that process is through with all of it: the byte that
    // asks for the sample may be such a packet, and it alone.
    let backlog_len = cells["backlog_len"].as_u64();
    if ss.number("skmem.bl") != Some(0.0) || backlog_len.is_none_or(|bytes| bytes > ONE_PACKET) {
        wrong.push(format!("backlog_len is {}", cells["backlog_len"]));
    }
    let cookie = ss.get("sk").and_then(|text| u64::from_str_radix(text, 16).ok());
    let flags = [
        ("cookie", cookie.into()),
        ("ca_name", cc.into()),
        ("tstamp_ok", ss.has("ts").into()),
        ("sack_ok", ss.has("sack").into()),
        ("ecn", if ss.has("ecn") { "ecn" } else { "off" }.into()),
        ("ecn_seen", ss.has("ecnseen").into()),
        ("app_limited", ss.has("app_limited").into()),
        ("timer", Value::Null),
    ];
    for (column, theirs) in flags {
        if cells[column] != theirs {
            wrong.push(format!("{column} is {}, ss: {theirs}", cells[column]));
        }
    }
    wrong
}

/// CLOCK_MONOTONIC.
fn now_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000
}

/// Since ss looked, as much time has passed for each of these; ticks may come late.
fn time_differences(ss: &Ss, looked: &RangeInclusive<u64>, sample: &Value) -> Vec<String> {
    const LATE: u64 = 100_000;
    let now = u64_of(sample, "mono_ns") / 1000;
    let (least, most) = (now - looked.end(), now - looked.start());
    let names = [
        ("lastsnd", "last_data_sent_us"),
        ("lastrcv", "last_data_recv_us"),
        ("lastack", "last_ack_recv_us"),
    ];
    let differs = |&(name, column): &(&str, &str)| {
        let theirs = ss.number(name).expect("idle") as u64 * 1000;
        let ours = u64_of(sample, column);
        let right = ours + LATE >= theirs + least && ours <= theirs + most + LATE;
        (!right).then(|| format!("{column} is {ours}, expected {theirs} and {least} to {most}"))
    };
    names.iter().filter_map(differs).collect()
}

/// Nothing is on its way, and no delayed ACK (at most 200 ms) is due.
fn idle(ss: &Ss) -> bool {
    let long_ago = |name| ss.number(name).is_some_and(|ms| ms > 250.0);
    !ss.has("unacked")
        && !ss.has("timer")
        && long_ago("lastsnd")
        && long_ago("lastrcv")
        && long_ago("lastack")
}

#[track_caller]
fn check(reader: &str, cc: &str, port: u16) {
    let ns = Netns::new();
    ns.run(&["ip", "link", "set", "lo", "mtu", "1500"]);
    ns.run(&["sh", "-c", "echo 1 >/proc/sys/net/ipv4/tcp_ecn"]);
    // Some packets are marked and some get lost.
    let packets = "tcp flags != syn / syn,ack numgen random mod 100";
    ns.firewall(
        "input",
        &[
            &format!("{packets} < 20 ip ecn != not-ect ip ecn set ce"),
            &format!("{packets} < 2 drop"),
        ],
    );
    let (mut client, mut server) =
        (TestProcess::start_in(&ns.launch()), TestProcess::start_in(&ns.launch()));
    for process in [&mut client, &mut server] {
        process.use_cc(cc);
    }
    let addr = server.listen(&format!("127.0.0.1:{port}"));
    let ours = client.connect("a", addr);
    server.accept("a");
    client.transfer("a", &mut server, 2_000_000);
    server.transfer("a", &mut client, 500_000);
    ns.nft("flush ruleset");
    for _ in 0..20 {
        client.transfer("a", &mut server, 100);
        server.transfer("a", &mut client, 100);
    }
    let (ss, peer, since) = wait_for("an idle connection", || {
        let since = now_us();
        let peer = Ss::of(&ns, port, ours.local.port());
        let ss = Ss::of(&ns, ours.local.port(), port);
        (idle(&ss) && idle(&peer)).then_some((ss, peer, since..=now_us()))
    });
    let netns = ns.inode().to_string();
    let cookie = ours.cookie.to_string();
    let args = ["--all-fields", "--reader", reader, "--netns", &netns, "--cookie", &cookie];
    let tracer = Tracer::start_in(&Launch::here().with_tracefs(), &args);
    server.transfer("a", &mut client, 1);
    tracer.wait_events("the sample", |events| !events.is_empty());
    let trace = tracer.stop();
    trace.check_account();
    let mut wrong = differences(&ss, &trace.events[0], cc);
    wrong.extend(time_differences(&ss, &since, &trace.events[0]));
    // The window that we announced is the one that the peer has.
    if trace.events[0]["rcv_wnd"].as_f64() != peer.number("snd_wnd") {
        wrong.push(format!("rcv_wnd, the peer's ss: {}", peer.text));
    }
    assert!(wrong.is_empty(), "{cc}: {}\n{}\n{}", wrong.join("\n"), ss.text, trace.events[0]);
}

#[test]
fn cubic_sockets_are_what_ss_shows() {
    need!(is_root(), "not root");
    check("sock", "cubic", 9010);
    check("raw", "cubic", 9010);
}

#[test]
fn reno_sockets_are_what_ss_shows() {
    need!(is_root(), "not root");
    check("sock", "reno", 9011);
    check("raw", "reno", 9011);
}

#[test]
fn bbr_sockets_are_what_ss_shows() {
    need!(is_root(), "not root");
    need!(has_cc("bbr"), "this kernel has no bbr", legitimate: !guest());
    check("sock", "bbr", 9012);
    check("raw", "bbr", 9012);
}

#[test]
fn dctcp_sockets_are_what_ss_shows() {
    need!(is_root(), "not root");
    need!(has_cc("dctcp"), "this kernel has no dctcp", legitimate: !guest());
    check("sock", "dctcp", 9013);
    check("raw", "dctcp", 9013);
}
