//! What each algorithm does on congestion, as its source has it, by the samples of a transfer that meets it.

use serde_json::Value;

use crate::support::{
    Launch, Netns, Server, Trace, Tracer, guest, has_cc, is_root, traffic_in, u64_of,
};

/// A transfer whose packets are marked and dropped now and then; the sender's samples.
#[track_caller]
fn congested(cc: &str) -> Vec<Value> {
    let ns = Netns::new();
    ns.run(&["ip", "link", "set", "lo", "mtu", "1500"]);
    ns.run(&["sh", "-c", "echo 1 >/proc/sys/net/ipv4/tcp_ecn"]);
    // By count, as chance may spare so few; odd, as data and ACKs may take turns.
    let packets = "tcp flags != syn / syn,ack numgen inc mod";
    ns.firewall(
        "input",
        &[
            &format!("{packets} 31 == 7 ip ecn != not-ect ip ecn set ce"),
            &format!("{packets} 61 == 23 drop"),
        ],
    );
    let server = Server::start_in(&ns.launch(), "127.0.0.1:9020", Some(cc));
    let netns = ns.inode().to_string();
    let args = ["--all-fields", "--netns", &netns, "--rport", "9020"];
    let tracer = Tracer::start_in(&Launch::here().with_tracefs(), &args);
    let to = server.addr.to_string();
    traffic_in(
        &ns.launch(),
        &["bulk", "--to", &to, "--cc", cc, "--bytes", "4000000", "--parallel", "2"],
    );
    let trace: Trace = tracer.stop();
    trace.check_account();
    trace.events
}

/// While it reduces cwnd: the samples in Recovery and CWR.
fn reducing(events: &[Value]) -> Vec<&Value> {
    let states = ["Recovery", "CWR"];
    let reducing: Vec<&Value> =
        events.iter().filter(|e| states.iter().any(|&s| e["ca_state"] == s)).collect();
    assert!(!reducing.is_empty(), "{} samples and no congestion", events.len());
    reducing
}

fn check_groups(events: &[Value], cc: &str) {
    for event in events {
        assert_eq!(event["ca_name"], cc);
        for group in ["cubic", "bbr", "dctcp"] {
            assert_eq!(event[group].is_null(), group != cc, "{group} in {event}");
        }
    }
}

/// `cubictcp_recalc_ssthresh()`: beta is 717/1024; a maximum below the last one counts (1024 + 717)/2048 of it.
#[test]
fn cubic_reduces_as_its_source_says() {
    need!(is_root(), "not root");
    let events = congested("cubic");
    check_groups(&events, "cubic");
    for event in reducing(&events) {
        let (cwnd, cubic) = (u64_of(event, "prior_cwnd"), &event["cubic"]);
        let (expected, ssthresh) = ((cwnd * 717 / 1024).max(2), u64_of(event, "snd_ssthresh"));
        // HyStart may find its exit during Recovery as well: hystart_update() then sets ssthresh to cwnd.
        let lowered = cubic["found"] == true && ssthresh < expected;
        assert!(ssthresh == expected || lowered, "{event}");
        assert_eq!(event["ssthresh"], event["snd_ssthresh"], "{event}");
        let max = u64_of(cubic, "last_max_cwnd");
        assert!(max == cwnd || max == cwnd * 1741 / 2048, "{event}");
        assert_eq!(cubic["epoch_start"], 0, "{event}");
    }
    // It never saw a smaller RTT than TCP did; both are of the same samples, in µs since 5.8.
    for event in events
        .iter()
        .filter(|event| event["cubic"]["delay_min_us"].as_u64().is_some_and(|us| us > 0))
    {
        let (cubic, tcp) = (u64_of(&event["cubic"], "delay_min_us"), u64_of(event, "min_rtt_us"));
        assert!(cubic >= tcp, "{event}");
    }
}

