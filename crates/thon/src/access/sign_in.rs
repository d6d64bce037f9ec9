//! Signing in with an account that somebody has elsewhere.
//!
//! For: what is drawn and kept while somebody is at the provider, bound to their browser, and what
//! becomes of it when they come back.
//! Not for: what an account may do ([`thon_core::access::standing`]), and not for cookies.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use thon_core::access::{
    Account, Challenge, IdentityProvider, Opening, Pace, SIGN_IN_BYTES, SIGN_IN_LONGEST, Session,
    Standing, Unlisted, claims_of_interest, same, source, standing,
};
use thon_core::adapter::Entropy;
use thon_core::config::{AuthConfig, ProviderKind, Role};
use thon_core::secret::Secret;
use thon_core::state::Actor;

use super::seal::{open, seal};
use super::{Access, LoggedIn, hash};
use crate::error::Error;
use crate::service::{Service, Site};
use crate::system::OsEntropy;

/// Sign-ins that are remembered for having come back, so that none does twice.
const REMEMBERED: usize = 10_000;

/// Somebody who is sent to a provider.
#[derive(Debug)]
pub struct SignInBegun {
    /// The address there.
    pub url: String,
    /// What the address holds and comes back with: which sign-in it is.
    pub state: Secret,
    /// What the browser keeps meanwhile, under [`sign_in_cookie`].
    pub kept: Secret,
}

/// What a browser comes back with.
#[derive(Debug, Clone)]
pub struct CameBack<'a> {
    /// From whom.
    pub provider: ProviderKind,
    /// `state`.
    pub state: &'a str,
    /// `code`, or what the provider says of why there is none.
    pub code: Result<Secret, String>,
    /// Whose answer it is by its own words, if it says so.
    pub issuer: Option<&'a str>,
    /// What it kept, if it has it.
    pub kept: Option<&'a str>,
    /// Where it is.
    pub address: IpAddr,
    /// What it says of itself.
    pub agent: &'a str,
    /// The ids of sessions that it shows.
    pub sessions: &'a [Secret],
}

/// What came of signing in.
#[derive(Debug)]
pub enum SignIn {
    /// They are in, and go on at this address of ours.
    Done(Box<LoggedIn>, String),
    /// The account is not let in.
    Unlisted(Box<Account>, Unlisted),
    /// They came back without a code: they changed their mind, or the provider did.
    Declined(String),
    /// It isn't known here: another browser began it, it took too long, or it came back before.
    Stale,
    /// The browser is logged in as somebody who didn't begin this sign-in, and stays so: whose account
    /// they were to come in with is somebody else's choice.
    Other(String),
    /// Too many from there came to nothing: this one was not looked at, and the next one will be after
    /// so long.
    Wait(Duration),
}

/// What is sealed while somebody is away.
#[derive(Serialize, Deserialize)]
struct Away {
    state: String,
    nonce: String,
    verifier: String,
    next: String,
    /// The hash of the session that the browser had then.
    session: Option<String>,
    /// In seconds.
    ends: u64,
}

/// Under which name a browser keeps what belongs to a sign-in: several may be under way in it.
#[must_use]
pub fn sign_in_cookie(state: &str) -> String {
    format!("thon-sign-in-{}", hash(state).get(..16).unwrap_or_default())
}

/// Sign-ins that came back: in seconds when they would have ended, and which they are.
pub(super) type Returned = BTreeSet<(u64, String)>;

impl Service {
    /// True as long as nobody is asked who they are: there is neither a token nor a password, and
    /// thon.yaml asks for no signing in. Whoever is on this machine may do everything then, and nobody
    /// else is to be let in.
    pub async fn is_open(&self) -> Result<bool, Error> {
        let asks = self.site().await?.node().config().auth.enabled;
        Ok(!asks && self.state().access().is_open().await?)
    }

