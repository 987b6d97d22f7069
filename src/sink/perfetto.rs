//! The JSON trace format that Perfetto and Chrome's trace viewers read: a process for each connection, with a counter track for each
//! column that is drawn, a track of slices for the recovery state and for BBR's mode, and tracks of marks.
//!
//! It is an array with an event on each line, whose end may be missing. Times are µs of CLOCK_MONOTONIC.

mod plan;

use std::io::{self, Write};

use self::plan::{COUNTERS, Mark, Plan, READS, Track};
use super::connections::{Connections, Ends, number, word};
use super::jsonl::write_value;
use super::out::Out;
use super::time::TimeFormat;
use super::{Columns, Create, Format, Progress, Sink, Stage};
use crate::accounting::Accounting;
use crate::decode::Event;
use crate::escape;
use crate::table::summary::Summary;
use crate::table::{Moment, Value};

/// The format.
pub static FORMAT: Format = Format {
    name: "perfetto",
    doc: "A trace for Perfetto: counters, states and marks of each connection.",
    is_text: false,
    events_only: true,
    delayed: false,
    reads: READS,
    create: Create::Stream(|out, columns| Box::new(Perfetto::new(out, columns))),
};

/// Connections whose slices are open, or whose last values are known.
const MOST: usize = 16_384;
/// The numbers of a connection's process and of its tracks are unique in the trace: a process has this many.
const NUMBERS: u64 = 16;

/// The sink.
pub struct Perfetto<W: Write> {
    buffer: Out<W>,
    /// By number of the event type.
    plans: Vec<Option<Plan>>,
    connections: Connections<Connection>,
    /// Connections so far.
    count: u64,
    /// An event was written, so that a comma precedes the next one.
    started: bool,
    time: TimeFormat,
}

/// What is drawn of a connection.
struct Connection {
    /// The number of its process.
    pid: u64,
    last_ns: u64,
    counters: [Option<u64>; COUNTERS.len()],
    ca_state: Option<Slice>,
    bbr_mode: Option<Slice>,
    /// A bit for each track that has a name already.
    named: u16,
}

/// A slice that has begun.
struct Slice {
    since_ns: u64,
    name: String,
}

impl<W: Write> Perfetto<W> {
    fn new(out: W, columns: &Columns) -> Self {
        let mut plans = Vec::new();
        for table in &columns.tables {
            plans.resize_with(plans.len().max(table.event_type + 1), || None);
            plans[table.event_type] = Plan::new(table);
        }
        Perfetto {
            buffer: Out::new(out),
            plans,
            connections: Connections::new(MOST),
            count: 0,
            started: false,
            time: TimeFormat::default(),
        }
    }

    fn draw(&mut self, event: &Event<'_>) {
        let plans = std::mem::take(&mut self.plans);
        if let Some(Some(plan)) = plans.get(usize::from(event.event_type().number)) {
            self.draw_by(plan, event);
        }
        self.plans = plans;
    }

    fn draw_by(&mut self, plan: &Plan, event: &Event<'_>) {
        let Some(now) = number(event, Some(&plan.mono_ns)) else { return };
        let (id, ends) = plan.identity.of(event);
        if self.connections.get_mut(id).is_none() {
            for mut connection in self.connections.make_room(|connection| connection.last_ns) {
                self.close(&mut connection);
            }
            let connection = self.begin_connection(&ends, event);
            self.connections.insert(id, connection);
        }
        let Perfetto { connections, buffer, started, time, .. } = self;
        let Some(connection) = connections.get_mut(id) else { return };
        let mut out = Writer { out: buffer, started, time };
        connection.last_ns = connection.last_ns.max(now);
        for (at, column) in &plan.counters {
            let Some(value) = number(event, Some(column)) else { continue };
            if connection.counters[*at].replace(value) != Some(value) {
                out.counter(connection.pid, now, COUNTERS[*at], value);
            }
        }
        connection.states(plan, event, now, &mut out);
        if let Some(mark) = &plan.mark {
            connection.mark(mark, event, now, &mut out);
        }
    }

