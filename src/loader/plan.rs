//! Which programs to load: a pure function of what is asked and what the kernel has.

mod notes;
mod programs;
mod readers;

use self::programs::{Program, flavour, is_inferred, programs};
use crate::config::{Reader, Transport};
use crate::events::{EVENT_TYPES, EventType, Hook, listen_drop};

/// What the options ask of the kernel side.
#[derive(Clone, Default)]
pub struct Request {
    pub event_types: Vec<&'static EventType>,
    pub reader: Option<Reader>,
    pub transport: Option<Transport>,
    /// An option that `struct sock` is needed for, by name.
    pub beyond_record: Option<&'static str>,
    /// Limits that keep state per connection.
    pub per_connection: bool,
    /// The owner is shown or filtered by.
    pub owner: bool,
    /// A command's connections are traced.
    pub traced_pids: bool,
    /// Connections are read as a whole, and `destroy` is a connection's last reading.
    pub conn_snapshots: bool,
    /// Listening sockets are read at each interval.
    pub listeners: bool,
    /// Events are counted, and none is printed.
    pub counted: bool,
    /// Time in recovery states is added up, of which the first and the last are a connection's own.
    pub ca_state_times: bool,
    /// An event type is inferred from other tracepoints, even if it has its own.
    pub inferred: bool,
    /// The connections that are open at the start are shown.
    pub list_open: bool,
    /// Connections' packets are looked at, for `life`.
    pub samples: bool,
}

/// What the kernel has.
#[derive(Clone, Debug)]
pub struct KernelFeatures {
    /// Why the record cannot be read.
    pub record: Result<(), String>,
    pub tp_btf: bool,
    pub cookie_helper: bool,
    pub ringbuf: bool,
    /// event types that there cannot be, and why.
    pub missing_events: Vec<(&'static str, String)>,
    /// Tracepoints that an event type does without, or has something instead of.
    pub missing_hooks: Vec<&'static str>,
    /// tcp:tcp_sendmsg_locked.
    pub sendmsg: bool,
    /// Iterators, which need the kernel's own types (5.8).
    pub iterators: bool,
    /// Why a classic tracepoint program cannot be attached.
    pub tracefs: Result<(), String>,
}

/// One way to do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// How `probe` is read; it also says whether the other programs are typed.
    pub reader: Reader,
    /// Programs that must run before those that make events, in attach order.
    pub helpers: Vec<String>,
    /// The programs that make the events: of which event type (its number), and their name.
    pub programs: Vec<(usize, String)>,
    /// Programs that take what the kernel skipped one of those for: behind them, with whose names theirs begin.
    pub recursion_fallbacks: Vec<String>,
    /// Why this one.
    pub why: &'static str,
    /// What the user should know of it.
    pub notes: Vec<String>,
}

impl Variant {
    /// Does it make events of that event type?
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.event_types().any(|event_type| event_type.name == name)
    }

    /// Does it keep the ends and totals of closed connections?
    pub fn keeps_closed(&self) -> bool {
        self.helpers.iter().any(|program| program.starts_with(KEEP_CLOSED))
    }

    /// Whose events it makes, each once.
    pub fn event_types(&self) -> impl Iterator<Item = &'static EventType> {
        let mut numbers: Vec<usize> = self.programs.iter().map(|(number, _)| *number).collect();
        numbers.dedup();
        numbers.into_iter().filter_map(|number| EVENT_TYPES.get(number))
    }
}

/// What makes cookies where the readers cannot; they work without it.
pub const COOKIE_PROGRAM: &str = "probe_cookie";

/// Keeps the ends and totals of closed connections. It runs after what reads those of a socket that is used again.
const KEEP_CLOSED: &str = "closed_keep";

/// Event types that tell of the time since the connection's last event of that event type.
const REMEMBERS: &[&str] = &["state", "cong_state"];
/// The iterators over all open files: whose they are, and which connections are open.
pub const OWNER_SCAN: &str = "owner_iter";
pub const OPEN_SCAN: &str = "life_iter";
/// What takes the errors that connect() returns.
pub const RETURN_PROGRAM: &str = "connect_return";
/// And the one that takes a snapshot of all listening sockets.
pub const LISTEN_SCAN: &str = "listen_iter";

