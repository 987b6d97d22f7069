//! Chooses the programs to load: a pure function of the request and the kernel's features.

mod notes;
mod programs;
mod readers;

use self::programs::{Program, flavour, is_inferred, programs};
use crate::config::{Reader, Transport};
use crate::events::{EVENT_TYPES, EventType, Hook, listen_drop};

/// What the options require of the kernel side.
#[derive(Clone, Default)]
pub struct Request {
    pub event_types: Vec<&'static EventType>,
    pub reader: Option<Reader>,
    pub transport: Option<Transport>,
    /// The name of an option that needs `struct sock`.
    pub beyond_record: Option<&'static str>,
    /// Limits that keep state per connection.
    pub per_connection: bool,
    /// The owner is shown, or filtered on.
    pub owner: bool,
    /// A command's connections are traced.
    pub traced_pids: bool,
    /// Snapshots of all connections are taken, and `destroy` is a connection's last one.
    pub conn_snapshots: bool,
    /// Snapshots of the listening sockets are taken at each interval.
    pub listeners: bool,
    /// Events are aggregated instead of printed.
    pub aggregated: bool,
    /// Times in congestion control states are summed, including a connection's first and last state.
    pub ca_state_times: bool,
    /// Infer event types from other tracepoints even if they have their own.
    pub inferred: bool,
    /// List the connections that are open at the start.
    pub list_open: bool,
    /// Sample connections on each packet, for `life`.
    pub samples: bool,
}

/// What the kernel has.
#[derive(Clone, Debug)]
pub struct KernelFeatures {
    /// The error says why the tcp_probe record cannot be read.
    pub record: Result<(), String>,
    pub tp_btf: bool,
    pub cookie_helper: bool,
    pub ringbuf: bool,
    /// Event types that are unavailable, and why.
    pub missing_events: Vec<(&'static str, String)>,
    /// Missing tracepoints that are optional, or have a fallback.
    pub missing_hooks: Vec<&'static str>,
    /// tcp:tcp_sendmsg_locked.
    pub sendmsg: bool,
    /// Iterators, which need the kernel's own types (5.8).
    pub iterators: bool,
    /// The error says why classic tracepoint programs cannot be attached.
    pub tracefs: Result<(), String>,
}

/// One set of programs that fulfils the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// How `probe` is read, and whether the other programs are typed.
    pub reader: Reader,
    /// Programs that must run before those that emit events, in attach order.
    pub helpers: Vec<String>,
    /// The programs that emit events: the event type's number, and the program's name.
    pub programs: Vec<(usize, String)>,
    /// Programs that catch events for which the kernel skipped one of those. Attached after them; their names start with
    /// theirs.
    pub recursion_fallbacks: Vec<String>,
    /// How it reads, for -v and `check`.
    pub description: &'static str,
    /// Notes for the user.
    pub notes: Vec<String>,
}

impl Variant {
    /// Whether it emits events of that type.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.event_types().any(|event_type| event_type.name == name)
    }

    /// Whether it keeps the ends and totals of closed connections.
    pub fn keeps_closed(&self) -> bool {
        self.helpers.iter().any(|program| program.starts_with(KEEP_CLOSED))
    }

    /// The event types that it emits, each once.
    pub fn event_types(&self) -> impl Iterator<Item = &'static EventType> {
        let mut numbers: Vec<usize> = self.programs.iter().map(|(number, _)| *number).collect();
        numbers.dedup();
        numbers.into_iter().filter_map(|number| EVENT_TYPES.get(number))
    }
}

/// Creates cookies where the readers cannot. Optional.
pub const COOKIE_PROGRAM: &str = "probe_cookie";

/// Keeps the ends and totals of closed connections. Runs after the programs that read those of a reused socket.
const KEEP_CLOSED: &str = "closed_keep";

/// Event types with the time since the connection's previous event of that type.
const TIME_SINCE_LAST: &[&str] = &["state", "cong_state"];
/// The iterators over all open files: for owners, and for open connections.
pub const OWNER_SCAN: &str = "owner_iter";
pub const OPEN_SCAN: &str = "life_iter";
/// Records the errors that connect() returns.
pub const RETURN_PROGRAM: &str = "connect_return";
/// The iterator that takes a snapshot of all listening sockets.
pub const LISTEN_SCAN: &str = "listen_iter";

