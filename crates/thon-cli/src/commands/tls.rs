//! `thon tls`: the certificate.
//!
//! For: which one is there, making one, and the root that participants import.
//! Not for: how certificates are made; the adapter does that.

use std::path::PathBuf;
use std::process::ExitCode;

use thon::core::certificate::Certificate;

use super::Outcome;
use super::status::timestamp;
use crate::args::TlsCommand;
use crate::context::Context;
use crate::failure::CommandFailure;

pub(crate) async fn tls(command: TlsCommand, context: &Context) -> Outcome {
    match command {
        TlsCommand::Status => status(context).await,
        TlsCommand::Issue => issue(context).await,
        TlsCommand::Ca { output } => ca(output, context).await,
    }
}

async fn status(context: &Context) -> Outcome {
    let node = context.node()?;
    let Some(certificate) = node.certificate().await? else {
        if context.output.json() {
            context.output.value(&serde_json::Value::Null);
        } else {
            let host = &node.certificate_names().primary;
            context
                .output
                .line(&format!("there is no certificate for {host}; `thon tls issue` makes one"));
        }
        return Ok(ExitCode::FAILURE);
    };
    if context.output.json() {
        context.output.value(&json(&certificate));
        return Ok(ExitCode::SUCCESS);
    }
    let days = certificate.not_after.duration_since(std::time::SystemTime::now());
    let days = days.map_or(0, |left| left.as_secs() / 86_400);
    context.output.line(&format!("{} by {}", certificate.chain.display(), certificate.provider));
    context.output.line(&format!("valid for {days} more days"));
    for line in node.explain_certificate(&certificate) {
        context.output.line(&line);
    }
    Ok(ExitCode::SUCCESS)
}

async fn issue(context: &Context) -> Outcome {
    let node = context.node()?;
    let _lock = node.lock()?;
    let certificate = node.issue_certificate().await?;
    if context.output.json() {
        context.output.value(&json(&certificate));
    } else {
        context.output.line(&format!(
            "{} {} by {}",
            certificate.chain.display(),
            certificate.change,
            certificate.provider
        ));
        context
            .output
            .note("nginx serves a new one after `thon nginx sync`, or with the next `thon run`");
    }
    Ok(ExitCode::SUCCESS)
}

async fn ca(output: Option<PathBuf>, context: &Context) -> Outcome {
    let node = context.node()?;
    let certificate = node.certificate().await?;
    let Some(certificate) = certificate else {
        return Err(CommandFailure::input(
            "there is no certificate yet, and so no root to import; `thon tls issue` makes one",
        ));
    };
    let Some(root) = certificate.root.clone() else {
        return Err(CommandFailure::input(
            "there is no root to import: every browser trusts this certificate as it is",
        ));
    };
    let pem = std::fs::read_to_string(&root)
        .map_err(|error| CommandFailure::input(format!("{}: {error}", root.display())))?;
    match output {
        Some(path) => {
            std::fs::write(&path, &pem).map_err(|error| {
                CommandFailure::input(format!("--output {}: {error}", path.display()))
            })?;
            context.output.note(&format!("wrote {}", path.display()));
        }
        None if context.output.json() => {
            context.output.value(&serde_json::json!({ "path": root, "pem": pem }));
        }
        None => context.output.text(&pem),
    }
    for line in node.explain_certificate(&certificate) {
        context.output.note(&line);
    }
    Ok(ExitCode::SUCCESS)
}

fn json(certificate: &Certificate) -> serde_json::Value {
    serde_json::json!({
        "provider": certificate.provider,
        "chain": certificate.chain,
        "key": certificate.key,
        "root": certificate.root,
        "not_after": timestamp(certificate.not_after),
        "trust": certificate.trust,
        "change": certificate.change,
    })
}
