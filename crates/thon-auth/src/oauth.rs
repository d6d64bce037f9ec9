//! Authorization code over plain `OAuth2`, for providers without ID tokens.
//!
//! For: what GitHub and GitLab have in common.
//! Not for: what each says of an account.

use oauth2::basic::{BasicClient, BasicErrorResponse, BasicTokenResponse};
use oauth2::http::{Request, StatusCode, header};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet,
    EndpointSet, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope,
    TokenResponse as _, TokenUrl,
};
use serde::de::DeserializeOwned;
use thon_core::access::{Account, Challenge};
use thon_core::secret::Secret;

use crate::Client;
use crate::error::{AuthError, words};
use crate::http::{Http, NoAnswer};

type Ready = BasicClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// A provider's endpoints, and what is asked of it.
#[derive(Debug, Clone)]
pub(crate) struct OAuth {
    pub(crate) client: Client,
    pub(crate) authorize: String,
    pub(crate) token: String,
    pub(crate) scopes: &'static [&'static str],
    pub(crate) http: Http,
}

impl OAuth {
    fn ready(&self) -> Result<Ready, AuthError> {
        let odd = |cause: String| self.odd("its address", &cause);
        let authorize = AuthUrl::new(self.authorize.clone()).map_err(|e| odd(e.to_string()))?;
        let token = TokenUrl::new(self.token.clone()).map_err(|e| odd(e.to_string()))?;
        let redirect =
            RedirectUrl::new(self.client.redirect.clone()).map_err(|e| odd(e.to_string()))?;
        Ok(BasicClient::new(ClientId::new(self.client.id.clone()))
            .set_client_secret(ClientSecret::new(self.client.secret.reveal().to_owned()))
            .set_auth_type(AuthType::RequestBody)
            .set_auth_uri(authorize)
            .set_token_uri(token)
            .set_redirect_uri(redirect))
    }

    fn odd(&self, what: &'static str, cause: &str) -> AuthError {
        AuthError::Odd { provider: self.client.provider, what, cause: words(cause) }
    }

    fn refused(&self, error: &BasicErrorResponse) -> AuthError {
        AuthError::Refused {
            provider: self.client.provider,
            cause: words(&error.to_string()),
            redirect: self.client.redirect.clone(),
        }
    }

    /// The address that the browser is sent to.
    pub(crate) fn begin(&self, challenge: &Challenge) -> Result<String, AuthError> {
        let verifier = PkceCodeVerifier::new(challenge.verifier.reveal().to_owned());
        let state = challenge.state.reveal().to_owned();
        let client = self.ready()?;
        let scopes = self.scopes.iter().map(|scope| Scope::new((*scope).to_owned()));
        let (url, _) = client
            .authorize_url(move || CsrfToken::new(state))
            .add_scopes(scopes)
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .url();
        Ok(url.into())
    }

    /// The access token for a code.
    pub(crate) async fn exchange(
        &self,
        code: &Secret,
        challenge: &Challenge,
    ) -> Result<Secret, AuthError> {
        let client = self.ready()?;
        let answer = client
            .exchange_code(AuthorizationCode::new(code.reveal().to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(challenge.verifier.reveal().to_owned()))
            .request_async(&self.http)
            .await;
        let said: BasicTokenResponse = answer.map_err(|error| match error {
            RequestTokenError::ServerResponse(error) => self.refused(&error),
            RequestTokenError::Request(error) => error.of(self.client.provider),
            // GitHub says with status 200 that it refuses.
            RequestTokenError::Parse(error, body) => match serde_json::from_slice(&body) {
                Ok(refusal) => self.refused(&refusal),
                Err(_) => self.odd("a code", &error.to_string()),
            },
            RequestTokenError::Other(cause) => self.odd("a code", &cause),
        })?;
        Ok(Secret::new(said.access_token().secret().clone()))
    }

    /// What the provider's API says at `url` to whoever has `token`; nothing where it says that this
    /// is nobody's to know.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        what: &'static str,
        url: &str,
        token: &Secret,
    ) -> Result<Option<T>, AuthError> {
        let request = Request::get(url)
            .header(header::ACCEPT, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {}", token.reveal()))
            .body(Vec::new())
            .map_err(|error| self.odd(what, &error.to_string()))?;
        let answer = self
            .http
            .send(request)
            .await
            .map_err(|error: NoAnswer| error.of(self.client.provider))?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                return Ok(None);
            }
            status => return Err(self.odd(what, &format!("status {status}"))),
        }
        let said = serde_json::from_slice(answer.body());
        said.map(Some).map_err(|error| self.odd(what, &error.to_string()))
    }

    /// Who it is by what the provider's API says at `url`.
    pub(crate) async fn who<T: DeserializeOwned>(
        &self,
        url: &str,
        token: &Secret,
    ) -> Result<T, AuthError> {
        self.ask("who it is", url, token).await?.ok_or_else(|| self.nobody())
    }

    /// The account of that number.
    pub(crate) fn account(&self, number: u64) -> Result<Account, AuthError> {
        Account::new(self.client.provider, &number.to_string()).ok_or_else(|| self.nobody())
    }

    /// The refusal of an account of which the provider says nothing.
    fn nobody(&self) -> AuthError {
        AuthError::NotBelieved {
            provider: self.client.provider,
            cause: "it says nothing of whose account it is".to_owned(),
        }
    }
}
