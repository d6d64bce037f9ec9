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
use serde::Deserialize;
use thon::LogIn;
use thon::core::access::{SESSION_COOKIE, SESSION_LONGEST};
use thon::core::secret::Secret;

use super::visit::Oops;
use super::{assets, render};
use crate::app::App;
use crate::guard::{Administrator, admit, identify, over_tls};
use crate::problem::{Code, Problem};

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
    let mut page = ask(&app, &next, None).await;
    *page.status_mut() = StatusCode::OK;
    page
}

/// Asks for the password; afterwards it goes on at `next`.
pub(super) async fn ask(app: &App, next: &str, problem: Option<&str>) -> Response {
    let has_password = app.service.state().access().has_password().await.unwrap_or(true);
    let shown = serde_json::json!({
        "version": assets::VERSION,
        "next": inside(next),
        "problem": problem,
        "has_password": has_password,
    });
    render::page(StatusCode::UNAUTHORIZED, "login.html", shown)
        .unwrap_or_else(|problem| Oops(problem).into_response())
}

/// An address of this server; nobody is sent anywhere else from here.
fn inside(next: &str) -> &str {
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
    admit(&app.doors, &parts)?;
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
    let cookie = cookie(done.id.reveal(), SESSION_LONGEST.as_secs(), &headers);
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(inside(&next))).into_response())
}

/// Ends the session.
pub(super) async fn log_out(
    Administrator(who): Administrator,
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, Oops> {
    if let Some(id) = &who.session {
        app.service.state().access().log_out(id.reveal()).await?;
    }
    let cookie = cookie("", 0, &headers);
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

fn cookie(value: &str, seconds: u64, headers: &HeaderMap) -> String {
    let secure = if over_tls(headers) { "; Secure" } else { "" };
    format!(
        "{SESSION_COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
    )
}

/// Where a browser is: nginx, on this machine, says whom it asks for. It dials where the server
/// listens, and comes from that address or from the loopback.
fn whence(peer: IpAddr, here: IpAddr, headers: &HeaderMap) -> IpAddr {
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
