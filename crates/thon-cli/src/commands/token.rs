//! `thon token`: who may use the REST API.
//!
//! For: showing a token once, on standard output, and everything about it but itself later.
//! Not for: what a scope allows; the server says that.

use std::process::ExitCode;
use std::time::SystemTime;

use thon::State;
use thon::core::access::{Scope, Token, token_end};

use super::Outcome;
use super::status::timestamp;
use crate::args_server::{ScopeName, TokenAddArgs, TokenCommand};
use crate::context::Context;
use crate::failure::CommandFailure;
use crate::output::plain;

pub(crate) async fn token(command: TokenCommand, context: &Context) -> Outcome {
    match command {
        TokenCommand::Add(args) => add(&args, context).await,
        TokenCommand::List => list(context).await,
        TokenCommand::Revoke { name } => revoke(&name, context).await,
    }
}

async fn add(args: &TokenAddArgs, context: &Context) -> Outcome {
    let scope = match args.scope {
        ScopeName::Read => Scope::Read,
        ScopeName::Operate => Scope::Operate,
        ScopeName::Admin => Scope::Admin,
    };
    thon::core::access::token_name(&args.name).map_err(CommandFailure::input)?;
    let end = args.expires.as_deref().map(|text| token_end(text, SystemTime::now()));
    let end =
        end.transpose().map_err(|error| CommandFailure::input(format!("--expires: {error}")))?;
    let state = State::open(&context.home()?).await?;
    let secret = state.access().new_token(state.actor(), &args.name, scope, end).await?;
    let locks_out = !state.access().has_password().await?;
    state.close().await;
    if context.output.json() {
        context.output.value(&serde_json::json!({
            "name": args.name,
            "scope": scope,
            "token": secret.reveal(),
            "expires_at": end.and_then(timestamp),
        }));
        return Ok(ExitCode::SUCCESS);
    }
    context.output.line(secret.reveal());
    context.output.note(&format!(
        "This is the only time that token {} is shown; it has scope {scope}.",
        args.name
    ));
    if locks_out {
        context.output.note(
            "From now on the dashboard lets nobody in without a password, from this machine either: \
             `thon dashboard password` sets one.",
        );
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(context: &Context) -> Outcome {
    let tokens = match State::open_existing(&context.home()?).await? {
        None => Vec::new(),
        Some(state) => {
            let tokens = state.access().tokens().await?;
            state.close().await;
            tokens
        }
    };
    let now = SystemTime::now();
    if context.output.json() {
        let rows = tokens.iter().map(|token| {
            serde_json::json!({
                "name": token.name,
                "scope": token.scope,
                "created_at": timestamp(token.created_at),
                "expires_at": token.expires_at.and_then(timestamp),
                "used_at": token.used_at.and_then(timestamp),
            })
        });
        context.output.value(&rows.collect::<Vec<_>>());
        return Ok(ExitCode::SUCCESS);
    }
    let time = |time: Option<SystemTime>| time.and_then(timestamp).unwrap_or_else(|| "-".into());
    let end = |token: &Token| match token.expires_at {
        Some(_) if token.is_over(now) => "ended".to_owned(),
        end => time(end),
    };
    let rows = tokens.iter().map(|token| {
        vec![
            plain(token.name.clone()),
            plain(token.scope.to_string()),
            plain(time(Some(token.created_at))),
            plain(end(token)),
            plain(time(token.used_at)),
        ]
    });
    context.output.table(&["NAME", "SCOPE", "MADE", "ENDS", "LAST USED"], rows.collect());
    Ok(ExitCode::SUCCESS)
}

async fn revoke(name: &str, context: &Context) -> Outcome {
    let state = State::open(&context.home()?).await?;
    let result = state.access().revoke_token(state.actor(), name).await;
    let left = state.access().tokens().await?.len();
    state.close().await;
    result?;
    if context.output.json() {
        context.output.value(&serde_json::json!({ "revoked": name }));
    } else {
        context.output.note(&format!("token {name} is worth nothing any more"));
        if left == 0 {
            context.output.note(
                "That was the last one: whoever is on this machine may use the API without a token \
                 now.",
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}
