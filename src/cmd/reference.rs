//! The pages of docs/reference, generated from the command line's definition, the column tables and the accounting.

use std::fmt::Write;

use clap::{Arg, Command, CommandFactory};

use super::schema::{ACCOUNTS, BUCKETS, INTERVAL, KEY, NOTICE, meaning, set};
use crate::accounting::{
    Accounting, AggregateCounts, CountCounts, Counts, Evicted, LeftOut, Notice, OutputAccount,
    OwnCost,
};
use crate::cli::Cli;
use crate::events::ca::{ALGORITHMS, Algorithm};
use crate::events::{EVENT_TYPES, EventType, common, socket};
use crate::export::families::FAMILIES;
use crate::summary::{AGGREGATES, key};
use crate::table::Column;
use crate::table::summary::{AggregateType, BUCKET, METRIC_BUCKET};

/// File name and text of every page.
#[must_use]
pub fn pages() -> Vec<(String, String)> {
    let mut pages = vec![("README.md".to_owned(), index())];
    pages.extend(EVENT_TYPES.iter().map(|e| (format!("{}.md", e.name), event_type(e))));
    pages.push(("summaries.md".to_owned(), summaries()));
    pages.push(("metrics.md".to_owned(), metrics()));
    pages.push(("accounting.md".to_owned(), accounting()));
    pages.push(("options.md".to_owned(), options()));
    pages
}

// Writing to a String does not fail, so its results are ignored below.

fn index() -> String {
    let mut page = String::from(
        "# Reference\n\n\
         Generated from the sources: `UPDATE=1 cargo test --test docs` writes these pages.\n\n\
         - [Options](options.md) of all commands.\n\
         - [Event types](#event-types), one page each, and the columns that they share: [common](#common-columns), \
         [owner](#owner-columns), [connection](#connection-columns).\n\
         - [Summaries](summaries.md): records of the commands that aggregate.\n\
         - [Metrics](metrics.md) of `export`.\n\
         - [Accounting](accounting.md): the records `stats` and `end`.\n\n\
         ## Event types\n\n| event type | meaning |\n|---|---|\n",
    );
    for event_type in EVENT_TYPES {
        let (name, doc) = (event_type.name, event_type.doc);
        let _ = writeln!(page, "| [{name}]({name}.md) | {doc} |");
    }
    page += "\n## Tables\n\n\
        Columns have the same names in JSONL, CSV, `--fields` and `--format`. Columns named `group.name` are members of the \
        object `group` in JSONL. The set `standard` is printed by default, `all` with `--all-fields` or by name. Sequence \
        numbers are raw 32-bit numbers, which wrap. A segment is a packet of up to one MSS. The source is where the kernel has the value.\n\n\
        ## Common columns\n\nEvery event begins with these.\n\n";
    table(common::COLUMNS, &mut page);
    page += "\n## Owner columns\n\n\
        In every event after its own columns. In `probe`, all of them belong to the set `all`. Without a full socket all but \
        `netns` are null.\n\n";
    table(socket::owner_columns(), &mut page);
    page += "\n## Connection columns\n\n\
        In every event but `probe`, as they were before the event. Null without a full socket and, but for `state`, if \
        tcp_disconnect() has cleared the counters. Columns on the page of an event type replace those of the same name \
        here.\n\n";
    table(socket::connection_columns(), &mut page);
    page
}

/// The columns on the event type's own page: those that it does not share.
fn own_columns(event_type: &EventType) -> Vec<&'static Column> {
    let shared: Vec<&Column> = common::COLUMNS
        .iter()
        .chain(socket::owner_columns())
        .chain(socket::connection_columns())
        .collect();
    let mut columns = (event_type.columns)();
    columns.retain(|column| !shared.iter().any(|other| std::ptr::eq(*column, *other)));
    columns
}

fn event_type(event_type: &EventType) -> String {
    let mut page = format!("# {}\n\n{}\n\n", event_type.name, event_type.doc);
    hooks(event_type, &mut page);
    let columns = own_columns(event_type);
    page += "\n## Columns\n\n";
    let (grouped, own): (Vec<_>, Vec<_>) =
        columns.into_iter().partition(|column| column.group().is_some());
    table(own, &mut page);
    page += if event_type.is_probe() {
        "\nThe [common columns](README.md#common-columns) stand before these.\n"
    } else {
        "\nThe [common columns](README.md#common-columns) stand before these, the \
         [owner columns](README.md#owner-columns) and the [connection columns](README.md#connection-columns) after them.\n"
    };
    for algorithm in ALGORITHMS {
        let of = grouped.iter().filter(|column| column.group() == Some(algorithm.name));
        let columns: Vec<&Column> = of.copied().collect();
        if !columns.is_empty() {
            algorithm_state(algorithm, columns, &mut page);
        }
    }
    page
}

