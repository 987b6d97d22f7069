//! Labels of `export`: the values of keys as text, which stay as they were when a key was first seen.

use std::collections::{HashMap, HashSet};

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
}

impl Labels {
    pub fn new(types: &Types) -> Self {
        Labels {
            names: Names::new(types),
            names_are_new: false,
            first: HashMap::new(),
            paths: HashMap::new(),
            interfaces: HashMap::new(),
        }
    }

    /// The key of the series that the row of that key is counted in.
    pub fn series_of(&mut self, options: &Observe, row: &[u8]) -> Vec<u8> {
        let Some(key) = copy::<Key>(row) else { return row.to_vec() };
        if options.keys.iface {
            self.interface(options, key.netns, key.ifindex);
        }
        if options.keys.by.contains(&By::Cgroup) && key.cgroup_id != 0 {
            let cgroup_id = self.cgroup(options, key.cgroup_id);
            return bytes(&Key { cgroup_id, ..key }).to_vec();
        }
        row.to_vec()
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
    pub fn values(&self, options: &Observe, key: &Key, peer: String) -> Vec<String> {
        let number = |number: u64| if number == 0 { String::new() } else { number.to_string() };
        let value = |by: &By| match by {
            By::Cc => name(&key.ca_name),
            By::Comm => name(&key.comm),
            By::Lport => number(key.sport.into()),
            By::Rport => number(key.dport.into()),
            By::Raddr => peer.clone(),
            By::Netns => number(key.netns.into()),
            By::Cgroup => self.paths.get(&key.cgroup_id).cloned().unwrap_or_default(),
            By::Conn | By::Ends | By::Laddr | By::Pid => String::new(),
        };
        let mut values: Vec<String> = options.keys.by.iter().map(value).collect();
        if options.keys.iface {
            values.push(number(key.netns.into()));
            let name = self.interfaces.get(&(key.netns, key.ifindex));
            values.push(name.cloned().unwrap_or_default());
        }
        values
    }

    /// Keeps only the names that these keys need.
    pub fn keep<'k>(&mut self, keys: impl Iterator<Item = &'k Vec<u8>>) {
        let keys: Vec<Key> = keys.filter_map(|key| copy(key)).collect();
        let cgroups: HashSet<u64> = keys.iter().map(|key| key.cgroup_id).collect();
        self.first.retain(|id, _| cgroups.contains(id));
        let first: HashSet<u64> = self.first.values().copied().collect();
        self.paths.retain(|id, _| first.contains(id));
        let interfaces: HashSet<(u32, u32)> =
            keys.iter().map(|key| (key.netns, key.ifindex)).collect();
        self.interfaces.retain(|key, _| interfaces.contains(key));
    }
}

/// A name as the kernel has it: of an algorithm, or of a process.
pub(super) fn name(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    escape::name(until_nul(bytes), &mut text);
    String::from_utf8_lossy(&text).into_owned()
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
