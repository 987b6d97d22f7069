//! What limits a connection, from recorded events: what the programs do live for `limits`, done again here.
//!
//! A [`Twin`](twin::Twin) takes the records of a recording in order. Of each connection it keeps the time of each cause, and on request
//! the segments of time with their causes.

pub mod account;
pub mod connection;
pub mod observed;
pub mod rules;
pub mod twin;

#[cfg(test)]
mod tests;
