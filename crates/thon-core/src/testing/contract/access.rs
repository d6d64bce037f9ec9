//! The contract of [`AccessStore`].

use std::time::{Duration, SystemTime};

use super::{ok, refused};
use crate::access::{AccessStore, NewToken, Scope};
use crate::adapter::FailureKind;
use crate::state::{Actor, StateStore};

/// Runs the contract against a store in which no token is.
pub async fn access<S: AccessStore + StateStore>(store: &S) {
    let actor = Actor::new("test");
    let end = SystemTime::UNIX_EPOCH + Duration::from_millis(5_000_007);
    let token = |name: &str, hash: &str| NewToken {
        name: name.to_owned(),
        scope: Scope::Operate,
        hash: hash.to_owned(),
        expires_at: Some(end),
    };
    assert_eq!(ok(store.tokens().await), []);
    ok(store.add_token(&actor, &token("zeta", "cafe11")).await);
    ok(store.add_token(&actor, &token("ci", "cafe22")).await);
    assert_eq!(
        refused(store.add_token(&actor, &token("ci", "cafe33")).await),
        FailureKind::Conflict
    );
    assert_eq!(ok(store.find_token("cafe33").await), None);

    let found = ok(store.find_token("cafe22").await);
    let Some(found) = found else { panic!("the token is lost") };
    assert_eq!((found.name.as_str(), found.scope), ("ci", Scope::Operate));
    assert_eq!((found.expires_at, found.used_at), (Some(end), None));
    ok(store.token_used("ci", end).await);
    let listed = ok(store.tokens().await);
    let names: Vec<&str> = listed.iter().map(|token| token.name.as_str()).collect();
    assert_eq!(names, ["ci", "zeta"]);
    assert_eq!(listed[0].used_at, Some(end));

    ok(store.revoke_token(&actor, "ci").await);
    assert_eq!(refused(store.revoke_token(&actor, "ci").await), FailureKind::Missing);
    assert_eq!(ok(store.find_token("cafe22").await), None);
    let log = ok(store.audit(9).await);
    let said = |action: &str| {
        log.iter()
            .any(|line| line.action == action && line.subject == "ci" && line.result == "done")
    };
    assert!(said("add token") && said("revoke token"), "{log:?}");
    assert!(!format!("{log:?}").contains("cafe"), "a hash is nobody's business");
}