/// What will be tried, best first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub variants: Vec<Variant>,
    pub transport: Transport,
    pub track_conn: bool,
    pub track_owner: bool,
    /// And the open files are looked through for owners.
    pub scan_owners: bool,
    /// The connections that are open at the start are told first.
    pub list_open: bool,
    /// Snapshots of the listening sockets are taken, for `listen_drop`.
    pub listen_snapshots: bool,
    /// Programs can make cookies.
    pub cookie_helper: bool,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The options contradict one another.
    Usage(String),
    /// The kernel lacks something.
    Kernel(String),
}

impl Refusal {
    /// In words.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Refusal::Usage(text) | Refusal::Kernel(text) => text,
        }
    }
}

/// The plan, or why there is none.
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
            let text = "this kernel has no BPF ring buffer (5.8): use --transport perfbuf";
            return Err(Refusal::Kernel(text.into()));
        }
        Some(transport) => transport,
        None if features.ringbuf => Transport::RingBuf,
        None => Transport::PerfBuf,
    };
    if request.traced_pids && !features.iterators {
        let text = "-- COMMAND needs the kernel's own types (CONFIG_DEBUG_INFO_BTF)";
        return Err(Refusal::Kernel(text.into()));
    }
    if (request.conn_snapshots || request.listeners) && !features.iterators {
        let text = "reading all sockets needs the kernel's own types (CONFIG_DEBUG_INFO_BTF)";
        return Err(Refusal::Kernel(text.into()));
    }
    let track_owner = request.owner || request.traced_pids;
    let track_conn = track_owner
        || request.per_connection
        || request.event_types.iter().any(|event_type| {
            REMEMBERS.contains(&event_type.name) || !event_type.state_trackers.is_empty()
        });
    let variants = readers::readers(request, features)?
        .into_iter()
        .map(|(reader, why)| {
            let mut notes = Vec::new();
            let helpers = helpers(reader, request, features, (track_conn, track_owner), &mut notes);
            let of_type =
                |event_type: &&'static EventType| programs(event_type, reader, request, features);
            let programs = request.event_types.iter().flat_map(of_type);
            let programs = programs.map(|program| (program.event_type, program.name)).collect();
            // The rest are rare, or run in softirq only.
            let second =
                request.event_types.iter().any(|event_type| event_type.is_probe()).then(|| {
                    match reader {
                        Reader::Record => None,
                        Reader::Sock => Some("probe_sock_second".to_owned()),
                        Reader::Raw => Some("probe_raw_second".to_owned()),
                    }
                });
            let recursion_fallbacks = second.flatten().into_iter().collect();
            Variant { reader, helpers, programs, recursion_fallbacks, why, notes }
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
            // Before the reader: probes of a tracepoint run in the order in which they came.
            Ok(()) => helpers.push(COOKIE_PROGRAM.to_owned()),
            Err(why) => notes.push(format!(
                "the {} reader cannot make socket cookies here, so `cookie` is null for sockets that have none yet ({why})",
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
    let derives =
        request.event_types.iter().any(|event_type| is_inferred(event_type, request, features));
    if request.ca_state_times || derives {
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
                "{} is worked out from {}, without {}: what is over before the next of them is not seen",
                event_type.name,
                from.join(" and "),
                event_type.hook
            ));
        }
        let missing = |hook: &&Hook| features.missing_hooks.contains(&hook.tracepoint());
        notes.extend(event_type.extra_hooks.iter().filter(missing).filter_map(|hook| {
            let without = hook.without?;
            Some(format!("this kernel has no {}, so for {}: {without}", hook.hook, event_type.name))
        }));
    }
    // The event that tells of a connection's end comes after those that something else ended by it, and what ends the
    // memory of the connection runs after them all.
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

/// Every event type that there is a reason against.
#[must_use]
pub fn missing_events(why: impl Fn(&EventType) -> Option<String>) -> Vec<(&'static str, String)> {
    EVENT_TYPES.iter().filter_map(|event_type| Some((event_type.name, why(event_type)?))).collect()
}

/// Of the tracepoints that an event type does without, or has something instead of, those that there are not.
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
