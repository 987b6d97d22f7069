//! Socket options that no crate of ours has a function for.

use std::io;
use std::net::TcpStream;
use std::os::fd::AsRawFd;

const SOF_TIMESTAMPING_SOFTWARE: i32 = 1 << 4;
const SOF_TIMESTAMPING_TX_ACK: i32 = 1 << 9;

pub fn set_tcp(stream: &TcpStream, option: i32, value: i32) -> io::Result<()> {
    set(stream, libc::IPPROTO_TCP, option, value)
}

pub fn set_ack_timestamps(stream: &TcpStream) -> io::Result<()> {
    let flags = SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_TX_ACK;
    set(stream, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, flags)
}

pub fn set_max_pacing_rate(stream: &TcpStream, rate: i32) -> io::Result<()> {
    set(stream, libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE, rate)
}

fn set(stream: &TcpStream, level: i32, option: i32, value: i32) -> io::Result<()> {
    let (pointer, size) = (std::ptr::from_ref(&value).cast(), size_of_val(&value));
    // SAFETY: the pointer is to a live value of that size.
    let result =
        unsafe { libc::setsockopt(stream.as_raw_fd(), level, option, pointer, size as u32) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The first bytes of struct tcp_info, up to `tcpi_min_rtt`, which every kernel has.
pub fn tcp_info(stream: &TcpStream) -> [u8; 148] {
    let (mut info, mut size) = ([0; 148], 148);
    // SAFETY: the pointer is to that many bytes.
    let result = unsafe {
        let pointer = info.as_mut_ptr().cast();
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            pointer,
            &raw mut size,
        )
    };
    assert_eq!((result, size), (0, 148), "{}", io::Error::last_os_error());
    info
}
