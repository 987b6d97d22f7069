//! The bytes' way from the kernel: ring buffer or per-CPU perf buffers, behind one face.

use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use libbpf_rs::{MapCore, MapFlags, PerfBuffer, PerfBufferBuilder, RingBuffer, RingBufferBuilder};

use super::buffer_size;
use crate::config::Transport;
use crate::event;
use crate::skel::{Sleep, TccTraceSkel};

/// Records of a ring buffer that are taken before anything else is looked at.
const BATCH: usize = 8192;
/// The one key of a one-element array map.
const ZERO: [u8; 4] = [0; 4];

/// Takes one record.
pub type Handler<'a> = Box<dyn FnMut(&[u8]) + 'a>;

enum Buffer<'a> {
    Ring(RingBuffer<'a>),
    /// Per-CPU buffers are drained one after the other, so a batch is put in order before it is handed on.
    Perf {
        buffer: PerfBuffer<'a>,
        batch: Rc<RefCell<Vec<Vec<u8>>>>,
        handler: RefCell<Handler<'a>>,
    },
}

/// Where records come from.
pub struct Source<'a> {
    buffer: Buffer<'a>,
    skel: &'a TccTraceSkel<'a>,
}

/// How the reader waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// With a timer: woken when much is waiting.
    Nap,
    /// Woken by the next record.
    Sleep,
}

impl<'a> Source<'a> {
    pub fn new(
        skel: &'a TccTraceSkel<'a>,
        transport: Transport,
        size: Option<u32>,
        mut handler: Handler<'a>,
    ) -> Result<Self> {
        let buffer = match transport {
            Transport::RingBuf => {
                let mut builder = RingBufferBuilder::new();
                builder.add(&skel.maps.events_ring, move |bytes| {
                    handler(bytes);
                    0
                })?;
                Buffer::Ring(builder.build().context("cannot open the ring buffer")?)
            }
            Transport::PerfBuf => {
                let batch = Rc::new(RefCell::new(Vec::new()));
                let filled = Rc::clone(&batch);
                let buffer = PerfBufferBuilder::new(&skel.maps.events_perf)
                    .pages(perf_pages(size))
                    .sample_cb(move |_, bytes: &[u8]| filled.borrow_mut().push(bytes.to_vec()))
                    .build()
                    .context("cannot open the perf buffers")?;
                Buffer::Perf { buffer, batch, handler: RefCell::new(handler) }
            }
        };
        Ok(Source { buffer, skel })
    }

    /// Hands on what has arrived, of a ring buffer no more than a batch: where records come faster than we are, there
    /// would be no end of it. True: there may be more.
    pub fn consume(&self) -> Result<bool> {
        match &self.buffer {
            Buffer::Ring(ring) => match usize::try_from(ring.consume_raw_n(BATCH)) {
                Ok(taken) => Ok(taken >= BATCH),
                Err(_) => bail!("cannot read the ring buffer"),
            },
            Buffer::Perf { buffer, batch, handler } => {
                buffer.consume().context("perf buffers")?;
                let mut records = std::mem::take(&mut *batch.borrow_mut());
                records.sort_by_key(|record| event::mono_ns(record));
                let mut handler = handler.borrow_mut();
                records.iter().for_each(|record| handler(record));
                Ok(false)
            }
        }
    }

    /// Tells the programs how we are about to wait. Perf buffers wake their reader with every record.
    pub fn announce(&self, wait: Wait) -> Result<()> {
        if matches!(self.buffer, Buffer::Perf { .. }) {
            return Ok(());
        }
        let sleep = match wait {
            Wait::Nap => Sleep::TCC_NAP,
            Wait::Sleep => Sleep::TCC_SLEEP,
        };
        let map = &self.skel.maps.reader_sleep;
        map.update(&ZERO, &sleep.0.to_ne_bytes(), MapFlags::ANY).context("map reader_sleep")
    }

    /// The ring buffer's file. Edge-triggered it becomes ready when the kernel wakes us; libbpf's own epoll reports
    /// waiting data again and again, and would end every nap at once.
    pub fn ring_fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.buffer {
            Buffer::Ring(_) => Some(self.skel.maps.events_ring.as_fd()),
            Buffer::Perf { .. } => None,
        }
    }

    /// Waits for perf buffers; what arrives is left to `consume`. A signal ends the wait.
    pub fn wait_perf(&self, timeout: Duration) {
        if let Buffer::Perf { buffer, .. } = &self.buffer {
            let _ = buffer.poll(timeout);
        }
    }

    /// How often the owner of a sample was not known, so far.
    pub fn owner_asks(&self) -> u32 {
        let value = self.skel.maps.owner_asks.lookup(&ZERO, MapFlags::ANY).ok().flatten();
        value.and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes)
    }
}

/// The size of all buffers together, as they are made.
#[must_use]
pub fn whole_size(transport: Transport, asked: Option<u32>) -> usize {
    match transport {
        Transport::RingBuf => buffer_size(asked) as usize,
        Transport::PerfBuf => perf_pages(asked) * rustix::param::page_size() * online_cpus(),
    }
}

/// Of each CPU that is there: the possible ones may be hundreds. The kernel takes powers of two.
fn perf_pages(asked: Option<u32>) -> usize {
    let of_all = rustix::param::page_size() * online_cpus();
    (buffer_size(asked) as usize).div_ceil(of_all).next_power_of_two()
}

/// How many CPUs there are; of `0-3,8` five.
fn online_cpus() -> usize {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    let count = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    text.trim().split(',').filter_map(count).sum::<usize>().max(1)
}
