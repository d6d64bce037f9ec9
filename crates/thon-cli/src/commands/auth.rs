//! `thon auth`: who signs in with an account, and which browsers are logged in.
//!
//! For: what thon.yaml says of signing in and what to register where, sessions, and ending them.
//! Not for: the password; `thon dashboard` sets it. Not for programs; they have tokens.

use std::process::ExitCode;

use thon::State;
use thon::core::access::{Account, Challenge, IdentityProvider, Session};
use thon::core::adapter::Failure;

use super::Outcome;
use super::status::timestamp;
use crate::args_server::{AuthCommand, RevokeArgs};
use crate::context::Context;
use crate::failure::CommandFailure;
use crate::output::{count, plain};

pub(crate) async fn auth(command: AuthCommand, context: &Context) -> Outcome {
    match command {
        AuthCommand::Status { check } => status(check, context).await,
        AuthCommand::Sessions => sessions(context).await,
        AuthCommand::Revoke(args) => revoke(&args, context).await,
    }
}

/// The sessions that last, and whether there is a password.
async fn known(context: &Context) -> Result<(Vec<Session>, bool), CommandFailure> {
    let Some(state) = State::open_existing(&context.home()?).await? else {
        return Ok((Vec::new(), false));
    };
    let sessions = state.access().sessions().await;
    let password = state.access().has_password().await;
    state.close().await;
    Ok((sessions?, password?))
}

/// Whether a provider answers: what it says of itself is asked for, and nothing else.
async fn answers(provider: &dyn IdentityProvider) -> Result<(), Failure> {
    provider.begin(&Challenge::new(&[[0; 32]; 3])).await.map(drop)
}

async fn status(check: bool, context: &Context) -> Outcome {
    let node = context.node()?;
    let auth = &node.config().auth;
    let (sessions, password) = known(context).await?;
    let mut providers = Vec::new();
    let url = if auth.enabled { Some(node.public_url()?) } else { None };
    for provider in node.identity_providers()?.values() {
        let kind = provider.kind();
        let base = url.as_ref().map_or("", |url| url.base());
        let back = format!("{base}{}", thon::auth::callback_path(kind));
        let answer = if check { Some(answers(provider.as_ref()).await) } else { None };
        providers.push((kind, auth.provider_name(kind).to_owned(), back, answer));
    }
    let failed = providers.iter().any(|(.., answer)| matches!(answer, Some(Err(_))));
    let code = if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    if context.output.json() {
        let one = |(kind, name, back, answer): &(_, String, String, Option<Result<_, Failure>>)| {
            let kind: &thon::core::access::ProviderKind = kind;
            let problem = answer.as_ref().and_then(|answer| answer.as_ref().err());
            serde_json::json!({
                "provider": kind, "name": name, "redirect_uri": back,
                "answers": answer.as_ref().map(Result::is_ok),
                "problem": problem.map(ToString::to_string),
            })
        };
        let allow = auth
            .allow
            .iter()
            .map(|rule| serde_json::json!({ "role": rule.role, "whom": rule.whom() }));
        context.output.value(&serde_json::json!({
            "enabled": auth.enabled,
            "public_url": url.as_ref().map(ToString::to_string),
            "providers": providers.iter().map(one).collect::<Vec<_>>(),
            "allow": allow.collect::<Vec<_>>(),
            "password": password,
            "sessions": sessions.len(),
        }));
        return Ok(code);
    }
    let Some(url) = url else {
        context.output.line("nobody signs in with an account: auth.enabled is off");
        context.output.note("`thon auth --help` shows what to write into thon.yaml.");
        return Ok(code);
    };
    context.output.line(&format!("people sign in at {url}"));
    let heading: &[&str] = if check {
        &["PROVIDER", "NAME", "REGISTER THERE", "ANSWERS"]
    } else {
        &["PROVIDER", "NAME", "REGISTER THERE"]
    };
    let rows = providers.iter().map(|(kind, name, back, answer)| {
        let mut row = vec![plain(kind.as_str()), plain(name.clone()), plain(back.clone())];
        row.extend(answer.as_ref().map(|answer| match answer {
            Ok(()) => plain("yes"),
            Err(failure) => plain(failure.cause.clone()),
        }));
        row
    });
    context.output.table(heading, rows.collect());
    if auth.allow.is_empty() {
        context.output.line("no account may come in: auth.allow is empty");
    } else {
        let rows =
            auth.allow.iter().map(|rule| vec![plain(rule.role.as_str()), plain(rule.whom())]);
        context.output.table(&["ROLE", "WHOSE ACCOUNT"], rows.collect());
    }
    let password = if password { "is set" } else { "is not set" };
    let sessions = count(sessions.len(), "browser is", "browsers are");
    context.output.line(&format!("{sessions} logged in; the dashboard's password {password}"));
    Ok(code)
}

