//! Asking a provider over HTTP.
//!
//! For: a bound on time and size, TLS or this machine's loopback alone, no redirects: what is sent
//! holds secrets, and what comes back decides who gets in.
//! Not for: what is asked.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use oauth2::AsyncHttpClient;
use oauth2::http::{Request, Response};
use thiserror::Error;
use thon_core::access::ProviderKind;
use thon_core::config::WebUrl;

use crate::error::AuthError;

/// How long a provider may take for an answer.
const LONGEST: Duration = Duration::from_secs(10);

/// The most bytes of an answer that are read: keys and claims take a few thousand.
const LARGEST: usize = 1 << 20;

/// How THON calls itself; GitHub answers nobody who doesn't.
const NAME: &str = concat!("thon/", env!("CARGO_PKG_VERSION"));

/// Asks providers.
#[derive(Debug, Clone)]
pub struct Http {
    client: reqwest::Client,
    /// No proxy leads to this machine's own loopback.
    here: reqwest::Client,
    longest: Duration,
}

/// Why there is no answer.
#[doc(hidden)]
#[derive(Debug, Error)]
pub enum NoAnswer {
    #[error("{place}: {cause}")]
    Unreachable { place: String, cause: String },
    #[error("{place}: no answer in time")]
    Slow { place: String, seconds: u64 },
}

impl NoAnswer {
    pub(crate) fn of(self, provider: ProviderKind) -> AuthError {
        match self {
            Self::Unreachable { place, cause } => AuthError::Unreachable { provider, place, cause },
            Self::Slow { place, seconds } => AuthError::Slow { provider, place, seconds },
        }
    }
}

impl Http {
    /// Trusts whom this machine trusts.
    pub fn new() -> Result<Self, thon_core::adapter::Failure> {
        Self::with_time(LONGEST)
    }

    /// The same with another bound on time.
    pub fn with_time(longest: Duration) -> Result<Self, thon_core::adapter::Failure> {
        let failed = |cause: String| {
            let advice =
                "see that this machine has its certificates, such as the package ca-certificates";
            let (kind, tried) =
                (thon_core::adapter::FailureKind::Other, "preparing to sign people in");
            thon_core::adapter::Failure::new(kind, tried, cause, advice)
        };
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let builder = || {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .redirect(reqwest::redirect::Policy::none())
                .timeout(longest)
                .user_agent(NAME)
        };
        let built = |builder: reqwest::ClientBuilder| {
            builder.build().map_err(|error| failed(error.to_string()))
        };
        Ok(Self { client: built(builder())?, here: built(builder().no_proxy())?, longest })
    }

    /// Sends a request.
    pub(crate) async fn send(
        &self,
        request: Request<Vec<u8>>,
    ) -> Result<Response<Vec<u8>>, NoAnswer> {
        let uri = request.uri().to_string();
        let place = uri.split(['?', '#']).next().unwrap_or_default().to_owned();
        let unreachable =
            |cause: &str| NoAnswer::Unreachable { place: place.clone(), cause: cause.to_owned() };
        let url: WebUrl =
            place.parse().map_err(|_| unreachable("it is not an address over TLS"))?;
        let failed = |error: reqwest::Error| {
            if error.is_timeout() {
                return NoAnswer::Slow { place: place.clone(), seconds: self.longest.as_secs() };
            }
            unreachable(&innermost(&error.without_url()))
        };
        let client = if url.is_https() { &self.client } else { &self.here };
        let asked = reqwest::Request::try_from(request).map_err(failed)?;
        let mut answer = client.execute(asked).await.map_err(failed)?;
        let mut response = Response::builder().status(answer.status());
        if let Some(headers) = response.headers_mut() {
            *headers = answer.headers().clone();
        }
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(failed)? {
            if body.len() + part.len() > LARGEST {
                return Err(unreachable("its answer is too long"));
            }
            body.extend_from_slice(&part);
        }
        response.body(body).map_err(|error| unreachable(&error.to_string()))
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = NoAnswer;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Vec<u8>>, NoAnswer>> + Send + 'c>>;

    fn call(&'c self, request: Request<Vec<u8>>) -> Self::Future {
        Box::pin(self.send(request))
    }
}

/// What is at the bottom of an error: the words that say what happened.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
