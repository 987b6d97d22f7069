//! `export --otlp`: VictoriaMetrics gets the values of a scrape, and a receiver that is dead, slow or busy holds nothing up.
//! script/exports builds the feature, fetches VictoriaMetrics and runs this.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::run::Running;
use crate::support::{
    Exporter, FAMILIES, Fixture, Launch, Scrape, TempDir, Tracer, http, is_root, wait_until,
};

/// Is tcc-trace built with the feature?
fn is_built() -> bool {
    let args = ["export", "--otlp", "http://127.0.0.1:1", "--check-config"];
    let output = Tracer::spawn(&Launch::here(), &args).wait_raw();
    assert!(
        output.status.success() || output.stderr.contains("is built without it"),
        "{}",
        output.stderr
    );
    output.status.success()
}

/// That of script/exports.
fn victoria_metrics() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/exports/victoria-metrics/usr/bin/victoria-metrics")
}

const NOT_BUILT: &str = "built without the feature otlp";

/// A real store, which takes OTLP.
struct Store {
    _process: Running,
    addr: SocketAddr,
    _dir: TempDir,
}

/// A series: its name and labels, in their order.
type Series = (String, BTreeMap<String, String>);

impl Store {
    #[track_caller]
    fn start() -> Self {
        let dir = TempDir::new();
        // Free when it was looked for, which is as good as it gets.
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = free.local_addr().expect("its address");
        drop(free);
        let mut command = Launch::here().command(victoria_metrics());
        command
            .arg(format!("-storageDataPath={}", dir.path().join("data").display()))
            .arg(format!("-httpListenAddr={addr}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let process = Running::spawn(&mut command);
        wait_until("VictoriaMetrics", || TcpStream::connect(addr).is_ok());
        Store { _process: process, addr, _dir: dir }
    }

    fn url(&self) -> String {
        format!("http://{}/opentelemetry/v1/metrics", self.addr)
    }

    fn get(&self, path: &str) -> String {
        http(self.addr, &format!("GET {path} HTTP/1.0\r\nHost: t\r\n\r\n")).1
    }

    /// The last value of each series.
    fn last(&self) -> BTreeMap<Series, f64> {
        self.get("/internal/force_flush");
        let lines = self.get("/api/v1/export?match%5B%5D=%7B__name__%3D~%22tcctrace_.*%22%7D");
        let series = lines.lines().map(|line| {
            let line: Value = serde_json::from_str(line).expect("JSON");
            let mut labels: BTreeMap<String, String> = line["metric"]
                .as_object()
                .expect("labels")
                .iter()
                .map(|(name, value)| (name.clone(), value.as_str().expect("text").to_owned()))
                .collect();
            let name = labels.remove("__name__").expect("a name");
            for (label, value) in
                [("service.name", "tcc-trace"), ("service.version", env!("CARGO_PKG_VERSION"))]
            {
                assert_eq!(labels.remove(label).as_deref(), Some(value), "{line}");
            }
            let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
            assert_eq!(labels.remove("host.name"), Some(host), "{line}");
            let last = line["values"].as_array().and_then(|values| values.last()?.as_f64());
            (with_numbers((name, labels)), last.expect("a value"))
        });
        series.collect()
    }
}

/// Bounds of buckets are numbers, however they are written.
fn with_numbers((name, mut labels): Series) -> Series {
    if let Some(bound) = labels.get_mut("le")
        && let Ok(number) = bound.parse::<f64>()
    {
        *bound = format!("{number:e}");
    }
    (name, labels)
}

/// `name{a="b",c="d"}`; the labels here have no quotes in them.
fn parsed(series: &str) -> Series {
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.trim_end_matches('}').split("\",").filter(|label| !label.is_empty());
    let pair = |label: &str| {
        let (name, value) = label.split_once("=\"").unwrap_or_else(|| panic!("{series}"));
        (name.to_owned(), value.trim_end_matches('"').to_owned())
    };
    with_numbers((name.to_owned(), labels.map(pair).collect()))
}

/// What changes while the connections of the test do not: what it says of the whole machine and of itself.
fn is_quiet(series: &str) -> bool {
    !["tcctrace_events_", "tcctrace_read_", "tcctrace_evicted_"]
        .iter()
        .any(|start| series.starts_with(start))
}

#[test]
fn victoria_metrics_has_the_values_of_a_scrape() {
    need!(is_root(), "not root");
    need!(is_built(), NOT_BUILT, legitimate: true);
    need!(victoria_metrics().exists(), "no VictoriaMetrics: run script/exports", legitimate: true);
    let mut fixture = Fixture::new();
    let netns = fixture.ns.inode().to_string();
    let store = Store::start();
    let (url, top) = (store.url(), ["--top", "5", "--top-interval", "1ms"]);
    let options = ["--netns", &netns, "--labels", "cc,lport:3", "--metrics", "all"];
    let push = ["--otlp", &url, "--interval", "200ms"];
    let exporter = Exporter::start(&[&options[..], &top, &push].concat());
    fixture.lossy_transfers(300_000, ["reno", "cubic", "reno"]);
    fixture.listen();
    fixture.connect("a", FAMILIES[0]);
    fixture.client.transfer("a", &mut fixture.server, 10_000);
    // Two ends are open, and idle.
    let scrape = exporter.wait("the end of the others", |scrape| {
        scrape.sum("tcctrace_connections_open", &[]) == 2.0
            && scrape.sum("tcctrace_connections_closed_total", &[]) == 6.0
            && scrape.sum("tcctrace_connection_sent_bytes_total", &[]) == 10_000.0
    });
    let scraped: BTreeMap<Series, f64> = scrape
        .series
        .iter()
        .filter(|(series, _)| is_quiet(series))
        .map(|(series, value)| (parsed(series), *value))
        .collect();
    assert!(scraped.len() > 200, "{}", scrape.text);
    let mut wrong = Vec::new();
    wait_until("the same values", || {
        let stored = store.last();
        let differs = |(series, value): &(&Series, &f64)| {
            stored.get(*series).is_none_or(|stored| (stored - **value).abs() > value.abs() * 1e-9)
        };
        // What limits an open connection goes on with time.
        let limits = |(series, _): &(&Series, &f64)| {
            series.0 != "tcctrace_limit_seconds_total"
                && series.0 != "tcctrace_ca_state_seconds_total"
        };
        let found: Vec<_> = scraped.iter().filter(limits).filter(differs).collect();
        wrong = found
            .iter()
            .map(|(series, value)| {
                format!("{series:?}: {value}, and {:?} stored", stored.get(*series))
            })
            .collect();
        wrong.is_empty()
    });
    assert!(wrong.is_empty(), "{wrong:?}");
    // Nor does it have anything that a scrape has not.
    let stored = store.last();
    let unknown: Vec<_> = stored
        .keys()
        .filter(|series| is_quiet(&series.0) && !scraped.contains_key(*series))
        // Connections that had series before.
        .filter(|series| !series.0.starts_with("tcctrace_connection_"))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert!(exporter.tracer.stop_raw().status.success());
}

/// A receiver that answers as it is told.
struct Receiver {
    addr: SocketAddr,
    requests: Arc<AtomicUsize>,
    is_busy: Arc<AtomicBool>,
    last: Arc<Mutex<Vec<u8>>>,
}

impl Receiver {
    /// `answers`: else it takes a request and is silent.
    fn start(answers: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("its address");
        let (requests, is_busy) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(true)));
        let last = Arc::new(Mutex::new(Vec::new()));
        let receiver = Receiver {
            addr,
            requests: requests.clone(),
            is_busy: is_busy.clone(),
            last: last.clone(),
        };
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                *last.lock().expect("no panic") = request(&mut stream);
                requests.fetch_add(1, Ordering::SeqCst);
                if !answers {
                    silent.push(stream);
                    continue;
                }
                let status = if is_busy.load(Ordering::SeqCst) {
                    "503 Service Unavailable\r\nContent-Length: 5\r\n\r\nbusy\n"
                } else {
                    "200 OK\r\nContent-Length: 0\r\n\r\n"
                };
                let _ = stream.write_all(format!("HTTP/1.1 {status}").as_bytes());
            }
        });
        receiver
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Head and body of a request.
fn request(stream: &mut TcpStream) -> Vec<u8> {
    let (mut all, mut chunk) = (Vec::new(), [0; 65_536]);
    loop {
        let head = all.windows(4).position(|end| end == b"\r\n\r\n");
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&all[..head]).to_lowercase();
            let length =
                text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if all.len() >= head + 4 + length.unwrap_or(0_usize) {
                return all;
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return all,
            Ok(n) => all.extend_from_slice(&chunk[..n]),
        }
    }
}

