//! The authority of this node: one root, in mkcert's layout, for whichever provider issues.
//!
//! For: finding its folder, reading its root, and putting a new root into its place.
//! Not for: issuing; the providers do that.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rcgen::KeyPair;
use thon_core::adapter::{Failure, FailureKind};

use crate::files::{self, PRIVATE, PUBLIC};
use crate::material::{self, Root};
use crate::settings::TlsSettings;

/// The root's file in an authority's folder: mkcert's name for it.
pub(crate) const ROOT: &str = "rootCA.pem";
/// The root's key: mkcert's name for it.
pub(crate) const ROOT_KEY: &str = "rootCA-key.pem";
/// Where the folder of an authority that isn't in ours is remembered.
const REMEMBERED: &str = "caroot";

/// The folder of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authority {
    dir: PathBuf,
}

impl Authority {
    /// The authority of this node so far, if there is one: as set, our own, or the one that was
    /// adopted before.
    pub(crate) fn present(settings: &TlsSettings) -> Option<Self> {
        if let Some(dir) = &settings.caroot {
            return Some(Self { dir: dir.clone() });
        }
        let own = Self::own(settings);
        if own.dir.join(ROOT).exists() {
            return Some(own);
        }
        let remembered = files::read(&settings.dir.join(REMEMBERED)).ok().flatten()?;
        Self::existing(PathBuf::from(remembered.trim_end_matches('\n')))
    }

    /// Our own folder, with or without a root in it.
    pub(crate) fn own(settings: &TlsSettings) -> Self {
        Self { dir: settings.dir.join("ca") }
    }

    /// An authority that is being made in `dir`.
    pub(crate) fn staged(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The authority in `dir`, if there is a root with a key that we may read.
    pub(crate) fn existing(dir: PathBuf) -> Option<Self> {
        let complete = dir.join(ROOT).is_file() && std::fs::File::open(dir.join(ROOT_KEY)).is_ok();
        complete.then_some(Self { dir })
    }

    /// Remembers that this authority is the node's from now on.
    pub(crate) fn remember(&self, settings: &TlsSettings) -> Result<(), Failure> {
        let path = settings.dir.join(REMEMBERED);
        files::replace(&path, &format!("{}\n", self.dir.display()), PRIVATE)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The root, if there is one. One that is broken or expired is a failure, never a reason to
    /// make another: participants have imported it.
    pub(crate) fn root(&self, now: SystemTime) -> Result<Option<Root>, Failure> {
        let path = self.dir.join(ROOT);
        let Some(pem) = files::read(&path)? else { return Ok(None) };
        let root = Root::parse(&pem).map_err(|cause| self.broken(&path, &cause))?;
        if root.not_after <= now {
            return Err(self.broken(&path, "it has expired"));
        }
        Ok(Some(root))
    }

    /// The key of `root`.
    pub(crate) fn key(&self, root: &Root) -> Result<KeyPair, Failure> {
        let path = self.dir.join(ROOT_KEY);
        let pem = files::read(&path)?.ok_or_else(|| self.broken(&path, "it is not there"))?;
        let key = material::parse_key(&pem)
            .ok_or_else(|| self.broken(&path, "it holds no key that can be parsed"))?;
        if root.has_key(&key) {
            Ok(key)
        } else {
            Err(self.broken(&path, "it is not the key of the root beside it"))
        }
    }

    fn broken(&self, path: &Path, cause: &str) -> Failure {
        Failure::new(
            FailureKind::Conflict,
            format!("using the authority's {}", path.display()),
            cause,
            format!(
                "restore it from a copy; or move {} away: a new root is then made, and everyone \
                 who imported the old one has to import the new one",
                self.dir.display()
            ),
        )
    }

    /// Brings a root that was made in `staged` to its place. The key goes first: a root without its
    /// key can't come about, and a key without its root is overwritten by the next one.
    pub(crate) fn adopt(&self, staged: &Path) -> Result<(), Failure> {
        let (key, root) = (staged.join(ROOT_KEY), staged.join(ROOT));
        files::move_into_place(&[
            (&key, &self.dir.join(ROOT_KEY), PRIVATE),
            (&root, &self.dir.join(ROOT), PUBLIC),
        ])
    }
}
