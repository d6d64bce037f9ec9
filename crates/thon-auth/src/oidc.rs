//! OpenID Connect.
//!
//! For: discovery, the exchange, and an ID token that is believed only after everything about it was
//! checked: signature, algorithm, issuer, audience, times, nonce and the access token that it is for.
//! Not for: signatures themselves; the crate `openidconnect` computes those.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreClientAuthMethod, CoreErrorResponseType, CoreGenderClaim,
    CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm,
    CoreProviderMetadata, CoreResponseType, CoreRevocableToken, CoreRevocationErrorResponse,
    CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AccessTokenHash, AdditionalClaims, AuthType, AuthenticationFlow, AuthorizationCode,
    ClaimsVerificationError, ClientId, ClientSecret, CsrfToken, EmptyExtraTokenFields,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, IdTokenClaims, IdTokenFields, IssuerUrl, Nonce,
    OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError,
    Scope, SignatureVerificationError, StandardErrorResponse, StandardTokenResponse,
    TokenResponse as _, UserInfoClaims, UserInfoError,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thon_core::access::{Account, Challenge, IdentityProvider, ProviderKind, same};
use thon_core::adapter::{Clock, Failure};
use thon_core::secret::Secret;
use tokio::sync::Mutex;

use crate::Client;
use crate::error::{AuthError, words};
use crate::http::Http;

/// How long what a provider says of itself is kept.
const KEPT: Duration = Duration::from_hours(1);

/// For how long a provider that said nothing is let be: whoever comes meanwhile is told at once.
const LET_BE: Duration = Duration::from_secs(10);

/// How far the clocks of a provider and of this machine may be apart.
const SKEW: Duration = Duration::from_mins(5);

/// How old an ID token may be: it was made a moment ago.
const OLDEST: Duration = Duration::from_mins(10);

/// The algorithms of signatures that are believed: those whose keys the provider alone has.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// The most values of one claim that are kept, and the longest of them, in characters.
const MOST_VALUES: (usize, usize) = (500, 254);

/// Whatever a provider says of an account beside the usual.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Further(BTreeMap<String, Value>);

impl AdditionalClaims for Further {}

type Token = StandardTokenResponse<
    IdTokenFields<
        Further,
        EmptyExtraTokenFields,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    >,
    CoreTokenType,
>;

type Ready = openidconnect::Client<
    Further,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Token,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What not every provider does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ways {
    /// It takes a proof key.
    pub(crate) pkce: bool,
    /// Its ID tokens hold the nonce.
    pub(crate) nonce: bool,
}

pub(crate) struct Oidc {
    client: Client,
    issuer: String,
    scopes: Vec<String>,
    ways: Ways,
    http: Http,
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
}

/// What is known of a provider.
#[derive(Default)]
struct Known {
    /// What it said of itself last, and when.
    said: Option<(SystemTime, CoreProviderMetadata)>,
    /// Why it said nothing when it was asked last, and when that was.
    failed: Option<(SystemTime, AuthError)>,
}

impl Oidc {
    pub(crate) fn new(
        client: Client,
        issuer: String,
        scopes: Vec<String>,
        ways: Ways,
        http: Http,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { client, issuer, scopes, ways, http, clock, known: Mutex::default() }
    }

    const fn provider(&self) -> ProviderKind {
        self.client.provider
    }

    fn odd(&self, what: &'static str, cause: &str) -> AuthError {
        AuthError::Odd { provider: self.provider(), what, cause: words(cause) }
    }

    fn not_believed(&self, cause: &str) -> AuthError {
        AuthError::NotBelieved { provider: self.provider(), cause: words(cause) }
    }

    /// What the provider says of itself; asked for again where it has to be `fresh`.
    async fn metadata(&self, fresh: bool) -> Result<CoreProviderMetadata, AuthError> {
        // Asked by one at a time: who comes meanwhile has the same answer.
        let mut known = self.known.lock().await;
        let now = self.clock.now();
        let within = |at: SystemTime, time| now.duration_since(at).is_ok_and(|since| since < time);
        if let Some((at, metadata)) = known.said.as_ref().filter(|_| !fresh)
            && within(*at, KEPT)
        {
            return Ok(metadata.clone());
        }
        if let Some((at, error)) = &known.failed
            && within(*at, LET_BE)
        {
            // What it said an hour ago still serves while it says nothing.
            let old = known.said.as_ref().filter(|_| !fresh);
            return old.map(|(_, metadata)| metadata.clone()).ok_or_else(|| error.clone());
        }
        let found = self.discover().await;
        match found {
            Ok(metadata) => {
                *known = Known { said: Some((now, metadata.clone())), failed: None };
                Ok(metadata)
            }
            Err(error) => {
                known.failed = Some((self.clock.now(), error.clone()));
                let old = known.said.as_ref().filter(|_| !fresh);
                old.map(|(_, metadata)| metadata.clone()).ok_or(error)
            }
        }
    }

