//! Who asks, and whether they may.
//!
//! For: tokens of programs, sessions of browsers, the one case in which neither is needed, and the
//! types with which a route says how much it needs.
//! Not for: what is done; and not for logging in, see [`crate::dashboard`].
//!
//! Without any password and any token the server serves whoever is on this machine, and listens to
//! nobody else. A browser sends its cookie, and what this machine may do, along with whatever page it
//! shows: a request of either kind must name this server as its host and must not come from another
//! origin, and one that changes something in a session must show what only its pages know.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use thon::core::access::{Asked, Doors, Foreign, SESSION_COOKIE, Scope};
use thon::core::endpoint::NetworkMode;
use thon::core::secret::Secret;
use thon::core::state::Actor;

use crate::app::App;
use crate::problem::{Code, Problem};

/// The header in which a page of the dashboard shows that it is one.
pub(crate) const CSRF_HEADER: &str = "x-thon-csrf";

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    /// As the audit log calls them.
    pub(crate) actor: Actor,
    /// How much they may do.
    pub(crate) scope: Scope,
    /// The id of their session, if they have one.
    pub(crate) session: Option<Secret>,
}

/// Finds out who asks, for everything behind it.
pub(crate) async fn guard(State(app): State<App>, mut request: Request, next: Next) -> Response {
    match identify(&app, request.method(), request.headers()).await {
        Ok(who) => {
            request.extensions_mut().insert(who);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Finds out who asks.
pub(crate) async fn identify(
    app: &App,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Who, Problem> {
    let access = app.service.state().access();
    if let Some(shown) = headers.get(header::AUTHORIZATION) {
        let shown = shown.to_str().ok().and_then(|text| {
            let (kind, token) = text.split_once(' ')?;
            kind.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let known = match shown {
            Some(token) => access.recognise(token).await?,
            None => None,
        };
        let token = known.ok_or_else(|| {
            Problem::new(Code::Unauthorized, "the token is not known, or it has ended")
                .hint("`thon token list` shows which there are, `thon token add` makes one")
        })?;
        let actor = Actor::new(&format!("token {}", token.name));
        return Ok(Who { actor, scope: token.scope, session: None });
    }
    if let Some(id) = session_shown(headers)
        && let Some(session) = access.session(id.reveal()).await?
    {
        admit(&app.doors, method, headers)?;
        let reads = matches!(*method, Method::GET | Method::HEAD);
        let shown = headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
        if !reads && !thon::csrf_fits(&id, shown.unwrap_or_default()) {
            let detail = "the request doesn't come from a page of this session";
            return Err(Problem::new(Code::Forbidden, detail).hint("load the page anew"));
        }
        return Ok(Who { actor: session.actor(), scope: Scope::Admin, session: Some(id) });
    }
    if !access.is_open().await? {
        let detail = "neither a token nor a session that lasts was shown";
        return Err(Problem::new(Code::Unauthorized, detail).hint(
            "send `authorization: Bearer <token>`, which `thon token add` makes, or log in at the \
             dashboard",
        ));
    }
    open(app, method, headers).await
}

/// The id of the session that a browser shows.
pub(crate) fn session_shown(headers: &HeaderMap) -> Option<Secret> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut cookies = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    cookies
        .find(|(name, _)| name.trim() == SESSION_COOKIE)
        .map(|(_, value)| Secret::new(value.trim()))
}

/// The case in which neither a token nor a password is needed.
async fn open(app: &App, method: &Method, headers: &HeaderMap) -> Result<Who, Problem> {
    let needed = |detail: &str| {
        let hint = "`thon token add` makes a token, `thon dashboard password` sets a password";
        Err(Problem::new(Code::Unauthorized, detail).hint(hint))
    };
    let site = app.service.site().await?;
    if site.node().config().sandbox.network_mode == NetworkMode::Host {
        return needed("sandboxes share this machine's network, so that this can't be open");
    }
    if is_passed_on(headers) {
        return needed("the request came through a proxy, so that this can't be open");
    }
    if !app.only_here {
        return needed("this server is reached from elsewhere, so that it can't be open");
    }
    admit(&Doors::default(), method, headers)?;
    let actor = Actor::new(&format!("{}, this machine", app.door));
    Ok(Who { actor, scope: Scope::Admin, session: None })
}

/// Refuses what a browser may have been made to send by a page that isn't ours.
pub(crate) fn admit(doors: &Doors, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let follows_link = *method == Method::GET
        && text("sec-fetch-mode") == Some("navigate")
        && text("sec-fetch-dest") == Some("document");
    let asked = Asked {
        host: text("host"),
        origin: text("origin"),
        site: text("sec-fetch-site"),
        follows_link,
    };
    // Said by nginx, or by a program: no page of another origin can make a browser say it.
    let doors = doors.clone();
    let doors = if over_tls(headers) { doors.over_tls() } else { doors };
    doors.admit(&asked).map_err(|foreign| {
        let (detail, hint) = match foreign {
            Foreign::Host => (
                "the request names another host than this one",
                "ask at this machine's address, or at http://localhost on it, or show a token",
            ),
            Foreign::Origin => {
                ("the request comes from a page of another origin", "ask from the dashboard itself")
            }
        };
        Problem::new(Code::Forbidden, detail).hint(hint)
    })
}

/// True if a proxy says that it passes the request on: then nobody knows who reaches the proxy.
fn is_passed_on(headers: &HeaderMap) -> bool {
    let says = |name| headers.contains_key(name);
    ["forwarded", "via", "x-forwarded-for", "x-forwarded-proto", "x-real-ip"].into_iter().any(says)
}

/// True if the request came to nginx over TLS.
pub(crate) fn over_tls(headers: &HeaderMap) -> bool {
    headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https")
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
    fn what_the_headers_say_is_what_is_judged() {
        let doors = Doors::default().named("hack.example.org");
        let fits = |method: Method, pairs: &[(&'static str, &'static str)]| {
            admit(&doors, &method, &headers(pairs)).is_ok()
        };
        let host = ("host", "localhost:8501");
        assert!(fits(Method::POST, &[host, ("origin", "http://localhost:8501")]));
        assert!(!fits(Method::POST, &[host, ("origin", "http://localhost:8100")]));
        assert!(!fits(Method::GET, &[host, ("sec-fetch-site", "cross-site")]));
        let link = [
            host,
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        assert!(fits(Method::GET, &link));
        assert!(!fits(Method::POST, &link));
        let tls = [("host", "hack.example.org"), ("origin", "https://hack.example.org")];
        assert!(!fits(Method::POST, &tls));
        assert!(fits(Method::POST, &[tls[0], tls[1], ("x-forwarded-proto", "https")]));
    }

    #[test]
    fn the_session_is_found_among_other_cookies() {
        let shown =
            |text| session_shown(&headers(&[("cookie", text)])).map(|id| id.reveal().to_owned());
        assert_eq!(shown("a=b; thon-session=xyz; c=d"), Some("xyz".to_owned()));
        assert_eq!(shown("my-thon-session=xyz; thon-sessions=1"), None);
    }
}
