//! The machine's own clock, randomness, address and cores.
//!
//! For: what the core is handed because it must not ask for it itself.
//! Not for: anything that needs a program or a service.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use argon2::{Algorithm, Argon2, Params, Version};
use thon_core::adapter::{Clock, Entropy, Failure, FailureKind, PasswordHasher};
use thon_core::secret::Secret;

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// The kernel's random numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Failure> {
        getrandom::fill(bytes).map_err(|cause| {
            let advice = "look at the kernel's log";
            Failure::new(FailureKind::Other, "drawing random numbers", cause.to_string(), advice)
        })
    }
}

/// Argon2id, the form that code-server knows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Argon2Hasher;

/// KiB of memory for a hash. Passwords are drawn with 99 bits: no cost makes guessing them harder,
/// and a low one keeps a login from being a burden.
const HASH_KIB: u32 = 256;

impl PasswordHasher for Argon2Hasher {
    fn hash(&self, password: &Secret, salt: &[u8; 16]) -> Result<String, Failure> {
        use argon2::password_hash::{PasswordHasher as _, SaltString};
        let hashed = Params::new(HASH_KIB, 1, 1, None)
            .map_err(argon2::password_hash::Error::from)
            .and_then(|params| {
                let salt = SaltString::encode_b64(salt)?;
                let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
                Ok(argon2.hash_password(password.reveal().as_bytes(), &salt)?.to_string())
            });
        hashed.map_err(|cause| {
            let advice = "look at the memory that is left";
            Failure::new(FailureKind::Other, "hashing a password", cause.to_string(), advice)
        })
    }
}

/// How far an address reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Only this machine.
    Loopback,
    /// This network and those behind the same router.
    Private,
    /// Everyone.
    Public,
}

/// The address that this machine shows to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnAddress {
    /// The address.
    pub address: IpAddr,
    /// How far it reaches.
    pub reach: Reach,
}

/// Finds the address of the interface that leads outwards, without sending anything: a datagram
/// socket that is connected to a documentation address (RFC 5737) tells its own end.
#[must_use]
pub fn own_address() -> OwnAddress {
    let probe = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
        socket.local_addr().ok().map(|address| address.ip())
    };
    let address = probe().filter(|ip| !ip.is_unspecified());
    let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    OwnAddress { address, reach: reach(address) }
}

/// How far `address` reaches.
#[must_use]
pub fn reach(address: IpAddr) -> Reach {
    match address {
        _ if address.is_loopback() => Reach::Loopback,
        IpAddr::V4(v4) => {
            // 100.64.0.0/10 is the carriers' own private range (RFC 6598).
            let carrier = v4.octets()[0] == 100 && v4.octets()[1] & 0xC0 == 64;
            if v4.is_private() || v4.is_link_local() || carrier {
                Reach::Private
            } else {
                Reach::Public
            }
        }
        IpAddr::V6(v6) if v6.is_unique_local() || v6.is_unicast_link_local() => Reach::Private,
        IpAddr::V6(_) => Reach::Public,
    }
}

/// How many cores there are; one where that can't be told.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The file of a program on `PATH`, if it is there and may be run.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A user's PATH often lacks the folders that system programs such as nginx live in.
    let usual = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(usual)
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file)
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The bundle of certificate authorities that this machine was told to use beyond its own, as
/// networks need whose proxy opens TLS; nothing on an ordinary machine.
#[must_use]
pub fn extra_ca_bundle() -> Option<PathBuf> {
    let named = ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"]
        .iter()
        .filter_map(std::env::var_os)
        .map(PathBuf::from)
        .find(|path| path.is_file());
    let added = || {
        let mut entries = std::fs::read_dir("/usr/local/share/ca-certificates").ok()?;
        let bundle = PathBuf::from("/etc/ssl/certs/ca-certificates.crt");
        entries.next().filter(|_| bundle.is_file()).map(|_| bundle)
    };
    named.or_else(added)
}

/// True if systemd runs this machine's services.
#[must_use]
pub fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_by_how_far_it_reaches() {
        for (text, expected) in [
            ("127.0.0.1", Reach::Loopback),
            ("::1", Reach::Loopback),
            ("10.1.2.3", Reach::Private),
            ("172.20.0.1", Reach::Private),
            ("172.32.0.1", Reach::Public),
            ("192.168.1.5", Reach::Private),
            ("100.64.0.9", Reach::Private),
            ("203.0.113.7", Reach::Public),
            ("fd00::1", Reach::Private),
            ("2001:db8::1", Reach::Public),
        ] {
            assert_eq!(reach(text.parse().unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn a_hash_has_the_form_that_code_server_reads() {
        let hash = Argon2Hasher.hash(&Secret::new("k7m2p"), &[7; 16]).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=256,t=1,p=1$"), "{hash}");
        assert_eq!(hash, Argon2Hasher.hash(&Secret::new("k7m2p"), &[7; 16]).unwrap());
        assert_ne!(hash, Argon2Hasher.hash(&Secret::new("k7m2p"), &[8; 16]).unwrap());
        assert!(!hash.contains(['"', '\\', '\n']), "{hash}");
    }

    #[test]
    fn this_machine_has_an_address_and_cores() {
        assert!(!own_address().address.is_unspecified());
        assert!(cores() > 0);
    }

    #[test]
    fn programs_are_found_by_name() {
        assert!(find_program("sh").is_some());
        assert!(find_program("no-such-program-anywhere").is_none());
    }
}
