//! Signing in with an account that somebody has elsewhere, and who is logged in.
//!
//! For: the way to a provider and back, the cookies on it, and the sessions that come of it.
//! Not for: who is let in as what; the library says that. Not for the password; the dashboard's form
//! takes it.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::{Deserialize, Serialize};
use thon::core::access::{ACCOUNT_LONGEST, Account, ProviderKind, SIGN_IN_LONGEST, Session};
use thon::core::config::WebUrl;
use thon::core::name::UserId;
use thon::core::secret::Secret;
use thon::{CameBack, SignIn, Site, Which, sign_in_cookie};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::view::timestamp;
use crate::app::App;
use crate::dashboard::{self, inside, whence};
use crate::guard::{Administrator, Anyone, KnownBy, Who, admit, cookies, identify, sessions_shown};
use crate::input::{InPath, Params};
use crate::problem::{Code, Problem, WhenChanged, WhenComingBack, WhenRead};

const CALLBACK: &str = "/api/auth/callback/";
const LOGIN: &str = "/api/auth/login/";

/// True for the paths that browsers are led to: to a provider, and back from it.
pub(crate) fn is_link(path: &str) -> bool {
    path.starts_with(CALLBACK) || path.starts_with(LOGIN)
}

/// True for the paths that are answered to whoever asks: how else would anybody come in.
pub(crate) fn is_open(path: &str) -> bool {
    is_link(path) || matches!(path, "/api/auth/providers" | "/api/auth/me")
}

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(providers))
        .routes(routes!(begin))
        .routes(routes!(finish))
        .routes(routes!(me))
        .routes(routes!(logout))
        .routes(routes!(sessions, revoke_others))
        .routes(routes!(revoke))
}

/// How people can sign in.
#[derive(Debug, Serialize, ToSchema)]
struct Offer {
    /// Whether people sign in with accounts.
    enabled: bool,
    /// Those whose accounts are taken.
    providers: Vec<String>,
    /// What people call them, in the same order.
    names: Vec<String>,
    /// Whether there is a password.
    password: bool,
}

/// How people can sign in, as things are.
async fn offered(app: &App, site: &Site) -> Result<Offer, Problem> {
    let auth = &site.node().config().auth;
    let password = app.service.state().access().has_password().await?;
    Ok(Offer {
        enabled: auth.enabled,
        providers: auth.providers().map(|provider| provider.to_string()).collect(),
        names: auth.providers().map(|provider| auth.provider_name(provider).to_owned()).collect(),
        password,
    })
}

/// How people can sign in.
#[utoipa::path(get, path = "/api/auth/providers", tag = "auth", responses(
    (status = 200, description = "The providers", body = Offer), WhenRead
))]
async fn providers(State(app): State<App>) -> Result<Json<Offer>, Problem> {
    let site = app.service.site().await?;
    Ok(Json(offered(&app, &site).await?))
}

fn known(text: &str) -> Result<ProviderKind, Problem> {
    text.parse().map_err(|error| Problem::input("provider", format!("{error}")))
}

/// True for a browser that wants a page.
fn wants_page(headers: &HeaderMap) -> bool {
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accepts.is_some_and(|accept| accept.contains("text/html"))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Where {
    /// Where on this server to go on afterwards.
    #[serde(default)]
    next: String,
    /// Set where the way already led to the public address once.
    #[serde(default)]
    #[param(default = false)]
    here: bool,
}

/// The way to a provider.
#[derive(Debug, Serialize, ToSchema)]
struct Way {
    /// Where to send the browser.
    authorization_url: String,
    /// What the provider sends back with it.
    state: String,
}

/// Sends somebody to a provider. A browser is sent there; a program is told where that is. What is
/// needed when they come back is in a cookie, which holds for ten minutes.
#[utoipa::path(get, path = "/api/auth/login/{provider}", tag = "auth", params(
    ("provider" = String, Path, description = "`github`, `gitlab`, `linkedin` or `oidc`"), Where
), responses(
    (status = 200, description = "The way there", body = Way),
    (status = 303, description = "The way there, for a browser"),
    WhenRead
))]
async fn begin(State(app): State<App>, InPath(provider): InPath<String>, parts: Parts) -> Response {
    let page = wants_page(&parts.headers);
    match led(&app, &provider, parts).await {
        Ok(response) => response,
        Err(problem) if page => dashboard::refused(&problem),
        Err(problem) => problem.into_response(),
    }
}

