//! The providers against stand-ins that check every parameter and lie on demand.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use thon_auth::testing::{CLIENT_ID, CLIENT_SECRET, Lie, Person, StandIn};
use thon_auth::{Http, callback_path};
use thon_core::access::{Account, Challenge, IdentityProvider, ProviderKind};
use thon_core::adapter::{Clock, Failure, FailureKind};
use thon_core::config::{AuthConfig, Config, WebUrl};
use thon_core::secret::Secret;
use thon_core::testing::FixedClock;

const BASE: &str = "https://hack.example.org:8502";

/// All of them.
const ALL: [ProviderKind; 4] =
    [ProviderKind::Github, ProviderKind::Gitlab, ProviderKind::Linkedin, ProviderKind::Oidc];

fn challenge(number: u8) -> Challenge {
    Challenge::new(&[[number; 32], [number + 1; 32], [number + 2; 32]])
}

fn real_clock() -> Arc<dyn Clock> {
    struct Real;
    impl Clock for Real {
        fn now(&self) -> std::time::SystemTime {
            std::time::SystemTime::now()
        }
    }
    Arc::new(Real)
}

/// A stand-in with the providers that ask it.
struct Place {
    there: StandIn,
    config: AuthConfig,
    http: Http,
    clock: Arc<dyn Clock>,
}

impl Place {
    async fn new() -> Self {
        let there = StandIn::start(BASE).await;
        let mut config = Config::parse(&there.config("    []"), "thon.yaml").unwrap().config.auth;
        CLIENT_ID.clone_into(&mut config.linkedin.client_id);
        config.linkedin.client_secret = Secret::new(CLIENT_SECRET);
        let http = Http::with_time(Duration::from_secs(2)).unwrap();
        Self { there, config, http, clock: real_clock() }
    }

    fn provider(&self, kind: ProviderKind) -> Arc<dyn IdentityProvider> {
        let base: WebUrl = BASE.parse().unwrap();
        if kind == ProviderKind::Linkedin {
            let at = self.there.url(kind);
            return thon_auth::testing::linkedin(&at, &self.config, &base, &self.http, &self.clock);
        }
        thon_auth::provider(kind, &self.config, &base, &self.http, &self.clock).unwrap()
    }

    /// Goes to the provider as a browser would, and comes back with code and state.
    async fn visit(&self, address: &str) -> Result<(Secret, String), String> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tls_backend_preconfigured(tls())
            .build()
            .unwrap();
        let answer = client.get(address).send().await.unwrap();
        let Some(back) = answer.headers().get("location").cloned() else {
            return Err(answer.text().await.unwrap());
        };
        let back = back.to_str().unwrap().to_owned();
        let query = back.split_once('?').unwrap().1;
        let part = |name: &str| {
            let found = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
            found.unwrap().to_owned()
        };
        assert!(back.starts_with(BASE), "{back}");
        Ok((Secret::new(part("code")), part("state")))
    }

    async fn sign_in(&self, kind: ProviderKind) -> Result<Account, Failure> {
        let provider = self.provider(kind);
        let drawn = challenge(7);
        let address = provider.begin(&drawn).await?;
        let (code, state) = self.visit(&address).await.unwrap();
        assert_eq!(state, drawn.state.reveal());
        provider.finish(&code, &drawn, &BTreeSet::from(["groups".to_owned()])).await
    }

    async fn refused(&self, kind: ProviderKind, lie: Lie) -> Failure {
        self.there.lies(lie);
        let failure = self.sign_in(kind).await.expect_err(&format!("{kind} {lie:?}"));
        self.there.lies(None);
        let text = failure.to_string();
        for secret in [CLIENT_SECRET, "code-", "token-", challenge(7).verifier.reveal()] {
            assert!(!text.contains(secret), "{text}");
        }
        failure
    }
}

