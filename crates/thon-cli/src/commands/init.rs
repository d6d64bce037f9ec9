//! `thon init`: writing a thon.yaml.
//!
//! For: finding out what can be found out, explaining it, asking the rest.
//! Not for: installing or starting anything.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use thon::core::config::{Config, DnsName, SslProvider};
use thon::core::name::{GroupName, Username, quoted};
use thon::core::roster::{Roster, User};
use thon::{Reach, extra_ca_bundle, own_address, write_private};

use super::Outcome;
use crate::args::InitArgs;
use crate::context::Context;
use crate::failure::CommandFailure;
use crate::prompt;

pub(crate) fn init(args: &InitArgs, context: &Context) -> Outcome {
    let path = target(context)?;
    refuse_folder(&path)?;
    let interactive = !args.non_interactive && !context.global.yes;
    if interactive && !prompt::can_ask() {
        return Err(CommandFailure::input(
            "init asks questions and nobody can answer here; run it with --non-interactive",
        ));
    }
    if path.exists() && !args.force {
        let shown = path.display();
        if !interactive
            || !prompt::confirm(context, &format!("{shown} is there. Replace it?"), false)?
        {
            return Err(CommandFailure::input(format!(
                "{shown} is there and is kept; edit it, or replace it with --force"
            )));
        }
    }
    write(&path, args.demo, interactive, context)?;
    let shown = path.display();
    context.output.note(&format!("\n{shown} is written. Look at it, then start with `thon up`."));
    if context.output.json() {
        context.output.value(&serde_json::json!({ "path": path }));
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a configuration where there is none, without asking; for `thon up`.
pub(crate) fn write_default(demo: bool, context: &Context) -> Result<PathBuf, CommandFailure> {
    let path = target(context)?;
    refuse_folder(&path)?;
    write(&path, demo, false, context)?;
    context.output.note(&format!("wrote {}", path.display()));
    Ok(path)
}

fn target(context: &Context) -> Result<PathBuf, CommandFailure> {
    match &context.global.config {
        Some(path) => Ok(path.clone()),
        None => Ok(context.home()?.config()),
    }
}

fn refuse_folder(path: &Path) -> Result<(), CommandFailure> {
    if path.is_dir() {
        let shown = path.display();
        return Err(CommandFailure::input(format!(
            "--config {shown}: this is a folder, not a file; name a file in it"
        )));
    }
    Ok(())
}

fn write(
    path: &Path,
    demo: bool,
    interactive: bool,
    context: &Context,
) -> Result<(), CommandFailure> {
    let mut config = Config { demo, ..Config::default() };
    detect(context);
    if interactive {
        ask(&mut config, context)?;
    } else if !demo {
        config.groups = example_roster()?;
    }
    context.home()?.create()?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| {
            CommandFailure::input(format!("--config {}: {error}", path.display()))
        })?;
    }
    if path.exists() {
        let backup = unused_backup(path);
        let old = std::fs::read(path)
            .map_err(|error| CommandFailure::input(format!("{}: {error}", path.display())))?;
        write_private(&backup, &old)?;
        context.output.note(&format!("the old one is kept as {}", backup.display()));
    }
    Ok(write_private(path, config.to_template().as_bytes())?)
}

/// A name beside `path` under which nothing is kept yet: the first file that was replaced may be the
/// one that somebody wrote by hand.
fn unused_backup(path: &Path) -> PathBuf {
    let name = |suffix: &str| {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(suffix);
        path.with_file_name(name)
    };
    let numbered = (2..).map(|number: u32| name(&format!(".bak{number}")));
    let free = |backup: &PathBuf| !backup.exists();
    std::iter::once(name(".bak")).chain(numbered).find(free).unwrap_or_else(|| name(".bak"))
}

/// What the machine tells by itself.
fn detect(context: &Context) {
    let own = own_address();
    let output = &context.output;
    match own.reach {
        Reach::Public => output.note(&format!("This machine has the public address {}.", own.address)),
        Reach::Private => output.note(&format!(
            "This machine has the address {} of a local network: participants in that network reach \
             it. If they come from elsewhere, set `external_ip` or `nginx.domain`.",
            own.address
        )),
        Reach::Loopback => output.note(
            "This machine has no address that others reach: only you will see what it serves. Set \
             `external_ip` once it has one.",
        ),
    }
    if let Some(bundle) = extra_ca_bundle() {
        output.note(&format!(
            "This machine trusts further certificate authorities ({}); the sandboxes will too.",
            bundle.display()
        ));
    }
}

