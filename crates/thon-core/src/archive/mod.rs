//! Which entries of an archive may become part of a workspace.
//!
//! For: admitting or refusing each entry before anything is written, however the archive was made:
//! nothing leaves the workspace, nothing is written through a link, nothing is a device, and a bomb
//! is stopped by its size.
//! Not for: reading archives or writing files; that is the facade's and the runtime's.

mod sums;

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hasher};

use thiserror::Error;

pub use sums::{ARCHIVE_SUFFIX, Checksums, SUMS_FILE, SumsError, archive_name, archive_user};

use crate::name::quoted;

/// The longest path that Linux takes.
const LONGEST_PATH: usize = 4095;
/// The longest name of a file.
const LONGEST_NAME: usize = 255;

/// How much an archive may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes in all files together.
    pub bytes: u64,
    /// Entries of any kind.
    pub entries: u64,
}

impl Bounds {
    /// What a workspace may bring in: 20 GiB in two million entries.
    pub const IMPORT: Self = Self { bytes: 20 << 30, entries: 2_000_000 };
    /// None, for an archive that is made here from what is there.
    pub const NONE: Self = Self { bytes: u64::MAX, entries: u64::MAX };
}

/// What an entry wants to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind<'a> {
    /// A file of so many bytes.
    File {
        /// The bytes.
        size: u64,
    },
    /// A folder.
    Folder,
    /// A symbolic link. It may point anywhere: nothing is ever read or written through it.
    Symlink {
        /// Where it points, as it stands in the archive.
        target: &'a [u8],
    },
    /// Another name of a file that came before it in the same archive.
    HardLink {
        /// That file's path, as it stands in the archive.
        target: &'a [u8],
    },
    /// Anything else, in words: `a device`.
    Other(&'static str),
}

/// An entry that may be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The path below the workspace, plain: no `.`, no `..`, no slash at an end. Empty for the
    /// workspace itself.
    pub path: Vec<u8>,
    /// Where a link leads: a hard link's plain path below the workspace, a symbolic link's target
    /// as it was.
    pub target: Option<Vec<u8>>,
}

