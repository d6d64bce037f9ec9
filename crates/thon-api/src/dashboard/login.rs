//! Logging in and out.
//!
//! For: the form, the cookie, and what is said to whoever can't be let in.
//! Not for: who is let in and how often somebody may try; the library says that.

use std::net::{IpAddr, SocketAddr};

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::{Deserialize, Serialize};
use thon::LogIn;
use thon::core::access::{ProviderKind, SESSION_LONGEST};
use thon::core::secret::Secret;

use super::visit::Oops;
use super::{assets, render};
use crate::app::App;
use crate::guard::{admit, identify, over_tls, session_cookie, sessions_shown, unsealed};
use crate::problem::{Code, Problem};
use crate::rest::auth::percent;

#[derive(Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

/// The page with the form.
pub(super) async fn show(
    State(app): State<App>,
    Query(Next { next }): Query<Next>,
    parts: Parts,
) -> Response {
    if identify(&app, &parts).await.is_ok() {
        return Redirect::to(inside(&next)).into_response();
    }
    // Whoever comes in the clear is led to where they can log in.
    if let Ok(Some(_)) = unsealed(&app.service, &parts).await
        && let Some(url) = public(&app, "/login").await
    {
        return Redirect::to(&url).into_response();
    }
    let mut page = ask(&app, &next, None).await;
    *page.status_mut() = StatusCode::OK;
    page
}

/// Where a path of ours is at the public address.
pub(super) async fn public(app: &App, path: &str) -> Option<String> {
    let site = app.service.site().await.ok()?;
    Some(site.node().public_url().ok()?.base().to_owned() + path)
}

/// A provider whose accounts are taken.
#[derive(Serialize)]
struct Door {
    id: &'static str,
    name: String,
}

/// Asks for the password or an account; afterwards it goes on at `next`.
pub(super) async fn ask(app: &App, next: &str, problem: Option<&str>) -> Response {
    let has_password = app.service.state().access().has_password().await.unwrap_or(true);
    let doors: Vec<Door> = match app.service.site().await {
        Ok(site) => {
            let auth = &site.node().config().auth;
            let door = |provider: ProviderKind| Door {
                id: provider.as_str(),
                name: auth.provider_name(provider).to_owned(),
            };
            auth.providers().map(door).collect()
        }
        Err(_) => Vec::new(),
    };
    let shown = serde_json::json!({
        "version": assets::VERSION,
        "next": inside(next),
        "then": percent(inside(next)),
        "doors": doors,
        "problem": problem,
        "has_password": has_password,
    });
    render::page(StatusCode::UNAUTHORIZED, "login.html", shown)
        .unwrap_or_else(|problem| Oops(problem).into_response())
}

/// A page that leads on to an address of this server. It is one of ours that leads there: a browser
/// keeps the session's cookie back from what another site began.
pub(crate) fn led_on(next: &str) -> Response {
    let shown = serde_json::json!({ "version": assets::VERSION, "next": next });
    render::page(StatusCode::OK, "signed_in.html", shown)
        .unwrap_or_else(|problem| Oops(problem).into_response())
}

/// A page that says why somebody isn't let in, and leads back to where they can try again.
/// What only organizers can mend is theirs to know, and in the log.
pub(crate) fn refused(problem: &Problem) -> Response {
    let status = problem.code().status();
    let mended;
    let problem = if status.is_server_error() {
        tracing::warn!(detail = problem.detail(), "nobody can sign in so");
        let hint = "Try again in a moment; if it stays so, tell whoever organizes this.";
        mended = Problem::new(problem.code(), "Signing in doesn't work just now.").hint(hint);
        &mended
    } else {
        problem
    };
    let shown = serde_json::json!({ "version": assets::VERSION, "problem": problem });
    render::page(status, "refused.html", shown)
        .unwrap_or_else(|problem| Oops(problem).into_response())
}

/// An address of this server; nobody is sent anywhere else from here.
pub(crate) fn inside(next: &str) -> &str {
    let strange = |character: char| character == '\\' || character.is_control();
    let fits = next.starts_with('/') && !next.starts_with("//") && !next.contains(strange);
    if fits && !next.starts_with("/log") { next } else { "/" }
}

#[derive(Deserialize)]
pub(super) struct Shown {
    password: Secret,
    #[serde(default)]
    next: String,
}

/// Begins a session for whoever knows the password.
pub(super) async fn log_in(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    parts: Parts,
    form: Result<Form<Shown>, FormRejection>,
) -> Result<Response, Oops> {
    admit(&app.doors().await?, &parts)?;
    if let Some(problem) = unsealed(&app.service, &parts).await? {
        return Err(problem.into());
    }
    let headers = parts.headers;
    let Form(Shown { password, next }) = form
        .map_err(|_| Problem::new(Code::BadInput, "the form has no password").about("password"))?;
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let address = whence(peer.ip(), app.here, &headers);
    let access = app.service.state().access();
    let said = access.log_in(address, agent.unwrap_or_default(), &password).await?;
    let done = match said {
        LogIn::Done(done) => done,
        LogIn::Wrong => return Ok(ask(&app, &next, Some("That password is wrong.")).await),
        LogIn::NoPassword => return Ok(ask(&app, &next, None).await),
        LogIn::Wait(wait) => {
            let seconds = wait.as_secs() + 1;
            let text = format!("Too many wrong passwords: try again in {seconds} s.");
            let mut page = ask(&app, &next, Some(&text)).await;
            *page.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            page.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            return Ok(page);
        }
    };
    // The browser has another session from here on, and the one before is of no use to anybody.
    for id in sessions_shown(&headers) {
        access.renewed(id.reveal()).await?;
    }
    let cookie = cookie(done.id.reveal(), SESSION_LONGEST.as_secs(), &headers);
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(inside(&next))).into_response())
}

/// The session's cookie.
pub(crate) fn cookie(value: &str, seconds: u64, headers: &HeaderMap) -> String {
    let (name, secure) = (session_cookie(headers), if over_tls(headers) { "; Secure" } else { "" });
    format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// Where a browser is: nginx, on this machine, says whom it asks for. It dials where the server
/// listens, and comes from that address or from the loopback.
pub(crate) fn whence(peer: IpAddr, here: IpAddr, headers: &HeaderMap) -> IpAddr {
    let ours = peer.is_loopback() || peer.to_canonical() == here.to_canonical();
    let said = headers.get("x-real-ip").filter(|_| ours);
    said.and_then(|said| said.to_str().ok()?.parse().ok()).unwrap_or(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_server_after_logging_in() {
        for next in ["/", "/users/a_b?x=1", "/instances?q=%2F%2F"] {
            assert_eq!(inside(next), next);
        }
        for next in
            ["", "//evil.example", "/\\evil.example", "https://evil.example", "/a\nb", "/login"]
        {
            assert_eq!(inside(next), "/", "{next}");
        }
    }
}
