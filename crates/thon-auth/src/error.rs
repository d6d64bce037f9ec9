//! What can go wrong while somebody signs in.
//!
//! For: saying what was asked of which provider, what came of it, and what to do about it.
//! Not for: accounts that aren't let in; the core judges those.

use thiserror::Error;
use thon_core::access::ProviderKind;
use thon_core::adapter::{Failure, FailureKind};
use thon_core::name::quoted;

/// The most of a provider's own words that is shown, in characters.
const LONGEST: usize = 200;

/// A sign-in that came to nothing. Free of secrets: codes, tokens and keys are never part of it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AuthError {
    /// The provider could not be reached.
    #[error("it can't be reached at {place}: {cause}")]
    Unreachable {
        /// Which one.
        provider: ProviderKind,
        /// The address that was asked.
        place: String,
        /// Why.
        cause: String,
    },
    /// The provider took too long.
    #[error("it gave no answer at {place} within {seconds} seconds")]
    Slow {
        /// Which one.
        provider: ProviderKind,
        /// The address that was asked.
        place: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The provider answered something that no provider answers.
    #[error("asked for {what} it answered with something else: {cause}")]
    Odd {
        /// Which one.
        provider: ProviderKind,
        /// What it was asked for.
        what: &'static str,
        /// What is wrong with the answer.
        cause: String,
    },
    /// The provider refused the code.
    #[error("it refused the sign-in: {cause}")]
    Refused {
        /// Which one.
        provider: ProviderKind,
        /// The error in its words, such as `invalid_client`.
        cause: String,
        /// Where people come back to, which it has to know.
        redirect: String,
    },
    /// What the provider says of the account is not to be believed.
    #[error("what it says of the account is not to be believed: {cause}")]
    NotBelieved {
        /// Which one.
        provider: ProviderKind,
        /// What is wrong with it.
        cause: String,
    },
}

impl AuthError {
    fn provider(&self) -> ProviderKind {
        match self {
            Self::Unreachable { provider, .. }
            | Self::Slow { provider, .. }
            | Self::Odd { provider, .. }
            | Self::Refused { provider, .. }
            | Self::NotBelieved { provider, .. } => *provider,
        }
    }

    fn advice(&self) -> String {
        let provider = self.provider();
        match self {
            Self::Unreachable { .. } | Self::Slow { .. } => {
                format!("try again; see that this machine reaches it, and look at auth.{provider}")
            }
            Self::Odd { .. } => format!("see that auth.{provider} names the right server"),
            Self::Refused { cause, .. } if cause.contains("invalid_client") => {
                let pkce = match provider {
                    ProviderKind::Linkedin => {
                        "; LinkedIn says the same of an application that it has not enabled for \
                         PKCE: set auth.linkedin.pkce to false then"
                    }
                    _ => "",
                };
                format!("check auth.{provider}.client_id and auth.{provider}.client_secret{pkce}")
            }
            Self::Refused { cause, redirect, .. } if cause.contains("redirect") => {
                format!("register {redirect} at the provider as the address to come back to")
            }
            Self::Refused { .. } => "sign in again".to_owned(),
            Self::NotBelieved { .. } => {
                "sign in again; if it stays so, see that this machine's clock is right and that \
                 nobody stands between it and the provider"
                    .to_owned()
            }
        }
    }
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Self {
        let kind = match error {
            AuthError::Unreachable { .. } => FailureKind::Unreachable,
            AuthError::Slow { .. } => FailureKind::TimedOut,
            AuthError::Odd { .. } => FailureKind::Other,
            AuthError::Refused { .. } | AuthError::NotBelieved { .. } => FailureKind::Denied,
        };
        let tried = format!("signing in with {}", error.provider());
        Self::new(kind, tried, error.to_string(), error.advice())
    }
}

/// A provider's own words, short and in one line.
pub(crate) fn words(text: &str) -> String {
    let short: String = text.chars().take(LONGEST).collect();
    // Escaped where they hold what a line can't.
    if short.chars().any(char::is_control) { quoted(&short) } else { short }
}
