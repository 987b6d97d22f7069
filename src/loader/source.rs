//! Receives records from the kernel through the ring buffer or per-CPU perf buffers.

use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use libbpf_rs::{MapCore, MapFlags, PerfBuffer, PerfBufferBuilder, RingBuffer, RingBufferBuilder};

use super::buffer_size;
use super::reorder::{HOLD_NS, ReorderBuffer};
use crate::config::Transport;
use crate::pipeline::clock::mono_ns;
use crate::skel::{Sleep, TccTraceSkel, perf_buffer_fd};

/// Records to take from a ring buffer before anything else is done.
const BATCH: usize = 1024;
/// The one key of a one-element array map.
const ZERO: [u8; 4] = [0; 4];

/// Called with each record.
pub type Handler<'a> = Box<dyn FnMut(&[u8]) + 'a>;

enum Buffer<'a> {
    Ring(RingBuffer<'a>),
    Perf(PerfBuffer<'a>),
}

/// The source of records, sorted by time.
pub struct Source<'a> {
    buffer: Buffer<'a>,
    reorder: Rc<RefCell<ReorderBuffer>>,
    handler: RefCell<Handler<'a>>,
    skel: &'a TccTraceSkel<'a>,
}

/// How the reader waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// For a limited time: woken once the buffer fills up.
    Nap,
    /// Woken by the next record.
    Sleep,
}

impl<'a> Source<'a> {
    pub fn new(
        skel: &'a TccTraceSkel<'a>,
        transport: Transport,
        size: Option<u32>,
        handler: Handler<'a>,
    ) -> Result<Self> {
        let reorder = Rc::new(RefCell::new(ReorderBuffer::default()));
        let held = Rc::clone(&reorder);
        let buffer = match transport {
            Transport::RingBuf => {
                let mut builder = RingBufferBuilder::new();
                builder.add(&skel.maps.events_ring, move |bytes| {
                    held.borrow_mut().push(bytes);
                    0
                })?;
                Buffer::Ring(builder.build().context("cannot open the ring buffer")?)
            }
            Transport::PerfBuf => {
                let buffer = PerfBufferBuilder::new(&skel.maps.events_perf)
                    .pages(perf_pages(size))
                    .sample_cb(move |_, bytes: &[u8]| held.borrow_mut().push(bytes))
                    .build()
                    .context("cannot open the perf buffers")?;
                Buffer::Perf(buffer)
            }
        };
        Ok(Source { buffer, reorder, handler: RefCell::new(handler), skel })
    }

    /// Takes the records that have arrived, and passes on those that are due. True: there may be more.
    pub fn consume(&self) -> Result<bool> {
        let now = mono_ns();
        self.reorder.borrow_mut().set_now(now);
        let more = self.take()?;
        // Records still in the buffer are about as old as the newest one taken.
        let newest = if more { self.reorder.borrow().newest_ns().min(now) } else { now };
        self.drain_until(newest.saturating_sub(HOLD_NS));
        Ok(more)
    }

    /// Passes on all records that have arrived.
    pub fn drain(&self) -> Result<()> {
        let taken = loop {
            match self.consume() {
                Ok(true) => {}
                taken => break taken,
            }
        };
        // Including those from before an error.
        self.drain_until(u64::MAX);
        taken.map(drop)
    }

    /// Takes at most a batch from a ring buffer, as it may never be empty when records arrive fast.
    fn take(&self) -> Result<bool> {
        match &self.buffer {
            Buffer::Ring(ring) => match usize::try_from(ring.consume_raw_n(BATCH)) {
                Ok(taken) => Ok(taken >= BATCH),
                Err(_) => bail!("cannot read the ring buffer"),
            },
            Buffer::Perf(buffer) => {
                buffer.consume().context("cannot read the perf buffers")?;
                Ok(false)
            }
        }
    }

    fn drain_until(&self, until_ns: u64) {
        self.reorder.borrow_mut().drain_until(until_ns, &mut *self.handler.borrow_mut());
    }

    /// Whether records are held that were not passed on.
    pub fn holds(&self) -> bool {
        !self.reorder.borrow().is_empty()
    }

    /// Records that arrived too late to be sorted.
    pub fn late(&self) -> u64 {
        self.reorder.borrow().late()
    }

    /// Announces to the programs how the reader will wait. Perf buffers wake it with every record.
    pub fn announce(&self, wait: Wait) -> Result<()> {
        if matches!(self.buffer, Buffer::Perf(_)) {
            return Ok(());
        }
        let sleep = match wait {
            Wait::Nap => Sleep::TCC_NAP,
            Wait::Sleep => Sleep::TCC_SLEEP,
        };
        let map = &self.skel.maps.reader_sleep;
        map.update(&ZERO, &sleep.0.to_ne_bytes(), MapFlags::ANY)
            .context("cannot update the map reader_sleep")
    }

    /// Becomes readable when records arrive.
    pub fn fd(&self) -> BorrowedFd<'_> {
        match &self.buffer {
            // Not libbpf's epoll of it, which is readable for as long as there are records.
            Buffer::Ring(_) => self.skel.maps.events_ring.as_fd(),
            Buffer::Perf(buffer) => perf_buffer_fd(buffer),
        }
    }

    /// How often the owner of a sample was unknown so far.
    pub fn owner_scan_requests(&self) -> u32 {
        let value = self.skel.maps.owner_scan_requests.lookup(&ZERO, MapFlags::ANY).ok().flatten();
        value.and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes)
    }
}

/// The actual size of all buffers together.
#[must_use]
pub fn whole_size(transport: Transport, requested: Option<u32>) -> usize {
    match transport {
        Transport::RingBuf => buffer_size(requested) as usize,
        Transport::PerfBuf => perf_pages(requested) * rustix::param::page_size() * online_cpus(),
    }
}

/// Pages for each online CPU (there may be hundreds of possible ones). The kernel requires a power of two.
fn perf_pages(requested: Option<u32>) -> usize {
    let all_cpus = rustix::param::page_size() * online_cpus();
    (buffer_size(requested) as usize).div_ceil(all_cpus).next_power_of_two()
}

/// The number of online CPUs; for `0-3,8`, five.
fn online_cpus() -> usize {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    let count = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    text.trim().split(',').filter_map(count).sum::<usize>().max(1)
}

/// Checks that sysfs has the number of possible CPUs, which per-CPU counters need.
pub fn possible_cpus() -> Result<(), String> {
    libbpf_rs::num_possible_cpus().map(drop).map_err(|error| {
        format!("cannot read /sys/devices/system/cpu/possible: {error}; if /sys is not mounted: mount -t sysfs sysfs /sys")
    })
}
