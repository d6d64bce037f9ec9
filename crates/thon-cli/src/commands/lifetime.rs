//! `thon watch` and `thon extend`: ending what is due, and giving more time.
//!
//! For: looking again and again, saying what happened a line each.
//! Not for: what is due and what becomes of it; the library says and does that.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use thon::core::adapter::FailureKind;
use thon::core::config::IdleAction;
use thon::core::name::UserId;
use thon::core::orchestrator::RunReport;
use thon::{Node, Watch, Watched};

use super::Outcome;
use super::status::timestamp;
use crate::args::{ExtendArgs, WatchArgs};
use crate::context::{Context, whom};
use crate::failure::CommandFailure;
use crate::interrupt::Interrupt;
use crate::output::count;

/// How often the watcher's lock is tried before another process is believed to hold it, and how long
/// in between.
const ASKERS: u32 = 5;
const MOMENT: Duration = Duration::from_millis(10);

/// The exit code that shells have for a terminal that was closed.
const HUNG_UP: u8 = 129;

/// What is remembered from look to look, so that nothing is said twice.
#[derive(Default)]
struct Memory {
    /// The configuration file as it was read.
    config: Option<Vec<u8>>,
    /// Whose end was announced, and which.
    ending: BTreeMap<UserId, SystemTime>,
    /// Who was said to be idle, and since when.
    idle: BTreeMap<UserId, SystemTime>,
    /// What failed at the last look.
    failure: Option<String>,
}

