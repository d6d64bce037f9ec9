//! `thon logs`: what sandboxes wrote, and what they write.
//!
//! For: lines of one sandbox as they are, lines of several with the user's name before each.
//! Not for: making them harmless to show; the core does that.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::SystemTime;

use thon::Node;
use thon::core::log::LogRequest;
use thon::core::name::UserId;
use thon::core::orchestrator::LogNews;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Outcome;
use crate::args::LogsArgs;
use crate::context::{Context, one_user, selected};
use crate::failure::CommandFailure;
use crate::interrupt::Interrupt;

/// Ctrl-C is how a log that goes on is left.
const LEFT: u8 = 130;

/// A line with its time.
type Line = (Option<SystemTime>, String);

pub(crate) async fn logs(args: &LogsArgs, context: &Context) -> Outcome {
    let node = context.node()?;
    let users = users(args, &node)?;
    let request = LogRequest { tail: Some(args.tail), since: args.since, follow: args.follow };
    let mut interrupt = if args.follow { Some(Interrupt::listen()?) } else { None };
    let mut news = node.log_news(users.as_deref(), request).await?;
    let mut desk = Desk::new(args, users.as_deref(), context);
    let reading = async {
        while let Some(news) = news.recv().await {
            if !desk.take(news) {
                break;
            }
        }
        desk.finish()
    };
    let Some(interrupt) = &mut interrupt else { return Ok(reading.await) };
    tokio::select! {
        code = reading => Ok(code),
        code = interrupt.code() => {
            Ok(if code == LEFT { ExitCode::SUCCESS } else { ExitCode::from(code) })
        }
    }
}

/// Those who are named; nothing where nobody is.
fn users(args: &LogsArgs, node: &Node) -> Result<Option<Vec<UserId>>, CommandFailure> {
    let (names, groups) = (&args.whom.users, &args.whom.group);
    if names.is_empty() && groups.is_empty() {
        return Ok(None);
    }
    let mut users = Vec::new();
    for name in names {
        users.push(one_user(name, node)?);
    }
    if !groups.is_empty() {
        users.extend(selected(&node.config().groups, groups, &[])?);
    }
    users.sort();
    users.dedup();
    Ok(Some(users))
}

/// Where lines are laid down: at once where they are followed, one sandbox after the other
/// otherwise.
struct Desk<'a> {
    args: &'a LogsArgs,
    context: &'a Context,
    /// True if only one sandbox is looked at: then its lines stand alone.
    alone: bool,
    width: usize,
    lines: BTreeMap<UserId, Vec<Line>>,
    failed: bool,
}

impl<'a> Desk<'a> {
    fn new(args: &'a LogsArgs, users: Option<&[UserId]>, context: &'a Context) -> Self {
        let named = users.unwrap_or_default();
        let width = named.iter().map(|user| user.to_string().len()).max().unwrap_or_default();
        Self {
            args,
            context,
            alone: named.len() == 1,
            width,
            lines: named.iter().map(|user| (user.clone(), Vec::new())).collect(),
            failed: false,
        }
    }

    /// Takes what there is; false if nobody reads it any more.
    fn take(&mut self, news: LogNews) -> bool {
        let output = &self.context.output;
        match news {
            LogNews::Line { user, at, text } if self.args.follow => {
                return self.say(&user, at, &text);
            }
            LogNews::Line { user, at, text } => {
                self.lines.entry(user).or_default().push((at, text));
            }
            LogNews::Down { user } => {
                output.note(&format!("{user}: down; its log goes on once it is started"));
            }
            LogNews::Removed { user } => {
                output.note(&format!("{user}: its sandbox was removed"));
            }
            LogNews::Failed { user, failure } => {
                output.error(&format!("{user}: {failure}"), 1);
                self.failed = true;
            }
        }
        true
    }

    fn finish(&mut self) -> ExitCode {
        let lines = std::mem::take(&mut self.lines);
        self.width = lines.keys().map(|user| user.to_string().len()).max().unwrap_or_default();
        if self.args.follow {
        } else if self.context.output.json() {
            self.value(&lines);
        } else {
            let all = lines.iter().flat_map(|(user, lines)| lines.iter().map(move |l| (user, l)));
            for (user, (at, text)) in all {
                if !self.say(user, *at, text) {
                    break;
                }
            }
        }
        if self.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }

    /// One sandbox's lines as an array, several sandboxes' by user.
    fn value(&self, lines: &BTreeMap<UserId, Vec<Line>>) {
        let text = |(at, text): &Line| self.stamped(*at, text);
        let all: BTreeMap<String, Vec<String>> = lines
            .iter()
            .map(|(user, lines)| (user.to_string(), lines.iter().map(text).collect()))
            .collect();
        match all.values().next() {
            Some(only) if self.alone => self.context.output.value(only),
            _ => self.context.output.value(&all),
        }
    }

    fn say(&self, user: &UserId, at: Option<SystemTime>, text: &str) -> bool {
        let output = &self.context.output;
        if output.json() {
            let at = at.and_then(moment);
            let UserId { group, user } = user;
            let line = serde_json::json!({ "group": group, "user": user, "at": at, "line": text });
            return output.next_line(&line.to_string());
        }
        let text = self.stamped(at, text);
        if self.alone {
            return output.next_line(&text);
        }
        let (name, width) = (user.to_string(), self.width);
        output.next_line(&format!("{name:width$} | {text}"))
    }

    fn stamped(&self, at: Option<SystemTime>, text: &str) -> String {
        match at.filter(|_| self.args.timestamps).and_then(moment) {
            Some(at) => format!("{at} {text}"),
            None => text.to_owned(),
        }
    }
}

/// A time as RFC 3339 in UTC, to the millisecond.
fn moment(time: SystemTime) -> Option<String> {
    let time = OffsetDateTime::from(time);
    time.replace_nanosecond(u32::from(time.millisecond()) * 1_000_000).ok()?.format(&Rfc3339).ok()
}
