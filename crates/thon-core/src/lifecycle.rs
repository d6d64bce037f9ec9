//! Pausing, resuming and restarting: what each means for a sandbox as it was found.
//!
//! For: the one decision behind `thon pause`, `thon resume` and `thon restart`: do it, leave it
//! because it is that way already, or say why it can't be done.
//! Not for: doing it; the orchestrator does.

use std::fmt;

use serde::Serialize;

use crate::instance::InstanceState;
use crate::sandbox::Phase;

/// What can be done to a sandbox that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Freeze it: memory and terminals are kept, nothing runs.
    Pause,
    /// Let it go on where it was frozen.
    Resume,
    /// Stop it and start it again: terminals are lost, files are not.
    Restart,
}

/// What has to be done for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It.
    Do,
    /// Nothing: it is that way already, in words.
    Already(&'static str),
    /// Nothing, for it is down. Whoever asked for this very one has to hear of it; whoever asked
    /// for everyone meant those that run.
    Down,
    /// It can't be done.
    Refuse {
        /// Why.
        cause: &'static str,
        /// What the person can do.
        advice: &'static str,
    },
}

impl Change {
    /// What the change comes to for a sandbox in this phase.
    #[must_use]
    pub const fn step(self, phase: Phase) -> Step {
        match (self, phase) {
            (Self::Pause, Phase::Running)
            | (Self::Resume, Phase::Paused)
            | (Self::Restart, Phase::Running | Phase::Paused | Phase::Restarting | Phase::Exited) => {
                Step::Do
            }
            (Self::Pause, Phase::Paused) => Step::Already("paused already"),
            (Self::Resume, Phase::Running) => Step::Already("running already"),
            (Self::Pause | Self::Resume, Phase::Exited | Phase::Created) => Step::Down,
            (Self::Pause | Self::Resume, Phase::Restarting) => Step::Refuse {
                cause: "it falls over and is started again and again",
                advice: "`thon logs` tells why; `thon stop` ends it",
            },
            (Self::Restart, Phase::Created) => {
                Step::Refuse { cause: "it was left half-made", advice: "`thon run` makes it anew" }
            }
            (_, Phase::Unknown) => {
                Step::Refuse { cause: "its state is unknown", advice: "`thon run` makes it anew" }
            }
        }
    }

    /// The state that it ends in.
    #[must_use]
    pub const fn goal(self) -> InstanceState {
        match self {
            Self::Pause => InstanceState::Paused,
            Self::Resume | Self::Restart => InstanceState::Running,
        }
    }

    /// `pausing`, `resuming`, `restarting`.
    #[must_use]
    pub const fn doing(self) -> &'static str {
        match self {
            Self::Pause => "pausing",
            Self::Resume => "resuming",
            Self::Restart => "restarting",
        }
    }

    /// `paused`, `resumed`, `restarted`.
    #[must_use]
    pub const fn done(self) -> &'static str {
        match self {
            Self::Pause => "paused",
            Self::Resume => "resumed",
            Self::Restart => "restarted",
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Restart => "restart",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHASES: [Phase; 6] = [
        Phase::Created,
        Phase::Running,
        Phase::Restarting,
        Phase::Paused,
        Phase::Exited,
        Phase::Unknown,
    ];

    #[test]
    fn doing_it_twice_is_as_good_as_once() {
        assert_eq!(Change::Pause.step(Phase::Running), Step::Do);
        assert!(matches!(Change::Pause.step(Phase::Paused), Step::Already(_)));
        assert_eq!(Change::Resume.step(Phase::Paused), Step::Do);
        assert!(matches!(Change::Resume.step(Phase::Running), Step::Already(_)));
    }

    #[test]
    fn what_is_down_is_restarted_and_neither_paused_nor_resumed() {
        assert_eq!(Change::Restart.step(Phase::Exited), Step::Do);
        assert_eq!(Change::Pause.step(Phase::Exited), Step::Down);
        assert_eq!(Change::Resume.step(Phase::Exited), Step::Down);
    }

    /// Whatever is done goes through states that the rules know.
    #[test]
    fn every_change_is_a_way_through_the_states() {
        use InstanceState::{Pausing, Pending, Stopping, Terminated};
        for phase in PHASES {
            for change in [Change::Pause, Change::Resume, Change::Restart] {
                if change.step(phase) != Step::Do {
                    continue;
                }
                let from = InstanceState::observed(phase, true, Some(0));
                let way: &[InstanceState] = match change {
                    Change::Pause => &[Pausing],
                    Change::Resume => &[Pending],
                    Change::Restart if from == Terminated => &[Pending],
                    Change::Restart => &[Stopping, Terminated, Pending],
                };
                let mut state = from;
                for next in way.iter().copied().chain([change.goal()]) {
                    state = state.go(next).unwrap();
                }
            }
        }
    }
}
