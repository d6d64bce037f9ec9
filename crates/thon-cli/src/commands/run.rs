//! `thon run` and `thon up`: from a configuration to running instances.
//!
//! For: asking before anyone is disturbed, showing progress, handing out URLs and passwords, and
//! staying in the foreground where that was asked for.
//! Not for: deciding what is created, kept or replaced; the plan does.

use std::collections::HashSet;
use std::process::ExitCode;
use std::time::Duration;

use thon::core::adapter::{Failure, FailureKind};
use thon::core::certificate::{Certificate, Trust};
use thon::core::name::{UserId, quoted};
use thon::core::orchestrator::{Prepared, RunReport, RunRequest};
use thon::core::plan::Action;
use thon::core::roster::Roster;
use thon::{Node, Reach};

use super::status::{Passwords, print};
use super::{Outcome, init, lifetime, setup};
use crate::args::{RunArgs, UpArgs};
use crate::context::{Context, everyone, selected};
use crate::failure::CommandFailure;
use crate::interrupt::Interrupt;
use crate::output::plain;
use crate::progress::Progress;
use crate::prompt;

/// How many names a question or a message lists before it only counts.
const NAMED: usize = 5;

pub(crate) async fn up(args: &UpArgs, context: &Context) -> Outcome {
    let home = context.home()?;
    // A file that was named and isn't there is made, in its place; a pipe is there.
    let present = match &context.global.config {
        Some(path) => path.exists(),
        None => thon::find_config(None, &home)?.is_some(),
    };
    if !present {
        if context.global.yes || args.run.demo || !prompt::can_ask() {
            init::write_default(args.run.demo, context)?;
        } else {
            init::init(&crate::args::InitArgs::default(), context)?;
        }
    }
    let (node, request) = resolve(&args.run, context)?;
    if args.run.dry_run {
        return dry_run(&args.run, &node, &request, context).await;
    }
    let mut interrupt = listen(&args.run)?;
    let lock = node.lock()?;
    setup::prepare(&args.setup, &node, context).await?;
    let report = launch(&node, &request, interrupt.as_mut(), context).await?;
    drop(lock);
    finish(&args.run, &node, &report, interrupt.as_mut(), context).await
}

pub(crate) async fn run(args: &RunArgs, context: &Context) -> Outcome {
    let (node, request) = resolve(args, context)?;
    if args.dry_run {
        return dry_run(args, &node, &request, context).await;
    }
    let mut interrupt = listen(args)?;
    let lock = node.lock()?;
    let report = launch(&node, &request, interrupt.as_mut(), context).await?;
    drop(lock);
    finish(args, &node, &report, interrupt.as_mut(), context).await
}

fn listen(args: &RunArgs) -> Result<Option<Interrupt>, CommandFailure> {
    args.stays().then(Interrupt::listen).transpose()
}

fn resolve(args: &RunArgs, context: &Context) -> Result<(Node, RunRequest), CommandFailure> {
    let config = context.load_for_run(args)?;
    if let (true, Some(path)) = (config.groups.is_empty(), &args.groups) {
        let shown = quoted(&path.display().to_string());
        return Err(CommandFailure::input(format!(
            "--groups {shown}: there are no users in it: add some, as in `groups: {{alpha: [alice, bob]}}`"
        )));
    }
    if args.from_db && config.groups.is_empty() {
        return Err(CommandFailure::input(
            "--from-db: there are no users in the database: add some with `thon user add` or `thon \
             import`",
        ));
    }
    if config.groups.is_empty() {
        return Err(CommandFailure::input(
            "there are no users: add groups to the configuration (`groups: {alpha: [alice, bob]}`) or \
             with `thon group add`, name a file with --groups, or try --demo",
        ));
    }
    let request = RunRequest {
        roster: everyone(&config.groups),
        selected: selected(&config.groups, &args.group, &[&args.users[..], &args.user].concat())?,
        prune: args.prune,
        recreate: args.recreate,
        ..RunRequest::default()
    };
    Ok((Node::with_files(config, context.home()?, &context.files())?, request))
}

