//! `thon group` and `thon user`: the roster in the database.
//!
//! For: showing it with what thon.yaml declares, and asking before anyone is removed.
//! Not for: what may be changed; the library decides it.

use std::process::ExitCode;

use thon::core::name::{GroupName, UserId};
use thon::core::roster::{GroupRules, Roster};
use thon::core::state::{Change, Editor, Snapshot, wanted};
use thon::{Files, Node, State};

use super::Outcome;
use crate::args_state::{GroupAddArgs, GroupCommand, UserCommand};
use crate::context::Context;
use crate::failure::CommandFailure;
use crate::output::{count, plain};
use crate::prompt;

/// How many users a question names before it only counts.
const NAMED: usize = 5;

/// The database and what thon.yaml declares.
pub(super) struct Desk {
    pub(super) state: State,
    pub(super) stored: Snapshot,
    pub(super) declared: Roster,
    pub(super) origin: String,
}

impl Desk {
    pub(super) async fn open(context: &Context) -> Result<Self, CommandFailure> {
        let loaded = context.load()?;
        let origin = loaded.path.map_or("thon.yaml".to_owned(), |path| path.display().to_string());
        let state = State::open(&context.home()?).await?;
        let stored = state.snapshot().await?;
        Ok(Self { state, stored, declared: loaded.config.groups, origin })
    }

