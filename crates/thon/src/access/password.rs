//! The password that opens the dashboard.
//!
//! For: setting it, and comparing one with it.
//! Not for: logging in, which is slowed down for whoever guesses; that is beside.

use argon2::password_hash::{
    Error as HashError, PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString,
};
use argon2::{Algorithm, Argon2, Params, Version};
use thon_core::access::{StoredPassword, fit_password};
use thon_core::adapter::{Entropy, Failure, FailureKind};
use thon_core::secret::Secret;
use thon_core::state::Actor;

use super::Access;
use crate::error::Error;
use crate::system::OsEntropy;

/// What a hash costs, as OWASP's cheat sheet on storing passwords asks of Argon2id: memory in KiB,
/// passes and lanes. A person chose the password, so that the cost counts.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);

impl Access<'_> {
    /// Sets the password, in the place of the one before; ends all sessions and returns how many.
    pub async fn set_password(self, actor: &Actor, password: &Secret) -> Result<u64, Error> {
        fit_password(password).map_err(Error::input)?;
        let mut salt = [0; 16];
        OsEntropy.fill(&mut salt)?;
        let password = password.clone();
        let hash = self.work(move || hash(&password, &salt)).await?;
        Ok(self.state.session_store().set_password(actor, &hash).await?)
    }

    /// True if there is a password.
    pub async fn has_password(self) -> Result<bool, Error> {
        Ok(self.stored().await?.is_some())
    }

    /// True if this is the password. However often: whoever guesses is slowed down by
    /// [`Access::log_in`] alone.
    pub async fn verify_password(self, password: &Secret) -> Result<bool, Error> {
        match self.stored().await? {
            Some(stored) => self.fits(&stored, password).await,
            None => Ok(false),
        }
    }

    pub(super) async fn stored(self) -> Result<Option<StoredPassword>, Error> {
        Ok(self.state.session_store().password().await?)
    }

    pub(super) async fn fits(
        self,
        stored: &StoredPassword,
        password: &Secret,
    ) -> Result<bool, Error> {
        let (hash, password) = (stored.hash.clone(), password.clone());
        Ok(self.work(move || verify(&password, &hash)).await?)
    }

    /// Hashes on a thread that may take its time, one password after the other.
    async fn work<T: Send + 'static>(
        self,
        task: impl FnOnce() -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, Failure> {
        let _turn = self.state.desk().hashing.lock().await;
        let done = tokio::task::spawn_blocking(task).await;
        let cause = match done {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        let advice = "set it anew with `thon dashboard password`; look at the memory that is left";
        Err(Failure::new(FailureKind::Other, "hashing the dashboard's password", cause, advice))
    }
}

fn hash(password: &Secret, salt: &[u8; 16]) -> Result<Secret, HashError> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let salt = SaltString::encode_b64(salt)?;
    let hash = argon2.hash_password(password.reveal().as_bytes(), &salt)?;
    Ok(Secret::new(hash.to_string()))
}

/// The cost is the one that the hash names; the comparison takes as long wherever they differ.
fn verify(password: &Secret, hash: &Secret) -> Result<bool, HashError> {
    let hash = PasswordHash::new(hash.reveal())?;
    match Argon2::default().verify_password(password.reveal().as_bytes(), &hash) {
        Ok(()) => Ok(true),
        Err(HashError::Password) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::Home;
    use crate::state::State;

    #[tokio::test]
    async fn a_password_is_remembered_by_a_hash_that_costs_something() {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::at(temp.path().join("home"));
        let state = State::open(&home).await.unwrap();
        let (access, actor) = (state.access(), Actor::new("test"));
        let secret = Secret::new("correct horse battery");
        assert!(!access.has_password().await.unwrap());
        assert!(!access.verify_password(&secret).await.unwrap());
        assert!(access.is_open().await.unwrap());

        let short = access.set_password(&actor, &Secret::new("hunter2")).await.unwrap_err();
        assert!(short.is_bad_input() && !short.to_string().contains("hunter2"), "{short}");
        assert!(!access.has_password().await.unwrap());
        access.set_password(&actor, &secret).await.unwrap();
        assert!(access.has_password().await.unwrap() && !access.is_open().await.unwrap());
        assert!(access.verify_password(&secret).await.unwrap());
        for wrong in ["", "correct horse batter", "Correct horse battery", "correct horse battery "]
        {
            assert!(!access.verify_password(&Secret::new(wrong)).await.unwrap(), "{wrong}");
        }
        let stored = access.stored().await.unwrap().unwrap();
        assert!(stored.hash.reveal().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        access.set_password(&actor, &secret).await.unwrap();
        assert_ne!(access.stored().await.unwrap().unwrap().hash, stored.hash, "salted anew");

        state.close().await;
        let bytes = std::fs::read(home.database()).unwrap();
        let needle = secret.reveal().as_bytes();
        assert!(!bytes.windows(needle.len()).any(|window| window == needle));
    }
}
