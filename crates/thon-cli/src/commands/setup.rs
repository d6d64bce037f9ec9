//! `thon setup`: what a machine needs before a run.
//!
//! For: the order packages, Docker, image, network, certificate, each only where something is missing.
//! Not for: starting sandboxes.

use std::process::ExitCode;

use thon::core::certificate::CertificateChange;
use thon::core::doctor::{Remedy, Severity};
use thon::{EngineStart, EngineState, Node, Package};

use super::Outcome;
use crate::args::SetupArgs;
use crate::context::Context;
use crate::failure::CommandFailure;
use crate::progress::Progress;
use crate::prompt;

pub(crate) async fn setup(args: &SetupArgs, context: &Context) -> Outcome {
    let node = context.node()?;
    let _lock = node.lock()?;
    prepare(args, &node, context).await?;
    context.output.note("Everything is ready for `thon run`.");
    Ok(ExitCode::SUCCESS)
}

/// Brings the machine to where `node` can run.
pub(crate) async fn prepare(
    args: &SetupArgs,
    node: &Node,
    context: &Context,
) -> Result<(), CommandFailure> {
    install(args, &node.missing_packages().await, node, context).await?;
    engine(node, context).await?;
    for finding in node.examine(None).await {
        // What is mended here anyway isn't worth a word; the doctor says the rest at leisure.
        let ours = finding.remedy.as_ref().is_some_and(Remedy::is_of_setup);
        if finding.severity <= Severity::Warning && !ours {
            let fix = finding.fix.map_or_else(String::new, |fix| format!("; {fix}"));
            context.output.warn(&format!("{}: {}{fix}", finding.code, finding.says));
        }
    }
    let progress = Progress::show(node.events(), &context.output);
    let bootstrap: Vec<Package> = node.bootstrap_package().await.into_iter().collect();
    progress.finish().await;
    install(args, &bootstrap, node, context).await?;
    let progress = Progress::show(node.events(), &context.output);
    let image = node.ready_image().await;
    progress.finish().await;
    if !image? {
        context.output.note(&format!("image: {} is here", node.config().sandbox.image));
    }
    for line in node.ready_network().await? {
        context.output.warn(&line);
    }
    if node.config().nginx.enabled {
        let progress = Progress::show(node.events(), &context.output);
        let certificate = node.issue_certificate().await;
        progress.finish().await;
        let certificate = certificate?;
        let made = match certificate.change {
            CertificateChange::Reused => "still good",
            CertificateChange::Issued => "issued",
            CertificateChange::Renewed => "renewed",
        };
        context.output.note(&format!(
            "certificate: {made}, by {}, for {}",
            certificate.provider,
            node.certificate_names().primary
        ));
    }
    Ok(())
}

async fn install(
    args: &SetupArgs,
    packages: &[Package],
    node: &Node,
    context: &Context,
) -> Result<(), CommandFailure> {
    if packages.is_empty() {
        return Ok(());
    }
    context.output.note("This machine lacks:");
    for package in packages {
        context.output.note(&format!("  {:<12} {}", package.name, package.purpose));
    }
    let names: Vec<&str> = packages.iter().map(|package| package.name).collect();
    let names = names.join(" ");
    if args.no_install {
        return Err(CommandFailure::input(format!(
            "--no-install: install {names} yourself, then run this again"
        )));
    }
    if !prompt::confirm(context, "Install them with apt-get?", true)? {
        return Err(CommandFailure::input(format!(
            "install {names} yourself, then run this again"
        )));
    }
    let progress = Progress::show(node.events(), &context.output);
    let installed = node.install_packages(packages).await;
    progress.finish().await;
    Ok(installed?)
}

async fn engine(node: &Node, context: &Context) -> Result<(), CommandFailure> {
    let down = match node.engine().await {
        EngineState::Answers(version) => {
            context.output.note(&format!("docker: {version} answers"));
            return Ok(());
        }
        EngineState::Absent => "Docker is installed and doesn't run.".to_owned(),
        EngineState::Down(failure) => failure.cause,
    };
    context.output.note(&format!("docker: {down}"));
    if !prompt::confirm(context, "Start Docker?", true)? {
        return Err(CommandFailure::input("start Docker yourself, then run this again"));
    }
    match node.start_engine().await? {
        EngineStart::Service => {
            context.output.note("docker: started, and from now on at every boot");
        }
        EngineStart::Process(pid) => context.output.note(&format!(
            "docker: started as process {pid}; no service manager runs here, so a reboot ends it \
             (log: {})",
            node.home().engine_log().display()
        )),
    }
    Ok(())
}
