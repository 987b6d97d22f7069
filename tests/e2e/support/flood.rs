//! Floods, and times without them.

use std::os::fd::AsFd;
use std::process::Stdio;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use super::launch::Launch;
use super::run::Running;
use super::tracer::Tracer;
use super::traffic::{Server, traffic};
use super::{traffic_program, wait_until};

/// A flood makes the kernel skip programs that are running already, others' events too. So where two tracers must agree
/// there is none: who makes one takes this for writing.
static FLOOD: RwLock<()> = RwLock::new(());

/// While it lives no `FilteredTracers` compare.
pub fn flooding() -> RwLockWriteGuard<'static, ()> {
    FLOOD.write().unwrap_or_else(PoisonError::into_inner)
}

/// While it lives there is no flood.
pub(super) fn quiet() -> RwLockReadGuard<'static, ()> {
    FLOOD.read().unwrap_or_else(PoisonError::into_inner)
}

/// Traffic that takes all of the machine until it is ended.
pub struct Flood {
    pub server: Server,
    clients: Option<Running>,
    _alone: RwLockWriteGuard<'static, ()>,
}

impl Flood {
    #[track_caller]
    pub fn start() -> Self {
        let mut flood = Flood::ready();
        flood.begin();
        flood
    }

    /// Without clients yet, which would slow down the start of a tracer.
    #[track_caller]
    pub fn ready() -> Self {
        let alone = flooding();
        Flood { server: Server::start("127.0.0.1:0", None), clients: None, _alone: alone }
    }

    #[track_caller]
    pub fn begin(&mut self) {
        let mut command = Launch::here().command(traffic_program());
        let to = self.server.addr.to_string();
        command.args(["bulk", "--to", &to, "--seconds", "300", "--parallel", "4"]);
        let clients = Running::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()));
        self.clients = Some(clients);
    }

    pub fn end(&mut self) {
        self.clients = None;
    }

    /// Lasts until a tracer of it can write no more to that output, which nobody reads.
    #[track_caller]
    pub fn fill(&mut self, tracer: &mut Running, output: &impl AsFd) {
        tracer.wait_for_line("tcc-trace: tracing");
        self.begin();
        let now = Timespec::default();
        wait_until("the output to be full", || {
            let mut polled = [PollFd::new(output, PollFlags::OUT)];
            poll(&mut polled, Some(&now)).expect("poll") == 0
        });
        self.end();
    }
}

/// More events than a buffer of a page can hold, while the tracer does not read them.
#[track_caller]
pub fn overflow(tracer: &Tracer, server: &Server) {
    tracer.signal(Signal::STOP);
    let to = server.addr.to_string();
    traffic(&["pingpong", "--to", &to, "--count", "200", "--interval", "0ms"]);
    tracer.signal(Signal::CONT);
}