/// `tcp_reno_ssthresh()`: half.
#[test]
fn reno_reduces_as_its_source_says() {
    need!(is_root(), "not root");
    let events = congested("reno");
    check_groups(&events, "reno");
    for event in reducing(&events) {
        assert_eq!(event["snd_ssthresh"], (u64_of(event, "prior_cwnd") / 2).max(2), "{event}");
        assert_eq!(event["ssthresh"], event["snd_ssthresh"], "{event}");
    }
}

/// `bbr_update_gains()`, and `bbr_ssthresh()`, which leaves ssthresh as it is.
#[test]
fn bbr_has_the_gains_of_its_modes() {
    need!(is_root(), "not root");
    need!(has_cc("bbr"), "this kernel has no bbr", legitimate: !guest());
    let events = congested("bbr");
    check_groups(&events, "bbr");
    // 2/ln(2) and its inverse, in 256ths.
    let (high, drain) = (739.0 / 256.0, 88.0 / 256.0);
    // Before the first round the gains are what the handshake's ACK left, which comes before bbr_init().
    for event in events.iter().filter(|event| u64_of(&event["bbr"], "rtt_cnt") > 0) {
        let bbr = &event["bbr"];
        let gains = (bbr["pacing_gain"].as_f64(), bbr["cwnd_gain"].as_f64());
        let (Some(pacing), Some(cwnd)) = gains else { panic!("{event}") };
        let expected: (&[f64], f64) = match bbr["mode"].as_str() {
            Some("STARTUP") => (&[high], high),
            Some("DRAIN") => (&[drain], high),
            Some("PROBE_BW") => (&[1.25, 0.75, 1.0], 2.0),
            Some("PROBE_RTT") => (&[1.0], 1.0),
            _ => panic!("{event}"),
        };
        assert!(expected.0.contains(&pacing) && expected.1 == cwnd, "{event}");
        assert!(
            bbr["full_bw_reached"] == true
                || bbr["mode"] == "STARTUP"
                || bbr["mode"] == "PROBE_RTT",
            "{event}"
        );
        assert!(u64_of(bbr, "cycle_idx") < 8, "{event}");
    }
    let last = events.last().expect("samples");
    assert!(u64_of(&last["bbr"], "rtt_cnt") > 1 && u64_of(&last["bbr"], "bw") > 0, "{last}");
}

/// `dctcp_ssthresh()`: reduced by half of alpha, the share of marked bytes; `dctcp_react_to_loss()`: by half.
#[test]
fn dctcp_reduces_by_the_share_of_marks() {
    need!(is_root(), "not root");
    need!(has_cc("dctcp"), "this kernel has no dctcp", legitimate: !guest());
    let events = congested("dctcp");
    check_groups(&events, "dctcp");
    for event in &events {
        let alpha = event["dctcp"]["alpha"].as_f64().unwrap_or_else(|| panic!("{event}"));
        assert!((0.0..=1.0).contains(&alpha), "{event}");
        assert_eq!(event["ecn"], "ecn", "{event}");
    }
    for event in reducing(&events) {
        let (cwnd, ssthresh) = (u64_of(event, "prior_cwnd"), u64_of(event, "snd_ssthresh"));
        let loss_cwnd = u64_of(&event["dctcp"], "loss_cwnd");
        // A loss halves, in CWR what marks have left; marks reduce by half at most, as alpha begins at 1.
        let expected = if event["ca_state"] == "Recovery" {
            assert!(loss_cwnd <= cwnd, "{event}");
            (loss_cwnd / 2).max(2)..=(loss_cwnd / 2).max(2)
        } else {
            assert_eq!(loss_cwnd, cwnd, "{event}");
            cwnd.div_ceil(2).max(2)..=cwnd.max(2)
        };
        assert!(expected.contains(&ssthresh), "{event}");
    }
    // Alpha falls from 1 towards the share of marks.
    let least =
        events.iter().filter_map(|event| event["dctcp"]["alpha"].as_f64()).fold(1.0, f64::min);
    assert!(least < 1.0, "{least}");
}
