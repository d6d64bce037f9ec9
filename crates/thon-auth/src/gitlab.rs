//! GitLab, the public one and one's own.
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

pub(crate) struct Gitlab {
    oauth: OAuth,
    api: String,
}

/// `GET /api/v4/user`.
#[derive(Deserialize)]
struct User {
    id: u64,
    username: String,
    name: Option<String>,
    email: Option<String>,
    /// When the address was confirmed.
    confirmed_at: Option<String>,
}

impl Gitlab {
    /// At gitlab.com, or at a server of one's own.
    pub(crate) fn new(client: Client, own: Option<&WebUrl>, http: Http) -> Self {
        let base = own.map_or("https://gitlab.com", WebUrl::base);
        let oauth = OAuth {
            client,
            authorize: format!("{base}/oauth/authorize"),
            token: format!("{base}/oauth/token"),
            scopes: &["read_user"],
            http,
        };
        Self { oauth, api: format!("{base}/api/v4") }
    }
}

#[async_trait]
impl IdentityProvider for Gitlab {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Gitlab
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
        let mail = user.email.filter(|_| user.confirmed_at.is_some());
        Ok(account
            .with_login(Some(&user.username))
            .with_name(user.name.as_deref())
            .with_verified_email(mail.as_deref()))
    }
}
