/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel types that tcc-trace reads: names and types only.
 *
 * preserve_access_index makes every access a CO-RE relocation, so member order, padding and members that are not
 * listed do not matter; names and types do. The header is the same for all architectures.
 * README.md beside this file says how to extend it; tests/vmlinux.rs holds it against the running kernel's BTF.
 */
#ifndef __VMLINUX_H__
#define __VMLINUX_H__

typedef unsigned char __u8;
typedef signed char __s8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u8 u8;
typedef __u16 u16;
typedef __s32 s32;
typedef __u32 u32;
typedef __s64 s64;
typedef __u64 u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;
typedef __SIZE_TYPE__ size_t;
enum { false = 0, true = 1 };

/* uapi values that the BPF helpers' declarations need */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LPM_TRIE = 11,
	BPF_MAP_TYPE_RINGBUF = 27,
};
enum { BPF_ANY = 0, BPF_NOEXIST = 1 };
enum { BPF_F_NO_PREALLOC = 1 };
enum { BPF_RB_NO_WAKEUP = 1, BPF_RB_FORCE_WAKEUP = 2, BPF_RB_AVAIL_DATA = 0 };
#define BPF_F_CURRENT_CPU 0xffffffffULL

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	s64 counter;
} atomic64_t;

typedef struct refcount_struct {
	atomic_t refs;
} refcount_t;

typedef struct {
	unsigned int val;
} kuid_t;

struct in6_addr {
	union {
		__u8 u6_addr8[16];
		__be32 u6_addr32[4];
	} in6_u;
};

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	unsigned int skc_hash;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	int skc_bound_dev_if;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	atomic64_t skc_cookie;
	unsigned long skc_flags;
};

typedef struct {
	int owned;
} socket_lock_t;

struct kernfs_node {
	u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
	int level;
	/* since 6.1 (7f203bc89eb6) */
	struct cgroup *ancestors[0];
};

/* before 6.1 */
struct cgroup___5_10 {
	u64 ancestor_ids[0];
};

/* since 5.15 (8520e224f547): v2 membership has a pointer of its own */
struct sock_cgroup_data {
	struct cgroup *cgroup;
};

/* before 5.15: a pointer, or, with bit 0 set, v1 net_cls/net_prio data */
struct sock_cgroup_data___5_10 {
	u64 val;
};

struct timer_list {
	unsigned long expires;
};

struct inode {
	unsigned long i_ino;
	unsigned short i_mode;
	struct super_block *i_sb;
};

struct super_block {
	unsigned long s_magic;
};

