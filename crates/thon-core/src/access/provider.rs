//! Signing in with an account that somebody has elsewhere.
//!
//! For: the trait of those who vouch for accounts, and what is drawn for each sign-in.
//! Not for: what an account may do here, and not for what a browser keeps meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;

use super::account::Account;
use super::base64url;
use crate::adapter::Failure;
use crate::config::ProviderKind;
use crate::secret::Secret;

/// How many random bytes each secret of a sign-in has.
pub const SIGN_IN_BYTES: usize = 32;

/// How long somebody may take at the provider.
pub const SIGN_IN_LONGEST: Duration = Duration::from_mins(10);

/// What is drawn for one sign-in, and shown again when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Goes to the provider with the browser and comes back with it: that one sign-in began here.
    pub state: Secret,
    /// Comes back within the ID token: that it was made for this sign-in.
    pub nonce: Secret,
    /// The key whose proof goes to the provider first (PKCE, RFC 7636): whoever steals the code can't
    /// use it.
    pub verifier: Secret,
}

impl Challenge {
    /// The one that these random bytes make.
    #[must_use]
    pub fn new(random: &[[u8; SIGN_IN_BYTES]; 3]) -> Self {
        let [state, nonce, verifier] = random.map(|bytes| Secret::new(base64url(&bytes)));
        Self { state, nonce, verifier }
    }
}

/// Somebody who vouches for accounts.
#[async_trait]
pub trait IdentityProvider: Send + Sync {
    /// Which one.
    fn kind(&self) -> ProviderKind;

    /// As what it names itself in what it sends back, if it has such a name (RFC 9207).
    fn issuer(&self) -> Option<&str> {
        None
    }

    /// The address at the provider that the browser is sent to.
    async fn begin(&self, challenge: &Challenge) -> Result<String, Failure>;

    /// The account of whoever came back with `code`. `claims` are those that the list of thon.yaml asks
    /// for. `Denied` if what the provider says is not to be believed or it refuses the code,
    /// `Unreachable` if it can't be asked.
    async fn finish(
        &self,
        code: &Secret,
        challenge: &Challenge,
        claims: &BTreeSet<String>,
    ) -> Result<Account, Failure>;
}
