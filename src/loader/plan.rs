//! Which programs to load: a pure function of what is asked and what the kernel has.

mod notes;
mod readers;

use crate::config::{Reader, Transport};
use crate::probe::{Hook, KINDS, Kind, listen_drop};

/// What the options ask of the kernel side.
#[derive(Clone, Default)]
pub struct Request {
    pub kinds: Vec<&'static Kind>,
    pub reader: Option<Reader>,
    pub transport: Option<Transport>,
    /// An option that `struct sock` is needed for, by name.
    pub beyond_record: Option<&'static str>,
    /// Limits that keep state per connection.
    pub per_connection: bool,
    /// The owner is shown or filtered by.
    pub owner: bool,
    /// A command's connections are traced.
    pub tree: bool,
    /// Connections are read as a whole, and `destroy` is a connection's last reading.
    pub flows: bool,
    /// Listening sockets are read at each interval.
    pub listeners: bool,
    /// Events are counted, and none is printed.
    pub counted: bool,
    /// Time in recovery states is added up, of which the first and the last are a connection's own.
    pub dwelling: bool,
    /// A kind is worked out from other tracepoints, even if it has its own.
    pub derived: bool,
    /// The connections that are open at the start are shown.
    pub list_open: bool,
    /// Connections' packets are looked at, for `life`.
    pub samples: bool,
}

/// What the kernel has.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Why the record cannot be read.
    pub record: Result<(), String>,
    pub tp_btf: bool,
    pub cookie_helper: bool,
    pub ringbuf: bool,
    /// Kinds of events that there cannot be, and why.
    pub lacking: Vec<(&'static str, String)>,
    /// Tracepoints that a kind does without, or has something instead of.
    pub lacking_hooks: Vec<&'static str>,
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
    pub hooks: Vec<String>,
    /// The programs that make the events: of which kind (its number), and their name.
    pub programs: Vec<(usize, String)>,
    /// Programs that take what the kernel skipped one of those for: behind them, with whose names theirs begin.
    pub seconds: Vec<String>,
    /// Why this one.
    pub why: &'static str,
    /// What the user should know of it.
    pub notes: Vec<String>,
}

impl Variant {
    /// Does it make events of that kind?
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.kinds().any(|kind| kind.name == name)
    }

    /// Does it keep the ends and totals of closed connections?
    pub fn keeps_closed(&self) -> bool {
        self.hooks.iter().any(|hook| hook.starts_with(KEEP_CLOSED))
    }

    /// Whose events it makes, each once.
    pub fn kinds(&self) -> impl Iterator<Item = &'static Kind> {
        let mut numbers: Vec<usize> = self.programs.iter().map(|(number, _)| *number).collect();
        numbers.dedup();
        numbers.into_iter().filter_map(|number| KINDS.get(number))
    }
}

/// What makes cookies where the readers cannot; they work without it.
pub const COOKIE_PROGRAM: &str = "probe_cookie";

/// Keeps the ends and totals of closed connections. It runs after what reads those of a socket that is used again.
const KEEP_CLOSED: &str = "closed_keep";

