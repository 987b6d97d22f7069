//! The output that events of the connection on the screen go to.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use super::history::{EventLine, History, Sample, Series};
use crate::accounting::Accounting;
use crate::decode::Event;
use crate::escape;
use crate::events::names::CA_STATES;
use crate::events::{EventType, tcp_probe};
use crate::sink::{Progress, Sink, Stage, TimeFormat};
use crate::table::summary::Summary;
use crate::table::{Column, Moment, Value};

/// Columns of a view that each line has in another form, or that are those of the connection.
const COMMON: [&str; 5] = ["time", "saddr:sport", "daddr:dport", "pid", "comm"];

/// A history, which is filled while it is drawn.
pub type Shared = Rc<RefCell<History>>;
/// The connection whose events are wanted, by its cookie. Those of another may still be on their way.
pub type Target = Rc<RefCell<Option<(u64, Shared)>>>;

pub struct Collector {
    target: Target,
    columns: Columns,
    time: TimeFormat,
    events: u64,
}

/// The columns of `probe` that are read.
struct Columns {
    series: [(Series, Option<&'static Column>); super::history::SERIES],
    mono_ns: Option<&'static Column>,
    ca_state: Option<&'static Column>,
    acked: Option<&'static Column>,
    received: Option<&'static Column>,
    retrans: Option<&'static Column>,
}

fn column(event_type: &EventType, name: &str) -> Option<&'static Column> {
    (event_type.columns)().into_iter().find(|column| column.name == name)
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
        let number = |column: Option<&'static Column>| match column.map(|c| event.value(c)) {
            Some(Value::U64(number)) => Some(number),
            _ => None,
        };
        let mut sample = Sample {
            at_ns: number(self.mono_ns).unwrap_or_default(),
            ca_state: match self.ca_state.map(|column| event.value(column)) {
                Some(Value::Str(name)) => state(name),
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
    pub fn new(target: Target) -> Self {
        Collector { target, columns: Columns::new(), time: TimeFormat::default(), events: 0 }
    }

    fn line(&mut self, event: &Event<'_>) -> EventLine {
        let of = event.event_type();
        let mut time = Vec::new();
        self.time.short(event.time(), &mut time);
        let mut text = Vec::new();
        for (title, name, _) in of.view.iter().filter(|(_, name, _)| !COMMON.contains(name)) {
            let values = name.split(':').filter_map(|name| column(of, name));
            for column in values {
                append(&title.to_lowercase(), event.value(column), &mut text);
            }
        }
        let at_ns = column(of, "mono_ns").map(|column| event.value(column));
        EventLine {
            at_ns: if let Some(Value::U64(ns)) = at_ns { ns } else { 0 },
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
        let cookie = column(event.event_type(), "cookie").map(|column| event.value(column));
        let Some((_, history)) = target.filter(|(of, _)| cookie == Some(Value::U64(*of))) else {
            return Ok(());
        };
        history.borrow_mut().add_record(event.raw());
        if event.event_type().is_probe() {
            history.borrow_mut().add(&self.columns.sample(event));
        } else {
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
