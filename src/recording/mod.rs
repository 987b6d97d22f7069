//! Recordings: files of records that can be read again by any later version. docs/recording-format.md describes the format.
//!
//! A file is a preamble and [`frame`]s: the [`header`] with the [`schema`] of all records, data, which the [`codec`] stores as
//! differences, and what became known or was counted meanwhile. [`writer`] makes them, and [`output`] writes them with an [`index`];
//! [`frames`] finds them, also behind damage;
//! [`reader`] hands on the records, which [`adapt`] turns into those of this program.

pub mod adapt;
mod bytes;
pub mod codec;
mod columns;
pub mod frame;
pub mod frames;
pub mod header;
pub mod index;
pub mod info;
pub mod join;
pub mod output;
pub mod reader;
pub mod schema;
pub mod span;
pub mod writer;

#[cfg(test)]
mod tests;
