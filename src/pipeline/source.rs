//! Where the pipeline's records come from.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use anyhow::Result;

/// A source of records. It pushes them into the pipeline's reorder buffer, for which it is created.
pub trait Source {
    /// Takes records, at most a batch. True: there may be more.
    fn take(&self) -> Result<bool>;

    /// Becomes readable when records arrive. `None`: there is nothing to wait for.
    fn fd(&self) -> Option<BorrowedFd<'_>>;

    /// Called before a wait for records; returns the longest time that it may last. `busy`: records were taken since the last
    /// wait, or are held. `woken`: `fd` ended the last wait.
    fn before_wait(&self, busy: bool, woken: bool) -> Result<Duration>;
}
