//! Signing in with an account that somebody has elsewhere.
//!
//! For: the providers of [`thon_core::access::IdentityProvider`]: GitHub and GitLab over `OAuth2`,
//! LinkedIn and any other over OpenID Connect; authorization code with a proof key, and ID tokens that
//! are checked.
//! Not for: what an account may do, sessions and cookies.

mod error;
mod github;
mod gitlab;
mod http;
mod oauth;
mod oidc;
#[cfg(feature = "testing")]
pub mod testing;

use std::sync::Arc;

pub use error::AuthError;
pub use http::Http;
use thon_core::access::{IdentityProvider, ProviderKind};
use thon_core::adapter::Clock;
use thon_core::config::{AuthConfig, WebUrl};
use thon_core::secret::Secret;

/// What a provider knows THON by.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) provider: ProviderKind,
    pub(crate) id: String,
    pub(crate) secret: Secret,
    /// Where people come back to.
    pub(crate) redirect: String,
}

impl Client {
    fn new(provider: ProviderKind, config: &AuthConfig, base: &WebUrl) -> Self {
        let (id, secret) = config.credentials(provider);
        let redirect = base.base().to_owned() + &callback_path(provider);
        Self { provider, id: id.to_owned(), secret: secret.clone(), redirect }
    }
}

/// The path at which people come back from a provider.
#[must_use]
pub fn callback_path(provider: ProviderKind) -> String {
    format!("/api/auth/callback/{provider}")
}

/// LinkedIn's issuer, as it names itself in `https://www.linkedin.com/oauth/.well-known/openid-configuration`.
pub const LINKEDIN: &str = "https://www.linkedin.com/oauth";

/// The provider of that kind, if people can sign in with it. `base` is where they reach the dashboard;
/// they come back to [`callback_path`] below it.
#[must_use]
pub fn provider(
    provider: ProviderKind,
    config: &AuthConfig,
    base: &WebUrl,
    http: &Http,
    clock: &Arc<dyn Clock>,
) -> Option<Arc<dyn IdentityProvider>> {
    if !config.offers(provider) {
        return None;
    }
    let client = Client::new(provider, config, base);
    let http = http.clone();
    let made: Arc<dyn IdentityProvider> = match provider {
        ProviderKind::Github => {
            Arc::new(github::Github::new(client, config.github.base_url.as_ref(), http))
        }
        ProviderKind::Gitlab => {
            Arc::new(gitlab::Gitlab::new(client, config.gitlab.base_url.as_ref(), http))
        }
        ProviderKind::Linkedin => linkedin(client, LINKEDIN, config.linkedin.pkce, http, clock),
        ProviderKind::Oidc => {
            let scopes = config.oidc.scopes.split_whitespace().map(ToOwned::to_owned).collect();
            let issuer = config.oidc.issuer.as_ref()?.as_str().to_owned();
            let ways = oidc::Ways { pkce: true, nonce: true };
            Arc::new(oidc::Oidc::new(client, issuer, scopes, ways, http, Arc::clone(clock)))
        }
    };
    Some(made)
}

/// LinkedIn at an issuer. Its ID tokens hold no nonce: the proof key binds the code instead.
fn linkedin(
    client: Client,
    issuer: &str,
    pkce: bool,
    http: Http,
    clock: &Arc<dyn Clock>,
) -> Arc<dyn IdentityProvider> {
    let scopes = ["openid", "profile", "email"].map(ToOwned::to_owned).into();
    let ways = oidc::Ways { pkce, nonce: false };
    Arc::new(oidc::Oidc::new(client, issuer.to_owned(), scopes, ways, http, Arc::clone(clock)))
}
