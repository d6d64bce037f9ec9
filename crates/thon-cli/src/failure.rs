//! Why a command ends without success, and with which exit code.
//!
//! For: 1 where the world failed, 2 where the input has to change.
//! Not for: what the library's errors say; they are passed on as they are.

use std::fmt;

use thon::Error;
use thon::core::adapter::FailureKind;

/// Why a command ends without success.
#[derive(Debug)]
pub(crate) enum CommandFailure {
    /// An error of the library.
    Library(Error),
    /// Something that failed before, in words.
    World(String),
    /// Something else in the input.
    Input(String),
}

impl CommandFailure {
    pub(crate) fn input(text: impl Into<String>) -> Self {
        Self::Input(text.into())
    }

    /// True if somebody else changed meanwhile what it was decided on.
    pub(crate) fn is_stale(&self) -> bool {
        let Self::Library(Error::World(failure)) = self else { return false };
        failure.kind == FailureKind::Stale
    }

    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::World(_) => 1,
            Self::Library(error) if !error.is_bad_input() => 1,
            Self::Library(_) | Self::Input(_) => 2,
        }
    }
}

impl fmt::Display for CommandFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Library(error) => error.fmt(f),
            Self::Input(text) | Self::World(text) => f.write_str(text),
        }
    }
}

impl<E: Into<Error>> From<E> for CommandFailure {
    fn from(error: E) -> Self {
        Self::Library(error.into())
    }
}
