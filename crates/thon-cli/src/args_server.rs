//! The grammar of the commands that have to do with the server.
//!
//! For: `thon serve` and `thon token`.
//! Not for: the other commands; they are in [`crate::args`].

use clap::{Args, Subcommand, ValueEnum};

/// What `thon serve --help` ends with.
pub(crate) const SERVE_HELP: &str = "\
It listens at dashboard.host and dashboard.port, by default http://127.0.0.1:8100, and describes
itself at /docs. As long as there is no token, whoever is on this machine may do everything and
nobody else is let in; as soon as there is one, a token is needed. THON_LOG tells what is logged,
such as debug or warn. `thon-api` is the same as a program of its own, for service managers.";

/// What `thon token --help` ends with.
pub(crate) const TOKEN_HELP: &str = "\
A program sends its token as `authorization: Bearer <token>`. Scopes: `read` sees everything but
passwords and keys, `operate` launches, pauses, restarts and stops as well and sees instances'
passwords, `admin` also changes the roster, settings and configuration files.";

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// How log lines look
    #[arg(long, value_enum, default_value_t = Log::Text)]
    pub(crate) log: Log,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Log {
    /// For people
    Text,
    /// A JSON object a line
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token; it is shown this once
    Add(TokenAddArgs),
    /// Show which tokens there are, and when each was last used
    List,
    /// Make a token worthless
    Revoke {
        /// The token's name
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TokenAddArgs {
    /// What it is called, such as `ci`: the audit log names it
    pub(crate) name: String,
    /// How much it allows
    #[arg(long, value_enum, default_value_t = ScopeName::Read)]
    pub(crate) scope: ScopeName,
    /// When it ends, such as 12h or 30d; without this never
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ScopeName {
    /// See everything but passwords and keys
    Read,
    /// Launch, pause, restart and stop as well
    Operate,
    /// Change the roster, settings and files as well
    Admin,
}