/// Which browsers are logged in.
pub(crate) async fn sessions(context: &Context) -> Outcome {
    let (sessions, _) = known(context).await?;
    if context.output.json() {
        let one = |session: &Session| {
            serde_json::json!({
                "number": session.number,
                "who": session.holder.shown(),
                "account": session.holder.account().map(Account::id),
                "role": session.role,
                "address": session.address,
                "browser": session.browser,
                "created_at": timestamp(session.created_at),
                "seen_at": timestamp(session.seen_at),
                "ends_at": timestamp(session.ends_at()),
            })
        };
        context.output.value(&sessions.iter().map(one).collect::<Vec<_>>());
        return Ok(ExitCode::SUCCESS);
    }
    if sessions.is_empty() {
        context.output.note("Nobody is logged in.");
        return Ok(ExitCode::SUCCESS);
    }
    let rows = sessions.iter().map(|session| {
        vec![
            plain(session.number.to_string()),
            plain(session.holder.shown()),
            plain(session.holder.account().map_or_else(|| "-".to_owned(), Account::id)),
            plain(session.role.as_str()),
            plain(session.address.clone()),
            plain(session.browser.clone()),
            plain(timestamp(session.seen_at).unwrap_or_default()),
            plain(timestamp(session.ends_at()).unwrap_or_default()),
        ]
    });
    let heading = ["NUMBER", "WHO", "ACCOUNT", "ROLE", "ADDRESS", "BROWSER", "SEEN", "ENDS"];
    context.output.table(&heading, rows.collect());
    Ok(ExitCode::SUCCESS)
}

async fn revoke(args: &RevokeArgs, context: &Context) -> Outcome {
    if args.all {
        return revoke_all(context).await;
    }
    let state = State::open(&context.home()?).await?;
    let ended = end(&state, args).await;
    state.close().await;
    Ok(said(ended?, context))
}

/// Ends those that are meant; one that isn't there is refused before any is ended.
async fn end(state: &State, args: &RevokeArgs) -> Result<u64, CommandFailure> {
    let access = state.access();
    let lasting = access.sessions().await?;
    if let Some(stranger) =
        args.numbers.iter().find(|number| lasting.iter().all(|one| one.number != **number))
    {
        return Err(CommandFailure::input(format!(
            "there is no session {stranger}; `thon auth sessions` shows which there are"
        )));
    }
    let is_meant = |session: &Session| match &args.account {
        Some(wanted) => session.holder.account().is_some_and(|account| account.id() == *wanted),
        None => args.numbers.contains(&session.number),
    };
    let mut ended = 0;
    for session in lasting.iter().filter(|session| is_meant(session)) {
        ended += u64::from(access.revoke_session(state.actor(), session.number).await?);
    }
    Ok(ended)
}

/// Logs every browser out.
pub(crate) async fn revoke_all(context: &Context) -> Outcome {
    let ended = match State::open_existing(&context.home()?).await? {
        None => 0,
        Some(state) => {
            let ended = state.access().end_sessions(state.actor()).await;
            state.close().await;
            ended?
        }
    };
    Ok(said(ended, context))
}

fn said(ended: u64, context: &Context) -> ExitCode {
    if context.output.json() {
        context.output.value(&serde_json::json!({ "sessions_ended": ended }));
    } else {
        context.output.note(&format!("{ended} logged-in browser(s) have to log in anew."));
    }
    ExitCode::SUCCESS
}
