//! `queue`: packets of a connection between TCP and the driver.

use super::ca::until_nul;
use super::common::{Field, full, std, us};
use super::socket::{socket_event_type, view};
use super::{Hook, drop};
use crate::skel::QueueRecord;
use crate::table::Type::{Text, Unsigned};
use crate::table::Unit::{Bytes, Count, Microseconds, None, Segments, Sequence};
use crate::table::Value::{self, Name, Null, U64};

/// A value from the TCP header; null if that cannot be read.
fn of_header(r: &QueueRecord, value: Value<'static>) -> Value<'static> {
    if r.has_header == 0 { Null } else { value }
}

/// A counter of the qdisc; null if there is none.
fn of_qdisc(r: &QueueRecord, value: u32) -> Value<'static> {
    if r.has_qlen == 0 { Null } else { U64(value.into()) }
}

#[rustfmt::skip]
static FIELDS: &[Field<QueueRecord>] = &[
    std("dev", (Text, None), "dev->name", "Interface whose driver gets the packet.", |r| Name(until_nul(&r.dev))),
    std("qdisc", (Text, None), "txq->qdisc->ops->id", "Queueing discipline of the transmit queue, such as fq, or `noqueue`. Null if unknown.", |r| if r.qdisc[0] == 0 { Null } else { Name(until_nul(&r.qdisc)) }),
    std("skb_len", (Unsigned, Bytes), "skb->len", "Length of the packet with all headers, as the driver gets it.", |r| U64(r.len.into())),
    std("segs", (Unsigned, Segments), "skb_shinfo(skb)->gso_segs", "Segments in the packet, several if the device segments it (TSO).", |r| U64(r.segs.into())),
    std("seq", (Unsigned, Sequence), "tcphdr->seq", "Sequence number. Null if the header cannot be read (encrypted).", |r| of_header(r, U64(r.seq.into()))),
    std("data_len", (Unsigned, Bytes), "skb->len, tcphdr->doff", "Payload length. Null as for `seq`.", |r| of_header(r, U64(r.data_len.into()))),
    std("flags", (Text, None), "struct tcphdr", "TCP flags of the packet, by name: PSH|ACK. Null as for `seq`.", |r| of_header(r, drop::flags(r.tcp_flags))),
    std("qlen", (Unsigned, Count), "qdisc->q.qlen", "Packets in the qdisc when this one arrived. Null without a qdisc, if the qdisc counts per CPU (pfifo_fast), or if the arrival was not observed.", |r| of_qdisc(r, r.qlen)),
    std("backlog_bytes", (Unsigned, Bytes), "qdisc->qstats.backlog", "Bytes in the qdisc at that time, as it counts them. Null as for `qlen`.", |r| of_qdisc(r, r.backlog)),
    std("queue_us", (Unsigned, Microseconds), "from net_dev_queue to net_dev_start_xmit", "Time from net_dev_queue to the driver. For a part of a packet that was segmented on the way, from net_dev_queue of the whole. Null if that was not observed, or was evicted.", |r| us(r.queue_ns)),
    std("qdisc_us", (Unsigned, Microseconds), "from qdisc_enqueue to qdisc_dequeue", "Time in the qdisc, included in `queue_us`. Before Linux 5.14, and for a part of a packet, measured from net_dev_queue. Null if the packet bypassed the qdisc (there is none, or an empty one let it pass), or if `queue_us` is null.", |r| us(r.qdisc_ns)),
    full("ifindex", (Unsigned, None), "dev->ifindex", "Index of the interface.", |r| U64(r.event.owner.ifindex.into())),
    full("dev_netns", (Unsigned, None), "dev_net(dev)->ns.inum", "Network namespace of the interface. Differs from the socket's if a bridge has taken the packet there.", |r| U64(r.dev_netns.into())),
    full("queue_mapping", (Unsigned, None), "skb->queue_mapping", "Transmit queue of the interface, by number.", |r| U64(r.queue_mapping.into())),
];

const EXTRA_HOOKS: &[Hook] = &[
    Hook { hook: "net:net_dev_queue", without: Option::None },
    Hook { hook: "qdisc:qdisc_enqueue", without: Some("`qdisc_us` begins at net_dev_queue") },
    Hook { hook: "qdisc:qdisc_dequeue", without: Option::None },
];

socket_event_type!(
    QueueRecord,
    TCC_EVENT_QUEUE,
    "queue",
    "net:net_dev_start_xmit" and EXTRA_HOOKS,
    "The kernel hands a packet of a connection to the driver of a network device. Shows how long it was queued, and where.",
    view![
        ("PID", "pid", 6),
        ("DEV", "dev", 6),
        ("QDISC", "qdisc", 8),
        ("len", "skb_len", 5),
        ("qlen", "qlen", 4),
        ("backlog", "backlog_bytes", 7),
        ("wait", "queue_us", 7),
    ]
);
