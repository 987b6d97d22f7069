//! `queue`: packets of a connection between TCP and the driver.

use super::Hook;
use super::common::{UNKNOWN_NS, full, of, slot, std, text};
use super::names::TCP_FLAGS;
use super::socket::{socket_event_type, view};
use crate::skel::QueueRecord;
use crate::slot::Condition;
use crate::table::Column;
use crate::table::Type::{Text, Unsigned};
use crate::table::Unit::{Bytes, Count, Microseconds, None, Segments, Sequence};

/// The TCP header can be read.
const HAS_HEADER: &[Condition] = &[Condition::is_not(slot!(QueueRecord, has_header), 0)];
/// There is a qdisc that counts.
const HAS_QLEN: &[Condition] = &[Condition::is_not(slot!(QueueRecord, has_qlen), 0)];

#[rustfmt::skip]
static COLUMNS: &[Column] = &[
    std("dev", (Text, None), "dev->name", "Interface whose driver gets the packet.", text!(QueueRecord, dev)),
    std("qdisc", (Text, None), "txq->qdisc->ops->id", "Queueing discipline of the transmit queue, such as fq, or `noqueue`. Null if unknown.", text!(QueueRecord, qdisc).unset(0)),
    std("skb_len", (Unsigned, Bytes), "skb->len", "Length of the packet with all headers, as the driver gets it.", of!(QueueRecord, len)),
    std("segs", (Unsigned, Segments), "skb_shinfo(skb)->gso_segs", "Segments in the packet, several if the device segments it (TSO).", of!(QueueRecord, segs)),
    std("seq", (Unsigned, Sequence), "tcphdr->seq", "Sequence number. Null if the header cannot be read (encrypted).", of!(QueueRecord, seq).when(HAS_HEADER)),
    std("data_len", (Unsigned, Bytes), "skb->len, tcphdr->doff", "Payload length. Null as for `seq`.", of!(QueueRecord, data_len).when(HAS_HEADER)),
    std("flags", (Text, None), "struct tcphdr", "TCP flags of the packet, by name: PSH|ACK. Null as for `seq`.", of!(QueueRecord, tcp_flags).named(TCP_FLAGS).when(HAS_HEADER)),
    std("qlen", (Unsigned, Count), "qdisc->q.qlen", "Packets in the qdisc when this one arrived. Null without a qdisc, if the qdisc counts per CPU (pfifo_fast), or if the arrival was not observed.", of!(QueueRecord, qlen).when(HAS_QLEN)),
    std("backlog_bytes", (Unsigned, Bytes), "qdisc->qstats.backlog", "Bytes in the qdisc at that time, as it counts them. Null as for `qlen`.", of!(QueueRecord, backlog).when(HAS_QLEN)),
    std("queue_us", (Unsigned, Microseconds), "from net_dev_queue to net_dev_start_xmit", "Time from net_dev_queue to the driver. For a part of a packet that was segmented on the way, from net_dev_queue of the whole. Null if that was not observed, or was evicted.", of!(QueueRecord, queue_ns).unset(UNKNOWN_NS).divided(1000)),
    std("qdisc_us", (Unsigned, Microseconds), "from qdisc_enqueue to qdisc_dequeue", "Time in the qdisc, included in `queue_us`. Before Linux 5.14, and for a part of a packet, measured from net_dev_queue. Null if the packet bypassed the qdisc (there is none, or an empty one let it pass), or if `queue_us` is null.", of!(QueueRecord, qdisc_ns).unset(UNKNOWN_NS).divided(1000)),
    full("ifindex", (Unsigned, None), "dev->ifindex", "Index of the interface.", of!(QueueRecord, event.owner.ifindex)),
    full("dev_netns", (Unsigned, None), "dev_net(dev)->ns.inum", "Network namespace of the interface. Differs from the socket's if a bridge has taken the packet there.", of!(QueueRecord, dev_netns)),
    full("queue_mapping", (Unsigned, None), "skb->queue_mapping", "Transmit queue of the interface, by number.", of!(QueueRecord, queue_mapping)),
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
    "net:net_dev_start_xmit",
    "The kernel hands a packet of a connection to the driver of a network device. Shows how long it was queued, and where.",
    view![
        ("PID", "pid", 6),
        ("DEV", "dev", 6),
        ("QDISC", "qdisc", 8),
        ("len", "skb_len", 5),
        ("qlen", "qlen", 4),
        ("backlog", "backlog_bytes", 7),
        ("wait", "queue_us", 7),
    ],
    extra_hooks: EXTRA_HOOKS
);
