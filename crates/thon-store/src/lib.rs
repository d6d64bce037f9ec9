//! THON's state in SQLite.
//!
//! For: groups and users that commands add, settings, configuration files, history and the audit
//! log, in one file that several processes use at the same time; and for reading the database of
//! THON's Python ancestor.
//! Not for: rules. What a change may be is decided in [`thon_core::state`].

mod access;
mod ancestor;
mod apply;
mod backup;
mod error;
mod file;
mod open;
mod operations;
mod read;
mod schema;
mod sessions;

pub use ancestor::read_ancestor;
pub use open::SqliteStore;
pub use schema::LATEST;
