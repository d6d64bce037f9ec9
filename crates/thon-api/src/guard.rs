//! Who asks, and whether they may.
//!
//! For: tokens of programs, sessions of browsers, the one case in which neither is needed, and the
//! types with which a route says which permission it needs.
//! Not for: what is done; and not for logging in, see [`crate::dashboard`].
//!
//! Without any password and any token the server serves whoever is on this machine, and listens to
//! nobody else. A browser sends its cookie, and what this machine may do, along with whatever page it
//! shows: a request of either kind must name this server as its host and must not come from another
//! origin, and one that changes something in a session must show what only its pages know.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use thon::Service;
use thon::core::access::{
    Asked, Doors, Foreign, Permission, Role, SESSION_COOKIE, SESSION_COOKIE_TLS, Session, Standing,
    may_be_session,
};
use thon::core::endpoint::NetworkMode;
use thon::core::name::UserId;
use thon::core::secret::Secret;
use thon::core::state::Actor;

use crate::app::App;
use crate::problem::{Code, Problem};

/// With which a page says that nobody pressed anything: it keeps itself up to date.
const REFRESH_HEADER: &str = "x-thon-refresh";

/// How many cookies of a session's name are looked at.
const MOST_COOKIES: usize = 16;

/// The header in which a page of the dashboard shows that it is one.
pub(crate) const CSRF_HEADER: &str = "x-thon-csrf";

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    /// As the audit log calls them.
    pub(crate) actor: Actor,
    /// What they may do.
    pub(crate) standing: Standing,
    /// By what they are known.
    pub(crate) known_by: KnownBy,
}

/// By what somebody is known.
#[derive(Debug, Clone)]
pub(crate) enum KnownBy {
    /// A program, by its token.
    Token,
    /// A browser, by its session, whose id is beside it.
    Session(Box<Session>, Secret),
    /// That they are on this machine.
    Place,
}

impl Who {
    /// The id of their session, if they have one.
    pub(crate) const fn session(&self) -> Option<&Secret> {
        match &self.known_by {
            KnownBy::Session(_, id) => Some(id),
            KnownBy::Token | KnownBy::Place => None,
        }
    }

    /// Whether they may do it with everyone's.
    pub(crate) const fn permits(&self, permission: Permission) -> bool {
        self.standing.role.permits(permission)
    }

    /// Whether they may do it with what is this user's.
    pub(crate) fn permits_with(&self, permission: Permission, user: &UserId) -> bool {
        self.standing.permits(permission, user)
    }

    /// Refuses them if they may not do it with everyone's.
    pub(crate) fn needs(&self, permission: Permission) -> Result<(), Problem> {
        if self.permits(permission) { Ok(()) } else { Err(self.refusal(permission)) }
    }

    /// Refuses them if they may not do it with what is this user's.
    pub(crate) fn needs_with(&self, permission: Permission, user: &UserId) -> Result<(), Problem> {
        if self.permits_with(permission, user) { Ok(()) } else { Err(self.refusal(permission)) }
    }

    fn refusal(&self, permission: Permission) -> Problem {
        let needed = Role::needed_for(permission);
        let detail = match self.known_by {
            KnownBy::Token => {
                let scope = |role: Role| match role {
                    Role::Participant | Role::Viewer => "read",
                    Role::Operator => "operate",
                    Role::Admin => "admin",
                };
                let (needed, role) = (scope(needed), scope(self.standing.role));
                format!("this needs scope `{needed}`; the token has `{role}`")
            }
            KnownBy::Session(..) | KnownBy::Place => {
                format!("this needs the role `{needed}`; you have `{}`", self.standing.role)
            }
        };
        Problem::new(Code::Forbidden, detail)
    }
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
        let standing = Standing::of(token.scope.into());
        return Ok(Who { actor, standing, known_by: KnownBy::Token });
    }
    let mut refused = None;
    for id in sessions_shown(headers) {
        let uses = !is_background(parts);
        let Some(session) = access.session(id.reveal(), uses).await? else { continue };
        if let Some(problem) = unsealed(&app.service, parts).await? {
            refused = Some(problem);
            continue;
        }
        let standing = match app.service.standing(&session).await? {
            Ok(standing) => standing,
            Err(why) => {
                let problem = Problem::new(Code::NotListed, why.text());
                refused = Some(problem.hint("ask whoever organizes this to list it"));
                continue;
            }
        };
        admit(&app.doors().await?, parts)?;
        let reads = matches!(parts.method, Method::GET | Method::HEAD);
        let shown = headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
        if !reads && !thon::csrf_fits(&id, shown.unwrap_or_default()) {
            let detail = "the request doesn't come from a page of this session";
            return Err(Problem::new(Code::Forbidden, detail).hint("load the page anew"));
        }
        let actor = session.actor();
        return Ok(Who { actor, standing, known_by: KnownBy::Session(Box::new(session), id) });
    }
    if let Some(problem) = refused {
        return Err(problem);
    }
    if !app.service.is_open().await? {
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
pub(crate) fn sessions_shown(headers: &HeaderMap) -> impl Iterator<Item = Secret> {
    let shown = cookies(headers, session_cookie(headers)).filter(|id| may_be_session(id));
    shown.map(Secret::new).take(MOST_COOKIES)
}

/// What a browser shows under the name of a cookie.
pub(crate) fn cookies<'a>(
    headers: &'a HeaderMap,
    wanted: &'a str,
) -> impl Iterator<Item = &'a str> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.filter(move |(name, _)| name.trim() == wanted).map(|(_, value)| value.trim())
}

