//! THON's REST API.
//!
//! For: the node over HTTP: what there is, and what can be done about it, described by OpenAPI.
//! Not for: rules; they are the library's. Not for participants; no page of this is theirs.

mod app;
mod connections;
mod dashboard;
mod guard;
mod input;
mod log;
mod metrics;
mod probes;
mod problem;
mod rest;
mod server;

pub use app::openapi;
pub use log::{LogFormat, init as init_log};
pub use server::{Server, signal};
