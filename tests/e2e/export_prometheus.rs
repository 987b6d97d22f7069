//! `export`, scraped by Prometheus: values, quantiles of native histograms, and every query of the rules and the dashboard in `contrib`.
//! script/exports installs Prometheus and runs this.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::run::Running;
use crate::support::{
    Exporter, Fixture, Launch, Server, TempDir, Tracer, http, is_root, traffic_in, wait_until,
};

fn contrib(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("contrib").join(path)
}

fn installed() -> bool {
    let runs = |program: &str| {
        let mut command = Command::new(program);
        command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    runs("prometheus") && runs("promtool")
}

#[track_caller]
fn promtool(args: &[&str]) -> String {
    let output = Command::new("promtool").args(args).output().expect("promtool");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{args:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// A server that scrapes the exporter twice a second.
struct Prometheus {
    process: Running,
    addr: SocketAddr,
    _dir: TempDir,
}

impl Prometheus {
    #[track_caller]
    fn start(exporter: SocketAddr, native: bool) -> Self {
        let dir = TempDir::new();
        let config = fs::read_to_string(contrib("prometheus/prometheus.yml")).expect("the file");
        let config = config
            .replace("15s", "500ms")
            .replace("127.0.0.1:9435", &exporter.to_string())
            .replace(
                "tcc-trace.rules.yml",
                &contrib("prometheus/tcc-trace.rules.yml").display().to_string(),
            );
        let path = dir.path().join("prometheus.yml");
        fs::write(&path, config).expect("a file");
        // Free when it was looked for, which is as good as it gets.
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = free.local_addr().expect("its address");
        drop(free);
        let mut command = Launch::here().command("prometheus");
        command
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={addr}"))
            .arg(format!("--enable-feature={}", if native { "native-histograms" } else { "" }))
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let process = Running::spawn(&mut command);
        Prometheus { process, addr, _dir: dir }
    }

    /// The answer of the API; `None` if there is none yet.
    fn get(&self, path: &str) -> Option<Value> {
        std::net::TcpStream::connect(self.addr).ok()?;
        let (_, body) = http(self.addr, &format!("GET {path} HTTP/1.0\r\nHost: t\r\n\r\n"));
        serde_json::from_str(&body).ok()
    }

    /// The results of a query: labels, and the value.
    #[track_caller]
    fn query(&self, query: &str) -> Vec<(Value, f64)> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let Some(answer) = self.get(&format!("/api/v1/query?query={encoded}")) else {
            return Vec::new();
        };
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        let results = answer["data"]["result"].as_array().expect("results");
        let value = |result: &Value| {
            let value = result["value"][1].as_str().and_then(|value| value.parse().ok());
            (result["metric"].clone(), value.unwrap_or(f64::NAN))
        };
        results.iter().map(value).collect()
    }

    fn value(&self, query: &str) -> Option<f64> {
        self.query(query).first().map(|(_, value)| *value)
    }

    #[track_caller]
    fn wait(&self, query: &str, enough: impl Fn(f64) -> bool) -> f64 {
        wait_until(query, || self.value(query).is_some_and(&enough));
        self.value(query).expect("a value")
    }
}

/// Losses, a refusal, a reset, a closed window and drops: something for each metric.
fn drive(fixture: &mut Fixture) {
    let port = fixture.port;
    fixture.ns.run(&["ip", "link", "set", "lo", "mtu", "1500"]);
    let server = Server::start_in(&fixture.ns.launch(), &format!("[::]:{port}"), None);
    fixture.rule(&format!("tcp dport {port} tcp flags & syn == 0 numgen inc mod 50 == 7 drop"));
    let to = fixture.addr("127.0.0.1").to_string();
    traffic_in(&fixture.ns.launch(), &["bulk", "--to", &to, "--bytes", "3000000"]);
    fixture.speak();
    fixture.settle();
    drop(server);
    fixture.listen();
    fixture.refused("127.0.0.1");
    fixture.connect("a", "127.0.0.1");
    fixture.client.transfer("a", &mut fixture.server, 10_000);
    fixture.client.reset("a");
    assert!(fixture.server.wait_error("a").is_some());
    fixture.server.close("a");
    fixture.settle();
}

/// The queries of the dashboard, with its variables as Grafana replaces them.
fn dashboard() -> Vec<String> {
    let text = fs::read_to_string(contrib("grafana/tcc-trace.json")).expect("the file");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let queries = targets.map(|target| target["expr"].as_str().expect("an expression"));
    let replaced = |query: &str| {
        let query = query.replace("$__rate_interval", "10m").replace("$job", ".*");
        query.replace("$instance", ".*")
    };
    queries.map(replaced).collect()
}

#[test]
fn files_for_prometheus_are_valid() {
    need!(installed(), "prometheus is not installed", legitimate: true);
    let (config, rules) =
        (contrib("prometheus/prometheus.yml"), contrib("prometheus/tcc-trace.rules.yml"));
    promtool(&["check", "config", config.to_str().expect("UTF-8")]);
    let checked = promtool(&["check", "rules", rules.to_str().expect("UTF-8")]);
    assert!(checked.contains("8 rules found"), "{checked}");
}

#[test]
fn prometheus_has_the_values_and_answers_each_query() {
    need!(is_root(), "not root");
    need!(installed(), "prometheus is not installed", legitimate: true);
    let mut fixture = Fixture::new();
    let netns = fixture.ns.inode().to_string();
    let top = ["--top", "5", "--top-interval", "1ms"];
    let args = [&["--netns", &netns, "--metrics", "all", "--labels", "cc"], &top[..]].concat();
    let exporter = Exporter::start(&args);
    let samples = ["probe", "--netns", &netns, "-o", "jsonl", "--fields", "srtt_us"];
    let mut samples = Tracer::spawn(&Launch::here().with_tracefs(), &samples);
    samples.wait_ready();
    // With native histograms there are no classic ones.
    let mut servers = [true, false].map(|native| Prometheus::start(exporter.addr, native));
    for prometheus in &servers {
        prometheus.wait("up", |up| up == 1.0);
        prometheus.wait("sum(tcctrace_events_total)", |_| true);
    }
    // One is open for long enough that all see it.
    fixture.listen();
    fixture.connect("b", "127.0.0.1");
    fixture.client.transfer("b", &mut fixture.server, 5000);
    let query = "min(count_over_time(tcctrace_connection_acked_bytes_total[10m]))";
    for prometheus in &servers {
        prometheus.wait(query, |count| count >= 2.0);
        let sent = "max(tcctrace_connection_sent_bytes_total)";
        prometheus.wait(sent, |sent| sent == 5000.0);
    }
    fixture.client.close("b");
    fixture.server.close("b");
    fixture.server.unlisten();
    drive(&mut fixture);
    let scrape = exporter.wait("all connections closed", |scrape| {
        scrape.sum("tcctrace_connections_open", &[]) == 0.0
            && scrape.sum("tcctrace_connections_closed_total", &[]) == 6.0
    });
    let samples = samples.stop();
    for name in [
        "sent_bytes_total",
        "acked_bytes_total",
        "received_segments_total",
        "retransmitted_segments_total",
        "connections_failed_total",
        "dropped_packets_total",
        "limit_seconds_total",
    ] {
        let name = format!("tcctrace_{name}");
        let wanted = scrape.sum(&name, &[]);
        assert!(wanted > 0.0, "{name}: {}", scrape.text);
        for prometheus in &servers {
            prometheus.wait(&format!("sum({name})"), |value| (value - wanted).abs() < 1e-6);
        }
    }
    let [native, classic] = &servers;
    // Native histograms: counts exactly, quantiles as the samples have them.
    let mut values: Vec<u64> =
        samples.events.iter().filter_map(|event| event["srtt_us"].as_u64()).collect();
    values.sort_unstable();
    let count = native.wait("sum(histogram_count(tcctrace_rtt_seconds))", |_| true);
    assert_eq!(count, scrape.sum("tcctrace_rtt_seconds_count", &[]));
    assert_eq!(count, values.len() as f64);
    for quantile in [0.5, 0.9, 0.99] {
        let query = format!("histogram_quantile({quantile}, sum(tcctrace_rtt_seconds))");
        let found = native.value(&query).expect("a value") * 1e6;
        let rank = (quantile * values.len() as f64).ceil() as usize;
        let wanted = values[rank.clamp(1, values.len()) - 1] as f64;
        assert!((found / wanted - 1.0).abs() < 0.13, "{quantile}: {found}, and not {wanted} us");
    }
    let bucket = "tcctrace_rtt_seconds_bucket";
    let buckets: Vec<_> = scrape.find(bucket, &[]).collect();
    assert!(buckets.len() > 20, "{buckets:?}");
    for (series, value) in buckets {
        assert_eq!(classic.value(series), Some(value), "{series}");
    }
    let queries = dashboard();
    assert!(queries.len() > 30, "{queries:?}");
    for query in &queries {
        wait_until(query, || !classic.query(query).is_empty());
    }
    // They are evaluated after they are loaded.
    let has_run = || {
        let rules = classic.get("/api/v1/rules").expect("rules").to_string();
        !rules.contains(r#""health":"unknown""#)
    };
    wait_until("the rules have run", has_run);
    let rules = classic.get("/api/v1/rules").expect("rules");
    let groups = rules["data"]["groups"].as_array().expect("groups");
    let rules: Vec<&Value> =
        groups.iter().flat_map(|group| group["rules"].as_array().expect("rules")).collect();
    assert_eq!(rules.len(), 8);
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    for prometheus in &mut servers {
        prometheus.process.signal(rustix::process::Signal::TERM);
        let _ = prometheus.process.wait();
    }
    assert!(exporter.tracer.stop_raw().status.success());
}
