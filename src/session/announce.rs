//! The notes at the start of a trace: what is traced, and how.

use super::output;
use super::trace::Trace;
use crate::config::Actions;
use crate::loader::KERNEL_CLOCK;
use crate::loader::live::whole_size;
use crate::stdio;

impl Trace<'_, '_> {
    /// The tracepoints of the traced event types, each once.
    fn hooks(&self) -> Vec<&'static str> {
        let mut hooks: Vec<&str> = Vec::new();
        for hook in self.event_types().flat_map(|event_type| self.variant.hooks_of(event_type)) {
            if !hooks.contains(&hook) {
                hooks.push(hook);
            }
        }
        hooks
    }

    pub(super) fn announce(&self) {
        let output = &self.config.output;
        if output.quiet {
            return;
        }
        self.variant.notes.iter().for_each(|note| output::print_line(&format!("note: {note}")));
        let size = whole_size(self.plan.transport, self.config.kernel_options.buffer_size);
        let unit = if size.is_multiple_of(1 << 20) {
            format!("{} MiB", size >> 20)
        } else {
            format!("{} KiB", size >> 10)
        };
        let buffer = format!("{} of {unit}", self.plan.transport.name());
        let way = match &self.config.summary {
            Some(summary)
                if self.config.actions == Actions { aggregate: true, ..Actions::default() } =>
            {
                format!("{}; {buffer}", summary.aggregate.method())
            }
            Some(summary) => summary.aggregate.method().to_owned(),
            None if !self.config.actions.record => "counted in the kernel".to_owned(),
            None => buffer,
        };
        // Nobody presses a key at a service.
        let end = if stdio::is_journal() { "" } else { "; Ctrl-C ends it" };
        output::print_line(&format!(
            "tracing {} (reader {}, {way}){end}",
            self.hooks().join(", "),
            self.variant.reader.name(),
        ));
        if output.verbose {
            output::print_line(&format!(
                "reader {}: {}",
                self.variant.reader.name(),
                self.variant.description
            ));
            output::print_line(&format!(
                "programs: {}",
                [KERNEL_CLOCK]
                    .into_iter()
                    .chain(self.variant.program_names())
                    .collect::<Vec<_>>()
                    .join(" ")
            ));
            if self.variant.has("probe") && self.config.summary.is_none() {
                let groups: Vec<&str> =
                    self.selection.groups.iter().map(|group| group.name).collect();
                let groups = if groups.is_empty() { "none".into() } else { groups.join(" ") };
                output::print_line(&format!("field groups of probe: {groups}"));
            }
        }
    }
}
