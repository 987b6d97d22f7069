//! What a test process can be told to do, one JSON line per order. `TestProcess` sends the orders, `role` carries them out.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Connections have names, which the test chooses.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    Listen {
        addr: SocketAddr,
    },
    /// Listens on an address that others may listen on, too (SO_REUSEPORT).
    ListenShared {
        addr: SocketAddr,
    },
    /// SO_RCVBUF of the connections that are accepted from now on.
    NarrowListener {
        bytes: usize,
    },
    /// Closes the listener.
    Unlisten,
    /// Sets SO_MARK and SO_BINDTODEVICE of the listener.
    BindListener {
        mark: u32,
        device: String,
    },
    Accept {
        name: String,
        call: AcceptCall,
    },
    /// Accepts so many connections one after another, and reads each to its end.
    Serve {
        count: usize,
    },
    Connect {
        name: String,
        to: SocketAddr,
    },
    /// Connects and closes; answers with the errno of connect().
    TryConnect {
        to: SocketAddr,
    },
    /// Connects by sendto() with MSG_FASTOPEN and closes; answers with its errno.
    TryFastOpen {
        to: SocketAddr,
    },
    /// Connects, and gives up after 100 ms.
    Knock {
        to: SocketAddr,
    },
    /// Starts a non-blocking connect().
    StartConnect {
        name: String,
        to: SocketAddr,
    },
    /// Connects, and keeps the socket where that fails.
    FailConnect {
        name: String,
        to: SocketAddr,
    },
    /// connect(AF_UNSPEC): ends the connection and keeps the socket.
    Disconnect {
        name: String,
    },
    /// Connects a socket that was disconnected.
    /// Without waiting.
    ConnectAgain {
        name: String,
        to: SocketAddr,
    },
    Reconnect {
        name: String,
        to: SocketAddr,
    },
    /// Waits for the end of that connect(); answers with its errno.
    Outcome {
        name: String,
    },
    /// Waits until the connection fails; answers with the errno.
    WaitError {
        name: String,
    },
    /// Makes so many connections one after another, each of so many bytes.
    Burst {
        to: SocketAddr,
        count: usize,
        bytes: usize,
    },
    /// Takes the connection that the process inherited as standard input.
    Inherit {
        name: String,
    },
    Send {
        name: String,
        bytes: usize,
    },
    Receive {
        name: String,
        bytes: usize,
    },
    /// Sends chunks for that long, with a pause after each.
    SendFor {
        name: String,
        ms: u64,
        pace: Pace,
    },
    /// Reads to the end of the connection from now on, a chunk after each pause.
    Sink {
        name: String,
        pace: Pace,
    },
    /// Sends as much as the buffers take; answers with how much that was.
    Fill {
        name: String,
    },
    /// Ends its own direction by a FIN.
    Shutdown {
        name: String,
    },
    Close {
        name: String,
    },
    Set {
        name: String,
        option: SocketOption,
    },
    /// The congestion control of sockets made from now on.
    UseCc {
        cc: String,
    },
    /// Starts a child that inherits the connection of that name, or else the listener.
    Fork {
        name: Option<String>,
        control: PathBuf,
    },
    /// Names the process so.
    Rename {
        name: Vec<u8>,
    },
    /// Sends a datagram that nobody takes.
    Datagram {
        to: SocketAddr,
    },
    /// Sends a SYN with a wrong checksum.
    ForgeSyn {
        to: SocketAddr,
    },
}

/// How fast a process writes or reads.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Pace {
    pub chunk: usize,
    pub pause_ms: u64,
}

impl Pace {
    /// Without pauses.
    pub const FAST: Pace = Pace { chunk: 65_536, pause_ms: 0 };
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum AcceptCall {
    /// accept4(), which libraries use.
    Accept4,
    /// accept(), which it has replaced.
    Accept,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum SocketOption {
    Mark(u32),
    Tos(u32),
    /// Closing then sends a RST.
    LingerZero,
    UserTimeoutMs(u64),
    /// TCP_LINGER2: below 0 an orphan is reset in place of FIN_WAIT2.
    Linger2(i32),
    /// TCP_REPAIR: connecting and closing send nothing.
    Repair(bool),
    /// Reports into the error queue when data is acknowledged.
    AckTimestamps,
    /// SO_SNDBUF and SO_RCVBUF.
    SendBuffer(usize),
    ReceiveBuffer(usize),
    /// SO_MAX_PACING_RATE, in bytes per second.
    MaxPacingRate(u64),
    /// fchown(), which changes whose socket it is.
    Owner(u32),
}

/// What the kernel itself says of a socket.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Socket {
    pub cookie: u64,
    pub ino: u64,
    pub local: SocketAddr,
}
