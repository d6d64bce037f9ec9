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
use axum::http::{HeaderMap, Method, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use thon::core::access::{Asked, Doors, Foreign, SESSION_COOKIE, Scope};
use thon::core::endpoint::NetworkMode;
use thon::core::secret::Secret;
use thon::core::state::Actor;

use crate::app::App;
use crate::problem::{Code, Problem};

/// With which a page says that nobody pressed anything: it keeps itself up to date.
const REFRESH_HEADER: &str = "x-thon-refresh";

/// How many cookies of a session's name are looked at.
const MOST_COOKIES: usize = 4;

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
pub(crate) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    match known(&app, request).await {
        Ok(request) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// The request with who asks, which everything behind the guard finds in it.
pub(crate) async fn known(app: &App, request: Request) -> Result<Request, Problem> {
    let (parts, body) = request.into_parts();
    let who = identify(app, &parts).await?;
    let mut request = Request::from_parts(parts, body);
    request.extensions_mut().insert(who);
    Ok(request)
}

/// Finds out who asks.
pub(crate) async fn identify(app: &App, parts: &Parts) -> Result<Who, Problem> {
    let headers = &parts.headers;
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
    for id in sessions_shown(headers) {
        let uses = !is_background(parts);
        let Some(session) = access.session(id.reveal(), uses).await? else { continue };
        admit(&app.doors, parts)?;
        let reads = matches!(parts.method, Method::GET | Method::HEAD);
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
    open(app, parts).await
}

/// The ids of sessions that a browser shows: a page elsewhere on this host may have set another
/// cookie of that name beside ours, and that is no reason to lock anybody out.
fn sessions_shown(headers: &HeaderMap) -> impl Iterator<Item = Secret> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let cookies = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    cookies
        .filter(|(name, _)| name.trim() == SESSION_COOKIE)
        .map(|(_, value)| Secret::new(value.trim()))
        .take(MOST_COOKIES)
}

/// True for what a page asks for by itself, whether anybody looks at it or not.
fn is_background(parts: &Parts) -> bool {
    matches!(parts.uri.path(), "/api/load" | "/api/events")
        || parts.headers.contains_key(REFRESH_HEADER)
}

/// The case in which neither a token nor a password is needed.
async fn open(app: &App, parts: &Parts) -> Result<Who, Problem> {
    let needed = |detail: &str| {
        let hint = "`thon token add` makes a token, `thon dashboard password` sets a password";
        Err(Problem::new(Code::Unauthorized, detail).hint(hint))
    };
    let site = app.service.site().await?;
    if site.node().config().sandbox.network_mode == NetworkMode::Host {
        return needed("sandboxes share this machine's network, so that this can't be open");
    }
    if is_passed_on(parts) {
        return needed("the request came through a proxy, so that this can't be open");
    }
    if !app.here.is_loopback() {
        return needed("this server is reached from elsewhere, so that it can't be open");
    }
    admit(&Doors::default(), parts)?;
    let actor = Actor::new(&format!("{}, this machine", app.door));
    Ok(Who { actor, scope: Scope::Admin, session: None })
}

/// Refuses what a browser may have been made to send by a page that isn't ours.
pub(crate) fn admit(doors: &Doors, parts: &Parts) -> Result<(), Problem> {
    let headers = &parts.headers;
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    // Links lead to pages; what programs ask for is nobody's to lead a browser to.
    let follows_link = parts.method == Method::GET
        && !parts.uri.path().starts_with("/api/")
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

/// True if a proxy says that it passes the request on, or speaks as proxies alone still do: then
/// nobody knows who reaches the proxy.
fn is_passed_on(parts: &Parts) -> bool {
    const SAY: [&str; 10] = [
        "cf-connecting-ip",
        "forwarded",
        "true-client-ip",
        "via",
        "x-client-ip",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-server",
        "x-real-ip",
    ];
    parts.version < Version::HTTP_11 || SAY.into_iter().any(|name| parts.headers.contains_key(name))
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

    /// A request for a path with these headers.
    fn asked(method: &Method, path: &str, pairs: &[(&'static str, &'static str)]) -> Parts {
        let request = axum::http::Request::builder().method(method).uri(path);
        let mut parts = request.body(()).unwrap().into_parts().0;
        parts.headers = headers(pairs);
        parts
    }

    #[test]
    fn what_the_headers_say_is_what_is_judged() {
        let doors = Doors::default().named("hack.example.org");
        let fits = |method: Method, pairs: &[(&'static str, &'static str)]| {
            admit(&doors, &asked(&method, "/users", pairs)).is_ok()
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
        let archive = asked(&Method::GET, "/api/workspaces/a_b/archive", &link);
        assert!(admit(&doors, &archive).is_err(), "a page leads nobody to the API");
        let tls = [("host", "hack.example.org"), ("origin", "https://hack.example.org")];
        assert!(!fits(Method::POST, &tls));
        assert!(fits(Method::POST, &[tls[0], tls[1], ("x-forwarded-proto", "https")]));
    }

    #[test]
    fn the_sessions_are_found_among_other_cookies() {
        let shown = |text| {
            let headers = headers(&[("cookie", text)]);
            sessions_shown(&headers).map(|id| id.reveal().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(shown("a=b; thon-session=xyz; c=d"), ["xyz"]);
        assert_eq!(shown("thon-session=bad; thon-session=xyz"), ["bad", "xyz"]);
        assert!(shown("my-thon-session=xyz; thon-sessions=1").is_empty());
    }

    #[test]
    fn a_proxy_is_known_by_what_it_says_and_how_it_speaks() {
        let plain = asked(&Method::GET, "/", &[("host", "localhost")]);
        assert!(!is_passed_on(&plain));
        for name in ["x-forwarded-host", "via", "x-client-ip"] {
            assert!(is_passed_on(&asked(&Method::GET, "/", &[(name, "1")])), "{name}");
        }
        let mut old = plain;
        old.version = Version::HTTP_10;
        assert!(is_passed_on(&old), "nginx passes on so by itself");
    }

    #[test]
    fn what_a_page_asks_for_by_itself_keeps_no_session_alive() {
        assert!(is_background(&asked(&Method::GET, "/api/load?id=a_b", &[])));
        assert!(is_background(&asked(&Method::GET, "/users", &[("x-thon-refresh", "1")])));
        assert!(!is_background(&asked(&Method::GET, "/users", &[])));
    }
}
