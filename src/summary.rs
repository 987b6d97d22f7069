//! From BPF maps to numbers.

use anyhow::{Context, Result};
use libbpf_rs::{MapCore, MapFlags};

use crate::pipeline::KernelCounts;
use crate::probe::Kind;
use crate::probe::tcp_probe::copy;
use crate::skel::{Counters, TccTraceSkel};

/// The counters of a kind, over all CPUs.
pub fn counters(skel: &TccTraceSkel<'_>, kind: &Kind) -> Result<KernelCounts> {
    let key = u32::from(kind.number).to_ne_bytes();
    let cpus = skel
        .maps
        .counters
        .lookup_percpu(&key, MapFlags::ANY)
        .context("cannot read the counters")?;
    let mut sum = KernelCounts::default();
    for n in cpus.unwrap_or_default().iter().filter_map(|bytes| copy::<Counters>(bytes)) {
        sum.seen += n.seen;
        sum.filtered += n.filtered;
        sum.sampled_out += n.sampled_out;
        sum.limited += n.limited;
        sum.lost += n.lost;
        sum.submitted += n.submitted;
        sum.caught += n.caught;
    }
    Ok(sum)
}