fn warnings(exporter: &Exporter) -> usize {
    exporter.tracer.stderr().matches("warning: cannot push metrics to ").count()
}

#[test]
fn a_busy_receiver_is_tried_again_and_reported_once() {
    need!(is_root(), "not root");
    need!(is_built(), NOT_BUILT, legitimate: true);
    let receiver = Receiver::start(true);
    let url = format!("http://{}", receiver.addr);
    let args = ["--otlp", &url, "--otlp-header", "X-Scope-OrgID=17", "--interval", "20ms"];
    let mut exporter = Exporter::start(&[&args[..], &["--labels", "none"]].concat());
    let line = format!(
        "tcc-trace: warning: cannot push metrics to {url}/v1/metrics: 503 Service Unavailable: busy"
    );
    exporter.tracer.wait_for_line(&line);
    wait_until("retries", || receiver.requests() >= 20);
    let before = exporter.scrape();
    assert_eq!(warnings(&exporter), 1, "{}", exporter.tracer.stderr());
    let sent = receiver.last.lock().expect("no panic").clone();
    let head = String::from_utf8_lossy(&sent).to_lowercase();
    for part in [
        "post /v1/metrics http/1.1\r\n",
        "\r\nx-scope-orgid: 17\r\n",
        "\r\ncontent-type: application/x-protobuf\r\n",
        "service.name",
        "tcctrace_acked_bytes_total",
    ] {
        assert!(head.contains(part), "no {part:?} in {head}");
    }
    receiver.is_busy.store(false, Ordering::SeqCst);
    exporter
        .tracer
        .wait_for_line(&format!("tcc-trace: note: metrics are pushed to {url}/v1/metrics again"));
    exporter.wait("another reading", |scrape| scrape.text != before.text).check_grown_from(&before);
    assert_eq!(warnings(&exporter), 1, "{}", exporter.tracer.stderr());
    assert!(exporter.tracer.stop_raw().status.success());
}

