//! A provider for tests.
//!
//! For: GitHub, GitLab, LinkedIn and an OpenID provider on this machine's loopback that check every
//! parameter of the exchange, write down what is wrong with it, and lie where a test wants them to.
//! Not for: real accounts; it believes whoever comes.

#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a fixture of tests")]

mod exchange;
mod tokens;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::routing::{get, post};
use serde_json::Value;
use thon_core::access::{IdentityProvider, ProviderKind};
use thon_core::adapter::Clock;
use thon_core::config::{AuthConfig, WebUrl};
use tokio::net::TcpListener;

pub use tokens::Key;

use crate::Http;

/// What THON is known by at the stand-in.
pub const CLIENT_ID: &str = "thon-client";

/// The secret that goes with it.
pub const CLIENT_SECRET: &str = "s3cret/with+signs=and:more";

/// Whoever sits in front of the browser.
#[derive(Debug, Clone)]
pub struct Person {
    /// Their number.
    pub number: u64,
    /// Their name at the provider.
    pub login: String,
    /// Their e-mail address, if they show one.
    pub email: Option<String>,
    /// Whether the provider has verified it.
    pub verified: bool,
    /// Further claims.
    pub claims: BTreeMap<String, Value>,
}

impl Person {
    /// Somebody with a verified address.
    #[must_use]
    pub fn new(number: u64, login: &str) -> Self {
        Self {
            number,
            login: login.to_owned(),
            email: Some(format!("{login}@example.org")),
            verified: true,
            claims: BTreeMap::new(),
        }
    }

    /// With a claim.
    #[must_use]
    pub fn with(mut self, claim: &str, value: Value) -> Self {
        self.claims.insert(claim.to_owned(), value);
        self
    }
}

/// In what the stand-in is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// The ID token is signed with a key that isn't the provider's, under its name.
    ForeignKey,
    /// The ID token is not signed (`alg: none`).
    Unsigned,
    /// The ID token is signed with the client's secret (HS256).
    Shared,
    /// The ID token has ended.
    Expired,
    /// The ID token was made an hour ago and lasts.
    Old,
    /// The ID token is of an hour from now.
    Early,
    /// The ID token is of another issuer.
    Issuer,
    /// The ID token is for another client.
    Audience,
    /// The ID token is for this client and for another one.
    FurtherAudience,
    /// The ID token has the nonce of another sign-in.
    Nonce,
    /// The ID token has no nonce.
    NoNonce,
    /// The ID token belongs to another access token.
    AccessToken,
    /// There is no ID token.
    NoIdToken,
    /// Somebody changed the ID token's claims after it was signed.
    Altered,
    /// Who it is, is said of somebody else.
    Subject,
    /// Discovery names another issuer.
    OtherIssuer,
    /// Discovery names a token endpoint without TLS elsewhere.
    PlainEndpoint,
    /// The code is refused.
    Refuses(&'static str),
    /// Answers are HTML.
    Html,
    /// Answers never end.
    Endless,
    /// The token endpoint never answers.
    Silent,
    /// The API has no e-mail addresses to show.
    NoEmails,
}

/// Somebody who began to sign in.
#[derive(Debug, Clone)]
struct Begun {
    provider: ProviderKind,
    redirect: String,
    challenge: Option<String>,
    nonce: Option<String>,
    person: Person,
}

#[derive(Debug)]
struct Table {
    person: Person,
    lie: Option<Lie>,
    /// LinkedIn's application is enabled for proof keys.
    pkce: bool,
    codes: BTreeMap<String, Begun>,
    tokens: BTreeMap<String, Person>,
    complaints: Vec<String>,
    drawn: u64,
    key: Arc<Key>,
    foreign: Arc<Key>,
}

#[derive(Debug, Clone)]
struct Shared {
    url: String,
    /// Where people come back to, before `/api/auth/callback`.
    base: String,
    table: Arc<Mutex<Table>>,
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap()
    }

    fn issuer(&self, provider: ProviderKind) -> String {
        format!("{}/{provider}", self.url)
    }

    /// Writes down what is wrong with a request.
    fn complain(&self, text: String) -> String {
        self.table().complaints.push(text.clone());
        text
    }
}

