//! A user's seat: what stays theirs from run to run.
//!
//! For: the ports and the password that a user keeps, so that a URL on a printed sheet stays right.
//! Not for: whether their sandbox runs; the runtime knows that.

use std::time::SystemTime;

use serde::Serialize;

use crate::adapter::{Entropy, Failure, PasswordHasher};
use crate::endpoint::Port;
use crate::name::UserId;
use crate::secret::Secret;

/// What passwords are made of: digits and letters without those that look alike in print (0 o 1 l i).
/// 31 of them, so that a fifth of a password carries 4.95 bits.
const ALPHABET: &[u8] = b"23456789abcdefghjkmnpqrstuvwxyz";

/// Characters in a password, in four groups: 20 × 4.95 bits make 99 bits.
const PASSWORD_LENGTH: usize = 20;

/// Characters between two hyphens.
const GROUP_LENGTH: usize = 5;

/// A password and a name for it that may be seen, so that a change of password can be noticed
/// without looking at either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Password {
    /// The password.
    pub secret: Secret,
    /// What code-server is given in its place, and compares a session's cookie with. Given the
    /// password itself it would compute a hash for each request: 0.2 s and 64 MiB for every file
    /// that an editor loads. Kept, so that a sandbox made anew still knows its sessions.
    pub hash: Secret,
    /// Random, made with the password, and of no use to anybody without it.
    pub id: String,
}

impl Password {
    /// Draws a new one, easy to read aloud and to type: `k7m2p-x9w4t-…`.
    pub fn generate(entropy: &dyn Entropy, hasher: &dyn PasswordHasher) -> Result<Self, Failure> {
        let characters = draw(entropy, PASSWORD_LENGTH)?;
        let groups: Vec<&str> = characters
            .as_bytes()
            .chunks(GROUP_LENGTH)
            .filter_map(|chunk| std::str::from_utf8(chunk).ok())
            .collect();
        let secret = Secret::new(groups.join("-"));
        let mut salt = [0; 16];
        entropy.fill(&mut salt)?;
        let hash = Secret::new(hasher.hash(&secret, &salt)?);
        Ok(Self { secret, hash, id: draw(entropy, 8)? })
    }
}

/// Draws `length` characters of the alphabet, each equally likely: bytes past the last whole
/// multiple of its size are drawn again.
fn draw(entropy: &dyn Entropy, length: usize) -> Result<String, Failure> {
    let fair = 256 / ALPHABET.len() * ALPHABET.len();
    let mut text = String::with_capacity(length);
    let mut bytes = [0_u8; 32];
    while text.len() < length {
        entropy.fill(&mut bytes)?;
        let fair_bytes = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < fair);
        for byte in fair_bytes.take(length - text.len()) {
            text.push(char::from(ALPHABET[byte % ALPHABET.len()]));
        }
    }
    Ok(text)
}

/// A user's seat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Whose.
    pub user: UserId,
    /// The port of code-server in the sandbox.
    pub code_port: Port,
    /// The port on the host's loopback that leads there in bridge mode.
    pub host_port: Port,
    /// The TLS port of the layout `port`; nothing as long as none was needed.
    pub public_port: Option<Port>,
    /// The password; nothing as long as none was needed.
    pub password: Option<Password>,
    /// When the instance is stopped; nothing where it may run for ever.
    pub expires_at: Option<SystemTime>,
}

/// The ports of a seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct SeatPorts {
    /// The port of code-server in the sandbox.
    pub code_port: Port,
    /// The port on the host's loopback.
    pub host_port: Port,
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;
    use crate::testing::MemoryHasher;

    struct Counting(AtomicU8);

    impl Entropy for Counting {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), Failure> {
            bytes.fill_with(|| self.0.fetch_add(7, Ordering::Relaxed));
            Ok(())
        }
    }

    #[test]
    fn a_password_can_be_read_aloud_and_no_two_are_alike() {
        let entropy = Counting(AtomicU8::new(0));
        let one = Password::generate(&entropy, &MemoryHasher).unwrap();
        let other = Password::generate(&entropy, &MemoryHasher).unwrap();
        let text = one.secret.reveal();
        assert_eq!(text.len(), 23);
        assert!(text.split('-').all(|group| group.len() == 5), "{text}");
        assert!(!text.contains(['0', 'o', '1', 'l', 'i']), "{text}");
        assert_ne!(one, other);
        assert!(!format!("{one:?}").contains(text));
    }
}
