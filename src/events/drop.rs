//! `drop`: skb:kfree_skb, for TCP packets.

use super::common::{full, needs, of, slot, std};
use super::names::{TCP_FLAGS, TCP_STATES};
use super::socket::{socket_event_type, view};
use crate::skel::{DropRecord, DropStackRecord};
use crate::slot::Names::{Kernel, List};
use crate::slot::{KernelEnum, Slot};
use crate::table::Type::{Text, TextList, Unsigned};
use crate::table::Unit::{Bytes, None, Segments, Sequence};
use crate::table::origin::Stack;
use crate::table::{Column, Member, Origin};

const REASON_ARGUMENT: Member = Member { type_name: "trace_event_raw_kfree_skb", member: "reason" };

/// Frames from the drop outwards, without those of the tracepoint and its program.
static STACK: Stack = Stack {
    location: slot!(DropRecord, location),
    count: slot!(DropRecord, frames),
    frames: Slot::number(
        std::mem::offset_of!(DropStackRecord, stack),
        size_of::<DropStackRecord>() - std::mem::offset_of!(DropStackRecord, stack),
    ),
};

#[rustfmt::skip]
static COLUMNS: &[Column] = &[
    needs(REASON_ARGUMENT, std("reason", (Text, None), "enum skb_drop_reason", "Drop reason: this kernel's name (NO_SOCKET), or a subsystem's (QDISC_DROP_OVERLIMIT). Null before Linux 5.17, and for numbers without a name.", of!(DropRecord, reason).named(Kernel(KernelEnum::DropReason)))),
    std("location", (Text, None), "location", "Code that dropped the packet: function and offset. Null if kernel addresses are hidden (kptr_restrict) and the kernel has no ksym iterator (before Linux 6.0).", of!(DropRecord, location).code()),
    full("stack", (TextList, None), "bpf_get_stack()", "Kernel stack, innermost frame (`location`) first. Null without `--stack`.", Origin::Stack(&STACK)),
    std("direction", (Text, None), "skc_num, skb->skb_iif", "`out` for a packet that the local side sent, `in` for one from the peer: by the socket's port, else by the packet's path.", of!(DropRecord, outgoing).flag().named(List(&["in", "out"]))),
    std("flags", (Text, None), "struct tcphdr", "TCP flags of the packet, by name: SYN|ACK.", of!(DropRecord, tcp_flags).named(TCP_FLAGS)),
    std("seq", (Unsigned, Sequence), "tcphdr->seq", "Sequence number.", of!(DropRecord, seq)),
    std("ack_seq", (Unsigned, Sequence), "tcphdr->ack_seq", "Acknowledgment number.", of!(DropRecord, ack_seq)),
    std("data_len", (Unsigned, Bytes), "iphdr->tot_len, skb->len", "Payload length.", of!(DropRecord, data_len)),
    std("segs", (Unsigned, Segments), "skb_shinfo(skb)->gso_segs", "Segments in the packet (GSO, GRO).", of!(DropRecord, segs)),
    std("sk_state", (Text, None), "sk->sk_state", "TCP state of the socket. Null if no socket is known.", of!(DropRecord, state).unset(0).named(List(TCP_STATES))),
    full("ifindex", (Unsigned, None), "skb->skb_iif, skb->dev", "Index of the interface that the packet arrived on, or was to leave by. Null if not known.", of!(DropRecord, event.owner.ifindex).unset(0)),
    full("skb_len", (Unsigned, Bytes), "skb->len", "Length of the packet when it was dropped, including the headers that it then had.", of!(DropRecord, skb_len)),
    full("mark", (Unsigned, None), "skb->mark", "Firewall mark of the packet.", of!(DropRecord, mark)),
];

socket_event_type!(
    DropRecord,
    TCC_EVENT_DROP,
    "drop",
    "skb:kfree_skb",
    "The kernel drops a TCP packet.",
    view![
        ("PID", "pid", 6),
        ("DIR", "direction", 3),
        ("STATE", "sk_state", 11),
        ("FLAGS", "flags", 7),
        ("REASON", "reason", 14),
    ],
    record: crate::events::Record {
        size: size_of::<DropRecord>(),
        longest: size_of::<DropStackRecord>(),
    }
);
