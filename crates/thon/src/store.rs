//! Seats in a file: `seats.json` in THON's folder, mode 0600.
//!
//! For: ports and passwords that stay the same from run to run.
//! Not for: events, history or settings; they come with the database.

use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thon_core::adapter::{Failure, FailureKind, Store};
use thon_core::endpoint::Port;
use thon_core::name::UserId;
use thon_core::seat::{Password, Seat};
use thon_core::secret::Secret;

use crate::file::write_private;

/// The file's form; raised when a later one can't be read by this version.
const VERSION: u32 = 1;

/// Seats in a file.
#[derive(Debug, Clone)]
pub struct FileStore {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct SeatsFile {
    version: u32,
    seats: Vec<StoredSeat>,
}

/// A seat as it is written. The password stands in clear in a file that only its owner can read,
/// because it has to be printed on sheets again.
#[derive(Serialize, Deserialize)]
struct StoredSeat {
    #[serde(flatten)]
    user: UserId,
    code_port: Port,
    host_port: Port,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_port: Option<Port>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<StoredPassword>,
    /// Seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct StoredPassword {
    secret: String,
    hash: String,
    id: String,
}

impl FileStore {
    /// The store in the file at `path`, which need not be there yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn unreadable(&self, cause: &str) -> Failure {
        Failure::new(
            FailureKind::Other,
            format!("reading {}", self.path.display()),
            cause,
            "restore it from a backup, or move it away: URLs are found again from what runs, and \
             passwords are made anew",
        )
    }

    fn load(&self) -> Result<Vec<Seat>, Failure> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.unreadable(&error.to_string())),
        };
        // serde_json's own message could quote a password.
        let file: SeatsFile = serde_json::from_str(&text).map_err(|error| {
            let place =
                format!("it is damaged at line {}, column {}", error.line(), error.column());
            self.unreadable(&place)
        })?;
        if file.version > VERSION {
            return Err(self.unreadable("it was written by a newer version of THON"));
        }
        Ok(file
            .seats
            .into_iter()
            .map(|stored| Seat {
                user: stored.user,
                code_port: stored.code_port,
                host_port: stored.host_port,
                public_port: stored.public_port,
                password: stored.password.map(|password| Password {
                    secret: Secret::new(password.secret),
                    hash: Secret::new(password.hash),
                    id: password.id,
                }),
                // A time that no clock can show is none.
                expires_at: stored
                    .expires_at
                    .and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds))),
            })
            .collect())
    }

    fn save(&self, seats: &[Seat]) -> Result<(), Failure> {
        let mut seats: Vec<StoredSeat> = seats
            .iter()
            .map(|seat| StoredSeat {
                user: seat.user.clone(),
                code_port: seat.code_port,
                host_port: seat.host_port,
                public_port: seat.public_port,
                password: seat.password.as_ref().map(|password| StoredPassword {
                    secret: password.secret.reveal().to_owned(),
                    hash: password.hash.reveal().to_owned(),
                    id: password.id.clone(),
                }),
                expires_at: seat
                    .expires_at
                    .and_then(|end| Some(end.duration_since(UNIX_EPOCH).ok()?.as_secs())),
            })
            .collect();
        seats.sort_by(|one, other| one.user.cmp(&other.user));
        let mut text = serde_json::to_string_pretty(&SeatsFile { version: VERSION, seats })
            .map_err(|_| self.unreadable("the seats can't be written as JSON"))?;
        text.push('\n');
        if std::fs::read_to_string(&self.path).is_ok_and(|present| present == text) {
            return Ok(());
        }
        write_private(&self.path, text.as_bytes())
    }

    /// Runs `work` where blocking is allowed.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || work(&this))
            .await
            .unwrap_or_else(|error| Err(self.unreadable(&error.to_string())))
    }
}

#[async_trait]
impl Store for FileStore {
    async fn load_seats(&self) -> Result<Vec<Seat>, Failure> {
        self.apart(Self::load).await
    }

    async fn save_seats(&self, seats: &[Seat]) -> Result<(), Failure> {
        let seats = seats.to_vec();
        self.apart(move |this| this.save(&seats)).await
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use thon_core::testing::contract;

    use super::*;
    use crate::system::OsEntropy;

    #[tokio::test]
    async fn it_keeps_the_contract_and_the_file_is_private() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("seats.json");
        contract::store(&FileStore::new(&path), &OsEntropy).await;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_damaged_file_is_said_without_quoting_it_and_is_never_overwritten_by_reading() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("seats.json");
        std::fs::write(&path, "{\"version\": 1, \"seats\": [\"hunter2\"").unwrap();
        let failure = FileStore::new(&path).load_seats().await.unwrap_err();
        assert!(failure.to_string().contains("line 1"), "{failure}");
        assert!(!failure.to_string().contains("hunter2"), "{failure}");
    }

    #[tokio::test]
    async fn a_file_of_the_future_is_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("seats.json");
        std::fs::write(&path, "{\"version\": 2, \"seats\": []}").unwrap();
        let failure = FileStore::new(&path).load_seats().await.unwrap_err();
        assert!(failure.to_string().contains("newer version"), "{failure}");
    }
}
