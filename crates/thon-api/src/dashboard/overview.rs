//! The overview: the room at a glance.
//!
//! For: how many are in which state, how busy the machine is, what the doctor says, what happened.
//! Not for: single instances.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Serialize;
use thon::core::access::Permission;
use thon::core::doctor::{Finding, Severity};

use super::visit::{Oops, Own};
use crate::app::App;
use crate::guard::Operator;
use crate::problem::Problem;
use crate::rest::view::{Load, State as Shown, timestamp};

/// How much of the audit log is shown.
const LINES: u32 = 12;

#[derive(Serialize)]
struct Page {
    counts: Vec<(Shown, usize)>,
    users: usize,
    groups: usize,
    /// Who is in the roster and has no sandbox that runs or rests.
    absent: usize,
    host: Load,
    /// When the doctor looked; nothing before the first time.
    examined_at: Option<String>,
    findings: Vec<Found>,
    log: Vec<Line>,
    url: String,
}

/// What the doctor found and somebody should know.
#[derive(Serialize)]
struct Found {
    severity: &'static str,
    code: &'static str,
    says: String,
    fix: Option<String>,
}

#[derive(Serialize)]
struct Line {
    at: Option<String>,
    actor: String,
    action: String,
    subject: String,
    result: String,
}

/// Participants are led to what is theirs.
pub(super) async fn show(Own(visit): Own) -> Result<Response, Oops> {
    if !visit.who.permits(Permission::See) {
        return Ok(Redirect::to("/mine").into_response());
    }
    let service = &visit.app.service;
    let roster = &visit.site.wanted.roster;
    let checkup = service.checkup(false);
    let log = service.state().store().audit(LINES).await.map_err(thon::Error::from)?;
    let counts: Vec<(Shown, usize)> =
        visit.room.counts().into_iter().map(|(state, count)| (state.into(), count)).collect();
    let count = |wanted| counts.iter().find(|(state, _)| *state == wanted).map_or(0, |(_, n)| *n);
    let page = Page {
        users: roster.user_count(),
        groups: roster.groups().len(),
        absent: count(Shown::Terminated),
        counts: counts.clone(),
        host: (&service.host_load().await).into(),
        examined_at: checkup.as_ref().and_then(|checkup| timestamp(checkup.at)),
        findings: checkup
            .iter()
            .flat_map(|checkup| &checkup.findings)
            .filter(|finding| matches!(finding.severity, Severity::Problem | Severity::Warning))
            .map(found)
            .collect(),
        log: log
            .into_iter()
            .map(|entry| Line {
                at: timestamp(entry.at),
                actor: entry.actor,
                action: entry.action,
                subject: entry.subject,
                result: entry.result,
            })
            .collect(),
        url: visit.site.node().base_url(),
    };
    visit.page("overview.html", "/", "Overview", page).await
}

fn found(finding: &Finding) -> Found {
    Found {
        severity: if finding.severity == Severity::Problem { "problem" } else { "warning" },
        code: finding.code.as_str(),
        says: finding.says.clone(),
        fix: finding.fix.clone(),
    }
}

/// Has the doctor look anew; what they find is said on the stream of events.
pub(super) async fn examine(_: Operator, State(app): State<App>) -> Result<Response, Problem> {
    drop(app.service.checkup(true));
    Ok(StatusCode::ACCEPTED.into_response())
}
