//! Ctrl-C and its like, for a run that stays.
//!
//! For: hearing of them from the moment that a run may have started something.
//! Not for: runs that don't stay; the system ends those, and the next one goes on.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::CommandFailure;

/// Listens from when it is made.
#[derive(Debug)]
pub(crate) struct Interrupt {
    ctrl_c: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Interrupt {
    /// From now on the process is not ended by these signals any more.
    pub(crate) fn listen() -> Result<Self, CommandFailure> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| CommandFailure::input(format!("listening for signals: {error}")))
        };
        Ok(Self {
            ctrl_c: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits until somebody wants an end.
    pub(crate) async fn came(&mut self) {
        tokio::select! {
            _ = self.ctrl_c.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
