//! Serves the metrics over HTTP, on a thread of its own.
//!
//! Everything that clients can make it do is bounded: connections, their time, the size of requests, and how often all connections of
//! the machine are read. The thread that traces only ever reads and hands over a snapshot.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue, VARY};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::{Semaphore, oneshot, watch};

use super::accept::format_of;
use super::{Exposition, Format};

/// Connections at a time; others wait in the accept queue.
const CONNECTIONS: usize = 64;
/// How long a client may take to send a request, and for all.
const REQUEST: Duration = Duration::from_secs(5);
const CONNECTION: Duration = Duration::from_secs(10);
/// A request may have this many bytes.
const REQUEST_BYTES: usize = 16 << 10;
/// A snapshot is used again for this long.
const FRESH: Duration = Duration::from_millis(500);
/// For the health of the loop, one that is this old is enough.
const RECENT: Duration = Duration::from_secs(10);
/// How long the loop may take to read one.
const ANSWER: Duration = Duration::from_secs(5);
/// Before the next try to accept, if the process has no file descriptors left.
const BUSY: Duration = Duration::from_millis(100);
/// The path of the metrics.
pub const PATH: &str = "/metrics";
/// Whether the loop still hands over snapshots, as Prometheus names it.
const HEALTH: &str = "/-/healthy";

type Newest = Option<(Instant, Arc<Exposition>)>;

/// What the server's thread and the loop share.
struct Shared {
    newest: watch::Sender<Newest>,
    /// Readable if a snapshot is wanted.
    wanted: OwnedFd,
}

/// An address, which is bound before anything is traced.
pub struct Bound(TcpListener);

/// A running server on one address; dropped, it ends.
pub struct Server {
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Bound {
    pub fn new(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Bound(listener))
    }

    /// With the port that was chosen if any was requested.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    pub fn serve(self) -> io::Result<Server> {
        let wanted = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared { newest: watch::Sender::new(None), wanted });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let guard = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(self.0)?;
        drop(guard);
        runtime.spawn(accept(listener, Arc::clone(&shared)));
        let thread = std::thread::Builder::new().name("http".into());
        let thread = thread.spawn(move || {
            // An error is that of a sender that is gone, which ends it, too.
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Server { shared, stop: Some(stop), thread: Some(thread) })
    }
}

impl Server {
    /// Readable if a snapshot is wanted.
    #[must_use]
    pub fn wanted(&self) -> BorrowedFd<'_> {
        self.shared.wanted.as_fd()
    }

    /// Whether one was wanted since the last call.
    #[must_use]
    pub fn take_wanted(&self) -> bool {
        rustix::io::read(&self.shared.wanted, &mut [0; 8]).is_ok()
    }

    /// Hands over a snapshot to all who wait.
    pub fn answer(&self, exposition: Arc<Exposition>) {
        self.shared.newest.send_replace(Some((Instant::now(), exposition)));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It only panics if a library does.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: tokio::net::TcpListener, shared: Arc<Shared>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(BUSY).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(|request| respond(request, &shared));
            let mut http = http1::Builder::new();
            let connection = http
                .timer(TokioTimer::new())
                .header_read_timeout(REQUEST)
                .max_buf_size(REQUEST_BYTES)
                // A client that keeps its connection would keep one of few.
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away, or takes too long, gets nothing.
            let _ = tokio::time::timeout(CONNECTION, connection).await;
            drop(slot);
        });
    }
}

type Reply = Response<Full<Bytes>>;

fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

fn note(status: StatusCode, text: &'static str) -> Reply {
    reply(status, "text/plain; charset=utf-8", text)
}

fn late() -> Reply {
    note(StatusCode::SERVICE_UNAVAILABLE, "the counters could not be read in time\n")
}

async fn respond(request: Request<Incoming>, shared: &Shared) -> Result<Reply, Infallible> {
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, PATH) => {
            let accept = request.headers().get_all(ACCEPT).iter();
            let accept: Vec<&str> = accept.filter_map(|value| value.to_str().ok()).collect();
            metrics(format_of(&accept.join(",")), shared).await
        }
        (&Method::GET | &Method::HEAD, HEALTH) => match newest(shared, RECENT).await {
            Some(_) => note(StatusCode::OK, "healthy\n"),
            None => late(),
        },
        (&Method::GET | &Method::HEAD, "/") => {
            note(StatusCode::OK, "tcc-trace: the metrics are at /metrics\n")
        }
        (&Method::GET | &Method::HEAD, _) => {
            note(StatusCode::NOT_FOUND, "not found: the metrics are at /metrics\n")
        }
        _ => {
            let mut refused = note(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            refused
        }
    })
}

async fn metrics(format: Format, shared: &Shared) -> Reply {
    let Some(newest) = newest(shared, FRESH).await else { return late() };
    let Ok(encoded) = newest.encoded(format) else {
        return note(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be encoded\n");
    };
    let mut reply = reply(StatusCode::OK, format.content_type(), Bytes::from_owner(encoded));
    reply.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    reply
}

/// A snapshot that is at most that old, or the next one.
async fn newest(shared: &Shared, age: Duration) -> Option<Arc<Exposition>> {
    let mut newest = shared.newest.subscribe();
    if let Some((at, exposition)) = &*newest.borrow_and_update()
        && at.elapsed() < age
    {
        return Some(Arc::clone(exposition));
    }
    // It only fails if the counter is full: then the loop is being woken already.
    let _ = rustix::io::write(&shared.wanted, &1_u64.to_ne_bytes());
    tokio::time::timeout(ANSWER, newest.changed()).await.ok()?.ok()?;
    let newest = newest.borrow();
    newest.as_ref().map(|(_, exposition)| Arc::clone(exposition))
}

#[cfg(test)]
mod tests;
