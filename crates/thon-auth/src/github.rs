//! GitHub, and GitHub Enterprise Server.
//!
//! For: its addresses, and what its API says of an account.
//! Not for: the exchange itself.

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde::Deserialize;
use thon_core::access::{Account, Challenge, IdentityProvider, ProviderKind};
use thon_core::adapter::Failure;
use thon_core::config::WebUrl;
use thon_core::secret::Secret;

use crate::Client;
use crate::http::Http;
use crate::oauth::OAuth;

pub(crate) struct Github {
    oauth: OAuth,
    api: String,
}

/// `GET /user`.
#[derive(Deserialize)]
struct User {
    id: u64,
    login: String,
    name: Option<String>,
}

/// An entry of `GET /user/emails`.
#[derive(Deserialize)]
struct Address {
    email: String,
    primary: bool,
    verified: bool,
}

impl Github {
    /// At github.com, or at a server of one's own, whose API is below its `/api/v3`.
    pub(crate) fn new(client: Client, own: Option<&WebUrl>, http: Http) -> Self {
        let base = own.map_or("https://github.com", WebUrl::base);
        let api = own.map_or_else(
            || "https://api.github.com".to_owned(),
            |own| own.base().to_owned() + "/api/v3",
        );
        let oauth = OAuth {
            client,
            authorize: format!("{base}/login/oauth/authorize"),
            token: format!("{base}/login/oauth/access_token"),
            scopes: &["read:user", "user:email"],
            http,
        };
        Self { oauth, api }
    }
}

#[async_trait]
impl IdentityProvider for Github {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Github
    }

    async fn begin(&self, challenge: &Challenge) -> Result<String, Failure> {
        Ok(self.oauth.begin(challenge)?)
    }

    async fn finish(
        &self,
        code: &Secret,
        challenge: &Challenge,
        _: &BTreeSet<String>,
    ) -> Result<Account, Failure> {
        let token = self.oauth.exchange(code, challenge).await?;
        let user: User = self.oauth.who(&format!("{}/user", self.api), &token).await?;
        let account = self.oauth.account(user.id)?;
        let emails = format!("{}/user/emails", self.api);
        let emails: Option<Vec<Address>> =
            self.oauth.ask("e-mail addresses", &emails, &token).await?;
        let emails = emails.unwrap_or_default();
        let mail = emails.iter().find(|email| email.primary && email.verified);
        Ok(account
            .with_login(Some(&user.login))
            .with_name(user.name.as_deref())
            .with_verified_email(mail.map(|email| email.email.as_str())))
    }
}
