//! Options of TCP sockets that no crate here sets.

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd};

const IPPROTO_TCP: c_int = 6;

/// By their numbers in include/uapi/linux/tcp.h.
#[derive(Clone, Copy, Debug)]
pub enum TcpOption {
    DeferAccept = 9,
    FastOpen = 23,
    FastOpenConnect = 30,
}

pub fn set_tcp(socket: &impl AsFd, option: TcpOption, value: i32) -> io::Result<()> {
    unsafe extern "C" {
        fn setsockopt(
            fd: c_int,
            level: c_int,
            name: c_int,
            value: *const c_void,
            length: u32,
        ) -> c_int;
    }
    let fd = socket.as_fd().as_raw_fd();
    let value = c_int::from(value);
    // SAFETY: the kernel reads the four bytes of `value`.
    let result = unsafe {
        setsockopt(
            fd,
            IPPROTO_TCP,
            option as c_int,
            (&raw const value).cast(),
            size_of::<c_int>() as u32,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
