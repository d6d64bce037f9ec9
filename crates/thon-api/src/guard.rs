//! Who asks, and whether they may.
//!
//! For: tokens, the one case in which none is needed, and the types with which a route says how much
//! it needs.
//! Not for: what is done.
//!
//! Without any token the API serves whoever is on this machine, and listens to nobody else. A
//! browser on this machine may show a page of somebody else's, so that then a request must name this
//! machine as its host and must not come from another origin.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use thon::core::access::Scope;
use thon::core::endpoint::NetworkMode;
use thon::core::state::Actor;

use crate::app::App;
use crate::problem::{Code, Problem};

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    /// As the audit log calls them.
    pub(crate) actor: Actor,
    /// How much they may do.
    pub(crate) scope: Scope,
}

/// Finds out who asks, for everything behind it.
pub(crate) async fn guard(State(app): State<App>, mut request: Request, next: Next) -> Response {
    match identify(&app, request.headers()).await {
        Ok(who) => {
            request.extensions_mut().insert(who);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn identify(app: &App, headers: &HeaderMap) -> Result<Who, Problem> {
    if let Some(shown) = headers.get(header::AUTHORIZATION) {
        let shown = shown.to_str().ok().and_then(|text| {
            let (kind, token) = text.split_once(' ')?;
            kind.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let known = match shown {
            Some(token) => app.service.state().access().recognise(token).await?,
            None => None,
        };
        let token = known.ok_or_else(|| {
            Problem::new(Code::Unauthorized, "the token is not known, or it has ended")
                .hint("`thon token list` shows which there are, `thon token add` makes one")
        })?;
        let actor = Actor::new(&format!("token {}", token.name));
        return Ok(Who { actor, scope: token.scope });
    }
    if !app.service.state().access().is_open().await? {
        return Err(Problem::new(Code::Unauthorized, "no token was shown")
            .hint("send `authorization: Bearer <token>`; `thon token add` makes one"));
    }
    open(app, headers).await
}

/// The case in which no token is needed.
async fn open(app: &App, headers: &HeaderMap) -> Result<Who, Problem> {
    let site = app.service.site().await?;
    if site.node().config().sandbox.network_mode == NetworkMode::Host {
        let detail = "sandboxes share this machine's network, so that a token is needed here";
        return Err(Problem::new(Code::Unauthorized, detail).hint("`thon token add` makes one"));
    }
    if !app.only_here {
        let detail = "this server is reached from elsewhere, so that a token is needed";
        return Err(Problem::new(Code::Unauthorized, detail).hint("`thon token add` makes one"));
    }
    if foreign(headers) {
        let detail = "the request comes from a page of another origin, or names another host";
        return Err(Problem::new(Code::Forbidden, detail)
            .hint("ask at http://127.0.0.1 or http://localhost, or show a token"));
    }
    Ok(Who { actor: Actor::new("api, this machine"), scope: Scope::Admin })
}

/// True if a browser may have been made to send this by a page that isn't ours.
fn foreign(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text("host").unwrap_or_default();
    if !is_here(host) {
        return true;
    }
    let from_elsewhere =
        text("origin").is_some_and(|origin| origin.strip_prefix("http://") != Some(host));
    let site = text("sec-fetch-site").unwrap_or("none");
    from_elsewhere || !matches!(site, "none" | "same-origin")
}

/// True if a `Host` header names this machine as itself.
fn is_here(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let plain = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || plain.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

macro_rules! needs {
    ($(#[$doc:meta])* $name:ident, $scope:ident) => {
        $(#[$doc])*
        pub(crate) struct $name(pub(crate) Who);

        impl<S: Send + Sync> FromRequestParts<S> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
                let who = parts.extensions.get::<Who>().cloned().ok_or_else(|| {
                    Problem::new(Code::Internal, "a route stands before the guard")
                })?;
                if who.scope.allows(Scope::$scope) {
                    return Ok(Self(who));
                }
                let detail = format!(
                    "this needs scope `{}`; the token has `{}`",
                    Scope::$scope, who.scope
                );
                Err(Problem::new(Code::Forbidden, detail))
            }
        }
    };
}

needs!(
    /// Someone who may look.
    Reader,
    Read
);
needs!(
    /// Someone who may operate instances.
    Operator,
    Operate
);
needs!(
    /// Someone who may change the roster and the configuration.
    Administrator,
    Admin
);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (header::HeaderName::from_static(name), header::HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn programs_and_our_own_pages_are_let_in_and_other_pages_are_not() {
        for host in ["127.0.0.1:8100", "localhost", "LOCALHOST:1", "[::1]:8100", "127.9.9.9"] {
            assert!(!foreign(&headers(&[("host", host)])), "{host}");
        }
        for host in ["", "evil.example", "evil.example:8100", "10.0.0.1:8100", "localhost.evil"] {
            assert!(foreign(&headers(&[("host", host)])), "{host}");
        }
        let ours = [("host", "localhost:8100"), ("origin", "http://localhost:8100")];
        assert!(!foreign(&headers(&ours)));
        for (name, value) in [
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("origin", "http://localhost:8501"),
            ("origin", "https://localhost:8100"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert!(foreign(&headers(&[("host", "localhost:8100"), (name, value)])), "{value}");
        }
    }
}
