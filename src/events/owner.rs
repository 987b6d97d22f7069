//! The owner columns, shared by all records of sockets.

/// For a record with a member `owner`. `$process` makes the columns that name the process, `$field` the others.
macro_rules! owner_fields {
    ($field:ident, $process:ident) => { [
        $field("netns", ($crate::table::Type::Unsigned, $crate::table::Unit::None), "sk_net->ns.inum", "Network namespace: inode number of /proc/PID/ns/net. Null if unknown.", |r| $crate::table::Value::unless(r.owner.netns.into(), 0)),
        $field("bound_dev_if", ($crate::table::Type::Unsigned, $crate::table::Unit::None), "sk_bound_dev_if", "Index of the interface that the socket is bound to, by SO_BINDTODEVICE or by the zone of a link-local address. Null if not bound.", |r| $crate::table::Value::unless(r.owner.bound_dev_if.into(), 0)),
        $field("cgroup_id", ($crate::table::Type::Unsigned, $crate::table::Unit::None), "sk_cgrp_data", "cgroup v2 in which the socket was created: inode number of its directory. 1 is the root, also on hosts that use cgroup v1 only.", |r| $crate::table::Value::unless(r.owner.cgroup_id, 0)),
        $field("uid", ($crate::table::Type::Unsigned, $crate::table::Unit::None), "sk->sk_uid", "UID of the socket's owner.", |r| $crate::table::Value::U64(r.owner.uid.into())),
        $process("pid", ($crate::table::Type::Unsigned, $crate::table::Unit::None), "task->tgid", "PID of the process that holds the socket and used it last, in the initial PID namespace. Null while not known.", |r| $crate::table::Value::unless(r.owner.pid.into(), 0)),
        $process("comm", ($crate::table::Type::Text, $crate::table::Unit::None), "task->group_leader->comm", "Name of that process. Bytes that are not UTF-8 are printed as `\\xNN`, a backslash as `\\x5c`. Null if `pid` is.", |r| if r.owner.pid == 0 { $crate::table::Value::Null } else { $crate::table::Value::Name($crate::events::ca::until_nul(&r.owner.comm)) }),
        $field("ino", ($crate::table::Type::Unsigned, $crate::table::Unit::None), "SOCK_INODE(sk)", "Inode number of the socket, as in /proc/PID/fd. Null if no file refers to it: not yet accepted, or closed.", |r| $crate::table::Value::unless(r.owner.ino, 0)),
    ] };
}
pub(super) use owner_fields;