pub(crate) async fn watch(args: &WatchArgs, context: &Context) -> Outcome {
    let mut memory = Memory { config: written(context)?, ..Memory::default() };
    let mut node = context.node()?;
    if args.once {
        let well = look(&node, &mut memory, context).await;
        return Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let mut begun = Watch::begin(node.home());
    for _ in 0..ASKERS {
        // Whoever only asks for the watcher holds its lock for a moment.
        if begun.as_ref().is_err_and(|failure| failure.kind == FailureKind::Conflict) {
            tokio::time::sleep(MOMENT).await;
            begun = Watch::begin(node.home());
        }
    }
    let watch = begun.map_err(thon::Error::from)?;
    let mut interrupt = Interrupt::listen()?;
    say(context, "started", None, &format!("looking every {} s", args.interval));
    let looking = async {
        while watch.is_wanted() {
            look(&node, &mut memory, context).await;
            tokio::time::sleep(Duration::from_secs(args.interval.into())).await;
            refresh(&mut node, &mut memory, context);
        }
        "THON's folder is gone"
    };
    let asked = async {
        // Whoever had it started in the background may log out.
        while interrupt.code().await == HUNG_UP && !std::io::stdin().is_terminal() {}
    };
    let reason = tokio::select! {
        reason = looking => reason,
        () = asked => "asked to end",
    };
    say(context, "ended", None, reason);
    Ok(ExitCode::SUCCESS)
}

/// The configuration file as it is written now.
fn written(context: &Context) -> Result<Option<Vec<u8>>, CommandFailure> {
    Ok(config_file(context)?.and_then(|path| std::fs::read(path).ok()))
}

/// The configuration file, where there is one that can be read twice.
fn config_file(context: &Context) -> Result<Option<PathBuf>, CommandFailure> {
    let found = thon::find_config(context.global.config.as_deref(), &context.home()?)?;
    Ok(found.filter(|path| path.is_file()))
}

/// Goes by the configuration as it is now. One that can't be used is said once; the one before it
/// holds on.
fn refresh(node: &mut Node, memory: &mut Memory, context: &Context) {
    let Ok(Some(text)) = written(context) else { return };
    if memory.config.as_ref() == Some(&text) {
        return;
    }
    memory.config = Some(text);
    match context.node() {
        Ok(fresh) => {
            *node = fresh;
            say(context, "configured", None, "going by the configuration as it is now");
        }
        Err(failure) => {
            let text = format!("going on with the configuration as it was: {failure}");
            say(context, "failed", None, &text);
        }
    }
}

/// One look, and what is due. False if something could not be looked at or done.
async fn look(node: &Node, memory: &mut Memory, context: &Context) -> bool {
    let failure = match node.watch().await {
        Ok(watched) => tell(&watched, node, memory, context),
        Err(error) => Some(error.to_string()),
    };
    if let Some(text) = failure.as_ref().filter(|_| memory.failure != failure) {
        say(context, "failed", None, text);
    }
    let well = failure.is_none();
    memory.failure = failure;
    well
}

/// Says what is new; returns what failed.
fn tell(watched: &Watched, node: &Node, memory: &mut Memory, context: &Context) -> Option<String> {
    let Watched { due, enforced, unsaved } = watched;
    let policy = node.idle_policy();
    for (user, end) in &due.notice {
        if memory.ending.insert(user.clone(), *end) != Some(*end) {
            let at = timestamp(*end).unwrap_or_default();
            let text = format!("ends at {at}; `thon extend 30 {user}` gives half an hour more");
            say(context, "ends_soon", Some(user), &text);
        }
    }
    for user in &enforced.expired {
        let text = format!("its time is up, stopped; `thon run --user {user}` starts it again");
        say(context, "stopped", Some(user), &text);
    }
    for (user, active_at) in &due.idle {
        let since = timestamp(*active_at).unwrap_or_default();
        let done = enforced.idle.contains(user);
        let (event, rest) = match policy.action {
            IdleAction::Pause if done => {
                ("paused", format!(", paused; `thon resume {user}` lets it go on"))
            }
            IdleAction::Stop if done => {
                ("stopped", format!(", stopped; `thon run --user {user}` starts it again"))
            }
            _ => ("idle", String::new()),
        };
        if memory.idle.insert(user.clone(), *active_at) != Some(*active_at) || done {
            say(context, event, Some(user), &format!("not used since {since}{rest}"));
        }
    }
    memory.ending.retain(|user, _| due.notice.contains_key(user));
    memory.idle.retain(|user, _| due.idle.contains_key(user));
    let failed = enforced.failures.first().map(|one| format!("{}: {}", one.user, one.failure));
    failed.or_else(|| enforced.proxy_failure.as_ref().or(unsaved.as_ref()).map(ToString::to_string))
}

/// One line for each thing that happened.
fn say(context: &Context, event: &str, user: Option<&UserId>, text: &str) {
    let at = timestamp(SystemTime::now()).unwrap_or_default();
    if context.output.json() {
        let line = serde_json::json!({
            "at": at,
            "event": event,
            "group": user.map(|user| &user.group),
            "user": user.map(|user| &user.user),
            "text": text,
        });
        context.output.line(&line.to_string());
    } else {
        let user = user.map(|user| format!(" {user}")).unwrap_or_default();
        context.output.line(&format!("{at} {event}{user}: {text}"));
    }
}

/// Sees to it that somebody watches after a run, where the configuration asks for it, and says so.
pub(super) fn ready(node: &Node, report: &RunReport, context: &Context) {
    if !node.needs_watching() {
        return;
    }
    let output = &context.output;
    let started = || {
        let file = config_file(context)?.ok_or_else(|| {
            CommandFailure::input("the configuration is in no file that can be read again")
        })?;
        let program = std::env::current_exe()
            .map_err(|error| CommandFailure::input(format!("finding this program: {error}")))?;
        Ok::<_, CommandFailure>(node.ready_watcher(&program, &file)?)
    };
    match started() {
        Ok(true) => output.note(
            "`thon watch` was started in the background; its words are in `watch.log` in THON's \
             folder.",
        ),
        Ok(false) => {}
        Err(failure) => {
            output.warn(&format!("nobody watches for lifetimes and idleness: {failure}"));
        }
    }
    let minutes = node.config().sandbox.timeout_minutes;
    if minutes > 0 && report.instances.iter().any(|view| view.expires_at.is_some()) {
        output.note(&format!(
            "Instances are stopped {minutes} minutes after their start; `thon extend` gives more, \
             `thon status` tells when."
        ));
    }
    let policy = node.idle_policy();
    let done = match policy.action {
        IdleAction::Ignore => return,
        IdleAction::Pause => "paused",
        IdleAction::Stop => "stopped",
    };
    let minutes = policy.after.as_secs() / 60;
    output.note(&format!("Instances that nobody uses for {minutes} minutes are {done}."));
}

pub(crate) async fn extend(args: &ExtendArgs, context: &Context) -> Outcome {
    let node = context.node()?;
    let users = whom(&args.whom, &node)?;
    let _lock = node.lock()?;
    let by = Duration::from_secs(u64::from(args.minutes) * 60);
    let moved = node.extend(users.as_deref(), by).await?;
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
        context.output.note(&format!("{given} got {} minutes more", args.minutes));
    }
    Ok(ExitCode::SUCCESS)
}
