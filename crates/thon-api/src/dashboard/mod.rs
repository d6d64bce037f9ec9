//! The web dashboard.
//!
//! For: pages that are made here and brought up to date by a script of our own; what they change
//! goes through the same routes that programs use.
//! Not for: rules. Of all pages one is for participants: their own workspace.

mod assets;
mod handout;
mod login;
mod mine;
mod overview;
mod pages;
mod render;
mod settings;
mod visit;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};

pub(crate) use login::{cookie, inside, led_on, refused, whence};

use crate::app::{App, dressed, programs};
use crate::guard::{known, unsealed};
use crate::problem::{Code, Problem};
use crate::rest::auth;
use visit::Oops;

/// Everything that is served to browsers.
pub(crate) fn router(app: App) -> Router {
    let pages = Router::new()
        .route("/", get(overview::show))
        .route("/instances", get(pages::instances))
        .route("/groups", get(pages::groups))
        .route("/groups/{group}", get(pages::group))
        .route("/users", get(pages::users))
        .route("/users/{id}", get(pages::user))
        .route("/workspaces", get(pages::workspaces))
        .route("/ai", get(settings::ai))
        .route("/settings", get(settings::show))
        .route("/settings/{key}", get(settings::file).post(settings::check))
        .route("/handout", get(handout::show))
        .route("/doctor", post(overview::examine))
        .route("/mine", get(mine::show))
        .route("/logout", post(auth::logout))
        .route_layer(from_fn_with_state(app.clone(), guard));
    let api = programs(&app);
    let open = Router::new()
        .route("/login", get(login::show).post(login::log_in))
        .merge(assets::router())
        .fallback(nowhere);
    dressed(pages.merge(api).merge(open), app)
}

/// Lets those in who may; everyone else is shown where to log in.
async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let wanted = request.uri().path_and_query().map(ToString::to_string);
    let (parts, body) = request.into_parts();
    let sealed = unsealed(&app.service, &parts).await;
    let request = Request::from_parts(parts, body);
    match known(&app, request).await {
        Ok(request) => next.run(request).await,
        Err(problem) if problem.code() == Code::Unauthorized => {
            // Whoever comes in the clear is led to where they may be logged in.
            if let Ok(Some(_)) = sealed
                && let Some(url) = login::public(&app, wanted.as_deref().unwrap_or("/")).await
            {
                return Redirect::to(&url).into_response();
            }
            login::ask(&app, wanted.as_deref().unwrap_or("/"), None).await
        }
        Err(problem) if problem.code() == Code::NotListed => refused(&problem),
        Err(problem) => Oops(problem).into_response(),
    }
}

async fn nowhere(request: Request) -> Response {
    if request.uri().path().starts_with("/api/") {
        return crate::app::nowhere().await.into_response();
    }
    Oops(Problem::new(Code::NotFound, "there is no page at this address")).into_response()
}
