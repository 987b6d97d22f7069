//! The owner columns, shared by all records of sockets.

/// For a record with an owner at `$owner`. `$process` makes the columns that name the process, `$column` the others. All but the
/// namespace need `$when`, the process's name `$named`.
macro_rules! owner_columns {
    ($record:ty, $owner:ident, $column:ident, $process:ident, $when:expr, $named:expr) => { [
        $column("netns", ($crate::table::Type::Unsigned, $crate::table::Unit::None), "sk_net->ns.inum", "Network namespace: inode number of /proc/PID/ns/net. Null if unknown.", $crate::events::common::of!($record, $owner.netns).unset(0)),
        $column("bound_dev_if", ($crate::table::Type::Unsigned, $crate::table::Unit::None), "sk_bound_dev_if", "Index of the interface that the socket is bound to, by SO_BINDTODEVICE or by the zone of a link-local address. Null if not bound.", $crate::events::common::of!($record, $owner.bound_dev_if).unset(0).when($when)),
        $column("cgroup_id", ($crate::table::Type::Unsigned, $crate::table::Unit::None), "sk_cgrp_data", "cgroup v2 in which the socket was created: inode number of its directory. 1 is the root, also on hosts that use cgroup v1 only.", $crate::events::common::of!($record, $owner.cgroup_id).unset(0).when($when)),
        $column("uid", ($crate::table::Type::Unsigned, $crate::table::Unit::None), "sk->sk_uid", "UID of the socket's owner.", $crate::events::common::of!($record, $owner.uid).when($when)),
        $process("pid", ($crate::table::Type::Unsigned, $crate::table::Unit::None), "task->tgid", "PID of the process that holds the socket and used it last, in the initial PID namespace. Null while not known.", $crate::events::common::of!($record, $owner.pid).unset(0).when($when)),
        $process("comm", ($crate::table::Type::Text, $crate::table::Unit::None), "task->group_leader->comm", "Name of that process. Bytes that are not UTF-8 are printed as `\\xNN`, a backslash as `\\x5c`. Null if `pid` is.", $crate::events::common::text!($record, $owner.comm).when($named)),
        $column("ino", ($crate::table::Type::Unsigned, $crate::table::Unit::None), "SOCK_INODE(sk)", "Inode number of the socket, as in /proc/PID/fd. Null if no file refers to it: not yet accepted, or closed.", $crate::events::common::of!($record, $owner.ino).unset(0).when($when)),
    ] };
}
pub(super) use owner_columns;