    fn begin_connection(&mut self, ends: &Ends, event: &Event<'_>) -> Connection {
        let pid = self.count * NUMBERS + NUMBERS;
        self.count += 1;
        let mut out =
            Writer { out: &mut self.buffer, started: &mut self.started, time: &mut self.time };
        out.name(pid, pid, "process_name", &ends.to_string());
        // The wall clock of the viewer's time line, if that is the clock of the trace.
        out.begin("process_labels", "M", pid, pid);
        out.out.extend_from_slice(b",\"args\":{\"labels\":");
        let mut label = Vec::new();
        out.time.full(event.time(), &mut label);
        escape::json(&format!("since {}", String::from_utf8_lossy(&label)), out.out);
        out.out.extend_from_slice(b"}}");
        Connection {
            pid,
            last_ns: 0,
            counters: [None; COUNTERS.len()],
            ca_state: None,
            bbr_mode: None,
            named: 0,
        }
    }

    /// Writes what is open.
    fn close(&mut self, connection: &mut Connection) {
        let mut out =
            Writer { out: &mut self.buffer, started: &mut self.started, time: &mut self.time };
        let end = connection.last_ns;
        for track in [Track::CaState, Track::BbrMode] {
            connection.change(track, None, end, &mut out);
        }
    }
}

impl Connection {
    /// The states that the event shows, and those that it changes.
    fn states<W: Write>(
        &mut self,
        plan: &Plan,
        event: &Event<'_>,
        now: u64,
        out: &mut Writer<'_, W>,
    ) {
        if let Some(change) = &plan.change
            && self.ca_state.is_none()
            && let Some(old) = word(event, Some(&change.old))
            && let Some(old_us) = number(event, Some(&change.old_us))
        {
            let since_ns = now.saturating_sub(old_us.saturating_mul(1000));
            self.ca_state = Some(Slice { since_ns, name: old.to_owned() });
        }
        if let Some(state) = plan.ca_state.as_ref().and_then(|column| word(event, Some(column))) {
            self.change(Track::CaState, Some(state), now, out);
        }
        if let Some(new) = plan.change.as_ref().and_then(|change| word(event, Some(&change.new))) {
            self.change(Track::CaState, Some(new), now, out);
        }
        if let Some(mode) = &plan.bbr_mode {
            self.change(Track::BbrMode, word(event, Some(mode)), now, out);
        }
    }

    /// Ends the slice of a track if the state is another now, and begins the next one.
    fn change<W: Write>(
        &mut self,
        track: Track,
        state: Option<&str>,
        now: u64,
        out: &mut Writer<'_, W>,
    ) {
        let slice = if track == Track::CaState { &mut self.ca_state } else { &mut self.bbr_mode };
        if slice.as_ref().map(|slice| slice.name.as_str()) == state {
            return;
        }
        let next = state.map(|name| Slice { since_ns: now, name: name.to_owned() });
        let ended = std::mem::replace(slice, next);
        if let Some(Slice { since_ns, name }) = ended.filter(|slice| slice.since_ns <= now) {
            self.slice(track, &name, since_ns, now - since_ns, out);
        }
    }

    fn slice<W: Write>(
        &mut self,
        track: Track,
        name: &str,
        from_ns: u64,
        ns: u64,
        out: &mut Writer<'_, W>,
    ) {
        let tid = self.track(track, out);
        out.begin(name, "X", self.pid, tid);
        out.out.extend_from_slice(b",\"ts\":");
        out.microseconds(from_ns);
        out.out.extend_from_slice(b",\"dur\":");
        out.microseconds(ns);
        out.out.push(b'}');
    }

