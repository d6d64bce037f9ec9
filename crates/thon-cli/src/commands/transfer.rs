//! `thon import` and `thon export`: rosters in files.
//!
//! For: a preview of what an import changes, and asking before it does.
//! Not for: how names are made and compared; the library does both.

use std::path::Path;
use std::process::ExitCode;

use thon::core::name::{UserId, quoted};
use thon::core::state::{
    Change, Column, ColumnNames, Difference, Missing, People, Snapshot, difference, overwritten,
    wanted,
};
use thon::{Files, RosterFormat, read_roster, write_private, write_roster};

use super::Outcome;
use super::roster::{Desk, said};
use crate::args_state::{ExportArgs, Format, ImportArgs};
use crate::context::Context;
use crate::failure::CommandFailure;
use crate::output::{count, plain};
use crate::prompt;

/// How often a comparison is made anew that somebody else's change overtook.
const ATTEMPTS: u32 = 10;

pub(crate) async fn import(args: &ImportArgs, context: &Context) -> Outcome {
    for _ in 1..ATTEMPTS {
        match import_once(args, context).await {
            // Whoever was asked has agreed to what was shown, and to nothing else.
            Err(failure) if context.global.yes && failure.is_stale() => {
                context.output.note("Somebody changed the roster meanwhile: comparing anew.");
            }
            outcome => return outcome,
        }
    }
    import_once(args, context).await
}

async fn import_once(args: &ImportArgs, context: &Context) -> Outcome {
    let node = context.node()?;
    let desk = Desk::open(context).await?;
    let format = args.format.map_or_else(|| RosterFormat::of(&args.file), form);
    let file = read_roster(&args.file, format, &columns(args)?, &desk.stored)?;
    for warning in &file.warnings {
        context.output.warn(&warning.to_string());
    }
    for note in &file.people.notes {
        context.output.warn(note);
    }
    let missing = if args.remove_missing { Missing::Removed } else { Missing::Kept };
    let event = file.event.as_ref().map(|event| (event.id.as_str(), event.title.as_deref()));
    let mut found = difference(&desk.stored, &file.people.roster, event, missing);
    leave_declared(&desk, &mut found, context);
    let lock = if args.dry_run { None } else { Some(node.lock()?) };
    leave_those_with_files(&node, &mut found, context).await?;
    let applied = !args.dry_run && !found.changes.is_empty();
    if !context.output.json() {
        preview(&file.people, &found, &desk.stored, context);
    }
    if applied {
        let question =
            format!("Make {} in the database?", count(found.changes.len(), "change", "changes"));
        if !prompt::confirm(context, &question, true)? {
            return Err(CommandFailure::input("nothing was changed"));
        }
        desk.state.apply(&found.changes).await?;
        let made = count(found.changes.len(), "change", "changes");
        context.output.note(&format!("made {made}; `thon run` makes it so"));
    } else if !context.output.json() {
        context.output.note("Nothing was changed.");
    }
    if context.output.json() {
        report(&file.people, &found, applied, context);
    }
    drop(lock);
    desk.state.close().await;
    Ok(ExitCode::SUCCESS)
}

const fn form(format: Format) -> RosterFormat {
    match format {
        Format::Yaml => RosterFormat::Yaml,
        Format::Csv => RosterFormat::Csv,
    }
}

fn columns(args: &ImportArgs) -> Result<ColumnNames, CommandFailure> {
    let mut names = ColumnNames { group: args.group.clone(), ..ColumnNames::default() };
    for (column, heading) in &args.map {
        let known = Column::ALL.into_iter().find(|known| known.as_str() == column);
        let Some(known) = known else {
            let all = Column::ALL.map(Column::as_str).join(", ");
            let text = format!("--map: no column {}; columns are {all}", quoted(column));
            return Err(CommandFailure::input(text));
        };
        names.named.insert(known, heading.clone());
    }
    Ok(names)
}

/// Leaves out what only thon.yaml may change, and says so.
fn leave_declared(desk: &Desk, found: &mut Difference, context: &Context) {
    let changes = std::mem::take(&mut found.changes);
    let (may, not): (Vec<_>, Vec<_>) =
        changes.into_iter().partition(|change| desk.editor().may(change));
    for change in not {
        context.output.warn(&format!(
            "{} {} is left out: {} declares it",
            change.action(),
            change.subject(),
            desk.origin
        ));
        leave_edit(&change, &mut found.kept);
    }
    found.changes = may;
}

