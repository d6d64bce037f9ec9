//! Tokens with which programs say who they are.
//!
//! For: what a token looks like, what it may be called, when it ends, and the trait that remembers it.
//! Not for: browsers; they have sessions.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use super::{Scope, base64url};
use crate::adapter::{Failure, FailureKind};
use crate::name::quoted;
use crate::secret::Secret;
use crate::state::Actor;

/// What a token begins with, so that one in a wrong place is recognised.
pub const TOKEN_PREFIX: &str = "thon_";

/// How many random bytes a token has.
pub const TOKEN_BYTES: usize = 32;

/// The longest name of a token, in characters.
const LONGEST_NAME: usize = 64;

/// The token that these random bytes make.
#[must_use]
pub fn token(random: &[u8; TOKEN_BYTES]) -> Secret {
    Secret::new(TOKEN_PREFIX.to_owned() + &base64url(random))
}

/// Checks what a token is to be called: a name that tells the audit log who did something.
pub fn token_name(text: &str) -> Result<String, String> {
    let fits = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if (1..=LONGEST_NAME).contains(&text.chars().count()) && text.chars().all(fits) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "token name {} is not allowed: 1 to {LONGEST_NAME} letters, digits, `-`, `_` and `.`",
        quoted(text)
    ))
}

/// The shortest lifetime of a token.
const SHORTEST: Duration = Duration::from_mins(1);

/// When a token that is made now ends. `text` is a number with a unit: `12h`, `30d`.
pub fn token_end(text: &str, now: SystemTime) -> Result<SystemTime, String> {
    let refused = || format!("lifetime {} is not allowed: such as 90m, 12h or 30d", quoted(text));
    let unit = text.chars().next_back().ok_or_else(refused)?;
    let seconds: u64 = match unit {
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(refused()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| refused())?;
    let length = number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(refused)?;
    let end = Some(length).filter(|length| *length >= SHORTEST).and_then(|l| now.checked_add(l));
    end.ok_or_else(refused)
}

/// A token as it is remembered: never itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is called.
    pub name: String,
    /// How much it allows.
    pub scope: Scope,
    /// When it was made.
    pub created_at: SystemTime,
    /// When it ends; nothing where it never does.
    pub expires_at: Option<SystemTime>,
    /// When it was last shown, to the minute.
    pub used_at: Option<SystemTime>,
}

impl Token {
    /// True if it is of no use any more.
    #[must_use]
    pub fn is_over(&self, now: SystemTime) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

/// A token to be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// What it is called; no other one is.
    pub name: String,
    /// How much it allows.
    pub scope: Scope,
    /// The SHA-256 of the token, in hexadecimal.
    pub hash: String,
    /// When it ends; nothing where it never does.
    pub expires_at: Option<SystemTime>,
}

/// The refusal of a second token of a name.
#[must_use]
pub fn token_exists(name: &str) -> Failure {
    let cause = "there is one of that name already";
    let advice = "choose another name, or `thon token revoke` that one first";
    Failure::new(FailureKind::Conflict, format!("add token {name}"), cause, advice)
}

/// The refusal to revoke a token that isn't there.
#[must_use]
pub fn token_missing(name: &str) -> Failure {
    let advice = "`thon token list` shows which there are";
    Failure::new(FailureKind::Missing, format!("revoke token {name}"), "there is none", advice)
}

/// Remembers the tokens: a database, or memory.
#[async_trait]
pub trait AccessStore: Send + Sync {
    /// All tokens, by name.
    async fn tokens(&self) -> Result<Vec<Token>, Failure>;

    /// Remembers a token; one of that name is a conflict. Written into the audit log.
    async fn add_token(&self, actor: &Actor, token: &NewToken) -> Result<(), Failure>;

    /// Forgets a token. Written into the audit log.
    async fn revoke_token(&self, actor: &Actor, name: &str) -> Result<(), Failure>;

    /// The token with that hash, if there is one.
    async fn find_token(&self, hash: &str) -> Result<Option<Token>, Failure>;

    /// Writes down that a token was shown.
    async fn token_used(&self, name: &str, at: SystemTime) -> Result<(), Failure>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_and_never_shows_itself() {
        let token = token(&[0xab; TOKEN_BYTES]);
        let random = token.reveal().strip_prefix(TOKEN_PREFIX).unwrap();
        assert_eq!(random.len(), 43, "six bits each");
        assert!(!format!("{token:?}").contains(random));
    }

    #[test]
    fn names_and_lifetimes_are_checked() {
        assert!(token_name("ci-1.x").is_ok());
        for bad in ["", "a b", "a\nb", &"x".repeat(65)] {
            assert!(token_name(bad).unwrap_err().contains("is not allowed"), "{bad}");
        }
        let now = SystemTime::UNIX_EPOCH;
        assert_eq!(token_end("2h", now), Ok(now + Duration::from_hours(2)));
        for bad in ["", "h", "0d", "5", "-1d", "5s", "99999999999999999999d", "1\u{e4}"] {
            assert!(token_end(bad, now).is_err(), "{bad}");
        }
    }
}
