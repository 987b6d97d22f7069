//! Keys of rows.

use std::net::{IpAddr, Ipv6Addr};

use crate::config::summary::{By, Keys};
use crate::events::ca::until_nul;
use crate::events::tcp_probe::copy;
use crate::skel::Key;
use crate::table::Type::{Text, Unsigned};
use crate::table::summary::{SummarySchema, ViewColumn};
use crate::table::{Column, Origin, Set, Type, Unit, Value};

pub(super) const fn column(
    name: &'static str,
    (ty, unit): (Type, Unit),
    source: &'static str,
    doc: &'static str,
) -> Column {
    Column {
        name,
        ty,
        unit,
        set: Set::Standard,
        doc,
        source,
        need: None,
        origin: Origin::Aggregate,
    }
}

/// All key columns; a row has those of `--by`.
pub static KEY: [Column; 10] = [
    column("cookie", (Unsigned, Unit::None), "SO_COOKIE", "Socket cookie (`--by conn`)."),
    column(
        "saddr",
        (Text, Unit::None),
        "sk_rcv_saddr",
        "Local address, or its network with `--prefix` (`--by laddr`, `--by conn`).",
    ),
    column("sport", (Unsigned, Unit::None), "skc_num", "Local port (`--by lport`, `--by conn`)."),
    column(
        "daddr",
        (Text, Unit::None),
        "sk_daddr",
        "Address of the peer, or its network with `--prefix` (`--by raddr`, `--by conn`).",
    ),
    column(
        "dport",
        (Unsigned, Unit::None),
        "skc_dport",
        "Port of the peer (`--by rport`, `--by conn`).",
    ),
    column(
        "cgroup_id",
        (Unsigned, Unit::None),
        "sk_cgrp_data",
        "cgroup v2 in which the socket was created (`--by cgroup`).",
    ),
    column(
        "netns",
        (Unsigned, Unit::None),
        "sock_net(sk)->ns.inum",
        "Network namespace, as an inode number (`--by netns`).",
    ),
    column(
        "ca_name",
        (Text, Unit::None),
        "icsk_ca_ops->name",
        "Congestion-control algorithm (`--by cc`).",
    ),
    column(
        "pid",
        (Unsigned, Unit::None),
        "task->tgid",
        "PID of the process that holds the socket (`--by pid`). Null if not known.",
    ),
    column(
        "comm",
        (Text, Unit::None),
        "task->group_leader->comm",
        "Name of that process (`--by pid`, `--by comm`). Null if not known.",
    ),
];

/// Names of the columns of `KEY` for one key.
fn parts(by: By) -> &'static [&'static str] {
    match by {
        By::Conn => &["cookie", "saddr", "sport", "daddr", "dport"],
        By::Ends => &["netns", "saddr", "sport", "daddr", "dport"],
        By::Laddr => &["saddr"],
        By::Raddr => &["daddr"],
        By::Lport => &["sport"],
        By::Rport => &["dport"],
        By::Cgroup => &["cgroup_id"],
        By::Netns => &["netns"],
        By::Cc => &["ca_name"],
        By::Pid => &["pid", "comm"],
        By::Comm => &["comm"],
    }
}

/// Columns of `KEY` for these keys.
pub(super) fn columns(by: &[By]) -> Vec<&'static Column> {
    let wanted = |column: &&Column| by.iter().any(|by| parts(*by).contains(&column.name));
    KEY.iter().filter(wanted).collect()
}

/// Text columns for these keys.
pub(super) fn views(by: &[By]) -> Vec<ViewColumn> {
    let view = |title, column, width| ViewColumn { title, column, width, per: 1 };
    let of_one = |by: &By| match by {
        By::Conn | By::Ends => {
            vec![view("LADDR:LPORT", "saddr:sport", 21), view("RADDR:RPORT", "daddr:dport", 21)]
        }
        By::Laddr => vec![view("LADDR", "saddr", 15)],
        By::Raddr => vec![view("RADDR", "daddr", 15)],
        By::Lport => vec![view("LPORT", "sport", 5)],
        By::Rport => vec![view("RPORT", "dport", 5)],
        By::Cgroup => vec![view("CGROUP_ID", "cgroup_id", 10)],
        By::Netns => vec![view("NETNS", "netns", 10)],
        By::Cc => vec![view("CC", "ca_name", 8)],
        By::Pid => vec![view("PID", "pid", 7), view("COMM", "comm", 15)],
        By::Comm => vec![view("COMM", "comm", 15)],
    };
    by.iter().flat_map(of_one).collect()
}

/// The key of a row, with its text.
pub(super) struct OwnKey {
    key: Key,
    saddr: Network,
    daddr: Network,
    ca_name: Vec<u8>,
    comm: Vec<u8>,
}

/// `10.0.0.0/24`, or a whole address.
enum Network {
    Whole(IpAddr),
    Part(String),
}

impl OwnKey {
    pub(super) fn new(bytes: &[u8], keys: &Keys) -> Self {
        let key: Key = copy(bytes).unwrap_or_default();
        OwnKey {
            key,
            saddr: Network::new(key.saddr, keys),
            daddr: Network::new(key.daddr, keys),
            ca_name: until_nul(&key.ca_name).to_vec(),
            comm: until_nul(&key.comm).to_vec(),
        }
    }

    pub(super) fn values(&self, shape: &SummarySchema) -> Vec<Value<'_>> {
        let value = |column: &&Column| match column.name {
            "cookie" => Value::unless(self.key.cookie, 0),
            "saddr" => self.saddr.value(),
            "sport" => Value::U64(self.key.sport.into()),
            "daddr" => self.daddr.value(),
            "dport" => Value::U64(self.key.dport.into()),
            "cgroup_id" => Value::unless(self.key.cgroup_id, 0),
            "netns" => Value::unless(self.key.netns.into(), 0),
            "ca_name" => Value::Name(&self.ca_name),
            "pid" => Value::unless(self.key.pid.into(), 0),
            "comm" if !self.comm.is_empty() => Value::Name(&self.comm),
            _ => Value::Null,
        };
        shape.key.iter().map(value).collect()
    }
}

impl Network {
    fn new(bytes: [u8; 16], keys: &Keys) -> Self {
        match Ipv6Addr::from(bytes).to_canonical() {
            IpAddr::V4(ip) if keys.prefix < 32 => Network::Part(format!("{ip}/{}", keys.prefix)),
            IpAddr::V6(ip) if keys.prefix6 < 128 => Network::Part(format!("{ip}/{}", keys.prefix6)),
            ip => Network::Whole(ip),
        }
    }

    fn value(&self) -> Value<'_> {
        match self {
            Network::Whole(ip) => Value::Ip(*ip),
            Network::Part(text) => Value::Str(text),
        }
    }
}
