//! The grammar of the commands that have to do with the server.
//!
//! For: `thon serve`, `thon token` and `thon dashboard`.
//! Not for: the other commands; they are in [`crate::args`].

use clap::{Args, Subcommand, ValueEnum};

/// What `thon serve --help` ends with.
pub(crate) const SERVE_HELP: &str = "\
The dashboard is at dashboard.web_port, by default http://127.0.0.1:8501, and the REST API at
dashboard.port, by default http://127.0.0.1:8100, where it describes itself at /docs. As long as
there is neither a password nor a token, whoever is on this machine may do everything and nobody
else is let in. `thon dashboard password` sets a password for people, `thon token add` makes tokens
for programs; then dashboard.host may be another address than 127.0.0.1. THON_LOG tells what is
logged, such as debug or warn. `thon-api` is the same as a program of its own, for service managers.";

/// What `thon dashboard password --help` ends with.
pub(crate) const PASSWORD_HELP: &str = "\
It is asked for twice, or read as one line from standard input where there is no terminal:

  printf '%s\\n' \"$PASSWORD\" | thon dashboard password

Only a hash of it is kept (Argon2id). Whoever is logged in is logged out. A server that runs already
takes it at once.";

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
pub(crate) enum DashboardCommand {
    /// Set the password that opens the dashboard
    #[command(after_help = PASSWORD_HELP)]
    Password,
    /// Show which browsers are logged in
    Sessions,
    /// Log every browser out
    Logout,
}

/// What `thon auth --help` ends with.
pub(crate) const AUTH_HELP: &str = "\
People sign in with accounts of GitHub, GitLab, LinkedIn or any OpenID provider where thon.yaml says
so; whoever is on no list gets in nowhere:

auth:
  enabled: true
  github: {client_id: ID, client_secret: SECRET}
  allow:
    - {role: admin, provider: github, login: ada}
    - {role: operator, email: bob@example.org}
    - {role: participant, roster: true}

`thon auth status` shows which address to register at each provider. The dashboard's password
(`thon dashboard password`) stays a way in for whoever runs this machine.";

#[derive(Debug, Subcommand)]
pub(crate) enum AuthCommand {
    /// Show with which accounts people sign in, as what, and where providers send them back to
    Status {
        /// Ask each provider whether it answers
        #[arg(long)]
        check: bool,
    },
    /// Show which browsers are logged in, as whom and as what
    Sessions,
    /// Log browsers out: by the numbers that `thon auth sessions` shows, by account, or all
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
#[group(required = true)]
pub(crate) struct RevokeArgs {
    /// The numbers of sessions, as `thon auth sessions` shows them
    #[arg(value_name = "NUMBER", conflicts_with_all = ["account", "all"])]
    pub(crate) numbers: Vec<u64>,
    /// All of one account, such as github:583231
    #[arg(long, conflicts_with = "all")]
    pub(crate) account: Option<String>,
    /// All there are
    #[arg(long)]
    pub(crate) all: bool,
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