    async fn discover(&self) -> Result<CoreProviderMetadata, AuthError> {
        let issuer = IssuerUrl::new(self.issuer.clone())
            .map_err(|error| self.odd("its address", &error.to_string()))?;
        let found = CoreProviderMetadata::discover_async(issuer, &self.http).await;
        found.map_err(|error| match error {
            openidconnect::DiscoveryError::Request(error) => error.of(self.provider()),
            openidconnect::DiscoveryError::Validation(cause) => self.odd(
                "what it is",
                &format!(
                    "it names itself otherwise than auth.{}.issuer does: {cause}",
                    self.provider()
                ),
            ),
            other => self.odd("what it is", &whole(&other)),
        })
    }

    fn ready(&self, metadata: CoreProviderMetadata) -> Result<Ready, AuthError> {
        // As it says; without a word, as the standard says.
        let ways = metadata.token_endpoint_auth_methods_supported();
        let by_header =
            ways.is_none_or(|ways| ways.contains(&CoreClientAuthMethod::ClientSecretBasic));
        let redirect = RedirectUrl::new(self.client.redirect.clone())
            .map_err(|error| self.odd("its address", &error.to_string()))?;
        let secret = ClientSecret::new(self.client.secret.reveal().to_owned());
        let id = ClientId::new(self.client.id.clone());
        Ok(Ready::from_provider_metadata(metadata, id, Some(secret))
            .set_auth_type(if by_header { AuthType::BasicAuth } else { AuthType::RequestBody })
            .set_redirect_uri(redirect))
    }

    /// What was got for a code.
    async fn exchange(
        &self,
        client: &Ready,
        code: &Secret,
        challenge: &Challenge,
    ) -> Result<Token, AuthError> {
        let code = AuthorizationCode::new(code.reveal().to_owned());
        let mut request = client
            .exchange_code(code)
            .map_err(|error| self.odd("what it is", &error.to_string()))?;
        if self.ways.pkce {
            let verifier = PkceCodeVerifier::new(challenge.verifier.reveal().to_owned());
            request = request.set_pkce_verifier(verifier);
        }
        request.request_async(&self.http).await.map_err(|error| match error {
            RequestTokenError::ServerResponse(error) => AuthError::Refused {
                provider: self.provider(),
                cause: words(&error.to_string()),
                redirect: self.client.redirect.clone(),
            },
            RequestTokenError::Request(error) => error.of(self.provider()),
            RequestTokenError::Parse(error, _) => self.odd("a code", &error.to_string()),
            RequestTokenError::Other(cause) => self.odd("a code", &cause),
        })
    }

    /// What the ID token says, if all of it is to be believed.
    fn believed(
        &self,
        client: &Ready,
        token: &Token,
        challenge: &Challenge,
    ) -> Result<IdTokenClaims<Further, CoreGenderClaim>, Disbelief> {
        let id_token =
            token.id_token().ok_or_else(|| Disbelief::of("it gave no ID token".to_owned()))?;
        let now = self.clock.now();
        let verifier = client
            .id_token_verifier()
            .set_allowed_algs(ALGORITHMS)
            .set_time_fn(move || now.into())
            .set_issue_time_verifier_fn(move |at| {
                let at = SystemTime::from(at);
                let early = at.duration_since(now).is_ok_and(|ahead| ahead > SKEW);
                let late = now.duration_since(at).is_ok_and(|behind| behind > OLDEST);
                if early {
                    return Err("it is of a time to come".to_owned());
                }
                if late { Err("it was made long ago".to_owned()) } else { Ok(()) }
            });
        let drawn = challenge.nonce.reveal();
        let needed = self.ways.nonce;
        let nonce = move |shown: Option<&Nonce>| match shown {
            Some(shown) if same(shown.secret().as_bytes(), drawn.as_bytes()) => Ok(()),
            Some(_) => Err("it was made for another sign-in".to_owned()),
            None if needed => Err("it was made for no sign-in".to_owned()),
            None => Ok(()),
        };
        let claims = id_token.claims(&verifier, nonce).map_err(|error| {
            // Providers change their keys.
            let stale = matches!(
                error,
                ClaimsVerificationError::SignatureVerification(
                    SignatureVerificationError::NoMatchingKey
                        | SignatureVerificationError::CryptoError(_)
                )
            );
            Disbelief { cause: whole(&error), stale }
        })?;
        if let Some(wanted) = claims.access_token_hash() {
            let of = |error: &dyn std::error::Error| Disbelief::of(whole(error));
            let algorithm = id_token.signing_alg().map_err(|error| of(&error))?;
            let key = id_token.signing_key(&verifier).map_err(|error| of(&error))?;
            let found = AccessTokenHash::from_token(token.access_token(), algorithm, key);
            if found.map_err(|error| of(&error))? != *wanted {
                return Err(Disbelief::of("it was made for another access token".to_owned()));
            }
        }
        Ok(claims.clone())
    }

