//! Writes recorded events into a recording again: those that pass, of one file or of several, in this version's records.

use std::fs::File;
use std::io;
use std::rc::Rc;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::input::{Input, by_wall_clock};
use crate::accounting::Accounting;
use crate::anonymize::Anonymizer;
use crate::config::{Config, Usage};
use crate::decode::{self, Event};
use crate::events::EventType;
use crate::events::ca::Layouts;
use crate::events::fields::{FieldGroups, RecordLayout};
use crate::pipeline::tee::Branch;
use crate::recording::codec::ByteOrder;
use crate::recording::header::{AccountingFrame, Additions, ClockSample, Header};
use crate::recording::schema::Shape;
use crate::recording::writer::Writer;
use crate::session::addresses::Addresses;
use crate::session::header::{command_line, commit, described_limits, program, random};
use crate::session::recorder::{RecordingFile, Size};
use crate::sink::{Note, Progress, Sink, Stage};
use crate::table::Moment;
use crate::table::summary::Summary;

/// Two tracers of one machine read the same clock as exactly as this.
const SAME_CLOCK_NS: i64 = 10_000;

/// The header of the new recording. Files that cannot be one are refused.
pub(super) fn header(
    config: &Config,
    event_types: &[&'static EventType],
    inputs: &[Input],
    anonymizer: Option<&Anonymizer>,
) -> Result<Header> {
    if by_wall_clock(inputs) {
        bail!(Usage(
            "--to tcc cannot merge recordings of several boots, whose clocks and kernels differ; convert each by itself, and read them together with -r"
                .into()
        ));
    }
    let start_ns = |input: &&Input| input.recording.header.environment.clock.start_ns;
    let Some(first) = inputs.iter().min_by_key(start_ns) else { bail!("nothing to read") };
    let mut header = first.recording.header.clone();
    let environment = &mut header.environment;
    environment.layout = RecordLayout::new(FieldGroups::ALL);
    for Header { environment: other, network_namespaces, .. } in
        inputs.iter().map(|input| &input.recording.header)
    {
        let new = network_namespaces.iter().filter(|new| !header.network_namespaces.contains(new));
        header.network_namespaces.extend(new.cloned().collect::<Vec<_>>());
        environment.missing_members.extend(other.missing_members.iter().cloned());
        let (types, others) = (&mut environment.types, &other.types);
        types.reset_reasons.extend(others.reset_reasons.clone());
        types.drop_reasons.extend(others.drop_reasons.clone());
    }
    if inputs.iter().any(|input| input.recording.is_foreign()) {
        environment.types.layouts = Layouts::default();
    }
    header.shapes = shapes(event_types, inputs, &header)?;
    header.program = program();
    header.commit = commit();
    header.recording = random("uuid");
    header.part = 0;
    header.byte_order = ByteOrder::NATIVE;
    header.command_line = command_line();
    header.config = described(config, event_types, inputs, &header.config);
    if let Some(anonymizer) = anonymizer {
        anonymizer.header(&mut header);
    }
    Ok(header)
}

/// The records of all files. In one recording, all of a type have the same members.
fn shapes(
    event_types: &[&'static EventType],
    inputs: &[Input],
    header: &Header,
) -> Result<Vec<Shape>> {
    let mut all: Vec<(&str, Shape)> = Vec::new();
    for input in inputs {
        for shape in input.recording.shapes(event_types, &header.environment) {
            let of_type = |(_, known): &&(&str, Shape)| known.event_type == shape.event_type;
            let is_probe =
                event_types.iter().any(|of| of.is_probe() && of.name == shape.event_type);
            let same = all.iter().filter(of_type).find(|(_, known)| known.len == shape.len);
            let other = match same {
                Some((_, known)) if known.members == shape.members => continue,
                None if is_probe => all.iter().find(of_type),
                differs => differs,
            };
            if let Some((name, _)) = other {
                bail!(Usage(format!(
                    "--to tcc: the {} records in {name} and in {} have different fields; convert each by itself, and read them together with -r",
                    shape.event_type, input.name
                )));
            }
            all.push((&input.name, shape));
        }
    }
    Ok(all.into_iter().map(|(_, shape)| shape).collect())
}

/// What was chosen from which recordings.
fn described(
    config: &Config,
    event_types: &[&'static EventType],
    inputs: &[Input],
    first: &Value,
) -> Value {
    let names: Vec<&str> = event_types.iter().map(|event_type| event_type.name).collect();
    let source = |input: &Input| {
        let Header { program, recording, part, command_line, config, .. } = &input.recording.header;
        json!({"recording": recording, "part": part, "program": program, "command_line": command_line, "config": config})
    };
    json!({
        "event_types": names,
        "fields": first["fields"],
        "reader": first["reader"],
        "transport": first["transport"],
        "notes": first["notes"],
        "filters": config.filters.any(),
        "where": config.predicate.as_ref().map(|predicate| &predicate.text),
        "limits": described_limits(&config.limits),
        "sources": inputs.iter().map(source).collect::<Vec<_>>(),
    })
}

/// The output that writes the recording.
pub(super) fn branch(file: &RecordingFile, header: Header, inputs: &[Input]) -> io::Result<Branch> {
    let clock = header.environment.clock;
    let layouts = header.environment.types.layouts.clone();
    let foreign = inputs.iter().any(|input| input.recording.is_foreign());
    Ok(file.branch_of(Box::new(Rewriter {
        writer: file.writer()?,
        addresses: Addresses::recorded(),
        layouts: (!foreign).then_some(layouts),
        layouts_id: None,
        clock: ClockSample { after_ns: 0, wall_offset_ns: clock.wall_offset_ns },
        tolerance_ns: if inputs.len() > 1 { SAME_CLOCK_NS } else { 0 },
        counted_ns: clock.start_ns,
        last_ns: clock.start_ns,
        error: None,
        header,
        record: Vec::new(),
        made: 0,
        size: Rc::clone(&file.size),
    })))
}

/// The sink.
struct Rewriter {
    writer: Writer<File>,
    header: Header,
    addresses: Addresses,
    /// The newest ones in the file, and the number of those that were compared last. `None`: no record needs them.
    layouts: Option<Layouts>,
    layouts_id: Option<u64>,
    /// The newest one in the file.
    clock: ClockSample,
    tolerance_ns: i64,
    counted_ns: u64,
    last_ns: u64,
    /// Why what was read ended early.
    error: Option<String>,
    record: Vec<u8>,
    made: u64,
    size: Rc<Size>,
}

impl Rewriter {
    /// After an error the file still gets an end, which says why.
    fn or_end(&mut self, result: io::Result<()>) -> io::Result<()> {
        self.size.records.set(self.writer.records());
        self.size.bytes.set(self.writer.bytes());
        result.inspect_err(|error| {
            let _ = self.writer.end(self.last_ns, Some(error.to_string()));
        })
    }

    /// What readers need for the event and do not have yet.
    fn add_known(&mut self, event: &Event<'_>, mono_ns: u64) -> io::Result<()> {
        if let Moment::Wall(wall_ns) = event.time() {
            let wall_offset_ns = wall_ns.saturating_sub(mono_ns.cast_signed());
            let moved = wall_offset_ns.saturating_sub(self.clock.wall_offset_ns).saturating_abs();
            if moved > self.tolerance_ns && mono_ns > self.clock.after_ns {
                self.clock = ClockSample { after_ns: mono_ns - 1, wall_offset_ns };
                self.writer.clock(&[self.clock])?;
            }
        }
        let of_event = &event.types().layouts;
        if let Some(layouts) = &mut self.layouts
            && self.layouts_id.replace(of_event.id()) != Some(of_event.id())
            && layouts != of_event
        {
            *layouts = of_event.clone();
            let layouts = Some(of_event.clone());
            self.writer.additions(mono_ns, &Additions { layouts, symbols: Vec::new() })?;
        }
        Ok(())
    }

    fn write(&mut self, event: &Event<'_>) -> io::Result<()> {
        let mono_ns = decode::mono_ns(event.raw()).unwrap_or_default();
        self.last_ns = self.last_ns.max(mono_ns);
        self.add_known(event, mono_ns)?;
        let mut symbols = Vec::new();
        let record = self.addresses.of(event, &mut self.record, &mut symbols);
        if !symbols.is_empty() {
            self.writer.additions(mono_ns, &Additions { symbols, layouts: None })?;
        }
        self.writer.record(event.event_type().number.into(), record)
    }
}

impl Sink for Rewriter {
    fn begin(&mut self) -> io::Result<()> {
        let begun = self.writer.begin(&self.header);
        self.or_end(begun)
    }

    fn event(&mut self, event: &Event<'_>) -> io::Result<()> {
        let written = self.write(event);
        self.made += u64::from(written.is_ok());
        self.or_end(written)
    }

    fn summary(&mut self, _: &Summary<'_>) -> io::Result<()> {
        Ok(())
    }

    fn account(&mut self, stage: Stage, now: Moment, accounting: &Accounting) -> io::Result<()> {
        if let Moment::Wall(wall_ns) = now {
            let now_ns = wall_ns.saturating_sub(self.clock.wall_offset_ns);
            self.last_ns = self.last_ns.max(now_ns.try_into().unwrap_or_default());
        }
        let (from_ns, to_ns) =
            (std::mem::replace(&mut self.counted_ns, self.last_ns), self.last_ns);
        let frame = AccountingFrame { from_ns, to_ns, ..AccountingFrame::of(accounting) };
        let mut written = self.writer.accounting(&frame);
        if stage == Stage::End {
            let error = self.error.take();
            written = written.and_then(|()| self.writer.end(self.last_ns, error));
        }
        self.or_end(written)
    }

    fn note(&mut self, note: &Note<'_>) -> io::Result<()> {
        // What events need is written with them.
        let Note::Sources { losses, error } = note else { return Ok(()) };
        self.error = error.map(str::to_owned);
        let mut written = Ok(());
        for loss in *losses {
            written = written.and_then(|()| self.writer.accounting(loss));
        }
        self.or_end(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let cut = self.writer.cut_if_due();
        self.or_end(cut)
    }

    fn settle(&mut self) -> io::Result<()> {
        let cut = self.writer.cut();
        self.or_end(cut)
    }

    /// In records, of which those of whole frames are written.
    fn progress(&self) -> Progress {
        Progress { made: self.made, written: self.writer.records() }
    }
}
