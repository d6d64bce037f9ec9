//! What Prometheus reads.
//!
//! For: how many instances are in which state, how old the last look is, what was asked of the API.
//! Not for: single users' matters; a label for each of them would be a series for each.

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::app::App;
use crate::guard::Reader;
use crate::problem::{Code, Problem};

type Labels = Vec<(&'static str, String)>;

/// Requests that were answered, by method and status.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    family: Family<Labels, Counter>,
}

impl Requests {
    pub(crate) fn count(&self, method: &Method, status: StatusCode) {
        // A method is whatever a caller writes; those that no route has are one series.
        let known = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
        let method = if known.contains(method) { method.as_str() } else { "other" };
        let labels = vec![("method", method.to_owned()), ("status", status.as_u16().to_string())];
        self.family.get_or_create(&labels).inc();
    }
}

pub(crate) fn router() -> Router<App> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(_: Reader, State(app): State<App>) -> Result<impl IntoResponse, Problem> {
    let room = app.service.room();
    let mut registry = Registry::default();
    registry.register("thon_http_requests", "Requests answered", app.requests.family.clone());
    let instances: Family<Labels, Gauge> = Family::default();
    for (state, count) in room.counts() {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        instances.get_or_create(&vec![("state", state.to_string())]).set(count);
    }
    registry.register("thon_instances", "Instances by state", instances);
    let unfinished = app.service.state().operations().unfinished().await?;
    let mut gauge = |name: &str, help: &str, value: u64| {
        let gauge: Gauge<i64, std::sync::atomic::AtomicI64> = Gauge::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(name, help, gauge);
    };
    gauge("thon_operations_unfinished", "Operations that wait or run", unfinished.len() as u64);
    gauge("thon_look_failed", "1 if the last look saw nothing", room.failure.is_some().into());
    let seen = room.seen_at.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let seen = seen.map_or(0, |since| since.as_secs());
    gauge("thon_seen_timestamp_seconds", "When a look last saw everything", seen);
    let mut text = String::new();
    encode(&mut text, &registry)
        .map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text))
}
