//! The contract of [`SessionStore`].

use std::time::{Duration, SystemTime};

use super::{ok, refused};
use crate::access::{
    Account, Ending, Holder, NewSession, Opening, ProviderKind, Role, SESSION_IDLE,
    SESSION_LONGEST, SESSIONS_OF_ONE, SessionStore,
};
use crate::adapter::FailureKind;
use crate::secret::Secret;
use crate::state::{Actor, StateStore};

/// Runs the contract against a store with no password, at a time that is `now`.
pub async fn sessions<S: SessionStore + StateStore>(store: &S, now: SystemTime) {
    password(store).await;
    begin_and_end(store, now).await;
    what_is_over(store, now).await;
    accounts(store, now).await;
    sealing(store).await;
    all_at_once(store, now).await;
    log(store).await;
}

fn new(hash: &str, expires_at: SystemTime, password: &str) -> NewSession {
    NewSession {
        hash: hash.to_owned(),
        address: "203.0.113.7".to_owned(),
        browser: format!("browser of {hash}"),
        expires_at,
        opening: Opening::Password(Secret::new(password)),
    }
}

fn anyone() -> Actor {
    Actor::new("test")
}

async fn hashes<S: SessionStore>(store: &S) -> Vec<String> {
    let sessions = ok(store.sessions().await).into_iter();
    sessions.map(|session| session.browser.replace("browser of ", "")).collect()
}

async fn password<S: SessionStore>(store: &S) {
    assert_eq!(ok(store.password().await), None);
    let early = new("cafe00", SystemTime::UNIX_EPOCH, "phc1");
    let refusal = refused(store.begin_session(&anyone(), &early).await.map(drop));
    assert_eq!(refusal, FailureKind::Conflict, "there is no password yet");
    for hash in ["phc0", "phc1"] {
        assert_eq!(ok(store.set_password(&anyone(), &Secret::new(hash)).await), 0);
        let Some(stored) = ok(store.password().await) else { panic!("the password is lost") };
        assert_eq!(stored.hash.reveal(), hash);
    }
}

async fn begin_and_end<S: SessionStore>(store: &S, now: SystemTime) {
    let actor = anyone();
    let end = now + SESSION_LONGEST;
    let outdated = new("cafe00", end, "phc0");
    let refusal = refused(store.begin_session(&actor, &outdated).await.map(drop));
    assert_eq!(refusal, FailureKind::Conflict, "the password was changed meanwhile");
    let one = ok(store.begin_session(&actor, &new("cafe11", end, "phc1")).await);
    let two = ok(store.begin_session(&actor, &new("cafe22", end, "phc1")).await);
    assert_ne!(one.number, two.number);
    assert_eq!((one.created_at, one.seen_at, one.expires_at), (now, now, end));
    assert_eq!((one.address.as_str(), one.browser.as_str()), ("203.0.113.7", "browser of cafe11"));
    assert_eq!(ok(store.find_session("cafe11").await), Some(one.clone()));
    assert_eq!(ok(store.find_session("cafe00").await), None);
    assert_eq!(hashes(store).await, ["cafe22", "cafe11"], "the newest first");

    let later = now + Duration::from_millis(5_000_007);
    ok(store.session_seen(one.number, later).await);
    let seen = ok(store.find_session("cafe11").await).map(|session| session.seen_at);
    assert_eq!(seen, Some(later));
    let other = ok(store.find_session("cafe22").await);
    assert_eq!(other, Some(two), "another one's use is its own");

    assert!(ok(store.end_session(&actor, one.number, Ending::LogOut).await));
    assert!(!ok(store.end_session(&actor, one.number, Ending::LogOut).await), "it is gone");
    assert_eq!(ok(store.find_session("cafe11").await), None);
    ok(store.session_seen(one.number, later).await);
    let three = ok(store.begin_session(&actor, &new("cafe33", end, "phc1")).await);
    assert!(three.number > one.number, "a number is given once");
    assert_eq!(hashes(store).await, ["cafe33", "cafe22"]);
}

/// What is over is forgotten with the next one that begins.
async fn what_is_over<S: SessionStore>(store: &S, now: SystemTime) {
    let actor = anyone();
    let unused = ok(store.begin_session(&actor, &new("cafe44", now, "phc1")).await);
    assert!(unused.is_over(now));
    let end = now + SESSION_LONGEST;
    let idle = ok(store.begin_session(&actor, &new("cafe55", end, "phc1")).await);
    assert_eq!(hashes(store).await, ["cafe55", "cafe33", "cafe22"]);
    ok(store.session_seen(idle.number, now - SESSION_IDLE).await);
    ok(store.begin_session(&actor, &new("cafe66", end, "phc1")).await);
    assert_eq!(hashes(store).await, ["cafe66", "cafe33", "cafe22"]);
}

