//! The exchange, checked strictly.
//!
//! For: every parameter that the standards and the providers' documents ask for; what is wrong is
//! refused and written down.
//! Not for: making tokens.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Json, Redirect, Response};
use serde_json::{Value, json};
use thon_core::access::{ProviderKind, base64url};

use super::{Begun, CLIENT_ID, CLIENT_SECRET, Lie, Person, Shared};
use crate::callback_path;
use crate::testing::tokens::id_token;

type Pairs = BTreeMap<String, String>;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn sha256(text: &str) -> String {
    base64url(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref())
}

/// The scopes that each provider's documents name for what is wanted here.
const fn scopes(provider: ProviderKind) -> &'static str {
    match provider {
        ProviderKind::Github => "read:user user:email",
        ProviderKind::Gitlab => "read_user",
        ProviderKind::Linkedin | ProviderKind::Oidc => "openid profile email",
    }
}

const fn has_id_tokens(provider: ProviderKind) -> bool {
    matches!(provider, ProviderKind::Linkedin | ProviderKind::Oidc)
}

fn kind(name: &str) -> ProviderKind {
    name.parse().unwrap()
}

pub(super) async fn discover(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    let lie = shared.table().lie;
    if lie == Some(Lie::Html) {
        return Html("<html>Welcome to the venue</html>").into_response();
    }
    let issuer = shared.issuer(kind(&name));
    let ways = match kind(&name) {
        ProviderKind::Linkedin => "client_secret_post",
        _ => "client_secret_basic",
    };
    let said = if lie == Some(Lie::OtherIssuer) { "https://login.evil.example" } else { &issuer };
    let token = match lie {
        Some(Lie::PlainEndpoint) => "http://login.evil.example/token".to_owned(),
        _ => format!("{issuer}/token"),
    };
    Json(json!({
        "issuer": said,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": token,
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        // Everything that a careless client would take.
        "id_token_signing_alg_values_supported": ["ES256", "HS256", "none"],
        "token_endpoint_auth_methods_supported": [ways],
    }))
    .into_response()
}

pub(super) async fn keys(State(shared): State<Shared>) -> Json<Value> {
    Json(json!({ "keys": [shared.table().key.public()] }))
}

/// What is wrong with how somebody is sent here.
fn wrong_beginning(shared: &Shared, provider: ProviderKind, query: &Pairs) -> Option<String> {
    let has = |name: &str| query.get(name).map_or("", String::as_str);
    let redirect = shared.base.clone() + &callback_path(provider);
    let pkce = provider != ProviderKind::Linkedin || shared.table().pkce;
    let checks = [
        ("response_type", has("response_type") == "code"),
        ("client_id", has("client_id") == CLIENT_ID),
        ("redirect_uri", has("redirect_uri") == redirect),
        ("scope", has("scope") == scopes(provider)),
        ("state", has("state").len() >= 43),
        ("code_challenge", !pkce || has("code_challenge").len() == 43),
        ("code_challenge_method", !pkce || has("code_challenge_method") == "S256"),
        ("nonce", !has_id_tokens(provider) || has("nonce").len() >= 43),
        ("client_secret", !query.contains_key("client_secret")),
        ("code_verifier", !query.contains_key("code_verifier")),
    ];
    let wrong = checks.into_iter().find(|(_, right)| !right)?;
    Some(format!("{provider}: authorize: {} is {:?}", wrong.0, query.get(wrong.0)))
}

pub(super) async fn authorize(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Query(query): Query<Pairs>,
) -> Response {
    let provider = kind(&name);
    if let Some(wrong) = wrong_beginning(&shared, provider, &query) {
        return (StatusCode::BAD_REQUEST, shared.complain(wrong)).into_response();
    }
    let mut table = shared.table();
    table.drawn += 1;
    let code = format!("code-{}", table.drawn);
    let begun = Begun {
        provider,
        redirect: query["redirect_uri"].clone(),
        challenge: query.get("code_challenge").cloned(),
        nonce: query.get("nonce").cloned(),
        person: table.person.clone(),
    };
    table.codes.insert(code.clone(), begun);
    let (redirect, state) = (&query["redirect_uri"], &query["state"]);
    Redirect::to(&format!("{redirect}?code={code}&state={state}")).into_response()
}

/// A refusal, as each provider says it.
fn refuse(provider: ProviderKind, error: &str) -> Response {
    let body = json!({ "error": error, "error_description": "It was refused." });
    let status = match (provider, error) {
        (ProviderKind::Github, _) => StatusCode::OK,
        (_, "invalid_client") => StatusCode::UNAUTHORIZED,
        _ => StatusCode::BAD_REQUEST,
    };
    (status, Json(body)).into_response()
}

/// Whether the client shows its secret as this provider wants it, and nowhere else.
fn is_known(provider: ProviderKind, headers: &HeaderMap, form: &Pairs) -> bool {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if provider == ProviderKind::Oidc {
        // RFC 6749, section 2.3.1: each part is form-encoded, then both are joined.
        let encoded = "s3cret%2Fwith%2Bsigns%3Dand%3Amore";
        let wanted = base64(&format!("{CLIENT_ID}:{encoded}"));
        let in_form = form.contains_key("client_secret");
        return !in_form && shown == Some(&format!("Basic {wanted}"));
    }
    let id = form.get("client_id").map(String::as_str);
    let secret = form.get("client_secret").map(String::as_str);
    shown.is_none() && id == Some(CLIENT_ID) && secret == Some(CLIENT_SECRET)
}