/// The variants to try, best first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub variants: Vec<Variant>,
    pub transport: Transport,
    pub track_conn: bool,
    pub track_owner: bool,
    /// Open files are scanned for owners.
    pub scan_owners: bool,
    /// The connections that are open at the start are reported first.
    pub list_open: bool,
    /// Snapshots of the listening sockets are taken, for `listen_drop`.
    pub listen_snapshots: bool,
    /// Programs can create cookies.
    pub cookie_helper: bool,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The options contradict one another.
    Usage(String),
    /// The kernel has no support for it.
    Kernel(String),
}

impl Refusal {
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Refusal::Usage(text) | Refusal::Kernel(text) => text,
        }
    }
}

pub fn plan(request: &Request, features: &KernelFeatures) -> Result<Plan, Refusal> {
    for event_type in &request.event_types {
        if let Some((name, why)) =
            features.missing_events.iter().find(|(name, _)| *name == event_type.name)
        {
            return Err(Refusal::Kernel(format!("{name}: {why}")));
        }
    }
    let transport = match request.transport {
        Some(Transport::RingBuf) if !features.ringbuf => {
            let text = "this kernel has no BPF ring buffer (Linux 5.8): use --transport perfbuf";
            return Err(Refusal::Kernel(text.into()));
        }
        Some(transport) => transport,
        None if features.ringbuf => Transport::RingBuf,
        None => Transport::PerfBuf,
    };
    if request.traced_pids && !features.iterators {
        let text = "-- CMD needs a kernel built with CONFIG_DEBUG_INFO_BTF: filter with --pid or --cgroup instead";
        return Err(Refusal::Kernel(text.into()));
    }
    if (request.conn_snapshots || request.listeners) && !features.iterators {
        let text = "this command reads all open sockets, which needs a kernel built with CONFIG_DEBUG_INFO_BTF";
        return Err(Refusal::Kernel(text.into()));
    }
    let track_owner = request.owner || request.traced_pids;
    let track_conn = track_owner
        || request.per_connection
        || request.event_types.iter().any(|event_type| {
            TIME_SINCE_LAST.contains(&event_type.name) || !event_type.state_trackers.is_empty()
        });
    let variants = readers::readers(request, features)?
        .into_iter()
        .map(|(reader, description)| {
            let mut notes = Vec::new();
            let helpers = helpers(reader, request, features, (track_conn, track_owner), &mut notes);
            let of_type =
                |event_type: &&'static EventType| programs(event_type, reader, request, features);
            let programs = request.event_types.iter().flat_map(of_type);
            let programs = programs.map(|program| (program.event_type, program.name)).collect();
            // Other programs run rarely, or in softirq context only.
            let second =
                request.event_types.iter().any(|event_type| event_type.is_probe()).then(|| {
                    match reader {
                        Reader::Record => None,
                        Reader::Sock => Some("probe_sock_fallback".to_owned()),
                        Reader::Raw => Some("probe_raw_fallback".to_owned()),
                    }
                });
            let recursion_fallbacks = second.flatten().into_iter().collect();
            Variant { reader, helpers, programs, recursion_fallbacks, description, notes }
        })
        .collect();
    let scan_owners = track_owner && features.iterators;
    let list_open = request.list_open && features.iterators;
    Ok(Plan {
        variants,
        transport,
        track_conn,
        track_owner,
        scan_owners,
        list_open,
        listen_snapshots: listens(request) && features.iterators,
        cookie_helper: features.cookie_helper,
    })
}