async fn all_at_once<S: SessionStore>(store: &S, now: SystemTime) {
    let actor = anyone();
    let end = now + SESSION_LONGEST;
    assert_eq!(ok(store.end_sessions(&actor).await), 4);
    assert_eq!(ok(store.end_sessions(&actor).await), 0);
    let Some(eve) = Account::new(ProviderKind::Github, "7") else { panic!("no account") };
    let account =
        NewSession { opening: Opening::Account(eve, Role::Viewer), ..new("cafe88", end, "") };
    ok(store.begin_session(&actor, &account).await);
    ok(store.begin_session(&actor, &new("cafe77", end, "phc1")).await);
    let ended = ok(store.set_password(&actor, &Secret::new("phc2")).await);
    assert_eq!(ended, 1, "a new password ends what an old one opened");
    assert_eq!(ok(store.find_session("cafe77").await), None);
    let kept = ok(store.find_session("cafe88").await).map(|session| session.role);
    assert_eq!(kept, Some(Role::Viewer), "an account was not let in by the password");
    assert_eq!(ok(store.end_sessions(&actor).await), 1);
    ok(store.refused(&Actor::new("198.51.100.9"), "dashboard", "wrong password").await);
}

/// Whoever has an account is in with that, whatever becomes of the password.
async fn accounts<S: SessionStore>(store: &S, now: SystemTime) {
    let actor = anyone();
    let Some(ada) = Account::new(ProviderKind::Oidc, "0-1") else { panic!("no account") };
    let mut ada = ada.with_login(Some("ada")).with_verified_email(Some("ada@example.org"));
    ada.claims.insert("groups".to_owned(), ["staff".to_owned()].into());
    let begin = |hash: &str, role| NewSession {
        opening: Opening::Account(ada.clone(), role),
        ..new(hash, now + SESSION_LONGEST, "")
    };
    let one = ok(store.begin_session(&actor, &begin("cafe88", Role::Operator)).await);
    assert_eq!((&one.holder, one.role), (&Holder::Account(ada.clone()), Role::Operator));
    ok(store.role_changed(&actor, one.number, Role::Viewer).await);
    let found = ok(store.find_session("cafe88").await);
    let found = found.map(|session| (session.holder, session.role));
    assert_eq!(found, Some((Holder::Account(ada.clone()), Role::Viewer)));
    let two = ok(store.begin_session(&actor, &begin("cafe99", Role::Admin)).await);
    assert!(ok(store.end_session(&actor, two.number, Ending::Revoked).await));
    ok(store.role_changed(&actor, two.number, Role::Viewer).await);

    // With one more than there may be the oldest ends, and nobody else's.
    let Some(bob) = Account::new(ProviderKind::Oidc, "0-2") else { panic!("no account") };
    let others = NewSession {
        opening: Opening::Account(bob, Role::Viewer),
        ..new("b0b", now + SESSION_LONGEST, "")
    };
    let others = ok(store.begin_session(&actor, &others).await);
    for number in 0..SESSIONS_OF_ONE {
        let hash = format!("more{number}");
        ok(store.begin_session(&actor, &begin(&hash, Role::Viewer)).await);
    }
    assert_eq!(ok(store.find_session("cafe88").await), None);
    let kept = ok(store.sessions().await);
    let own =
        kept.iter().filter(|one| one.holder.account().is_some_and(|one| one.id() == ada.id()));
    assert_eq!(own.count(), SESSIONS_OF_ONE);
    assert!(ok(store.find_session("b0b").await).is_some());
    for session in &kept {
        let extra = session.browser.contains("more") || session.number == others.number;
        if extra {
            assert!(ok(store.end_session(&actor, session.number, Ending::Renewed).await));
        }
    }
    ok(store.begin_session(&actor, &begin("cafe88", Role::Viewer)).await);
}

async fn sealing<S: SessionStore>(store: &S) {
    for fresh in ["cafe-one", "cafe-two"] {
        let secret = ok(store.sealing_secret(&Secret::new(fresh)).await);
        assert_eq!(secret.reveal(), "cafe-one", "it is made once");
    }
}

async fn log<S: StateStore>(store: &S) {
    let lines = ok(store.audit(1000).await);
    let said = |actor: &str, action: &str, result: &str| {
        let found = lines.iter().filter(|line| {
            (line.actor.as_str(), line.action.as_str(), line.result.as_str())
                == (actor, action, result)
        });
        found.count()
    };
    assert_eq!(said("test", "set password", "done"), 3);
    assert_eq!(said("test", "log in", "done"), 12 + SESSIONS_OF_ONE);
    assert_eq!(said("test", "log out", "done"), 1);
    assert_eq!(said("test", "revoke session", "done"), 1);
    assert_eq!(said("test", "change role", "operator to viewer"), 1);
    assert_eq!(said("test", "end sessions", "done"), 2, "nothing is said of nothing");
    assert_eq!(said("198.51.100.9", "log in", "wrong password"), 1);
    let said = format!("{lines:?}");
    assert!(!said.contains("cafe") && !said.contains("phc"), "a hash is nobody's business");
}