fn tls() -> rustls::ClientConfig {
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

#[tokio::test]
async fn each_provider_vouches_for_whoever_is_there() {
    let place = Place::new().await;
    place.there.is(Person::new(583_231, "ada").with("groups", json!(["staff", "all"])));
    for kind in ALL {
        let account = place.sign_in(kind).await.unwrap_or_else(|error| panic!("{kind}: {error}"));
        let subject = match kind {
            ProviderKind::Github | ProviderKind::Gitlab => "583231",
            _ => "sub-583231",
        };
        assert_eq!(account.id(), format!("{kind}:{subject}"));
        assert_eq!(account.login.as_deref(), Some("ada"));
        assert_eq!(account.email.as_deref(), Some("ada@example.org"), "{kind}");
        let groups: Vec<_> = account.claims.get("groups").into_iter().flatten().collect();
        let wanted: &[&str] = if matches!(kind, ProviderKind::Github | ProviderKind::Gitlab) {
            &[]
        } else {
            &["all", "staff"]
        };
        assert_eq!(groups, wanted, "{kind}");
    }
    assert_eq!(place.there.complaints(), [""; 0]);
}

#[tokio::test]
async fn an_address_counts_only_where_the_provider_has_verified_it() {
    let place = Place::new().await;
    for kind in ALL {
        place.there.is(Person { verified: false, ..Person::new(1, "eve") });
        assert_eq!(place.sign_in(kind).await.unwrap().email, None, "{kind}: unverified");
        place.there.is(Person { email: None, ..Person::new(1, "eve") });
        assert_eq!(place.sign_in(kind).await.unwrap().email, None, "{kind}: missing");
    }
    place.there.is(Person::new(1, "eve"));
    place.there.lies(Lie::NoEmails);
    let account = place.sign_in(ProviderKind::Github).await.unwrap();
    assert_eq!((account.login.as_deref(), account.email), (Some("eve"), None));
}

#[tokio::test]
async fn an_id_token_that_is_not_what_it_is_to_be_is_not_believed() {
    let place = Place::new().await;
    for kind in [ProviderKind::Oidc, ProviderKind::Linkedin] {
        for lie in [
            Lie::ForeignKey,
            Lie::Unsigned,
            Lie::Shared,
            Lie::Expired,
            Lie::Old,
            Lie::Early,
            Lie::Issuer,
            Lie::Audience,
            Lie::FurtherAudience,
            Lie::Nonce,
            Lie::AccessToken,
            Lie::NoIdToken,
            Lie::Altered,
            Lie::Subject,
        ] {
            let failure = place.refused(kind, lie).await;
            assert_eq!(failure.kind, FailureKind::Denied, "{kind} {lie:?}: {failure}");
            assert!(failure.cause.contains("not to be believed"), "{kind} {lie:?}: {failure}");
        }
    }
    let failure = place.refused(ProviderKind::Oidc, Lie::NoNonce).await;
    assert_eq!(failure.kind, FailureKind::Denied, "{failure}");
    assert!(place.sign_in(ProviderKind::Oidc).await.is_ok(), "a true one is, right afterwards");
    assert_eq!(place.there.complaints(), [""; 0]);
}

#[tokio::test]
async fn a_nonce_serves_one_sign_in() {
    let place = Place::new().await;
    let provider = place.provider(ProviderKind::Oidc);
    let (one, two) = (challenge(7), challenge(9));
    let (code, _) = place.visit(&provider.begin(&one).await.unwrap()).await.unwrap();
    // Of the first sign-in everything but the nonce.
    let mixed = Challenge { nonce: two.nonce, ..one };
    let failure = provider.finish(&code, &mixed, &BTreeSet::new()).await.unwrap_err();
    assert!(failure.cause.contains("another sign-in"), "{failure}");
}

#[tokio::test]
async fn a_code_is_of_use_once_and_only_with_its_proof_key() {
    let place = Place::new().await;
    for kind in ALL {
        let provider = place.provider(kind);
        let (one, two) = (challenge(7), challenge(100));
        let (stolen, _) = place.visit(&provider.begin(&one).await.unwrap()).await.unwrap();
        let failure = provider.finish(&stolen, &two, &BTreeSet::new()).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Denied, "{kind}: {failure}");
        let (code, _) = place.visit(&provider.begin(&one).await.unwrap()).await.unwrap();
        assert!(provider.finish(&code, &one, &BTreeSet::new()).await.is_ok());
        let again = provider.finish(&code, &one, &BTreeSet::new()).await.unwrap_err();
        assert_eq!(again.kind, FailureKind::Denied, "{kind}: {again}");
    }
}

