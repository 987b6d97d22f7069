//! Labels of `export` that have a limited number of values: what comes later is `other`, in that label alone.
//!
//! A value is decided when it is first seen, and stays what it is for as long as a row has it; a counter would fall if its rows moved to
//! another series.

use std::collections::HashSet;

use crate::config::summary::{By, Observe};
use crate::skel::Key;

/// The values of a label.
pub(super) struct Cap {
    most: u32,
    own: HashSet<Vec<u8>>,
    other: HashSet<Vec<u8>>,
    folded: u64,
}

impl Cap {
    pub(super) fn new(most: u32) -> Self {
        Cap { most, own: HashSet::new(), other: HashSet::new(), folded: 0 }
    }

    /// Whether that value is `other`. None at all is no value.
    pub(super) fn folds(&mut self, value: Vec<u8>) -> bool {
        if value.iter().all(|byte| *byte == 0) || self.own.contains(&value) {
            return false;
        }
        if self.other.contains(&value) {
            return true;
        }
        if self.own.len() < self.most as usize {
            self.own.insert(value);
            return false;
        }
        self.folded += 1;
        self.other.insert(value)
    }

    /// Keeps only values that rows have; the others make room.
    pub(super) fn keep(&mut self, values: &HashSet<Vec<u8>>) {
        self.own.retain(|value| values.contains(value));
        self.other.retain(|value| values.contains(value));
    }

    /// How many values have become `other`.
    pub(super) fn folded_so_far(&self) -> u64 {
        self.folded
    }
}

/// The bit of a label in a series' key: there are eight labels, as that of interfaces is one.
pub(super) fn bit(at: usize) -> u8 {
    u32::try_from(at).ok().and_then(|at| 1_u8.checked_shl(at)).unwrap_or(0)
}

/// The value of a label in a key; zero if it has none.
pub(super) fn value(options: &Observe, at: usize, key: &Key) -> Vec<u8> {
    match options.keys.by.get(at) {
        Some(By::Cc) => key.ca_name.to_vec(),
        Some(By::Comm) => key.comm.to_vec(),
        Some(By::Lport) => key.sport.to_ne_bytes().to_vec(),
        Some(By::Rport) => key.dport.to_ne_bytes().to_vec(),
        Some(By::Raddr) => key.daddr.to_vec(),
        Some(By::Netns) => key.netns.to_ne_bytes().to_vec(),
        Some(By::Cgroup) => key.cgroup_id.to_ne_bytes().to_vec(),
        Some(By::Conn | By::Ends | By::Laddr | By::Pid) => Vec::new(),
        // Of interfaces.
        None => [key.netns.to_ne_bytes(), key.ifindex.to_ne_bytes()].concat(),
    }
}

/// Removes labels that are `other` from the key.
pub(super) fn clear(options: &Observe, folded: u8, key: &mut Key) {
    let is_other = |at: usize| folded & bit(at) != 0;
    let labels = options.keys.by.iter().enumerate();
    for (_, by) in labels.clone().filter(|(at, _)| is_other(*at)) {
        match by {
            By::Cc => key.ca_name = Default::default(),
            By::Comm => key.comm = Default::default(),
            By::Lport => key.sport = 0,
            By::Rport => key.dport = 0,
            By::Raddr => key.daddr = Default::default(),
            By::Cgroup => key.cgroup_id = 0,
            By::Netns | By::Conn | By::Ends | By::Laddr | By::Pid => {}
        }
    }
    let ifaces = options.keys.iface && !is_other(options.keys.by.len());
    if !ifaces {
        key.ifindex = 0;
    }
    // Interfaces show it, too.
    if !ifaces && !labels.clone().any(|(at, by)| *by == By::Netns && !is_other(at)) {
        key.netns = 0;
    }
}

#[cfg(test)]
mod tests;
