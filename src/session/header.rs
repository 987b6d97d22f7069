//! What a recording says about itself.

use std::os::unix::fs::MetadataExt;

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use super::anonymizer;
use super::trace::Trace;
use crate::config::{Config, Fields, Limits, Rate};
use crate::environment::Environment;
use crate::events::EventType;
use crate::kernel;
use crate::loader::plan::{Plan, Variant};
use crate::privilege;
use crate::recording::codec::ByteOrder;
use crate::recording::header::{Header, NetworkNamespace};
use crate::recording::schema::shapes;
use crate::symbols::Symbols;

const NETNS_DIR: &str = "/run/netns";
/// More are not named.
const MOST_NAMESPACES: usize = 4096;

impl Trace<'_, '_> {
    /// The header of the recording of this trace, and the symbols, which come in additions. They take megabytes: `environment`
    /// keeps its copy only if something is printed.
    pub(super) fn header(&self, environment: &mut Environment) -> (Header, Symbols) {
        let symbols = std::mem::take(&mut environment.types.symbols);
        let recorded = environment.clone();
        if !self.outputs.is_empty() {
            environment.types.symbols = symbols.clone();
        }
        let mut header = header(self.config, self.plan, self.variant, recorded);
        if let Some(key) = self.key {
            let layout = &header.environment.layout;
            anonymizer(self.config, key, layout).header(&mut header);
        }
        (header, symbols)
    }
}

/// The header of a recording of what these programs report.
#[must_use]
pub fn header(config: &Config, plan: &Plan, variant: &Variant, environment: Environment) -> Header {
    let event_types: Vec<&'static EventType> = variant.event_types().collect();
    let uname = rustix::system::uname();
    Header {
        program: program(),
        commit: commit(),
        recording: random("uuid"),
        part: 0,
        boot_id: random("boot_id"),
        machine: uname.machine().to_string_lossy().into_owned(),
        kernel_version: uname.version().to_string_lossy().into_owned(),
        byte_order: ByteOrder::NATIVE,
        online_cpus: crate::loader::live::online_cpus() as u32,
        hz: kernel::hz(),
        network_namespaces: network_namespaces(),
        boottime_offset_ns: now(ClockId::Boottime) - now(ClockId::Monotonic),
        command_line: command_line(),
        config: described(config, plan, variant, &event_types),
        shapes: shapes(&event_types, &environment),
        environment,
    }
}

/// What is recorded, and how.
fn described(
    config: &Config,
    plan: &Plan,
    variant: &Variant,
    event_types: &[&'static EventType],
) -> Value {
    let Config { filters, limits, output, predicate, command, .. } = config;
    let names: Vec<&str> = event_types.iter().map(|event_type| event_type.name).collect();
    let fields = match &output.fields {
        Fields::Standard => json!("standard"),
        Fields::All => json!("all"),
        Fields::Named(names) => json!(names),
    };
    json!({
        "event_types": names,
        "fields": fields,
        "reader": variant.reader.name(),
        "transport": plan.transport.name(),
        "notes": variant.notes,
        "filters": filters.any(),
        "where": predicate.as_ref().map(|predicate| &predicate.text),
        "limits": described_limits(limits),
        "traced_command": !command.is_empty(),
    })
}

pub(super) fn program() -> String {
    concat!("tcc-trace ", env!("CARGO_PKG_VERSION")).to_owned()
}

/// Builds for users have one, and those whose builder names it.
pub(super) fn commit() -> Option<String> {
    option_env!("TCC_TRACE_COMMIT").filter(|commit| !commit.is_empty()).map(str::to_owned)
}

/// Those that `ip netns` knows, by name.
fn network_namespaces() -> Vec<NetworkNamespace> {
    let entries = privilege::as_caller(|| std::fs::read_dir(NETNS_DIR));
    let entries = entries.into_iter().flatten().flatten().take(MOST_NAMESPACES);
    let named = entries.filter_map(|entry| {
        let path = entry.path();
        let inode = privilege::as_caller(|| path.metadata()).ok()?.ino();
        let name = crate::escape::path(entry.file_name());
        kernel::is_on(&path, kernel::NSFS_MAGIC).then_some(NetworkNamespace { inode, name })
    });
    let mut named: Vec<NetworkNamespace> = named.collect();
    named.sort_by(|one, other| one.name.cmp(&other.name));
    named
}

pub(super) fn command_line() -> Vec<String> {
    std::env::args_os().map(|arg| crate::escape::path(&arg)).collect()
}

pub(super) fn described_limits(limits: &Limits) -> Value {
    let rate = |rate: Option<Rate>| rate.map(|rate| rate.interval_ns);
    json!({
        "sample": limits.sample,
        "every_ns": limits.every.map(|every| every.as_nanos() as u64),
        "on_change": limits.on_change,
        "rate_interval_ns": rate(limits.rate),
        "rate_per_conn_interval_ns": rate(limits.rate_per_conn),
    })
}

/// Of /proc/sys/kernel/random.
pub(super) fn random(name: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/sys/kernel/random/{name}"));
    text.unwrap_or_default().trim().to_owned()
}

fn now(id: ClockId) -> i64 {
    let time = clock_gettime(id);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
