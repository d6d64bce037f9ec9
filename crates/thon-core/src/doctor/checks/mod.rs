//! The rules: facts in, findings out.
//!
//! For: one function per check; thresholds stand beside the rule that uses them, with their source.
//! Not for: the codes' meaning for a reader; `docs/doctor.md` explains each.

mod engine;
mod kernel;
mod machine;
mod network;
mod web;

use std::time::Duration;

use super::facts::{Fact, HostFacts};
use super::{Code, Finding};
use crate::config::Config;
use crate::limits::{ByteSize, Limits};

pub use kernel::INOTIFY_PER_SEAT;
pub use machine::{ACTIVE_SEAT, IDLE_SEAT};

/// Every check that `facts` and `config` give something for, in no particular order.
pub(super) fn all(facts: &HostFacts, config: &Config) -> Vec<Finding> {
    let room = Room { facts, config, seats: seats(config) };
    let mut findings = Vec::new();
    engine::check(&room, &mut findings);
    machine::check(&room, &mut findings);
    kernel::check(&room, &mut findings);
    network::check(&room, &mut findings);
    web::check(&room, &mut findings);
    findings
}

/// What every rule looks at.
struct Room<'a> {
    facts: &'a HostFacts,
    config: &'a Config,
    /// The limits of every user in the roster.
    seats: Vec<Limits>,
}

impl Room<'_> {
    fn users(&self) -> u64 {
        self.seats.len() as u64
    }

    /// `80 editors`.
    fn editors(&self) -> String {
        count(self.users(), "editor", "editors")
    }

    /// `80 editors need`.
    fn editors_need(&self) -> String {
        format!("{} {}", self.editors(), if self.users() == 1 { "needs" } else { "need" })
    }

    /// How many sandboxes of the node run now.
    fn running(&self) -> u64 {
        self.facts.running.known().map_or(0, |users| users.len() as u64)
    }
}

fn seats(config: &Config) -> Vec<Limits> {
    let node = config.sandbox.limits();
    let groups = config.groups.groups().iter();
    groups
        .flat_map(|group| std::iter::repeat_n(group.rules.limits(&node), group.users.len()))
        .collect()
}

/// Applies `rule` to what is known. What is not there gives nothing to say.
fn judge<T>(code: Code, fact: &Fact<T>, rule: impl FnOnce(&T) -> Finding) -> Option<Finding> {
    match fact {
        Fact::Known(value) => Some(rule(value)),
        Fact::Unknown(why) => Some(Finding::unknown(code, why)),
        Fact::Absent => None,
    }
}

/// `1 seat`, `2 seats`.
fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// An amount as people say it: one decimal at most.
fn amount(bytes: u64) -> String {
    let unit = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (name, shift) in unit {
        if bytes >= 1 << shift {
            let tenths = u128::from(bytes) * 10 / (1_u128 << shift);
            return match (tenths / 10, tenths % 10) {
                (whole @ 100.., _) | (whole, 0) => format!("{whole} {name}"),
                (whole, tenth) => format!("{whole}.{tenth} {name}"),
            };
        }
    }
    ByteSize::new(bytes).to_string()
}

/// A length of time in its largest unit.
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => count(seconds, "second", "seconds"),
        120..7200 => count(seconds / 60, "minute", "minutes"),
        7200..172_800 => count(seconds / 3600, "hour", "hours"),
        _ => count(seconds / 86_400, "day", "days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_times_are_said_as_people_do() {
        for (bytes, said) in [
            (500, "500 B"),
            (60 << 20, "60 MiB"),
            (3 << 29, "1.5 GiB"),
            (2 << 30, "2 GiB"),
            (1_234_567_890_123, "1149 GiB"),
        ] {
            assert_eq!(amount(bytes), said);
        }
        for (seconds, said) in
            [(1, "1 second"), (90, "90 seconds"), (600, "10 minutes"), (86_400 * 9, "9 days")]
        {
            assert_eq!(span(Duration::from_secs(seconds)), said);
        }
    }
}
