//! Receives records from the kernel through the ring buffer or per-CPU perf buffers.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use libbpf_rs::{MapCore, MapFlags, PerfBuffer, PerfBufferBuilder, RingBuffer, RingBufferBuilder};

use super::buffer_size;
use crate::config::Transport;
use crate::pipeline::reorder::ReorderBuffer;
use crate::pipeline::source::Source;
use crate::skel::{ReaderState, Sleep, TccTraceSkel, bytes, perf_buffer_fd};

/// Records to take from a ring buffer before anything else is done.
const BATCH: usize = 1024;
/// The one key of a one-element array map.
const ZERO: [u8; 4] = [0; 4];
/// How long records may accumulate while many arrive.
const NAP: Duration = Duration::from_millis(10);
/// The longest wait if none arrive.
const FOREVER: Duration = Duration::from_secs(60);

enum Buffer<'a> {
    Ring(RingBuffer<'a>),
    Perf(PerfBuffer<'a>),
}

/// The records of the running programs.
pub struct Live<'a> {
    buffer: Buffer<'a>,
    skel: &'a TccTraceSkel<'a>,
    /// Waits in a row that brought no records.
    quiet_rounds: Cell<u32>,
}

impl<'a> Live<'a> {
    pub fn new(
        skel: &'a TccTraceSkel<'a>,
        transport: Transport,
        size: Option<u32>,
        records: Rc<RefCell<ReorderBuffer>>,
    ) -> Result<Self> {
        let buffer = match transport {
            Transport::RingBuf => {
                let mut builder = RingBufferBuilder::new();
                builder.add(&skel.maps.events_ring, move |bytes| {
                    records.borrow_mut().push(bytes);
                    0
                })?;
                Buffer::Ring(builder.build().context("cannot open the ring buffer")?)
            }
            Transport::PerfBuf => {
                let buffer = PerfBufferBuilder::new(&skel.maps.events_perf)
                    .pages(perf_pages(size))
                    .sample_cb(move |_, bytes: &[u8]| records.borrow_mut().push(bytes))
                    .build()
                    .context("cannot open the perf buffers")?;
                Buffer::Perf(buffer)
            }
        };
        Ok(Live { buffer, skel, quiet_rounds: Cell::new(0) })
    }

    /// Announces to the programs whether the next record is to wake the reader. Perf buffers wake it with every record.
    fn announce(&self, sleep: Sleep) -> Result<()> {
        if matches!(self.buffer, Buffer::Perf(_)) {
            return Ok(());
        }
        self.set_state(sleep)
    }

    /// From now on the programs emit events.
    pub fn start(&self) -> Result<()> {
        self.set_state(Sleep::TCC_AWAKE)
    }

    fn set_state(&self, sleep: Sleep) -> Result<()> {
        let state = ReaderState { sleep, started: 1, zero: 0 };
        let map = &self.skel.maps.bss;
        map.update(&ZERO, bytes(&state), MapFlags::ANY).context("cannot update the reader's state")
    }
}

impl Source for Live<'_> {
    /// At most a batch from a ring buffer, as it may never be empty when records arrive fast.
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

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(match &self.buffer {
            // Not libbpf's epoll of it, which is readable for as long as there are records.
            Buffer::Ring(_) => self.skel.maps.events_ring.as_fd(),
            Buffer::Perf(buffer) => perf_buffer_fd(buffer),
        })
    }

    /// Many records are taken every few ms; if they are few, the first one ends the wait.
    fn before_wait(&self, busy: bool, woken: bool) -> Result<Duration> {
        // A record reserved before the programs saw the announcement does not end the wait. So the first wait is short, and only
        // if it brought nothing may the next one be long. Perhaps it was ended by a record behind an unfinished one, which
        // will not end the next.
        let quiet_rounds = match (busy, woken) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => self.quiet_rounds.get().saturating_add(1),
        };
        self.quiet_rounds.set(quiet_rounds);
        let (sleep, limit) = match quiet_rounds {
            0 => (Sleep::TCC_NAP, NAP),
            1 => (Sleep::TCC_SLEEP, NAP),
            _ => (Sleep::TCC_SLEEP, FOREVER),
        };
        self.announce(sleep)?;
        Ok(limit)
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
#[must_use]
pub fn online_cpus() -> usize {
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
