//! Socket options that no crate of ours has a function for.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

const SOF_TIMESTAMPING_SOFTWARE: i32 = 1 << 4;
const SOF_TIMESTAMPING_TX_ACK: i32 = 1 << 9;

pub fn set_tcp(stream: &TcpStream, option: i32, value: i32) -> io::Result<()> {
    set(stream, libc::IPPROTO_TCP, option, value)
}

pub fn set_ack_timestamps(stream: &TcpStream) -> io::Result<()> {
    let flags = SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_TX_ACK;
    set(stream, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, flags)
}

/// SO_MAX_PACING_RATE, in bytes per second.
pub fn set_max_pacing_rate(stream: &TcpStream, rate: u64) -> io::Result<()> {
    set(stream, libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE, rate)
}

fn set<T>(stream: &TcpStream, level: i32, option: i32, value: T) -> io::Result<()> {
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

/// The calling thread runs before all others from now on, if it may: a path that waits for a CPU has a queue that the test did not make.
pub fn run_first() {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: the pointer is to a live value. 0 is the calling thread.
    let _ = unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const parameters) };
}

/// A TUN device of that name in the namespace of this thread, for IP packets without a header before them. It ends with the file.
pub fn tun(name: &str) -> io::Result<File> {
    const TUNSETIFF: libc::Ioctl = 0x4004_54ca;
    const IFF_TUN: u16 = 1;
    const IFF_NO_PI: u16 = 0x1000;
    let mut options = OpenOptions::new();
    let file =
        options.read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
    // struct ifreq: the name, then the flags.
    let mut request = [0_u8; 40];
    request[..name.len()].copy_from_slice(name.as_bytes());
    request[16..18].copy_from_slice(&(IFF_TUN | IFF_NO_PI).to_ne_bytes());
    // SAFETY: the kernel reads and writes a struct ifreq, which has that size.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, request.as_mut_ptr()) };
    if result == 0 { Ok(file) } else { Err(io::Error::last_os_error()) }
}