async fn dry_run(args: &RunArgs, node: &Node, request: &RunRequest, context: &Context) -> Outcome {
    let from = origins(args, request, context)?;
    let prepared = node.plan(request).await?;
    if context.output.json() {
        let actions: Vec<_> = prepared
            .plan
            .actions
            .iter()
            .map(|action| {
                serde_json::json!({
                    "group": action.user().group,
                    "user": action.user().user,
                    "action": action.verb(),
                    "reason": action.reason(),
                    "from": from(action.user()),
                })
            })
            .collect();
        context.output.value(&actions);
        return Ok(ExitCode::SUCCESS);
    }
    let rows = prepared.plan.actions.iter().map(|action| {
        let reason = action.reason().unwrap_or_default();
        let from = from(action.user());
        let (user, verb) = (action.user().to_string(), action.verb().to_string());
        vec![plain(user), plain(verb), plain(from), plain(reason)]
    });
    context.output.table(&["USER", "ACTION", "FROM", "REASON"], rows.collect());
    context.output.note("Nothing was changed.");
    Ok(ExitCode::SUCCESS)
}

/// Where each user of the roster comes from; nothing for who is in none.
fn origins(
    args: &RunArgs,
    request: &RunRequest,
    context: &Context,
) -> Result<impl Fn(&UserId) -> String + use<>, CommandFailure> {
    let declared = match (&args.groups, args.from_db) {
        (None, false) => context.load_quietly()?.groups,
        _ => Roster::new(),
    };
    let file = args.groups.as_ref().map(|path| path.display().to_string());
    let sources = context.sources(&declared);
    let roster: HashSet<UserId> = request.roster.iter().cloned().collect();
    Ok(move |user: &UserId| match &file {
        _ if !roster.contains(user) => String::new(),
        Some(file) => file.clone(),
        None => sources.get(user).map(ToString::to_string).unwrap_or_default(),
    })
}

async fn launch(
    node: &Node,
    request: &RunRequest,
    interrupt: Option<&mut Interrupt>,
    context: &Context,
) -> Result<RunReport, CommandFailure> {
    let prepared = node.plan(request).await?;
    ask_before_disturbing(&prepared, context)?;
    let progress = Progress::show(node.events(), &context.output);
    let report = match interrupt {
        Some(interrupt) => tokio::select! {
            report = node.run(request) => Some(report),
            () = interrupt.came() => None,
        },
        None => Some(node.run(request).await),
    };
    progress.finish().await;
    match report {
        Some(report) => Ok(report?),
        None => Err(give_up(node, &prepared).await),
    }
}

/// Stops what an interrupted run has started so far.
async fn give_up(node: &Node, prepared: &Prepared) -> CommandFailure {
    let starts = |action: &&Action| {
        matches!(action, Action::Create { .. } | Action::Start { .. } | Action::Recreate { .. })
    };
    let started = prepared.plan.actions.iter().filter(starts).map(|action| action.user().clone());
    let cause = match node.stop(Some(&started.collect::<Vec<_>>())).await {
        Ok((stopped, failures)) if failures.is_empty() => {
            format!("it was interrupted, and what it had started is stopped ({})", stopped.len())
        }
        Ok((_, failures)) => {
            format!("it was interrupted, and {} could not be stopped", failures.len())
        }
        Err(error) => format!("it was interrupted, and what it had started runs on: {error}"),
    };
    let failure =
        Failure::new(FailureKind::Other, "starting everyone", cause, "`thon run` goes on");
    thon::Error::World(failure).into()
}

/// Nobody's terminals and unsaved editors are lost without someone having said yes to it.
fn ask_before_disturbing(prepared: &Prepared, context: &Context) -> Result<(), CommandFailure> {
    let disturbed: Vec<(&UserId, &str)> = prepared
        .plan
        .actions
        .iter()
        .filter(|action| matches!(action, Action::Recreate { disruptive: true, .. }))
        .filter_map(|action| Some((action.user(), action.reason()?)))
        .collect();
    let Some((_, reason)) = disturbed.first() else { return Ok(()) };
    let users: Vec<&UserId> = disturbed.iter().map(|(user, _)| *user).collect();
    let question = format!(
        "{} running {} to be replaced ({reason}): {}. Terminals and unsaved editors in them are \
         lost, workspaces stay. Replace them?",
        users.len(),
        if users.len() == 1 { "sandbox has" } else { "sandboxes have" },
        list(&users),
    );
    if prompt::confirm(context, &question, false)? {
        return Ok(());
    }
    Err(CommandFailure::input("nothing was changed"))
}