fn leave_edit(change: &Change, kept: &mut Vec<UserId>) {
    if let Change::MoveUser { user, .. } | Change::RemoveUser { user, .. } = change {
        kept.push(user.clone());
    }
}

/// Leaves out moves that would leave somebody's files behind, and says so.
async fn leave_those_with_files(
    node: &thon::Node,
    found: &mut Difference,
    context: &Context,
) -> Result<(), CommandFailure> {
    let mut left: Vec<UserId> = Vec::new();
    for change in &found.changes {
        let Change::MoveUser { user, to, .. } = change else { continue };
        let files = node.files(user).await?;
        if files != Files::None {
            context.output.warn(&format!(
                "{user} stays and is not moved to {to}: they have {files}, which a new name would \
                 leave behind"
            ));
            left.push(to.clone());
        }
    }
    found.changes.retain(|change| match change {
        Change::MoveUser { to, .. } => !left.contains(to),
        Change::EditUser { user, .. } => !left.contains(user),
        _ => true,
    });
    Ok(())
}

/// What was changed, or would be, as JSON.
fn report(people: &People, found: &Difference, applied: bool, context: &Context) {
    let mut value = said(&found.changes);
    let made = people.made.iter();
    value["names"] = made
        .map(|(from, user)| serde_json::json!({ "from": from, "user": user.to_string() }))
        .collect();
    value["unchanged"] = found.unchanged.into();
    value["kept"] = found.kept.iter().map(ToString::to_string).collect();
    value["applied"] = applied.into();
    context.output.value(&value);
}

fn preview(people: &People, found: &Difference, stored: &Snapshot, context: &Context) {
    if !people.columns.is_empty() {
        let columns = people.columns.iter();
        let columns: Vec<String> =
            columns.map(|(column, heading)| format!("{column} from {}", quoted(heading))).collect();
        context.output.note(&format!("Columns: {}.", columns.join(", ")));
    }
    let detail = |change: &Change| {
        let Change::AddUser { user, .. } = change else {
            return overwritten(stored, change).join("; ");
        };
        let made = people.made.iter().find(|(_, made)| made == user);
        made.map(|(from, _)| format!("from {}", quoted(from))).unwrap_or_default()
    };
    let rows: Vec<_> = found
        .changes
        .iter()
        .map(|change| vec![plain(change.action()), plain(change.subject()), plain(detail(change))])
        .collect();
    if !rows.is_empty() {
        context.output.table(&["CHANGE", "OF", "DETAIL"], rows);
    }
    let kept = match found.kept.len() {
        0 => String::new(),
        kept => format!(
            "; {} in the database and not in the file, and stay (`--remove-missing` removes them)",
            if kept == 1 { "1 user is".to_owned() } else { format!("{kept} users are") }
        ),
    };
    context.output.note(&format!("{} as they are{kept}.", found.unchanged));
}

pub(crate) fn export(args: &ExportArgs, context: &Context) -> Outcome {
    let stored = context.need_stored()?;
    let roster = if args.from_db {
        stored.roster()
    } else {
        wanted(&context.load()?.config.groups, &stored.roster()).roster
    };
    let named = || args.file.as_deref().map_or(RosterFormat::Yaml, RosterFormat::of);
    let format = args.format.map_or_else(named, form);
    let text = write_roster(format, stored.events.first(), &roster);
    let Some(path) = &args.file else {
        context.output.text(&text);
        return Ok(ExitCode::SUCCESS);
    };
    refuse_to_overwrite(path)?;
    write_private(path, text.as_bytes())?;
    context.output.note(&format!("wrote {}", path.display()));
    Ok(ExitCode::SUCCESS)
}

fn refuse_to_overwrite(path: &Path) -> Result<(), CommandFailure> {
    if path.symlink_metadata().is_ok() {
        let shown = quoted(&path.display().to_string());
        let text = format!("{shown} is there already; nothing is overwritten, name another file");
        return Err(CommandFailure::input(text));
    }
    Ok(())
}