    /// What else the provider says to whoever has the access token, of the same person.
    async fn further(
        &self,
        client: &Ready,
        token: &Token,
        claims: &IdTokenClaims<Further, CoreGenderClaim>,
    ) -> Result<Option<Value>, AuthError> {
        let subject = claims.subject().clone();
        let Ok(request) = client.user_info(token.access_token().clone(), Some(subject)) else {
            return Ok(None);
        };
        let said: Result<UserInfoClaims<Further, CoreGenderClaim>, _> =
            request.request_async(&self.http).await;
        let said = said.map_err(|error| match error {
            UserInfoError::Request(error) => error.of(self.provider()),
            UserInfoError::ClaimsVerification(error) => self.not_believed(&whole(&error)),
            other => self.odd("who it is", &whole(&other)),
        })?;
        Ok(serde_json::to_value(&said).ok())
    }
}

/// Why an ID token isn't believed.
struct Disbelief {
    cause: String,
    /// True if the provider may have other keys by now.
    stale: bool,
}

impl Disbelief {
    const fn of(cause: String) -> Self {
        Self { cause, stale: false }
    }
}

/// An error with all that is below it.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text += ": ";
        text += &inner.to_string();
        source = inner.source();
    }
    text
}

#[async_trait]
impl IdentityProvider for Oidc {
    fn kind(&self) -> ProviderKind {
        self.provider()
    }

    fn issuer(&self) -> Option<&str> {
        Some(&self.issuer)
    }

    async fn begin(&self, challenge: &Challenge) -> Result<String, Failure> {
        let client = self.ready(self.metadata(false).await?)?;
        let (state, nonce) =
            (challenge.state.reveal().to_owned(), challenge.nonce.reveal().to_owned());
        let flow = AuthenticationFlow::<CoreResponseType>::AuthorizationCode;
        let mut request =
            client.authorize_url(flow, move || CsrfToken::new(state), move || Nonce::new(nonce));
        // The crate asks for `openid` by itself.
        for scope in self.scopes.iter().filter(|scope| *scope != "openid") {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        if self.ways.pkce {
            let verifier = PkceCodeVerifier::new(challenge.verifier.reveal().to_owned());
            request =
                request.set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        }
        Ok(request.url().0.into())
    }

    async fn finish(
        &self,
        code: &Secret,
        challenge: &Challenge,
        wanted: &BTreeSet<String>,
    ) -> Result<Account, Failure> {
        let client = self.ready(self.metadata(false).await?)?;
        let token = self.exchange(&client, code, challenge).await?;
        let claims = match self.believed(&client, &token, challenge) {
            Err(disbelief) if disbelief.stale => {
                let client = self.ready(self.metadata(true).await?)?;
                self.believed(&client, &token, challenge)
            }
            other => other,
        };
        let claims = claims.map_err(|disbelief| self.not_believed(&disbelief.cause))?;
        let account = Account::new(self.provider(), claims.subject());
        let mut account = account.ok_or_else(|| self.not_believed("it names nobody"))?;
        let mut said = serde_json::to_value(&claims).unwrap_or_default();
        // What the ID token says is signed, and is not replaced.
        if let (Some(Value::Object(further)), Value::Object(known)) =
            (self.further(&client, &token, &claims).await?, &mut said)
        {
            let verified = known.contains_key("email");
            for (name, value) in further {
                // An address and whether it is verified are said in one breath.
                if !(verified && name == "email_verified") {
                    known.entry(name).or_insert(value);
                }
            }
        }
        let text = |name: &str| said.get(name).and_then(Value::as_str);
        let verified = said.get("email_verified").and_then(Value::as_bool).unwrap_or(false);
        account = account
            .with_login(text("preferred_username"))
            .with_name(text("name"))
            .with_verified_email(text("email").filter(|_| verified));
        for name in wanted {
            let values = values(said.get(name));
            if !values.is_empty() {
                account.claims.insert(name.clone(), values);
            }
        }
        Ok(account)
    }
}

/// What a claim holds: one text, a number, a truth value, or a list of those.
fn values(claim: Option<&Value>) -> BTreeSet<String> {
    let (most, longest) = MOST_VALUES;
    let text = |value: &Value| match value {
        Value::String(text) if text.chars().count() <= longest => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    };
    match claim {
        Some(Value::Array(list)) => list.iter().filter_map(text).take(most).collect(),
        Some(single) => text(single).into_iter().collect(),
        None => BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_a_text_or_a_list_of_texts() {
        let of = |value: Value| values(Some(&value)).into_iter().collect::<Vec<_>>();
        assert_eq!(of(json!("staff")), ["staff"]);
        assert_eq!(of(json!(["b", "a", "a", {"x": 1}, null, 7])), ["7", "a", "b"]);
        assert_eq!(of(json!(true)), ["true"]);
        assert!(of(json!({"staff": true})).is_empty() && values(None).is_empty());
        assert_eq!(of(json!(vec!["x".repeat(255)])), [""; 0]);
    }
}