#[tokio::test]
async fn a_provider_that_refuses_is_answered_with_what_to_do() {
    let place = Place::new().await;
    for kind in ALL {
        let failure = place.refused(kind, Lie::Refuses("invalid_client")).await;
        assert_eq!(failure.kind, FailureKind::Denied);
        assert!(failure.advice.contains(&format!("auth.{kind}.client_secret")), "{failure}");
        let failure = place.refused(kind, Lie::Refuses("redirect_uri_mismatch")).await;
        let back = BASE.to_owned() + &callback_path(kind);
        assert!(failure.advice.contains(&back), "{failure}");
        let failure = place.refused(kind, Lie::Refuses("access\u{1b}[31m_denied")).await;
        assert!(!failure.to_string().contains('\u{1b}'), "{failure}");
    }
}

#[tokio::test]
async fn linkedin_that_takes_no_proof_key_is_named_and_can_be_told_so() {
    let mut place = Place::new().await;
    place.there.takes_no_proof_key();
    let failure = place.sign_in(ProviderKind::Linkedin).await.unwrap_err();
    assert!(failure.advice.contains("auth.linkedin.pkce"), "{failure}");
    place.config.linkedin.pkce = false;
    assert!(place.sign_in(ProviderKind::Linkedin).await.is_ok());
}

#[tokio::test]
async fn a_provider_that_is_slow_or_answers_nonsense_holds_nobody_up() {
    let place = Place::new().await;
    for kind in ALL {
        let failure = place.refused(kind, Lie::Silent).await;
        assert_eq!(failure.kind, FailureKind::TimedOut, "{failure}");
        let failure = place.refused(kind, Lie::Html).await;
        assert_eq!(failure.kind, FailureKind::Other, "{failure}");
        let failure = place.refused(kind, Lie::Endless).await;
        assert_eq!(failure.kind, FailureKind::Unreachable, "{failure}");
        assert!(failure.cause.contains("too long"), "{failure}");
    }
    for lie in [Lie::OtherIssuer, Lie::PlainEndpoint] {
        let failure = place.refused(ProviderKind::Oidc, lie).await;
        let kinds = [FailureKind::Other, FailureKind::Unreachable];
        assert!(kinds.contains(&failure.kind), "{lie:?}: {failure}");
    }
    let gone = Place::new().await;
    let provider = gone.provider(ProviderKind::Oidc);
    drop(gone);
    let failure = provider.begin(&challenge(1)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable, "{failure}");
}

#[tokio::test]
async fn a_provider_that_is_gone_is_let_be_for_a_moment_and_what_it_said_before_serves() {
    let clock: Arc<FixedClock> = Arc::default();
    let place = Place { clock: clock.clone(), ..Place::new().await };
    let (known, unknown) = (place.provider(ProviderKind::Oidc), place.provider(ProviderKind::Oidc));
    assert!(known.begin(&challenge(1)).await.is_ok());
    place.there.lies(Lie::Html);
    let first = unknown.begin(&challenge(1)).await.unwrap_err();
    place.there.lies(None);
    let second = unknown.begin(&challenge(1)).await.unwrap_err();
    assert_eq!(first, second, "it is not asked again so soon");
    clock.advance(Duration::from_secs(11));
    assert!(unknown.begin(&challenge(1)).await.is_ok());
    place.there.lies(Lie::Html);
    clock.advance(Duration::from_hours(2));
    assert!(known.begin(&challenge(1)).await.is_ok(), "what it said two hours ago serves");
}

#[tokio::test]
async fn a_provider_that_changes_its_key_is_asked_for_the_new_one() {
    let place = Place::new().await;
    let provider = place.provider(ProviderKind::Oidc);
    let drawn = challenge(7);
    let (code, _) = place.visit(&provider.begin(&drawn).await.unwrap()).await.unwrap();
    place.there.changes_its_key();
    assert!(provider.finish(&code, &drawn, &BTreeSet::new()).await.is_ok());
}

#[tokio::test]
async fn the_clock_decides_what_has_ended() {
    let mut place = Place::new().await;
    let clock: Arc<FixedClock> = Arc::default();
    place.clock = clock.clone();
    let failure = place.sign_in(ProviderKind::Oidc).await.unwrap_err();
    assert!(failure.advice.contains("clock"), "this machine is far behind: {failure}");
}
