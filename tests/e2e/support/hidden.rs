//! Events that a host's kernel has hidden from BPF programs, by its own trace of them (see [`maybe_unseen`]). A test that finds
//! something missing asks here whether that is why, and takes another turn only then.

use super::ftrace::{Instance, maybe_unseen};
use super::guest;

/// What a connection's state, owner and windows are known by.
pub const OF_CONNECTIONS: &[&str] = &["sock/inet_sock_set_state", "tcp/tcp_probe"];

/// The kernel's trace of some tracepoints, for the connections of one port.
pub struct Hidden {
    /// None in a guest, whose kernel hides nothing.
    instance: Option<Instance>,
}

impl Hidden {
    /// `tracepoints` such as `tcp/tcp_probe`; all of them have the ports.
    #[track_caller]
    pub fn watch(port: u16, tracepoints: &[&str]) -> Self {
        let start = || {
            let instance = Instance::start(4096);
            for tracepoint in tracepoints {
                let filter = format!("sport == {port} || dport == {port}");
                instance.write(&format!("events/{tracepoint}/filter"), &filter);
                instance.write(&format!("events/{tracepoint}/enable"), "1");
            }
            instance
        };
        Hidden { instance: (!guest()).then(start) }
    }

    /// The first that may have been hidden, as the reason for another turn.
    #[track_caller]
    pub fn check(&self) -> Result<(), String> {
        let lines = self.instance.iter().flat_map(Instance::lines);
        let heads = lines.filter_map(|line| Some((line.split_once(": ")?.0.to_owned(), line)));
        match heads.into_iter().find(|(head, _)| maybe_unseen(head)) {
            Some((_, line)) => Err(format!("hidden from programs: {line}")),
            None => Ok(()),
        }
    }

    /// The reason for another turn; a failure where nothing was hidden.
    #[track_caller]
    pub fn explains<T>(&self, what: &str) -> Result<T, String> {
        let Err(reason) = self.check() else { panic!("{what}, and nothing was hidden") };
        Err(format!("{what}: {reason}"))
    }
}
