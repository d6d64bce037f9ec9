//! Ctrl-C and its like, for a command that stays.
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
        self.code().await;
    }

    /// The same; returns the exit code that shells have for it.
    pub(crate) async fn code(&mut self) -> u8 {
        let signal = tokio::select! {
            _ = self.ctrl_c.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.hangup.recv() => SignalKind::hangup(),
        };
        u8::try_from(128 + signal.as_raw_value()).unwrap_or(u8::MAX)
    }
}
