//! Every column that `struct tcp_info` has too equals what `getsockopt(TCP_INFO)` told the application.
//!
//! A sample is the state before its packet is processed. So the first sample of the client's socket after reply i is
//! the state that `TCP_INFO` gave after reply i, changed by one thing only: request i+1 was sent. What that changes is
//! written down here, member by member; everything else must be equal.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{
    Launch, Netns, Pingpong, Server, Trace, Tracer, has_cc, is_root, kernel, u64_of,
};

/// Ours, theirs, and what a null of ours is there.
type Same = (&'static str, &'static str, Option<u64>);

/// What sending a request does not touch.
const SAME: &[Same] = &[
    ("snd_ssthresh", "tcpi_snd_ssthresh", Some(0x7fff_ffff)),
    ("snd_cwnd", "tcpi_snd_cwnd", None),
    ("srtt_us", "tcpi_rtt", Some(0)),
    ("mdev_us", "tcpi_rttvar", None),
    ("min_rtt_us", "tcpi_min_rtt", Some(0xffff_ffff)),
    ("rto_us", "tcpi_rto", None),
    ("mss", "tcpi_snd_mss", None),
    ("advmss", "tcpi_advmss", None),
    ("rcv_mss", "tcpi_rcv_mss", None),
    ("pmtu", "tcpi_pmtu", None),
    ("backoff", "tcpi_backoff", None),
    ("retransmits", "tcpi_retransmits", None),
    ("probes_out", "tcpi_probes", None),
    ("retrans_out", "tcpi_retrans", None),
    ("sacked_out", "tcpi_sacked", None),
    ("lost_out", "tcpi_lost", None),
    ("total_retrans", "tcpi_total_retrans", None),
    ("reordering", "tcpi_reordering", None),
    ("reord_seen", "tcpi_reord_seen", None),
    ("dsack_dups", "tcpi_dsack_dups", None),
    ("delivered", "tcpi_delivered", None),
    ("delivered_ce", "tcpi_delivered_ce", None),
    ("delivery_rate", "tcpi_delivery_rate", Some(0)),
    ("max_pacing_rate", "tcpi_max_pacing_rate", Some(u64::MAX)),
    ("bytes_acked", "tcpi_bytes_acked", None),
    ("bytes_received", "tcpi_bytes_received", None),
    ("bytes_retrans", "tcpi_bytes_retrans", None),
    ("notsent_bytes", "tcpi_notsent_bytes", None),
    ("rcv_ssthresh", "tcpi_rcv_ssthresh", None),
    ("rcv_rtt_us", "tcpi_rcv_rtt", Some(0)),
    ("rcv_space", "tcpi_rcv_space", None),
    ("rcv_ooopack", "tcpi_rcv_ooopack", None),
    ("rwnd_limited_us", "tcpi_rwnd_limited", None),
    ("sndbuf_limited_us", "tcpi_sndbuf_limited", None),
    ("snd_wnd", "tcpi_snd_wnd", None),
    ("timeout_rehash", "tcpi_rehash", None),
];

const TIMESTAMPS: u64 = 1;
const SACK: u64 = 2;
const WSCALE: u64 = 4;
const ECN: u64 = 8;
const ECN_SEEN: u64 = 16;
const TSQ_THROTTLED: u64 = 1;
const TSQ_QUEUED: u64 = 2;
/// Ticks of an emulated CPU come late.
const LATE_TICKS_US: u64 = 200_000;
/// TCP_ATO_MIN, in every CONFIG_HZ.
const ATO_MIN_US: u64 = 40_000;

/// A comparison of one sample with one `TCP_INFO`, and how many of them there were.
struct Compared {
    pairs: usize,
    values: usize,
    /// Pairs whose sample is of a packet before the next request.
    early: usize,
    /// By pair.
    wrong: BTreeMap<usize, Vec<String>>,
}

impl Compared {
    fn check(&mut self, column: &str, ours: u64, right: bool, expected: impl std::fmt::Display) {
        self.values += 1;
        if !right {
            self.wrong(format!("{column} is {ours}, expected {expected}"));
        }
    }

    fn wrong(&mut self, what: String) {
        self.wrong.entry(self.pairs).or_default().push(what);
    }

