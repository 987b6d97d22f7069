//! The output that events of the connection on the screen go to.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use super::history::{EventLine, History, Sample, Series};
use crate::accounting::Accounting;
use crate::decode::{self, Event};
use crate::escape;
use crate::events::names::CA_STATES;
use crate::events::{EventType, tcp_probe};
use crate::limits::twin::{Twin, TwinOptions};
use crate::sink::{Progress, Sink, Stage, TimeFormat};
use crate::table::summary::Summary;
use crate::table::{Moment, Selected, Value};

/// Columns of a view that each line has in another form, or that are those of the connection.
const COMMON: [&str; 5] = ["time", "saddr:sport", "daddr:dport", "pid", "comm"];

/// Event types that are as many as packets: they are not listed.
const PER_PACKET: [&str; 4] = ["send", "queue", "rcv_space", "rcvbuf_grow"];

/// A history, which is filled while it is drawn.
pub type Shared = Rc<RefCell<History>>;
/// The connection whose events are wanted, by its cookie. Those of another may still be on their way.
pub type Target = Rc<RefCell<Option<(u64, Shared)>>>;

pub struct Collector {
    target: Target,
    /// For `w`.
    keeps_records: bool,
    twin_options: TwinOptions,
    /// What limits the connection of that history.
    twin: Option<(Shared, Twin)>,
    columns: Columns,
    time: TimeFormat,
    events: u64,
}

/// The columns of `probe` that are read.
struct Columns {
    series: [(Series, Option<Selected>); super::history::SERIES],
    mono_ns: Option<Selected>,
    ca_state: Option<Selected>,
    acked: Option<Selected>,
    received: Option<Selected>,
    retrans: Option<Selected>,
}

fn column(event_type: &EventType, name: &str) -> Option<Selected> {
    let columns = (event_type.columns)();
    let index = columns.iter().position(|column| column.name == name)?;
    Some(Selected { index, column: columns[index], present: true })
}

impl Columns {
    fn new() -> Self {
        let of = |name: &str| column(&tcp_probe::EVENT_TYPE, name);
        Columns {
            series: [
                (Series::Cwnd, of("snd_cwnd")),
                (Series::Flight, of("packets_in_flight")),
                (Series::Ssthresh, of("snd_ssthresh")),
                (Series::Srtt, of("srtt_us")),
                (Series::MinRtt, of("min_rtt_us")),
                (Series::Delivery, of("delivery_rate")),
                (Series::Pacing, of("pacing_rate")),
            ],
            mono_ns: of("mono_ns"),
            ca_state: of("ca_state"),
            acked: of("bytes_acked"),
            received: of("bytes_received"),
            retrans: of("total_retrans"),
        }
    }

    fn sample(&self, event: &Event<'_>) -> Sample {
        let number = |column: Option<Selected>| match event.selected(column.as_ref()) {
            Value::U64(number) => Some(number),
            _ => None,
        };
        let mut sample = Sample {
            at_ns: number(self.mono_ns).unwrap_or_default(),
            ca_state: match event.selected(self.ca_state.as_ref()) {
                Value::Str(name) => state(name),
                _ => None,
            },
            acked: number(self.acked),
            received: number(self.received),
            retrans: number(self.retrans),
            ..Sample::default()
        };
        for (series, column) in &self.series {
            sample.values[*series as usize] = number(*column);
        }
        sample
    }
}

fn state(name: &str) -> Option<u8> {
    let index = CA_STATES.iter().position(|state| *state == name)?;
    u8::try_from(index).ok()
}

impl Collector {
    #[must_use]
    pub fn new(target: Target, keeps_records: bool, twin_options: TwinOptions) -> Self {
        let (columns, time) = (Columns::new(), TimeFormat::default());
        Collector { target, keeps_records, twin_options, twin: None, columns, time, events: 0 }
    }

    fn classify(&mut self, event: &Event<'_>, history: &Shared) {
        // Nothing is known of the time before it was opened.
        self.twin.take_if(|(of, _)| !Rc::ptr_eq(of, history));
        let begin = || (Rc::clone(history), Twin::new(self.twin_options.clone()));
        let (_, twin) = self.twin.get_or_insert_with(begin);
        twin.record(event.bytes(event.event_type().record.longest));
        twin.drain(|_, segment| history.borrow_mut().add_cause(&segment));
    }

    fn line(&mut self, event: &Event<'_>) -> EventLine {
        let of = event.event_type();
        let mut time = Vec::new();
        self.time.short(event.time(), &mut time);
        let mut text = Vec::new();
        for (title, name, _) in of.view.iter().filter(|(_, name, _)| !COMMON.contains(name)) {
            let values = name.split(':').filter_map(|name| column(of, name));
            for column in values {
                append(&title.to_lowercase(), event.selected(Some(&column)), &mut text);
            }
        }
        EventLine {
            at_ns: decode::mono_ns(event.raw()).unwrap_or_default(),
            time: String::from_utf8_lossy(&time).into_owned(),
            event_type: of.name,
            text: String::from_utf8_lossy(&text).into_owned(),
        }
    }
}

/// Appends `name=value`; nothing if it is null.
fn append(name: &str, value: Value<'_>, out: &mut Vec<u8>) {
    let mut shown = Vec::new();
    match value {
        Value::Null => return,
        Value::Bool(flag) => shown.extend(flag.to_string().bytes()),
        Value::U64(number) => shown.extend(number.to_string().bytes()),
        Value::I64(number) => shown.extend(number.to_string().bytes()),
        Value::F64(number) => shown.extend(number.to_string().bytes()),
        Value::Str(text) => escape::text(text, &mut shown),
        Value::Name(name) => escape::name(name, &mut shown),
        Value::Ip(address) => shown.extend(address.to_string().bytes()),
        Value::Time(_) | Value::Code(..) | Value::Stack(..) => return,
    }
    if !out.is_empty() {
        out.push(b' ');
    }
    out.extend(name.bytes());
    out.push(b'=');
    out.extend(shown);
}

impl Sink for Collector {
    fn begin(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn event(&mut self, event: &Event<'_>) -> io::Result<()> {
        self.events += 1;
        let target = self.target.borrow().clone();
        let cookie = column(event.event_type(), "cookie");
        let is_of = |of: u64| event.selected(cookie.as_ref()) == Value::U64(of);
        let Some((_, history)) = target.filter(|(of, _)| is_of(*of)) else {
            return Ok(());
        };
        self.classify(event, &history);
        if self.keeps_records {
            history.borrow_mut().add_record(event.raw());
        }
        if event.event_type().is_probe() {
            history.borrow_mut().add(&self.columns.sample(event));
        } else if !PER_PACKET.contains(&event.event_type().name) {
            let line = self.line(event);
            history.borrow_mut().add_event(line);
        }
        Ok(())
    }

    fn summary(&mut self, _: &Summary<'_>) -> io::Result<()> {
        Ok(())
    }

    fn account(&mut self, _: Stage, _: Moment, _: &Accounting) -> io::Result<()> {
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn progress(&self) -> Progress {
        Progress { made: self.events, written: self.events }
    }
}
