//! Who may do what with the node: through the API and through the dashboard.
//!
//! For: scopes, tokens of programs, the dashboard's password, accounts that people have elsewhere and
//! their roles, sessions of browsers, how often somebody may be wrong, and which pages a request may
//! come from.
//! Not for: participants' passwords, which belong to their seats; and not for drawing or hashing
//! anything: who does that has randomness, time and a hash function.

mod account;
mod encode;
mod origin;
mod pace;
mod password;
mod provider;
mod session;
mod throttle;
mod token;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use crate::config::{ProviderKind, Role};
pub use account::{
    ACCOUNT_ID, Account, Permission, Standing, Unlisted, account_provider, claims_of_interest,
    restarts_own, standing,
};
pub use encode::{base64url, hexadecimal, same};
pub use origin::{Asked, Doors, Foreign};
pub use pace::Pace;
pub use password::{StoredPassword, fit_password};
pub use provider::{Challenge, IdentityProvider, SIGN_IN_BYTES, SIGN_IN_LONGEST};
pub use session::{
    ACCOUNT_LONGEST, Ending, Holder, NewSession, Opening, SESSION_BYTES, SESSION_COOKIE,
    SESSION_COOKIE_TLS, SESSION_IDLE, SESSION_LONGEST, SESSIONS_OF_ONE, Session, SessionStore,
    browser, may_be_session, password_changed, session,
};
pub use throttle::{Throttle, source};
pub use token::{
    AccessStore, NewToken, TOKEN_BYTES, TOKEN_PREFIX, Token, token, token_end, token_exists,
    token_missing, token_name,
};

use crate::name::quoted;

/// How much someone may do. Each scope includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// See everything but passwords and keys.
    Read,
    /// Launch, pause, restart, stop; see instances' passwords.
    Operate,
    /// Change the roster, settings and configuration files.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Read, Self::Operate, Self::Admin];

    /// The name under which it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }

    /// True if who has this scope may do what needs `needed`.
    #[must_use]
    pub fn allows(self, needed: Self) -> bool {
        self >= needed
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or_else(|| {
            format!("scope {} is not known; known are read, operate, admin", quoted(text))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_includes_those_before_it() {
        assert!(Scope::Admin.allows(Scope::Read) && Scope::Operate.allows(Scope::Operate));
        assert!(!Scope::Read.allows(Scope::Operate) && !Scope::Operate.allows(Scope::Admin));
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
        assert!("root".parse::<Scope>().unwrap_err().contains("read, operate, admin"));
    }
}