fn algorithm_state(algorithm: &Algorithm, columns: Vec<&Column>, page: &mut String) {
    let Algorithm { name, type_name, module, .. } = algorithm;
    let _ = writeln!(
        page,
        "\n## State of {name}\n\nMembers of `struct {type_name}`. Null on connections under another algorithm, and if \
         their layout is not known: it is read from the BTF of the kernel or of `{module}`.\n"
    );
    table(columns, page);
}

fn hooks(event_type: &EventType, page: &mut String) {
    let _ = writeln!(page, "- Hook: `{}`", event_type.hook);
    for extra in event_type.extra_hooks {
        let without =
            extra.without.map(|text| format!(". Without it, {text}.")).unwrap_or_default();
        let _ = writeln!(page, "- Additional hook: `{}`{without}", extra.hook);
    }
    for fallback in event_type.fallback_hooks {
        let _ = writeln!(page, "- Fallback without that hook: `{}`", fallback.hook);
    }
}

fn table<'c>(columns: impl IntoIterator<Item = &'c Column>, page: &mut String) {
    *page += "| column | type | unit | set | meaning | source |\n|---|---|---|---|---|---|\n";
    for column in columns {
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | {} | `{}` |",
            column.name,
            column.ty.name(),
            column.unit.name(),
            set(column),
            meaning(column).replace('|', "\\|"),
            column.source.replace('`', ""),
        );
    }
}

fn metrics() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         What `export` serves. Each metric has the labels of `--labels`, unless it comes always or with `--top`, and those named here. \
         A counter's name ends with `_total`; in OpenMetrics text it is without that in comments.\n\n\
         | metric | type | unit | labels | with `--metrics` | meaning | source |\n|---|---|---|---|---|---|---|\n",
    );
    for family in FAMILIES {
        let labels: Vec<String> =
            family.labels().iter().map(|label| format!("`{label}`")).collect();
        let metric = match family.metric {
            Some(metric) => format!("`{}`", metric.name()),
            None if family.is_of_top() => "`--top`".to_owned(),
            None => "always".to_owned(),
        };
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | {metric} | {} | {} |",
            family.full_name(),
            family.metric_type().name(),
            family.unit.name(),
            labels.join(", "),
            family.help,
            family.source,
        );
    }
    page
}

fn summaries() -> String {
    let mut page = String::from(
        "# Summaries\n\n\
         Records of the commands that aggregate. In JSONL, each row is an object with `type` (`summary`), `command`, the \
         members below, and the columns of the command. In CSV, the columns of the key come first, and \
         a row with buckets takes one line per bucket.\n\n",
    );
    page += "| member | meaning |\n|---|---|\n";
    let members = INTERVAL.iter().chain([&("key", KEY), &("buckets", BUCKETS)]);
    rows("", members, &mut page);
    let keyed = commands(has_shared_key);
    let _ = write!(page, "\n## Keys\n\nKey of {keyed}: the columns requested by `--by`.\n\n");
    table(&key::KEY, &mut page);
    let _ = write!(
        page,
        "\n## Buckets\n\nBuckets of {}. In JSONL, they are named without `bucket_`.\n\n",
        commands(|aggregate| aggregate.has_buckets() && has_times(aggregate))
    );
    table(&BUCKET, &mut page);
    let _ = write!(
        page,
        "\nThose of {}, in the unit of the metric:\n\n",
        commands(|aggregate| aggregate.has_buckets() && !has_times(aggregate))
    );
    table(&METRIC_BUCKET, &mut page);
    for record in AGGREGATES {
        let _ = writeln!(page, "\n## {}\n\n{}\n", record.command, record.doc);
        if !has_shared_key(record) {
            page += "Key:\n\n";
            table(record.key, &mut page);
            page += "\nColumns:\n\n";
        }
        table(record.columns, &mut page);
    }
    page
}

/// Its buckets are of times.
fn has_times(aggregate: &AggregateType) -> bool {
    std::ptr::eq(aggregate.bucket(), &raw const BUCKET)
}

/// The key is made of `--by`.
fn has_shared_key(aggregate: &AggregateType) -> bool {
    std::ptr::eq(aggregate.key, &raw const key::KEY[..])
}

/// The commands whose aggregates are such: "`a`, `b` and `c`".
fn commands(such: impl Fn(&AggregateType) -> bool) -> String {
    let names = AGGREGATES.iter().filter(|aggregate| such(aggregate));
    let names: Vec<String> = names.map(|aggregate| format!("`{}`", aggregate.command)).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

fn rows<'d>(
    prefix: &str,
    docs: impl IntoIterator<Item = &'d (&'d str, &'d str)>,
    page: &mut String,
) {
    for (name, doc) in docs {
        let _ = writeln!(page, "| `{prefix}{name}` | {doc} |");
    }
}

