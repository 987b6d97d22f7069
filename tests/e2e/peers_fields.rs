//! Every field whose source is named as a plain expression, such as `tp->prr_out` or `tp->mdev_us >> 2`, against what bpftrace
//! makes of just that expression where the same packet enters the same function. So it is also the documentation that is
//! tested. In guests, as it needs a kprobe, and only with VM_TOOLS (see script/test).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::peers::{Peer, installed};
use crate::support::{
    FAMILIES, Fixture, Launch, Server, Tracer, guest, is_root, is_whole, schema, some_turn,
    traffic_in, u64_of,
};

/// No plain numbers: macros for parts of others, structs around a number, what a time is worked out from, and flags that
/// other CPUs change without the socket's lock.
const OTHERS: [&str; 11] = [
    "sk_rmem_alloc",
    "sk_wmem_alloc",
    "sk_omem_alloc",
    "sk_drops",
    "sk_state",
    "sk_uid",
    "chrono_stat",
    "chrono_start",
    "sk_tsq_flags",
    "lsndtime",
    "rcv_tstamp",
];
/// More than that many at a time do not fit into bpftrace's stack.
const AT_A_TIME: usize = 10;
/// Other CPUs add to it without the socket's lock, also between the two.
const GROWS: &str = "backlog_len";
/// What is printed as null.
const UNKNOWN: [i64; 4] = [0, 0x7fff_ffff, 0xffff_ffff, -1];

/// Columns with their expressions.
fn columns() -> Vec<(String, String)> {
    let schema = schema();
    let event_types = schema["oneOf"].as_array().expect("event_types");
    let probe =
        event_types.iter().find(|event_type| event_type["title"] == "probe").expect("probe");
    let columns = probe["properties"].as_object().expect("columns").iter();
    let named = columns.filter_map(|(name, column)| {
        let source = column["x-source"].as_str()?;
        let (of, rest) = source.split_once("->")?;
        let (member, shift) = rest.split_once(" >> ").unwrap_or((rest, "0"));
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.".contains(c);
        let number = column["type"].as_array()?.iter().any(|t| t == "integer" || t == "boolean");
        let takes = ["tp", "sk"].contains(&of)
            && member.chars().all(plain)
            && shift.parse::<u8>().is_ok()
            && number
            && !OTHERS.contains(&member);
        takes.then(|| (name.clone(), format!("(${of}->{member} >> {shift})")))
    });
    named.collect()
}

