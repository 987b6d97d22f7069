//! `queue`: a connection's packets between TCP and the driver.

use super::ca::until_nul;
use super::common::{Field, full, std, us};
use super::socket::{socket_event_type, view};
use super::{Hook, drop};
use crate::skel::QueueRecord;
use crate::table::Type::{Text, Unsigned};
use crate::table::Unit::{Bytes, Count, Microseconds, None, Segments, Sequence};
use crate::table::Value::{self, Name, Null, U64};

/// What the TCP header says, where it can be read.
fn of_header(r: &QueueRecord, value: Value<'static>) -> Value<'static> {
    if r.has_header == 0 { Null } else { value }
}

/// Of the qdisc, where it counts that.
fn of_qdisc(r: &QueueRecord, value: u32) -> Value<'static> {
    if r.has_qlen == 0 { Null } else { U64(value.into()) }
}

#[rustfmt::skip]
static FIELDS: &[Field<QueueRecord>] = &[
    std("dev", (Text, None), "dev->name", "The interface whose driver the packet is handed to.", |r| Name(until_nul(&r.dev))),
    std("qdisc", (Text, None), "txq->qdisc->ops->id", "The event type of queueing discipline of its queue there; `noqueue`: none.", |r| if r.qdisc[0] == 0 { Null } else { Name(until_nul(&r.qdisc)) }),
    std("skb_len", (Unsigned, Bytes), "skb->len", "The packet's bytes with all headers, as the driver gets it.", |r| U64(r.len.into())),
    std("segs", (Unsigned, Segments), "skb_shinfo(skb)->gso_segs", "Its segments: several where the device is to take it apart.", |r| U64(r.segs.into())),
    std("seq", (Unsigned, Sequence), "tcphdr->seq", "Its sequence number; null where its header cannot be read (it is encrypted).", |r| of_header(r, U64(r.seq.into()))),
    std("data_len", (Unsigned, Bytes), "skb->len, tcphdr->doff", "Its payload.", |r| of_header(r, U64(r.data_len.into()))),
    std("flags", (Text, None), "struct tcphdr", "Its TCP flags, by name: PSH|ACK.", |r| of_header(r, drop::flags(r.tcp_flags))),
    std("qlen", (Unsigned, Count), "qdisc->q.qlen", "Packets in the qdisc as this one came; null where there is none, or it counts them for each CPU (pfifo_fast).", |r| of_qdisc(r, r.qlen)),
    std("backlog_bytes", (Unsigned, Bytes), "qdisc->qstats.backlog", "Their bytes, as the qdisc counts them.", |r| of_qdisc(r, r.backlog)),
    std("queue_us", (Unsigned, Microseconds), "from net_dev_queue to net_dev_start_xmit", "How long it was between TCP and the driver, for a part of a packet since that one came; null where that was not seen, or is evicted.", |r| us(r.queue_ns)),
    std("qdisc_us", (Unsigned, Microseconds), "from qdisc_enqueue to qdisc_dequeue", "Of these, in the qdisc; before 5.14, and of a part, from net_dev_queue on. Null where it went past the qdisc, as there is none, or none was in its way (an empty one may let it by).", |r| us(r.qdisc_ns)),
    full("ifindex", (Unsigned, None), "dev->ifindex", "The interface's number.", |r| U64(r.event.owner.ifindex.into())),
    full("dev_netns", (Unsigned, None), "dev_net(dev)->ns.inum", "The interface's namespace: another than the socket's where the packet has come there by a bridge.", |r| U64(r.dev_netns.into())),
    full("queue_mapping", (Unsigned, None), "skb->queue_mapping", "Which of the interface's queues.", |r| U64(r.queue_mapping.into())),
];

const MORE: &[Hook] = &[
    Hook { hook: "net:net_dev_queue", program: "queue_begin", without: Option::None },
    Hook {
        hook: "qdisc:qdisc_enqueue",
        program: "queue_enter",
        without: Some("`qdisc_us` begins at net_dev_queue"),
    },
    Hook { hook: "qdisc:qdisc_dequeue", program: "queue_leave", without: Option::None },
];

socket_event_type!(
    QueueRecord,
    TCC_EVENT_QUEUE,
    "queue",
    "net:net_dev_start_xmit" and MORE,
    "A connection's packet is handed to a network device's driver: how long it waited, and in which queue.",
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
