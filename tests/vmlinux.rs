//! `vmlinux/vmlinux.h` against the running kernel's BTF: every member that we read is there, or is one of those that
//! only some kernels have.

use std::fs;
use std::path::Path;

use tcc_trace::btf::Btf;

const KERNEL: &str = "/sys/kernel/btf/vmlinux";
/// Not on every kernel; the programs ask before they read.
const OPTIONAL: &[&str] = &[
    "tcp_sock.bytes_sent",
    "tcp_sock.bytes_retrans",
    "tcp_sock.dsack_dups",
    "tcp_sock.reord_seen",
    "tcp_sock.rcv_ooopack",
    "tcp_sock.timeout_rehash",
    "tcp_sock.scaling_ratio",
    "tcp_sock.tcp_usec_ts",
    "tcp_sock.is_mptcp",
    "io_kiocb.file",
    "io_kiocb.opcode",
    "trace_event_raw_io_uring_complete.req",
    "trace_event_raw_io_uring_complete.res",
    "mptcp_subflow_context.node",
    "mptcp_subflow_context.token",
    "mptcp_subflow_context.tcp_sock",
    "mptcp_subflow_context.conn",
    "mptcp_sock.token",
    "mptcp_sock.conn_list",
    "mptcp_sock.first",
    "sock_cgroup_data.cgroup",
    "cgroup.ancestors",
    "syscall_trace_enter.args",
    "syscall_trace_exit.ret",
    "bpf_iter__ksym.meta",
    "bpf_iter__ksym.ksym",
];

/// Struct and member names of the header, without those of `___` flavours, which are other kernels'.
fn members() -> Vec<(String, String)> {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("vmlinux/vmlinux.h");
    let text = fs::read_to_string(header).unwrap();
    let mut found = Vec::new();
    let (mut open, mut depth) = (None, 0);
    for line in text.lines().map(str::trim) {
        if depth == 0 {
            let name = line.strip_prefix("struct ").and_then(|rest| rest.strip_suffix(" {"));
            if let Some(name) = name {
                open = (!name.contains("___")).then(|| name.to_owned());
                depth = 1;
            }
            continue;
        }
        if line.ends_with('{') {
            depth += 1;
        } else if line.starts_with('}') {
            depth -= 1;
            if depth == 1 && line != "};" {
                push(&mut found, open.as_ref(), line);
            }
        } else if depth == 1 && line.ends_with(';') {
            push(&mut found, open.as_ref(), line);
        }
    }
    found
}

fn push(found: &mut Vec<(String, String)>, open: Option<&String>, line: &str) {
    let Some(name) = open else { return };
    let declared =
        line.trim_end_matches(';').split([':', '[']).next().unwrap_or_default().trim_end();
    let member = declared.rsplit([' ', '*', '}']).next().unwrap_or_default();
    assert!(!member.is_empty(), "cannot read `{line}`");
    found.push((name.clone(), member.to_owned()));
}

#[test]
fn the_header_names_what_this_kernel_has() {
    let members = members();
    assert!(members.len() > 150, "only {} members were read from the header", members.len());
    if !Path::new(KERNEL).exists() {
        eprintln!("skipped: this machine has no {KERNEL}");
        return;
    }
    let btf = Btf::from_file(Path::new(KERNEL)).unwrap();
    let missing: Vec<String> = members
        .iter()
        .filter(|(name, member)| btf.member(name, member).is_none())
        .map(|(name, member)| format!("{name}.{member}"))
        .filter(|full| !OPTIONAL.contains(&full.as_str()))
        .collect();
    assert!(missing.is_empty(), "not in this kernel: {}", missing.join(", "));
}
