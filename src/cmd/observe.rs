//! `observe`: complete totals of all connections, counted in the kernel.

use anyhow::Result;

use crate::config::Config;
use crate::config::summary::{Metric, Observe};
use crate::events::{
    EventType, cong_state, connect, destroy, drop, queue, reset_received, reset_sent, retransmit,
    spurious, state, synack_retransmit, tcp_probe, zero_window,
};
use crate::session;

/// Counts until the end; returns the exit status.
pub fn run(config: &Config) -> Result<u8> {
    let observe = config.summary.as_ref().and_then(|summary| summary.rows.observe());
    session::run(config, &observe.map(event_types).unwrap_or_default())
}

/// Those that the metrics are counted from, each once.
pub(super) fn event_types(observe: &Observe) -> Vec<&'static EventType> {
    let wanted: [(bool, &[&EventType]); 10] = [
        (observe.samples(), &[&tcp_probe::EVENT_TYPE]),
        (observe.connections(), &[&state::EVENT_TYPE, &destroy::EVENT_TYPE]),
        (
            observe.has(Metric::Retransmits) || observe.has(Metric::Timers),
            &[&retransmit::EVENT_TYPE, &synack_retransmit::EVENT_TYPE],
        ),
        (observe.has(Metric::Resets), &[&reset_sent::EVENT_TYPE, &reset_received::EVENT_TYPE]),
        (observe.has(Metric::Drops), &[&drop::EVENT_TYPE]),
        (observe.has(Metric::Connlat), &[&connect::EVENT_TYPE]),
        (observe.has(Metric::Queue), &[&queue::EVENT_TYPE]),
        (observe.has(Metric::Spurious), &[&spurious::EVENT_TYPE]),
        (observe.has(Metric::CaStates), &[&cong_state::EVENT_TYPE]),
        (observe.has(Metric::ZeroWindows), &[&zero_window::EVENT_TYPE]),
    ];
    wanted
        .iter()
        .filter(|(wanted, _)| *wanted)
        .flat_map(|(_, types)| types.iter().copied())
        .collect()
}
