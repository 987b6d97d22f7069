//! `tcc-trace export`, and what is scraped from it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::launch::Launch;
use super::tracer::Tracer;
use super::{patience, wait_until};

/// A running exporter on a port of its own.
pub struct Exporter {
    pub tracer: Tracer,
    pub addr: SocketAddr,
}

impl Exporter {
    #[track_caller]
    pub fn start(args: &[&str]) -> Self {
        Exporter::start_in(&Launch::here().with_tracefs(), args)
    }

    #[track_caller]
    pub fn start_in(launch: &Launch, args: &[&str]) -> Self {
        let listen = ["export", "--listen", "127.0.0.1:0"];
        let mut tracer = Tracer::spawn(launch, &[&listen, args].concat());
        tracer.wait_ready();
        let addr = address(&tracer.stderr());
        Exporter { tracer, addr }
    }

    /// The metrics as OpenMetrics text.
    #[track_caller]
    pub fn scrape(&self) -> Scrape {
        Scrape::of(self.addr)
    }

    /// Scrapes until the condition holds.
    #[track_caller]
    pub fn wait(&self, what: &str, mut enough: impl FnMut(&Scrape) -> bool) -> Scrape {
        let mut last = self.scrape();
        wait_until(what, || {
            last = self.scrape();
            enough(&last)
        });
        last
    }
}

/// Where it listens, as it has printed.
#[track_caller]
fn address(stderr: &str) -> SocketAddr {
    let line = stderr.lines().find_map(|line| line.strip_prefix("tcc-trace: metrics at http://"));
    let line = line.unwrap_or_else(|| panic!("no address: {stderr}"));
    line.trim_end_matches("/metrics").parse().expect("an address")
}

/// Sends that, and returns the head of the response and its body.
#[track_caller]
pub fn http(addr: SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(addr).expect("a connection");
    stream.set_read_timeout(Some(patience())).expect("a socket");
    stream.write_all(request.as_bytes()).expect("a request");
    let mut response = Vec::new();
    // What was not read may be reset at the end.
    let _ = stream.read_to_end(&mut response);
    let response = String::from_utf8_lossy(&response);
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
    (format!("{head}\r\n"), body.to_owned())
}

/// The series of a scrape: a name with its labels as they are printed.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    pub series: BTreeMap<String, f64>,
    pub text: String,
}

impl Scrape {
    /// The metrics as OpenMetrics text.
    #[track_caller]
    pub fn of(addr: SocketAddr) -> Self {
        let (head, body) = http(addr, "GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        let content_type =
            "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert!(head.lines().any(|line| line == content_type), "{head}");
        Scrape::parse(&body)
    }

    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
            (series.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")))
        });
        Scrape { series: series.collect(), text: text.to_owned() }
    }

    /// The sum of all series of that name with these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).map(|(_, value)| value).sum()
    }

    pub fn find<'s>(
        &'s self,
        name: &'s str,
        labels: &'s [(&'s str, &'s str)],
    ) -> impl Iterator<Item = (&'s str, f64)> {
        let has = move |series: &str| {
            let of_name = series.strip_prefix(name);
            of_name.is_some_and(|rest| {
                (rest.is_empty() || rest.starts_with('{'))
                    && labels.iter().all(|(label, value)| {
                        rest.contains(&format!("{{{label}=\"{value}\""))
                            || rest.contains(&format!(",{label}=\"{value}\""))
                    })
            })
        };
        let found = self.series.iter().filter(move |(series, _)| has(series));
        found.map(|(series, value)| (series.as_str(), *value))
    }

    /// No counter is smaller than it was.
    #[track_caller]
    pub fn check_grown_from(&self, before: &Scrape) {
        for (series, value) in &before.series {
            let name = series.split('{').next().unwrap_or_default();
            let counts =
                ["_total", "_count", "_bucket", "_sum"].iter().any(|end| name.ends_with(end));
            if counts && let Some(now) = self.series.get(series) {
                assert!(now >= value, "{series}: {value}, then {now}");
            }
        }
    }
}
