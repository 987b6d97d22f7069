//! State that the programs keep of connections between events, and the tracepoints that keep it up to date.

use crate::skel::Tracker as Bits;

/// One kind of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tracker {
    /// The process that uses the connection.
    Owner,
    /// When it began, and how long its handshake took.
    History,
    /// Who reset it.
    Resets,
    /// When a SYN-ACK that is retransmitted was first sent.
    SynackTime,
    /// The same of a SYN, with TCP_FASTOPEN_CONNECT.
    SynAgain,
    /// RTT and congestion window at each packet.
    Samples,
    /// Ends and totals of closed connections.
    Closed,
    /// Beginnings and ends of connections, beside snapshots of all of them.
    Snapshots,
    /// Time in congestion control states.
    CaStateTime,
    /// What limits a connection, and for how long.
    Limits,
    /// A record of that at its end.
    LimitsEnds,
    /// What it has transferred.
    Observed,
}

impl Tracker {
    /// Its tracepoints, `group:name`.
    #[must_use]
    pub fn hooks(self) -> &'static [&'static str] {
        match self {
            Tracker::Owner => {
                &["sock:inet_sock_set_state", "tcp:tcp_rcv_space_adjust", "tcp:tcp_sendmsg_locked"]
            }
            Tracker::History => &["sock:inet_sock_set_state"],
            Tracker::Resets => &["tcp:tcp_receive_reset", "tcp:tcp_send_reset"],
            Tracker::SynackTime => &["tcp:tcp_retransmit_synack"],
            Tracker::SynAgain => &["tcp:tcp_retransmit_skb"],
            Tracker::Samples => &["tcp:tcp_probe"],
            Tracker::Closed
            | Tracker::Snapshots
            | Tracker::CaStateTime
            | Tracker::LimitsEnds
            | Tracker::Observed => &["sock:inet_sock_set_state", "tcp:tcp_destroy_sock"],
            Tracker::Limits => &[
                "tcp:tcp_probe",
                "sock:inet_sock_set_state",
                "tcp:tcp_sendmsg_locked",
                "tcp:tcp_cong_state_set",
                "tcp:tcp_retransmit_skb",
                "net:net_dev_queue",
                "tcp:tcp_destroy_sock",
            ],
        }
    }

    /// Its bit in the programs' configuration.
    #[must_use]
    pub fn bit(self) -> u32 {
        match self {
            Tracker::Owner => Bits::TCC_TRACK_OWNER,
            Tracker::History => Bits::TCC_TRACK_HISTORY,
            Tracker::Resets => Bits::TCC_TRACK_RESETS,
            Tracker::SynackTime => Bits::TCC_TRACK_SYNACK_TIME,
            Tracker::SynAgain => Bits::TCC_TRACK_SYN_AGAIN,
            Tracker::Samples => Bits::TCC_TRACK_SAMPLES,
            Tracker::Closed => Bits::TCC_TRACK_CLOSED,
            Tracker::Snapshots => Bits::TCC_TRACK_SNAPSHOTS,
            Tracker::CaStateTime => Bits::TCC_TRACK_CA_STATE_TIME,
            Tracker::Limits => Bits::TCC_TRACK_LIMITS,
            Tracker::LimitsEnds => Bits::TCC_TRACK_LIMITS_ENDS,
            Tracker::Observed => Bits::TCC_TRACK_OBSERVED,
        }
        .0
    }
}