    fn equal(&mut self, column: &str, ours: u64, expected: u64) {
        self.check(column, ours, ours == expected, expected);
    }
}

/// Ping-pong over the loopback of a namespace, as the case says; every reply's `TCP_INFO` against the next sample.
pub struct Case {
    pub pingpong: Pingpong,
    /// Of a hundred packets, so many are dropped before TCP sees them.
    pub loss: u32,
}

impl Case {
    #[track_caller]
    fn run(&self, reader: &str) {
        let ns = Netns::new();
        if self.loss > 0 {
            let rule =
                format!("tcp flags != syn / syn,ack numgen random mod 100 < {} drop", self.loss);
            ns.firewall("input", &[&rule]);
        }
        let server = Server::start_in(&ns.launch(), "127.0.0.1:9000", Some(self.pingpong.cc));
        let inode = ns.inode().to_string();
        let args = ["--all-fields", "--reader", reader, "--port", "9000", "--netns", &inode];
        let tracer = Tracer::start_in(&Launch::here().with_tracefs(), &args);
        let lines = self.pingpong.run_in(&ns.launch(), server.addr);
        let trace = tracer.stop();
        trace.check_account();
        self.compare_all(&lines, &trace, server.port(), 0);
    }

    /// `lines`: what the client printed; `hidden`: so many samples may have been hidden from the trace.
    #[track_caller]
    pub fn compare_all(&self, lines: &[Value], trace: &Trace, port: u16, hidden: u64) {
        let infos: Vec<&Value> = lines.iter().filter(|line| line["type"] == "tcp_info").collect();
        assert_eq!(infos.len(), self.pingpong.count);
        let cookie = u64_of(infos[0], "cookie");
        let client = trace.of_cookie(cookie);
        let server: Vec<&Value> =
            trace.events.iter().filter(|event| event["sport"] == port).collect();
        let mut compared = Compared { pairs: 0, values: 0, early: 0, wrong: BTreeMap::new() };
        for (at, info) in infos[..infos.len() - 1].iter().enumerate() {
            let before = at.checked_sub(1).map(|before| infos[before]);
            self.compare(before, info, &client, &server, &mut compared);
        }
        crate::support::compared(compared.pairs, compared.values);
        // Where the kernel skipped the program (see `lost`), a sample is not the first since.
        let (wrong, lost) = (&compared.wrong, u64_of(&trace.end, "lost") + hidden);
        assert!(
            wrong.len() as u64 <= lost,
            "{lost} lost, but of {} wrong: {wrong:#?}",
            compared.pairs
        );
        assert!(
            self.loss > 0 || compared.early * 10 <= compared.pairs,
            "{} of {} before the request",
            compared.early,
            compared.pairs
        );
        assert!(
            compared.pairs * 2 > self.pingpong.count,
            "only {} of {} could be compared",
            compared.pairs,
            self.pingpong.count
        );
    }

