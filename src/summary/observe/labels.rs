//! Labels of `export`: the values of keys as text, which stay as they were when a key was first seen.

use std::collections::{HashMap, HashSet};

use super::capped::{self, Cap};
use super::names::Names;
use crate::config::summary::{By, Observe};
use crate::escape;
use crate::events::Types;
use crate::events::ca::until_nul;
use crate::events::tcp_probe::copy;
use crate::skel::{Key, bytes};

/// Each label of keys that found no room, and the reason of those.
pub const OTHER: &str = "other";

pub struct Labels {
    pub(super) names: Names,
    /// The names were read since the last snapshot.
    pub(super) names_are_new: bool,
    /// By cgroup, the first one that had its path: a service that is started again has another cgroup at the same path.
    first: HashMap<u64, u64>,
    paths: HashMap<u64, String>,
    /// Names of interfaces, by network namespace and index.
    interfaces: HashMap<(u32, u32), String>,
    /// Of labels with a limit, in the order of `Observe::caps`.
    caps: Vec<Option<Cap>>,
}

impl Labels {
    pub fn new(types: &Types, options: &Observe) -> Self {
        Labels {
            names: Names::new(types),
            names_are_new: false,
            first: HashMap::new(),
            paths: HashMap::new(),
            interfaces: HashMap::new(),
            caps: options.caps.iter().map(|cap| cap.map(Cap::new)).collect(),
        }
    }

    /// The key of the series that the row of that key is counted in. If a label is `other`, a byte of bits follows which.
    pub fn series_of(&mut self, options: &Observe, row: &[u8]) -> Vec<u8> {
        let Some(mut key) = copy::<Key>(row) else { return row.to_vec() };
        if options.keys.iface {
            self.interface(options, key.netns, key.ifindex);
        }
        if options.keys.by.contains(&By::Cgroup) && key.cgroup_id != 0 {
            key.cgroup_id = self.cgroup(options, key.cgroup_id);
        }
        let mut folded = 0;
        for (at, cap) in self.caps.iter_mut().enumerate() {
            if cap.as_mut().is_some_and(|cap| cap.folds(capped::value(options, at, &key))) {
                folded |= capped::bit(at);
            }
        }
        if folded != 0 {
            capped::clear(options, folded, &mut key);
        }
        let mut series = bytes(&key).to_vec();
        series.extend((folded != 0).then_some(folded));
        series
    }

    fn update_names(&mut self, options: &Observe) {
        if !std::mem::replace(&mut self.names_are_new, true) {
            self.names.update(options);
        }
    }

    fn cgroup(&mut self, options: &Observe, id: u64) -> u64 {
        if let Some(first) = self.first.get(&id) {
            return *first;
        }
        self.update_names(options);
        // One that is gone, or out of sight, has its number.
        let path = self.names.cgroup(id).map_or_else(|| id.to_string(), escape::line);
        let known = self.paths.iter().find(|(_, known)| **known == path);
        let first = known.map_or(id, |(first, _)| *first);
        self.paths.entry(first).or_insert(path);
        self.first.insert(id, first);
        first
    }

    fn interface(&mut self, options: &Observe, netns: u32, index: u32) {
        if index != 0 && !self.interfaces.contains_key(&(netns, index)) {
            self.update_names(options);
            let known = self.names.interface(netns, index).map(escape::line);
            let name = known.unwrap_or_else(|| index.to_string());
            self.interfaces.insert((netns, index), name);
        }
    }

    /// The values of a series' labels; empty where a key has none.
    pub fn values(&self, options: &Observe, key: &Key, folded: u8, peer: String) -> Vec<String> {
        let number = |number: u64| if number == 0 { String::new() } else { number.to_string() };
        let value = |by: &By| match by {
            By::Cc => unlike_other(name(&key.ca_name)),
            By::Comm => unlike_other(name(&key.comm)),
            By::Lport => number(key.sport.into()),
            By::Rport => number(key.dport.into()),
            By::Raddr => peer.clone(),
            By::Netns => number(key.netns.into()),
            By::Cgroup => self.paths.get(&key.cgroup_id).cloned().unwrap_or_default(),
            By::Conn | By::Ends | By::Laddr | By::Pid => String::new(),
        };
        let is_other = |at: usize| folded & capped::bit(at) != 0;
        let labels = options.keys.by.iter().enumerate();
        let mut values: Vec<String> = labels
            .map(|(at, by)| if is_other(at) { OTHER.to_owned() } else { value(by) })
            .collect();
        if options.keys.iface {
            if is_other(options.keys.by.len()) {
                values.extend([OTHER.to_owned(), OTHER.to_owned()]);
                return values;
            }
            values.push(number(key.netns.into()));
            let name = self.interfaces.get(&(key.netns, key.ifindex));
            values.push(name.cloned().unwrap_or_default());
        }
        values
    }

    /// By label with a cap, how many of its values have been folded.
    pub fn folded(&self, options: &Observe) -> Vec<(&'static str, u64)> {
        let names = names(options);
        // The name of an interface stands behind its namespace.
        let name = |at: usize| names.get(if at == options.keys.by.len() { at + 1 } else { at });
        let caps = self.caps.iter().enumerate();
        caps.filter_map(|(at, cap)| Some((*name(at)?, cap.as_ref()?.folded_so_far()))).collect()
    }

    /// Keeps only the names that these keys need.
    pub fn keep<'k>(&mut self, options: &Observe, keys: impl Iterator<Item = &'k Vec<u8>>) {
        let mut keys: Vec<Key> = keys.filter_map(|key| copy(key)).collect();
        let cgroups: HashSet<u64> = keys.iter().map(|key| key.cgroup_id).collect();
        self.first.retain(|id, _| cgroups.contains(id));
        let first: HashSet<u64> = self.first.values().copied().collect();
        self.paths.retain(|id, _| first.contains(id));
        let interfaces: HashSet<(u32, u32)> =
            keys.iter().map(|key| (key.netns, key.ifindex)).collect();
        self.interfaces.retain(|key, _| interfaces.contains(key));
        for key in &mut keys {
            key.cgroup_id = self.first.get(&key.cgroup_id).copied().unwrap_or(key.cgroup_id);
        }
        for (at, cap) in self.caps.iter_mut().enumerate() {
            if let Some(cap) = cap {
                cap.keep(&keys.iter().map(|key| capped::value(options, at, key)).collect());
            }
        }
    }
}

/// A name as the kernel has it: of an algorithm, or of a process.
pub(super) fn name(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    escape::name(until_nul(bytes), &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// A process may be called so. The first letter is escaped then, as no name has a backslash of its own.
fn unlike_other(name: String) -> String {
    if name == OTHER { format!("\\x{:02x}{}", OTHER.as_bytes()[0], &OTHER[1..]) } else { name }
}

/// Names of the labels, in the order of their values.
#[must_use]
pub fn names(options: &Observe) -> Vec<&'static str> {
    let label = |by: &By| match by {
        By::Cc => "cc",
        By::Comm => "comm",
        By::Lport => "lport",
        By::Rport => "rport",
        By::Raddr => "raddr",
        By::Netns => "netns",
        By::Cgroup => "cgroup",
        By::Laddr => "laddr",
        By::Pid => "pid",
        By::Conn | By::Ends => "conn",
    };
    let of_iface: &[&str] = if options.keys.iface { &["iface_netns", "iface"] } else { &[] };
    options.keys.by.iter().map(label).chain(of_iface.iter().copied()).collect()
}
