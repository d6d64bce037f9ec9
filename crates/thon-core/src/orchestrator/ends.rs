//! Ends of lifetimes: looking, stopping whose time is up, and giving more.
//!
//! For: what the watcher does at each look, and `thon extend`.
//! Not for: the rules; they are in [`crate::lifetime`].

use std::time::{Duration, SystemTime};

use super::{Orchestrator, RunError, UserFailure};
use crate::event::Event;
use crate::lifetime::{Due, due, extended};
use crate::name::UserId;

/// What came of stopping those whose time is up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// Those that were stopped.
    pub stopped: Vec<UserId>,
    /// What failed; the next look tries again.
    pub failures: Vec<UserFailure>,
}

impl Orchestrator {
    /// What is due now. Changes nothing; a look that fails makes nothing due.
    pub async fn due(&self) -> Result<Due, RunError> {
        let seats = self.adapters.store.load_seats().await?;
        let observed = self.adapters.runtime.observe().await?;
        Ok(due(&observed, &seats, self.events.now()))
    }

    /// Stops those whose time is up. Workspaces, seats and routes stay.
    pub async fn end_lifetimes(&self) -> Result<Ended, RunError> {
        let due = self.due().await?;
        if due.stop.is_empty() {
            return Ok(Ended::default());
        }
        for user in &due.stop {
            let text = format!("{user}: its time is up; `thon run --user {user}` starts it again");
            self.events.emit(Event::Warning { text });
        }
        let (stopped, failures) = self.stop(Some(&due.stop), false).await?;
        Ok(Ended { stopped, failures })
    }

    /// Moves the ends of `users` by so much, of those who have one. Returns the new ends.
    pub async fn extend(
        &self,
        users: &[UserId],
        by: Duration,
    ) -> Result<Vec<(UserId, SystemTime)>, RunError> {
        let mut seats = self.adapters.store.load_seats().await?;
        let now = self.events.now();
        let mut moved = Vec::new();
        for seat in seats.iter_mut().filter(|seat| users.contains(&seat.user)) {
            if let Some(end) = seat.expires_at.and_then(|end| extended(end, by, now)) {
                seat.expires_at = Some(end);
                moved.push((seat.user.clone(), end));
            }
        }
        if !moved.is_empty() {
            self.adapters.store.save_seats(&seats).await?;
        }
        moved.sort();
        Ok(moved)
    }
}
