//! `thon pause`, `thon resume` and `thon restart`.
//!
//! For: asking before everyone is interrupted, and saying what came of it.
//! Not for: what each means for a sandbox that is up, paused or down; the core decides that.

use std::process::ExitCode;

use thon::core::lifecycle::Change;
use thon::core::orchestrator::ChangeReport;

use super::Outcome;
use crate::args::Whom;
use crate::context::{Context, whom};
use crate::failure::CommandFailure;
use crate::output::count;
use crate::progress::Progress;
use crate::prompt;

pub(crate) async fn change(change: Change, args: &Whom, context: &Context) -> Outcome {
    let node = context.node()?;
    let users = whom(args, &node)?;
    if let (None, Some(question)) = (&users, question(change))
        && !prompt::confirm(context, question, false)?
    {
        return Err(CommandFailure::input(format!("nothing was {}", change.done())));
    }
    let _lock = node.lock()?;
    let progress = Progress::show(node.events(), &context.output);
    let result = node.change(change, users.as_deref()).await;
    progress.finish().await;
    Ok(report(change, &result?, context))
}

/// What is asked before everyone is interrupted. Nobody is by a resume.
const fn question(change: Change) -> Option<&'static str> {
    match change {
        Change::Pause => {
            Some("Pause everyone's sandbox? Nobody can work until `thon resume`; nothing is lost.")
        }
        Change::Resume => None,
        Change::Restart => Some(
            "Restart everyone's sandbox? Terminals and unsaved editors in them are lost, workspaces \
             stay.",
        ),
    }
}

fn report(change: Change, report: &ChangeReport, context: &Context) -> ExitCode {
    let output = &context.output;
    if output.json() {
        output.value(&serde_json::json!({
            change.done(): report.changed,
            "unchanged": report.unchanged,
            "failures": report.failures,
        }));
    } else {
        for left in &report.unchanged {
            output.note(&format!("{}: {}", left.user, left.reason));
        }
        let sandboxes = count(report.changed.len(), "sandbox", "sandboxes");
        let hint = match change {
            Change::Pause if !report.changed.is_empty() => "; `thon resume` lets them go on",
            _ => "",
        };
        output.note(&format!("{} {sandboxes}{hint}", change.done()));
    }
    for failure in &report.failures {
        output.error(&format!("{}: {}", failure.user, failure.failure), 1);
    }
    if let Some(failure) = &report.proxy_failure {
        output.error(&failure.to_string(), 1);
    }
    if report.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
