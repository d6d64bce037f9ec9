//! `thon stop` and `thon down`.
//!
//! For: asking before everyone's work is interrupted.
//! Not for: removing workspaces; no command does that along the way.

use std::process::ExitCode;

use thon::core::name::UserId;
use thon::core::orchestrator::UserFailure;

use super::Outcome;
use crate::args::Whom;
use crate::context::{Context, whom};
use crate::failure::CommandFailure;
use crate::output::count;
use crate::progress::Progress;
use crate::prompt;

pub(crate) async fn stop(args: &Whom, context: &Context) -> Outcome {
    let node = context.node()?;
    let users = whom(args, &node)?;
    if users.is_none() && !prompt::confirm(context, "Stop everyone's sandbox?", false)? {
        return Err(CommandFailure::input("nothing was stopped"));
    }
    let _lock = node.lock()?;
    let progress = Progress::show(node.events(), &context.output);
    let result = node.stop(users.as_deref()).await;
    progress.finish().await;
    let (stopped, failures) = result?;
    Ok(report("stopped", &stopped, &failures, "`thon run` starts them again", context))
}

pub(crate) async fn down(context: &Context) -> Outcome {
    let node = context.node()?;
    let question = "Remove all sandboxes and the proxy's configuration? Workspaces stay.";
    if !prompt::confirm(context, question, false)? {
        return Err(CommandFailure::input("nothing was removed"));
    }
    let _lock = node.lock()?;
    let progress = Progress::show(node.events(), &context.output);
    let result = node.down().await;
    progress.finish().await;
    let (removed, failures) = result?;
    let hint = "workspaces, URLs and passwords are kept; `thon up` brings everything back";
    Ok(report("removed", &removed, &failures, hint, context))
}

fn report(
    word: &str,
    users: &[UserId],
    failures: &[UserFailure],
    hint: &str,
    context: &Context,
) -> ExitCode {
    if context.output.json() {
        context.output.value(&serde_json::json!({ word: users, "failures": failures }));
    } else if !users.is_empty() {
        context
            .output
            .note(&format!("{word} {}; {hint}", count(users.len(), "sandbox", "sandboxes")));
    } else if failures.is_empty() {
        context.output.note(&format!("nothing to do: no sandbox was there to be {word}"));
    }
    for failure in failures {
        context.output.error(&format!("{}: {}", failure.user, failure.failure), 1);
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