/// Base64 with padding, of ASCII.
fn base64(text: &str) -> String {
    let mut encoded = base64url(text.as_bytes()).replace('-', "+").replace('_', "/");
    while !encoded.len().is_multiple_of(4) {
        encoded.push('=');
    }
    encoded
}

pub(super) async fn token(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Form(form): Form<Pairs>,
) -> Response {
    let provider = kind(&name);
    let lie = shared.table().lie;
    match lie {
        Some(Lie::Silent) => {
            tokio::time::sleep(Duration::from_hours(1)).await;
        }
        Some(Lie::Html) => return Html("<html>Welcome to the venue</html>").into_response(),
        Some(Lie::Endless) => return " ".repeat(3 << 20).into_response(),
        Some(Lie::Refuses(error)) => return refuse(provider, error),
        _ => {}
    }
    if headers.get(header::ACCEPT).is_none_or(|accept| accept != "application/json") {
        shared.complain(format!("{provider}: token: it doesn't ask for JSON"));
    }
    if !is_known(provider, &headers, &form) {
        shared
            .complain(format!("{provider}: token: the client doesn't show its secret as it is to"));
        return refuse(provider, "invalid_client");
    }
    let has = |name: &str| form.get(name).map_or("", String::as_str);
    if provider == ProviderKind::Linkedin
        && !shared.table().pkce
        && !has("code_verifier").is_empty()
    {
        return refuse(provider, "invalid_client");
    }
    let begun = shared.table().codes.remove(has("code"));
    let refused = match provider {
        ProviderKind::Github => "bad_verification_code",
        _ => "invalid_grant",
    };
    let Some(begun) = begun.filter(|begun| begun.provider == provider) else {
        shared.complain(format!("{provider}: token: the code is not known"));
        return refuse(provider, refused);
    };
    let proven =
        begun.challenge.as_ref().is_none_or(|wanted| sha256(has("code_verifier")) == *wanted);
    if has("grant_type") != "authorization_code" || has("redirect_uri") != begun.redirect || !proven
    {
        shared.complain(format!("{provider}: token: grant, address or proof key is wrong"));
        return refuse(provider, refused);
    }
    let mut table = shared.table();
    table.drawn += 1;
    let token = format!("token-{}", table.drawn);
    table.tokens.insert(token.clone(), begun.person.clone());
    let mut answer = json!({ "access_token": token, "token_type": "bearer" });
    if has_id_tokens(provider) && lie != Some(Lie::NoIdToken) {
        let mut claims = json!({
            "iss": shared.issuer(provider), "sub": subject(&begun.person), "name": "Whoever It Is",
        });
        // LinkedIn's hold none.
        if let Some(nonce) = begun.nonce.filter(|_| provider == ProviderKind::Oidc) {
            claims["nonce"] = json!(nonce);
        }
        let (key, foreign) = (table.key.clone(), table.foreign.clone());
        answer["id_token"] = json!(id_token(&key, &foreign, lie, claims, &token, now()));
    }
    Json(answer).into_response()
}

fn subject(person: &Person) -> String {
    format!("sub-{}", person.number)
}

/// Whose access token is shown.
fn whose(shared: &Shared, headers: &HeaderMap) -> Option<Person> {
    let shown = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let named = headers.get(header::USER_AGENT).is_some();
    let known = shared.table().tokens.get(shown.strip_prefix("Bearer ")?).cloned();
    known.filter(|_| named)
}

pub(super) async fn userinfo(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let Some(person) = whose(&shared, &headers) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let mut said = json!({ "sub": subject(&person), "preferred_username": person.login });
    if shared.table().lie == Some(Lie::Subject) {
        said["sub"] = json!("sub-0");
    }
    if let Some(email) = person.email {
        said["email"] = json!(email);
        said["email_verified"] = json!(person.verified);
    }
    for (claim, value) in person.claims {
        said[claim] = value;
    }
    Json(said).into_response()
}

pub(super) async fn github_user(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let Some(person) = whose(&shared, &headers) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    Json(json!({ "id": person.number, "login": person.login, "name": null })).into_response()
}

pub(super) async fn github_emails(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let Some(person) = whose(&shared, &headers) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    if shared.table().lie == Some(Lie::NoEmails) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let other = json!({ "email": "other@example.com", "primary": false, "verified": true });
    let own = person.email.map(|email| {
        json!({ "email": email, "primary": true, "verified": person.verified, "visibility": null })
    });
    Json(Value::Array(std::iter::once(other).chain(own).collect())).into_response()
}

pub(super) async fn gitlab_user(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let Some(person) = whose(&shared, &headers) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let confirmed = person.verified.then_some("2026-01-01T00:00:00.000Z");
    Json(json!({
        "id": person.number, "username": person.login, "name": "Whoever It Is", "state": "active",
        "email": person.email, "confirmed_at": confirmed,
    }))
    .into_response()
}
