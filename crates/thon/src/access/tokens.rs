//! Tokens with which programs say who they are.
//!
//! For: making them and recognising them.
//! Not for: browsers; they have sessions.

use std::time::SystemTime;

use thon_core::access::{NewToken, Scope, TOKEN_BYTES, TOKEN_PREFIX, Token, token, token_name};
use thon_core::adapter::Entropy;
use thon_core::secret::Secret;
use thon_core::state::Actor;

use super::{Access, hash, is_old};
use crate::error::Error;
use crate::system::OsEntropy;

impl Access<'_> {
    /// The tokens that there are.
    pub async fn tokens(self) -> Result<Vec<Token>, Error> {
        Ok(self.state.token_store().tokens().await?)
    }

    /// Makes a token. It is shown this once: only its hash is kept.
    pub async fn new_token(
        self,
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
        self.state
            .token_store()
            .add_token(actor, &NewToken { name, scope, hash, expires_at })
            .await?;
        Ok(secret)
    }

    /// Makes a token worthless from now on.
    pub async fn revoke_token(self, actor: &Actor, name: &str) -> Result<(), Error> {
        Ok(self.state.token_store().revoke_token(actor, name).await?)
    }

    /// The token that somebody shows, if it is one that is worth something now.
    pub async fn recognise(self, shown: &str) -> Result<Option<Token>, Error> {
        if !shown.starts_with(TOKEN_PREFIX) {
            return Ok(None);
        }
        // Found by its hash: how far a guess is right takes no longer or shorter to tell.
        let found = self.state.token_store().find_token(&hash(shown)).await?;
        let now = self.now();
        let Some(token) = found.filter(|token| !token.is_over(now)) else { return Ok(None) };
        if token.used_at.is_none_or(|at| is_old(at, now)) {
            self.state.token_store().token_used(&token.name, now).await?;
        }
        Ok(Some(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::Home;
    use crate::state::State;

    #[tokio::test]
    async fn a_token_is_recognised_until_it_ends_or_is_revoked_and_is_nowhere_in_the_file() {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::at(temp.path().join("home"));
        let state = State::open(&home).await.unwrap();
        let (access, actor) = (state.access(), Actor::new("test"));
        let secret = access.new_token(&actor, "ci", Scope::Operate, None).await.unwrap();
        let known = access.recognise(secret.reveal()).await.unwrap().unwrap();
        assert_eq!((known.name.as_str(), known.scope), ("ci", Scope::Operate));
        assert!(access.tokens().await.unwrap()[0].used_at.is_some());
        for wrong in ["", "thon_", "ci", &secret.reveal()[..40]] {
            assert_eq!(access.recognise(wrong).await.unwrap(), None, "{wrong}");
        }
        let past = Some(SystemTime::UNIX_EPOCH);
        let over = access.new_token(&actor, "over", Scope::Admin, past).await.unwrap();
        assert_eq!(access.recognise(over.reveal()).await.unwrap(), None);
        assert!(
            access.new_token(&actor, "a b", Scope::Read, None).await.unwrap_err().is_bad_input()
        );

        access.revoke_token(&actor, "ci").await.unwrap();
        assert_eq!(access.recognise(secret.reveal()).await.unwrap(), None);
        state.close().await;
        let bytes = std::fs::read(home.database()).unwrap();
        let needle = &secret.reveal().as_bytes()[5..];
        assert!(!bytes.windows(needle.len()).any(|window| window == needle));
    }
}
