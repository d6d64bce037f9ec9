//! What every command works with.
//!
//! For: the options that hold for all, the configuration with the command line over it, the node.
//! Not for: a single command's matters.

use std::sync::OnceLock;

use thon::core::config::{Config, Severity};
use thon::core::name::UserId;
use thon::core::roster::Roster;
use thon::{Home, Loaded, Node};

use crate::args::{Command, Global, RunArgs, Whom};
use crate::failure::CommandFailure;
use crate::output::Output;
use crate::roster::{self, Kept, Stored};

/// What every command works with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) output: Output,
    stored: OnceLock<Stored>,
}

impl Context {
    pub(crate) const fn new(global: Global, output: Output) -> Self {
        Self { global, output, stored: OnceLock::new() }
    }

    /// THON's folder.
    #[expect(clippy::unused_self, reason = "where the folder is belongs to the context")]
    pub(crate) fn home(&self) -> Result<Home, CommandFailure> {
        Ok(Home::from_environment()?)
    }

    /// The configuration with the environment over it; its warnings are said.
    pub(crate) fn load(&self) -> Result<Loaded, CommandFailure> {
        let loaded = thon::load_config(self.global.config.as_deref(), &self.home()?)?;
        for warning in &loaded.warnings {
            self.output.warn(&warning.to_string());
        }
        Ok(loaded)
    }

    /// The configuration once more, without its warnings.
    pub(crate) fn load_quietly(&self) -> Result<Config, CommandFailure> {
        Ok(thon::load_config(self.global.config.as_deref(), &self.home()?)?.config)
    }

    /// Reads the database, for the commands that have to do with the roster.
    pub(crate) async fn read_stored(&self, command: &Command) {
        let without = matches!(
            command,
            Command::Init(_)
                | Command::Config(_)
                | Command::Db(_)
                | Command::Serve(_)
                | Command::Token(_)
                | Command::Completions { .. }
        );
        if !without {
            // Nobody has set it yet: this is called once, before the command begins.
            drop(self.stored.set(roster::read(self).await));
        }
    }

    /// What the database has, or why it can't be read.
    pub(crate) fn stored(&self) -> &Stored {
        self.stored.get_or_init(|| Ok(Kept::default()))
    }

    /// The configuration for a run: file, environment, command line, in rising order, checked.
    pub(crate) fn load_for_run(&self, args: &RunArgs) -> Result<Config, CommandFailure> {
        let mut config = self.load()?.config;
        if let Some(path) = &args.groups {
            let groups = thon::load_groups(path)?;
            for warning in &groups.warnings {
                self.output.warn(&warning.to_string());
            }
            config.groups = groups.roster;
        } else if args.from_db {
            config.groups = self.need_stored()?.roster();
        } else {
            if args.prune {
                // Whoever can't be read isn't gone.
                self.need_stored()?;
            }
            self.add_stored(&mut config);
        }
        config.external_ip = args.external_ip.or(config.external_ip);
        self.add_settings(&mut config);
        config.nginx.enabled &= !args.no_nginx;
        config.vscode.secure &= !args.no_password;
        config.demo |= args.demo;
        if args.workspace_dir.is_some() {
            config.workspace.dir.clone_from(&args.workspace_dir);
        }
        config.add_demo();
        self.check(&config)?;
        Ok(config)
    }

    /// Refuses a configuration that can't work; what probably isn't meant so is said.
    pub(crate) fn check(&self, config: &Config) -> Result<(), CommandFailure> {
        let problems = config.validate();
        if let Some(problem) = problems.iter().find(|p| p.severity == Severity::Error) {
            return Err(CommandFailure::input(problem.to_string()));
        }
        // `config validate` says them; a run that works needn't each time.
        for problem in problems {
            if self.output.verbose() > 0 {
                self.output.warn(&problem.to_string());
            }
        }
        Ok(())
    }

    /// The node of the configuration as it is.
    pub(crate) fn node(&self) -> Result<Node, CommandFailure> {
        let mut config = self.load()?.config;
        self.add_stored(&mut config);
        self.add_settings(&mut config);
        config.add_demo();
        Ok(Node::with_files(config, self.home()?, &self.files())?)
    }
}

/// Everyone in a roster.
pub(crate) fn everyone(roster: &Roster) -> Vec<UserId> {
    roster.users().map(|(id, _)| id).collect()
}

/// Those of a roster that are named; everyone where nobody is.
pub(crate) fn selected(
    roster: &Roster,
    groups: &[String],
    users: &[String],
) -> Result<Vec<UserId>, CommandFailure> {
    Ok(everyone(&roster.select(groups, users)?))
}

/// The one user who is named. Someone who left the roster may still have a sandbox: a full name is
/// taken as it is.
pub(crate) fn one_user(name: &str, node: &Node) -> Result<UserId, CommandFailure> {
    if name.contains('/') {
        return Ok(name.parse().map_err(thon::Error::from)?);
    }
    let users = selected(&node.config().groups, &[], &[name.to_owned()])?;
    match <[_; 1]>::try_from(users) {
        Ok([user]) => Ok(user),
        Err(users) => {
            let names: Vec<String> = users.iter().map(ToString::to_string).collect();
            Err(CommandFailure::input(format!(
                "\"{name}\" means several users: say {}",
                names.join(" or ")
            )))
        }
    }
}

/// Those who are named, or nothing where nobody is. Someone who left the roster may still have a
/// sandbox, and is named in full.
pub(crate) fn whom(args: &Whom, node: &Node) -> Result<Option<Vec<UserId>>, CommandFailure> {
    if args.users.is_empty() && args.group.is_empty() {
        return Ok(None);
    }
    let roster = &node.config().groups;
    let known = everyone(roster);
    let full = |name: &&String| name.parse().is_ok_and(|id: UserId| !known.contains(&id));
    let (strangers, others): (Vec<&String>, Vec<&String>) = args.users.iter().partition(full);
    let mut users: Vec<UserId> = strangers.iter().filter_map(|name| name.parse().ok()).collect();
    if !others.is_empty() || !args.group.is_empty() {
        let others: Vec<String> = others.into_iter().cloned().collect();
        users.extend(selected(roster, &args.group, &others)?);
    }
    Ok(Some(users))
}