/// Why an entry may not be written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the entry {} is refused: {problem}", quoted(.path))]
pub struct Refusal {
    /// The entry's path, as it stands in the archive.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Looks at the entries of one archive in their order.
///
/// It remembers a number of 64 bits per path and no more, so that two million entries fit in little
/// memory. Two paths with one number can only make it refuse what it could have admitted.
#[derive(Debug, Clone)]
pub struct Gate {
    bounds: Bounds,
    entries: u64,
    bytes: u64,
    /// Folders, those too that are only there because something is in them.
    folders: BTreeSet<u64>,
    /// Everything else of this archive.
    others: BTreeSet<u64>,
    /// What was in the workspace before and is no folder.
    before: BTreeSet<u64>,
}

impl Gate {
    /// A gate that nothing has passed yet.
    #[must_use]
    pub const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            entries: 0,
            bytes: 0,
            folders: BTreeSet::new(),
            others: BTreeSet::new(),
            before: BTreeSet::new(),
        }
    }

    /// A gate for what is put over that which passed this one: nothing is written through a link
    /// that is there, and no folder gives way to a file.
    #[must_use]
    pub fn into_present(self, bounds: Bounds) -> Self {
        Self { folders: self.folders, before: self.others, ..Self::new(bounds) }
    }

    /// True if nothing has passed, and nothing was there before.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.folders.is_empty() && self.others.is_empty() && self.before.is_empty()
    }

    /// Admits the next entry or says why not.
    pub fn admit(&mut self, path: &[u8], kind: &EntryKind<'_>) -> Result<Admitted, Refusal> {
        self.look(path, kind).map_err(|problem| Refusal {
            path: String::from_utf8_lossy(path).into_owned(),
            problem,
        })
    }

    fn look(&mut self, path: &[u8], kind: &EntryKind<'_>) -> Result<Admitted, String> {
        self.entries += 1;
        if self.entries > self.bounds.entries {
            return Err(format!("the archive has more than {} entries", self.bounds.entries));
        }
        let plain = plain(path)?;
        if let EntryKind::Other(what) = kind {
            return Err(format!("it is {what}; files, folders and links alone are taken"));
        }
        let is_folder = *kind == EntryKind::Folder;
        if plain.is_empty() {
            return if is_folder {
                Ok(Admitted { path: plain, target: None })
            } else {
                Err("it would replace the workspace itself".to_owned())
            };
        }
        self.check_way(&plain)?;
        let this = number(&plain);
        if is_folder && (self.others.contains(&this) || self.before.contains(&this)) {
            return Err("it is a folder where a file or a link is".to_owned());
        }
        if !is_folder && self.folders.contains(&this) {
            return Err("it is a file or a link where a folder is".to_owned());
        }
        let target = self.target(&plain, kind)?;
        if let EntryKind::File { size } = kind {
            self.bytes = self.bytes.saturating_add(*size);
            if self.bytes > self.bounds.bytes {
                let most = self.bounds.bytes >> 20;
                return Err(format!("the archive's files are larger than {most} MiB together"));
            }
        }
        self.folders.extend(ways(&plain).map(number));
        if is_folder {
            self.folders.insert(this);
        } else {
            self.others.insert(this);
            self.before.remove(&this);
        }
        Ok(Admitted { path: plain, target })
    }

    /// Refuses what lies below something that is no folder: it would be written through a link, or
    /// could not be written at all.
    fn check_way(&self, plain: &[u8]) -> Result<(), String> {
        for way in ways(plain) {
            let on_it = number(way);
            if self.others.contains(&on_it) || self.before.contains(&on_it) {
                let shown = quoted(&String::from_utf8_lossy(way));
                return Err(format!("it lies below {shown}, which is a link or a file"));
            }
        }
        Ok(())
    }

    fn target(&self, path: &[u8], kind: &EntryKind<'_>) -> Result<Option<Vec<u8>>, String> {
        match kind {
            EntryKind::Symlink { target } => {
                if target.is_empty() || target.len() > LONGEST_PATH || target.contains(&0) {
                    return Err("its target is no path".to_owned());
                }
                Ok(Some(target.to_vec()))
            }
            EntryKind::HardLink { target } => {
                let leads = plain(target).map_err(|problem| {
                    let shown = quoted(&String::from_utf8_lossy(target));
                    format!("it is a hard link to {shown}: {problem}")
                })?;
                if leads == path || !self.others.contains(&number(&leads)) {
                    let shown = quoted(&String::from_utf8_lossy(target));
                    return Err(format!(
                        "it is a hard link to {shown}, which is no file before it in the archive"
                    ));
                }
                Ok(Some(leads))
            }
            _ => Ok(None),
        }
    }
}

/// So many bytes, as people say it: `1.5 GiB`.
#[must_use]
pub fn readable(bytes: u64) -> String {
    const UNITS: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    for (shift, unit) in UNITS {
        if bytes >> shift > 0 {
            let tenths = (u128::from(bytes) * 10) >> shift;
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} B")
}

/// The path without `.` and doubled slashes, or why there is none.
fn plain(path: &[u8]) -> Result<Vec<u8>, String> {
    if path.is_empty() {
        return Err("it has no name".to_owned());
    }
    if path.len() > LONGEST_PATH {
        return Err(format!("its path is longer than {LONGEST_PATH} bytes"));
    }
    if path.starts_with(b"/") {
        return Err("its path is absolute".to_owned());
    }
    let mut plain = Vec::with_capacity(path.len());
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => continue,
            b".." => return Err("its path leads upwards (`..`)".to_owned()),
            _ if part.contains(&0) => return Err("its path has a zero byte".to_owned()),
            _ if part.len() > LONGEST_NAME => {
                return Err(format!("its name is longer than {LONGEST_NAME} bytes"));
            }
            _ => {}
        }
        if !plain.is_empty() {
            plain.push(b'/');
        }
        plain.extend_from_slice(part);
    }
    Ok(plain)
}

/// The folders on the way to a plain path, the outermost first.
fn ways(plain: &[u8]) -> impl Iterator<Item = &[u8]> {
    plain.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &plain[..at])
}

fn number(plain: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(plain);
    hasher.finish()
}

#[cfg(test)]
mod tests;