/// Kinds that tell of the time since the connection's last event of that kind.
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
pub fn plan(request: &Request, facts: &Facts) -> Result<Plan, Refusal> {
    for kind in &request.kinds {
        if let Some((name, why)) = facts.lacking.iter().find(|(name, _)| *name == kind.name) {
            return Err(Refusal::Kernel(format!("{name}: {why}")));
        }
    }
    let transport = match request.transport {
        Some(Transport::RingBuf) if !facts.ringbuf => {
            let text = "this kernel has no BPF ring buffer (5.8): use --transport perfbuf";
            return Err(Refusal::Kernel(text.into()));
        }
        Some(transport) => transport,
        None if facts.ringbuf => Transport::RingBuf,
        None => Transport::PerfBuf,
    };
    if request.tree && !facts.iterators {
        let text = "-- COMMAND needs the kernel's own types (CONFIG_DEBUG_INFO_BTF)";
        return Err(Refusal::Kernel(text.into()));
    }
    if (request.flows || request.listeners) && !facts.iterators {
        let text = "reading all sockets needs the kernel's own types (CONFIG_DEBUG_INFO_BTF)";
        return Err(Refusal::Kernel(text.into()));
    }
    let track_owner = request.owner || request.tree;
    let track_conn = track_owner
        || request.per_connection
        || request
            .kinds
            .iter()
            .any(|kind| REMEMBERS.contains(&kind.name) || !kind.memory.is_empty());
    let variants = readers::readers(request, facts)?
        .into_iter()
        .map(|(reader, why)| {
            let mut notes = Vec::new();
            let hooks = hooks(reader, request, facts, (track_conn, track_owner), &mut notes);
            let of_kind = |kind: &&'static Kind| programs(kind, reader, request, facts);
            let programs = request.kinds.iter().flat_map(of_kind);
            let programs = programs.map(|program| (program.kind, program.name)).collect();
            // The rest are rare, or run in softirq only.
            let second = request.kinds.iter().any(|kind| kind.is_probe()).then(|| match reader {
                Reader::Record => None,
                Reader::Sock => Some("probe_sock_second".to_owned()),
                Reader::Raw => Some("probe_raw_second".to_owned()),
            });
            let seconds = second.flatten().into_iter().collect();
            Variant { reader, hooks, programs, seconds, why, notes }
        })
        .collect();
    let scan_owners = track_owner && facts.iterators;
    let list_open = request.list_open && facts.iterators;
    Ok(Plan {
        variants,
        transport,
        track_conn,
        track_owner,
        scan_owners,
        list_open,
        listen_snapshots: listens(request) && facts.iterators,
        cookie_helper: facts.cookie_helper,
    })
}

fn hooks(
    reader: Reader,
    request: &Request,
    facts: &Facts,
    (track_conn, track_owner): (bool, bool),
    notes: &mut Vec<String>,
) -> Vec<String> {
    let mut hooks = Vec::new();
    let needs_cookie = reader == Reader::Raw || (reader == Reader::Sock && !facts.cookie_helper);
    if needs_cookie {
        match &facts.tracefs {
            // Before the reader: probes of a tracepoint run in the order in which they came.
            Ok(()) => hooks.push(COOKIE_PROGRAM.to_owned()),
            Err(why) => notes.push(format!(
                "the {} reader cannot make socket cookies here, so `cookie` is null for sockets that have none yet ({why})",
                reader.name()
            )),
        }
    }
    for memory in request.kinds.iter().flat_map(|kind| kind.memory) {
        let hook = flavour(memory, reader);
        if *memory != KEEP_CLOSED && !hooks.contains(&hook) {
            hooks.push(hook);
        }
    }
    if track_owner {
        hooks.push("owner_set_state".to_owned());
        hooks.push(flavour("owner_receive", reader));
        if facts.sendmsg {
            hooks.push(flavour("owner_send", reader));
        }
    }
    if request.flows {
        hooks.push(flavour("flow_born", reader));
    }
    let keeps = request.kinds.iter().any(|kind| kind.memory.contains(&KEEP_CLOSED));
    hooks.extend(keeps.then(|| flavour(KEEP_CLOSED, reader)));
    let derives = request.kinds.iter().any(|kind| is_derived(kind, request, facts));
    if request.dwelling || derives {
        let hook = flavour("conn_state", reader);
        if !hooks.contains(&hook) {
            hooks.push(hook);
        }
    }
    if request.dwelling {
        hooks.extend(["dwelling_close", "dwelling_end"].map(|name| flavour(name, reader)));
    }
    if request.samples {
        hooks.push(flavour("conn_sample", reader));
    }
    if !facts.iterators {
        notes.extend(notes::without_iterators(request, track_owner, listens(request)));
    }
    if request.tree {
        hooks.extend(["tree_fork", "tree_exit"].map(str::to_owned));
    }
    for kind in &request.kinds {
        if is_derived(kind, request, facts) {
            let from: Vec<&str> = kind.instead.iter().map(|hook| hook.hook).collect();
            notes.push(format!(
                "{} is worked out from {}, without {}: what is over before the next of them is not seen",
                kind.name,
                from.join(" and "),
                kind.hook
            ));
        }
        let lacks = |more: &&Hook| facts.lacking_hooks.contains(&more.tracepoint());
        notes.extend(kind.more.iter().filter(lacks).filter_map(|more| {
            let (kind, hook) = (kind.name, more.hook);
            let without = more.without?;
            Some(format!("{kind} does without {hook}, which this kernel lacks: {without}"))
        }));
    }
    // The event that tells of a connection's end comes after those that something else ended by it, and what ends the
    // memory of the connection runs after them all.
    let all = request.kinds.iter().flat_map(|kind| programs(kind, reader, request, facts));
    let mut last: Vec<Program> = all.filter(|p| p.tracepoint == "tcp_destroy_sock").collect();
    last.sort_by_key(|program| program.first);
    hooks.extend(last.into_iter().map(|program| program.name));
    if track_conn {
        hooks.push("conn_destroy".to_owned());
    }
    hooks
}