    /// What the holder of a session may do as things are now, or why nothing any more: then it is over.
    /// Either is written into the audit log, as is another role than before.
    pub async fn standing(&self, session: &Session) -> Result<Result<Standing, Unlisted>, Error> {
        let Some(account) = session.holder.account() else {
            return Ok(Ok(Standing::of(Role::Admin)));
        };
        let site = self.site().await?;
        let found = standing(site.node().config(), &site.wanted.roster, account);
        if let Ok(found) = &found
            && found.role != session.role
        {
            self.state().access().note_role(session, found.role).await?;
        }
        if found.is_err() {
            self.state().access().unlisted(session).await?;
        }
        Ok(found)
    }

    /// Holds everyone who is logged in against the list as it is now.
    pub(crate) async fn hold_against_the_list(&self) -> Result<(), Error> {
        for session in self.state().access().sessions().await? {
            // Whoever is out by now is written down by that.
            let _ = self.standing(&session).await?;
        }
        Ok(())
    }

    /// Sends somebody to a provider; afterwards they go on at `next`, an address of ours. `sessions` are
    /// the ids of those that their browser shows.
    pub async fn begin_sign_in(
        &self,
        provider: ProviderKind,
        next: &str,
        sessions: &[Secret],
    ) -> Result<SignInBegun, Error> {
        let site = self.site().await?;
        let vouches = vouching(&site, provider)?;
        let mut random = [[0; SIGN_IN_BYTES]; 3];
        for bytes in &mut random {
            OsEntropy.fill(bytes)?;
        }
        let challenge = Challenge::new(&random);
        let url = vouches.begin(&challenge).await?;
        let access = self.state().access();
        let ends = access.now() + SIGN_IN_LONGEST;
        let away = Away {
            state: challenge.state.reveal().to_owned(),
            nonce: challenge.nonce.reveal().to_owned(),
            verifier: challenge.verifier.reveal().to_owned(),
            next: next.to_owned(),
            session: access.lasting(sessions).await?.map(|(_, hash)| hash),
            ends: seconds(ends),
        };
        let text = serde_json::to_string(&away).unwrap_or_default();
        let secret = access.sealing_secret(&site.node().config().auth).await?;
        let kept = seal(&secret, provider.as_str(), &text)?;
        Ok(SignInBegun { url, state: challenge.state, kept })
    }

    /// Lets in whoever came back from a provider, if the list says so.
    pub async fn finish_sign_in(&self, came: CameBack<'_>) -> Result<SignIn, Error> {
        let (access, source) = (self.state().access(), source(came.address));
        if let Err(wait) = access.pace(|pace, now| pace.attempt(&source, now)) {
            return Ok(SignIn::Wait(wait));
        }
        let said = self.finish(came).await;
        if matches!(said, Ok(SignIn::Done(..))) {
            access.pace(|pace, _| pace.right(&source));
        }
        said
    }

    async fn finish(&self, came: CameBack<'_>) -> Result<SignIn, Error> {
        let site = self.site().await?;
        let config = site.node().config();
        let access = self.state().access();
        let vouches = vouching(&site, came.provider)?;
        let door = came.provider.as_str();
        let browser = Actor::new(&format!("{door}, {}", came.address.to_canonical()));
        if came.kept.is_none() {
            // Nothing of it was begun here, and nothing is worth a line of the log.
            return Ok(SignIn::Stale);
        }
        let secret = access.sealing_secret(&config.auth).await?;
        let Some(away) = access.away(&secret, &came) else {
            access.refuse(&browser, door, "the sign-in is not known here").await?;
            return Ok(SignIn::Stale);
        };
        if let Some((session, hash)) = access.lasting(came.sessions).await?
            && away.session.as_ref() != Some(&hash)
        {
            access.refuse(&browser, door, "somebody else is logged in there").await?;
            return Ok(SignIn::Other(session.holder.shown()));
        }
        let issuer = vouches.issuer();
        if issuer.is_some() && came.issuer.is_some() && issuer != came.issuer {
            access.refuse(&browser, door, "it is the answer of another provider").await?;
            return Ok(SignIn::Stale);
        }
        let code = match came.code {
            Ok(code) => code,
            Err(why) => {
                access.refuse(&browser, door, &format!("declined: {why}")).await?;
                return Ok(SignIn::Declined(why));
            }
        };
        let challenge = Challenge {
            state: Secret::new(away.state),
            nonce: Secret::new(away.nonce),
            verifier: Secret::new(away.verifier),
        };
        let account = match vouches.finish(&code, &challenge, &claims_of_interest(config)).await {
            Ok(account) => account,
            Err(failure) => {
                access.refuse(&browser, door, &failure.cause).await?;
                return Err(failure.into());
            }
        };
        let person = Actor::new(&format!("{browser}, {}", account.named()));
        let found = match standing(config, &site.wanted.roster, &account) {
            Ok(found) => found,
            Err(why) => {
                access.refuse(&person, door, why.text()).await?;
                return Ok(SignIn::Unlisted(Box::new(account), why));
            }
        };
        let opening = Opening::Account(account, found.role);
        let done = access.begin(&person, came.address, came.agent, opening).await?;
        Ok(SignIn::Done(Box::new(done), away.next))
    }
}

