//! An instance: a user's running VS Code, and the states it goes through.
//!
//! For: the states, the legal transitions between them, and deriving one from what was observed.
//! Not for: causing transitions; the orchestrator does.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::sandbox::Phase;

/// The state of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum InstanceState {
    /// Asked for, being made, or started and not yet answering.
    Pending,
    /// code-server answers.
    Running,
    /// Being frozen.
    Pausing,
    /// Frozen: memory is kept, nothing runs.
    Paused,
    /// Being stopped.
    Stopping,
    /// Stopped or removed. The workspace stays.
    Terminated,
    /// It should run and doesn't.
    Failed,
}

/// A transition that the rules don't know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an instance can't go from {from} to {to}; from {from} it can go to: {}", list(.from.successors()))]
pub struct IllegalTransition {
    /// The present state.
    pub from: InstanceState,
    /// The state that was asked for.
    pub to: InstanceState,
}

fn list(states: &[InstanceState]) -> String {
    states.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl InstanceState {
    /// All states, in the order of a life.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Running,
        Self::Pausing,
        Self::Paused,
        Self::Stopping,
        Self::Terminated,
        Self::Failed,
    ];

    /// The states that can follow this one.
    #[must_use]
    pub const fn successors(self) -> &'static [Self] {
        use InstanceState::{Failed, Paused, Pausing, Pending, Running, Stopping, Terminated};
        match self {
            Pending => &[Running, Stopping, Terminated, Failed],
            Running => &[Pending, Pausing, Stopping, Terminated, Failed],
            Pausing => &[Paused, Running, Failed],
            Paused => &[Running, Pending, Stopping, Terminated, Failed],
            Stopping => &[Terminated, Failed],
            Terminated => &[Pending],
            Failed => &[Pending, Stopping, Terminated],
        }
    }

    /// Goes to `to`, if the rules know that transition.
    pub fn go(self, to: Self) -> Result<Self, IllegalTransition> {
        if self.successors().contains(&to) {
            Ok(to)
        } else {
            Err(IllegalTransition { from: self, to })
        }
    }

    /// The state that a found sandbox is in; `healthy` says whether its code-server answered.
    #[must_use]
    pub const fn observed(phase: Phase, healthy: bool, exit_code: Option<i64>) -> Self {
        match (phase, healthy) {
            (Phase::Running, true) => Self::Running,
            (Phase::Running | Phase::Created | Phase::Restarting | Phase::Unknown, _) => {
                Self::Pending
            }
            (Phase::Paused, _) => Self::Paused,
            // 0 and the codes of the two signals that a stop sends (128 + 15, 128 + 9) are an end
            // that somebody asked for.
            (Phase::Exited, _) => match exit_code {
                Some(0 | 143 | 137) => Self::Terminated,
                _ => Self::Failed,
            },
        }
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Pausing => "Pausing",
            Self::Paused => "Paused",
            Self::Stopping => "Stopping",
            Self::Terminated => "Terminated",
            Self::Failed => "Failed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_and_a_second_one() {
        use InstanceState::{Failed, Paused, Pausing, Pending, Running, Stopping, Terminated};
        let mut state = Pending;
        for next in
            [Running, Pausing, Paused, Running, Stopping, Terminated, Pending, Failed, Pending]
        {
            state = state.go(next).unwrap();
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_words() {
        let error = InstanceState::Terminated.go(InstanceState::Running).unwrap_err();
        assert_eq!(
            error.to_string(),
            "an instance can't go from Terminated to Running; from Terminated it can go to: Pending"
        );
        for state in InstanceState::ALL {
            assert!(state.go(state).is_err(), "{state} is no step from itself");
            assert!(!state.successors().is_empty(), "{state} is no dead end");
        }
    }

    #[test]
    fn a_sandbox_that_was_stopped_is_not_a_failure_and_one_that_fell_over_is() {
        let state = |code| InstanceState::observed(Phase::Exited, false, Some(code));
        assert_eq!(state(143), InstanceState::Terminated);
        assert_eq!(state(1), InstanceState::Failed);
        assert_eq!(InstanceState::observed(Phase::Running, false, None), InstanceState::Pending);
    }
}