/// The name of the session's cookie. Over TLS it is one that a page of another name or without TLS
/// can't set.
pub(crate) fn session_cookie(headers: &HeaderMap) -> &'static str {
    if over_tls(headers) { SESSION_COOKIE_TLS } else { SESSION_COOKIE }
}

/// Refuses what crosses the network in the clear where people sign in over TLS: a session that was
/// read on the way is worth nothing then, and none begins so.
pub(crate) async fn unsealed(service: &Service, parts: &Parts) -> Result<Option<Problem>, Problem> {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let here = peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback());
    if here || over_tls(&parts.headers) {
        return Ok(None);
    }
    let site = service.site().await?;
    if !site.node().config().auth.enabled {
        return Ok(None);
    }
    let url = site.node().public_url()?;
    let problem = || {
        let detail = "sessions are used over TLS alone, and this request came without";
        Problem::new(Code::Unauthorized, detail).hint(format!("come to {url}"))
    };
    Ok(url.is_https().then(problem))
}

/// True for what a page asks for by itself, whether anybody looks at it or not.
fn is_background(parts: &Parts) -> bool {
    matches!(parts.uri.path(), "/api/load" | "/api/events")
        || parts.headers.contains_key(REFRESH_HEADER)
}

/// The case in which neither a token nor a password is needed.
async fn open(app: &App, parts: &Parts) -> Result<Who, Problem> {
    let needed = |detail: &str| {
        let hint = "log in at the dashboard; `thon token add` makes a token, `thon dashboard \
                    password` sets a password";
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
    Ok(Who { actor, standing: Standing::of(Role::Admin), known_by: KnownBy::Place })
}

/// Refuses what a browser may have been made to send by a page that isn't ours.
pub(crate) fn admit(doors: &Doors, parts: &Parts) -> Result<(), Problem> {
    let headers = &parts.headers;
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    // Links lead to pages, and back from those who vouch for accounts; what programs ask for is
    // nobody's to lead a browser to.
    let path = parts.uri.path();
    let leads = !path.starts_with("/api/") || crate::rest::auth::is_link(path);
    let follows_link = parts.method == Method::GET
        && leads
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
    ($(#[$doc:meta])* $name:ident $(, $permission:ident)?) => {
        $(#[$doc])*
        pub(crate) struct $name(pub(crate) Who);

        impl<S: Send + Sync> FromRequestParts<S> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
                let who = parts.extensions.get::<Who>().cloned().ok_or_else(|| {
                    Problem::new(Code::Internal, "a route stands before the guard")
                })?;
                $(who.needs(Permission::$permission)?;)?
                Ok(Self(who))
            }
        }
    };
}

needs!(
    /// Someone who is known, and may do nothing for that alone: what is theirs is asked for by
    /// [`Who::needs_with`].
    Anyone
);
needs!(
    /// Someone who may look.
    Reader,
    See
);
needs!(
    /// Someone who may operate instances.
    Operator,
    Operate
);
needs!(
    /// Someone who may change the roster and the configuration.
    Administrator,
    Administer
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
        let back = asked(&Method::GET, "/api/auth/callback/github?code=x", &link);
        assert!(admit(&doors, &back).is_ok(), "whoever vouches for an account sends people back");
        let tls = [("host", "hack.example.org"), ("origin", "https://hack.example.org")];
        assert!(!fits(Method::POST, &tls));
        assert!(fits(Method::POST, &[tls[0], tls[1], ("x-forwarded-proto", "https")]));
    }

    #[test]
    fn the_sessions_are_found_among_other_cookies() {
        let shown = |text: &str, tls: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, header::HeaderValue::from_str(text).unwrap());
            if tls {
                headers.insert("x-forwarded-proto", header::HeaderValue::from_static("https"));
            }
            sessions_shown(&headers).map(|id| id.reveal().to_owned()).collect::<Vec<_>>()
        };
        let (one, two) = ("A".repeat(43), "B".repeat(43));
        assert_eq!(shown(&format!("a=b; thon-session={one}; c=d"), false), [one.as_str()]);
        // What can be none pushes none aside, however much of it there is.
        let jam = "thon-session=bad; ".repeat(100);
        let both = format!("{jam}thon-session={one}; thon-session={two}");
        assert_eq!(shown(&both, false), [one.as_str(), &two]);
        assert!(shown(&format!("my-thon-session={one}; thon-sessions={one}"), false).is_empty());
        let named = format!("thon-session={one}; __Host-thon-session={two}");
        assert_eq!(shown(&named, true), [two.as_str()], "over TLS only what is set over TLS");
        assert_eq!(shown(&named, false), [one.as_str()]);
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
