//! What `limits` finds over paths that netem makes, also for DCTCP with marks: in virtual machines, as a host may lack both. An emulated machine is
//! too slow for exact times, so the shares are printed; that they add up, and that the larger part of each period is found, is checked.

use std::time::Duration;

use serde_json::Value;

use crate::support::{
    Netns, Pace, Socket, SocketOption, Ss, Tcc, TestProcess, guest, has_cc, is_root, mono_ns,
    u64_of, unique_port, wait_until,
};

/// A client, a router and a server. What waits for the bottleneck waits on the router: on the client it would be a local queue.
struct Path {
    left: Netns,
    router: Netns,
    /// Of the way to the server; without marks.
    link: Vec<String>,
    client: TestProcess,
    server: TestProcess,
    port: u16,
}

impl Path {
    fn new(rtt_ms: u64, ecn: bool) -> Self {
        let [left, router, right] = [Netns::new(), Netns::new(), Netns::new()];
        for (end, number) in [(&left, 1), (&right, 2)] {
            router.run(&[
                "ip",
                "link",
                "add",
                &format!("r{number}"),
                "type",
                "veth",
                "peer",
                "name",
                "e0",
            ]);
            router.run(&["ip", "link", "set", "e0", "netns", &end.name]);
            router.ip(&format!(
                "addr add 10.9.{number}.254/24 dev r{number}\nlink set r{number} gso_max_segs 1 up\n"
            ));
            end.ip(&format!(
                "addr add 10.9.{number}.1/24 dev e0\nlink set e0 gso_max_segs 1 up\nroute add default via 10.9.{number}.254\n"
            ));
            end.sysctl("ipv4/tcp_ecn", if ecn { "1" } else { "0" });
        }
        router.sysctl("ipv4/ip_forward", "1");
        let half = format!("{}ms", rtt_ms / 2);
        let netem = |device: &str, more: &[&str]| {
            let words = ["tc", "qdisc", "replace", "dev", device, "root", "netem", "delay", &half];
            [&words[..], more].concat().into_iter().map(str::to_owned).collect::<Vec<String>>()
        };
        let run = |words: &[String]| {
            router.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
        };
        run(&netem("r1", &[]));
        // Marks in place of losses: DCTCP answers to their share.
        let marks = ["rate", "6mbit", "limit", "60", "loss", "2%", "ecn"];
        run(&netem("r2", if ecn { &marks } else { &marks[..4] }));
        let link = netem("r2", &marks[..4]);
        let client = TestProcess::start_in(&left.launch());
        let mut server = TestProcess::start_in(&right.launch());
        let port = unique_port();
        server.listen(&format!("10.9.2.1:{port}"));
        Path { left, router, link, client, server, port }
    }

