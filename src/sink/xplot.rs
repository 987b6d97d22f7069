//! Time-sequence graphs for xplot, drawn as tcptrace draws them: a file for each connection, with the sequence numbers of what the
//! traced side sends over time.
//!
//! Samples show a connection as a packet arrives, so lines are exact at these times and steps in between. Sequence numbers continue
//! above 2^32 where they wrap.

mod graph;

use std::collections::HashSet;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Instant;

use self::graph::{Color, Graph};
use super::connections::{Connections, Ends, Id, Identity, find, number, word};
use super::{Columns, Create, FLUSH, Files, Format, Progress, Sink, Stage};
use crate::accounting::Accounting;
use crate::decode::Event;
use crate::table::summary::Summary;
use crate::table::{ColumnSet, Moment, Selected};

/// The format.
pub static FORMAT: Format = Format {
    name: "xplot",
    doc: "Time-sequence graphs for xplot: a directory with a file for each connection.",
    is_text: false,
    events_only: true,
    delayed: true,
    reads: READS,
    create: Create::Directory(|files, columns| Box::new(Xplot::new(files, columns))),
};

#[rustfmt::skip]
const READS: &[&str] = &[
    "cookie", "saddr", "sport", "daddr", "dport",
    "snd_una", "snd_nxt", "snd_wnd",
    "seq", "data_len", "end_seq", "ack_seq", "direction", "flags", "side", "phase", "evidence",
];

/// Connections whose lines are continued. Of others, later lines start anew.
const MOST: usize = 16_384;
/// What is kept in memory at most.
const BUFFERED: u64 = 4 << 20;

/// What is read of an event type.
struct Plan {
    name: &'static str,
    identity: Identity,
    snd_una: Option<Selected>,
    snd_nxt: Option<Selected>,
    snd_wnd: Option<Selected>,
    seq: Option<Selected>,
    data_len: Option<Selected>,
    end_seq: Option<Selected>,
    ack_seq: Option<Selected>,
    direction: Option<Selected>,
    flags: Option<Selected>,
    side: Option<Selected>,
    phase: Option<Selected>,
    evidence: Option<Selected>,
}

impl Plan {
    fn new(table: &ColumnSet) -> Option<Self> {
        let column = |name: &str| find(table, name);
        Some(Plan {
            name: table.name,
            identity: Identity::new(table)?,
            snd_una: column("snd_una"),
            snd_nxt: column("snd_nxt"),
            snd_wnd: column("snd_wnd"),
            seq: column("seq"),
            data_len: column("data_len"),
            end_seq: column("end_seq"),
            ack_seq: column("ack_seq"),
            direction: column("direction"),
            flags: column("flags"),
            side: column("side"),
            phase: column("phase"),
            evidence: column("evidence"),
        })
    }
}

/// A connection's file.
struct Connection {
    file: String,
    last_ns: u64,
    graph: Graph,
    /// The number of events before its last one.
    used: u64,
}

/// The sink. Its progress is in bytes of all files.
struct Xplot {
    files: Box<dyn Files>,
    plans: Vec<Option<Plan>>,
    connections: Connections<Connection>,
    /// Files that have their first lines.
    begun: HashSet<String>,
    events: u64,
    made: u64,
    written: u64,
    /// When the oldest of the lines was seen to wait.
    since: Option<Instant>,
}

impl Xplot {
    fn new(files: Box<dyn Files>, columns: &Columns) -> Self {
        let mut plans = Vec::new();
        for table in &columns.tables {
            plans.resize_with(plans.len().max(table.event_type + 1), || None);
            plans[table.event_type] = Plan::new(table);
        }
        Xplot {
            files,
            plans,
            connections: Connections::new(MOST),
            begun: HashSet::new(),
            events: 0,
            made: 0,
            written: 0,
            since: None,
        }
    }

    fn draw(&mut self, plan: &Plan, event: &Event<'_>) -> io::Result<()> {
        let (id, ends) = plan.identity.of(event);
        if self.connections.get_mut(id).is_none() {
            for mut connection in self.connections.make_room(|connection| connection.used) {
                connection.graph.close(connection.last_ns);
                write(&*self.files, &mut self.begun, &mut connection)?;
            }
            let file = file_name(id, &ends);
            let graph = Graph::new((!self.begun.contains(&file)).then(|| ends.to_string()));
            self.connections.insert(id, Connection { file, last_ns: 0, graph, used: 0 });
        }
        let Some(connection) = self.connections.get_mut(id) else { return Ok(()) };
        let (Moment::Wall(now) | Moment::Elapsed(now)) = event.time();
        // What was before the clock began is drawn there.
        let now = u64::try_from(now).unwrap_or(0);
        let before = connection.graph.len();
        connection.last_ns = connection.last_ns.max(now);
        connection.used = self.events;
        draw(&mut connection.graph, plan, event, now);
        self.made += connection.graph.len() - before;
        Ok(())
    }