fn helpers(
    reader: Reader,
    request: &Request,
    features: &KernelFeatures,
    (track_conn, track_owner): (bool, bool),
    notes: &mut Vec<String>,
) -> Vec<String> {
    let mut helpers = Vec::new();
    let needs_cookie = reader == Reader::Raw || (reader == Reader::Sock && !features.cookie_helper);
    if needs_cookie {
        match &features.tracefs {
            // Before the reader: a tracepoint runs its programs in attach order.
            Ok(()) => helpers.push(COOKIE_PROGRAM.to_owned()),
            Err(why) => notes.push(format!(
                "`cookie` is null for sockets without one, as reader {} cannot create cookies: {why}",
                reader.name()
            )),
        }
    }
    for tracker in request.event_types.iter().flat_map(|event_type| event_type.state_trackers) {
        let program = flavour(tracker, reader);
        if *tracker != KEEP_CLOSED && !helpers.contains(&program) {
            helpers.push(program);
        }
    }
    if track_owner {
        helpers.push("owner_set_state".to_owned());
        helpers.push(flavour("owner_receive", reader));
        if features.sendmsg {
            helpers.push(flavour("owner_send", reader));
        }
    }
    if request.conn_snapshots {
        helpers.push(flavour("conn_snapshot_born", reader));
    }
    let keeps = request
        .event_types
        .iter()
        .any(|event_type| event_type.state_trackers.contains(&KEEP_CLOSED));
    helpers.extend(keeps.then(|| flavour(KEEP_CLOSED, reader)));
    let infers =
        request.event_types.iter().any(|event_type| is_inferred(event_type, request, features));
    if request.ca_state_times || infers {
        let program = flavour("conn_state", reader);
        if !helpers.contains(&program) {
            helpers.push(program);
        }
    }
    if request.ca_state_times {
        helpers
            .extend(["ca_state_time_close", "ca_state_time_end"].map(|name| flavour(name, reader)));
    }
    if request.samples {
        helpers.push(flavour("conn_sample", reader));
    }
    if !features.iterators {
        notes.extend(notes::without_iterators(request, track_owner, listens(request)));
    }
    if request.traced_pids {
        helpers.extend(["traced_pids_fork", "traced_pids_exit"].map(str::to_owned));
    }
    for event_type in &request.event_types {
        if is_inferred(event_type, request, features) {
            let from: Vec<&str> = event_type.fallback_hooks.iter().map(|hook| hook.hook).collect();
            notes.push(format!(
                "{} is inferred from {}, without {}: changes between two of these events are missed",
                event_type.name,
                from.join(" and "),
                event_type.hook
            ));
        }
        let missing = |hook: &&Hook| features.missing_hooks.contains(&hook.tracepoint());
        notes.extend(event_type.extra_hooks.iter().filter(missing).filter_map(|hook| {
            let without = hook.without?;
            Some(format!("{}: this kernel has no {}, so {without}", event_type.name, hook.hook))
        }));
    }
    // The event for a connection's end comes after other events that end with the connection; conn_destroy, which deletes
    // the connection's entry, runs last.
    let all = request
        .event_types
        .iter()
        .flat_map(|event_type| programs(event_type, reader, request, features));
    let mut last: Vec<Program> = all.filter(|p| p.tracepoint == "tcp_destroy_sock").collect();
    last.sort_by_key(|program| program.first);
    helpers.extend(last.into_iter().map(|program| program.name));
    if track_conn {
        helpers.push("conn_destroy".to_owned());
    }
    helpers
}

fn listens(request: &Request) -> bool {
    request.event_types.iter().any(|event_type| event_type.number == listen_drop::EVENT_TYPE.number)
}

/// The event types that are unavailable.
#[must_use]
pub fn missing_events(why: impl Fn(&EventType) -> Option<String>) -> Vec<(&'static str, String)> {
    EVENT_TYPES.iter().filter_map(|event_type| Some((event_type.name, why(event_type)?))).collect()
}

/// Missing tracepoints that are optional, or have a fallback.
#[must_use]
pub fn missing_hooks(has_tracepoint: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let optional = EVENT_TYPES
        .iter()
        .flat_map(|event_type| event_type.extra_hooks)
        .filter(|hook| hook.without.is_some());
    let own = EVENT_TYPES
        .iter()
        .filter(|event_type| !event_type.fallback_hooks.is_empty())
        .map(EventType::tracepoint);
    optional.map(Hook::tracepoint).chain(own).filter(|name| !has_tracepoint(name)).collect()
}

#[cfg(test)]
mod tests;