fn accounting() -> String {
    let mut page = String::from(
        "# Accounting\n\n\
         JSONL records without an event. Every format prints the counters as text on standard error, too, unless \
         `--quiet` is given.\n\n\
         | record | meaning |\n|---|---|\n",
    );
    rows("", ACCOUNTS.iter().chain([&NOTICE]), &mut page);
    page += "\n## Counters of printed events\n\nOf all events, and of each event type under `event_types`. Absent if no events are \
        printed.\n\n| field | meaning |\n|---|---|\n";
    rows("", Counts::DOCS, &mut page);
    page += "\n## Counters of summaries\n\nOf all events that the summary is made from, and of each event type under \
        `aggregate.event_types`. Absent without a summary.\n\n| field | meaning |\n|---|---|\n";
    rows("aggregate.", AggregateCounts::DOCS, &mut page);
    page += "\n## Counters of counted events\n\nOf all events, and of each event type under `count.event_types`. Absent \
        without `--counters-only`.\n\n| field | meaning |\n|---|---|\n";
    rows("count.", CountCounts::DOCS, &mut page);
    page += "\n## Run\n\n| field | meaning |\n|---|---|\n";
    rows("", Accounting::DOCS, &mut page);
    page += "\n## Outputs\n\nOf each output under `outputs`.\n\n| field | meaning |\n|---|---|\n";
    rows("outputs.", OutputAccount::DOCS, &mut page);
    page += "\n## Evicted entries\n\n| field | meaning |\n|---|---|\n";
    rows("evicted.", Evicted::DOCS, &mut page);
    page += "\n## Own cost\n\nUnder `own_cost`.\n\n| field | meaning |\n|---|---|\n";
    rows("own_cost.", OwnCost::DOCS, &mut page);
    page += "\n## Notices\n\n| field | meaning |\n|---|---|\n";
    rows("", Notice::DOCS, &mut page);
    rows("event_types.", LeftOut::DOCS, &mut page);
    page
}

fn options() -> String {
    let cli = Cli::command();
    let mut page = String::from("# Options\n");
    page += "\n## Tracing commands\n\nEvery tracing command has these.\n";
    let shared = option_table(&cli, &[], &mut page);
    for command in cli.get_subcommands().filter(|command| !command.is_hide_set()) {
        let about = command.get_long_about().or_else(|| command.get_about());
        let about = about.map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(page, "\n## tcc-trace {}\n\n{about}", command.get_name());
        // Only tracing commands have a reader.
        let traces = command.get_arguments().any(|arg| arg.get_id() == "reader");
        option_table(command, if traces { &shared } else { &[] }, &mut page);
    }
    page
}

/// Writes the visible arguments except these; returns the names of all.
fn option_table(command: &Command, except: &[String], page: &mut String) -> Vec<String> {
    let visible = |arg: &&Arg| !arg.is_hide_set() && !except.contains(&arg.get_id().to_string());
    let shown: Vec<&Arg> = command.get_arguments().filter(visible).collect();
    if !shown.is_empty() {
        *page += "\n| option | meaning |\n|---|---|\n";
    }
    for arg in shown {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default().replace('|', "\\|");
        let _ = writeln!(page, "| `{}` | {help}{} |", spelling(arg), choices(arg));
    }
    command.get_arguments().map(|arg| arg.get_id().to_string()).collect()
}

/// `-P, --port <PORTS>`.
fn spelling(arg: &Arg) -> String {
    let names =
        [arg.get_short().map(|c| format!("-{c}")), arg.get_long().map(|name| format!("--{name}"))];
    let mut text = names.into_iter().flatten().collect::<Vec<_>>().join(", ");
    if arg.get_action().takes_values()
        && let Some(value) = arg.get_value_names().and_then(|names| names.first())
    {
        let open =
            if arg.is_positional() { if arg.is_last_set() { "-- " } else { "" } } else { " " };
        let _ = write!(text, "{open}<{value}>");
    }
    text
}

/// Possible values and default.
fn choices(arg: &Arg) -> String {
    if !arg.get_action().takes_values() {
        return String::new();
    }
    let name = |name: &str| format!("`{name}`");
    let values = arg.get_possible_values();
    let values: Vec<String> = values.iter().map(|value| name(value.get_name())).collect();
    let default = arg.get_default_values().iter().filter_map(|value| value.to_str());
    let default: Vec<String> = default.map(name).collect();
    let parts = [("one of ", values.join(", ")), ("default ", default.join(", "))];
    let parts = parts.iter().filter(|(_, names)| !names.is_empty());
    let parts: Vec<String> = parts.map(|(what, names)| format!("{what}{names}")).collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join("; ")) }
}
