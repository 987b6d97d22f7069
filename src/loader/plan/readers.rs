//! How `probe` can be read, best first.

use super::{KernelFeatures, Refusal, Request};
use crate::config::Reader;

/// The readers in order of preference.
pub(super) fn readers(
    request: &Request,
    features: &KernelFeatures,
) -> Result<Vec<(Reader, &'static str)>, Refusal> {
    let beyond_record = request.beyond_record.or_else(|| {
        (!request.event_types.iter().all(|event_type| event_type.is_probe()))
            .then_some("another event")
    });
    let readers = match request.reader {
        Some(Reader::Record) => {
            if let Some(option) = beyond_record {
                return Err(Refusal::Usage(format!(
                    "--reader record gives the standard fields only: {option} needs --reader sock or raw"
                )));
            }
            features.record.clone().map_err(|why| {
                Refusal::Kernel(format!(
                    "--reader record: the tcp_probe record cannot be used: {why}"
                ))
            })?;
            vec![(Reader::Record, "asked for")]
        }
        Some(Reader::Sock) if !features.tp_btf => {
            let text = "--reader sock: this kernel has no typed tracepoint programs (tp_btf, 5.5): use --reader raw";
            return Err(Refusal::Kernel(text.into()));
        }
        Some(reader) => vec![(reader, "asked for")],
        None => {
            let mut readers = Vec::new();
            if features.tp_btf {
                readers.push((
                    Reader::Sock,
                    "typed tracepoint programs load struct tcp_sock directly",
                ));
            }
            if beyond_record.is_none() && features.record.is_ok() {
                let why = "nothing beyond the tracepoint's own record is asked";
                // The record costs more than typed loads, but less than those and a cookie by way of it.
                let at = readers.len() * usize::from(features.cookie_helper);
                readers.insert(at, (Reader::Record, why));
            }
            readers.push((
                Reader::Raw,
                "the kernel has no typed tracepoint programs, or refused them",
            ));
            readers
        }
    };
    Ok(readers)
}
