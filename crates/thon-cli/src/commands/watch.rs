//! `thon watch` and `thon extend`: what is done when an instance's time is up, and giving more.
//!
//! For: looking again and again, saying what happened a line each.
//! Not for: what is due; the library says that.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use thon::core::event::Event;
use thon::core::name::UserId;
use thon::{Node, Watch};
use tokio::signal::unix::{SignalKind, signal};

use super::Outcome;
use super::status::timestamp;
use crate::args::{ExtendArgs, WatchArgs};
use crate::context::{Context, everyone, selected};
use crate::failure::CommandFailure;
use crate::output::count;

/// What the watcher remembers from look to look.
#[derive(Default)]
struct Memory {
    /// Whose end was announced, and which.
    announced: BTreeMap<UserId, SystemTime>,
    /// What failed at the last look: the same words are not repeated every half minute.
    failure: Option<String>,
}

pub(crate) async fn watch(args: &WatchArgs, context: &Context) -> Outcome {
    let node = context.node()?;
    let mut memory = Memory::default();
    if args.once {
        return Ok(if look(&node, &mut memory, context).await {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    let _watch = Watch::begin(node.home())?;
    let listen = |kind| {
        signal(kind)
            .map_err(|error| CommandFailure::input(format!("listening for signals: {error}")))
    };
    let mut ctrl_c = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    // Whoever started it may log out.
    let _hangup = listen(SignalKind::hangup())?;
    say(context, "started", None, &format!("looking every {} s", args.interval));
    loop {
        tokio::select! {
            _ = look(&node, &mut memory, context) => {}
            _ = terminate.recv() => break,
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(args.interval.into())) => {}
            _ = ctrl_c.recv() => break,
            _ = terminate.recv() => break,
        }
    }
    say(context, "ended", None, "asked to end");
    Ok(ExitCode::SUCCESS)
}

/// One look, and what is due. False if something could not be looked at or done.
async fn look(node: &Node, memory: &mut Memory, context: &Context) -> bool {
    let failed = match act(node, memory, context).await {
        Ok(failed) => failed,
        Err(error) => Some(error.to_string()),
    };
    if let Some(failure) = failed.as_ref().filter(|_| memory.failure != failed) {
        say(context, "failed", None, failure);
    }
    let well = failed.is_none();
    memory.failure = failed;
    well
}

async fn act(
    node: &Node,
    memory: &mut Memory,
    context: &Context,
) -> Result<Option<String>, thon::Error> {
    let due = node.due().await?;
    for (user, end) in &due.notice {
        if memory.announced.get(user) != Some(end) {
            let at = timestamp(*end).unwrap_or_default();
            let text = format!("ends at {at}; `thon extend 30 {user}` gives half an hour more");
            node.events().emit(Event::Warning { text: format!("{user} {text}") });
            say(context, "ends_soon", Some(user), &text);
            memory.announced.insert(user.clone(), *end);
        }
    }
    if due.stop.is_empty() {
        return Ok(None);
    }
    let ended = node.end_lifetimes().await?;
    for user in &ended.stopped {
        let text = format!("its time is up, stopped; `thon run --user {user}` starts it again");
        say(context, "stopped", Some(user), &text);
    }
    let failure = ended.failures.first();
    Ok(failure.map(|failure| format!("{}: {}", failure.user, failure.failure)))
}

/// One line for each thing that happened.
fn say(context: &Context, event: &str, user: Option<&UserId>, text: &str) {
    let at = timestamp(SystemTime::now()).unwrap_or_default();
    let user = user.map(ToString::to_string);
    if context.output.json() {
        let line = serde_json::json!({ "at": at, "event": event, "user": user, "text": text });
        context.output.line(&line.to_string());
    } else {
        let user = user.map(|user| format!(" {user}")).unwrap_or_default();
        context.output.line(&format!("{at} {event}{user}: {text}"));
    }
}

pub(crate) async fn extend(args: &ExtendArgs, context: &Context) -> Outcome {
    let node = context.node()?;
    let roster = &node.config().groups;
    let users = if args.users.is_empty() && args.group.is_empty() {
        everyone(roster)
    } else {
        selected(roster, &args.group, &args.users)?
    };
    let _lock = node.lock()?;
    let moved = node.extend(&users, Duration::from_secs(u64::from(args.minutes) * 60)).await?;
    if moved.is_empty() {
        return Err(CommandFailure::input(
            "none of them has an end: `sandbox.timeout_minutes` gives one at the next `thon run`",
        ));
    }
    if context.output.json() {
        let rows: Vec<_> = moved
            .iter()
            .map(|(user, end)| {
                serde_json::json!({
                    "group": user.group, "user": user.user, "expires_at": timestamp(*end),
                })
            })
            .collect();
        context.output.value(&rows);
    } else {
        for (user, end) in &moved {
            context.output.line(&format!("{user}  ends {}", timestamp(*end).unwrap_or_default()));
        }
        let given = count(moved.len(), "instance", "instances");
        context.output.note(&format!("{} minutes more for {given}", args.minutes));
    }
    Ok(ExitCode::SUCCESS)
}