    pub(super) fn editor(&self) -> Editor<'_> {
        Editor { stored: &self.stored, declared: &self.declared, origin: &self.origin }
    }

    /// Makes the changes and says what was done.
    async fn apply(self, changes: &[Change], did: &str, context: &Context) -> Outcome {
        self.state.apply(changes).await?;
        self.state.close().await;
        if context.output.json() {
            context.output.value(&said(changes));
        } else {
            context.output.note(&format!("{did}; `thon run` makes it so"));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Changes as JSON.
pub(super) fn said(changes: &[Change]) -> serde_json::Value {
    let change = |change: &Change| serde_json::json!({ "action": change.action(), "subject": change.subject() });
    serde_json::json!({ "changes": changes.iter().map(change).collect::<Vec<_>>() })
}

pub(crate) async fn group(command: GroupCommand, context: &Context) -> Outcome {
    match command {
        GroupCommand::List => list_groups(context),
        GroupCommand::Add(args) => add_group(&args, context).await,
        GroupCommand::Rename { group, to } => rename_group(&group, &to, context).await,
        GroupCommand::Remove { group } => remove_group(&group, context).await,
    }
}

pub(crate) async fn user(command: UserCommand, context: &Context) -> Outcome {
    match command {
        UserCommand::List { group, search } => list_users(&group, search.as_deref(), context),
        UserCommand::Add { users, display_name, email } => {
            add_users(&users, display_name.as_deref(), email.as_deref(), context).await
        }
        UserCommand::Rename { user, to } => {
            let to = UserId::new(user.group.clone(), to);
            move_user(&user, &to, context).await
        }
        UserCommand::Move { user, to } => {
            let to = UserId::new(to, user.user.clone());
            move_user(&user, &to, context).await
        }
        UserCommand::Remove { users } => remove_users(&users, context).await,
    }
}

fn list_groups(context: &Context) -> Outcome {
    let declared = context.load()?.config.groups;
    let stored = context.need_stored()?;
    let roster = wanted(&declared, &stored.roster()).roster;
    let from = |name: &GroupName| match (declared.group(name), stored.group(name)) {
        (Some(_), Some(_)) => "thon.yaml, database",
        (Some(_), None) => "thon.yaml",
        _ => "database",
    };
    if context.output.json() {
        let groups = roster.groups().iter().map(|group| {
            serde_json::json!({
                "group": group.name,
                "title": group.title,
                "users": group.users.len(),
                "from": from(&group.name),
            })
        });
        context.output.value(&groups.collect::<Vec<_>>());
        return Ok(ExitCode::SUCCESS);
    }
    let rows = roster.groups().iter().map(|group| {
        vec![
            plain(group.name.to_string()),
            plain(group.users.len().to_string()),
            plain(from(&group.name)),
            plain(group.title.clone().unwrap_or_default()),
        ]
    });
    context.output.table(&["GROUP", "USERS", "FROM", "TITLE"], rows.collect());
    Ok(ExitCode::SUCCESS)
}

fn list_users(groups: &[String], search: Option<&str>, context: &Context) -> Outcome {
    let declared = context.load()?.config.groups;
    let found = wanted(&declared, &context.need_stored()?.roster());
    let none: [&str; 0] = [];
    let roster = found.roster.select(groups, &none)?;
    let wanted = search.map(str::to_lowercase);
    let fits = |texts: [Option<&str>; 3]| {
        let within = |text: &str| wanted.as_deref().is_none_or(|w| text.to_lowercase().contains(w));
        texts.into_iter().flatten().any(within)
    };
    let users = roster.users().filter(|(id, user)| {
        fits([Some(id.user.as_str()), user.display.as_deref(), user.email.as_deref()])
    });
    let from = |id: &UserId| found.sources.get(id).map(ToString::to_string).unwrap_or_default();
    if context.output.json() {
        let users = users.map(|(id, user)| {
            serde_json::json!({
                "group": id.group,
                "user": id.user,
                "display_name": user.display,
                "email": user.email,
                "from": from(&id),
            })
        });
        context.output.value(&users.collect::<Vec<_>>());
        return Ok(ExitCode::SUCCESS);
    }
    let rows = users.map(|(id, user)| {
        vec![
            plain(id.to_string()),
            plain(from(&id)),
            plain(user.display.clone().unwrap_or_default()),
            plain(user.email.clone().unwrap_or_default()),
        ]
    });
    context.output.table(&["USER", "FROM", "NAME", "E-MAIL"], rows.collect());
    Ok(ExitCode::SUCCESS)
}

async fn add_group(args: &GroupAddArgs, context: &Context) -> Outcome {
    let desk = Desk::open(context).await?;
    let rules = GroupRules {
        internet: args.internet,
        memory: args.memory,
        cpus: args.cpus,
        pids: args.pids,
        disk: args.disk,
    };
    let changes = desk.editor().add_group(&args.group, args.title.as_deref(), rules)?;
    let group = &args.group;
    desk.state.apply(&changes).await?;
    desk.state.close().await;
    if context.output.json() {
        context.output.value(&said(&changes));
    } else {
        let hint = format!("`thon user add {group}/<user>` adds someone to it");
        context.output.note(&format!("added group {group}; {hint}"));
    }
    Ok(ExitCode::SUCCESS)
}

async fn rename_group(name: &GroupName, to: &GroupName, context: &Context) -> Outcome {
    let node = context.node()?;
    let _lock = node.lock()?;
    let desk = Desk::open(context).await?;
    let changes = desk.editor().rename_group(name, to)?;
    for record in desk.stored.users.iter().filter(|record| record.user.group == *name) {
        without_files(&node, &record.user).await?;
    }
    desk.apply(&changes, &format!("renamed group {name} to {to}"), context).await
}

async fn remove_group(name: &GroupName, context: &Context) -> Outcome {
    let desk = Desk::open(context).await?;
    let changes = desk.editor().remove_group(name)?;
    let of = |user: &UserId| user.group == *name;
    let users = desk.stored.users.iter().map(|record| &record.user).filter(|user| of(user));
    let users: Vec<&UserId> = users.collect();
    if !users.is_empty() {
        ask_to_remove(&format!("group {name} with "), &users, context)?;
    }
    let did = format!("removed group {name} with {}", count(users.len(), "user", "users"));
    desk.apply(&changes, &format!("{did}{PRUNE}"), context).await
}

/// What a removal leaves.
const PRUNE: &str = "; workspaces stay, and sandboxes until `thon run --prune`";

async fn add_users(
    users: &[UserId],
    display: Option<&str>,
    email: Option<&str>,
    context: &Context,
) -> Outcome {
    if users.len() > 1 && (display.is_some() || email.is_some()) {
        let text = "--display-name and --email belong to one user; add the others without them";
        return Err(CommandFailure::input(text));
    }
    let desk = Desk::open(context).await?;
    let mut changes: Vec<Change> = Vec::new();
    for user in users {
        for change in desk.editor().add_user(user, display, email)? {
            // Several newcomers to a group that only thon.yaml has so far need one row for it.
            if !changes.contains(&change) || matches!(change, Change::AddUser { .. }) {
                changes.push(change);
            }
        }
    }
    let did = match users {
        [user] => format!("added {user}"),
        users => format!("added {} users", users.len()),
    };
    desk.apply(&changes, &did, context).await
}

async fn move_user(user: &UserId, to: &UserId, context: &Context) -> Outcome {
    let node = context.node()?;
    // Held, so that no run makes the workspace meanwhile.
    let _lock = node.lock()?;
    let desk = Desk::open(context).await?;
    let changes = desk.editor().move_user(user, to)?;
    if node.files(user).await? == Files::None {
        return desk.apply(&changes, &format!("{user} is {to} from now on"), context).await;
    }
    let question = format!(
        "Move {user} to {to}? Their sandbox is removed: terminals end, and what is outside the \
         workspace is lost. Files move along."
    );
    if !prompt::confirm(context, &question, false)? {
        return Err(CommandFailure::input("nobody was moved"));
    }
    let commit = async || desk.state.apply(&changes).await;
    let moved = node.relocate(user, to, commit).await;
    desk.state.close().await;
    let moved = moved?;
    if let Some(failure) = &moved.left_behind {
        context.output.warn(&failure.to_string());
    }
    if context.output.json() {
        context.output.value(&said(&changes));
    } else {
        let did = format!("{user} is {to} from now on, files included");
        context.output.note(&format!("{did}; `thon run` launches them"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses to rename someone whose files would stay under the old name.
async fn without_files(node: &Node, user: &UserId) -> Result<(), CommandFailure> {
    match node.files(user).await? {
        Files::None => Ok(()),
        files => Err(CommandFailure::input(format!(
            "user {user} has {files}, which a new name of the group would leave behind; keep the \
             name, or move each user with `thon user move`, which takes files along"
        ))),
    }
}

async fn remove_users(users: &[UserId], context: &Context) -> Outcome {
    let desk = Desk::open(context).await?;
    let mut changes = Vec::new();
    for user in users {
        changes.extend(desk.editor().remove_user(user)?);
    }
    ask_to_remove("", &users.iter().collect::<Vec<_>>(), context)?;
    let did = match users {
        [user] => format!("removed {user}"),
        users => format!("removed {} users", users.len()),
    };
    desk.apply(&changes, &format!("{did}{PRUNE}"), context).await
}

/// Nobody leaves the roster without someone having said yes to it.
pub(super) fn ask_to_remove(
    what: &str,
    users: &[&UserId],
    context: &Context,
) -> Result<(), CommandFailure> {
    let named: Vec<String> = users.iter().take(NAMED).map(ToString::to_string).collect();
    let more = users.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let question =
        format!("Remove {what}{}{more} from the roster? Workspaces stay.", named.join(", "));
    if prompt::confirm(context, &question, false)? {
        return Ok(());
    }
    Err(CommandFailure::input("nothing was removed"))
}