fn script(columns: &[(String, String)], port: u16) -> String {
    let mut script = format!(
        "BEGIN {{ printf(\"ready\\n\"); }}
         kprobe:tcp_rcv_established {{
           $sk = (struct sock *)arg0;
           $tp = (struct tcp_sock *)arg0;
           $sport = $sk->__sk_common.skc_num;
           $dport = bswap($sk->__sk_common.skc_dport);
           if ($sport == {port} || $dport == {port}) {{
             $t = nsecs;\n"
    );
    for (i, some) in columns.chunks(AT_A_TIME).enumerate() {
        let formats = " %lld".repeat(some.len());
        let values: Vec<&str> = some.iter().map(|(_, expression)| expression.as_str()).collect();
        let values = values.join(", ");
        script += &format!(
            "printf(\"part {i} %lld %d %d{formats}\\n\", $t, $sport, $dport, {values});\n"
        );
    }
    script + "} }"
}

/// By the ends' ports and the time: all values of each packet.
type Packets = BTreeMap<(u64, u64), BTreeMap<u64, Vec<i64>>>;
/// Either program misses what happens while it runs itself: so many packets of a hundred need to be in both.
const IN_BOTH: usize = 90;
/// By these they are known.
const PACKET: [&str; 3] = ["segs_in", "rcv_nxt", "snd_una"];

fn theirs(lines: &[Vec<String>], columns: usize) -> Packets {
    let mut parts: BTreeMap<(u64, u64, u64), BTreeMap<u64, Vec<i64>>> = BTreeMap::new();
    for words in lines.iter().filter(|words| words.first().is_some_and(|word| word == "part")) {
        let number = |i: usize| words[i].parse::<u64>().unwrap_or_else(|_| panic!("{words:?}"));
        let values = words[5..].iter().map(|word| word.parse().expect("a number")).collect();
        parts.entry((number(2), number(3), number(4))).or_default().insert(number(1), values);
    }
    let mut packets = Packets::new();
    for ((time, sport, dport), parts) in parts {
        let values: Vec<i64> = parts.into_values().flatten().collect();
        assert_eq!(values.len(), columns, "not all parts of a packet");
        packets.entry((sport, dport)).or_default().insert(time, values);
    }
    packets
}

#[track_caller]
fn compare(columns: &[(String, String)], event: &Value, values: &[i64]) {
    for ((name, expression), theirs) in columns.iter().zip(values) {
        let ours = match &event[name] {
            Value::Null => None,
            // sack_ok has a bit for D-SACK, too.
            Value::Bool(flag) => Some(if *flag { (*theirs).max(1) } else { 0 }),
            value => Some(value.as_i64().unwrap_or_else(|| panic!("{name}: {event}"))),
        };
        // Whether 32 bits are signed is of no concern.
        let same =
            |ours: i64| ours == *theirs || (ours as u32 == *theirs as u32 && ours.abs() < 1 << 32);
        let has_grown = name == GROWS && ours.is_some_and(|ours| ours > *theirs);
        let alike = has_grown || ours.map_or(UNKNOWN.contains(theirs), same);
        assert!(alike, "{name} is {ours:?}, {expression} is {theirs}: {event}");
    }
}

#[test]
fn every_plain_field_is_its_expression() {
    need!(is_root(), "not root");
    need!(guest(), "it needs a kprobe", legitimate: true);
    need!(installed("bpftrace"), "bpftrace is not installed", legitimate: true);
    let columns = columns();
    assert!(columns.len() > 50, "{columns:?}");
    some_turn(|| {
        let fixture = Fixture::new();
        fixture.ns.run(&["ip", "link", "set", "lo", "mtu", "1500"]);
        let port = fixture.port;
        fixture
            .rule(&format!("tcp dport {port} tcp flags & syn == 0 numgen random mod 100 < 3 drop"));
        let server = Server::start_in(&fixture.ns.launch(), &format!("[::]:{port}"), Some("cubic"));
        let text = port.to_string();
        let args = ["--all-fields", "--port", &text];
        let tracer = Tracer::start_in(&Launch::here().with_tracefs(), &args);
        let peer = Peer::start("bpftrace", &["-e", &script(&columns, port)], "ready");
        for family in FAMILIES {
            let to = fixture.addr(family).to_string();
            let args = ["bulk", "--to", &to, "--bytes", "300000", "--cc", "cubic"];
            traffic_in(&fixture.ns.launch(), &args);
        }
        server.settle();
        let (trace, lines) = (tracer.stop(), peer.stop());
        trace.check_account();
        let packets = theirs(&lines, columns.len());
        // The function was entered before the tracepoint in it fires, and the socket takes its packets one by one: so of
        // one connection's packets, what bpftrace saw since the event before is the same packet, unless each of the two
        // has missed another one there.
        let place = |name: &str| columns.iter().position(|column| column.0 == name).expect("it");
        let same = PACKET.map(|name| (name, place(name)));
        let mut before: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        let mut both = 0;
        for event in &trace.events {
            let key = (u64_of(event, "sport"), u64_of(event, "dport"));
            let time = u64_of(event, "mono_ns");
            let since = before.insert(key, time).unwrap_or(0);
            let packet = packets.get(&key).and_then(|of| of.range(since..=time).next_back());
            let is_same = |values: &Vec<i64>| {
                same.iter().all(|&(name, i)| u64_of(event, name) as u32 == values[i] as u32)
            };
            if let Some((_, values)) = packet.filter(|packet| is_same(packet.1)) {
                compare(&columns, event, values);
                both += 1;
            }
        }
        let seen = packets.values().map(BTreeMap::len).sum::<usize>().max(trace.events.len());
        is_whole(&trace) && packets.len() == FAMILIES.len() * 2 && both * 100 >= seen * IN_BOTH
    });
}
