//! `thon nginx`: the proxy in front of the sandboxes.
//!
//! For: what it serves, bringing it in line with what runs, taking it away.
//! Not for: nginx's configuration; the adapter writes that.

use std::process::ExitCode;

use super::Outcome;
use crate::args::NginxCommand;
use crate::context::Context;
use crate::failure::CommandFailure;
use crate::output::count;
use crate::progress::Progress;
use crate::prompt;

pub(crate) async fn nginx(command: NginxCommand, context: &Context) -> Outcome {
    match command {
        NginxCommand::Status => status(context).await,
        NginxCommand::Sync => sync(context).await,
        NginxCommand::Cleanup => cleanup(context).await,
    }
}

async fn status(context: &Context) -> Outcome {
    let status = context.node()?.proxy_status().await?;
    if context.output.json() {
        context.output.value(&status);
        return Ok(ExitCode::SUCCESS);
    }
    let pid = status.pid.map_or_else(String::new, |pid| format!(", process {pid}"));
    let state = if status.running { "running" } else { "not running" };
    context.output.line(&format!("nginx ({}): {state}{pid}", status.mode));
    match status.routes {
        Some(routes) => {
            let routes = count(routes, "route", "routes");
            context.output.line(&format!("{routes} in {}", status.config));
        }
        None => context.output.line("nothing of THON's is configured; `thon run` does that"),
    }
    Ok(ExitCode::SUCCESS)
}

async fn sync(context: &Context) -> Outcome {
    let node = context.node()?;
    let _lock = node.lock()?;
    let progress = Progress::show(node.events(), &context.output);
    let result = node.proxy_sync().await;
    progress.finish().await;
    let (change, checks) = result?;
    let Some(change) = change else {
        return Err(CommandFailure::input(
            "nginx.enabled is false: there is nothing to bring in line",
        ));
    };
    if context.output.json() {
        context.output.value(&serde_json::json!({ "change": change, "checks": checks }));
    }
    let lost: Vec<_> = checks.iter().filter(|check| check.problem.is_some()).collect();
    for check in &lost {
        let problem = check.problem.as_deref().unwrap_or_default();
        context.output.error(&format!("{}: {problem}", check.user), 1);
    }
    Ok(if lost.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn cleanup(context: &Context) -> Outcome {
    let node = context.node()?;
    let question =
        "Take the proxy's configuration away? Nobody can reach their editor until `thon run`.";
    if !prompt::confirm(context, question, false)? {
        return Err(CommandFailure::input("nothing was changed"));
    }
    let _lock = node.lock()?;
    node.proxy_cleanup().await?;
    context
        .output
        .note("the proxy's configuration is gone; `thon run` or `thon nginx sync` brings it back");
    Ok(ExitCode::SUCCESS)
}