    fn compare(
        &self,
        before: Option<&Value>,
        info: &Value,
        client: &[&Value],
        server: &[&Value],
        compared: &mut Compared,
    ) {
        let after = |event: &&&Value| u64_of(event, "mono_ns") > u64_of(info, "mono_ns");
        let sample = client.iter().find(after).unwrap_or_else(|| panic!("no sample after {info}"));
        let n = |key: &str| u64_of(sample, key);
        let i = |key: &str| u64_of(info, key);
        // A timer fired: then more happened than the sending of the request.
        if n("total_retrans") != i("tcpi_total_retrans") {
            return;
        }
        compared.pairs += 1;
        for &(column, member, unset) in SAME {
            // A large request is not yet written, let alone sent, when its first ACK comes.
            let writing =
                ["notsent_bytes", "rwnd_limited_us", "sndbuf_limited_us"].contains(&column);
            if writing && self.pingpong.request > 65536 {
                continue;
            }
            let theirs = info[member].as_u64();
            match (sample[column].as_u64().or(unset), theirs) {
                // The kernel's tcp_info, or the kernel, does not have it.
                (_, None) | (None, _) if kernel() < (6, 2) && member == "tcpi_rehash" => {}
                (Some(ours), Some(theirs)) => compared.equal(column, ours, theirs),
                (ours, theirs) => panic!("{column} is {ours:?}, {member} is {theirs:?}"),
            }
        }
        self.compare_names(sample, info, compared);

        // What the request changes, and how many of its segments the server received.
        let end = n("mono_ns");
        let arrived: Vec<&&Value> = server
            .iter()
            .filter(after)
            .take_while(|event| u64_of(event, "mono_ns") < end)
            .collect();
        let with_data = arrived.iter().filter(|event| event["data_len"] != 0).count() as u64;
        let repeats = |at: Option<&&Value>| at.map_or(0, |event| u64_of(event, "total_retrans"));
        let later = server.iter().find(|event| u64_of(event, "mono_ns") > end);
        let repeated =
            repeats(server.iter().rfind(|event| !after(event))) != repeats(later.or(server.last()));
        if self.pingpong.request < 1000 {
            // A repeated response may come before the next request is sent, of which the server has seen nothing then.
            let early = n("bytes_sent") == i("tcpi_bytes_sent");
            compared.early += usize::from(early);
            let requests = u64::from(!early);
            for (column, member, each) in [
                ("bytes_sent", "tcpi_bytes_sent", self.pingpong.request),
                ("data_segs_out", "tcpi_data_segs_out", 1),
                ("packets_out", "tcpi_unacked", 1),
            ] {
                compared.equal(column, n(column), i(member) + requests * each);
            }
            if !early {
                self.compare_sending(sample, info, compared);
            }
            // A copy of an earlier request may still have been on its way.
            if self.loss == 0 && !(early && n("total_retrans") > 0) {
                compared.equal("data segments at the server", with_data, requests);
                // Of the ACKs that the server saw since, some may have been on their way; one may have left between the
                // reading of TCP_INFO and that of the clock.
                let (most, ours) = (arrived.len() as u64 + 1, n("segs_out") - i("tcpi_segs_out"));
                compared.check("segs_out", ours, (requests..=most).contains(&ours), most);
            }
        }
        // The IP layer counts a segment before TCP processes it. If the sample is a bare ACK, the response may already wait
        // behind it.
        if self.pingpong.response < 1000
            && self.pingpong.request < 1000
            && self.loss == 0
            && !repeated
        {
            if let Some(before) = before.filter(|before| before["tcpi_total_retrans"] == 0) {
                compare_last_rtt(sample, before, info, compared);
            }
            let with_data = u64::from(n("data_len") > 0);
            let waiting = 0..=1 - with_data;
            for (column, member, own) in
                [("segs_in", "tcpi_segs_in", 1), ("data_segs_in", "tcpi_data_segs_in", with_data)]
            {
                let (ours, expected) = (n(column), i(member) + own);
                let right = ours >= expected && waiting.contains(&(ours - expected));
                compared.check(column, ours, right, expected);
            }
        }
        // The clock of being busy runs since the request left, in ticks that may come late.
        let (busy, since) = (i("tcpi_busy_time"), (end - i("mono_ns")) / 1000);
        let ours = n("busy_us");
        compared.check("busy_us", ours, (busy..=busy + since + 1_000_000).contains(&ours), busy);
        // Sending ends the quick ACKs of a connection's beginning, which sets it.
        let (ato, ours) = (i("tcpi_ato"), n("ato_us"));
        compared.check("ato_us", ours, ours == ato || ours == ATO_MIN_US, ato);
        // BBR paces anew where it restarts from idle.
        let (rate, ours) =
            (i("tcpi_pacing_rate"), sample["pacing_rate"].as_u64().unwrap_or(u64::MAX));
        let restart = self.pingpong.cc == "bbr" && sample["bbr"]["mode"] != "STARTUP";
        compared.check("pacing_rate", ours, ours == rate || restart, rate);
    }

