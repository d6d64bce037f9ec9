//! Disk space: what a sandbox has used of it, and what keeps it within its limit.
//!
//! For: the rule by which someone is near their limit or over it, and the words for a limit that is
//! measured and not enforced.
//! Not for: measuring; that is the runtime's.

use serde::Serialize;

use crate::limits::ByteSize;

/// From so many hundredths of the limit up someone is near it.
const NEAR: u128 = 90;

/// What a sandbox has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskUse {
    /// Outside of the workspace: installed programs, caches, `/tmp`.
    pub sandbox: ByteSize,
    /// In the workspace.
    pub workspace: ByteSize,
}

impl DiskUse {
    /// Both together, which is what the limit is for.
    #[must_use]
    pub const fn total(self) -> ByteSize {
        ByteSize::new(self.sandbox.bytes().saturating_add(self.workspace.bytes()))
    }
}

/// How the use of disk space stands against its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskLevel {
    /// There is room.
    Fine,
    /// Nine tenths are used.
    Near,
    /// More is used than allowed.
    Over,
}

impl DiskLevel {
    /// How `used` stands against `limit`.
    #[must_use]
    pub const fn of(used: ByteSize, limit: ByteSize) -> Self {
        if used.bytes() > limit.bytes() {
            Self::Over
        } else if used.bytes() as u128 * 100 >= limit.bytes() as u128 * NEAR {
            Self::Near
        } else {
            Self::Fine
        }
    }
}

/// One sandbox's disk space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// What it may use.
    pub limit: ByteSize,
    /// What it uses; nothing where that could not be found out in time.
    pub used: Option<DiskUse>,
}

impl DiskSpace {
    /// How the one stands against the other, as far as that is known.
    #[must_use]
    pub fn level(&self) -> Option<DiskLevel> {
        self.used.map(|used| DiskLevel::of(used.total(), self.limit))
    }

    /// The use and the level, where someone has to look at it.
    #[must_use]
    pub fn pressing(&self) -> Option<(DiskUse, DiskLevel)> {
        let level = self.level().filter(|level| *level != DiskLevel::Fine)?;
        Some((self.used?, level))
    }
}

/// What the disk limits of a machine's sandboxes are worth: they are measured, and nothing stops a
/// write. And why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskGuard {
    /// Why, as the second half of a sentence: `Docker keeps them on extfs`.
    pub reason: String,
}

impl DiskGuard {
    /// What the person has to know before they rely on the limit.
    #[must_use]
    pub fn warning(&self) -> String {
        format!(
            "the disk limit is soft: what sandboxes and workspaces hold is measured and warned of \
             in `thon status`, and nothing stops whoever goes beyond, because {}",
            self.reason
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nine_tenths_are_near_and_a_byte_more_than_all_is_over() {
        let level = |used| DiskLevel::of(ByteSize::new(used), ByteSize::new(1000));
        assert_eq!(
            [level(0), level(899), level(900)],
            [DiskLevel::Fine, DiskLevel::Fine, DiskLevel::Near]
        );
        assert_eq!([level(1000), level(1001)], [DiskLevel::Near, DiskLevel::Over]);
        let space = |used| DiskSpace { limit: ByteSize::mib(1), used };
        assert_eq!((space(None).level(), space(None).pressing()), (None, None));
        let both = DiskUse { sandbox: ByteSize::mib(1), workspace: ByteSize::mib(1) };
        assert_eq!(space(Some(both)).pressing(), Some((both, DiskLevel::Over)));
        assert_eq!(space(Some(DiskUse::default())).pressing(), None);
    }

    #[test]
    fn what_does_not_hold_is_said_with_the_reason() {
        let said = DiskGuard { reason: "the moon is full".to_owned() }.warning();
        assert!(said.contains("soft") && said.ends_with("because the moon is full"), "{said}");
    }

    proptest! {
        #[test]
        fn more_used_is_never_a_better_level(one: u64, other: u64, limit: u64) {
            let level = |used| DiskLevel::of(ByteSize::new(used), ByteSize::new(limit));
            prop_assert!(level(one.min(other)) <= level(one.max(other)));
        }
    }
}
