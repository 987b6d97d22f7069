//! Options of `observe`.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use super::aggregated::in_kernel;
use super::args::TraceArgs;
use super::outputs::{OutputArg, OutputParser};
use super::parse;
use super::presets;
use super::summary::HEADING;
use crate::config::Config;
use crate::config::summary::{
    By, Keys, Metric, Names, Observe, RowOptions, SummaryOptions, Trigger,
};
use crate::predicate::Predicate;
use crate::skel::TriggerLimit;
use crate::summary::observe;

#[derive(Args, Debug)]
pub struct ObserveArgs {
    /// Group by these keys: cc,lport.
    #[arg(long, value_enum, value_name = "KEYS", value_delimiter = ',', default_value = "all", help_heading = HEADING)]
    pub by: Vec<ObserveByArg>,
    /// Count these metrics, instead of the first six: connections,rtt.
    #[arg(long, value_enum, value_name = "LIST", value_delimiter = ',', help_heading = HEADING)]
    pub metrics: Vec<MetricArg>,
    /// Count nothing that takes time at each packet.
    ///
    /// That leaves out limits, spurious, zero-windows, and all distributions but connlat.
    #[arg(long, conflicts_with_all = ["events", "detail"], help_heading = HEADING)]
    pub counters_only: bool,
    /// What metrics are called.
    #[arg(long, value_enum, value_name = "WHOSE", default_value_t = NamesArg::Own, help_heading = HEADING)]
    pub names: NamesArg,
    /// Group IPv4 addresses by their first N bits: 24.
    #[arg(long, value_name = "N", value_parser = parse::within(0..=32_u8), help_heading = HEADING)]
    pub prefix: Option<u8>,
    /// Group IPv6 addresses by their first N bits: 64.
    #[arg(long, value_name = "N", value_parser = parse::within(0..=128_u8), help_heading = HEADING)]
    pub prefix6: Option<u8>,
    /// Print the totals of each interval, instead of all at the end: 10s.
    #[arg(short, long, value_name = "TIME", value_parser = parse::duration, help_heading = HEADING)]
    pub interval: Option<Duration>,
    /// Maximum number of keys; the rest is counted in one row.
    #[arg(long, value_name = "N", value_parser = parse::within(1..=1_000_000_u32), default_value_t = KEYS, help_heading = HEADING)]
    pub max_rows: u32,
    /// Also print events, to another output: jsonl=events.jsonl. Repeatable.
    #[arg(long, value_name = "FORMAT", value_parser = OutputParser, help_heading = HEADING)]
    pub events: Vec<OutputArg>,
    /// Of the events, only those that match; see --where: 'srtt_us > 100ms'.
    ///
    /// The kernel has to decide all of it, so that events that do not match cost no copy. For --events and -w; the totals are of all
    /// connections.
    #[arg(long, value_name = "EXPR", help_heading = HEADING)]
    pub detail: Option<String>,
    /// With --trigger: samples from before the event [default: 32].
    ///
    /// Of each connection, the kernel keeps that many, as thinned out by --every, --on-change and --sample. They take 16 MB at most;
    /// connections that were idle for longest lose theirs first.
    #[arg(long, value_name = "N", value_parser = parse::within(0..=TriggerLimit::TCC_MOST_BEFORE.0), help_heading = HEADING)]
    pub before: Option<u32>,
    /// Print the expressions that have names for --trigger.
    #[arg(long, help_heading = HEADING)]
    pub list_presets: bool,
    /// Read connections one by one, as on kernels that refuse iterators over maps.
    #[arg(long, hide = true)]
    pub one_by_one: bool,
    #[command(flatten)]
    pub trace: TraceArgs,
}

