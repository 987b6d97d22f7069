//! Pushes metrics to a receiver of OTLP over HTTP, on a thread of its own.
//!
//! Of snapshots only the newest waits: as counters are cumulative, it has all that an older one had. So whatever the receiver does, there
//! is one request and one snapshot.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{
    CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::Exposition;
use super::otlp::Encoder;
use crate::config::Otlp;
use crate::escape;
use crate::stdio::print_line;

/// For a request, from the name of the host to the response.
const REQUEST: Duration = Duration::from_secs(10);
/// Before the first retry; then twice as long each time, up to the last one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(60);
/// Between two warnings.
const WARNINGS: Duration = Duration::from_secs(60);
/// A response may have this many bytes.
const RESPONSE_BYTES: usize = 64 << 10;

type Newest = Option<Arc<Exposition>>;

/// Dropped, it ends, whatever the receiver does.
pub struct Pusher {
    newest: watch::Sender<Newest>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Pusher {
    /// `begin`: when the counters were zero.
    pub fn new(options: &Otlp, begin: SystemTime, quiet: bool) -> Result<Self> {
        let receiver = Receiver::new(options)?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let (newest, snapshots) = watch::channel(None);
        let warnings = Warnings { quiet, ..Warnings::default() };
        let pushing = Pushing { receiver, encoder: Encoder::new(host, begin), warnings };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        runtime.spawn(pushing.run(snapshots));
        let thread = std::thread::Builder::new().name("otlp".into());
        let thread = thread.spawn(move || {
            // An error is that of a sender that is gone, which ends it, too.
            let _ = runtime.block_on(stopped);
            // A name that is being looked up is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Pusher { newest, stop: Some(stop), thread: Some(thread) })
    }

    /// Hands over a snapshot, in place of one that has not been pushed.
    pub fn offer(&self, exposition: Arc<Exposition>) {
        self.newest.send_replace(Some(exposition));
    }
}

impl Drop for Pusher {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It only panics if a library does.
            let _ = thread.join();
        }
    }
}

struct Pushing {
    receiver: Receiver,
    encoder: Encoder,
    warnings: Warnings,
}

impl Pushing {
    async fn run(mut self, mut snapshots: watch::Receiver<Newest>) {
        let mut is_next = false;
        loop {
            if !is_next && snapshots.changed().await.is_err() {
                return;
            }
            let Some(newest) = snapshots.borrow_and_update().clone() else {
                is_next = false;
                continue;
            };
            let request = self.encoder.request(newest.snapshot()).encode_to_vec();
            drop(newest);
            is_next = self.push(Bytes::from(request), &mut snapshots).await;
        }
    }

    /// Tries until it succeeds, or cannot, or there is a newer snapshot, which is then true.
    async fn push(&mut self, request: Bytes, snapshots: &mut watch::Receiver<Newest>) -> bool {
        let mut pause = FIRST_PAUSE;
        loop {
            let posted = timeout(REQUEST, self.receiver.post(request.clone())).await;
            let after = match posted {
                Ok(Ok(answer)) => match answer.outcome {
                    Ok(()) => {
                        self.warnings.succeeded(&self.receiver.url);
                        return false;
                    }
                    Err(why) => {
                        self.warnings.failed(&self.receiver.url, &why);
                        if !answer.may_retry {
                            return false;
                        }
                        answer.after
                    }
                },
                Ok(Err(error)) => {
                    self.warnings.failed(&self.receiver.url, &format!("{error:#}"));
                    None
                }
                Err(_) => {
                    let why = format!("no answer within {} s", REQUEST.as_secs());
                    self.warnings.failed(&self.receiver.url, &why);
                    None
                }
            };
            let wait = after.unwrap_or(pause).min(LAST_PAUSE);
            if let Ok(changed) = timeout(wait, snapshots.changed()).await {
                return changed.is_ok();
            }
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}

/// What the receiver made of a request.
struct Answer {
    outcome: Result<(), String>,
    may_retry: bool,
    /// When, if it says so.
    after: Option<Duration>,
}

struct Receiver {
    url: String,
    host: String,
    port: u16,
    path: String,
    headers: HeaderMap,
}

/// A connection is over with its request.
struct Abort(tokio::task::JoinHandle<()>);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Receiver {
    fn new(options: &Otlp) -> Result<Self> {
        let uri: Uri = options.url.parse().context("--otlp: not a URL")?;
        let authority = uri.authority().context("--otlp: the URL has no host")?;
        let mut headers = HeaderMap::new();
        for (name, value) in &options.headers {
            let name: HeaderName = name.parse().context("--otlp-header: not a name")?;
            let mut value: HeaderValue = value.parse().context("--otlp-header: not a value")?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        headers.insert(HOST, authority.as_str().parse()?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let agent = concat!("tcc-trace/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        Ok(Receiver {
            url: escape::line(&options.url),
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            headers,
        })
    }

    async fn post(&self, body: Bytes) -> Result<Answer> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let _connection = Abort(tokio::spawn(async move {
            // The request fails with it.
            let _ = connection.await;
        }));
        let mut request = Request::post(&self.path).body(Full::new(body))?;
        *request.headers_mut() = self.headers.clone();
        let response = sender.send_request(request).await?;
        let status = response.status();
        let after = response.headers().get(RETRY_AFTER);
        let after = after.and_then(|after| after.to_str().ok()?.parse().ok());
        let body = Limited::new(response.into_body(), RESPONSE_BYTES).collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        Ok(Answer {
            outcome: outcome(status, &body),
            may_retry: matches!(status.as_u16(), 429 | 502 | 503 | 504),
            after: after.map(Duration::from_secs),
        })
    }
}

/// A part may be rejected all the same.
fn outcome(status: StatusCode, body: &[u8]) -> Result<(), String> {
    if !status.is_success() {
        let text = String::from_utf8_lossy(body);
        let line = text.lines().next().unwrap_or_default();
        let line: String = line.chars().take(200).collect();
        let line = if line.is_empty() { line } else { format!(": {}", escape::line(&line)) };
        return Err(format!("{status}{line}"));
    }
    let rejected = ExportMetricsServiceResponse::decode(body).ok();
    let rejected = rejected.and_then(|response| response.partial_success);
    match rejected.filter(|rejected| rejected.rejected_data_points > 0) {
        Some(rejected) => {
            let why: String = rejected.error_message.chars().take(200).collect();
            let count = rejected.rejected_data_points;
            Err(format!("{count} values were rejected: {}", escape::line(&why)))
        }
        None => Ok(()),
    }
}

/// At most one a minute, and a note when it works again.
#[derive(Default)]
struct Warnings {
    quiet: bool,
    printed: Option<Instant>,
    /// Failures since the last one that was printed.
    failures: u64,
    is_failing: bool,
}

impl Warnings {
    fn failed(&mut self, url: &str, why: &str) {
        self.failures += 1;
        if self.printed.is_some_and(|printed| printed.elapsed() < WARNINGS) {
            return;
        }
        self.printed = Some(Instant::now());
        self.is_failing = true;
        let times = match std::mem::take(&mut self.failures) {
            1 => String::new(),
            times => format!(" ({times} times)"),
        };
        print_line(&format!("warning: cannot push metrics to {url}: {why}{times}"));
    }

    fn succeeded(&mut self, url: &str) {
        if std::mem::take(&mut self.is_failing) && !self.quiet {
            print_line(&format!("note: metrics are pushed to {url} again"));
        }
    }
}