struct file {
	struct inode *f_inode;
	void *private_data;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

typedef enum {
	SS_FREE = 0,
	SS_UNCONNECTED,
	SS_CONNECTING,
	SS_CONNECTED,
	SS_DISCONNECTING,
} socket_state;

struct socket {
	socket_state state;
	unsigned long flags;
	struct sock *sk;
	struct file *file;
};

struct net_device;

struct dst_entry {
	struct net_device *dev;
};

struct sk_buff_head {
	struct sk_buff *prev;
	__u32 qlen;
};

struct sock {
	struct sock_common __sk_common;
	atomic_t sk_drops;
	struct {
		atomic_t rmem_alloc;
		int len;
	} sk_backlog;
	int sk_rcvbuf;
	socket_lock_t sk_lock;
	int sk_forward_alloc;
	atomic_t sk_omem_alloc;
	int sk_wmem_queued;
	refcount_t sk_wmem_alloc;
	struct socket *sk_socket;
	struct dst_entry *sk_dst_cache;
	unsigned long sk_pacing_rate;
	unsigned long sk_max_pacing_rate;
	u32 sk_pacing_status;
	unsigned long sk_tsq_flags;
	u32 sk_priority;
	u32 sk_mark;
	kuid_t sk_uid;
	u16 sk_type;
	u16 sk_protocol;
	int sk_err;
	int sk_err_soft;
	u8 sk_shutdown;
	struct sk_buff_head sk_error_queue;
	int sk_sndbuf;
	struct sock_cgroup_data sk_cgrp_data;
	u32 sk_ack_backlog;
	u32 sk_max_ack_backlog;
	struct sock_reuseport *sk_reuseport_cb;
};

/* of all sockets that share an address by SO_REUSEPORT */
struct sock_reuseport {
	unsigned int synq_overflow_ts;
};

/* since 6.19: the retransmit timer lives in struct sock */
struct sock___6_19 {
	struct timer_list tcp_retransmit_timer;
};

/* before 5.15 */
struct sock___5_10 {
	struct sock_cgroup_data___5_10 sk_cgrp_data;
};

struct inet_sock {
	struct sock sk;
	__be16 inet_sport;
	__u8 tos;
};

struct tcp_congestion_ops {
	char name[16];
};

struct request_sock_queue {
	u8 rskq_defer_accept;
	atomic_t qlen;
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	struct request_sock_queue icsk_accept_queue;
	__u32 icsk_rto;
	__u32 icsk_pmtu_cookie;
	const struct tcp_congestion_ops *icsk_ca_ops;
	void *icsk_ulp_data;
	__u8 icsk_ca_state : 5;
	__u8 icsk_retransmits;
	__u8 icsk_pending;
	__u8 icsk_backoff;
	__u8 icsk_probes_out;
	struct {
		__u32 ato : 8;
		__u32 lrcvtime;
		__u16 rcv_mss;
	} icsk_ack;
	u64 icsk_ca_priv[13];
};

/* until 6.15: the expiry is kept in jiffies beside the timer */
struct inet_connection_sock___6_12 {
	unsigned long icsk_timeout;
};

/* 6.16 to 6.18 */
struct inet_connection_sock___6_18 {
	struct timer_list icsk_retransmit_timer;
};

struct minmax_sample {
	u32 t;
	u32 v;
};

struct minmax {
	struct minmax_sample s[3];
};

struct tcp_options_received {
	int ts_recent_stamp;
	u16 tstamp_ok : 1;
	u16 wscale_ok : 1;
	u16 sack_ok : 3;
	u16 snd_wscale : 4;
	u16 rcv_wscale : 4;
	u32 rcv_tsecr;
};

struct list_head {
	struct list_head *next;
};

struct rb_root {
	struct rb_node *rb_node;
};

struct tcp_rack {
	u32 rtt_us;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	u32 max_window;
	u32 rcv_ssthresh;
	u32 reordering;
	u32 snd_wnd;
	u32 snd_wl1;
	u32 mss_cache;
	u32 snd_cwnd;
	u32 prr_out;
	u32 prr_delivered;
	u32 lost_out;
	u32 sacked_out;
	u8 is_cwnd_limited : 1;
	u32 tlp_high_seq;
	int linger2;
	u32 rttvar_us;
	u32 retrans_out;
	u16 advmss;
	u32 lost;
	u32 snd_ssthresh;
	struct minmax rtt_min;
	u32 segs_out;
	u32 data_segs_out;
	u64 bytes_sent;
	u8 repair : 1;
	u8 chrono_type : 2;
	u32 chrono_start;
	u32 chrono_stat[3];
	u32 write_seq;
	u32 lsndtime;
	u32 mdev_us;
	u8 ecn_flags;
	u8 rate_app_limited : 1;
	u32 rcv_nxt;
	u32 copied_seq;
	u32 snd_nxt;
	u32 snd_una;
	u32 window_clamp;
	u32 srtt_us;
	u32 packets_out;
	u32 delivered;
	u32 delivered_ce;
	u32 rcv_wnd;
	u32 rcv_wup;
	u32 rcv_tstamp;
	u64 tcp_clock_cache;
	u64 tcp_wstamp_ns;
	struct list_head tsorted_sent_queue;
	struct tcp_rack rack;
	u32 retrans_stamp;
	u8 fastopen_connect : 1;
	/* since 5.6, with CONFIG_MPTCP */
	bool is_mptcp;
	/* since 6.7 (614e8316aa4c) */
	u8 tcp_usec_ts : 1;
	struct tcp_options_received rx_opt;
	u64 bytes_received;
	u32 segs_in;
	u32 data_segs_in;
	u32 rate_delivered;
	u32 rate_interval_us;
	u64 bytes_acked;
	struct {
		u32 rtt_us;
	} rcv_rtt_est;
	struct {
		u32 space;
		u32 seq;
	} rcvq_space;
	u32 dsack_dups;
	u32 reord_seen;
	u32 snd_cwnd_cnt;
	u32 snd_cwnd_clamp;
	u32 prior_cwnd;
	u32 prior_ssthresh;
	u32 high_seq;
	u32 undo_marker;
	int undo_retrans;
	u64 bytes_retrans;
	u32 total_retrans;
	u32 rcv_ooopack;
	struct rb_root out_of_order_queue;
	struct sk_buff *ooo_last_skb;
	u8 scaling_ratio;
	u16 timeout_rehash;
};

/* With CONFIG_MPTCP: what a subflow, which is a tcp_sock, has of its connection, and that one. */
struct mptcp_subflow_context {
	struct list_head node;
	u32 token;
	struct sock *tcp_sock;
	struct sock *conn;
};

struct mptcp_sock {
	u32 token;
	struct list_head conn_list;
	struct sock *first;
};

struct Qdisc_ops {
	char id[16];
};

struct qdisc_skb_head {
	__u32 qlen;
};

struct gnet_stats_queue {
	__u32 backlog;
};

struct Qdisc {
	void *enqueue;
	unsigned int flags;
	const struct Qdisc_ops *ops;
	struct qdisc_skb_head q;
	struct gnet_stats_queue qstats;
};

struct netdev_queue {
	struct net_device *dev;
	struct Qdisc *qdisc;
};

struct net_device {
	char name[16];
	int ifindex;
	possible_net_t nd_net;
	struct netdev_queue *_tx;
};

struct sk_buff {
	struct sk_buff *prev;
	struct sock *sk;
	struct net_device *dev;
	unsigned long _skb_refdst;
	unsigned char *head;
	unsigned char *data;
	unsigned int tail;
	unsigned int end;
	__u16 queue_mapping;
	__u8 encapsulation : 1;
	__u16 inner_transport_header;
	__u16 transport_header;
	__u16 network_header;
	__be16 protocol;
	unsigned int len;
	__u32 mark;
	int skb_iif;
	char cb[48];
};

struct iov_iter {
	size_t count;
};

struct msghdr {
	struct iov_iter msg_iter;
};

struct sock_extended_err {
	__u32 ee_errno;
	__u8 ee_origin;
};

/* at the beginning of skb->cb in a socket's error queue */
struct sock_exterr_skb {
	struct sock_extended_err ee;
};

struct skb_shared_info {
	unsigned short gso_segs;
};

struct tcp_skb_cb {
	__u32 seq;
	__u32 end_seq;
	__u16 tcp_gso_segs;
	__u16 tcp_flags;
};

struct request_sock {
	struct sock_common __req_common;
	u8 num_retrans;
};

struct inet_request_sock {
	u32 ir_mark;
};

struct tcp_request_sock {
	u64 snt_synack;
};

/* The record of the tcp:tcp_probe tracepoint; `family` (5.12) and `skaddr` (6.10) are not read: see probe.bpf.h. */
struct trace_event_raw_tcp_probe {
	__u8 saddr[28];
	__u8 daddr[28];
	__u16 sport;
	__u16 dport;
	__u32 mark;
	__u16 data_len;
	__u32 snd_nxt;
	__u32 snd_una;
	__u32 snd_cwnd;
	__u32 ssthresh;
	__u32 snd_wnd;
	__u32 srtt;
	__u32 rcv_wnd;
	__u64 sock_cookie;
};

/* Its own struct since 6.17; asked only whether it has the error. */
struct trace_event_raw_tcp_retransmit_skb {
	int err;
};

/* Of its own type: an int would not be the same member. */
enum sk_rst_reason {
	SK_RST_REASON_NOT_SPECIFIED = 0,
};

/* Its own struct since 6.10; asked only whether it has the reason. */
struct trace_event_raw_tcp_send_reset {
	enum sk_rst_reason reason;
};

/* Asked only what it has: the reason since 5.17 (c504e5c2f964), the socket since 6.11 (c53795d48ee8). */
enum skb_drop_reason {
	SKB_NOT_DROPPED_YET = 0,
};

struct trace_event_raw_kfree_skb {
	enum skb_drop_reason reason;
	void *rx_sk;
};

struct signal_struct {
	atomic_t live;
};

struct mm_struct {
	struct file *exe_file;
};

struct task_struct {
	unsigned int flags;
	int tgid;
	char comm[16];
	struct task_struct *group_leader;
	struct signal_struct *signal;
	struct files_struct *files;
	struct mm_struct *mm;
};

/* The records of a system call's tracepoints, with CONFIG_FTRACE_SYSCALLS. */
struct syscall_trace_enter {
	unsigned long args[0];
};

struct syscall_trace_exit {
	long ret;
};

/* With CONFIG_IO_URING; `req` since 5.18 (502c87d65564). */
struct io_kiocb {
	struct file *file;
	u8 opcode;
};

struct trace_event_raw_io_uring_complete {
	void *req;
	int res;
};

/* before 5.17 */
struct trace_event_raw_io_uring_complete___5_16 {
	long res;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	u64 session_id;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	u32 fd;
	struct file *file;
};

struct bpf_map {
	u32 max_entries;
};

struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key;
	void *value;
};

struct kallsym_iter {
	unsigned long value;
	char type;
	char name[128];
};

/* Since 6.0 (647cafa22349). */
struct bpf_iter__ksym {
	struct bpf_iter_meta *meta;
	struct kallsym_iter *ksym;
};

#pragma clang attribute pop

#endif
