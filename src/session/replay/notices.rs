//! What was lost while a file was recorded, told among its events.

use crate::accounting::{LeftOut, Notice};
use crate::events::EVENT_TYPES;
use crate::pipeline::Pipeline;
use crate::recording::header::AccountingFrame;

/// Tells of losses. The pipeline reads records of their file.
pub(super) fn tell(losses: &[AccountingFrame], pipeline: &mut Pipeline<'_>) {
    for loss in losses {
        let notice = notice(loss);
        if !notice.event_types.is_empty() {
            pipeline.notice(loss.to_ns, &notice);
        }
    }
}

fn notice(loss: &AccountingFrame) -> Notice {
    let of_type = |name: &str| {
        let lost = loss.lost.get(name).copied().filter(|lost| *lost > 0)?;
        Some(LeftOut { lost, ..LeftOut::default() })
    };
    let types = EVENT_TYPES.iter().filter_map(|of| Some((of.name, of_type(of.name)?)));
    Notice {
        interval_ns: loss.to_ns.saturating_sub(loss.from_ns),
        event_types: types.collect(),
        ..Notice::default()
    }
}
