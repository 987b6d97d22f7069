//! getsockopt(TCP_INFO), field by field as the kernel filled it.
//!
//! The kernel's struct tcp_info grows at its end. The table below is that of
//! linux/tcp.h, and a field beyond what the kernel returned is left out.

use std::ffi::{c_int, c_void};
use std::fmt::Write;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

const IPPROTO_TCP: c_int = 6;
const TCP_INFO: c_int = 11;

/// Name, offset and size; the two bytes of bit-fields are apart.
const FIELDS: &[(&str, usize, usize)] = &[
    ("tcpi_state", 0, 1),
    ("tcpi_ca_state", 1, 1),
    ("tcpi_retransmits", 2, 1),
    ("tcpi_probes", 3, 1),
    ("tcpi_backoff", 4, 1),
    ("tcpi_options", 5, 1),
    ("tcpi_rto", 8, 4),
    ("tcpi_ato", 12, 4),
    ("tcpi_snd_mss", 16, 4),
    ("tcpi_rcv_mss", 20, 4),
    ("tcpi_unacked", 24, 4),
    ("tcpi_sacked", 28, 4),
    ("tcpi_lost", 32, 4),
    ("tcpi_retrans", 36, 4),
    ("tcpi_fackets", 40, 4),
    ("tcpi_last_data_sent", 44, 4),
    ("tcpi_last_ack_sent", 48, 4),
    ("tcpi_last_data_recv", 52, 4),
    ("tcpi_last_ack_recv", 56, 4),
    ("tcpi_pmtu", 60, 4),
    ("tcpi_rcv_ssthresh", 64, 4),
    ("tcpi_rtt", 68, 4),
    ("tcpi_rttvar", 72, 4),
    ("tcpi_snd_ssthresh", 76, 4),
    ("tcpi_snd_cwnd", 80, 4),
    ("tcpi_advmss", 84, 4),
    ("tcpi_reordering", 88, 4),
    ("tcpi_rcv_rtt", 92, 4),
    ("tcpi_rcv_space", 96, 4),
    ("tcpi_total_retrans", 100, 4),
    ("tcpi_pacing_rate", 104, 8),
    ("tcpi_max_pacing_rate", 112, 8),
    ("tcpi_bytes_acked", 120, 8),
    ("tcpi_bytes_received", 128, 8),
    ("tcpi_segs_out", 136, 4),
    ("tcpi_segs_in", 140, 4),
    ("tcpi_notsent_bytes", 144, 4),
    ("tcpi_min_rtt", 148, 4),
    ("tcpi_data_segs_in", 152, 4),
    ("tcpi_data_segs_out", 156, 4),
    ("tcpi_delivery_rate", 160, 8),
    ("tcpi_busy_time", 168, 8),
    ("tcpi_rwnd_limited", 176, 8),
    ("tcpi_sndbuf_limited", 184, 8),
    ("tcpi_delivered", 192, 4),
    ("tcpi_delivered_ce", 196, 4),
    ("tcpi_bytes_sent", 200, 8),
    ("tcpi_bytes_retrans", 208, 8),
    ("tcpi_dsack_dups", 216, 4),
    ("tcpi_reord_seen", 220, 4),
    ("tcpi_rcv_ooopack", 224, 4),
    ("tcpi_snd_wnd", 228, 4),
    ("tcpi_rcv_wnd", 232, 4),
    ("tcpi_rehash", 236, 4),
    ("tcpi_total_rto", 240, 2),
    ("tcpi_total_rto_recoveries", 242, 2),
    ("tcpi_total_rto_time", 244, 4),
];

const WSCALE: usize = 6;
const FLAGS: usize = 7;

pub struct TcpInfo {
    bytes: [u8; 512],
    length: usize,
}

impl TcpInfo {
    pub fn of(socket: &impl AsFd) -> io::Result<Self> {
        let mut bytes = [0; 512];
        let mut length = bytes.len() as u32;
        let fd = socket.as_fd().as_raw_fd();
        if getsockopt_bytes(fd, &mut bytes, &mut length) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { bytes, length: length as usize })
    }

    /// All fields as JSON members.
    pub fn json(&self) -> String {
        let fields = FIELDS.iter().filter(|(_, offset, size)| offset + size <= self.length);
        let fields = fields.map(|&(name, offset, size)| (name, self.number(offset, size)));
        let mut json = String::with_capacity(2048);
        for (name, value) in fields.chain(self.bit_fields()) {
            write!(json, r#""{name}":{value},"#).expect("a string takes all");
        }
        json.pop();
        json
    }

    fn number(&self, offset: usize, size: usize) -> u64 {
        let bytes = &self.bytes[offset..offset + size];
        let fold = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        if cfg!(target_endian = "big") {
            bytes.iter().fold(0, fold)
        } else {
            bytes.iter().rev().fold(0, fold)
        }
    }

    /// C puts the first bit-field into the low bits on little-endian machines
    /// and into the high bits on big-endian ones.
    fn bit_fields(&self) -> [(&'static str, u64); 4] {
        let (wscale, flags) = (self.bytes[WSCALE], self.bytes[FLAGS]);
        let (snd, rcv, limited, failed) = if cfg!(target_endian = "big") {
            (wscale >> 4, wscale & 15, flags >> 7, flags >> 5 & 3)
        } else {
            (wscale & 15, wscale >> 4, flags & 1, flags >> 1 & 3)
        };
        [
            ("tcpi_snd_wscale", snd.into()),
            ("tcpi_rcv_wscale", rcv.into()),
            ("tcpi_delivery_rate_app_limited", limited.into()),
            ("tcpi_fastopen_client_fail", failed.into()),
        ]
    }
}

#[allow(unsafe_code)]
fn getsockopt_bytes(fd: c_int, bytes: &mut [u8], length: &mut u32) -> c_int {
    unsafe extern "C" {
        fn getsockopt(
            fd: c_int,
            level: c_int,
            name: c_int,
            value: *mut c_void,
            length: *mut u32,
        ) -> c_int;
    }
    // SAFETY: `bytes` is writable and at least `length` long, and the kernel
    // writes no more than that.
    *length = (*length).min(bytes.len() as u32);
    unsafe { getsockopt(fd, IPPROTO_TCP, TCP_INFO, bytes.as_mut_ptr().cast(), length) }
}
