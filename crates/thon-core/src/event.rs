//! The one stream of events that every front-end reads.
//!
//! For: saying what happens while it happens: the CLI's progress bars and the dashboard's live
//! view read the same events.
//! Not for: remembering them; a store does that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::sync::broadcast;

use crate::adapter::{Clock, Failure};
use crate::disk::DiskLevel;
use crate::instance::InstanceState;
use crate::name::UserId;
use crate::operation::{OperationId, OperationState, TaskKind};
use crate::plan::Verb;
use crate::proxy::ProxyChange;
use crate::workspace::WorkspaceChange;

/// Events that a slow reader may lag behind before it loses the oldest. A run for 200 users emits
/// about ten per user.
const CAPACITY: usize = 16_384;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// A step that takes a while began: `image`, `certificate`, `proxy`.
    StepStarted {
        /// Its name.
        step: String,
        /// What it does, for people.
        text: String,
    },
    /// A step moved on.
    StepProgress {
        /// Its name.
        step: String,
        /// What it is doing now.
        text: String,
        /// How much is done, and of how much; nothing where that isn't known.
        done: Option<(u64, u64)>,
    },
    /// A step ended well.
    StepFinished {
        /// Its name.
        step: String,
        /// What came of it.
        text: String,
    },
    /// What is about to be done, by kind.
    Planned {
        /// The number of actions of each kind.
        summary: BTreeMap<Verb, usize>,
    },
    /// A workspace is there.
    WorkspaceReady {
        /// Whose.
        user: UserId,
        /// Whether it had to be made.
        change: WorkspaceChange,
    },
    /// A launch waits for its turn.
    Queued {
        /// Whose.
        user: UserId,
        /// Its place in the queue, from 1.
        position: usize,
        /// How many wait.
        of: usize,
        /// The estimate of when its turn comes, from how long the launches before it took;
        /// nothing before the first has ended.
        estimate: Option<Duration>,
    },
    /// An instance went from one state to another.
    InstanceChanged {
        /// Whose.
        user: UserId,
        /// Its state before; nothing if it was not known.
        from: Option<InstanceState>,
        /// Its state now.
        to: InstanceState,
        /// Why, where there is something to say.
        reason: Option<String>,
    },
    /// A launch failed and is tried again.
    Retrying {
        /// Whose.
        user: UserId,
        /// Which attempt comes next, from 2.
        attempt: u32,
        /// What failed.
        failure: Failure,
    },
    /// The proxy serves the routes.
    ProxyApplied {
        /// What had to be done for it.
        change: ProxyChange,
        /// How many routes it serves.
        routes: usize,
    },
    /// A request and a websocket have passed through the proxy to the instance, or not.
    RouteChecked {
        /// Whose.
        user: UserId,
        /// Nothing if both passed.
        problem: Option<String>,
    },
    /// A sandbox is near the limit of its disk space, or over it.
    DiskPressing {
        /// Whose.
        user: UserId,
        /// How it stands.
        level: DiskLevel,
        /// What it and its workspace hold, in bytes.
        used: u64,
        /// What they may hold, in bytes.
        limit: u64,
    },
    /// An operation was asked for, began or ended.
    OperationChanged {
        /// Which one.
        operation: OperationId,
        /// What it is.
        task: TaskKind,
        /// Whose instance it is about, if it is about one alone.
        user: Option<UserId>,
        /// How far it is.
        state: OperationState,
        /// What came of it, once it is over.
        result: Option<String>,
    },
    /// Groups, users, settings or configuration files were changed.
    RosterChanged,
    /// The doctor has looked at the machine anew.
    Examined,
    /// Something that the person should know and that stops nothing.
    Warning {
        /// What.
        text: String,
    },
}

impl Event {
    /// Whose it is, if it is one user's.
    #[must_use]
    pub const fn user(&self) -> Option<&UserId> {
        match self {
            Self::WorkspaceReady { user, .. }
            | Self::Queued { user, .. }
            | Self::InstanceChanged { user, .. }
            | Self::Retrying { user, .. }
            | Self::RouteChecked { user, .. }
            | Self::DiskPressing { user, .. } => Some(user),
            Self::OperationChanged { user, .. } => user.as_ref(),
            Self::StepStarted { .. }
            | Self::StepProgress { .. }
            | Self::StepFinished { .. }
            | Self::Planned { .. }
            | Self::ProxyApplied { .. }
            | Self::RosterChanged
            | Self::Examined
            | Self::Warning { .. } => None,
        }
    }
}

/// An event with its number and time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stamped {
    /// Counts from 1 in this process.
    pub number: u64,
    /// When it happened.
    pub at: SystemTime,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// The stream. Clones write to the same one.
#[derive(Clone)]
pub struct EventStream {
    sender: broadcast::Sender<Arc<Stamped>>,
    count: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
}

impl EventStream {
    /// A stream that nobody reads yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { sender: broadcast::Sender::new(CAPACITY), count: Arc::default(), clock }
    }

    /// Says that something happened. Never waits and never fails, with or without readers.
    pub fn emit(&self, event: Event) {
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        drop(self.sender.send(Arc::new(Stamped { number, at: self.clock.now(), event })));
    }

    /// The time as the stream stamps it.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// Reads everything from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Stamped>> {
        self.sender.subscribe()
    }
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventStream").field("count", &self.count).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FixedClock;

    #[tokio::test]
    async fn every_reader_sees_every_event_in_order() {
        let stream = EventStream::new(Arc::new(FixedClock::default()));
        let mut readers = [stream.subscribe(), stream.subscribe()];
        for text in ["one", "two"] {
            stream.emit(Event::Warning { text: text.to_owned() });
        }
        for reader in &mut readers {
            let first = reader.recv().await.unwrap();
            let second = reader.recv().await.unwrap();
            assert_eq!((first.number, second.number), (1, 2));
            assert_eq!(second.event, Event::Warning { text: "two".to_owned() });
        }
    }
}
