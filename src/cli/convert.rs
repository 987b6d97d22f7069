//! Converts clap's types to [`Config`].

use anyhow::{Result, bail};

use super::args::{FilterArgs, KernelArgs, ReaderArg, TimeArg, TraceArgs, TransportArg};
use super::outputs::OutputArg;
use super::parse::Follow;
use super::template::LineTemplate;
use super::{resolve, zone};
use crate::anonymize;
use crate::config::{
    Actions, Config, Destination, EventFilters, Fields, Filters, KernelOptions, Limits, Output,
    Reader, TimeMode, Transport,
};
use crate::predicate::Predicate;

impl TraceArgs {
    /// Checks what clap cannot, and looks up names.
    pub fn into_config(self) -> Result<Config> {
        self.into_config_with(None)
    }

    /// The same of a summary, with outputs for its events.
    pub(super) fn into_config_with(self, events: Option<&[OutputArg]>) -> Result<Config> {
        if self.command.first().is_some_and(|program| program.is_empty()) {
            bail!("the command after `--` is empty; name a program");
        }
        let destinations = self.destinations(events)?;
        let (recording, read) = self.recordings()?;
        let template = self.output.format;
        let names = template.as_ref().map_or(self.output.fields, LineTemplate::names);
        let fields = match (self.output.all_fields, names) {
            (true, _) => Fields::All,
            (false, names) if names.is_empty() => Fields::Standard,
            (false, names) if names.iter().any(String::is_empty) => {
                bail!("--fields: empty name; separate names by one comma")
            }
            (false, names) => Fields::Named(names),
        };
        let prints = |of: &&Destination| of.format.reads.is_empty();
        if let (None, Some(first)) = (destinations.iter().find(prints), destinations.first())
            && fields != Fields::Standard
            && recording.is_none()
        {
            let name = first.format.name;
            bail!("--fields and --all-fields: -o {name} draws fields of its own; leave them out");
        }
        if !self.output.quiet && !read.is_wanted() {
            resolve::note_unloaded(&self.filters.cc);
        }
        let predicate = self.filters.predicate.as_deref().map(Predicate::parse).transpose()?;
        Ok(Config {
            filters: self.filters.resolve(read.is_wanted())?,
            limits: Limits {
                duration: self.limits.duration,
                count: self.limits.count,
                sample: self.limits.sample,
                every: self.limits.every,
                on_change: self.limits.on_change,
                rate: self.limits.rate,
                rate_per_conn: self.limits.rate_per_conn,
            },
            event_filters: EventFilters::default(),
            predicate,
            assertions: None,
            output: Output {
                destinations,
                recording,
                strict: self.output.strict_output,
                fields,
                template: template.map(|template| template.0),
                view: None,
                time: match self.output.time {
                    TimeArg::Wall => TimeMode::Wall,
                    TimeArg::Mono => TimeMode::Mono,
                    TimeArg::Rel => TimeMode::Relative,
                },
                header: !self.output.no_header,
                quiet: self.output.quiet,
                verbose: self.output.verbose,
                stats: self.output.stats,
                stack: false,
                limits: false,
            },
            read,
            kernel_options: self.kernel_options.convert(),
            anonymize: self.output.anonymize.then_some(anonymize::Options {
                key: self.output.anonymize_key,
                ports: self.output.anonymize_ports,
            }),
            command: self.command,
            actions: Actions::default(),
            summary: None,
            export: None,
            gate: None,
        })
    }
}

impl KernelArgs {
    /// Each of them, and whether it is given.
    pub(super) fn given(&self) -> [(&'static str, bool); 8] {
        let KernelArgs {
            reader,
            transport,
            buffer_size,
            max_conns,
            max_map_bytes,
            nice,
            bpf_stats,
            btf,
        } = self;
        [
            ("--reader", *reader != ReaderArg::Auto),
            ("--transport", *transport != TransportArg::Auto),
            ("--buffer-size", buffer_size.is_some()),
            ("--max-conns", max_conns.is_some()),
            ("--max-map-bytes", max_map_bytes.is_some()),
            ("--nice", nice.is_some()),
            ("--bpf-stats", *bpf_stats),
            ("--btf", btf.is_some()),
        ]
    }

    pub(super) fn convert(self) -> KernelOptions {
        KernelOptions {
            reader: match self.reader {
                ReaderArg::Auto => None,
                ReaderArg::Record => Some(Reader::Record),
                ReaderArg::Sock => Some(Reader::Sock),
                ReaderArg::Raw => Some(Reader::Raw),
            },
            transport: match self.transport {
                TransportArg::Auto => None,
                TransportArg::Ringbuf => Some(Transport::RingBuf),
                TransportArg::Perfbuf => Some(Transport::PerfBuf),
            },
            buffer_size: self.buffer_size,
            max_conns: self.max_conns,
            max_map_bytes: self.max_map_bytes.map(u64::from),
            bpf_stats: self.bpf_stats,
            btf: self.btf,
            inferred: false,
            one_by_one: false,
            nice: self.nice,
        }
    }
}

impl FilterArgs {
    /// Of recorded events, processes may be gone.
    pub(super) fn resolve(self, recorded: bool) -> Result<Filters> {
        let mut netns = Vec::new();
        // Recordings name the namespaces of their own host.
        let is_name = |name: &&String| recorded && resolve::is_netns_name(name);
        for name in self.netns.iter().filter(|name| !is_name(name)) {
            netns.push(resolve::netns(name)?);
        }
        let netns_names = self.netns.iter().filter(is_name).cloned().collect();
        let mut cgroup = Vec::new();
        for path in &self.cgroup {
            cgroup.push(resolve::cgroup(path)?);
        }
        let ifindex = resolve::ifaces(&self.iface, &mut netns)?;
        let (cookie, follow) = match self.follow {
            Some(Follow::Cookie(cookie)) => (vec![cookie], None),
            Some(Follow::Ends(ends)) => (Vec::new(), Some(zone::ends(ends, &mut netns)?)),
            None => (self.cookie, None),
        };
        Ok(Filters {
            port: self.port,
            lport: self.lport,
            rport: self.rport,
            addr: zone::nets("--addr", self.addr, &mut netns)?,
            laddr: zone::nets("--laddr", self.laddr, &mut netns)?,
            raddr: zone::nets("--raddr", self.raddr, &mut netns)?,
            ipv4_only: self.ipv4,
            ipv6_only: self.ipv6,
            pid: if recorded { self.pid } else { resolve::pids(self.pid)? },
            uid: self.uid,
            comm: self.comm,
            cgroup,
            netns: netns.into_iter().map(|netns| netns.inode).collect(),
            netns_names,
            ifindex,
            mark: self.mark,
            cc: self.cc,
            cookie,
            follow,
        })
    }
}
