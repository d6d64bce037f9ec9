//! How instances were used, in a file: `activity.json` in THON's folder.
//!
//! For: a watcher that goes on where the one before it was, and `thon status` beside it.
//! Not for: what counts as use; the core's rules say that. A file that is lost or damaged only means
//! that everyone's time counts from now.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use thon_core::adapter::Failure;
use thon_core::idle::{Ledger, Seen};
use thon_core::name::UserId;
use thon_core::sandbox::SandboxId;

use crate::file::write_private;

/// What is remembered of one instance; times in milliseconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    user: UserId,
    sandbox: String,
    looked_at: u64,
    active_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cpu: Option<u64>,
}

/// What was remembered; nothing where the file can't be read.
pub(crate) fn load(path: &Path) -> Ledger {
    let text = std::fs::read(path).unwrap_or_default();
    let entries: Vec<Entry> = serde_json::from_slice(&text).unwrap_or_default();
    let seen = |entry: Entry| {
        let seen = Seen {
            id: SandboxId(entry.sandbox),
            looked_at: time(entry.looked_at)?,
            active_at: time(entry.active_at)?,
            cpu: entry.cpu.map(Duration::from_millis),
        };
        Some((entry.user, seen))
    };
    Ledger(entries.into_iter().filter_map(seen).collect())
}

/// Remembers it.
pub(crate) fn save(path: &Path, ledger: &Ledger) -> Result<(), Failure> {
    let entry = |(user, seen): (&UserId, &Seen)| Entry {
        user: user.clone(),
        sandbox: seen.id.0.clone(),
        looked_at: milliseconds(seen.looked_at),
        active_at: milliseconds(seen.active_at),
        cpu: seen.cpu.map(whole),
    };
    let entries: Vec<Entry> = ledger.0.iter().map(entry).collect();
    let mut text = serde_json::to_vec_pretty(&entries).unwrap_or_default();
    text.push(b'\n');
    write_private(path, &text)
}

/// A time that no clock can show is none.
fn time(milliseconds: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds))
}

fn milliseconds(time: SystemTime) -> u64 {
    whole(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn whole(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_remembered_and_what_is_damaged_is_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("activity.json");
        assert_eq!(load(&path), Ledger::default());
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let seen = |id: &str, cpu| Seen {
            id: SandboxId(id.to_owned()),
            looked_at: at(1_767_225_630),
            active_at: at(1_767_225_600),
            cpu,
        };
        let ledger = Ledger(
            [
                ("alpha/ada".parse().unwrap(), seen("one", Some(Duration::from_millis(1234)))),
                ("alpha/bob".parse().unwrap(), seen("two", None)),
            ]
            .into(),
        );
        save(&path, &ledger).unwrap();
        assert_eq!(load(&path), ledger);
        std::fs::write(&path, "[{").unwrap();
        assert_eq!(load(&path), Ledger::default());
    }
}
