//! The node as a server sees it: one object that front-ends share, that knows what there is without
//! asking Docker for every reader, and that does one thing after the other.
//!
//! For: the roster with what thon.yaml declares, the last look at the room, the queue of operations,
//! and attending to all of it until it is told to stop.
//! Not for: HTTP, and not for who may do what; front-ends see to that.

mod carry;
mod checkup;
mod listen;
mod load;
mod queue;
mod room;
mod site;
mod stored;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use thon_core::adapter::{Failure, FailureKind};
use thon_core::event::{Event, EventStream};
use thon_core::name::UserId;
use thon_core::sandbox::SandboxId;
use thon_core::state::{Actor, Change, Known, known};
use tokio::sync::{Notify, watch};

pub use checkup::Checkup;
pub use load::{HostLoad, InstanceLoad};
pub use room::Room;
pub use site::Site;

use crate::error::Error;
use crate::home::Home;
use crate::state::State;
use crate::system::SystemClock;
use crate::workspaces::Removed;
use crate::{file, held};

/// A node that is served. Clones are the same one.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

struct Inner {
    home: Home,
    config: Option<PathBuf>,
    state: State,
    events: EventStream,
    /// The last site that could be read.
    site: Mutex<Option<Arc<Site>>>,
    /// The last look.
    room: watch::Sender<Arc<Room>>,
    /// Held during a look, so that two don't overtake each other; what is known of sandboxes.
    known: tokio::sync::Mutex<BTreeMap<SandboxId, Known>>,
    /// What went wrong last, so that it isn't said again and again.
    said: Mutex<String>,
    /// What was measured last.
    meter: Mutex<load::Meter>,
    /// What the doctor said last.
    ward: Mutex<checkup::Ward>,
    /// Held while somebody asks for what may wait already.
    once: tokio::sync::Mutex<()>,
    /// There is a reason to look.
    look: Notify,
    /// There is something to do.
    work: Notify,
    _lock: File,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("home", &self.inner.home).finish_non_exhaustive()
    }
}

impl Service {
    /// Opens the node's state for being served. `config` is the configuration file that was named,
    /// if one was; else the usual places are searched, each time anew. A node is served by one
    /// process at a time.
    pub async fn open(home: Home, config: Option<PathBuf>) -> Result<Self, Error> {
        let state = State::open(&home).await?;
        let lock = lock(&home)?;
        let known = known(&state.store().history(None).await?);
        let service = Self {
            inner: Arc::new(Inner {
                home,
                config,
                state,
                events: EventStream::new(Arc::new(SystemClock)),
                site: Mutex::default(),
                room: watch::Sender::default(),
                known: tokio::sync::Mutex::new(known),
                said: Mutex::default(),
                meter: Mutex::default(),
                ward: Mutex::default(),
                once: tokio::sync::Mutex::default(),
                look: Notify::new(),
                work: Notify::new(),
                _lock: lock,
            }),
        };
        // A configuration that can't be used is said now, and not by every request.
        service.site().await?;
        Ok(service)
    }

    /// Looks, listens and works until `stop` is there. What is being done then is cut off, which
    /// loses nothing: it is taken up again, or reported as interrupted, by whoever serves next.
    pub async fn attend(&self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        self.take_up_again().await?;
        tokio::select! {
            () = stop => {}
            () = self.keep_looking() => {}
            () = self.keep_listening() => {}
            () = Box::pin(self.keep_working()) => {}
            () = Box::pin(self.keep_reading()) => {}
        }
        Ok(())
    }

    /// THON's folder.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.inner.home
    }

    /// The stream that everything is said on.
    #[must_use]
    pub fn events(&self) -> &EventStream {
        &self.inner.events
    }

    /// The node's state.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.inner.state
    }

    /// Makes all of `changes` or none, in the name of `actor`, and says so.
    pub async fn apply(&self, actor: &Actor, changes: &[Change]) -> Result<(), Error> {
        self.inner.state.store().apply(actor, changes).await?;
        if !changes.is_empty() {
            self.inner.events.emit(Event::RosterChanged);
            self.inner.look.notify_one();
        }
        Ok(())
    }

    /// Deletes a user's workspace for good, in the name of `actor`; nothing if there is none where the
    /// configuration looks for it.
    pub async fn remove_workspace(
        &self,
        actor: &Actor,
        user: &UserId,
    ) -> Result<Option<Removed>, Error> {
        let site = self.site().await?;
        let _lock = site.node().lock()?;
        let found = site.node().workspaces(|_| false).await?;
        let theirs = found.into_iter().filter(|view| view.configured && view.user == *user);
        let theirs: Vec<_> = theirs.collect();
        let (removed, failures) = site.node().remove_workspaces(&theirs).await?;
        let result = failures.first().map_or("done".to_owned(), |f| f.failure.to_string());
        if !theirs.is_empty() {
            let store = self.inner.state.store();
            store.note(actor, "delete workspace", &user.to_string(), &result).await?;
            self.inner.look.notify_one();
        }
        match failures.into_iter().next() {
            Some(failed) => Err(failed.failure.into()),
            None => Ok(removed.into_iter().next()),
        }
    }

    /// Writes everything into the database and lets go of it.
    pub async fn close(&self) {
        self.inner.state.finish().await;
    }
}

/// Takes the lock of the one process that serves this node, or says which one does.
fn lock(home: &Home) -> Result<File, Failure> {
    let path = home.root().join("serve.lock");
    let tried = format!("locking {}", path.display());
    let failed = |cause: std::io::Error| file::failure(&tried, &cause);
    let mut lock = held::hold(&path).map_err(failed)?.map_err(|holder| {
        let cause = format!("process {} serves this node already", holder.trim());
        Failure::new(FailureKind::Conflict, &tried, cause, "end that one first")
    })?;
    held::sign(&mut lock, &format!("{}\n", std::process::id())).map_err(failed)?;
    Ok(lock)
}
