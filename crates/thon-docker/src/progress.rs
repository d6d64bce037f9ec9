//! How far something is that takes a while.
//!
//! For: the one shape in which pulls, builds and bootstraps say it.
//! Not for: showing it.

/// A step forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What is being done, one line.
    pub text: String,
    /// How much is done and of how much (steps or bytes); nothing where that isn't known.
    pub done: Option<(u64, u64)>,
}

impl Progress {
    /// A step whose extent isn't known.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), done: None }
    }
}

/// Whoever wants to know.
pub type ProgressCallback<'a> = &'a (dyn Fn(Progress) + Send + Sync);