fn list(users: &[&UserId]) -> String {
    let named: Vec<String> = users.iter().take(NAMED).map(ToString::to_string).collect();
    match users.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

async fn finish(
    args: &RunArgs,
    node: &Node,
    report: &RunReport,
    interrupt: Option<&mut Interrupt>,
    context: &Context,
) -> Outcome {
    print(&report.instances, Passwords::Shown, context);
    explain(node, report, context);
    lifetime::ready(node, report, context);
    let code = if report.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if let Some(interrupt) = interrupt {
        stay(args, node, report, interrupt, context).await?;
    }
    Ok(code)
}

/// What the organizer has to know besides the table.
fn explain(node: &Node, report: &RunReport, context: &Context) {
    let output = &context.output;
    let orphans = report.plan.actions.iter().filter(|a| matches!(a, Action::Orphan { .. }));
    let orphans: Vec<&UserId> = orphans.map(Action::user).collect();
    if !orphans.is_empty() {
        output.note(&format!(
            "Not in the roster and left alone: {}. `thon run --prune` removes their sandboxes.",
            list(&orphans)
        ));
    }
    let trusted = |certificate: &Certificate| certificate.trust == Trust::Public;
    if report.proxy_failure.is_none() && report.certificate.as_ref().is_some_and(|c| !trusted(c)) {
        output.note(&format!(
            "\nBrowsers don't trust this certificate yet, and VS Code's web views (Markdown \
             preview, notebooks) fail without trust. Participants import {}/ca.crt once; `thon tls \
             ca` tells how.",
            node.base_url()
        ));
    }
    let config = node.config();
    if config.nginx.enabled && config.nginx.domain.is_none() && config.external_ip.is_none() {
        let own = thon::own_address();
        if own.reach == Reach::Loopback {
            output.warn(
                "the URLs lead to this machine only; set `external_ip` once it has an address",
            );
        }
    }
    for failure in &report.failures {
        output.error(&format!("{}: {}", failure.user, failure.failure), 1);
    }
    if let Some(failure) = &report.proxy_failure {
        output.error(&failure.to_string(), 1);
    }
}

/// Waits for Ctrl-C, a termination or the end of the time, and stops what this run started.
async fn stay(
    args: &RunArgs,
    node: &Node,
    report: &RunReport,
    interrupt: &mut Interrupt,
    context: &Context,
) -> Result<(), CommandFailure> {
    let minutes = args.timeout.map(u64::from);
    context.output.note(&match minutes {
        Some(minutes) => format!("\nStaying for {minutes} minutes; Ctrl-C ends it earlier."),
        None => "\nStaying; Ctrl-C stops what this run started.".to_owned(),
    });
    let over = async {
        match minutes {
            Some(minutes) => tokio::time::sleep(Duration::from_secs(minutes * 60)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = over => {}
        () = interrupt.came() => {}
    }
    let _lock = node.lock()?;
    let (stopped, failures) = node.stop(Some(&report.started)).await?;
    context.output.note(&format!("stopped {}; `thon run` starts them again", stopped.len()));
    match failures.into_iter().next() {
        Some(failure) => Err(thon::Error::World(failure.failure).into()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_counted() {
        let users: Vec<UserId> = (0..8).map(|n| format!("a/u{n}").parse().unwrap()).collect();
        let users: Vec<&UserId> = users.iter().collect();
        assert_eq!(list(&users), "a/u0, a/u1, a/u2, a/u3, a/u4 and 3 more");
        assert_eq!(list(&users[..1]), "a/u0");
    }
}
