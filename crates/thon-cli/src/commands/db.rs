//! `thon db`: the database itself.
//!
//! For: checking it, copying it, and taking the ancestor's over.
//! Not for: what is in it; that is `thon group` and `thon user`.

use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use thon::State;
use thon::core::log::harmless;
use thon::core::state::Renaming;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Outcome;
use super::roster::said;
use crate::args_state::DbCommand;
use crate::context::Context;
use crate::failure::CommandFailure;
use crate::output::{count, plain};
use crate::prompt;

pub(crate) async fn db(command: DbCommand, context: &Context) -> Outcome {
    match command {
        DbCommand::Check => check(context).await,
        DbCommand::Backup { file } => backup(file.as_deref(), context).await,
        DbCommand::ImportAncestor { file, use_proposed_names, dry_run } => {
            let renaming = if use_proposed_names { Renaming::Proposed } else { Renaming::Refused };
            import_ancestor(&file, renaming, dry_run, context).await
        }
        DbCommand::Log { tail } => log(tail, context).await,
    }
}

/// The database, which has to be there.
async fn present(context: &Context) -> Result<State, CommandFailure> {
    let home = context.home()?;
    State::open_existing(&home).await?.ok_or_else(|| {
        CommandFailure::input(format!(
            "there is no database {} yet; `thon group add` or `thon import` makes it",
            home.database().display()
        ))
    })
}

async fn check(context: &Context) -> Outcome {
    let state = present(context).await?;
    let problems = state.check().await?;
    let users = if problems.is_empty() { Some(state.snapshot().await?) } else { None };
    if context.output.json() {
        context.output.value(&serde_json::json!({ "path": state.path(), "problems": problems }));
    } else if let Some(snapshot) = users {
        context.output.line(&format!(
            "{}: sound: {}, {}",
            state.path().display(),
            count(snapshot.groups.len(), "group", "groups"),
            count(snapshot.users.len(), "user", "users"),
        ));
    } else {
        for problem in &problems {
            context.output.error(problem, 1);
        }
    }
    state.close().await;
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn backup(file: Option<&Path>, context: &Context) -> Outcome {
    let state = present(context).await?;
    let path = state.backup(file).await?;
    state.close().await;
    if context.output.json() {
        context.output.value(&serde_json::json!({ "path": path }));
    } else {
        context.output.note(&format!("copied the database to {}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

async fn import_ancestor(
    file: &Path,
    renaming: Renaming,
    dry_run: bool,
    context: &Context,
) -> Outcome {
    let output = &context.output;
    let state = State::open(&context.home()?).await?;
    let import = state.ancestor(file, renaming).await?;
    let nothing = import.changes.is_empty() && import.history.is_empty();
    let applied = !dry_run && !nothing;
    if !output.json() {
        let rows: Vec<_> = import
            .changes
            .iter()
            .map(|change| vec![plain(change.action()), plain(change.subject())])
            .collect();
        if !rows.is_empty() {
            output.table(&["CHANGE", "OF"], rows);
        }
        for refused in &import.refused {
            let way = match (&refused.proposal, renaming) {
                (Some(name), Renaming::Proposed) => format!("; it becomes `{name}`"),
                (Some(name), Renaming::Refused) => {
                    format!("; left out, --use-proposed-names takes it as `{name}`")
                }
                (None, _) => "; left out".to_owned(),
            };
            output.warn(&format!("{} {}: {}{way}", refused.what, refused.name, refused.problem));
        }
        if import.still_running > 0 {
            let running = count(import.still_running, "sandbox", "sandboxes");
            output.note(&format!("{running} of the ancestor had not ended, and stay with it."));
        }
        output.note(
            "Workspaces aren't touched: the ancestor's are the volumes thon-workspace-<group>-<user>.",
        );
    }
    if applied {
        let facts = count(import.history.len(), "line", "lines");
        let changes = count(import.changes.len(), "change", "changes");
        let question = format!("Make {changes} and add {facts} of history?");
        if !prompt::confirm(context, &question, true)? {
            return Err(CommandFailure::input("nothing was changed"));
        }
        state.import_ancestor(&import).await?;
        output.note(&format!("made {changes}, added {facts} of history"));
    } else if !output.json() {
        output.note("Nothing was changed.");
    }
    if output.json() {
        let mut value = said(&import.changes);
        value["history"] = import.history.len().into();
        value["refused"] = serde_json::to_value(&import.refused).unwrap_or_default();
        value["still_running"] = import.still_running.into();
        value["applied"] = applied.into();
        output.value(&value);
    }
    state.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn log(tail: u32, context: &Context) -> Outcome {
    let state = present(context).await?;
    let mut lines = state.store().audit(tail).await?;
    state.close().await;
    lines.reverse();
    if context.output.json() {
        let lines = lines.iter().map(|line| {
            serde_json::json!({
                "at": instant(line.at),
                "who": line.actor,
                "action": line.action,
                "of": line.subject,
                "result": line.result,
            })
        });
        context.output.value(&lines.collect::<Vec<_>>());
        return Ok(ExitCode::SUCCESS);
    }
    let rows = lines.into_iter().map(|line| {
        let at = instant(line.at);
        // Lines from before they were made harmless when they are written.
        let texts = [at, line.actor, line.action, line.subject, line.result];
        texts.map(|text| plain(harmless(&text))).to_vec()
    });
    context.output.table(&["WHEN", "WHO", "CHANGE", "OF", "RESULT"], rows.collect());
    Ok(ExitCode::SUCCESS)
}

/// A time as text, to the second.
fn instant(at: SystemTime) -> String {
    let at = OffsetDateTime::from(at);
    at.replace_nanosecond(0).unwrap_or(at).format(&Rfc3339).unwrap_or_default()
}
