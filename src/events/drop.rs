//! `drop`: skb:kfree_skb, for TCP packets.

use std::sync::LazyLock;

use super::Types;
use super::common::{Field, full, needs, std};
use super::names::{TCP_STATES, name};
use super::socket::{self, view};
use crate::skel::{DropRecord, DropStackRecord};
use crate::table::Member;
use crate::table::Type::{Text, TextList, Unsigned};
use crate::table::Unit::{Bytes, None, Segments, Sequence};
use crate::table::Value::{self, Code, Null, Stack, Str, U64};

/// The TCP header's flags, from its lowest bit on.
const FLAGS: &[&str] = &["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "AE"];

/// Names of every combination of flags, indexed by its bits.
static FLAG_SETS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let set = |bits: usize| {
        let names = FLAGS.iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1);
        names.map(|(_, name)| *name).collect::<Vec<_>>().join("|")
    };
    (0..1 << FLAGS.len()).map(set).collect()
});

/// The names of those flags.
pub(super) fn flags(flags: u16) -> Value<'static> {
    FLAG_SETS.get(usize::from(flags)).map_or(Null, |names| Str(names))
}

const REASON_ARGUMENT: Member = Member { type_name: "trace_event_raw_kfree_skb", member: "reason" };

#[rustfmt::skip]
static FIELDS: &[Field<DropRecord>] = &[
    // The first three need names that differ between kernels: see value().
    needs(REASON_ARGUMENT, std("reason", (Text, None), "enum skb_drop_reason", "Drop reason: this kernel's name (NO_SOCKET), or a subsystem's (QDISC_DROP_OVERLIMIT). Null before Linux 5.17, and for numbers without a name.", |_| Null)),
    std("location", (Text, None), "location", "Code that dropped the packet: function and offset. Null if kernel addresses are hidden (kptr_restrict) and the kernel has no ksym iterator (before Linux 6.0).", |_| Null),
    full("stack", (TextList, None), "bpf_get_stack()", "Kernel stack, innermost frame (`location`) first. Null without `--stack`.", |_| Null),
    std("direction", (Text, None), "skc_num, skb->skb_iif", "`out` for a packet that the local side sent, `in` for one from the peer: by the socket's port, else by the packet's path.", |r| Str(if r.outgoing == 0 { "in" } else { "out" })),
    std("flags", (Text, None), "struct tcphdr", "TCP flags of the packet, by name: SYN|ACK.", |r| flags(r.tcp_flags)),
    std("seq", (Unsigned, Sequence), "tcphdr->seq", "Sequence number.", |r| U64(r.seq.into())),
    std("ack_seq", (Unsigned, Sequence), "tcphdr->ack_seq", "Acknowledgment number.", |r| U64(r.ack_seq.into())),
    std("data_len", (Unsigned, Bytes), "iphdr->tot_len, skb->len", "Payload length.", |r| U64(r.data_len.into())),
    std("segs", (Unsigned, Segments), "skb_shinfo(skb)->gso_segs", "Segments in the packet (GSO, GRO).", |r| U64(r.segs.into())),
    std("sk_state", (Text, None), "sk->sk_state", "TCP state of the socket. Null if no socket is known.", |r| if r.state == 0 { Null } else { name(TCP_STATES, r.state) }),
    full("ifindex", (Unsigned, None), "skb->skb_iif, skb->dev", "Index of the interface that the packet arrived on, or was to leave by. Null if not known.", |r| Value::unless(r.event.owner.ifindex.into(), 0)),
    full("skb_len", (Unsigned, Bytes), "skb->len", "Length of the packet when it was dropped, including the headers that it then had.", |r| U64(r.skb_len.into())),
    full("mark", (Unsigned, None), "skb->mark", "Firewall mark of the packet.", |r| U64(r.mark.into())),
];

const REASON: usize = 0;
const LOCATION: usize = 1;
const STACK: usize = 2;

fn value<'a>(bytes: &'a [u8], types: &'a Types, index: usize) -> Value<'a> {
    if index > STACK {
        return socket::value(FIELDS, bytes, index);
    }
    let Ok(record) = plain::from_bytes::<DropRecord>(bytes) else {
        return Null;
    };
    match index {
        REASON => types.drop_reasons.get(&record.reason.into()).map_or(Null, |name| Str(name)),
        LOCATION if types.symbols.shows(record.location) => Code(record.location, &types.symbols),
        STACK => match plain::from_bytes::<DropStackRecord>(bytes).map(frames) {
            Ok(frames) if frames.iter().any(|&code| types.symbols.shows(code)) => {
                Stack(frames, &types.symbols)
            }
            _ => Null,
        },
        _ => Null,
    }
}

/// Frames from the drop outwards, without those of the tracepoint and its program.
fn frames(record: &DropStackRecord) -> &[u64] {
    let all = record.stack.get(..record.drop.frames.into()).unwrap_or_default();
    let first = all.iter().position(|address| *address == record.drop.location);
    &all[first.unwrap_or(0)..]
}

/// The event type for the registry.
pub const EVENT_TYPE: super::EventType = super::EventType {
    name: "drop",
    number: crate::skel::EventType::TCC_EVENT_DROP.0 as u8,
    doc: "The kernel drops a TCP packet.",
    hook: "skb:kfree_skb",
    columns: || socket::columns(FIELDS),
    view: view![
        ("PID", "pid", 6),
        ("DIR", "direction", 3),
        ("STATE", "sk_state", 11),
        ("FLAGS", "flags", 7),
        ("REASON", "reason", 14),
    ],
    extra_hooks: &[],
    fallback_hooks: &[],
    trackers: &[],
    record: Some(super::Record {
        size: size_of::<DropRecord>(),
        longest: size_of::<DropStackRecord>(),
        value,
    }),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_names() {
        assert_eq!(FLAG_SETS[0x12], "SYN|ACK");
        assert_eq!(FLAG_SETS[0], "");
        assert_eq!(FLAG_SETS[0x1ff], "FIN|SYN|RST|PSH|ACK|URG|ECE|CWR|AE");
    }

    #[test]
    fn the_stack_begins_where_it_was_dropped() {
        let mut record = DropStackRecord::default();
        record.stack[..4].copy_from_slice(&[1, 2, 3, 4]);
        record.drop.frames = 4;
        record.drop.location = 3;
        assert_eq!(frames(&record), [3, 4]);
        record.drop.location = 9;
        assert_eq!(frames(&record), [1, 2, 3, 4]);
        record.drop.frames = 200;
        assert!(frames(&record).is_empty());
    }
}