    /// Writes the lines so far.
    fn write_all(&mut self) -> io::Result<()> {
        self.since = None;
        for connection in self.connections.iter_mut() {
            write(&*self.files, &mut self.begun, connection)?;
        }
        self.written = self.made;
        Ok(())
    }
}

/// Appends a connection's lines to its file.
fn write(
    files: &dyn Files,
    begun: &mut HashSet<String>,
    connection: &mut Connection,
) -> io::Result<()> {
    let lines = connection.graph.take();
    if lines.is_empty() {
        return Ok(());
    }
    let mut file = files.open(&connection.file, begun.contains(&connection.file))?;
    begun.insert(connection.file.clone());
    file.write_all(&lines)?;
    file.flush()
}

/// `192.0.2.1_443-198.51.100.1_5201-42.xpl`: without colons, which other systems do not have in names.
fn file_name(id: Id, ends: &Ends) -> String {
    let end = |end: Option<SocketAddr>| match end {
        Some(end) => format!("{}_{}", end.ip().to_string().replace(':', "_"), end.port()),
        None => "unknown".to_owned(),
    };
    let (local, peer) = (end(ends.local), end(ends.peer));
    match id {
        Id::Cookie(cookie) => format!("{local}-{peer}-{cookie}.xpl"),
        Id::Ends(_) => format!("{local}-{peer}.xpl"),
    }
}

fn draw(graph: &mut Graph, plan: &Plan, event: &Event<'_>, now: u64) {
    let number = |column: &Option<Selected>| {
        number(event, column.as_ref()).and_then(|number| u32::try_from(number).ok())
    };
    let is = |column: &Option<Selected>, what: &str| word(event, column.as_ref()) == Some(what);
    if let (Some(una), Some(nxt), Some(wnd)) =
        (number(&plan.snd_una), number(&plan.snd_nxt), number(&plan.snd_wnd))
    {
        graph.state(now, una, nxt, wnd);
    }
    let has_ack = word(event, plan.flags.as_ref()).is_some_and(|flags| flags.contains("ACK"));
    let (seq, len) = (number(&plan.seq), number(&plan.data_len).unwrap_or(0));
    match plan.name {
        "queue" if len > 0 => {
            if let Some(seq) = seq {
                graph.segment(now, Color::White, seq, len, "");
            }
        }
        "retransmit" => {
            if let Some(seq) = seq {
                graph.segment(now, Color::Red, seq, len, "R");
            }
        }
        "spurious" if is(&plan.evidence, "dsack") => {
            if let (Some(seq), Some(end)) = (seq, number(&plan.end_seq)) {
                graph.segment(now, Color::Purple, seq, end.wrapping_sub(seq), "S");
            }
        }
        "drop" if is(&plan.direction, "out") => {
            if let Some(seq) = seq {
                graph.cross(now, seq, "D");
            }
        }
        // The numbers of its data are the peer's.
        "drop" if has_ack => {
            if let Some(ack_seq) = number(&plan.ack_seq) {
                graph.cross(now, ack_seq, "D");
            }
        }
        "reset_sent" => graph.text(now, "RST_OUT"),
        "reset_received" => graph.text(now, "RST_IN"),
        "zero_window" if is(&plan.side, "peer") && is(&plan.phase, "begin") => {
            graph.text(now, "Z");
        }
        _ => {}
    }
}

impl Sink for Xplot {
    fn begin(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn event(&mut self, event: &Event<'_>) -> io::Result<()> {
        self.events += 1;
        let plans = std::mem::take(&mut self.plans);
        let drawn = match plans.get(usize::from(event.event_type().number)) {
            Some(Some(plan)) => self.draw(plan, event),
            _ => Ok(()),
        };
        self.plans = plans;
        drawn?;
        if self.made - self.written > BUFFERED { self.write_all() } else { Ok(()) }
    }

    fn summary(&mut self, _: &Summary<'_>) -> io::Result<()> {
        Ok(())
    }

    fn account(&mut self, _: Stage, _: Moment, _: &Accounting) -> io::Result<()> {
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.made > self.written && self.since.is_none() {
            self.since = Some(Instant::now());
        }
        let due = self.since.is_some_and(|since| since.elapsed() >= FLUSH);
        if due { self.write_all() } else { Ok(()) }
    }

    fn finish(&mut self) -> io::Result<()> {
        let mut made = 0;
        for connection in self.connections.iter_mut() {
            let before = connection.graph.len();
            connection.graph.close(connection.last_ns);
            connection.graph.end();
            made += connection.graph.len() - before;
        }
        self.made += made;
        self.write_all()
    }

    fn progress(&self) -> Progress {
        Progress { made: self.made, written: self.written }
    }
}
