//! Options of `export`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;

use super::aggregated::in_kernel;
use super::args::TraceArgs;
use super::labels::{self, CappedLabel, LabelParser};
use super::observe::{MetricArg, metrics};
use super::parse;
use crate::config::summary::{
    By, Keys, Names, Observe, RowOptions, SummaryOptions, TopConnections,
};
use crate::config::{Config, Export, Targets};
use crate::export::families::series_of_a_label_set;
use crate::predicate::Predicate;
use crate::summary::observe;

const HEADING: &str = "Metrics";
/// In the list of ports that exporters use by default, this one is free.
const LISTEN: &str = "127.0.0.1:9435";
const SERIES: u32 = 10_000;
/// Of --top.
const TOP_INTERVAL: Duration = Duration::from_secs(60);
/// More congestion-control algorithms than a kernel has.
const ALGORITHMS: u32 = 64;

#[derive(Args, Debug)]
pub struct ExportArgs {
    /// Serve the metrics on these addresses, at /metrics [default: 127.0.0.1:9435, without --textfile].
    #[arg(long, value_name = "ADDR:PORT", value_delimiter = ',', help_heading = HEADING)]
    pub listen: Vec<SocketAddr>,
    /// Write the metrics to this file at each --interval, for node_exporter's textfile collector.
    ///
    /// It is replaced as a whole, and its directory must be writable. The name has to end with .prom.
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    pub textfile: Option<PathBuf>,
    /// With --textfile: the time between two files.
    #[arg(short, long, value_name = "TIME", value_parser = parse::duration, default_value = "15s", help_heading = HEADING)]
    pub interval: Duration,
    /// Labels of each metric: cc,lport,cgroup. With a number, at most so many values of it: lport:100.
    ///
    /// Later values are counted as `other` in that label alone, for as long as there are that many.
    #[arg(long, value_parser = LabelParser, value_name = "LABELS", value_delimiter = ',', default_value = "cc", help_heading = HEADING)]
    pub labels: Vec<CappedLabel>,
    /// Maximum number of series; label sets that find no room are counted in one, with each label as `other`.
    ///
    /// The number of label sets follows from it: each takes about 60 series with the default metrics.
    #[arg(long, value_name = "N", value_parser = parse::within(1..=10_000_000_u32), default_value_t = SERIES, help_heading = HEADING)]
    pub max_series: u32,
    /// Export these metrics, instead of the first six: connections,rtt.
    #[arg(long, value_enum, value_name = "LIST", value_delimiter = ',', help_heading = HEADING)]
    pub metrics: Vec<MetricArg>,
    /// Also export the N connections that move most, each with its addresses, ports, algorithm and process as labels.
    ///
    /// They are chosen anew at --top-interval. A connection keeps its series until it ends, or another one moves more than twice as
    /// much. Each has 8 series, beside those of --max-series.
    #[arg(long, value_name = "N", value_parser = parse::within(1..=1000_u32), help_heading = HEADING)]
    pub top: Option<u32>,
    /// With --top: how often connections are chosen anew [default: 1min].
    #[arg(long, value_name = "TIME", value_parser = parse::duration, requires = "top", help_heading = HEADING)]
    pub top_interval: Option<Duration>,
    /// With the label raddr: the first N bits of IPv4 addresses, 24.
    #[arg(long, value_name = "N", value_parser = parse::within(0..=32_u8), help_heading = HEADING)]
    pub prefix: Option<u8>,
    /// With the label raddr: the first N bits of IPv6 addresses, 64.
    #[arg(long, value_name = "N", value_parser = parse::within(0..=128_u8), help_heading = HEADING)]
    pub prefix6: Option<u8>,
    /// With -w: record only events that match; see --where.
    ///
    /// The kernel has to decide all of it. Metrics are of all connections.
    #[arg(long, value_name = "EXPR", help_heading = HEADING)]
    pub detail: Option<String>,
    /// Read options from this file, in TOML: labels = ["cc", "lport"].
    ///
    /// Its keys are the names of the options of this command. What the command line has replaces what the file has. SIGHUP
    /// reads it again.
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    pub config: Option<PathBuf>,
    /// Check the options of --config and of the command line, and trace nothing.
    #[arg(long, help_heading = HEADING)]
    pub check_config: bool,
    #[command(flatten)]
    pub trace: TraceArgs,
}

impl ExportArgs {
    fn observe(&self) -> Result<Observe> {
        let labels = labels::check(&self.labels)?;
        if (self.prefix.is_some() || self.prefix6.is_some()) && !labels.by.contains(&By::Raddr) {
            bail!("--prefix and --prefix6 need --labels raddr");
        }
        let only_cc = labels.by == [By::Cc];
        let keys = Keys {
            by: labels.by,
            iface: labels.iface,
            prefix: self.prefix.unwrap_or(32),
            prefix6: self.prefix6.unwrap_or(128),
        };
        let condition = self.detail.as_ref().map(|_| "--detail");
        let metrics = metrics(&self.metrics, &[]);
        let names = Names::Own;
        let interval = self.top_interval.unwrap_or(TOP_INTERVAL);
        let top = self.top.map(|count| TopConnections { count: count as usize, interval });
        let options = Observe {
            keys,
            condition,
            trigger: None,
            names,
            metrics,
            max_rows: 1,
            top,
            caps: labels.caps,
        };
        let rows = (self.max_series / series_of_a_label_set(&options)).max(1);
        let max_rows = if only_cc { rows.min(ALGORITHMS) } else { rows };
        Ok(Observe { max_rows, ..options })
    }

    fn targets(&self) -> Result<Targets> {
        if let Some(path) = &self.textfile
            && path.extension().is_none_or(|extension| extension != "prom")
        {
            bail!("--textfile: the name must end with .prom, or the collector does not read it");
        }
        let mut listen = self.listen.clone();
        if listen.is_empty() && self.textfile.is_none() {
            listen.push(LISTEN.parse()?);
        }
        Ok(Targets { listen, textfile: self.textfile.clone(), interval: self.interval })
    }

    pub fn into_config(self) -> Result<Config> {
        let (observe, targets) = (self.observe()?, self.targets()?);
        let refused = [
            ("-o", !self.trace.output.output.is_empty()),
            ("-r", !self.trace.recordings.read.is_empty()),
            ("--where", self.trace.filters.predicate.is_some()),
        ];
        if let Some((option, _)) = refused.iter().find(|(_, given)| *given) {
            bail!("{option} cannot be used with `export`, which counts and prints nothing");
        }
        if self.detail.is_some() && self.trace.recordings.write.is_none() {
            bail!("--detail needs -w FILE");
        }
        let detail = self.detail.as_deref();
        let predicate = detail.map(|text| Predicate::parse_of("--detail", text)).transpose()?;
        let summary = SummaryOptions {
            interval: None,
            aggregate: &observe::AGGREGATE,
            rows: RowOptions::Observe(observe),
        };
        let mut config = in_kernel(self.trace, "export", summary, &[])?;
        config.output.destinations.clear();
        config.predicate = predicate;
        config.export = Some(Export { targets, reload: None });
        Ok(config)
    }
}