/// Default of --before.
const BEFORE: u32 = 32;
/// Default number of keys.
const KEYS: u32 = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NamesArg {
    /// The kernel's names, with units: srtt_us.
    Own,
    /// Those of `ss -i`, in its units: rtt, in ms.
    Ss,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ObserveByArg {
    /// Everything in one row.
    All,
    /// Congestion-control algorithm.
    Cc,
    /// Local port.
    Lport,
    /// The peer's port.
    Rport,
    /// The peer's address.
    Raddr,
    /// Process that holds the socket.
    Pid,
    /// Name of that process.
    Comm,
    /// The socket's v2 cgroup.
    Cgroup,
    /// Network namespace.
    Netns,
    /// Interface of the connection's route.
    Iface,
    /// Each connection.
    Conn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MetricArg {
    /// Connections opened, closed, failed and open.
    Connections,
    /// Bytes and segments.
    Bytes,
    /// Distribution of the smoothed RTT.
    Rtt,
    /// Retransmitted segments by class.
    Retransmits,
    /// Resets sent, by reason, and received.
    Resets,
    /// Dropped packets by reason.
    Drops,
    /// Distribution of the smallest RTT.
    MinRtt,
    /// Distribution of the congestion window.
    Cwnd,
    /// Distribution of the packets in flight.
    InFlight,
    /// Distribution of the delivery rate, unless limited by the application.
    DeliveryRate,
    /// Distribution of the pacing rate.
    PacingRate,
    /// Distribution of the bytes written and not sent.
    Unsent,
    /// Distribution of the time that opening a connection takes.
    Connlat,
    /// Distribution of the time that packets wait between TCP and the driver.
    Queue,
    /// Retransmissions by a timer: RTO and tail loss probes.
    Timers,
    /// Retransmissions found to have been unnecessary.
    Spurious,
    /// Changes of the recovery state, and the time in each.
    CaStates,
    /// Zero-window episodes, by side.
    ZeroWindows,
    /// Time by what limited the connection.
    Limits,
    /// All of these.
    All,
}

/// In order of printing. Those of a run without --metrics come first.
const METRICS: [(MetricArg, Metric); 19] = [
    (MetricArg::Connections, Metric::Connections),
    (MetricArg::Bytes, Metric::Bytes),
    (MetricArg::Rtt, Metric::Rtt),
    (MetricArg::Retransmits, Metric::Retransmits),
    (MetricArg::Resets, Metric::Resets),
    (MetricArg::Drops, Metric::Drops),
    (MetricArg::MinRtt, Metric::MinRtt),
    (MetricArg::Cwnd, Metric::Cwnd),
    (MetricArg::InFlight, Metric::InFlight),
    (MetricArg::DeliveryRate, Metric::DeliveryRate),
    (MetricArg::PacingRate, Metric::PacingRate),
    (MetricArg::Unsent, Metric::Unsent),
    (MetricArg::Connlat, Metric::Connlat),
    (MetricArg::Queue, Metric::Queue),
    (MetricArg::Timers, Metric::Timers),
    (MetricArg::Spurious, Metric::Spurious),
    (MetricArg::CaStates, Metric::CaStates),
    (MetricArg::ZeroWindows, Metric::ZeroWindows),
    (MetricArg::Limits, Metric::Limits),
];
/// How many of them are those.
const DEFAULT: usize = 6;

/// `more`: also those.
pub(super) fn metrics(wanted: &[MetricArg], more: &[Metric]) -> Vec<Metric> {
    let by_default = |at: usize| wanted.is_empty() && at < DEFAULT;
    let is_wanted = |at: usize, (arg, metric): &(MetricArg, Metric)| {
        by_default(at)
            || wanted.contains(arg)
            || wanted.contains(&MetricArg::All)
            || more.contains(metric)
    };
    let known = METRICS.iter().enumerate();
    known.filter(|(at, of)| is_wanted(*at, of)).map(|(_, (_, metric))| *metric).collect()
}

/// Other commands cannot sum by interface.
fn key(by: ObserveByArg) -> Option<By> {
    Some(match by {
        ObserveByArg::All | ObserveByArg::Iface => return None,
        ObserveByArg::Cc => By::Cc,
        ObserveByArg::Lport => By::Lport,
        ObserveByArg::Rport => By::Rport,
        ObserveByArg::Raddr => By::Raddr,
        ObserveByArg::Pid => By::Pid,
        ObserveByArg::Comm => By::Comm,
        ObserveByArg::Cgroup => By::Cgroup,
        ObserveByArg::Netns => By::Netns,
        // Not by the cookie, which a connection's first and last events may not have.
        ObserveByArg::Conn => By::Ends,
    })
}

/// `--trigger` and what belongs to it.
struct Triggered {
    expr: String,
    trigger: Trigger,
    /// That it needs.
    metrics: Vec<Metric>,
}

impl ObserveArgs {
    /// Without --flight, --trigger and --after are about events, and not about the recording.
    fn take_trigger(&mut self) -> Result<Option<Triggered>> {
        let recordings = &mut self.trace.recordings;
        let wanted = recordings.flight.is_none().then(|| recordings.trigger.take()).flatten();
        let Some(expr) = wanted else {
            if self.before.is_some() {
                bail!("--before needs --trigger, and cannot be used with --flight");
            }
            return Ok(None);
        };
        if self.trace.limits.rate_per_conn.is_some() {
            bail!("--rate-per-conn cannot be used with --trigger; use --rate");
        }
        let trigger = Trigger {
            before: self.before.unwrap_or(BEFORE),
            after: recordings.after.take().unwrap_or_default(),
        };
        let preset = presets::of(&expr);
        // Samples are counted by `rtt`.
        let mut metrics = vec![Metric::Rtt];
        metrics.extend(preset.map(|preset| preset.metric));
        let expr = preset.map_or(expr, |preset| preset.expr.to_owned());
        Ok(Some(Triggered { expr, trigger, metrics }))
    }

    pub fn into_config(mut self) -> Result<Config> {
        let triggered = self.take_trigger()?;
        let (condition, trigger, more) = match (&self.detail, triggered) {
            (Some(_), Some(_)) => bail!("--detail cannot be used with --trigger"),
            (Some(text), None) => (Some(("--detail", text.clone())), None, Vec::new()),
            (None, Some(Triggered { expr, trigger, metrics })) => {
                (Some(("--trigger", expr)), Some(trigger), metrics)
            }
            (None, None) => (None, None, Vec::new()),
        };
        for (alone, name) in [(ObserveByArg::All, "all"), (ObserveByArg::Conn, "conn")] {
            if self.by.contains(&alone) && self.by.len() > 1 {
                bail!("--by {name} cannot be combined with other keys");
            }
        }
        if (self.prefix.is_some() || self.prefix6.is_some())
            && !self.by.contains(&ObserveByArg::Raddr)
        {
            bail!("--prefix and --prefix6 need --by raddr");
        }
        let mut metrics = metrics(&self.metrics, &more);
        if self.counters_only {
            if trigger.is_some() || self.trace.recordings.write.is_some() {
                bail!("--counters-only cannot be used with --trigger or -w, which need events");
            }
            metrics.retain(|metric| !metric.is_per_packet());
            if metrics.is_empty() {
                bail!(
                    "--counters-only leaves out all of --metrics: each of them takes time at each packet"
                );
            }
        }
        let options = Observe {
            keys: Keys {
                by: self.by.iter().filter_map(|by| key(*by)).collect(),
                iface: self.by.contains(&ObserveByArg::Iface),
                prefix: self.prefix.unwrap_or(32),
                prefix6: self.prefix6.unwrap_or(128),
            },
            condition: condition.as_ref().map(|(option, _)| *option),
            trigger,
            names: match self.names {
                NamesArg::Own => Names::Own,
                NamesArg::Ss => Names::Ss,
            },
            metrics,
            max_rows: self.max_rows,
            top: None,
            caps: Vec::new(),
        };
        let summary = SummaryOptions {
            interval: self.interval,
            aggregate: &observe::AGGREGATE,
            rows: RowOptions::Observe(options),
        };
        if !self.trace.recordings.read.is_empty() {
            bail!(
                "-r cannot be used with `observe`, which counts what sockets show only while they are open; try `report`"
            );
        }
        if self.trace.filters.predicate.is_some() {
            bail!(
                "--where cannot be used with `observe`, which counts everything; choose events with --detail"
            );
        }
        let predicate = condition.map(|(option, text)| {
            if self.events.is_empty() && self.trace.recordings.write.is_none() {
                bail!("{option} needs an output for the events: --events jsonl=FILE, or -w FILE");
            }
            Ok(Predicate::parse_of(option, &text)?)
        });
        let predicate = predicate.transpose()?;
        let mut config = in_kernel(self.trace, "observe", summary, &self.events)?;
        config.predicate = predicate;
        config.kernel_options.one_by_one = self.one_by_one;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_the_names_of_their_values() {
        for (arg, metric) in METRICS {
            let value = arg.to_possible_value().expect("a value");
            assert_eq!(value.get_name(), metric.name());
        }
    }
}
