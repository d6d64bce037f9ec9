//! The room: everyone's instance as the last look saw it.
//!
//! For: looking at set times and when there is a reason to, writing down what became of whom, and
//! ending what is due.
//! Not for: what may be concluded from a look; [`thon_core::state::facts`] decides it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use thon_core::event::Event;
use thon_core::instance::InstanceState;
use thon_core::name::UserId;
use thon_core::orchestrator::InstanceView;
use thon_core::sandbox::SandboxId;
use thon_core::state::{Seen, facts, learn};
use tokio::time::Instant;

use super::Service;
use crate::error::Error;
use crate::lifetime::Watch;
use crate::node::Node;

/// At least this often somebody looks.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// While something is coming up: that it is there is no event of the engine's.
const LOOK_SOON: Duration = Duration::from_secs(2);

/// Between two looks that there is a reason for: a launch of many is a reason a hundred times.
const LOOK_APART: Duration = Duration::from_secs(1);

/// Everyone's instance, as of one moment.
#[derive(Debug, Clone, Default)]
pub struct Room {
    /// When this was seen; nothing before the first look that succeeded.
    pub seen_at: Option<SystemTime>,
    /// Everyone in the roster, then whoever else has a sandbox.
    pub instances: Vec<InstanceView>,
    /// Why the last look saw nothing, if so. The instances are those of the look before it.
    pub failure: Option<String>,
    /// Counts looks.
    pub number: u64,
}

impl Room {
    /// The instance of `user`.
    #[must_use]
    pub fn instance(&self, user: &UserId) -> Option<&InstanceView> {
        self.instances.iter().find(|view| view.user == *user)
    }

    /// How many instances are in each state; those of the roster that were never started are
    /// counted as terminated.
    #[must_use]
    pub fn counts(&self) -> Vec<(InstanceState, usize)> {
        let count = |state| self.instances.iter().filter(|view| view.state == state).count();
        InstanceState::ALL.into_iter().map(|state| (state, count(state))).collect()
    }
}

impl Service {
    /// The room as it was last seen.
    #[must_use]
    pub fn room(&self) -> Arc<Room> {
        Arc::clone(&self.inner.room.borrow())
    }

    /// Looks now. What is seen is what [`Self::room`] gives from then on; a look that fails leaves
    /// what was seen before, and says why.
    pub async fn look(&self) -> Arc<Room> {
        let mut known = self.inner.known.lock().await;
        let before = self.room();
        let seen = async {
            let site = self.site().await?;
            let views = site.node().status(&site.everyone()).await?;
            Ok::<_, Error>((site, views))
        };
        let room = match seen.await {
            Ok((site, views)) => {
                let now = self.inner.events.now();
                let seen = self.sights(site.node(), &views, &before).await;
                let new = facts(&seen, &known, now);
                let failure = match self.inner.state.store().record(&new).await {
                    Ok(()) => {
                        learn(&mut known, &new);
                        None
                    }
                    // Not learnt: the next look says it again.
                    Err(failure) => Some(failure.to_string()),
                };
                self.tell(&before, &views, &seen);
                Room { seen_at: Some(now), instances: views, failure, number: before.number + 1 }
            }
            Err(error) => Room {
                failure: Some(error.to_string()),
                number: before.number + 1,
                ..(*before).clone()
            },
        };
        let room = Arc::new(room);
        self.inner.room.send_replace(Arc::clone(&room));
        room
    }

    /// What there is, with why it is down where that is new.
    async fn sights(&self, node: &Node, views: &[InstanceView], before: &Room) -> Vec<Seen> {
        let was: BTreeMap<&UserId, InstanceState> =
            before.instances.iter().map(|view| (&view.user, view.state)).collect();
        let mut seen = Vec::new();
        for view in views {
            let Some(id) = &view.container_id else { continue };
            let sandbox = SandboxId(id.clone());
            let is_down = matches!(view.state, InstanceState::Failed | InstanceState::Terminated);
            let is_new = was.get(&view.user) != Some(&view.state);
            let reason = if is_down && is_new { node.why_down(&sandbox).await } else { None };
            seen.push(Seen {
                sandbox,
                user: view.user.clone(),
                image: view.image.as_ref().map(ToString::to_string),
                state: view.state,
                reason,
            });
        }
        seen
    }

    /// Says whose state is another one than at the look before.
    fn tell(&self, before: &Room, views: &[InstanceView], seen: &[Seen]) {
        let was: BTreeMap<&UserId, InstanceState> =
            before.instances.iter().map(|view| (&view.user, view.state)).collect();
        if before.seen_at.is_none() {
            return;
        }
        for view in views.iter().filter(|view| was.get(&view.user) != Some(&view.state)) {
            let sight = seen.iter().find(|sight| sight.user == view.user);
            self.inner.events.emit(Event::InstanceChanged {
                user: view.user.clone(),
                from: was.get(&view.user).copied(),
                to: view.state,
                reason: sight.and_then(|sight| sight.reason.clone()),
            });
        }
    }

    /// Looks at set times and whenever there is a reason to.
    pub(super) async fn keep_looking(&self) {
        let mut watch = None;
        loop {
            let begun = Instant::now();
            let room = self.look().await;
            self.end_what_is_due(&mut watch).await;
            let starts = room.instances.iter().any(|view| view.state == InstanceState::Pending);
            let after = if starts { LOOK_SOON } else { LOOK_EVERY };
            let next = tokio::time::sleep_until(begun + after);
            tokio::select! {
                () = next => {}
                () = self.inner.look.notified() => {
                    tokio::time::sleep_until(begun + LOOK_APART).await;
                }
            }
        }
    }

    /// Is the node's watcher as long as it needs one and nobody else is.
    async fn end_what_is_due(&self, watch: &mut Option<Watch>) {
        let Ok(site) = self.site().await else { return };
        let node = site.node();
        if !node.needs_watching() {
            *watch = None;
            return;
        }
        if watch.is_none() {
            *watch = Watch::begin(&self.inner.home).ok();
        }
        if watch.as_ref().is_some_and(Watch::is_wanted)
            && let Err(error) = node.watch().await
        {
            self.warn_once(&error.to_string());
        }
    }

    /// Says what goes wrong again and again only once.
    pub(super) fn warn_once(&self, text: &str) {
        let mut said = self.inner.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *said != text {
            text.clone_into(&mut said);
            self.inner.events.emit(Event::Warning { text: text.to_owned() });
        }
    }
}
