//! `thon stop` and `thon down`.
//!
//! For: asking before everyone's work is interrupted.
//! Not for: removing workspaces; no command does that along the way.

use std::process::ExitCode;

use thon::Node;
use thon::core::name::UserId;
use thon::core::orchestrator::UserFailure;

use super::Outcome;
use crate::args::StopArgs;
use crate::context::{Context, everyone, selected};
use crate::failure::CommandFailure;
use crate::output::count;
use crate::progress::Progress;
use crate::prompt;

pub(crate) async fn stop(args: &StopArgs, context: &Context) -> Outcome {
    let node = context.node()?;
    let named = !args.users.is_empty() || !args.group.is_empty();
    let users = if named { Some(named_users(args, &node)?) } else { None };
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

/// Those who are named. Someone who left the roster may still have a sandbox, and is named in full.
fn named_users(args: &StopArgs, node: &Node) -> Result<Vec<UserId>, CommandFailure> {
    let roster = &node.config().groups;
    let known = everyone(roster);
    let full = |name: &&String| name.parse().is_ok_and(|id: UserId| !known.contains(&id));
    let (strangers, others): (Vec<&String>, Vec<&String>) = args.users.iter().partition(full);
    let mut users: Vec<UserId> = strangers.iter().filter_map(|name| name.parse().ok()).collect();
    if !others.is_empty() || !args.group.is_empty() {
        let others: Vec<String> = others.into_iter().cloned().collect();
        users.extend(selected(roster, &args.group, &others)?);
    }
    Ok(users)
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
    } else {
        context
            .output
            .note(&format!("{word} {}; {hint}", count(users.len(), "sandbox", "sandboxes")));
    }
    for failure in failures {
        context.output.error(&format!("{}: {}", failure.user, failure.failure), 1);
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
