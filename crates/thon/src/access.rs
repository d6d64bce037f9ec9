//! Who may do what with the node through the API, as the state remembers it.
//!
//! For: making tokens, of which only a hash is kept, and recognising them.
//! Not for: what a scope allows; [`thon_core::access`] and the routes say that.

use std::time::{Duration, SystemTime};

use thon_core::access::{
    NewToken, Scope, TOKEN_BYTES, TOKEN_PREFIX, Token, hexadecimal, token, token_name,
};
use thon_core::adapter::{Clock, Entropy};
use thon_core::secret::Secret;
use thon_core::state::Actor;

use crate::error::Error;
use crate::state::State;
use crate::system::{OsEntropy, SystemClock};

/// How exactly the last use of a token is remembered: a busy one is not written down each time.
const USED_EVERY: Duration = Duration::from_mins(1);

impl State {
    /// The tokens that there are.
    pub async fn tokens(&self) -> Result<Vec<Token>, Error> {
        Ok(self.access().tokens().await?)
    }

    /// Makes a token. It is shown this once: only its hash is kept.
    pub async fn add_token(
        &self,
        actor: &Actor,
        name: &str,
        scope: Scope,
        expires_at: Option<SystemTime>,
    ) -> Result<Secret, Error> {
        let name = token_name(name).map_err(Error::input)?;
        let mut random = [0; TOKEN_BYTES];
        OsEntropy.fill(&mut random)?;
        let secret = token(&random);
        let hash = hash(secret.reveal());
        self.access().add_token(actor, &NewToken { name, scope, hash, expires_at }).await?;
        Ok(secret)
    }

    /// Makes a token worthless from now on.
    pub async fn revoke_token(&self, actor: &Actor, name: &str) -> Result<(), Error> {
        Ok(self.access().revoke_token(actor, name).await?)
    }

    /// The token that somebody shows, if it is one that is worth something now.
    pub async fn recognise(&self, shown: &str) -> Result<Option<Token>, Error> {
        if !shown.starts_with(TOKEN_PREFIX) {
            return Ok(None);
        }
        // Found by its hash: how far a guess is right takes no longer or shorter to tell.
        let found = self.access().find_token(&hash(shown)).await?;
        let now = SystemClock.now();
        let Some(token) = found.filter(|token| !token.is_over(now)) else { return Ok(None) };
        let since = token.used_at.and_then(|at| now.duration_since(at).ok());
        if since.is_none_or(|since| since >= USED_EVERY) {
            self.access().token_used(&token.name, now).await?;
        }
        Ok(Some(token))
    }
}

/// The SHA-256 in hexadecimal. A token is 32 random bytes: a slow hash would protect nothing more.
fn hash(text: &str) -> String {
    hexadecimal(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::Home;

    #[tokio::test]
    async fn a_token_is_recognised_until_it_ends_or_is_revoked_and_is_nowhere_in_the_file() {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::at(temp.path().join("home"));
        let state = State::open(&home).await.unwrap();
        let actor = Actor::new("test");
        let secret = state.add_token(&actor, "ci", Scope::Operate, None).await.unwrap();
        let known = state.recognise(secret.reveal()).await.unwrap().unwrap();
        assert_eq!((known.name.as_str(), known.scope), ("ci", Scope::Operate));
        assert!(state.tokens().await.unwrap()[0].used_at.is_some());
        for wrong in ["", "thon_", "ci", &secret.reveal()[..60]] {
            assert_eq!(state.recognise(wrong).await.unwrap(), None, "{wrong}");
        }
        let past = Some(SystemTime::UNIX_EPOCH);
        let over = state.add_token(&actor, "over", Scope::Admin, past).await.unwrap();
        assert_eq!(state.recognise(over.reveal()).await.unwrap(), None);
        assert!(
            state.add_token(&actor, "a b", Scope::Read, None).await.unwrap_err().is_bad_input()
        );

        state.revoke_token(&actor, "ci").await.unwrap();
        assert_eq!(state.recognise(secret.reveal()).await.unwrap(), None);
        state.close().await;
        let bytes = std::fs::read(home.database()).unwrap();
        let needle = &secret.reveal().as_bytes()[5..];
        assert!(!bytes.windows(needle.len()).any(|window| window == needle));
    }
}
