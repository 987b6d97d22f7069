//! The columns of who holds the socket, which every record has that has a socket.

/// Of a record with a member `owner`; `$process` makes the columns that name the process, `$field` the others.
macro_rules! owner_fields {
    ($field:ident, $process:ident) => { [
        $field("netns", ($crate::table::Type::Unsigned, $crate::table::Unit::None), "sk_net->ns.inum", "Network namespace, as the inode of /proc/PID/ns/net.", |r| $crate::table::Value::unless(r.owner.netns.into(), 0)),
        $field("bound_dev_if", ($crate::table::Type::Unsigned, $crate::table::Unit::None), "sk_bound_dev_if", "The interface that the socket is bound to, by its number in the namespace: by SO_BINDTODEVICE, or as the zone of a link-local address; null: to none.", |r| $crate::table::Value::unless(r.owner.bound_dev_if.into(), 0)),
        $field("cgroup_id", ($crate::table::Type::Unsigned, $crate::table::Unit::None), "sk_cgrp_data", "The v2 cgroup that the socket was made in: the inode of its directory. 1 is the root, also on a host that uses v1 only.", |r| $crate::table::Value::unless(r.owner.cgroup_id, 0)),
        $field("uid", ($crate::table::Type::Unsigned, $crate::table::Unit::None), "sk->sk_uid", "The socket's owner.", |r| $crate::table::Value::U64(r.owner.uid.into())),
        $process("pid", ($crate::table::Type::Unsigned, $crate::table::Unit::None), "see the documentation", "The process that holds the socket and last used it, numbered as the tracer's host does; null while not known.", |r| $crate::table::Value::unless(r.owner.pid.into(), 0)),
        $process("comm", ($crate::table::Type::Text, $crate::table::Unit::None), "task->group_leader->comm", "That process's name. A byte that is not UTF-8 is `\\xNN`, a backslash `\\x5c`.", |r| if r.owner.pid == 0 { $crate::table::Value::Null } else { $crate::table::Value::Name($crate::events::ca::until_nul(&r.owner.comm)) }),
        $field("ino", ($crate::table::Type::Unsigned, $crate::table::Unit::None), "SOCK_INODE(sk)", "The socket's inode, as in /proc/PID/fd; null where no file holds it (not accepted yet, or closed).", |r| $crate::table::Value::unless(r.owner.ino, 0)),
    ] };
}
pub(super) use owner_fields;
