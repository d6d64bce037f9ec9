//! Browsers that are logged in.
//!
//! For: how long that lasts, what is remembered of it, and the trait that remembers it and the password
//! that opened it.
//! Not for: programs; they have tokens.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use super::account::Account;
use super::base64url;
use super::password::StoredPassword;
use crate::adapter::{Failure, FailureKind};
use crate::config::Role;
use crate::config::error::unprintable;
use crate::secret::Secret;
use crate::state::Actor;

/// The cookie that holds a session's id. nginx passes no cookie whose name begins with `thon-` on to
/// a sandbox: browsers share cookies between the ports of a host.
pub const SESSION_COOKIE: &str = "thon-session";

/// The same where it is asked over TLS. Browsers take a cookie of such a name from this host alone,
/// over TLS, for all of it: no page of another name and nobody on the way can set one (RFC 6265bis,
/// section 4.1.3.2).
pub const SESSION_COOKIE_TLS: &str = "__Host-thon-session";

/// How many random bytes a session's id has.
pub const SESSION_BYTES: usize = 32;

/// How long a session lasts, used or not: an event.
pub const SESSION_LONGEST: Duration = Duration::from_hours(7 * 24);

/// How long one lasts that an account began, used or not: a day. What its provider said of it is not
/// asked for again meanwhile.
pub const ACCOUNT_LONGEST: Duration = Duration::from_hours(24);

/// How many sessions one account has at the most: with a further one the oldest ends.
pub const SESSIONS_OF_ONE: usize = 10;

/// How long a session lasts without being used: a night.
pub const SESSION_IDLE: Duration = Duration::from_hours(12);

/// How much is kept of what a browser says of itself, in characters.
const LONGEST_BROWSER: usize = 200;

/// The id of the session that these random bytes make.
#[must_use]
pub fn session(random: &[u8; SESSION_BYTES]) -> Secret {
    Secret::new(base64url(random))
}

/// False if this can't be the id of a session, so that nobody needs to look for it.
#[must_use]
pub fn may_be_session(shown: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    shown.len() == (SESSION_BYTES * 8).div_ceil(6) && shown.bytes().all(digit)
}

/// What is kept of what a browser says of itself: a line that can be shown.
#[must_use]
pub fn browser(agent: &str) -> String {
    let plain = agent.chars().filter(|character| !unprintable(*character));
    plain.take(LONGEST_BROWSER).collect::<String>().trim().to_owned()
}

/// As whom a browser is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// As whoever knows the dashboard's password.
    Password,
    /// As whoever has this account.
    Account(Account),
}

impl Holder {
    /// The account, if it is one's.
    #[must_use]
    pub const fn account(&self) -> Option<&Account> {
        match self {
            Self::Password => None,
            Self::Account(account) => Some(account),
        }
    }

    /// What people know them by.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Password => "the password".to_owned(),
            Self::Account(account) => format!("{} ({})", account.shown(), account.provider),
        }
    }
}

/// A browser that is logged in, as it is remembered: never its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its number: what it is called in lists and in the audit log.
    pub number: u64,
    /// As whom.
    pub holder: Holder,
    /// The role that they had when somebody last looked.
    pub role: Role,
    /// The address that it was begun from.
    pub address: String,
    /// What the browser said of itself.
    pub browser: String,
    /// When it began.
    pub created_at: SystemTime,
    /// When it was last used, to the minute.
    pub seen_at: SystemTime,
    /// When it ends at the latest.
    pub expires_at: SystemTime,
}

/// Browsers, by what they alone say of themselves; the first that fits is it.
const BROWSERS: [(&str, &str); 6] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
];

/// Where they run.
const SYSTEMS: [(&str, &str); 6] = [
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
];

/// How much is shown of a browser that nobody knows, in characters.
const SHORTEST: usize = 24;

impl Session {
    /// The browser in a few words: `Firefox on Linux`.
    #[must_use]
    pub fn browser_shown(&self) -> String {
        let of = |known: &[(&str, &'static str)]| {
            let fits = known.iter().find(|(word, _)| self.browser.contains(word));
            fits.map(|(_, name)| *name)
        };
        match (of(&BROWSERS), of(&SYSTEMS)) {
            (Some(browser), Some(system)) => format!("{browser} on {system}"),
            (Some(browser), None) => browser.to_owned(),
            (None, _) => self.browser.chars().take(SHORTEST).collect(),
        }
    }

    /// When it ends if it isn't used any more.
    #[must_use]
    pub fn ends_at(&self) -> SystemTime {
        let idle = self.seen_at.checked_add(SESSION_IDLE);
        idle.map_or(self.expires_at, |idle| idle.min(self.expires_at))
    }

    /// Who uses it, as the audit log says it.
    #[must_use]
    pub fn actor(&self) -> Actor {
        let session = format!("session {}, {}", self.number, self.address);
        match &self.holder {
            Holder::Password => Actor::new(&session),
            Holder::Account(account) => Actor::new(&format!("{session}, {}", account.named())),
        }
    }

    /// True if it is of no use any more.
    #[must_use]
    pub fn is_over(&self, now: SystemTime) -> bool {
        self.ends_at() <= now
    }
}

/// A session to be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// The SHA-256 of its id, in hexadecimal.
    pub hash: String,
    /// The address that it is begun from.
    pub address: String,
    /// What the browser says of itself.
    pub browser: String,
    /// When it ends at the latest.
    pub expires_at: SystemTime,
    /// What it is begun with.
    pub opening: Opening,
}

/// What a session is begun with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// The password that has this hash: there is no session for one that was changed meanwhile.
    Password(Secret),
    /// An account, which has this role.
    Account(Account, Role),
}