    /// The small request is on its way, and nothing stops it.
    fn compare_sending(&self, sample: &Value, info: &Value, compared: &mut Compared) {
        let n = |key: &str| u64_of(sample, key);
        let (sent_after, end) = (u64_of(info, "mono_ns"), n("mono_ns"));
        let elapsed = n("chrono_elapsed_us");
        let most = (end - sent_after) / 1000 + LATE_TICKS_US;
        compared.check("chrono_elapsed_us", elapsed, elapsed <= most, most);
        // BBR paces: then it is when the next segment may leave.
        let paced = self.pingpong.cc == "bbr";
        let departure = n("tcp_wstamp_ns");
        let right = departure > sent_after && (paced || departure < end);
        compared.check("tcp_wstamp_ns", departure, right, format!("{sent_after} to {end}"));
        compared.equal("tsq_flags", n("tsq_flags") & (TSQ_THROTTLED | TSQ_QUEUED), 0);
        for (column, expected) in [
            ("chrono_type", Value::from("busy")),
            ("pacing_status", if paced { "needed" } else { "none" }.into()),
            ("sock_nospace", false.into()),
        ] {
            compared.values += 1;
            if sample[column] != expected {
                compared.wrong(format!("{column} is {}, expected {expected}", sample[column]));
            }
        }
    }

    /// What is a name or a flag with us and a number with them.
    fn compare_names(&self, sample: &Value, info: &Value, compared: &mut Compared) {
        let i = |key: &str| u64_of(info, key);
        let states = ["Open", "Disorder", "CWR", "Recovery", "Loss"];
        let mut same = |column: &str, expected: Value| {
            if sample[column] != expected {
                compared.wrong(format!("{column} is {}, expected {expected}", sample[column]));
            }
        };
        let option = |bit| i("tcpi_options") & bit != 0;
        same("state", "ESTABLISHED".into());
        same("ca_state", states[i("tcpi_ca_state") as usize].into());
        same("ca_name", self.pingpong.cc.into());
        same("app_limited", (i("tcpi_delivery_rate_app_limited") != 0).into());
        same("tstamp_ok", option(TIMESTAMPS).into());
        same("sack_ok", option(SACK).into());
        same("ecn", if option(ECN) { "ecn" } else { "off" }.into());
        same("ecn_seen", option(ECN_SEEN).into());
        assert!(option(WSCALE));
        same("snd_wscale", i("tcpi_snd_wscale").into());
        same("rcv_wscale", i("tcpi_rcv_wscale").into());
    }
}

/// The smoothed RTT moves by an eighth of the difference, so its two values have the sample between them, up to what rounding
/// down cuts off (tcp_rtt_estimator()). Once a segment was sent again, the sample may be one by timestamps, which are of whole ms
/// (tcp_ack_update_rtt()), while RACK has the time since it was sent last.
fn compare_last_rtt(sample: &Value, before: &Value, info: &Value, compared: &mut Compared) {
    let [before, now] = [before, info].map(|info| u64_of(info, "tcpi_rtt") as i64);
    let expected = 8 * now - 7 * before;
    let ours = u64_of(sample, "rack_rtt_us");
    let most = if u64_of(info, "tcpi_total_retrans") > 0 { 1_007 } else { 7 };
    compared.check("rack_rtt_us", ours, (ours as i64 - expected).abs() <= most, expected);
}

#[test]
fn large_responses_equal_tcp_info() {
    need!(is_root(), "not root");
    for (reader, cc) in [("sock", "cubic"), ("raw", "reno")] {
        let pingpong =
            Pingpong { cc, request: 100, response: 300_000, count: 50, interval: "10ms" };
        Case { pingpong, loss: 0 }.run(reader);
    }
}

#[test]
fn large_requests_equal_tcp_info() {
    need!(is_root(), "not root");
    for (reader, cc) in [("sock", "cubic"), ("raw", "bbr")] {
        let pingpong =
            Pingpong { cc, request: 300_000, response: 100, count: 50, interval: "10ms" };
        Case { pingpong, loss: 0 }.run(reader);
    }
}

#[test]
fn with_loss_it_equals_tcp_info() {
    need!(is_root(), "not root");
    for (reader, cc) in [("sock", "cubic"), ("raw", "reno"), ("sock", "bbr")] {
        if has_cc(cc) {
            let pingpong =
                Pingpong { cc, request: 100, response: 100, count: 200, interval: "5ms" };
            Case { pingpong, loss: 5 }.run(reader);
        }
    }
}
