//! Browsers that are logged in.
//!
//! For: logging in with the password, at the pace of people, recognising a browser by its cookie, and
//! logging out.
//! Not for: the cookie itself and its attributes; front-ends set them.

use std::net::IpAddr;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use ring::hmac;
use thon_core::access::{
    Ending, NewSession, Opening, Role, SESSION_BYTES, Session, base64url, browser, may_be_session,
    same, session, source,
};
use thon_core::adapter::{Entropy, Failure, FailureKind};
use thon_core::secret::Secret;
use thon_core::state::Actor;

use super::{Access, hash, is_old};
use crate::error::Error;
use crate::system::OsEntropy;

/// What came of logging in.
#[derive(Debug)]
pub enum LogIn {
    /// The password was right.
    Done(Box<LoggedIn>),
    /// The password was wrong.
    Wrong,
    /// Too many wrong ones came from there: this one was not looked at, and the next one will be
    /// after so long.
    Wait(Duration),
    /// There is no password: nobody can log in.
    NoPassword,
}

/// A browser that has just logged in.
#[derive(Debug)]
pub struct LoggedIn {
    /// The session's id, for the browser's cookie. It is known this once: only its hash is kept.
    pub id: Secret,
    /// What is remembered.
    pub session: Session,
}

/// Which sessions are meant.
#[derive(Debug, Clone, Copy)]
pub enum Which<'a> {
    /// Those of these numbers.
    Numbers(&'a [u64]),
    /// Those of the account with this id.
    Account(&'a str),
    /// All but the one of this number.
    AllBut(Option<u64>),
}

impl Which<'_> {
    fn means(self, session: &Session) -> bool {
        match self {
            Self::Numbers(numbers) => numbers.contains(&session.number),
            Self::Account(id) => session.holder.account().is_some_and(|one| one.id() == id),
            Self::AllBut(number) => number != Some(session.number),
        }
    }
}

/// What a page of this session has to send along with every change. It is made of the session's id
/// and can't be told from anything that is stored.
#[must_use]
pub fn csrf(id: &Secret) -> Secret {
    let key = hmac::Key::new(hmac::HMAC_SHA256, id.reveal().as_bytes());
    Secret::new(base64url(hmac::sign(&key, b"thon csrf").as_ref()))
}

/// True if `shown` is what [`csrf`] makes of this session's id.
#[must_use]
pub fn csrf_fits(id: &Secret, shown: &str) -> bool {
    same(csrf(id).reveal().as_bytes(), shown.as_bytes())
}

