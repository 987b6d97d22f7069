//! Chooses the programs to load: a pure function of the request and the kernel's features.

mod notes;
mod programs;
mod readers;

pub use self::notes::of_limits;
pub use self::programs::{Program, Role};
use self::programs::{is_inferred, programs};
use crate::config::{Reader, Transport};
use crate::events::{EVENT_TYPES, EventType, Hook, Tracker, after_group, listen_drop};

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
    /// Events are counted or aggregated, and none is recorded.
    pub unrecorded: bool,
    /// Times in congestion control states are summed, including a connection's first and last state.
    pub ca_state_times: bool,
    /// What limits each connection is classified.
    pub limits: bool,
    /// What each connection transfers is counted in the kernel.
    pub observes: bool,
    /// Without an iterator over these connections even if the kernel accepts one.
    pub one_by_one: bool,
    /// Snapshots of that are taken, and the last one is that of `destroy`.
    pub limits_snapshots: bool,
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
    /// The ID of `struct tcp_sock` in the kernel's BTF.
    pub tcp_sock_type: Option<u32>,
    pub ringbuf: bool,
    /// Event types that are unavailable, and why.
    pub missing_events: Vec<(&'static str, String)>,
    /// Missing tracepoints that are optional, or have a fallback.
    pub missing_hooks: Vec<&'static str>,
    /// The kernel skips a program that it has interrupted on the same CPU.
    pub skips_nested: bool,
    /// tcp:tcp_sendmsg_locked.
    pub sendmsg: bool,
    /// The state of BBR is laid out as in mainline, as far as is known.
    pub mainline_bbr: bool,
    /// Iterators, which need the kernel's own types (5.8).
    pub iterators: bool,
    /// Those over the elements of a map, which a kernel may have and yet refuse.
    pub map_iterators: bool,
    /// The error says why classic tracepoint programs cannot be attached.
    pub tracefs: Result<(), String>,
}

/// One set of programs that fulfils the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// How `probe` is read, and whether the other programs are typed.
    pub reader: Reader,
    /// The event types, by number.
    pub event_types: Vec<u8>,
    /// The state that is kept between events.
    pub trackers: Vec<Tracker>,
    /// Whether `cong_state` is inferred at other tracepoints.
    pub inferred: bool,
    /// The programs, in attach order. Those of a command's processes are the first ones.
    pub programs: Vec<Program>,
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

    /// Whether it keeps that state.
    #[must_use]
    pub fn tracks(&self, tracker: Tracker) -> bool {
        self.trackers.contains(&tracker)
    }

    /// Whether it has a program at that tracepoint (without the group).
    #[must_use]
    pub fn hooks(&self, tracepoint: &str) -> bool {
        self.programs.iter().any(|program| program.tracepoint == tracepoint)
    }

    /// The event types that it emits.
    pub fn event_types(&self) -> impl Iterator<Item = &'static EventType> {
        self.event_types.iter().filter_map(|&number| EVENT_TYPES.get(usize::from(number)))
    }

    /// The tracepoints (`group:name`) that this type's events come from.
    pub fn hooks_of(&self, event_type: &'static EventType) -> Vec<&'static str> {
        let fallback = self.inferred && !event_type.fallback_hooks.is_empty();
        let hooks: Vec<&str> = if fallback {
            event_type.fallback_hooks.iter().map(|hook| hook.hook).collect()
        } else {
            event_type.hooks().collect()
        };
        hooks.into_iter().filter(|hook| self.hooks(after_group(hook))).collect()
    }

    /// The names of all programs, in attach order.
    pub fn program_names(&self) -> impl Iterator<Item = &str> {
        let fallbacks = self.programs.iter().filter_map(|program| program.fallback.as_deref());
        self.programs.iter().map(|program| &*program.name).chain(fallbacks)
    }
}

/// The iterators over all open files: for owners, and for open connections.
pub const OWNER_SCAN: &str = "owner_iter";
pub const OPEN_SCAN: &str = "life_iter";
/// The iterator that takes a snapshot of all listening sockets.
pub const LISTEN_SCAN: &str = "listen_iter";
/// The iterator that takes a snapshot of the accounts of `limits`.
pub const LIMITS_SCAN: &str = "limits_iter";
/// The iterators of `observe`: over all open files at the start, and over the connections that are known.
pub const OBSERVE_SCAN: &str = "observe_scan_iter";
pub const OBSERVE_READ: &str = "observe_iter";
/// Reads one connection, where the kernel refuses an iterator over them.
pub const OBSERVE_READ_ONE: &str = "observe_one";

