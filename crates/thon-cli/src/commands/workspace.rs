//! `thon workspace`: users' files as wholes.
//!
//! For: saying who has how much, and asking before anything is gone.
//! Not for: what may be in an archive; the library looks at it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;
use thon::core::archive::readable;
use thon::core::name::UserId;
use thon::core::orchestrator::UserFailure;
use thon::core::sandbox::Phase;
use thon::core::workspace::Workspace;
use thon::{Import, Node, WorkspaceView};

use super::Outcome;
use super::status::timestamp;
use crate::args::WorkspaceCommand;
use crate::context::{Context, everyone, selected};
use crate::failure::CommandFailure;
use crate::output::{Tone, count, plain};
use crate::progress::Progress;
use crate::prompt;

pub(crate) async fn workspace(command: WorkspaceCommand, context: &Context) -> Outcome {
    match command {
        WorkspaceCommand::List => list(context).await,
        WorkspaceCommand::Export { users, group, all, output, force } => {
            let node = context.node()?;
            let users = if all { with_one(&node).await? } else { named(&users, &group, &node)? };
            export(&users, &output, force, &node, context).await
        }
        WorkspaceCommand::Import { files, user, force } => {
            import(files, user.as_deref(), force, context).await
        }
        WorkspaceCommand::Remove { users, dry_run } => remove(&users, dry_run, context).await,
    }
}

