//! What limits a connection, from recorded events: what the programs do live for `limits`, done again here.

pub mod account;
pub mod rules;
