//! The ways to read `probe`.

use super::{KernelFeatures, Refusal, Request};
use crate::config::Reader;

/// The readers in order of preference.
pub(super) fn readers(
    request: &Request,
    features: &KernelFeatures,
) -> Result<Vec<(Reader, &'static str)>, Refusal> {
    let beyond_record = request.beyond_record.or_else(|| {
        (!request.event_types.iter().all(|event_type| event_type.is_probe()))
            .then_some("another event type")
    });
    let readers = match request.reader {
        Some(Reader::Record) => {
            if let Some(option) = beyond_record {
                return Err(Refusal::Usage(format!(
                    "--reader record has the standard fields only: {option} needs --reader sock or raw"
                )));
            }
            features.record.clone().map_err(|why| {
                Refusal::Kernel(format!("--reader record: cannot read the tcp_probe record: {why}"))
            })?;
            vec![(Reader::Record, "requested with --reader")]
        }
        Some(Reader::Sock) if !features.tp_btf => {
            let text = "--reader sock: this kernel has no typed tracepoint programs (tp_btf, Linux 5.5): use --reader raw";
            return Err(Refusal::Kernel(text.into()));
        }
        Some(reader) => vec![(reader, "requested with --reader")],
        None => {
            let mut readers = Vec::new();
            if features.tp_btf {
                readers
                    .push((Reader::Sock, "typed programs (tp_btf) load struct tcp_sock directly"));
            }
            if beyond_record.is_none() && features.record.is_ok() {
                let why = "the tcp_probe record has all requested fields";
                // The record costs more than typed loads, but less than those and a cookie by way of it.
                let at = readers.len() * usize::from(features.cookie_helper);
                readers.insert(at, (Reader::Record, why));
            }
            readers.push((
                Reader::Raw,
                "raw tracepoint programs copy struct tcp_sock with probe reads",
            ));
            readers
        }
    };
    Ok(readers)
}
