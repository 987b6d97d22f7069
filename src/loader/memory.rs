//! How much memory the maps take, before they are made.

use anyhow::Result;
use libbpf_rs::{MapType, OpenMap};

use crate::skel::OpenTccTraceSkel;

/// Of a hash map: `struct htab_elem` before the key, and `struct bucket`.
const ELEMENT: u64 = 56;
const BUCKET: u64 = 16;
/// Of a ring buffer beside its data: its positions, and a page of its own.
const RING_HEAD: u64 = 4 * 4096;
/// Maps that are named where all take too much.
const NAMED: usize = 3;

/// The bytes of each map that will be made, and its name; the largest first.
pub fn of(open: &OpenTccTraceSkel<'_>) -> Result<Vec<(u64, String)>> {
    use libbpf_rs::skel::OpenSkel;
    let cpus = u64::try_from(libbpf_rs::num_possible_cpus()?).unwrap_or(u64::MAX);
    let maps = open.open_object().maps().filter(OpenMap::autocreate);
    let mut sizes: Vec<(u64, String)> =
        maps.map(|map| (bytes(&map, cpus), map.name().to_string_lossy().into_owned())).collect();
    sizes.sort_by(|a, b| b.cmp(a));
    Ok(sizes)
}

/// As the kernel accounts for them (`map_mem_usage` of each type).
fn bytes(map: &OpenMap<'_>, cpus: u64) -> u64 {
    let entries = u64::from(map.max_entries());
    let key = u64::from(map.key_size()).next_multiple_of(8);
    let value = u64::from(map.value_size()).next_multiple_of(8);
    let hash = |value: u64| {
        let buckets = u64::from(map.max_entries().next_power_of_two());
        entries.saturating_mul(ELEMENT + key + value) + buckets * BUCKET
    };
    match map.map_type() {
        MapType::RingBuf => entries + RING_HEAD,
        MapType::Hash | MapType::LruHash => hash(value),
        MapType::PercpuHash | MapType::LruPercpuHash => hash(8 + value.saturating_mul(cpus)),
        MapType::PercpuArray => entries.saturating_mul(8 + value.saturating_mul(cpus)),
        MapType::Array => entries.saturating_mul(value),
        // Small: filter lists, programs, buffers by CPU.
        _ => entries.saturating_mul(key + value),
    }
}

/// `--max-map-bytes 4194304: the maps take 9437184 bytes …`, with the options that make the largest of them smaller.
pub fn too_large(most: u64, bytes: u64, maps: &[(u64, String)], connections: u32) -> String {
    let named = || maps.iter().take(NAMED);
    let largest: Vec<String> = named().map(|(bytes, name)| format!("{name} {bytes}")).collect();
    let mut remedies: Vec<&str> = named().map(|(_, name)| remedy(name)).collect();
    remedies.sort_unstable();
    remedies.dedup();
    format!(
        "--max-map-bytes {most}: with room for {connections} connections, the maps take {bytes} bytes ({}, …); lower {}",
        largest.join(", "),
        remedies.join(" or ")
    )
}

/// What bounds that map.
fn remedy(name: &str) -> &'static str {
    match name {
        "events_ring" => "--buffer-size",
        "histograms" | "histogram_rest" | "sums" | "observed" | "observed_reasons" => "--max-rows",
        _ => "--max-conns",
    }
}