async fn list(context: &Context) -> Outcome {
    let node = context.node()?;
    let views = node.workspaces(|_| true).await?;
    if context.output.json() {
        context.output.value(&views.iter().map(as_json).collect::<Vec<_>>());
        return Ok(ExitCode::SUCCESS);
    }
    table(&views, context);
    let bytes: u64 = views.iter().filter_map(|view| view.size).sum();
    let orphans = views.iter().filter(|view| !view.in_roster).count();
    let mut words = vec![count(views.len(), "workspace", "workspaces")];
    words.extend((bytes > 0).then(|| readable(bytes)));
    words.extend((orphans > 0).then(|| format!("{orphans} of users who are not in the roster")));
    context.output.note(&words.join(", "));
    for view in views.iter().filter(|view| view.half_imported) {
        let user = &view.user;
        context.output.warn(&format!(
            "an import into the workspace of {user} was interrupted; run it again to complete it"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn table(views: &[WorkspaceView], context: &Context) {
    let rows = views.iter().map(|view| {
        let size = view.size.map_or_else(|| "-".to_owned(), readable);
        let changed = view.changed_at.and_then(timestamp).unwrap_or_else(|| "-".to_owned());
        let tone = if view.is_in_use() { Tone::Good } else { Tone::Plain };
        vec![
            plain(view.user.to_string()),
            plain(size),
            plain(changed),
            (state(view), tone),
            plain(view.workspace.to_string()),
        ]
    });
    let heading = ["USER", "SIZE", "LAST CHANGE", "SANDBOX", "WORKSPACE"];
    context.output.table(&heading, rows.collect());
}

/// What the user's sandbox does, and what is special about the workspace.
fn state(view: &WorkspaceView) -> String {
    let mut state = phase(view.sandbox.filter(|_| view.configured)).to_owned();
    if !view.configured {
        state.push_str(" (left from another configuration)");
    }
    if !view.in_roster {
        state.push_str(" (not in the roster)");
    }
    state
}

const fn phase(phase: Option<Phase>) -> &'static str {
    match phase {
        None => "none",
        Some(Phase::Created | Phase::Exited) => "stopped",
        Some(Phase::Running) => "running",
        Some(Phase::Restarting) => "restarting",
        Some(Phase::Paused) => "paused",
        Some(Phase::Unknown) => "unknown",
    }
}

fn as_json(view: &WorkspaceView) -> serde_json::Value {
    json!({
        "group": view.user.group,
        "user": view.user.user,
        "workspace": view.workspace.to_string(),
        "kind": match view.workspace {
            Workspace::Volume(_) => "volume",
            Workspace::Bind(_) => "folder",
            Workspace::Ephemeral => "ephemeral",
        },
        "size_bytes": view.size,
        "changed_at": view.changed_at.and_then(timestamp),
        "sandbox": phase(view.sandbox),
        "in_use": view.is_in_use(),
        "in_roster": view.in_roster,
        "configured": view.configured,
        "half_imported": view.half_imported,
    })
}

/// Everyone who has the workspace that the configuration gives them.
async fn with_one(node: &Node) -> Result<Vec<UserId>, CommandFailure> {
    let views = node.workspaces(|_| false).await?.into_iter();
    Ok(views.filter(|view| view.configured).map(|view| view.user).collect())
}

/// Those who are named. Whoever left the roster may still have a workspace, and is named in full.
fn named(names: &[String], groups: &[String], node: &Node) -> Result<Vec<UserId>, CommandFailure> {
    let roster = &node.config().groups;
    let known = everyone(roster);
    let mut users = Vec::new();
    if !groups.is_empty() {
        users.extend(selected(roster, groups, &[])?);
    }
    for name in names {
        match name.parse::<UserId>() {
            Ok(user) if !known.contains(&user) => users.push(user),
            _ => users.extend(selected(roster, &[], std::slice::from_ref(name))?),
        }
    }
    users.sort();
    users.dedup();
    Ok(users)
}

async fn export(
    users: &[UserId],
    output: &Path,
    force: bool,
    node: &Node,
    context: &Context,
) -> Outcome {
    let progress = Progress::show(node.events(), &context.output);
    let result = node.export_workspaces(users, output, force).await;
    progress.finish().await;
    let (exported, failures) = result?;
    if context.output.json() {
        let rows = exported.iter().map(|one| {
            json!({
                "group": one.user.group,
                "user": one.user.user,
                "file": one.file,
                "archive_bytes": one.archive_bytes,
                "entries": one.entries,
                "bytes": one.bytes,
                "left_out": one.left_out,
                "sha256": one.sha256,
                "was_in_use": one.was_in_use,
            })
        });
        context
            .output
            .value(&json!({ "exported": rows.collect::<Vec<_>>(), "failures": failures }));
    } else {
        let rows = exported.iter().map(|one| {
            vec![
                plain(one.user.to_string()),
                plain(one.entries.to_string()),
                plain(readable(one.bytes)),
                plain(readable(one.archive_bytes)),
                plain(one.file.display().to_string()),
            ]
        });
        let heading = ["USER", "ENTRIES", "SIZE", "ARCHIVE", "FILE"];
        context.output.table(&heading, rows.collect());
    }
    for one in exported.iter().filter(|one| one.left_out > 0) {
        let left = count(usize::try_from(one.left_out).unwrap_or(usize::MAX), "thing", "things");
        context.output.warn(&format!(
            "{}: {left} that no archive can bring back (pipes, sockets, devices) left out",
            one.user
        ));
    }
    let busy = exported.iter().filter(|one| one.was_in_use).count();
    if busy > 0 {
        context.output.note(&format!(
            "{} running meanwhile: what was written in that time may be in the archive or not",
            count(busy, "sandbox was", "sandboxes were")
        ));
    }
    if !exported.is_empty() {
        context.output.note(&format!(
            "check them anywhere with `sha256sum -c SHA256SUMS`, bring one back with `thon \
             workspace import {}`",
            exported[0].file.display()
        ));
    }
    Ok(ended(&failures, context))
}

async fn import(
    files: Vec<PathBuf>,
    user: Option<&str>,
    force: bool,
    context: &Context,
) -> Outcome {
    let user = user.map(str::parse::<UserId>).transpose().map_err(thon::Error::from)?;
    if user.is_some() && files.len() > 1 {
        return Err(CommandFailure::input("--as names one user, and there are several archives"));
    }
    let node = context.node()?;
    let imports = files.into_iter().map(|file| Import::new(file, user.clone()));
    let imports = imports.collect::<Result<Vec<_>, _>>()?;
    let known = everyone(&node.config().groups);
    for import in imports.iter().filter(|import| !known.contains(&import.user)) {
        context.output.warn(&format!(
            "{} is not in the roster: the workspace waits until they are",
            import.user
        ));
    }
    let _lock = node.lock()?;
    let progress = Progress::show(node.events(), &context.output);
    let result = node.import_workspaces(&imports, force).await;
    progress.finish().await;
    let (imported, failures) = result?;
    if context.output.json() {
        let rows = imported.iter().map(|one| {
            json!({
                "group": one.user.group,
                "user": one.user.user,
                "file": one.file,
                "entries": one.entries,
                "bytes": one.bytes,
                "verified": one.verified,
            })
        });
        context
            .output
            .value(&json!({ "imported": rows.collect::<Vec<_>>(), "failures": failures }));
    } else {
        let rows = imported.iter().map(|one| {
            vec![
                plain(one.user.to_string()),
                plain(one.entries.to_string()),
                plain(readable(one.bytes)),
                plain(if one.verified { "right" } else { "none beside it" }),
                plain(one.file.display().to_string()),
            ]
        });
        let heading = ["USER", "ENTRIES", "SIZE", "CHECKSUM", "FILE"];
        context.output.table(&heading, rows.collect());
    }
    Ok(ended(&failures, context))
}

async fn remove(names: &[String], dry_run: bool, context: &Context) -> Outcome {
    let node = context.node()?;
    let users = named(names, &[], &node)?;
    let mut views = node.workspaces(|user| users.contains(user)).await?;
    views.retain(|view| users.contains(&view.user));
    if let Some(user) = users.iter().find(|user| views.iter().all(|view| view.user != **user)) {
        return Err(CommandFailure::input(format!(
            "{user} has no workspace; see who has one with `thon workspace list`"
        )));
    }
    if let Some(view) = views.iter().find(|view| view.is_in_use()) {
        let (user, state) = (&view.user, phase(view.sandbox));
        return Err(CommandFailure::input(format!(
            "the sandbox of {user} is {state}, and its workspace stays; stop it first with `thon \
             stop {user}`"
        )));
    }
    if context.output.json() && dry_run {
        context.output.value(&views.iter().map(as_json).collect::<Vec<_>>());
        return Ok(ExitCode::SUCCESS);
    }
    if !context.output.json() {
        table(&views, context);
    }
    let bytes = views.iter().filter_map(|view| view.size).sum();
    if views.iter().any(|view| view.sandbox.is_some() && view.configured) {
        context
            .output
            .note("A stopped sandbox goes with its workspace; the next run makes it anew.");
    }
    if dry_run {
        context.output.note("Nothing was deleted.");
        return Ok(ExitCode::SUCCESS);
    }
    let what = count(views.len(), "workspace", "workspaces");
    let size = if bytes > 0 { format!(" ({})", readable(bytes)) } else { String::new() };
    let question = format!("Delete {what}{size} for good?");
    if !prompt::confirm(context, &question, false)? {
        return Err(CommandFailure::input("nothing was deleted"));
    }
    let _lock = node.lock()?;
    let progress = Progress::show(node.events(), &context.output);
    let result = node.remove_workspaces(&views).await;
    progress.finish().await;
    let (removed, failures) = result?;
    if context.output.json() {
        let rows = removed.iter().map(|one| {
            json!({
                "group": one.user.group,
                "user": one.user.user,
                "workspace": one.workspace.to_string(),
                "size_bytes": one.size,
            })
        });
        context.output.value(&json!({ "removed": rows.collect::<Vec<_>>(), "failures": failures }));
    }
    Ok(ended(&failures, context))
}

fn ended(failures: &[UserFailure], context: &Context) -> ExitCode {
    for failure in failures {
        context.output.error(&format!("{}: {}", failure.user, failure.failure), 1);
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