    /// With each mark the window shrinks to what is in flight, which under a cap is what the cap allows: either would limit then.
    fn end_marks(&self) {
        self.router.run(&self.link.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

/// What was made, and which causes mean the same.
type Period = (&'static str, &'static [&'static str], u64, u64);

fn traffic(path: &mut Path) -> (Socket, Vec<Period>) {
    let addr = format!("10.9.2.1:{}", path.port).parse().expect("an address");
    let socket = path.client.connect("a", addr);
    path.server.accept("a");
    path.server.sink("a", Pace::FAST);
    let mut periods = Vec::new();
    let mut period = |label, accepted, path: &mut Path, done: fn(&mut Path)| {
        let from = mono_ns();
        done(path);
        periods.push((label, accepted, from, mono_ns()));
    };
    path.client.send_for("a", 2000, Pace::FAST);
    let at_bottleneck: &[&str] = &["path", "recovery", "cwnd"];
    period("bottleneck", at_bottleneck, path, |path| path.client.send_for("a", 3000, Pace::FAST));
    path.end_marks();
    path.client.set("a", SocketOption::MaxPacingRate(150_000));
    path.client.send_for("a", 1500, Pace::FAST);
    period("cap", &["pacing_cap"], path, |path| path.client.send_for("a", 2500, Pace::FAST));
    let ss = |path: &Path| Ss::of(&path.left, socket.local.port(), path.port);
    wait_until("the acknowledgements", || {
        let ss = ss(path);
        !ss.has("unacked") && !ss.has("notsent")
    });
    // The pause is the cause, not a wait for something.
    period("pause", &["idle"], path, |_| std::thread::sleep(Duration::from_millis(2000)));
    path.client.close("a");
    path.server.close("a");
    path.left.settle();
    (socket, periods)
}

/// The share of accepted causes in the rows within the period, in percent; and how long these are.
fn share(rows: &[&Value], (_, accepted, from, to): &Period) -> (f64, u64) {
    let (mut good, mut all) = (0, 0);
    for row in rows {
        let end = row["time"].as_f64().map_or(0, |seconds| (seconds * 1e9) as u64);
        if end > *to || end.saturating_sub(u64_of(row, "interval_ns")) < *from {
            continue;
        }
        all += u64_of(row, "observed_us");
        good += accepted.iter().map(|cause| u64_of(row, &format!("{cause}_us"))).sum::<u64>();
    }
    (good as f64 * 100.0 / all.max(1) as f64, all)
}

/// The connection as a whole has in `life` the main cause of all rows.
fn check_life(rows: &[&Value], lives: &[Value], socket: &Socket) {
    let sum = |name: &str| rows.iter().map(|row| u64_of(row, name)).sum::<u64>();
    let causes = ["path", "pacing_cap", "idle", "application", "cwnd", "recovery", "slow_start"];
    let main = causes.into_iter().max_by_key(|cause| sum(&format!("{cause}_us"))).expect("a cause");
    let life = lives
        .iter()
        .find(|life| life["event"] == "end" && life["sport"] == socket.local.port())
        .expect("the end of the connection");
    let near = |name: &str, wanted: u64| {
        assert!(
            u64_of(life, name).abs_diff(wanted) * 100 <= wanted * 3,
            "{name}: {wanted}: {life}"
        );
    };
    assert_eq!(life["limits_main"], main, "{life}");
    near("limits_main_us", sum(&format!("{main}_us")));
    near("limits_observed_us", sum("observed_us"));
}

fn check(cc: &str, rtt_ms: u64) {
    need!(is_root(), "not root");
    need!(guest(), "a host may lack netem and DCTCP", legitimate: true);
    need!(has_cc(cc), "no such congestion control", legitimate: true);
    let mut path = Path::new(rtt_ms, cc == "dctcp");
    path.client.use_cc(cc);
    let tcc = Tcc::command("limits").ports(&[path.port]).option("--time", "mono");
    let tracer = tcc.option("--interval", "200ms").start();
    let life = Tcc::life().ports(&[path.port]).flag("--limits").start();
    let (socket, periods) = traffic(&mut path);
    let (rows, lives) = (tracer.stop().events, life.stop().events);
    // An older kernel has not given it a cookie when the first row is made.
    let ours = |row: &&Value| row["key"]["sport"] == socket.local.port();
    let rows: Vec<&Value> = rows.iter().filter(ours).collect();
    assert!(rows.len() > 10, "{}", rows.len());
    check_life(&rows, &lives, &socket);
    for period in &periods {
        let (percent, us) = share(&rows, period);
        eprintln!("{cc}, {rtt_ms} ms: {}: {percent:.1} % of {us} us", period.0);
        assert!(us > 500_000 && percent > 50.0, "{}: {percent} % of {us} us", period.0);
    }
}

#[test]
fn far_cubic() {
    check("cubic", 60);
}

#[test]
fn far_reno() {
    check("reno", 60);
}

#[test]
fn far_dctcp() {
    check("dctcp", 60);
}

#[test]
fn near_cubic() {
    check("cubic", 16);
}

#[test]
fn near_dctcp() {
    check("dctcp", 16);
}
