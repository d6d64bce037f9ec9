//! The command line's grammar.
//!
//! For: commands, options and the help that teaches them.
//! Not for: doing anything.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use thon::core::doctor::Code;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::{args_server, args_state};

const AFTER_HELP: &str = "\
The shortest way to an event:
  thon init      write a thon.yaml (groups and users)
  thon doctor    say whether this machine is fit for it
  thon up        install what is missing, build the image, start everyone
  thon status    who runs, and under which URL
  thon down      take everything away; workspaces stay

`thon run` may be repeated at any time: what is as it should be isn't touched.
Exit codes: 0 done, 1 something outside failed, 2 the input has to change.";

const DOCTOR_HELP: &str = "\
Best the night before, with everyone in the roster: what is needed follows from it.
Each finding has a code, which --explain explains. -v shows what is well, too.
Exit codes: 0 no problem (warnings may be), 1 at least one problem, 2 the input has to change.";

/// The heading below which help lists what every command takes, apart from its own options.
const GLOBAL: &str = "Options of every command";

/// THON, the Hackathon Organizer Node: one thon.yaml in, a live VS Code per participant out.
#[derive(Debug, Parser)]
#[command(name = "thon", version, after_help = AFTER_HELP, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What holds for every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The configuration file [default: ~/.thon/thon.yaml, else ./thon.yaml]
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "FILE", env = "THON_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Print results as JSON
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) json: bool,
    /// Say more of what happens; twice for everything
    #[arg(short, long, global = true, help_heading = GLOBAL, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say nothing but results and errors
    #[arg(short, long, global = true, help_heading = GLOBAL, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// When to use colours
    #[arg(long, global = true, help_heading = GLOBAL, value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,
    /// Answer every question with yes
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub(crate) yes: bool,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a thon.yaml, asking what can't be found out
    Init(InitArgs),
    /// Install what is missing, build the image, make the certificate
    Setup(SetupArgs),
    /// Everything from nothing: init if there is no configuration, setup, run
    Up(UpArgs),
    /// Say whether this machine is fit for the event, and mend what can be mended
    #[command(after_help = DOCTOR_HELP)]
    Doctor(DoctorArgs),
    /// Make what runs into what the configuration says
    Run(RunArgs),
    /// Show who runs, and where
    Status(StatusArgs),
    /// Stop whose time is up, and see to those that nobody uses
    ///
    /// `sandbox.timeout_minutes` says how long an instance may run, `sandbox.idle` what becomes of one
    /// that had neither a browser nor work for `sandbox.idle_minutes`. `thon run` starts this in the
    /// background where one of them asks for it; after a reboot the next `thon run` does so again.
    Watch(WatchArgs),
    /// Give instances more time before they are stopped
    Extend(ExtendArgs),
    /// Freeze sandboxes: memory and terminals are kept, nothing runs until `thon resume`
    Pause(Whom),
    /// Let paused sandboxes go on where they were
    Resume(Whom),
    /// Stop sandboxes and start them again; terminals are lost, files and URLs are kept
    Restart(Whom),
    /// Stop sandboxes; `thon run` starts them again with all that is in them
    Stop(Whom),
    /// Remove all sandboxes and the proxy's configuration; workspaces stay
    Down,
    /// Open a shell in a user's sandbox, or run a command in it
    Shell(ShellArgs),
    /// Show what sandboxes wrote
    Logs(LogsArgs),
    /// Users' files as wholes: list, export, import, remove
    #[command(subcommand)]
    Workspace(WorkspaceCommand),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Groups: show them, add, rename and remove them
    #[command(subcommand, after_help = args_state::ROSTER_HELP)]
    Group(args_state::GroupCommand),
    /// Users: show them, add, rename, move and remove them
    #[command(subcommand, after_help = args_state::ROSTER_HELP)]
    User(args_state::UserCommand),
    /// Take groups and users from a groups.yaml or a CSV, after a preview
    Import(args_state::ImportArgs),
    /// Print the roster as groups.yaml or CSV
    Export(args_state::ExportArgs),
    /// The database of groups and users
    #[command(subcommand)]
    Db(args_state::DbCommand),
    /// Serve the dashboard and the REST API, until Ctrl-C
    #[command(after_help = args_server::SERVE_HELP)]
    Serve(args_server::ServeArgs),
    /// Who may log in to the dashboard
    #[command(subcommand)]
    Dashboard(args_server::DashboardCommand),
    /// Who signs in with an account, and which browsers are logged in
    #[command(subcommand, after_help = args_server::AUTH_HELP)]
    Auth(args_server::AuthCommand),
    /// Tokens with which programs use the REST API
    #[command(subcommand, after_help = args_server::TOKEN_HELP)]
    Token(args_server::TokenCommand),
    /// The image that sandboxes are made from
    #[command(subcommand)]
    Image(ImageCommand),
    /// The proxy in front of the sandboxes
    #[command(subcommand)]
    Nginx(NginxCommand),
    /// The certificate
    #[command(subcommand)]
    Tls(TlsCommand),
    /// Print a shell's completions, such as `thon completions bash > /etc/bash_completion.d/thon`
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, Args, Default)]
pub(crate) struct InitArgs {
    /// Ask nothing: take what is found out and the defaults
    #[arg(long)]
    pub(crate) non_interactive: bool,
    /// Replace a configuration that is there; the old one is kept beside it
    #[arg(long)]
    pub(crate) force: bool,
    /// Write a configuration that starts one user `workspace` in a group `default`
    #[arg(long)]
    pub(crate) demo: bool,
}

