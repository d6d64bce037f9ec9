//! `thon status`: who runs, and where.
//!
//! For: the table and the JSON of instances, which `thon run` prints as well.
//! Not for: changing anything.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use thon::core::disk::{DiskLevel, DiskSpace};
use thon::core::instance::InstanceState;
use thon::core::orchestrator::InstanceView;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Outcome;
use crate::args::StatusArgs;
use crate::context::{Context, everyone, selected};
use crate::output::{Tone, plain};

/// Whether passwords are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passwords {
    Shown,
    Hidden,
}

pub(crate) async fn status(args: &StatusArgs, context: &Context) -> Outcome {
    let node = context.node()?;
    let roster = &node.config().groups;
    let mut instances = node.status(&everyone(roster)).await?;
    if !args.group.is_empty() || !args.user.is_empty() {
        let wanted = selected(roster, &args.group, &args.user)?;
        instances.retain(|instance| wanted.contains(&instance.user));
    }
    let passwords = if args.show_passwords { Passwords::Shown } else { Passwords::Hidden };
    print(&instances, passwords, context);
    if !context.output.json() {
        let running = instances.iter().filter(|i| i.state == InstanceState::Running).count();
        let paused = instances.iter().filter(|i| i.state == InstanceState::Paused).count();
        let paused = if paused > 0 { format!(", {paused} paused") } else { String::new() };
        context.output.note(&format!("{running} of {} running{paused}", instances.len()));
        if running > 0 && node.needs_watching() && node.watcher().is_none() {
            context.output.warn(
                "nobody watches for lifetimes and idleness: `thon run` starts a watcher, `thon \
                 watch` is one",
            );
        }
        if running > 0 && node.config().nginx.enabled && instances.iter().all(|i| i.url.is_none()) {
            context.output.warn(
                "nginx serves none of them: the addresses above answer on this machine only; `thon \
                 nginx sync` brings it back",
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// An instance as JSON.
#[derive(Debug, Serialize)]
struct Row<'a> {
    group: &'a str,
    user: &'a str,
    state: String,
    health: &'a str,
    url: Option<&'a str>,
    local_url: Option<&'a str>,
    endpoint: Option<String>,
    network_mode: Option<String>,
    port: Option<u16>,
    workspace: String,
    container: Option<&'a str>,
    container_id: Option<&'a str>,
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk: Option<DiskRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    active_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
}

impl<'a> Row<'a> {
    fn new(view: &'a InstanceView, passwords: Passwords) -> Self {
        Self {
            group: view.user.group.as_str(),
            user: view.user.user.as_str(),
            state: view.state.to_string(),
            health: &view.health,
            url: view.url.as_deref(),
            local_url: view.local_url.as_deref(),
            endpoint: view.endpoint.as_ref().map(ToString::to_string),
            network_mode: view.network_mode.map(|mode| mode.to_string()),
            port: view.port.map(thon::core::endpoint::Port::get),
            workspace: view.workspace.to_string(),
            container: view.container.as_deref(),
            container_id: view.container_id.as_deref(),
            created_at: view.created_at.and_then(timestamp),
            disk: view.disk.map(DiskRow::new),
            expires_at: view.expires_at.and_then(timestamp),
            active_at: view.active_at.and_then(timestamp),
            password: view
                .password
                .as_ref()
                .filter(|_| passwords == Passwords::Shown)
                .map(thon::core::secret::Secret::reveal),
        }
    }
}

/// Disk space as JSON, in bytes; nothing where it could not be measured in time.
#[derive(Debug, Serialize)]
struct DiskRow {
    limit: u64,
    used: Option<u64>,
    sandbox: Option<u64>,
    workspace: Option<u64>,
    level: Option<DiskLevel>,
}

impl DiskRow {
    fn new(space: DiskSpace) -> Self {
        Self {
            limit: space.limit.bytes(),
            used: space.used.map(|used| used.total().bytes()),
            sandbox: space.used.map(|used| used.sandbox.bytes()),
            workspace: space.used.map(|used| used.workspace.bytes()),
            level: space.level(),
        }
    }
}

/// Prints instances as a table or as JSON.
pub(crate) fn print(instances: &[InstanceView], passwords: Passwords, context: &Context) {
    if context.output.json() {
        let rows: Vec<Row<'_>> = instances.iter().map(|view| Row::new(view, passwords)).collect();
        context.output.value(&rows);
        return;
    }
    let shown =
        passwords == Passwords::Shown && instances.iter().any(|view| view.password.is_some());
    let limited = instances.iter().any(|view| view.disk.is_some());
    let mut heading = vec!["USER", "STATE", "URL"];
    if limited {
        heading.push("DISK");
    }
    if shown {
        heading.push("PASSWORD");
    }
    let ends = instances.iter().any(|view| view.expires_at.is_some());
    if ends {
        heading.push("ENDS");
    }
    let idle = instances.iter().any(|view| view.idle.is_some());
    if idle {
        heading.push("NOT USED FOR");
    }
    heading.push("WORKSPACE");
    let rows = instances.iter().map(|view| {
        let url = view.url.as_deref().or(view.local_url.as_deref()).unwrap_or("-");
        let mut row =
            vec![plain(view.user.to_string()), (state(view), tone(view.state)), plain(url)];
        if limited {
            row.push(view.disk.map_or_else(|| plain("-"), disk));
        }
        if shown {
            row.push(plain(view.password.as_ref().map_or("-", |password| password.reveal())));
        }
        if ends {
            row.push(plain(view.expires_at.and_then(timestamp).unwrap_or_else(|| "-".to_owned())));
        }
        if idle {
            row.push(plain(view.idle.map_or_else(|| "-".to_owned(), minutes)));
        }
        row.push(plain(view.workspace.to_string()));
        row
    });
    context.output.table(&heading, rows.collect());
}

/// What is used of how much, and whether that is well.
fn disk(space: DiskSpace) -> (String, Tone) {
    let used = space.used.map_or_else(|| "unknown".to_owned(), |used| used.total().about());
    let text = format!("{used} of {}", space.limit.about());
    match space.level() {
        Some(DiskLevel::Over) => (format!("{text} (over)"), Tone::Bad),
        Some(DiskLevel::Near) => (format!("{text} (near)"), Tone::Wait),
        Some(DiskLevel::Fine) | None => (text, Tone::Plain),
    }
}

/// The state, and what is wrong where something is.
fn state(view: &InstanceView) -> String {
    let mut state = match view.health.as_str() {
        "none" => "Not started".to_owned(),
        "down" if view.state == InstanceState::Terminated => "Stopped".to_owned(),
        health if health.starts_with("unreachable") => format!("{} ({health})", view.state),
        _ => view.state.to_string(),
    };
    if !view.in_roster {
        state.push_str(" (not in the roster)");
    }
    state
}

const fn tone(state: InstanceState) -> Tone {
    match state {
        InstanceState::Running => Tone::Good,
        InstanceState::Failed => Tone::Bad,
        InstanceState::Terminated => Tone::Plain,
        _ => Tone::Wait,
    }
}

/// A while in whole minutes.
fn minutes(time: Duration) -> String {
    format!("{} min", time.as_secs() / 60)
}

/// A time as RFC 3339 in UTC, whole seconds.
pub(super) fn timestamp(time: SystemTime) -> Option<String> {
    OffsetDateTime::from(time).replace_nanosecond(0).ok()?.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_write_them() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(timestamp(time).as_deref(), Some(expected));
        }
    }
}
