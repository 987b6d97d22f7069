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
use super::{otlp, parse};
use crate::config::summary::{
    By, Keys, Names, Observe, RowOptions, SummaryOptions, TopConnections,
};
use crate::config::{Config, Export, Otlp, Targets};
use crate::export::WITHOUT_OTLP;
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
    /// Serve the metrics on these addresses, at /metrics [default: 127.0.0.1:9435, without --textfile and --otlp].
    #[arg(long, value_name = "ADDR:PORT", value_delimiter = ',', help_heading = HEADING)]
    pub listen: Vec<SocketAddr>,
    /// Write the metrics to this file at each --interval, for node_exporter's textfile collector.
    ///
    /// It is replaced as a whole, and its directory must be writable. The name has to end with .prom.
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    pub textfile: Option<PathBuf>,
    /// Push the metrics to this OTLP receiver at each --interval.
    ///
    /// It is a URL of HTTP, such as http://127.0.0.1:4318, and gets /v1/metrics if it has no path. It needs a tcc-trace that was built with the feature `otlp`.
    #[arg(long, value_name = "URL", value_parser = otlp::url, help_heading = HEADING)]
    pub otlp: Option<String>,
    /// With --otlp: a header of each request, X-Scope-OrgID=17.
    ///
    /// Other users can see the command line; put a secret into the file of --config.
    #[arg(long, value_name = "NAME=VALUE", value_parser = otlp::header, requires = "otlp", hide_short_help = true, help_heading = HEADING)]
    pub otlp_header: Vec<(String, String)>,
    /// Time between two files of --textfile, and two pushes.
    #[arg(short, long, value_name = "TIME", value_parser = parse::duration, default_value = "15s", help_heading = HEADING)]
    pub interval: Duration,
    /// Labels of each metric: cc,lport,cgroup.
    ///
    /// A number limits the values of a label: lport:100 has at most 100. Later ones are counted as `other` in that label alone.
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
    /// Also export the N connections that move most, by their addresses.
    ///
    /// Ports, algorithm and process are labels, too. They are chosen anew at --top-interval. A connection keeps its series until it ends, or another one moves more than twice as
    /// much. Each has 8 series, beside those of --max-series.
    #[arg(long, value_name = "N", value_parser = parse::within(1..=1000_u32), help_heading = HEADING)]
    pub top: Option<u32>,
    /// With --top: how often connections are chosen anew [default: 1min].
    #[arg(long, value_name = "TIME", value_parser = parse::duration, requires = "top", hide_short_help = true, help_heading = HEADING)]
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
    /// Check --config and the command line, and trace nothing.
    #[arg(long, help_heading = HEADING)]
    pub check_config: bool,
    /// Read connections one by one, as on kernels that refuse iterators over maps.
    #[arg(long, hide = true)]
    pub one_by_one: bool,
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
        if listen.is_empty() && self.textfile.is_none() && self.otlp.is_none() {
            listen.push(LISTEN.parse()?);
        }
        if self.otlp.is_some() && !cfg!(feature = "otlp") {
            bail!("--otlp: {WITHOUT_OTLP}");
        }
        let headers = self.otlp_header.clone();
        let otlp = self.otlp.clone().map(|url| Otlp { url, headers });
        Ok(Targets { listen, textfile: self.textfile.clone(), otlp, interval: self.interval })
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
        config.kernel_options.one_by_one = self.one_by_one;
        config.export = Some(Export { targets, reload: None });
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn config(args: &str) -> Result<Config, String> {
        let args = format!("tcc-trace export {args}");
        let cli =
            Cli::try_parse_from(args.split_whitespace()).map_err(|error| error.to_string())?;
        let Some(Command::Export(export)) = cli.command else { panic!("another command") };
        export.into_config().map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn metrics_are_served_unless_they_go_elsewhere() {
        let listen =
            |args: &str| config(args).map(|config| config.export.unwrap().targets.listen.len());
        assert_eq!(listen(""), Ok(1));
        assert_eq!(listen("--textfile a.prom"), Ok(0));
        let pushed = listen("--otlp http://127.0.0.1:4318");
        if cfg!(feature = "otlp") {
            assert_eq!(pushed, Ok(0));
        } else {
            let error = pushed.unwrap_err();
            assert!(
                error.ends_with("build one with `cargo build --release --features otlp`"),
                "{error}"
            );
        }
    }

    #[test]
    fn single_connections_are_bounded() {
        let top = |args: &str| {
            let config = config(args)?;
            let observe = config.summary.as_ref().and_then(|summary| summary.rows.observe());
            Ok::<_, String>(
                observe.and_then(|observe| observe.top).map(|top| (top.count, top.interval)),
            )
        };
        assert_eq!(top(""), Ok(None));
        assert_eq!(top("--top 20"), Ok(Some((20, TOP_INTERVAL))));
        for refused in ["--top 0", "--top 1001", "--top-interval 5s", "--otlp-header a=b"] {
            assert!(top(refused).is_err(), "{refused}");
        }
    }
}