fn vouching(site: &Site, provider: ProviderKind) -> Result<&dyn IdentityProvider, Error> {
    let name = format!("nobody signs in with {provider} here: see auth.{provider} in thon.yaml");
    site.provider(provider).ok_or_else(|| Error::input(name))
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

impl Access<'_> {
    /// What a browser kept, if it belongs to what came back, is in time, and comes for the first time.
    fn away(self, secret: &Secret, came: &CameBack<'_>) -> Option<Away> {
        let text = open(secret, came.provider.as_str(), came.kept?)?;
        let away: Away = serde_json::from_str(&text).ok()?;
        let now = self.now();
        let fits = same(away.state.as_bytes(), came.state.as_bytes());
        if !fits || away.ends <= seconds(now) {
            return None;
        }
        let mut returned =
            self.state.desk().returned.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that end first go first.
        while returned.first().is_some_and(|(ends, _)| *ends <= seconds(now))
            || returned.len() >= REMEMBERED
        {
            returned.pop_first();
        }
        returned.insert((away.ends, hash(&away.state))).then_some(away)
    }

    /// The first of these sessions that lasts, with the hash of its id.
    async fn lasting(self, shown: &[Secret]) -> Result<Option<(Session, String)>, Error> {
        for id in shown {
            if let Some(session) = self.session(id.reveal(), false).await? {
                return Ok(Some((session, hash(id.reveal()))));
            }
        }
        Ok(None)
    }

    fn pace<T>(self, with: impl FnOnce(&mut Pace, SystemTime) -> T) -> T {
        let now = self.now();
        with(&mut self.state.desk().pace.lock().unwrap_or_else(PoisonError::into_inner), now)
    }

    /// Writes down that somebody was not let in.
    async fn refuse(self, actor: &Actor, door: &str, reason: &str) -> Result<(), Error> {
        Ok(self.state.session_store().refused(actor, door, reason).await?)
    }

    /// What everything is sealed with: what thon.yaml says, or what was made at the first start.
    async fn sealing_secret(self, config: &AuthConfig) -> Result<Secret, Error> {
        if !config.session_secret.is_empty() {
            return Ok(config.session_secret.clone());
        }
        let mut random = [0; SIGN_IN_BYTES];
        OsEntropy.fill(&mut random)?;
        let fresh = Secret::new(thon_core::access::base64url(&random));
        Ok(self.state.session_store().sealing_secret(&fresh).await?)
    }

    /// Whether somebody could come in as admin by this configuration: with the password, with a token,
    /// or with an account.
    pub async fn has_way_in(self, config: &AuthConfig) -> Result<bool, Error> {
        let listed = config.lists_an_admin();
        if listed || self.has_password().await? {
            return Ok(true);
        }
        let now = self.now();
        let opens = |token: &thon_core::access::Token| {
            token.scope == thon_core::access::Scope::Admin && !token.is_over(now)
        };
        Ok(self.tokens().await?.iter().any(opens))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use thon_core::testing::FixedClock;

    use super::*;
    use crate::home::Home;
    use crate::state::State;

    const STATE: &str = "the-state-of-one-sign-in";

    fn sealed(secret: &Secret, ends: u64) -> Secret {
        let away = Away {
            state: STATE.to_owned(),
            nonce: "nonce".to_owned(),
            verifier: "verifier".to_owned(),
            next: "/users".to_owned(),
            session: None,
            ends,
        };
        seal(secret, "github", &serde_json::to_string(&away).unwrap()).unwrap()
    }

    fn came<'a>(provider: ProviderKind, state: &'a str, kept: &'a Secret) -> CameBack<'a> {
        CameBack {
            provider,
            state,
            code: Err(String::new()),
            issuer: None,
            kept: Some(kept.reveal()),
            address: IpAddr::from([203, 0, 113, 7]),
            agent: "",
            sessions: &[],
        }
    }

    #[tokio::test]
    async fn a_sign_in_comes_back_in_time_once_and_to_where_it_was_begun() {
        let folder = tempfile::tempdir().unwrap();
        let clock: Arc<FixedClock> = Arc::default();
        let home = Home::at(folder.path().join("home"));
        let state = State::open_at(&home, clock.clone()).await.unwrap();
        let access = state.access();
        let secret = access.sealing_secret(&AuthConfig::default()).await.unwrap();
        assert_eq!(secret, access.sealing_secret(&AuthConfig::default()).await.unwrap());
        let kept = sealed(&secret, seconds(access.now() + SIGN_IN_LONGEST));

        for (provider, state) in [
            (ProviderKind::Gitlab, STATE),
            (ProviderKind::Github, "another"),
            (ProviderKind::Github, ""),
        ] {
            assert!(access.away(&secret, &came(provider, state, &kept)).is_none());
        }
        let other = Secret::new("0".repeat(32));
        assert!(access.away(&other, &came(ProviderKind::Github, STATE, &kept)).is_none());
        let nothing = CameBack { kept: None, ..came(ProviderKind::Github, STATE, &kept) };
        assert!(access.away(&secret, &nothing).is_none());
        let back = access.away(&secret, &came(ProviderKind::Github, STATE, &kept)).unwrap();
        assert_eq!((back.next.as_str(), back.verifier.as_str()), ("/users", "verifier"));
        assert!(access.away(&secret, &came(ProviderKind::Github, STATE, &kept)).is_none(), "twice");

        let late = sealed(&secret, seconds(access.now() + SIGN_IN_LONGEST));
        clock.advance(SIGN_IN_LONGEST);
        assert!(access.away(&secret, &came(ProviderKind::Github, STATE, &late)).is_none());
    }

    #[tokio::test]
    async fn a_way_in_is_a_listed_admin_a_password_or_a_token() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(&Home::at(folder.path().join("home"))).await.unwrap();
        let access = state.access();
        let auth = |allow: &str| {
            let text = format!(
                "auth: {{enabled: true, github: {{client_id: x, client_secret: y}}, allow: [{allow}]}}"
            );
            thon_core::config::Config::parse(&text, "thon.yaml").unwrap().config.auth
        };
        assert!(access.has_way_in(&auth("{role: admin, email: a@b.c}")).await.unwrap());
        for none in [
            "",
            "{role: operator, email: a@b.c}",
            "{role: admin, provider: oidc, email: a@b.c}",
            "{role: admin, account: 'gitlab:7'}",
            "{role: admin, claim: groups, value: staff}",
        ] {
            assert!(!access.has_way_in(&auth(none)).await.unwrap(), "{none}");
        }
        let actor = Actor::new("test");
        let scope = thon_core::access::Scope::Operate;
        access.new_token(&actor, "operates", scope, None).await.unwrap();
        assert!(!access.has_way_in(&auth("")).await.unwrap());
        access.new_token(&actor, "all", thon_core::access::Scope::Admin, None).await.unwrap();
        assert!(access.has_way_in(&auth("")).await.unwrap());
    }
}