async fn led(app: &App, provider: &str, mut parts: Parts) -> Result<Response, Problem> {
    use axum::extract::FromRequestParts as _;
    let Params(Where { next, here }) = Params::from_request_parts(&mut parts, app).await?;
    let provider = known(provider)?;
    let site = app.service.site().await?;
    if site.provider(provider).is_none() {
        let detail = format!("nobody signs in with {provider} here");
        return Err(Problem::input("provider", detail));
    }
    let url = site.node().public_url()?;
    admit(&app.doors().await?, &parts)?;
    let page = wants_page(&parts.headers);
    // What the browser keeps it shows again to this host alone, so that it begins where it ends.
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    if page && !here && host != Some(url.authority()) {
        let next = percent(inside(&next));
        let place = format!("{}{LOGIN}{provider}?here=true&next={next}", url.base());
        return Ok(Redirect::to(&place).into_response());
    }
    let sessions: Vec<Secret> = sessions_shown(&parts.headers).collect();
    let begun = app.service.begin_sign_in(provider, inside(&next), &sessions).await?;
    let name = sign_in_cookie(begun.state.reveal());
    let kept = keep(&name, begun.kept.reveal(), provider, SIGN_IN_LONGEST.as_secs(), &url);
    let cookie = [(header::SET_COOKIE, kept)];
    if page {
        return Ok((cookie, Redirect::to(&begun.url)).into_response());
    }
    let way = Way { authorization_url: begun.url, state: begun.state.reveal().to_owned() };
    Ok((cookie, Json(way)).into_response())
}

/// A text as a part of a query.
pub(crate) fn percent(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let part = |byte: u8| {
        if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(part).collect()
}

/// The cookie in which a browser keeps a sign-in. The way back begins at another site: a stricter
/// one would stay behind.
fn keep(name: &str, value: &str, provider: ProviderKind, seconds: u64, url: &WebUrl) -> String {
    let secure = if url.is_https() { "; Secure" } else { "" };
    format!(
        "{name}={value}; Path={CALLBACK}{provider}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
    )
}

/// What a provider sends a browser back with.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Back {
    /// Which sign-in it is.
    #[serde(default)]
    state: String,
    /// What vouches for the account.
    #[serde(default)]
    #[param(value_type = String)]
    code: Secret,
    /// Whose answer it is (RFC 9207).
    iss: Option<String>,
    /// Why there is no code.
    #[serde(default)]
    error: String,
    /// The same, for people.
    #[serde(default)]
    error_description: String,
}

/// Lets in whoever comes back from a provider. A browser is shown a page that leads on; a program is
/// told who it is now.
#[utoipa::path(get, path = "/api/auth/callback/{provider}", tag = "auth", params(
    ("provider" = String, Path, description = "`github`, `gitlab`, `linkedin` or `oidc`"), Back
), responses(
    (status = 200, description = "Who came in", body = Me), WhenComingBack
))]
async fn finish(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    InPath(provider): InPath<String>,
    parts: Parts,
) -> Response {
    let page = wants_page(&parts.headers);
    match came_back(&app, peer, &provider, parts).await {
        Ok(response) => response,
        Err(problem) if page => dashboard::refused(&problem),
        Err(problem) => problem.into_response(),
    }
}

