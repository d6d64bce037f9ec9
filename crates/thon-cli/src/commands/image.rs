//! `thon image`: the image that sandboxes are made from.
//!
//! For: building it and saying how it stands.
//! Not for: what is in it; the Dockerfile says that.

use std::process::ExitCode;

use thon::{ImageOptions, ImageState};

use super::Outcome;
use crate::args::ImageCommand;
use crate::context::Context;
use crate::failure::CommandFailure;
use crate::progress::Progress;

pub(crate) async fn image(command: ImageCommand, context: &Context) -> Outcome {
    match command {
        ImageCommand::Build { strict, rebuild, retry_extensions, base } => {
            let options = ImageOptions { base: None, strict, rebuild, retry_extensions };
            build(options, base, context).await
        }
        ImageCommand::Status => status(context).await,
    }
}

async fn build(mut options: ImageOptions, base: Option<String>, context: &Context) -> Outcome {
    let node = context.node()?;
    if let Some(text) = base {
        let base =
            text.parse().map_err(|error| CommandFailure::input(format!("--base {error}")))?;
        options.base = Some(base);
    }
    let _lock = node.lock()?;
    let progress = Progress::show(node.events(), &context.output);
    let result = node.build_image(&options).await;
    progress.finish().await;
    let built = result?;
    let image = &node.config().sandbox.image;
    if context.output.json() {
        let missing: Vec<_> = built
            .missing_extensions
            .iter()
            .map(|(id, reason)| serde_json::json!({ "id": id, "reason": reason }))
            .collect();
        context.output.value(&serde_json::json!({
            "image": image,
            "id": built.id,
            "built": built.built,
            "missing_extensions": missing,
        }));
    } else if built.built {
        context.output.line(&format!("{image} is built"));
    } else {
        context.output.line(&format!("{image} is up to date"));
    }
    Ok(ExitCode::SUCCESS)
}

async fn status(context: &Context) -> Outcome {
    let node = context.node()?;
    let report = node.image().await?;
    let (state, hint) = match report.state {
        ImageState::Current => ("up to date", ""),
        ImageState::Outdated => ("outdated", "; `thon image build` makes it anew"),
        ImageState::Foreign => ("not made by thon, used as it is", ""),
        ImageState::Missing => ("missing", "; `thon image build` makes it"),
    };
    if context.output.json() {
        context.output.value(&serde_json::json!({
            "image": report.image,
            "state": format!("{:?}", report.state).to_lowercase(),
            "id": report.id,
            "size": report.size,
            "created": report.created,
            "code_server": report.code_server,
        }));
    } else {
        context.output.line(&format!("{}: {state}{hint}", report.image));
        if let (Some(size), Some(version)) = (report.size, &report.code_server) {
            context.output.line(&format!("{} MB, code-server {version}", size / 1_000_000));
        }
    }
    Ok(if report.state == ImageState::Missing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