/// Event types with the time since the connection's previous event of that type.
const TIME_SINCE_LAST: &[&str] = &["state", "cong_state"];

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
    /// `observe` reads its connections one by one.
    pub one_by_one: bool,
    /// Programs can create cookies.
    pub cookie_helper: bool,
    /// As in `KernelFeatures`.
    pub tcp_sock_type: Option<u32>,
    /// The kernel skips nested runs.
    pub skips_nested: bool,
    /// The state of BBR is laid out as in mainline.
    pub mainline_bbr: bool,
}

impl Plan {
    /// The program that reads the connections of `observe`.
    pub(super) fn observe_read(&self) -> &'static str {
        if self.one_by_one { OBSERVE_READ_ONE } else { OBSERVE_READ }
    }
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
    if (request.conn_snapshots || request.limits_snapshots || request.observes || request.listeners)
        && !features.iterators
    {
        let text = "this command reads all open sockets, which needs a kernel built with CONFIG_DEBUG_INFO_BTF";
        return Err(Refusal::Kernel(text.into()));
    }
    let track_owner = request.owner || request.traced_pids;
    let track_conn = track_owner
        || request.per_connection
        || request.event_types.iter().any(|event_type| {
            TIME_SINCE_LAST.contains(&event_type.name) || !event_type.trackers.is_empty()
        });
    let variants = readers::readers(request, features)?
        .into_iter()
        .map(|(reader, description)| variant(reader, description, request, features, track_conn))
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
        one_by_one: request.observes && !features.map_iterators,
        cookie_helper: features.cookie_helper,
        tcp_sock_type: features.tcp_sock_type,
        skips_nested: features.skips_nested,
        mainline_bbr: features.mainline_bbr,
    })
}

fn variant(
    reader: Reader,
    description: &'static str,
    request: &Request,
    features: &KernelFeatures,
    track_conn: bool,
) -> Variant {
    let mut notes = Vec::new();
    let trackers = trackers(request, features);
    let needs_cookie = reader == Reader::Raw || (reader == Reader::Sock && !features.cookie_helper);
    let makes_cookies = needs_cookie && features.tracefs.is_ok();
    if let (true, Err(why)) = (needs_cookie, &features.tracefs) {
        notes.push(format!(
            "`cookie` is null for sockets without one, as reader {} cannot create cookies: {why}",
            reader.name()
        ));
    }
    if !features.iterators {
        let owner = trackers.contains(&Tracker::Owner);
        notes.extend(notes::without_iterators(request, owner, listens(request)));
    }
    if request.observes && !features.map_iterators {
        notes.push(notes::ONE_BY_ONE.into());
    }
    if request.limits {
        notes.extend(of_limits(features).map(|note| format!("limits: {note}")));
    }
    for event_type in &request.event_types {
        notes.extend(notes::of_missing_hooks(event_type, request, features));
    }
    let mut event_types: Vec<u8> = request.event_types.iter().map(|of| of.number).collect();
    event_types.dedup();
    Variant {
        reader,
        event_types,
        inferred: request.event_types.iter().any(|of| is_inferred(of, request, features)),
        programs: programs(reader, request, features, &trackers, track_conn, makes_cookies),
        trackers,
        description,
        notes,
    }
}

/// The state that the request needs, each kind once.
fn trackers(request: &Request, features: &KernelFeatures) -> Vec<Tracker> {
    let infers = request.event_types.iter().any(|of| is_inferred(of, request, features));
    let wanted = [
        (request.owner || request.traced_pids, Tracker::Owner),
        (request.ca_state_times || infers, Tracker::History),
        (request.samples, Tracker::Samples),
        (request.conn_snapshots, Tracker::Snapshots),
        (request.ca_state_times, Tracker::CaStateTime),
        (request.limits, Tracker::Limits),
        (request.limits_snapshots, Tracker::LimitsEnds),
        (request.observes, Tracker::Observed),
    ];
    let wanted = wanted.into_iter().filter_map(|(wanted, tracker)| wanted.then_some(tracker));
    let of_types = request.event_types.iter().flat_map(|event_type| event_type.trackers).copied();
    let mut trackers: Vec<Tracker> = wanted.chain(of_types).collect();
    trackers.sort_unstable();
    trackers.dedup();
    trackers
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