async fn came_back(
    app: &App,
    peer: SocketAddr,
    provider: &str,
    mut parts: Parts,
) -> Result<Response, Problem> {
    use axum::extract::FromRequestParts as _;
    let Params(back) = Params::<Back>::from_request_parts(&mut parts, app).await?;
    let provider = known(provider)?;
    let site = app.service.site().await?;
    let url = site.node().public_url()?;
    admit(&app.doors().await?, &parts)?;
    let headers = &parts.headers;
    let name = sign_in_cookie(&back.state);
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let why = [back.error, back.error_description].join(" ");
    let sessions: Vec<Secret> = sessions_shown(headers).collect();
    let came = CameBack {
        provider,
        state: &back.state,
        code: if back.code.is_empty() { Err(why.trim().to_owned()) } else { Ok(back.code) },
        issuer: back.iss.as_deref(),
        kept: cookies(headers, &name).next(),
        address: whence(peer.ip(), app.here, headers),
        agent: agent.unwrap_or_default(),
        sessions: &sessions,
    };
    let said = app.service.finish_sign_in(came).await?;
    let again = "sign in again";
    let (done, next) = match said {
        SignIn::Done(done, next) => (done, next),
        SignIn::Unlisted(account, why) => {
            let name = site.node().config().auth.provider_name(provider);
            let detail = format!("{} ({name}): {}", account.shown(), why.text());
            let hint = "ask whoever organizes this to list it, or sign in with another account";
            return Err(Problem::new(Code::NotListed, detail).hint(hint));
        }
        SignIn::Declined(why) => {
            let why = thon::core::log::harmless(&why);
            let name = site.node().config().auth.provider_name(provider);
            let detail = format!("{name} sent you back without signing you in: {why}");
            return Err(Problem::new(Code::Unauthorized, detail).hint(again));
        }
        SignIn::Stale => {
            let detail = "this sign-in was not begun in this browser, or it took more than ten \
                          minutes, or it came back before";
            return Err(Problem::new(Code::BadInput, detail).hint(again));
        }
        SignIn::Other(holder) => {
            let detail = format!(
                "this browser is logged in as {holder} by now, who didn't begin this sign-in"
            );
            return Err(Problem::new(Code::Conflict, detail).hint("go on, or log out first"));
        }
        SignIn::Wait(wait) => {
            let detail = "too many sign-ins from there came to nothing";
            let hint = format!("try again in {} s", wait.as_secs() + 1);
            return Err(Problem::new(Code::TooMany, detail).hint(hint));
        }
    };
    // The browser has another session from here on, and the one before is of no use to anybody.
    for id in &sessions {
        app.service.state().access().renewed(id.reveal()).await?;
    }
    let session = dashboard::cookie(done.id.reveal(), ACCOUNT_LONGEST.as_secs(), headers);
    let mut response = if wants_page(headers) {
        dashboard::led_on(inside(&next))
    } else {
        let found = app.service.standing(&done.session).await?;
        let users = found.map(|found| found.users).unwrap_or_default();
        Json(Me::session(&done.session, users)).into_response()
    };
    let forgotten = keep(&name, "", provider, 0, &url);
    for cookie in [session, forgotten] {
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
    Ok(response)
}

/// Who asks.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Me {
    /// Whether they are known at all.
    authenticated: bool,
    /// `github:583231`, `password`, or the token's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    /// What people know them by.
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    /// Their verified e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// Who vouches for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    /// `participant`, `viewer`, `operator` or `admin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    /// The ids of those in the roster who they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    users: Vec<String>,
    /// When their session ends if it isn't used any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<String>,
}

impl Me {
    fn session(session: &Session, users: impl IntoIterator<Item = UserId>) -> Self {
        let account = session.holder.account();
        Self {
            authenticated: true,
            user_id: Some(account.map_or_else(|| "password".to_owned(), Account::id)),
            display_name: account.map(|account| account.shown().to_owned()),
            email: account.and_then(|account| account.email.clone()),
            provider: account.map(|account| account.provider.to_string()),
            role: Some(session.role.to_string()),
            users: users.into_iter().map(|user| user.key()).collect(),
            ends_at: timestamp(session.ends_at()),
        }
    }

    fn of(who: Who) -> Self {
        let role = Some(who.standing.role.to_string());
        match who.known_by {
            KnownBy::Session(session, _) => {
                Self { role, ..Self::session(&session, who.standing.users) }
            }
            KnownBy::Token | KnownBy::Place => Self {
                authenticated: true,
                user_id: Some(who.actor.to_string()),
                role,
                ..Self::default()
            },
        }
    }
}

/// Who asks; also whether they are known at all.
#[utoipa::path(get, path = "/api/auth/me", tag = "auth", responses(
    (status = 200, description = "Who asks", body = Me), WhenRead
), security((), ("token" = [])))]
async fn me(State(app): State<App>, parts: Parts) -> Result<Json<Me>, Problem> {
    match identify(&app, &parts).await {
        Ok(who) => Ok(Json(Me::of(who))),
        Err(problem) if matches!(problem.code(), Code::Unauthorized | Code::NotListed) => {
            Ok(Json(Me::default()))
        }
        Err(problem) => Err(problem),
    }
}

/// Ends the session of whoever asks. Tokens are revoked by their name.
#[utoipa::path(post, path = "/api/auth/logout", tag = "auth", responses(
    (status = 204, description = "It is over"), WhenChanged
), security(("token" = [])))]
pub(crate) async fn logout(
    Anyone(who): Anyone,
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if let Some(id) = who.session() {
        app.service.state().access().log_out(id.reveal()).await?;
    }
    let cookie = dashboard::cookie("", 0, &headers);
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// A browser that is logged in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Open {
    /// Its number.
    number: u64,
    /// As whom: an account, or `the password`.
    who: String,
    /// The account, if it is one's.
    account: Option<String>,
    /// The role that they had when somebody last looked.
    role: String,
    /// The address that it was begun from.
    address: String,
    /// What the browser said of itself.
    browser: String,
    /// The same in a few words.
    browser_name: String,
    /// When it began.
    created_at: Option<String>,
    /// When it was last used, to the minute.
    seen_at: Option<String>,
    /// When it ends if it isn't used any more.
    ends_at: Option<String>,
    /// Whether it is the one of whoever asks.
    own: bool,
}