#[derive(Debug, Args, Default)]
pub(crate) struct SetupArgs {
    /// Don't install packages, even if some are missing
    #[arg(long)]
    pub(crate) no_install: bool,
}

#[derive(Debug, Args, Default)]
pub(crate) struct DoctorArgs {
    /// Mend what can be mended safely, after asking for each (`--yes` agrees to all)
    #[arg(long)]
    pub(crate) fix: bool,

    /// Explain a code such as THON-DISK-01, and look at nothing
    #[arg(long, value_name = "CODE", conflicts_with = "fix", value_parser = doctor_code)]
    pub(crate) explain: Option<Code>,
}

fn doctor_code(text: &str) -> Result<Code, &'static str> {
    Code::parse(text).ok_or("no check has this code; `thon doctor -v` shows all of them")
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) setup: SetupArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

#[derive(Debug, Args, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct RunArgs {
    /// Only these users, as `alice` or `alpha/alice`; everyone if nobody is named
    pub(crate) users: Vec<String>,
    /// Only the users of this group (may be repeated)
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Vec<String>,
    /// Only this user: the same as naming them without `--user` (may be repeated)
    #[arg(long, value_name = "USER")]
    pub(crate) user: Vec<String>,
    /// Take the roster from this groups.yaml instead of the configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) groups: Option<PathBuf>,
    /// Take the roster from the database alone, without thon.yaml's groups
    #[arg(long, conflicts_with = "groups")]
    pub(crate) from_db: bool,
    /// The address under which participants reach this machine
    #[arg(long, value_name = "IP")]
    pub(crate) external_ip: Option<IpAddr>,
    /// No proxy and no TLS: instances answer on this machine only
    #[arg(long)]
    pub(crate) no_nginx: bool,
    /// Let everyone into every editor without a password
    #[arg(long)]
    pub(crate) no_password: bool,
    /// Keep workspaces in this folder, as <DIR>/<group>/<user>, instead of Docker volumes
    #[arg(long, value_name = "DIR")]
    pub(crate) workspace_dir: Option<PathBuf>,
    /// Where no users are configured: one user `workspace` in a group `default`
    #[arg(long)]
    pub(crate) demo: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Remove the sandboxes of users who are not in the roster any more; their workspaces stay
    #[arg(long)]
    pub(crate) prune: bool,
    /// Replace sandboxes even if nothing about them changed, as after a new image
    #[arg(long)]
    pub(crate) recreate: bool,
    /// Stay, and stop what this run started on Ctrl-C
    #[arg(long)]
    pub(crate) foreground: bool,
    /// Stay, and stop what this run started after so many minutes
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(1..=525_600))]
    pub(crate) timeout: Option<u32>,
}

impl RunArgs {
    /// True if the command stays until somebody ends it, and stops what it started.
    pub(crate) const fn stays(&self) -> bool {
        self.foreground || self.timeout.is_some()
    }
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Look once, do what is due, and end
    #[arg(long)]
    pub(crate) once: bool,
    /// How many seconds to wait between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=300))]
    pub(crate) interval: u32,
}

#[derive(Debug, Args)]
pub(crate) struct ExtendArgs {
    /// How many minutes more
    #[arg(value_parser = clap::value_parser!(u32).range(1..=525_600))]
    pub(crate) minutes: u32,
    #[command(flatten)]
    pub(crate) whom: Whom,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Only the users of this group (may be repeated)
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Vec<String>,
    /// Only this user, as `alice` or `alpha/alice` (may be repeated)
    #[arg(long, value_name = "USER")]
    pub(crate) user: Vec<String>,
    /// Show passwords too
    #[arg(long)]
    pub(crate) show_passwords: bool,
}

