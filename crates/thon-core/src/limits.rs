//! What a sandbox may use of the machine.
//!
//! For: memory, CPU and process limits as exact numbers, so that two of them can be compared and
//! hashed, and their human forms (`2GiB`, `1.5`).
//! Not for: enforcing them; that is the runtime's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use crate::name::quoted;

/// A text that is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LimitError {
    /// Not an amount of memory.
    #[error("{} is no amount of memory: expected a number and a unit, such as 512m or 2GiB", quoted(.value))]
    Bytes {
        /// The text as given.
        value: String,
    },
    /// Not a number of CPUs.
    #[error("{} is no number of CPUs: expected a number such as 2 or 0.5, at most three decimals", quoted(.value))]
    Cpus {
        /// The text as given.
        value: String,
    },
}

/// The units, the largest first: what they are called and how many bytes they hold. As with
/// Docker, `g`, `gb` and `gib` all mean 1024³.
const UNITS: [(char, u64); 4] = [('t', 1 << 40), ('g', 1 << 30), ('m', 1 << 20), ('k', 1 << 10)];

/// An amount of memory in bytes. Reads `2g`, `2GiB`, `1.5 GB`, `512m` and `2147483648`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(u64);

impl ByteSize {
    /// Wraps a number of bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many mebibytes.
    #[must_use]
    pub const fn mib(count: u32) -> Self {
        Self((count as u64) << 20)
    }

    /// So many gibibytes.
    #[must_use]
    pub const fn gib(count: u32) -> Self {
        Self((count as u64) << 30)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// About how much, for people: `200 MiB`, `1.5 GiB`.
    #[must_use]
    pub fn about(self) -> String {
        let unit = UNITS.into_iter().find(|(_, size)| self.0 >= *size);
        let Some((letter, size)) = unit else { return format!("{} B", self.0) };
        let tenths = u128::from(self.0) * 10 / u128::from(size);
        let unit = letter.to_ascii_uppercase();
        if tenths >= 100 || tenths.is_multiple_of(10) {
            return format!("{} {unit}iB", tenths / 10);
        }
        format!("{}.{} {unit}iB", tenths / 10, tenths % 10)
    }

    /// True if a sandbox can live with so much disk space: what code-server writes by itself takes a
    /// few mebibytes.
    pub(crate) fn is_disk(self) -> bool {
        (Self::mib(64)..=Self::gib(1 << 20)).contains(&self)
    }

    /// True if a sandbox can live with so much memory: code-server doesn't start with less than
    /// 64 MiB, and more than a pebibyte is a slip of the hand.
    pub(crate) fn is_memory(self) -> bool {
        (Self::mib(64)..=Self::gib(1 << 20)).contains(&self)
    }
}

impl fmt::Display for ByteSize {
    /// In the largest unit that gives a whole number, so that nothing is rounded away.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (letter, size) in UNITS {
            if self.0 >= size && self.0.is_multiple_of(size) {
                return f.pad(&format!("{} {}iB", self.0 / size, letter.to_ascii_uppercase()));
            }
        }
        f.pad(&format!("{} B", self.0))
    }
}

impl FromStr for ByteSize {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        let refused = || LimitError::Bytes { value: text.to_owned() };
        let trimmed = text.trim();
        let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(end);
        let unit = unit.trim().to_ascii_lowercase();
        let size = match unit.as_str() {
            "" | "b" => 1,
            unit => UNITS
                .iter()
                .find(|(letter, _)| {
                    let rest = unit.strip_prefix(*letter);
                    matches!(rest, Some("" | "b" | "ib"))
                })
                .map(|(_, size)| *size)
                .ok_or_else(refused)?,
        };
        let thousandths = decimal(number).ok_or_else(refused)?;
        let bytes = thousandths.checked_mul(u128::from(size)).ok_or_else(refused)?;
        if bytes % 1000 != 0 && size == 1 {
            return Err(refused());
        }
        u64::try_from(bytes / 1000).map(Self).map_err(|_| refused())
    }
}

/// Thousandths of a number written with at most three decimals.
fn decimal(text: &str) -> Option<u128> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |s: &str| s.chars().all(|c| c.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) || part.len() > 3 || text.ends_with('.')
    {
        return None;
    }
    let part: u128 = format!("{part:0<3}").parse().ok()?;
    whole.parse::<u128>().ok()?.checked_mul(1000)?.checked_add(part)
}

