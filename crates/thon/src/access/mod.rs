//! Who may do what with the node, as the state remembers it.
//!
//! For: tokens of programs, the dashboard's password, signing in with accounts, and browsers that are
//! logged in; of each secret only a hash is kept.
//! Not for: what a scope allows, and not for headers and cookies; [`thon_core::access`] and the
//! front-ends see to them.

mod password;
mod seal;
mod sessions;
mod sign_in;
mod tokens;

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use thon_core::access::{Pace, Throttle, hexadecimal};
use thon_core::adapter::Clock;

pub use sessions::{LogIn, LoggedIn, Which, csrf, csrf_fits};
pub use sign_in::{CameBack, SignIn, SignInBegun, sign_in_cookie};

use crate::error::Error;
use crate::state::State;

/// How exactly the last use of a token or a session is remembered: a busy one is not written down
/// each time.
const USED_EVERY: Duration = Duration::from_mins(1);

/// Who may do what with the node whose state this is. Made by [`State::access`].
#[derive(Debug, Clone, Copy)]
pub struct Access<'a> {
    state: &'a State,
}

/// What is not in the database: how often somebody was wrong lately.
pub(crate) struct Desk {
    clock: Arc<dyn Clock>,
    throttle: Mutex<Throttle>,
    /// Sign-ins that came back from their provider.
    returned: Mutex<sign_in::Returned>,
    /// How many came to nothing lately.
    pace: Mutex<Pace>,
    /// Held while a password is hashed, which takes memory.
    hashing: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl Desk {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            throttle: Mutex::default(),
            returned: Mutex::default(),
            pace: Mutex::default(),
            hashing: tokio::sync::Mutex::default(),
        }
    }
}

impl State {
    /// Who may do what.
    #[must_use]
    pub const fn access(&self) -> Access<'_> {
        Access { state: self }
    }
}

impl Access<'_> {
    /// True as long as there is neither a token nor a password.
    pub(crate) async fn is_open(self) -> Result<bool, Error> {
        Ok(!self.has_password().await? && self.tokens().await?.is_empty())
    }

    fn now(self) -> SystemTime {
        self.state.desk().clock.now()
    }
}

/// True if a use at `used` is to be written down again now.
fn is_old(used: SystemTime, now: SystemTime) -> bool {
    // One of the future is of a clock that was set back.
    now.duration_since(used).map_or(true, |since| since >= USED_EVERY)
}

/// The SHA-256 in hexadecimal. What is hashed is 32 random bytes: a slow hash would protect nothing
/// more.
fn hash(text: &str) -> String {
    hexadecimal(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref())
}