impl Access<'_> {
    /// Begins a session for whoever knows the password. `agent` is what the browser says of itself.
    pub async fn log_in(
        self,
        address: IpAddr,
        agent: &str,
        password: &Secret,
    ) -> Result<LogIn, Error> {
        let Some(stored) = self.stored().await? else { return Ok(LogIn::NoPassword) };
        let source = source(address);
        if let Err(wait) = self.throttle(|throttle, now| throttle.attempt(&source, now)) {
            return Ok(LogIn::Wait(wait));
        }
        let actor = Actor::new(&format!("dashboard, {}", address.to_canonical()));
        if !self.fits(&stored, password).await? {
            self.state.session_store().refused(&actor, "dashboard", "wrong password").await?;
            return Ok(LogIn::Wrong);
        }
        match self.begin(&actor, address, agent, Opening::Password(stored.hash)).await {
            Ok(done) => {
                self.throttle(|throttle, _| throttle.right(&source));
                Ok(LogIn::Done(Box::new(done)))
            }
            // Somebody set another password in this very moment.
            Err(failure) if failure.kind == FailureKind::Conflict => Ok(LogIn::Wrong),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Begins a session under an id that nobody knew before.
    pub(super) async fn begin(
        self,
        actor: &Actor,
        address: IpAddr,
        agent: &str,
        opening: Opening,
    ) -> Result<LoggedIn, Failure> {
        let mut random = [0; SESSION_BYTES];
        OsEntropy.fill(&mut random)?;
        let id = session(&random);
        let expires_at = self.now().checked_add(opening.longest());
        let new = NewSession {
            hash: hash(id.reveal()),
            address: address.to_canonical().to_string(),
            browser: browser(agent),
            expires_at: expires_at.unwrap_or_else(|| self.now()),
            opening,
        };
        let session = self.state.session_store().begin_session(actor, &new).await?;
        Ok(LoggedIn { id, session })
    }

    /// The session whose id a browser shows, if it is one that lasts. It lasts longer for being
    /// asked for, unless nobody `uses` it: pages keep themselves up to date, seen or not.
    pub async fn session(self, shown: &str, uses: bool) -> Result<Option<Session>, Error> {
        if !may_be_session(shown) {
            return Ok(None);
        }
        // Found by its hash: how far a guess is right takes no longer or shorter to tell.
        let found = self.state.session_store().find_session(&hash(shown)).await?;
        let now = self.now();
        let Some(session) = found.filter(|session| !session.is_over(now)) else { return Ok(None) };
        if uses && is_old(session.seen_at, now) {
            self.state.session_store().session_seen(session.number, now).await?;
        }
        Ok(Some(session))
    }

    /// Ends the session whose id a browser shows; false if there is none.
    pub async fn log_out(self, shown: &str) -> Result<bool, Error> {
        self.end(shown, Ending::LogOut).await
    }

    /// Ends the session that a browser had until it logged in anew; false if there is none.
    pub async fn renewed(self, shown: &str) -> Result<bool, Error> {
        self.end(shown, Ending::Renewed).await
    }

    async fn end(self, shown: &str, why: Ending) -> Result<bool, Error> {
        let Some(session) = self.session(shown, false).await? else { return Ok(false) };
        let store = self.state.session_store();
        Ok(store.end_session(&session.actor(), session.number, why).await?)
    }

    /// Takes a session away; false if there is none of that number.
    pub async fn revoke_session(self, actor: &Actor, number: u64) -> Result<bool, Error> {
        let store = self.state.session_store();
        Ok(store.end_session(actor, number, Ending::Revoked).await?)
    }

    /// Takes away those that last and are meant; returns how many there were.
    pub async fn revoke_sessions(self, actor: &Actor, which: Which<'_>) -> Result<u64, Error> {
        let mut ended = 0;
        for session in self.sessions().await?.iter().filter(|session| which.means(session)) {
            ended += u64::from(self.revoke_session(actor, session.number).await?);
        }
        Ok(ended)
    }

    /// Ends a session whose account is on no list any more.
    pub(crate) async fn unlisted(self, session: &Session) -> Result<(), Error> {
        let store = self.state.session_store();
        store.end_session(&session.actor(), session.number, Ending::Unlisted).await?;
        Ok(())
    }

    /// Writes down that the account of a session has another role than before.
    pub async fn note_role(self, session: &Session, role: Role) -> Result<(), Error> {
        let store = self.state.session_store();
        Ok(store.role_changed(&session.actor(), session.number, role).await?)
    }

    /// Those that last, the newest first.
    pub async fn sessions(self) -> Result<Vec<Session>, Error> {
        let now = self.now();
        let mut sessions = self.state.session_store().sessions().await?;
        sessions.retain(|session| !session.is_over(now));
        Ok(sessions)
    }

    /// Ends all of them; returns how many there were.
    pub async fn end_sessions(self, actor: &Actor) -> Result<u64, Error> {
        let lasting = self.sessions().await?.len() as u64;
        // Those that are over and not forgotten yet don't count.
        Ok(self.state.session_store().end_sessions(actor).await?.min(lasting))
    }

    fn throttle<T>(
        self,
        with: impl FnOnce(&mut thon_core::access::Throttle, SystemTime) -> T,
    ) -> T {
        let now = self.now();
        let throttle = self.state.desk().throttle.lock();
        with(&mut throttle.unwrap_or_else(PoisonError::into_inner), now)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use thon_core::access::{SESSION_IDLE, SESSION_LONGEST};
    use thon_core::testing::FixedClock;

    use super::*;
    use crate::home::Home;
    use crate::state::State;

    const PASSWORD: &str = "correct horse battery";

    struct Place {
        _folder: tempfile::TempDir,
        home: Home,
        clock: Arc<FixedClock>,
    }

    impl Place {
        async fn new() -> (Self, State) {
            let folder = tempfile::tempdir().unwrap();
            let home = Home::at(folder.path().join("home"));
            let place = Self { _folder: folder, home, clock: Arc::default() };
            let state = place.open().await;
            let password = Secret::new(PASSWORD);
            state.access().set_password(&Actor::new("test"), &password).await.unwrap();
            (place, state)
        }

        async fn open(&self) -> State {
            State::open_at(&self.home, self.clock.clone()).await.unwrap()
        }
    }

    async fn try_in(state: &State, address: &str, password: &str) -> LogIn {
        let password = Secret::new(password);
        state.access().log_in(address.parse().unwrap(), "Firefox", &password).await.unwrap()
    }

    async fn log_in(state: &State) -> LoggedIn {
        match try_in(state, "203.0.113.7", PASSWORD).await {
            LogIn::Done(done) => *done,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_session_survives_a_restart_and_is_nowhere_in_the_file() {
        let (place, state) = Place::new().await;
        let one = log_in(&state).await;
        assert_eq!(
            (one.session.address.as_str(), &*one.session.browser),
            ("203.0.113.7", "Firefox")
        );
        assert!(!format!("{one:?}").contains(one.id.reveal()));
        state.close().await;
        let bytes = std::fs::read(place.home.database()).unwrap();
        for secret in [one.id.clone(), csrf(&one.id)] {
            let needle = secret.reveal().as_bytes();
            assert!(!bytes.windows(needle.len()).any(|window| window == needle));
        }

        let state = place.open().await;
        let access = state.access();
        assert_eq!(access.session(one.id.reveal(), true).await.unwrap(), Some(one.session.clone()));
        let wrong = one.id.reveal().chars().rev().collect::<String>();
        for wrong in ["", &wrong, &one.id.reveal()[1..], &hash(one.id.reveal())] {
            assert_eq!(access.session(wrong, true).await.unwrap(), None, "{wrong}");
            assert!(!access.log_out(wrong).await.unwrap());
        }
        assert!(access.log_out(one.id.reveal()).await.unwrap());
        assert_eq!(access.session(one.id.reveal(), true).await.unwrap(), None);
        let log = state.store().audit(9).await.unwrap();
        let said: Vec<String> = log.iter().map(|e| format!("{}: {}", e.actor, e.action)).collect();
        let expected = [
            "session 1, 203.0.113.7: log out",
            "dashboard, 203.0.113.7: log in",
            "test: set password",
        ];
        assert_eq!(said, expected);
    }

    #[tokio::test]
    async fn a_session_lasts_as_long_as_it_is_used_and_no_longer_than_the_event() {
        let (place, state) = Place::new().await;
        let (used, idle) = (log_in(&state).await, log_in(&state).await);
        let access = state.access();
        let step = SESSION_IDLE.checked_sub(Duration::from_secs(1)).unwrap();
        let mut lasted = Duration::ZERO;
        while access.session(used.id.reveal(), true).await.unwrap().is_some() {
            place.clock.advance(step);
            lasted += step;
        }
        assert!((SESSION_LONGEST..SESSION_LONGEST + step).contains(&lasted), "{lasted:?}");
        assert_eq!(access.session(idle.id.reveal(), true).await.unwrap(), None);
        assert_eq!(access.sessions().await.unwrap(), []);
        assert_eq!(access.end_sessions(&Actor::new("test")).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_new_password_or_an_order_ends_every_session() {
        let (_place, state) = Place::new().await;
        let (access, actor) = (state.access(), Actor::new("test"));
        let (one, two) = (log_in(&state).await, log_in(&state).await);
        let numbers: Vec<u64> =
            access.sessions().await.unwrap().iter().map(|session| session.number).collect();
        assert_eq!(numbers, [two.session.number, one.session.number]);
        assert_eq!(access.end_sessions(&actor).await.unwrap(), 2);
        assert_eq!(access.session(one.id.reveal(), true).await.unwrap(), None);
        let three = log_in(&state).await;
        assert_eq!(access.set_password(&actor, &Secret::new("another horse")).await.unwrap(), 1);
        assert_eq!(access.session(three.id.reveal(), true).await.unwrap(), None);
        assert!(matches!(try_in(&state, "203.0.113.7", PASSWORD).await, LogIn::Wrong));
    }

    #[tokio::test]
    async fn whoever_guesses_waits_and_the_right_password_is_not_looked_at_meanwhile() {
        let (place, state) = Place::new().await;
        for _ in 0..5 {
            let wrong = try_in(&state, "198.51.100.9", "wrong horse battery").await;
            assert!(matches!(wrong, LogIn::Wrong), "{wrong:?}");
        }
        let wait = match try_in(&state, "198.51.100.9", PASSWORD).await {
            LogIn::Wait(wait) => wait,
            other => panic!("{other:?}"),
        };
        let elsewhere = try_in(&state, "203.0.113.7", PASSWORD).await;
        assert!(matches!(elsewhere, LogIn::Done(_)), "others are let in: {elsewhere:?}");
        place.clock.advance(wait);
        assert!(matches!(try_in(&state, "198.51.100.9", PASSWORD).await, LogIn::Done(_)));
        let log = state.store().audit(99).await.unwrap();
        let wrong = log.iter().filter(|line| line.result == "wrong password");
        assert!(wrong.clone().all(|line| line.actor == "dashboard, 198.51.100.9"));
        assert_eq!(wrong.count(), 5);
    }

    #[tokio::test]
    async fn without_a_password_nobody_logs_in() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(&Home::at(folder.path().join("home"))).await.unwrap();
        for password in ["", PASSWORD] {
            let said = try_in(&state, "127.0.0.1", password).await;
            assert!(matches!(said, LogIn::NoPassword), "{said:?}");
        }
    }

    #[test]
    fn what_a_page_sends_along_is_bound_to_its_session() {
        let (one, two) = (session(&[1; SESSION_BYTES]), session(&[2; SESSION_BYTES]));
        assert!(csrf_fits(&one, csrf(&one).reveal()));
        for wrong in [csrf(&two).reveal(), one.reveal(), "", &csrf(&one).reveal()[1..]] {
            assert!(!csrf_fits(&one, wrong), "{wrong}");
        }
    }
}
