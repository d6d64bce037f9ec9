//! What pages need besides themselves: the style, the script and the icon.
//!
//! For: files that travel inside the binary and that a browser may keep.
//! Not for: anything that differs between nodes.

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::app::App;

const STYLE: &str = include_str!("../../static/app.css");
const SCRIPT: &str = include_str!("../../static/app.js");
const ICON: &str = include_str!("../../static/icon.svg");

/// What the addresses of the files end with: another version is another address.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/static/app.css", get(|| async { file("text/css; charset=utf-8", STYLE) }))
        .route("/static/app.js", get(|| async { file("text/javascript; charset=utf-8", SCRIPT) }))
        .route("/static/icon.svg", get(|| async { file("image/svg+xml", ICON) }))
}

fn file(kind: &'static str, text: &'static str) -> Response {
    // Asked for anew each time, and small: a build in between has the same version.
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")];
    (headers, text).into_response()
}