/// The stand-in; it ends with its value.
#[derive(Debug)]
pub struct StandIn {
    shared: Shared,
    serving: tokio::task::JoinHandle<()>,
}

impl StandIn {
    /// Stands in for all providers; people come back to `base`.
    pub async fn start(base: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let table = Table {
            person: Person::new(1, "nobody"),
            lie: None,
            pkce: true,
            codes: BTreeMap::new(),
            tokens: BTreeMap::new(),
            complaints: Vec::new(),
            drawn: 0,
            key: Arc::new(Key::new("one")),
            foreign: Arc::new(Key::new("one")),
        };
        let shared = Shared {
            url: format!("http://{}", listener.local_addr().unwrap()),
            base: base.to_owned(),
            table: Arc::new(Mutex::new(table)),
        };
        let router = Router::new()
            .route("/{provider}/.well-known/openid-configuration", get(exchange::discover))
            .route("/{provider}/keys", get(exchange::keys))
            .route("/{provider}/authorize", get(exchange::authorize))
            .route("/{provider}/login/oauth/authorize", get(exchange::authorize))
            .route("/{provider}/oauth/authorize", get(exchange::authorize))
            .route("/{provider}/token", post(exchange::token))
            .route("/{provider}/login/oauth/access_token", post(exchange::token))
            .route("/{provider}/oauth/token", post(exchange::token))
            .route("/{provider}/userinfo", get(exchange::userinfo))
            .route("/{provider}/api/v3/user", get(exchange::github_user))
            .route("/{provider}/api/v3/user/emails", get(exchange::github_emails))
            .route("/{provider}/api/v4/user", get(exchange::gitlab_user))
            .with_state(shared.clone());
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self { shared, serving }
    }

    /// The address of a provider: its issuer, or its server.
    #[must_use]
    pub fn url(&self, provider: ProviderKind) -> String {
        self.shared.issuer(provider)
    }

    /// `auth:` of a thon.yaml that uses all of it but LinkedIn, which is nowhere but at its own address.
    #[must_use]
    pub fn config(&self, allow: &str) -> String {
        let of = |provider| self.url(provider);
        format!(
            "auth:\n  enabled: true\n  \
             github: {{client_id: {CLIENT_ID}, client_secret: '{CLIENT_SECRET}', base_url: '{}'}}\n  \
             gitlab: {{client_id: {CLIENT_ID}, client_secret: '{CLIENT_SECRET}', base_url: '{}'}}\n  \
             oidc: {{client_id: {CLIENT_ID}, client_secret: '{CLIENT_SECRET}', issuer: '{}'}}\n  \
             allow:\n{allow}\n",
            of(ProviderKind::Github),
            of(ProviderKind::Gitlab),
            of(ProviderKind::Oidc),
        )
    }

    /// Who sits in front of the browser from now on.
    pub fn is(&self, person: Person) {
        self.shared.table().person = person;
    }

    /// In what it is wrong from now on.
    pub fn lies(&self, lie: impl Into<Option<Lie>>) {
        self.shared.table().lie = lie.into();
    }

    /// LinkedIn's application is not enabled for proof keys.
    pub fn takes_no_proof_key(&self) {
        self.shared.table().pkce = false;
    }

    /// The provider has another key from now on.
    pub fn changes_its_key(&self) {
        self.shared.table().key = Arc::new(Key::new("two"));
    }

    /// What was wrong with the requests so far.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        self.shared.table().complaints.clone()
    }
}

/// LinkedIn at another address than its own.
#[must_use]
pub fn linkedin(
    at: &str,
    config: &AuthConfig,
    base: &WebUrl,
    http: &Http,
    clock: &Arc<dyn Clock>,
) -> Arc<dyn IdentityProvider> {
    let client = crate::Client::new(ProviderKind::Linkedin, config, base);
    crate::linkedin(client, at, config.linkedin.pkce, http.clone(), clock)
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
