//! The server as a whole: routes, what stands before each of them, and its description.
//!
//! For: putting the routes together with the guard, limits, request ids and the log.
//! Not for: what a route does.

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use thon::Service;
use thon::core::access::Doors;
use tokio::sync::watch;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{
    MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer,
};
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use crate::guard::guard;
use crate::metrics::Requests;
use crate::problem::{Code, Problem};
use crate::{log, metrics, probes, rest};

/// The largest body that is read, in bytes: a configuration file of 1 MiB as JSON fits in.
const LARGEST_BODY: usize = 2 << 20;

/// How long a request may take; what takes longer is an operation.
const LONGEST: Duration = Duration::from_mins(1);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Through which of the two ports a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Api,
    Dashboard,
}

impl std::fmt::Display for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Api => "api",
            Self::Dashboard => "dashboard",
        })
    }
}

/// What every route works with.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) service: Service,
    /// The address at which the server listens.
    pub(crate) here: IpAddr,
    /// The port.
    pub(crate) door: Door,
    /// The names under which browsers may ask.
    pub(crate) doors: Doors,
    /// True from the moment on at which the server is to end.
    pub(crate) ending: watch::Receiver<bool>,
    pub(crate) requests: Arc<Requests>,
}

impl App {
    /// The names under which browsers may ask as things are: those of this machine, and where people
    /// sign in, the one that providers send them back to.
    pub(crate) async fn doors(&self) -> Result<Doors, Problem> {
        let site = self.service.site().await?;
        let doors = self.doors.clone();
        if !site.node().config().auth.enabled {
            return Ok(doors);
        }
        Ok(doors.named(site.node().public_url()?.host()))
    }
}

/// The description of the API, from its code.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "THON",
        description = "The Hackathon Organizer Node: groups, users and their running VS Codes.\n\n\
            An instance and its user have the same id, `<group>_<user>`. What takes a while is \
            answered with 202 and an operation, which is watched at `/api/operations/{id}` or on \
            `/api/events`. Every problem is one of RFC 9457 with a stable `code`."
    ),
    components(schemas(Problem)),
    modifiers(&Tokens)
)]
struct Document;

struct Tokens;

impl Modify for Tokens {
    fn modify(&self, document: &mut OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        if let Some(components) = document.components.as_mut() {
            components.add_security_scheme("token", scheme);
        }
    }
}

/// The routes with their description.
fn described() -> (Router<App>, OpenApi) {
    let (api, mut document) = OpenApiRouter::with_openapi(Document::openapi())
        .merge(rest::router())
        .merge(probes::router())
        .split_for_parts();
    env!("CARGO_PKG_VERSION").clone_into(&mut document.info.version);
    name_operations(&mut document);
    (api, document)
}

/// Gives every operation a name that no other one has: its handler's, behind that of its tag.
fn name_operations(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        let all = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.patch,
            &mut item.delete,
            &mut item.head,
            &mut item.options,
            &mut item.trace,
        ];
        for operation in all.into_iter().flatten() {
            let tag = operation.tags.iter().flatten().next().map(|tag| tag.replace(' ', "_"));
            if let (Some(tag), Some(id)) = (tag, operation.operation_id.as_mut()) {
                *id = format!("{tag}_{id}");
            }
        }
    }
}

/// The description of the API.
#[must_use]
pub fn openapi() -> OpenApi {
    described().1
}

/// What programs and the pages' script use: the routes, behind the guard, and their description.
pub(crate) fn programs(app: &App) -> Router<App> {
    let (routes, document) = described();
    let guard = from_fn_with_state(app.clone(), guard_what_is_not_open);
    let guarded = routes.merge(metrics::router()).route_layer(guard);
    guarded.merge(SwaggerUi::new("/docs").url("/openapi.json", document))
}

/// Everything that is served to programs.
pub(crate) fn router(app: App) -> Router {
    let home = get(|| async { Redirect::temporary("/docs/") });
    let routes = programs(&app).route("/", home).fallback(nowhere);
    dressed(routes, app)
}

/// With what stands before every route, whoever asks.
pub(crate) fn dressed(routes: Router<App>, app: App) -> Router {
    let requests = Arc::clone(&app.requests);
    routes
        .method_not_allowed_fallback(not_so)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(from_fn(bounded))
        .layer(CatchPanicLayer::custom(fault))
        .layer(from_fn(move |request, next| log::log(Arc::clone(&requests), request, next)))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(SetRequestIdLayer::new(REQUEST_ID, Numbers::default()))
        .layer(from_fn(headers))
        .with_state(app)
}

async fn guard_what_is_not_open(
    state: axum::extract::State<App>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    if probes::is_probe(path) || rest::auth::is_open(path) {
        return next.run(request).await;
    }
    guard(state, request, next).await
}

pub(crate) async fn nowhere() -> Problem {
    Problem::new(Code::NotFound, "there is nothing at this path").hint("see `/docs`")
}

async fn not_so() -> Problem {
    Problem::new(Code::MethodNotAllowed, "this path has other methods").hint("see `/docs`")
}

/// Ends a request that takes too long. A stream of events is none: its head is there at once.
async fn bounded(request: Request, next: Next) -> Response {
    tokio::time::timeout(LONGEST, next.run(request)).await.unwrap_or_else(|_| {
        let detail = format!("it took longer than {} seconds", LONGEST.as_secs());
        Problem::new(Code::TimedOut, detail).into_response()
    })
}

fn fault(_: Box<dyn Any + Send>) -> Response {
    let detail = "this is a fault in THON: please report it with the request id";
    Problem::new(Code::Internal, detail).into_response()
}

/// What every answer says to browsers: keep nothing, guess nothing, show it in no frame.
async fn headers(request: Request, next: Next) -> Response {
    let docs = request.uri().path().starts_with("/docs");
    let mut response = next.run(request).await;
    let mut set = |name: HeaderName, value: &'static str| {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "no-referrer");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    // Swagger UI styles itself from its scripts.
    set(
        header::CONTENT_SECURITY_POLICY,
        if docs {
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
             frame-ancestors 'none'"
        } else {
            "default-src 'none'; frame-ancestors 'none'"
        },
    );
    if !docs {
        set(header::CACHE_CONTROL, "no-store");
    }
    response
}

/// Numbers for requests that bring no id: the time of the start and a count.
#[derive(Clone, Default)]
struct Numbers {
    count: Arc<AtomicU64>,
}

impl MakeRequestId for Numbers {
    fn make_request_id<B>(&mut self, _: &axum::http::Request<B>) -> Option<RequestId> {
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let id = format!("{}-{number}", std::process::id());
        HeaderValue::from_str(&id).ok().map(RequestId::new)
    }
}
