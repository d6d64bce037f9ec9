//! Waiting for what has to come true.
//!
//! For: a condition that another process brings about.
//! Not for: giving something time in the hope that it suffices.

use std::time::{Duration, Instant};

/// Far beyond everything that is waited for here; whoever runs into it has a reason to fail.
const PATIENCE: Duration = Duration::from_mins(2);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Waits until `look` finds something, and returns it.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::park_timeout(LOOK_EVERY);
    }
}