/// One that is silent has one request and no more, and neither scrapes nor the end wait for it.
#[test]
fn a_silent_receiver_holds_nothing_up() {
    need!(is_root(), "not root");
    need!(is_built(), NOT_BUILT, legitimate: true);
    let receiver = Receiver::start(false);
    let dir = TempDir::new();
    let file = dir.path().join("tcc.prom");
    let (url, path) = (format!("http://{}/x", receiver.addr), file.to_str().expect("UTF-8"));
    let args = ["--otlp", &url, "--interval", "20ms", "--textfile", path, "--labels", "none"];
    let exporter = Exporter::start(&args);
    wait_until("a request", || receiver.requests() > 0);
    let read = || Scrape::parse(&std::fs::read_to_string(&file).unwrap_or_default());
    let mut last = read().text;
    for _ in 0..20 {
        wait_until("another file", || read().text != last);
        last = read().text;
        drop(exporter.scrape());
    }
    assert_eq!(receiver.requests(), 1);
    exporter.tracer.signal(Signal::TERM);
    let begin = std::time::Instant::now();
    assert!(exporter.tracer.wait_raw().status.success());
    assert!(begin.elapsed().as_secs() < 9, "it has waited for the receiver");
}

#[test]
fn nobody_there_is_a_warning() {
    need!(is_root(), "not root");
    need!(is_built(), NOT_BUILT, legitimate: true);
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = free.local_addr().expect("its address");
    drop(free);
    let url = format!("http://{addr}");
    let mut exporter = Exporter::start(&["--otlp", &url, "--interval", "20ms"]);
    let line = format!("tcc-trace: metrics are pushed to {url}/v1/metrics\n");
    assert!(exporter.tracer.stderr().contains(&line), "{}", exporter.tracer.stderr());
    exporter.tracer.wait_for_line(&format!(
        "tcc-trace: warning: cannot push metrics to {url}/v1/metrics: Connection refused"
    ));
    exporter.scrape();
    assert!(exporter.tracer.stop_raw().status.success());
}
