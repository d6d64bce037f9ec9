//! `thon config`: looking at the configuration.
//!
//! For: the resolved configuration, its problems, and its form as environment variables.
//! Not for: changing it; an editor does that.

use std::path::PathBuf;
use std::process::ExitCode;

use thon::core::config::{Config, Severity, ShowSecrets};
use thon::write_private;

use super::Outcome;
use crate::args::ConfigCommand;
use crate::context::Context;
use crate::failure::CommandFailure;
use crate::output::count;

pub(crate) fn config(command: ConfigCommand, context: &Context) -> Outcome {
    match command {
        ConfigCommand::Show { show_secrets } => show(show_secrets, context),
        ConfigCommand::Validate => validate(context),
        ConfigCommand::Env { output, show_secrets } => env(output, show_secrets, context),
        ConfigCommand::Path => path(context),
    }
}

const fn secrets(show: bool) -> ShowSecrets {
    if show { ShowSecrets::Revealed } else { ShowSecrets::Masked }
}

fn show(show_secrets: bool, context: &Context) -> Outcome {
    let config = context.load()?.config;
    let yaml = config.to_yaml(secrets(show_secrets));
    if context.output.json() {
        // By way of the YAML text, which has secrets masked or not as asked for.
        let value: serde_json::Value = serde_yaml::from_str(&yaml)
            .map_err(|error| CommandFailure::input(error.to_string()))?;
        context.output.value(&value);
    } else {
        context.output.text(&yaml);
    }
    Ok(ExitCode::SUCCESS)
}

fn validate(context: &Context) -> Outcome {
    let loaded = context.load()?;
    let problems = loaded.config.validate();
    let errors = problems.iter().filter(|p| p.severity == Severity::Error).count();
    if context.output.json() {
        context.output.value(&serde_json::json!({
            "path": loaded.path,
            "valid": errors == 0,
            "warnings": loaded.warnings,
            "problems": problems,
        }));
    } else {
        for problem in &problems {
            match problem.severity {
                Severity::Error => context.output.error(&problem.to_string(), 2),
                Severity::Warning => context.output.warn(&problem.to_string()),
            }
        }
        let place =
            loaded.path.as_ref().map_or("the defaults".to_owned(), |p| p.display().to_string());
        if errors == 0 {
            context.output.line(&format!("{place}: {}", summary(&loaded.config)));
        }
    }
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

fn summary(config: &Config) -> String {
    let on = |enabled: bool| if enabled { "on" } else { "off" };
    format!(
        "valid: {}, {}; nginx {}, passwords {}, lemonade {}, gateway {}",
        count(config.groups.groups().len(), "group", "groups"),
        count(config.groups.user_count(), "user", "users"),
        on(config.nginx.enabled),
        on(config.vscode.secure),
        on(config.lemonade.enabled),
        on(config.gateway.enabled),
    )
}

fn env(output: Option<PathBuf>, show_secrets: bool, context: &Context) -> Outcome {
    let config = context.load()?.config;
    let Some(path) = output else {
        context.output.text(&config.to_env(secrets(show_secrets)));
        return Ok(ExitCode::SUCCESS);
    };
    write_private(&path, config.to_env(ShowSecrets::Revealed).as_bytes())?;
    context.output.note(&format!("wrote {}", path.display()));
    Ok(ExitCode::SUCCESS)
}

fn path(context: &Context) -> Outcome {
    let home = context.home()?;
    let Some(path) = thon::find_config(context.global.config.as_deref(), &home)? else {
        return Err(CommandFailure::input(format!(
            "there is no configuration: neither {} nor ./thon.yaml; `thon init` makes one",
            home.config().display()
        )));
    };
    if context.output.json() {
        context.output.value(&serde_json::json!({ "path": path }));
    } else {
        context.output.line(&path.display().to_string());
    }
    Ok(ExitCode::SUCCESS)
}
