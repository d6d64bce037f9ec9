//! `thon dashboard`: who may log in to the dashboard.
//!
//! For: its password and the browsers that are logged in.
//! Not for: serving it; `thon serve` does that.

use std::process::ExitCode;

use thon::State;
use thon::core::access::fit_password;

use super::{Outcome, auth};
use crate::args_server::DashboardCommand;
use crate::context::Context;
use crate::prompt;

pub(crate) async fn dashboard(command: DashboardCommand, context: &Context) -> Outcome {
    match command {
        DashboardCommand::Password => password(context).await,
        DashboardCommand::Sessions => auth::sessions(context).await,
        DashboardCommand::Logout => auth::revoke_all(context).await,
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
