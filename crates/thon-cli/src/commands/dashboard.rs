//! `thon dashboard`: who may log in to the dashboard.
//!
//! For: its password and the browsers that are logged in.
//! Not for: serving it; `thon serve` does that.

use std::process::ExitCode;

use thon::State;
use thon::core::access::{Session, fit_password};

use super::Outcome;
use super::status::timestamp;
use crate::args_server::DashboardCommand;
use crate::context::Context;
use crate::output::plain;
use crate::prompt;

pub(crate) async fn dashboard(command: DashboardCommand, context: &Context) -> Outcome {
    match command {
        DashboardCommand::Password => password(context).await,
        DashboardCommand::Sessions => sessions(context).await,
        DashboardCommand::Logout => logout(context).await,
    }
}

async fn password(context: &Context) -> Outcome {
    let password = prompt::password("Password of the dashboard", fit_password)?;
    let state = State::open(&context.home()?).await?;
    let set = state.access().set_password(state.actor(), &password).await;
    state.close().await;
    let ended = set?;
    if context.output.json() {
        context.output.value(&serde_json::json!({ "set": true, "sessions_ended": ended }));
        return Ok(ExitCode::SUCCESS);
    }
    context.output.note("The password is set.");
    if ended > 0 {
        context.output.note(&format!("{ended} logged-in browser(s) have to log in anew."));
    }
    context.output.note("It holds at once; `thon serve` serves the dashboard.");
    Ok(ExitCode::SUCCESS)
}

async fn sessions(context: &Context) -> Outcome {
    let sessions = match State::open_existing(&context.home()?).await? {
        None => Vec::new(),
        Some(state) => {
            let sessions = state.access().sessions().await;
            state.close().await;
            sessions?
        }
    };
    if context.output.json() {
        let one = |session: &Session| {
            serde_json::json!({
                "number": session.number,
                "address": session.address,
                "browser": session.browser,
                "created_at": timestamp(session.created_at),
                "seen_at": timestamp(session.seen_at),
                "ends_at": timestamp(session.ends_at()),
            })
        };
        context.output.value(&sessions.iter().map(one).collect::<Vec<_>>());
        return Ok(ExitCode::SUCCESS);
    }
    if sessions.is_empty() {
        context.output.note("Nobody is logged in.");
        return Ok(ExitCode::SUCCESS);
    }
    let rows = sessions.iter().map(|session| {
        vec![
            plain(session.number.to_string()),
            plain(session.address.clone()),
            plain(session.browser.clone()),
            plain(timestamp(session.seen_at).unwrap_or_default()),
            plain(timestamp(session.ends_at()).unwrap_or_default()),
        ]
    });
    context.output.table(&["NUMBER", "ADDRESS", "BROWSER", "SEEN", "ENDS"], rows.collect());
    Ok(ExitCode::SUCCESS)
}

async fn logout(context: &Context) -> Outcome {
    let ended = match State::open_existing(&context.home()?).await? {
        None => 0,
        Some(state) => {
            let ended = state.access().end_sessions(state.actor()).await;
            state.close().await;
            ended?
        }
    };
    if context.output.json() {
        context.output.value(&serde_json::json!({ "sessions_ended": ended }));
    } else {
        context.output.note(&format!("{ended} logged-in browser(s) have to log in anew."));
    }
    Ok(ExitCode::SUCCESS)
}
