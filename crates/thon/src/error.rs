//! What can go wrong for whoever uses the library, in two kinds.
//!
//! For: telling bad input (exit code 2) from a failure of the world (exit code 1).
//! Not for: the details; they are in the core's and the adapters' errors.

use thiserror::Error as ThisError;
use thon_core::adapter::Failure;
use thon_core::config::ConfigError;
use thon_core::name::NameError;
use thon_core::orchestrator::RunError;
use thon_core::port::PortError;
use thon_core::state::EditError;

/// An error of the library.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// The configuration or a groups file can't be used as it is.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A name can't be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A change of the roster that can't be made.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// Something else that was given can't be used.
    #[error("{0}")]
    Input(String),
    /// Something outside did not do what was asked of it.
    #[error(transparent)]
    World(#[from] Failure),
    /// The configured ports don't suffice for the roster.
    #[error(transparent)]
    Ports(#[from] PortError),
}

impl Error {
    /// Bad input, in one line: what, which value, what is allowed.
    pub fn input(text: impl Into<String>) -> Self {
        Self::Input(text.into())
    }

    /// True if the input has to change before another try makes sense.
    #[must_use]
    pub const fn is_bad_input(&self) -> bool {
        matches!(self, Self::Config(_) | Self::Name(_) | Self::Edit(_) | Self::Input(_))
    }
}

impl From<RunError> for Error {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Adapter(failure) => Self::World(failure),
            RunError::Ports(error) => Self::Ports(error),
        }
    }
}