/// A number of CPUs, exact to a thousandth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cpus(u32);

impl Cpus {
    /// So many thousandths of a CPU.
    #[must_use]
    pub const fn from_milli(milli: u32) -> Self {
        Self(milli)
    }

    /// Thousandths of a CPU.
    #[must_use]
    pub const fn milli(self) -> u32 {
        self.0
    }

    /// Billionths of a CPU, the unit of Docker's API.
    #[must_use]
    pub const fn nano(self) -> u64 {
        self.0 as u64 * 1_000_000
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:03}", self.0 / 1000, self.0 % 1000);
        f.pad(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl FromStr for Cpus {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        decimal(text.trim())
            .and_then(|milli| u32::try_from(milli).ok())
            .map(Self)
            .ok_or_else(|| LimitError::Cpus { value: text.to_owned() })
    }
}

macro_rules! serde_as_text {
    ($($type:ident),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

serde_as_text!(ByteSize, Cpus);

/// What one sandbox may use.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limits {
    /// Memory; what goes beyond it is killed.
    pub memory: ByteSize,
    /// CPU time per time, in CPUs.
    pub cpus: Cpus,
    /// Processes and threads at one time.
    pub pids: u32,
    /// Disk space of what the sandbox writes; nothing for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<ByteSize>,
}

impl Limits {
    /// True if so many CPUs can be given to a sandbox.
    pub(crate) fn is_cpus(cpus: Cpus) -> bool {
        (10..=1_024_000).contains(&cpus.milli())
    }

    /// True if a sandbox can live with so many processes, and Linux can count them.
    pub(crate) fn is_pids(pids: u32) -> bool {
        (64..=4_194_304).contains(&pids)
    }
}

impl Default for Limits {
    /// Enough for code-server, a language server and a build; see `sandbox.*` in thon.yaml.
    fn default() -> Self {
        Self { memory: ByteSize::gib(2), cpus: Cpus::from_milli(2000), pids: 1024, disk: None }
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} memory, {} CPUs, {} processes", self.memory, self.cpus, self.pids)?;
        self.disk.map_or(Ok(()), |disk| write!(f, ", {disk} disk"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn memory_is_read_in_every_usual_form() {
        for text in
            ["2g", "2G", "2GB", "2GiB", "2 GiB", "2048m", "2048 MiB", "2147483648", "2097152k"]
        {
            assert_eq!(text.parse::<ByteSize>().unwrap(), ByteSize::gib(2), "{text}");
        }
        assert_eq!("1.5g".parse::<ByteSize>().unwrap(), ByteSize::mib(1536));
        assert_eq!(ByteSize::gib(2).to_string(), "2 GiB");
        assert_eq!(ByteSize::mib(1536).to_string(), "1536 MiB");
        assert_eq!(ByteSize::new(1000).to_string(), "1000 B");
        for text in
            ["", "g", "2x", "-2g", "2gg", "1.5", "1..5g", "99999999999999999999g", "2 g b", "1.g"]
        {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_amount_is_told_about() {
        for (bytes, about) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (200 << 20, "200 MiB"),
            ((200 << 20) + 4096, "200 MiB"),
            (1536 << 20, "1.5 GiB"),
            (1 << 40, "1 TiB"),
            (u64::MAX, "16777215 TiB"),
        ] {
            assert_eq!(ByteSize::new(bytes).about(), about);
        }
    }

    #[test]
    fn cpus_are_exact() {
        assert_eq!("2".parse::<Cpus>().unwrap().nano(), 2_000_000_000);
        assert_eq!("0.5".parse::<Cpus>().unwrap().nano(), 500_000_000);
        assert_eq!(Cpus::from_milli(2000).to_string(), "2");
        assert_eq!(Cpus::from_milli(1250).to_string(), "1.25");
        for text in ["", ".", ".5", "-1", "1.2345", "1e3", "inf", "5000000"] {
            assert!(text.parse::<Cpus>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_default_reads_as_a_sentence() {
        assert_eq!(Limits::default().to_string(), "2 GiB memory, 2 CPUs, 1024 processes");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(bytes in any::<u64>(), milli in any::<u32>()) {
            prop_assert_eq!(ByteSize::new(bytes).to_string().parse::<ByteSize>(), Ok(ByteSize::new(bytes)));
            prop_assert_eq!(Cpus::from_milli(milli).to_string().parse::<Cpus>(), Ok(Cpus::from_milli(milli)));
        }
    }
}