fn listens(request: &Request) -> bool {
    request.kinds.iter().any(|kind| kind.number == listen_drop::KIND.number)
}

/// Of a kind, on a tracepoint.
struct Program {
    kind: usize,
    name: String,
    tracepoint: &'static str,
    /// The one that is called as the kind is.
    first: bool,
}

/// Those that make a kind's events here.
fn programs(kind: &'static Kind, reader: Reader, request: &Request, facts: &Facts) -> Vec<Program> {
    let number = kind.number.into();
    let own = |name| Program { kind: number, name, tracepoint: kind.tracepoint(), first: true };
    let first = if is_derived(kind, request, facts) {
        Vec::new()
    } else if kind.programs.is_empty() {
        vec![own(program(kind, reader, request))]
    } else {
        kind.programs.iter().map(|&name| own(name.to_owned())).collect()
    };
    let instead = kind.instead.iter().filter(|_| is_derived(kind, request, facts));
    let more = kind
        .more
        .iter()
        .chain(instead)
        // What a call returns is shown, and not counted.
        .filter(|more| !(request.counted && more.is_of_calls()))
        .filter(|more| !facts.lacking_hooks.contains(&more.tracepoint()));
    let more = more.map(|more| Program {
        kind: number,
        name: more_name(more, reader),
        tracepoint: more.tracepoint(),
        first: false,
    });
    first.into_iter().chain(more).collect()
}

/// Does something else stand in for its tracepoint?
fn is_derived(kind: &Kind, request: &Request, facts: &Facts) -> bool {
    let lacks = facts.lacking_hooks.contains(&kind.tracepoint());
    !kind.instead.is_empty() && (request.derived || lacks)
}

/// The program that is called as the kind is.
fn program(kind: &Kind, reader: Reader, request: &Request) -> String {
    match reader {
        _ if request.flows => flavour("flow_end", reader),
        _ if !kind.is_probe() => flavour(kind.name, reader),
        Reader::Record => "probe_record".to_owned(),
        Reader::Sock => "probe_sock".to_owned(),
        Reader::Raw => "probe_raw".to_owned(),
    }
}

/// Those on system calls, which have no types to load from, have one flavour.
fn more_name(more: &Hook, reader: Reader) -> String {
    if more.has_one_flavour() { more.program.to_owned() } else { flavour(more.program, reader) }
}

/// Of a program that there is typed and not.
fn flavour(name: &str, reader: Reader) -> String {
    format!("{name}_{}", if reader == Reader::Sock { "btf" } else { "raw" })
}

/// Every kind that there is a reason against.
#[must_use]
pub fn lacking(why: impl Fn(&Kind) -> Option<String>) -> Vec<(&'static str, String)> {
    KINDS.iter().filter_map(|kind| Some((kind.name, why(kind)?))).collect()
}

/// Of the tracepoints that a kind does without, or has something instead of, those that there are not.
#[must_use]
pub fn lacking_hooks(has_tracepoint: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let optional = KINDS.iter().flat_map(|kind| kind.more).filter(|more| more.without.is_some());
    let own = KINDS.iter().filter(|kind| !kind.instead.is_empty()).map(Kind::tracepoint);
    optional.map(Hook::tracepoint).chain(own).filter(|name| !has_tracepoint(name)).collect()
}

#[cfg(test)]
mod tests;