/// Some users, or everyone.
#[derive(Debug, Args)]
pub(crate) struct Whom {
    /// Whose sandboxes, as `alice` or `alpha/alice`; everyone's if nobody is named
    pub(crate) users: Vec<String>,
    /// Only the users of this group (may be repeated)
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ShellArgs {
    /// Whose sandbox, as `alice` or `alpha/alice`
    pub(crate) user: String,
    /// What to run instead of a shell; its exit code is this command's
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    pub(crate) whom: Whom,
    /// Wait for further lines until Ctrl-C
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// How many of the last lines of each
    #[arg(long, short = 'n', default_value_t = 100)]
    pub(crate) tail: usize,
    /// Only lines written since: a time (`2026-03-01T10:00:00Z`) or how long ago (`90s`, `10m`, `2h`)
    #[arg(long, value_name = "WHEN", value_parser = since)]
    pub(crate) since: Option<SystemTime>,
    /// Say when each line was written
    #[arg(long, short)]
    pub(crate) timestamps: bool,
}

/// A time, or how long ago.
fn since(text: &str) -> Result<SystemTime, String> {
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(time.into());
    }
    let ago = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 60 * 60,
            "d" => 24 * 60 * 60,
            _ => return None,
        };
        let ago = Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(seconds)?);
        SystemTime::now().checked_sub(ago)
    };
    ago().ok_or_else(|| {
        "give a time such as 2026-03-01T10:00:00Z, or how long ago, such as 90s, 10m, 2h or 1d"
            .to_owned()
    })
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkspaceCommand {
    /// Show who has a workspace, its size and its last change, those of users who left too
    List,
    /// Write workspaces to archives, each as <group>_<user>.tar.zst with its line in SHA256SUMS
    ///
    /// It works while sandboxes run. `tar --zstd -xf` reads the archives anywhere.
    Export {
        /// Whose, as `alice` or `alpha/alice`
        #[arg(required_unless_present_any = ["all", "group"])]
        users: Vec<String>,
        /// Only the users of this group (may be repeated)
        #[arg(long, value_name = "GROUP")]
        group: Vec<String>,
        /// Everyone's, those of users who left the roster too
        #[arg(long, conflicts_with_all = ["users", "group"])]
        all: bool,
        /// The folder to write to
        #[arg(long, value_name = "DIR", default_value = ".")]
        output: PathBuf,
        /// Replace archives that are there
        #[arg(long)]
        force: bool,
    },
    /// Put archives into workspaces, after each was looked through from its first to its last byte
    ///
    /// A bad archive changes nothing. Everything in it comes to belong to the sandbox's user. At
    /// most 20 GiB in two million entries are taken; a checksum in a SHA256SUMS beside it must fit.
    Import {
        /// The archives, made by `thon workspace export` or by `tar --zstd -cf`
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Whose workspace it becomes, where the file's name doesn't tell
        #[arg(long = "as", value_name = "GROUP/USER")]
        user: Option<String>,
        /// Put it over what is in the workspace: files of the same name are replaced, others stay
        #[arg(long)]
        force: bool,
    },
    /// Delete workspaces for good, after asking; one whose sandbox runs is refused
    Remove {
        /// Whose, as `alice` or `alpha/alice`
        #[arg(required = true)]
        users: Vec<String>,
        /// Show what would be deleted, and delete nothing
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the whole configuration, defaults and environment included
    Show {
        /// Print secrets instead of masking them
        #[arg(long)]
        show_secrets: bool,
    },
    /// Say whether the configuration can be used
    Validate,
    /// Print the configuration as environment variables
    Env {
        /// Write them to this file (mode 0600) instead
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Print secrets instead of masking them; a file always has them
        #[arg(long)]
        show_secrets: bool,
    },
    /// Print which file is used
    Path,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Build the image, if its inputs changed since it was built
    Build {
        /// Fail if an extension can't be fetched
        #[arg(long)]
        strict: bool,
        /// Build every step anew, whatever is there
        #[arg(long)]
        rebuild: bool,
        /// Try again to fetch extensions that an earlier build could not
        #[arg(long)]
        retry_extensions: bool,
        /// The base image
        #[arg(long, value_name = "IMAGE")]
        base: Option<String>,
    },
    /// Say whether the image is there and up to date
    Status,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum NginxCommand {
    /// Say what nginx serves
    Status,
    /// Write the routes anew from what runs
    Sync,
    /// Take THON's part of nginx's configuration away
    Cleanup,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TlsCommand {
    /// Say which certificate is there and who trusts it
    Status,
    /// Make a certificate, or renew it if it needs to be
    Issue,
    /// Print the root certificate that participants import, and how they do it
    Ca {
        /// Write it to this file instead
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn since_is_a_time_or_how_long_ago() {
        let at = since("1970-01-01T01:00:01+01:00").unwrap();
        assert_eq!(at, SystemTime::UNIX_EPOCH + Duration::from_secs(1));
        for (text, seconds) in [("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86400)] {
            let ago = since(text).unwrap().elapsed().unwrap().as_secs();
            assert!((seconds..seconds + 60).contains(&ago), "{text}: {ago}");
        }
        for wrong in ["", "s", "10", "-1m", "1.5h", "1w", "10 m", "\u{fc}", "99999999999999999999d"]
        {
            assert!(since(wrong).unwrap_err().contains("10m"), "{wrong}");
        }
    }

    #[test]
    fn global_options_are_taken_before_and_after_the_command() {
        for line in ["thon --config a.yaml --json status", "thon status --json --config a.yaml"] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(cli.global.config, Some(PathBuf::from("a.yaml")));
            assert!(cli.global.json);
        }
    }
}