    fn mark<W: Write>(
        &mut self,
        mark: &Mark,
        event: &Event<'_>,
        now: u64,
        out: &mut Writer<'_, W>,
    ) {
        let names: Vec<&str> =
            mark.name.iter().filter_map(|column| word(event, Some(column))).collect();
        let name = if names.is_empty() { mark.otherwise.to_owned() } else { names.join(" ") };
        let tid = self.track(mark.track, out);
        out.begin(&name, "i", self.pid, tid);
        out.out.extend_from_slice(b",\"ts\":");
        out.microseconds(now);
        out.out.extend_from_slice(b",\"s\":\"t\",\"args\":{");
        let mut values = mark.args.iter().map(|column| (column, event.selected(Some(column))));
        let mut first = true;
        for (column, value) in values.by_ref().filter(|(_, value)| *value != Value::Null) {
            if !std::mem::replace(&mut first, false) {
                out.out.push(b',');
            }
            escape::json(column.column.name, out.out);
            out.out.push(b':');
            write_value(value, out.time, out.out);
        }
        out.out.extend_from_slice(b"}}");
        // A time that has ended is a slice, too.
        if let Some([duration, ago]) = &mark.duration
            && let Some(us) = number(event, Some(duration))
        {
            let ago_us = number(event, Some(ago)).unwrap_or(0);
            let end_ns = now.saturating_sub(ago_us.saturating_mul(1000));
            let from_ns = end_ns.saturating_sub(us.saturating_mul(1000));
            let track = mark.slices(event);
            self.slice(track, "closed", from_ns, end_ns - from_ns, out);
        }
    }

    /// The number of a track, which has a name from then on.
    fn track<W: Write>(&mut self, track: Track, out: &mut Writer<'_, W>) -> u64 {
        let tid = self.pid + track as u64;
        let bit = 1 << track as u16;
        if self.named & bit == 0 {
            self.named |= bit;
            out.name(self.pid, tid, "thread_name", track.name());
        }
        tid
    }
}

/// Writes events.
struct Writer<'o, W: Write> {
    out: &'o mut Out<W>,
    started: &'o mut bool,
    time: &'o mut TimeFormat,
}

impl<W: Write> Writer<'_, W> {
    /// Up to its time.
    fn begin(&mut self, name: &str, phase: &str, pid: u64, tid: u64) {
        self.out.extend_from_slice(if std::mem::replace(self.started, true) {
            b",\n"
        } else {
            b""
        });
        self.out.extend_from_slice(b"{\"name\":");
        escape::json(name, self.out);
        self.out.extend_from_slice(b",\"ph\":\"");
        self.out.extend_from_slice(phase.as_bytes());
        self.out.extend_from_slice(b"\",\"pid\":");
        self.number(pid);
        if tid != pid {
            self.out.extend_from_slice(b",\"tid\":");
            self.number(tid);
        }
    }

    fn counter(&mut self, pid: u64, now: u64, name: &str, value: u64) {
        self.begin(name, "C", pid, pid);
        self.out.extend_from_slice(b",\"ts\":");
        self.microseconds(now);
        self.out.extend_from_slice(b",\"args\":{\"value\":");
        self.number(value);
        self.out.extend_from_slice(b"}}");
    }

    /// Names a process or a track.
    fn name(&mut self, pid: u64, tid: u64, what: &str, name: &str) {
        self.begin(what, "M", pid, tid);
        self.out.extend_from_slice(b",\"args\":{\"name\":");
        escape::json(name, self.out);
        self.out.extend_from_slice(b"}}");
    }

    fn number(&mut self, number: u64) {
        self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    /// With three decimals, so that no nanosecond is lost.
    fn microseconds(&mut self, ns: u64) {
        self.number(ns / 1000);
        let rest = ns % 1000;
        let digit = |of: u64| b'0' + (rest / of % 10) as u8;
        self.out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
    }
}

impl<W: Write> Sink for Perfetto<W> {
    fn begin(&mut self) -> io::Result<()> {
        self.buffer.extend_from_slice(b"[\n");
        Ok(())
    }

    fn event(&mut self, event: &Event<'_>) -> io::Result<()> {
        self.draw(event);
        self.buffer.line()
    }

    fn summary(&mut self, _: &Summary<'_>) -> io::Result<()> {
        Ok(())
    }

    fn account(&mut self, _: Stage, _: Moment, _: &Accounting) -> io::Result<()> {
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.buffer.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        for mut connection in self.connections.take_all(|connection| connection.pid) {
            self.close(&mut connection);
        }
        self.buffer.extend_from_slice(b"\n]\n");
        self.buffer.flush()
    }

    fn progress(&self) -> Progress {
        self.buffer.progress()
    }
}
