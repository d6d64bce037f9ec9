//! What every implementation of a trait must do, written once.
//!
//! For: running the same assertions against the in-memory adapters and the real ones.
//! Not for: what only one implementation can do. The assertions panic, as tests do.
#![allow(clippy::panic, clippy::missing_panics_doc, reason = "contract suites are tests")]

mod access;
mod certificate;
mod keeper;
mod operations;
mod proxy;
mod runtime;
mod sessions;
mod state;
mod store;

pub use access::access;
pub use certificate::{certificate, certificate_names_changed};
pub use keeper::{KeeperFixture, keeper};
pub use operations::operations;
pub use proxy::proxy;
pub use runtime::{RuntimeFixture, runtime};
pub use sessions::sessions;
pub use state::state;
pub use store::store;

use crate::adapter::{Failure, FailureKind};

fn ok<T>(result: Result<T, Failure>) -> T {
    match result {
        Ok(value) => value,
        Err(failure) => panic!("{failure}"),
    }
}

fn refused(result: Result<(), Failure>) -> FailureKind {
    match result {
        Ok(()) => panic!("it was taken"),
        Err(failure) => failure.kind,
    }
}
