//! In-memory adapters, fault injection and the contract suites.
//!
//! For: unit tests, simulations of large events and the examples; and for holding every adapter to
//! what its trait promises, the in-memory ones included.
//! Not for: running an event.

mod access;
mod faults;
mod keeper;
mod operations;
mod proxy;
mod runtime;
mod sessions;
mod small;
mod state;

pub mod contract;
pub mod fixture;

pub use faults::{Faults, Operation};
pub use keeper::MemoryKeeper;
pub use proxy::MemoryProxy;
pub use runtime::MemoryRuntime;
pub use small::{CountingEntropy, FixedClock, MemoryCertificates, MemoryHasher, MemoryStore};
pub use state::MemoryState;
