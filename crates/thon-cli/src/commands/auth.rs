//! `thon auth`: who signs in with an account, and which browsers are logged in.
//!
//! For: what thon.yaml says of signing in and what to register where, sessions, and ending them.
//! Not for: the password; `thon dashboard` sets it. Not for programs; they have tokens.

use std::process::ExitCode;

use serde::Serialize;
use thon::core::access::{
    ACCOUNT_ID, Account, Challenge, IdentityProvider, ProviderKind, Session, account_provider,
};
use thon::core::config::AuthConfig;
use thon::{State, Which};

use super::Outcome;
use super::status::timestamp;
use crate::args_server::{AuthCommand, RevokeArgs};
use crate::context::Context;
use crate::failure::CommandFailure;
use crate::output::{Tone, count, plain};

pub(crate) async fn auth(command: AuthCommand, context: &Context) -> Outcome {
    match command {
        AuthCommand::Status { check } => status(check, context).await,
        AuthCommand::Sessions => sessions(context).await,
        AuthCommand::Revoke(args) => revoke(&args, context).await,
    }
}

/// What the database has to say.
#[derive(Default)]
struct Known {
    /// The sessions that last.
    sessions: Vec<Session>,
    password: bool,
    /// Whether somebody could come in as admin.
    way_in: bool,
}

async fn known(auth: &AuthConfig, context: &Context) -> Result<Known, CommandFailure> {
    let Some(state) = State::open_existing(&context.home()?).await? else {
        return Ok(Known { way_in: auth.lists_an_admin(), ..Known::default() });
    };
    let access = state.access();
    let found = async {
        Ok::<_, thon::Error>(Known {
            sessions: access.sessions().await?,
            password: access.has_password().await?,
            way_in: access.has_way_in(auth).await?,
        })
    };
    let found = found.await;
    state.close().await;
    Ok(found?)
}

/// A provider, as it is set up.
#[derive(Serialize)]
struct Listed {
    provider: ProviderKind,
    name: String,
    /// Whether people can sign in with it.
    set_up: bool,
    redirect_uri: String,
    /// Whether it answers; nothing where it wasn't asked.
    answers: Option<bool>,
    problem: Option<String>,
}

impl Listed {
    /// Whether a provider answers: what it says of itself is asked for, and nothing else. One that says
    /// nothing of itself is not asked.
    async fn ask(&mut self, provider: &dyn IdentityProvider) {
        if provider.issuer().is_none() {
            return;
        }
        let answer = provider.begin(&Challenge::new(&[[0; 32]; 3])).await;
        self.answers = Some(answer.is_ok());
        self.problem = answer.err().map(|failure| failure.cause);
    }

    fn row(&self, check: bool) -> Vec<(String, Tone)> {
        let set_up = if self.set_up { "yes" } else { "no" };
        let mut row = vec![
            plain(self.provider.as_str()),
            plain(self.name.clone()),
            plain(set_up),
            plain(self.redirect_uri.clone()),
        ];
        if check {
            row.push(plain(match (self.answers, &self.problem) {
                (None, _) => "not asked".to_owned(),
                (Some(true), _) => "yes".to_owned(),
                (Some(false), problem) => problem.clone().unwrap_or_default(),
            }));
        }
        row
    }
}

async fn status(check: bool, context: &Context) -> Outcome {
    let node = context.node()?;
    context.check(node.config())?;
    let auth = &node.config().auth;
    let known = known(auth, context).await?;
    let url = node.public_url()?;
    let made = node.identity_providers()?;
    let mut providers = Vec::new();
    for kind in ProviderKind::ALL {
        let mut provider = Listed {
            provider: *kind,
            name: auth.provider_name(*kind).to_owned(),
            set_up: auth.offers(*kind),
            redirect_uri: format!("{}{}", url.base(), thon::auth::callback_path(*kind)),
            answers: None,
            problem: None,
        };
        if let Some(asked) = made.get(kind.as_str()).filter(|_| check) {
            provider.ask(asked.as_ref()).await;
        }
        providers.push(provider);
    }
    let failed = providers.iter().any(|provider| provider.answers == Some(false));
    let code = if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    if context.output.json() {
        let allow = auth
            .allow
            .iter()
            .map(|rule| serde_json::json!({ "role": rule.role, "whom": rule.whom() }));
        context.output.value(&serde_json::json!({
            "enabled": auth.enabled,
            "public_url": url.base(),
            "providers": providers,
            "allow": allow.collect::<Vec<_>>(),
            "way_in": known.way_in,
            "password": known.password,
            "sessions": known.sessions.len(),
        }));
        return Ok(code);
    }
    if auth.enabled {
        context.output.line(&format!("people sign in at {}", url.base()));
    } else {
        context.output.line("nobody signs in with an account: auth.enabled is off");
    }
    let mut heading = vec!["PROVIDER", "NAME", "SET UP", "REGISTER THERE"];
    if check {
        heading.push("ANSWERS");
    }
    context.output.table(&heading, providers.iter().map(|one| one.row(check)).collect());
    if !auth.enabled {
        context.output.note("`thon auth --help` shows what to write into thon.yaml.");
        return Ok(code);
    }
    if auth.allow.is_empty() {
        context.output.line("no account may come in: auth.allow is empty");
    } else {
        let rows =
            auth.allow.iter().map(|rule| vec![plain(rule.role.as_str()), plain(rule.whom())]);
        context.output.table(&["ROLE", "WHOSE ACCOUNT"], rows.collect());
    }
    let password = if known.password { "is set" } else { "is not set" };
    let sessions = count(known.sessions.len(), "browser is", "browsers are");
    context.output.line(&format!("{sessions} logged in; the dashboard's password {password}"));
    for problem in node.config().validate() {
        if problem.key.starts_with("auth") {
            context.output.warn(&problem.to_string());
        }
    }
    if !known.way_in {
        context.output.warn(
            "nobody could come in as admin: `thon serve` doesn't start so, and one that runs goes by \
             what thon.yaml said before",
        );
    }
    Ok(code)
}

/// Which browsers are logged in.
pub(crate) async fn sessions(context: &Context) -> Outcome {
    let sessions = match State::open_existing(&context.home()?).await? {
        None => Vec::new(),
        Some(state) => {
            let sessions = state.access().sessions().await;
            state.close().await;
            sessions?
        }
    };
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
            plain(session.browser_shown()),
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
    if let Some(account) = &args.account {
        if account_provider(account).is_none() {
            return Err(CommandFailure::input(format!(
                "--account {}: an account is {ACCOUNT_ID}; `thon auth sessions` shows it",
                thon::core::name::quoted(account)
            )));
        }
        return Ok(access.revoke_sessions(state.actor(), Which::Account(account)).await?);
    }
    let lasting = access.sessions().await?;
    if let Some(stranger) =
        args.numbers.iter().find(|number| lasting.iter().all(|one| one.number != **number))
    {
        return Err(CommandFailure::input(format!(
            "there is no session {stranger}; `thon auth sessions` shows which there are"
        )));
    }
    Ok(access.revoke_sessions(state.actor(), Which::Numbers(&args.numbers)).await?)
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
        context.output.note(&match ended {
            0 => "No browser of theirs was logged in.".to_owned(),
            1 => "1 browser has to log in anew.".to_owned(),
            many => format!("{many} browsers have to log in anew."),
        });
    }
    ExitCode::SUCCESS
}