impl Open {
    fn new(session: &Session, own: Option<u64>) -> Self {
        Self {
            number: session.number,
            who: session.holder.shown(),
            account: session.holder.account().map(Account::id),
            role: session.role.to_string(),
            address: session.address.clone(),
            browser: session.browser.clone(),
            browser_name: session.browser_shown(),
            created_at: timestamp(session.created_at),
            seen_at: timestamp(session.seen_at),
            ends_at: timestamp(session.ends_at()),
            own: own == Some(session.number),
        }
    }

    /// All of them, as `who` sees them.
    pub(crate) async fn all(app: &App, who: &Who) -> Result<Vec<Self>, thon::Error> {
        let sessions = app.service.state().access().sessions().await?;
        Ok(sessions.iter().map(|session| Self::new(session, own(who))).collect())
    }
}

const fn own(who: &Who) -> Option<u64> {
    match &who.known_by {
        KnownBy::Session(session, _) => Some(session.number),
        KnownBy::Token | KnownBy::Place => None,
    }
}

/// The browsers that are logged in.
#[derive(Debug, Serialize, ToSchema)]
struct OpenList {
    /// The newest first.
    sessions: Vec<Open>,
}

/// The browsers that are logged in.
#[utoipa::path(get, path = "/api/auth/sessions", tag = "auth", responses(
    (status = 200, description = "The sessions", body = OpenList), WhenRead
), security(("token" = [])))]
async fn sessions(
    Administrator(who): Administrator,
    State(app): State<App>,
) -> Result<Json<OpenList>, Problem> {
    Ok(Json(OpenList { sessions: Open::all(&app, &who).await? }))
}

/// Ends a session: that browser has to log in anew.
#[utoipa::path(delete, path = "/api/auth/sessions/{number}", tag = "auth", params(
    ("number" = u64, Path, description = "Its number")
), responses(
    (status = 204, description = "It is over"), WhenChanged
), security(("token" = [])))]
async fn revoke(
    Administrator(who): Administrator,
    State(app): State<App>,
    InPath(number): InPath<u64>,
) -> Result<StatusCode, Problem> {
    if app.service.state().access().revoke_session(&who.actor, number).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::missing(format!("session {number}")))
}

/// Whose sessions are to end.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Whose {
    /// Those of this account alone, such as `github:583231`; of everyone where it is left out.
    #[serde(default)]
    account: Option<String>,
}

/// How many sessions were ended.
#[derive(Debug, Serialize, ToSchema)]
struct Ended {
    /// How many.
    ended: u64,
}

/// Ends all sessions but the one of whoever asks, or those of one account.
#[utoipa::path(delete, path = "/api/auth/sessions", tag = "auth", params(Whose), responses(
    (status = 200, description = "How many there were", body = Ended), WhenChanged
), security(("token" = [])))]
async fn revoke_others(
    Administrator(who): Administrator,
    State(app): State<App>,
    Params(Whose { account }): Params<Whose>,
) -> Result<Json<Ended>, Problem> {
    let which = account.as_deref().map_or(Which::AllBut(own(&who)), Which::Account);
    let ended = app.service.state().access().revoke_sessions(&who.actor, which).await?;
    Ok(Json(Ended { ended }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_leads_in_is_open() {
        for path in ["/api/auth/login/github", "/api/auth/callback/oidc", "/api/auth/me"] {
            assert!(is_open(path), "{path}");
        }
        for path in ["/api/auth/sessions", "/api/auth/logout", "/api/authentic", "/api/users"] {
            assert!(!is_open(path), "{path}");
        }
    }

    #[test]
    fn a_query_holds_what_it_is_given() {
        assert_eq!(percent("/users?q=a&b=\u{e4}"), "/users%3Fq%3Da%26b%3D%C3%A4");
    }

    #[test]
    fn what_is_kept_travels_over_tls_alone_where_there_is_any() {
        let url = |text: &str| text.parse::<WebUrl>().unwrap();
        let sealed = keep("n", "v", ProviderKind::Github, 600, &url("https://a.example"));
        assert!(sealed.ends_with("; HttpOnly; SameSite=Lax; Secure"), "{sealed}");
        assert!(sealed.contains("Path=/api/auth/callback/github;"));
        let here = keep("n", "v", ProviderKind::Github, 600, &url("http://127.0.0.1:1"));
        assert!(!here.contains("Secure"), "{here}");
    }
}
