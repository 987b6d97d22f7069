//! As much of io_uring as it takes to accept and use a connection.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::io_uring::{
    IoringEnterFlags, IoringRegisterOp, io_uring_enter, io_uring_params, io_uring_register,
    io_uring_setup,
};
use rustix::mm::{MapFlags, ProtFlags, mmap};

const OP_ACCEPT: u8 = 13;
const OP_CLOSE: u8 = 19;
const OP_RECV: u8 = 27;
/// Of struct io_uring_sqe.
const FILE_INDEX: usize = 44;
const ACCEPT_MULTISHOT: u16 = 1;
/// The descriptor is a slot of the ring's.
const FIXED_FILE: u8 = 1;
const SQES: u64 = 0x1000_0000;
const ENTRIES: u32 = 8;
const SQE_SIZE: usize = 64;
const CQE_SIZE: usize = 16;

/// A ring of one thread. What it maps stays as long as the process.
pub struct Uring {
    fd: OwnedFd,
    params: io_uring_params,
    rings: *mut u8,
    sqes: *mut u8,
}

impl Uring {
    /// Fails where the kernel has none, or forbids it.
    pub fn new() -> io::Result<Self> {
        let mut params = io_uring_params::default();
        // SAFETY: `params` is all that the kernel writes to.
        let fd = unsafe { io_uring_setup(ENTRIES, &mut params) }?;
        let sq = params.sq_off.array as usize + ENTRIES as usize * 4;
        let cq = params.cq_off.cqes as usize + params.cq_entries as usize * CQE_SIZE;
        let map = |length, offset| {
            let protection = ProtFlags::READ | ProtFlags::WRITE;
            // SAFETY: a new mapping, at an address that the kernel chooses.
            unsafe { mmap(null_mut(), length, protection, MapFlags::SHARED, &fd, offset) }
        };
        // One mapping has both rings since 5.4.
        let rings = map(sq.max(cq), 0)?.cast();
        let sqes = map(ENTRIES as usize * SQE_SIZE, SQES)?.cast();
        Ok(Uring { fd, params, rings, sqes })
    }

    fn word(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: the kernel gave the offset of a word in the mapping, which both sides use as an atomic.
        unsafe { AtomicU32::from_ptr(self.rings.add(offset as usize).cast()) }
    }

    /// Submits one request; waits for as many completions as that.
    fn submit(&mut self, sqe: &[u8; SQE_SIZE], completions: u32) -> io::Result<()> {
        let (sq, tail) = (&self.params.sq_off, self.word(self.params.sq_off.tail));
        let slot = tail.load(Ordering::Relaxed) & self.word(sq.ring_mask).load(Ordering::Relaxed);
        // SAFETY: the slot lies in the mapping, and the kernel does not read it before the tail moves.
        unsafe {
            self.sqes
                .add(slot as usize * SQE_SIZE)
                .copy_from_nonoverlapping(sqe.as_ptr(), SQE_SIZE);
        }
        self.word(sq.array + slot * 4).store(slot, Ordering::Relaxed);
        tail.fetch_add(1, Ordering::Release);
        // SAFETY: the request's descriptors and buffers are the caller's, who waits for its end.
        unsafe { io_uring_enter(&self.fd, 1, completions, IoringEnterFlags::GETEVENTS) }?;
        Ok(())
    }

    /// Waits for the next completion; its result.
    fn completion(&mut self) -> io::Result<i32> {
        let cq = &self.params.cq_off;
        let head = self.word(cq.head);
        while head.load(Ordering::Relaxed) == self.word(cq.tail).load(Ordering::Acquire) {
            // SAFETY: as above.
            unsafe { io_uring_enter(&self.fd, 0, 1, IoringEnterFlags::GETEVENTS) }?;
        }
        let slot = head.load(Ordering::Relaxed) & self.word(cq.ring_mask).load(Ordering::Relaxed);
        let user_data = 8;
        let result = self.word(cq.cqes + slot * CQE_SIZE as u32 + user_data);
        let result = result.load(Ordering::Relaxed).cast_signed();
        head.fetch_add(1, Ordering::Release);
        if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(result) }
    }

    /// Accepts a connection; its descriptor.
    pub fn accept(&mut self, listener: &impl AsFd) -> io::Result<RawFd> {
        self.submit(&sqe(OP_ACCEPT, 0, 0, listener.as_fd().as_raw_fd()), 1)?;
        self.completion()
    }

    /// One request for all connections to come; see [`Uring::next_accepted`].
    pub fn accept_all(&mut self, listener: &impl AsFd) -> io::Result<()> {
        self.submit(&sqe(OP_ACCEPT, 0, ACCEPT_MULTISHOT, listener.as_fd().as_raw_fd()), 0)
    }

    pub fn next_accepted(&mut self) -> io::Result<RawFd> {
        self.completion()
    }

    /// Makes one slot, which holds a descriptor of the ring's own.
    pub fn make_slot(&mut self) -> io::Result<()> {
        let empty = [-1; 1];
        let files = IoringRegisterOp::RegisterFiles;
        // SAFETY: the kernel reads the array, and keeps nothing of it.
        unsafe { io_uring_register(&self.fd, files, empty.as_ptr().cast(), 1) }?;
        Ok(())
    }

    /// Accepts a connection into the ring's first slot: it has no descriptor.
    pub fn accept_direct(&mut self, listener: &impl AsFd) -> io::Result<()> {
        let mut sqe = sqe(OP_ACCEPT, 0, 0, listener.as_fd().as_raw_fd());
        sqe[FILE_INDEX] = 1;
        self.submit(&sqe, 1)?;
        self.completion().map(drop)
    }

    /// Receives on the connection in the first slot; how many bytes.
    pub fn receive_direct(&mut self, bytes: &mut [u8]) -> io::Result<i32> {
        let mut sqe = sqe(OP_RECV, FIXED_FILE, 0, 0);
        sqe[16..24].copy_from_slice(&(bytes.as_mut_ptr() as u64).to_ne_bytes());
        sqe[24..28].copy_from_slice(&(bytes.len() as u32).to_ne_bytes());
        self.submit(&sqe, 1)?;
        self.completion()
    }

    /// Closes the connection in the first slot.
    pub fn close_direct(&mut self) -> io::Result<()> {
        let mut sqe = sqe(OP_CLOSE, 0, 0, 0);
        sqe[FILE_INDEX] = 1;
        self.submit(&sqe, 1)?;
        self.completion().map(drop)
    }
}

/// The first members of struct io_uring_sqe: opcode, flags, ioprio, fd.
fn sqe(opcode: u8, flags: u8, ioprio: u16, fd: RawFd) -> [u8; SQE_SIZE] {
    let mut sqe = [0; SQE_SIZE];
    (sqe[0], sqe[1]) = (opcode, flags);
    sqe[2..4].copy_from_slice(&ioprio.to_ne_bytes());
    sqe[4..8].copy_from_slice(&fd.to_ne_bytes());
    sqe
}
