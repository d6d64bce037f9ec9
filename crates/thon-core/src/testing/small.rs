//! The small in-memory adapters: clock, randomness, store and certificates.
//!
//! For: composing an orchestrator without touching anything.
//! Not for: the two large ones, which have files of their own.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use super::Faults;
use crate::adapter::{CertificateProvider, Clock, Entropy, Failure, PasswordHasher, Store};
use crate::certificate::{Certificate, CertificateChange, CertificateNames, Trust};
use crate::seat::Seat;
use crate::secret::Secret;

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct FixedClock(Mutex<SystemTime>);

impl Default for FixedClock {
    /// The first of January 2026.
    fn default() -> Self {
        Self(Mutex::new(SystemTime::UNIX_EPOCH + Duration::from_hours(490_896)))
    }
}

impl FixedClock {
    /// A clock that stands at `time`.
    #[must_use]
    pub const fn at(time: SystemTime) -> Self {
        Self(Mutex::new(time))
    }

    /// Moves it forward.
    pub fn advance(&self, by: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }
}

impl Clock for FixedClock {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A counter, scrambled: never twice the same password, and the same ones in every test.
#[derive(Debug, Default)]
pub struct CountingEntropy(AtomicU64);

impl Entropy for CountingEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Failure> {
        for chunk in bytes.chunks_mut(8) {
            let count = self.0.fetch_add(1, Ordering::Relaxed) + 1;
            // An odd factor, the golden ratio's bits, spreads a small count over all 64 bits.
            let spread = count.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let scrambled = (spread ^ (spread >> 29)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            chunk.copy_from_slice(&scrambled.to_be_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// A stand-in for a hash: told from others by its salt, of no use to anybody.
#[derive(Debug, Default)]
pub struct MemoryHasher;

impl PasswordHasher for MemoryHasher {
    fn hash(&self, _password: &Secret, salt: &[u8; 16]) -> Result<String, Failure> {
        Ok(format!("$memory${:032x}", u128::from_be_bytes(*salt)))
    }
}

/// Seats in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    faults: Arc<Faults>,
    seats: Mutex<Vec<Seat>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(faults: Arc<Faults>) -> Self {
        Self { faults, seats: Mutex::default() }
    }

    /// Loses everything, as if the folder had been deleted.
    pub fn lose(&self) {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn load_seats(&self) -> Result<Vec<Seat>, Failure> {
        self.faults.check("load_seats", "").await?;
        Ok(self.seats.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn save_seats(&self, seats: &[Seat]) -> Result<(), Failure> {
        self.faults.check("save_seats", "").await?;
        *self.seats.lock().unwrap_or_else(PoisonError::into_inner) = seats.to_vec();
        Ok(())
    }
}

/// Certificates that exist only by name.
#[derive(Debug, Default)]
pub struct MemoryCertificates {
    faults: Arc<Faults>,
    issued: Mutex<Option<CertificateNames>>,
}

impl MemoryCertificates {
    /// A provider that has issued nothing yet.
    #[must_use]
    pub fn new(faults: Arc<Faults>) -> Self {
        Self { faults, issued: Mutex::default() }
    }

    fn certificate(change: CertificateChange) -> Certificate {
        Certificate {
            provider: "memory",
            chain: PathBuf::from("memory/thon.pem"),
            key: PathBuf::from("memory/thon-key.pem"),
            root: Some(PathBuf::from("memory/rootCA.pem")),
            not_after: SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 365 * 100),
            trust: Trust::ImportedRoot,
            change,
        }
    }
}

#[async_trait]
impl CertificateProvider for MemoryCertificates {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn ensure(&self, names: &CertificateNames) -> Result<Certificate, Failure> {
        self.faults.check("ensure", &names.primary).await?;
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if issued.as_ref().is_some_and(|present| covers(present, names)) {
            return Ok(Self::certificate(CertificateChange::Reused));
        }
        *issued = Some(names.clone());
        Ok(Self::certificate(CertificateChange::Issued))
    }

    async fn current(&self, names: &CertificateNames) -> Result<Option<Certificate>, Failure> {
        let issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = issued.as_ref().filter(|present| covers(present, names));
        Ok(fitting.map(|_| Self::certificate(CertificateChange::Reused)))
    }
}

fn covers(present: &CertificateNames, names: &CertificateNames) -> bool {
    names.dns.is_subset(&present.dns) && names.ips.is_subset(&present.ips)
}