impl Opening {
    /// As whom the session is.
    #[must_use]
    pub fn holder(&self) -> Holder {
        match self {
            Self::Password(_) => Holder::Password,
            Self::Account(account, _) => Holder::Account(account.clone()),
        }
    }

    /// How long the session lasts at the longest.
    #[must_use]
    pub const fn longest(&self) -> Duration {
        match self {
            Self::Password(_) => SESSION_LONGEST,
            Self::Account(..) => ACCOUNT_LONGEST,
        }
    }

    /// The role that it begins with.
    #[must_use]
    pub const fn role(&self) -> Role {
        match self {
            Self::Password(_) => Role::Admin,
            Self::Account(_, role) => *role,
        }
    }
}

/// Why a session ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Its holder logged out.
    LogOut,
    /// The same browser logged in anew.
    Renewed,
    /// Somebody who may took it away.
    Revoked,
    /// Its account is on no list any more.
    Unlisted,
}

impl Ending {
    /// As the audit log says it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LogOut => "log out",
            Self::Renewed => "log in anew",
            Self::Revoked => "revoke session",
            Self::Unlisted => "end session, not listed",
        }
    }
}

/// The refusal of a session for a password that doesn't hold any more.
#[must_use]
pub fn password_changed() -> Failure {
    let cause = "the password was changed meanwhile";
    Failure::new(FailureKind::Conflict, "logging in", cause, "log in with the new one")
}

/// Remembers the dashboard's password and who is logged in: a database, or memory.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// The password, if one is set.
    async fn password(&self) -> Result<Option<StoredPassword>, Failure>;

    /// Remembers a password's hash in the place of the one before, and ends the sessions that one
    /// began; returns how many. Written into the audit log.
    async fn set_password(&self, actor: &Actor, hash: &Secret) -> Result<u64, Failure>;

    /// Writes into the audit log that somebody was not let in: by what, and why.
    async fn refused(&self, actor: &Actor, door: &str, reason: &str) -> Result<(), Failure>;

    /// The secret that everything is sealed with: the one that is remembered, or `fresh`, which is
    /// from then on. Never written into the audit log.
    async fn sealing_secret(&self, fresh: &Secret) -> Result<Secret, Failure>;

    /// Remembers a session, and forgets those that are over and the oldest ones of an account that has
    /// more than [`SESSIONS_OF_ONE`]. One that is begun with a password is if
    /// that holds still ([`password_changed`]). Written into the audit log.
    async fn begin_session(&self, actor: &Actor, session: &NewSession) -> Result<Session, Failure>;

    /// The session whose id has that hash, if there is one.
    async fn find_session(&self, hash: &str) -> Result<Option<Session>, Failure>;

    /// Writes down that a session was used.
    async fn session_seen(&self, number: u64, at: SystemTime) -> Result<(), Failure>;

    /// Writes down that the account of a session has another role than before. Written into the audit
    /// log.
    async fn role_changed(&self, actor: &Actor, number: u64, role: Role) -> Result<(), Failure>;

    /// Forgets a session; false if there is none. Written into the audit log.
    async fn end_session(&self, actor: &Actor, number: u64, why: Ending) -> Result<bool, Failure>;

    /// Those that are remembered, the newest first.
    async fn sessions(&self) -> Result<Vec<Session>, Failure>;

    /// Forgets all of them; returns how many there were. Written into the audit log.
    async fn end_sessions(&self, actor: &Actor) -> Result<u64, Failure>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_unused_after_a_night_and_in_any_case_after_the_event() {
        let begin = SystemTime::UNIX_EPOCH;
        let mut session = Session {
            number: 1,
            holder: Holder::Password,
            role: Role::Admin,
            address: String::new(),
            browser: String::new(),
            created_at: begin,
            seen_at: begin,
            expires_at: begin + SESSION_LONGEST,
        };
        let second = Duration::from_secs(1);
        assert!(!session.is_over(begin + SESSION_IDLE - second));
        assert!(session.is_over(begin + SESSION_IDLE));
        session.seen_at = begin + SESSION_LONGEST - second;
        assert!(!session.is_over(begin + SESSION_LONGEST - second));
        assert!(session.is_over(begin + SESSION_LONGEST), "however much it is used");
    }

    #[test]
    fn a_browser_is_named_in_a_few_words() {
        let shown = |agent: &str| {
            let begin = SystemTime::UNIX_EPOCH;
            let session = Session {
                number: 1,
                holder: Holder::Password,
                role: Role::Admin,
                address: String::new(),
                browser: agent.to_owned(),
                created_at: begin,
                seen_at: begin,
                expires_at: begin,
            };
            session.browser_shown()
        };
        let chrome =
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/146.0 Safari/537.36";
        assert_eq!(shown(chrome), "Chrome on Linux");
        assert_eq!(
            shown(&format!("{chrome} Edg/146.0").replace("X11; Linux", "Windows NT")),
            "Edge on Windows"
        );
        assert_eq!(
            shown("Mozilla/5.0 (Android 15; Mobile) Gecko Firefox/150.0"),
            "Firefox on Android"
        );
        assert_eq!(shown("curl/8.5.0"), "curl/8.5.0");
    }

    #[test]
    fn an_id_is_told_from_what_can_be_none() {
        let id = session(&[7; SESSION_BYTES]);
        assert!(may_be_session(id.reveal()));
        assert!(!format!("{id:?}").contains(id.reveal()));
        for wrong in ["", "x", &"é".repeat(43), &"a b".repeat(15), &id.reveal()[1..]] {
            assert!(!may_be_session(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_browser_can_call_itself_nothing_that_harms_a_list() {
        assert_eq!(browser(" Fire\u{1b}[31mfox\n/1 "), "Fire[31mfox/1");
        assert_eq!(browser(&"x".repeat(9999)).len(), LONGEST_BROWSER);
    }
}
