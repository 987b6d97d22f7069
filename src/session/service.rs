//! What a service manager is to know: that metrics are served, the state, and that the loop still runs.

use std::time::Duration;

use sd_notify::NotifyState;

use super::event_loop::EventLoop;
use super::follow::Token;

/// Sends that to the service manager, if there is one. It may be gone: tracing goes on.
fn notify(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}

/// Metrics are served. Wakes the loop as often as the service manager wants to hear from it.
pub(super) fn ready(events: &mut EventLoop<Token>, status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
    if let Some(timeout) = sd_notify::watchdog_enabled().filter(|timeout| !timeout.is_zero()) {
        events.every(Token::Watchdog, (timeout / 2).max(Duration::from_millis(1)));
    }
}

pub(super) fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// Between this and [`reloaded`] the new configuration is taken over.
pub(super) fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        notify(&[NotifyState::Reloading, now]);
    }
}

pub(super) fn reloaded(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}