fn ask(config: &mut Config, context: &Context) -> Result<(), CommandFailure> {
    let domain = prompt::text(
        "Domain under which participants reach this machine (empty: they use its address)",
        "",
        optional::<DnsName>,
    )?;
    config.nginx.domain = domain.parse().ok();
    if config.nginx.domain.is_none() {
        let address = prompt::text(
            &format!(
                "IP address in the URLs (empty: found out at each start, now {})",
                own_address().address
            ),
            "",
            |text| match text.parse::<std::net::IpAddr>() {
                Err(_) if !text.is_empty() => {
                    Err(format!("{} is no IP address such as 203.0.113.7", quoted(text)))
                }
                _ => Ok(()),
            },
        )?;
        config.external_ip = address.parse().ok();
    } else if prompt::confirm(
        context,
        "Ask Let's Encrypt for a certificate that every browser trusts?",
        true,
    )? {
        config.nginx.ssl_provider = SslProvider::Certbot;
        config.nginx.certbot_email =
            prompt::text("E-mail address for Let's Encrypt (empty: none)", "", |text| {
                let fits = text.is_empty() || text.contains('@') && !text.contains(' ');
                if fits { Ok(()) } else { Err(format!("{} is no e-mail address", quoted(text))) }
            })?;
    }
    config.groups = ask_groups()?;
    config.demo = config.groups.is_empty();
    let dir = prompt::text(
        "Folder for the workspaces, such as /srv/workspaces (empty: a Docker volume per user)",
        "",
        |text| match text {
            "" => Ok(()),
            path if path.starts_with('/') => Ok(()),
            path => Err(format!("{} is no absolute path such as /srv/workspaces", quoted(path))),
        },
    )?;
    config.workspace.dir = (!dir.is_empty()).then(|| dir.into());
    config.vscode.secure =
        prompt::confirm(context, "Give every user a password of their own?", true)?;
    if !config.vscode.secure {
        context.output.warn("everyone who finds a URL can use that editor and its terminal");
    }
    Ok(())
}

fn ask_groups() -> Result<Roster, CommandFailure> {
    let mut roster = Roster::new();
    // Said once, before the first refusal says it.
    let names_hint = "lower-case letters, digits and hyphens";
    loop {
        let question = if roster.groups().is_empty() {
            "First group, such as alpha (empty: no groups yet, one demonstration user)"
        } else {
            "Next group (empty: no more)"
        };
        let group = prompt::text(question, "", optional::<GroupName>)?;
        if group.is_empty() {
            return Ok(roster);
        }
        let question = format!("Its users, with commas between them ({names_hint})");
        let users =
            prompt::text(&question, "", |text| names(text).try_for_each(optional::<Username>))?;
        let group: GroupName = group.parse().map_err(thon::Error::from)?;
        roster.add_group(group.clone(), None);
        for name in names(&users) {
            let name: Username = name.parse().map_err(thon::Error::from)?;
            roster.add(group.clone(), User::new(name)).map_err(thon::Error::from)?;
        }
    }
}

fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ']).map(str::trim).filter(|name| !name.is_empty())
}

/// Nothing, or something that can be read as a `T`.
fn optional<T: std::str::FromStr>(text: &str) -> Result<(), String>
where
    T::Err: std::fmt::Display,
{
    if text.is_empty() { Ok(()) } else { text.parse::<T>().map(drop).map_err(|e| e.to_string()) }
}

/// The ancestor's example: one group of two.
fn example_roster() -> Result<Roster, CommandFailure> {
    let ids = ["alpha/alice", "alpha/bob"].map(str::parse::<thon::core::name::UserId>);
    let ids = ids.into_iter().collect::<Result<Vec<_>, _>>().map_err(thon::Error::from)?;
    Ok(ids.into_iter().collect())
}
