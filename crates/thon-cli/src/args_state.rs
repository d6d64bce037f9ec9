//! The grammar of the commands that change the roster in the database.
//!
//! For: `thon group`, `user`, `import`, `export` and `db`.
//! Not for: the other commands; they are in [`crate::args`].

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use thon::core::limits::{ByteSize, Cpus};
use thon::core::name::{GroupName, UserId, Username};

/// What `thon group --help` and `thon user --help` end with.
pub(crate) const ROSTER_HELP: &str = "\
The roster is thon.yaml's groups and the database's together; where both say something about the
same group or user, thon.yaml holds. What thon.yaml declares is changed there, not by commands.
`thon run` makes it so: `thon run --dry-run` shows where each user comes from.";

#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// Show the groups, and where each comes from
    List,
    /// Add a group to the database
    Add(GroupAddArgs),
    /// Give a group another name; refused where one of its users has files
    Rename {
        /// The group
        group: GroupName,
        /// Its new name
        to: GroupName,
    },
    /// Remove a group and its users from the roster; workspaces stay
    Remove {
        /// The group
        group: GroupName,
    },
}

#[derive(Debug, Args)]
pub(crate) struct GroupAddArgs {
    /// The group, such as `alpha`
    pub(crate) group: GroupName,
    /// The name that people read
    #[arg(long)]
    pub(crate) title: Option<String>,
    /// Whether its sandboxes reach the internet, in the place of `sandbox.internet`
    #[arg(long, value_name = "BOOL")]
    pub(crate) internet: Option<bool>,
    /// Memory for each of its sandboxes, such as 4g, in the place of `sandbox.memory`
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<ByteSize>,
    /// CPUs for each, such as 0.5, in the place of `sandbox.cpus`
    #[arg(long, value_name = "CPUS")]
    pub(crate) cpus: Option<Cpus>,
    /// Processes for each, in the place of `sandbox.pids`
    #[arg(long, value_name = "COUNT")]
    pub(crate) pids: Option<u32>,
    /// Disk space for each, in the place of `sandbox.disk`
    #[arg(long, value_name = "SIZE")]
    pub(crate) disk: Option<ByteSize>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Show the users, and where each comes from
    List {
        /// Only those of this group (may be repeated)
        #[arg(long, value_name = "GROUP")]
        group: Vec<String>,
        /// Only those in whose name, display name or e-mail address this occurs
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
    },
    /// Add users to the database; their groups are there already
    Add {
        /// Whom, such as `alpha/alice`
        #[arg(required = true, value_name = "GROUP/USER")]
        users: Vec<UserId>,
        /// The name that people read (for one user)
        #[arg(long, value_name = "NAME")]
        display_name: Option<String>,
        /// Their e-mail address (for one user)
        #[arg(long, value_name = "ADDRESS")]
        email: Option<String>,
    },
    /// Give a user another name; files, password and port go along
    Rename {
        /// Whom, such as `alpha/alice`
        #[arg(value_name = "GROUP/USER")]
        user: UserId,
        /// Their new name
        to: Username,
    },
    /// Move a user to another group; files, password and port go along
    Move {
        /// Whom, such as `alpha/alice`
        #[arg(value_name = "GROUP/USER")]
        user: UserId,
        /// The group
        to: GroupName,
    },
    /// Remove users from the roster; their workspaces stay
    Remove {
        /// Whom, such as `alpha/alice`
        #[arg(required = true, value_name = "GROUP/USER")]
        users: Vec<UserId>,
    },
}

/// The form of a roster's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A groups file, as `--groups` takes it
    Yaml,
    /// A table with a line of headings
    Csv,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The file: a groups.yaml, or the CSV that a registration site exports
    pub(crate) file: PathBuf,
    /// Its form [default: what its name says]
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// CSV: the heading of a column that isn't found by itself, such as `group="Team name"`;
    /// columns are group, username, name, first-name, last-name, email (may be repeated)
    #[arg(long, value_name = "COLUMN=HEADING", value_parser = mapping)]
    pub(crate) map: Vec<(String, String)>,
    /// CSV: the group of everyone for whom the table names none
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Option<GroupName>,
    /// Remove those whom the file doesn't have from the database
    #[arg(long)]
    pub(crate) remove_missing: bool,
    /// Show what would be changed, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

fn mapping(text: &str) -> Result<(String, String), String> {
    let (column, heading) =
        text.split_once('=').ok_or("expected COLUMN=HEADING, such as group=\"Team name\"")?;
    Ok((column.trim().to_owned(), heading.to_owned()))
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Write to this file (mode 0600) instead; one that is there is not overwritten
    pub(crate) file: Option<PathBuf>,
    /// The form [default: what the file's name says, else yaml]
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// Only what the database has, without thon.yaml
    #[arg(long)]
    pub(crate) from_db: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Look at every page and every reference of the database
    Check,
    /// Copy the database while it is in use
    Backup {
        /// Where to; nothing is overwritten [default: a new file in ~/.thon/backups]
        file: Option<PathBuf>,
    },
    /// Take over the thon.db of THON's Python ancestor
    ImportAncestor {
        /// Its database; it is only read
        file: PathBuf,
        /// Take groups and users whose names are refused under the proposed names
        #[arg(long)]
        use_proposed_names: bool,
        /// Show what would be changed, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Show who changed what
    Log {
        /// How many of the last lines
        #[arg(long, short = 'n', default_value_t = 50)]
        tail: u32,
    },
}
