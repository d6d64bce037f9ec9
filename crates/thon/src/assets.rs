//! The Dockerfile and everything that an image build needs, inside the program.
//!
//! For: building the sandbox image without a source tree.
//! Not for: what an organizer adds; that is read from THON's folder.

/// A file of the build context: its path in it, its permission bits and its contents.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asset {
    pub(crate) path: &'static str,
    pub(crate) contents: &'static [u8],
}

macro_rules! assets {
    ($($path:literal),* $(,)?) => {
        /// The files, by the paths that the Dockerfile knows them under.
        pub(crate) const ASSETS: &[Asset] = &[
            $(Asset { path: $path, contents: include_bytes!(concat!("../../../", $path)) }),*
        ];
    };
}

assets![
    "Dockerfile",
    "image/ca/README.md",
    "image/config/README.md",
    "image/extensions/README.md",
    "image/extensions.txt",
    "image/scripts/install-ca.sh",
    "image/scripts/install-extensions.sh",
    "image/scripts/make-user.sh",
    "image/scripts/probe-gallery.mjs",
    "image/scripts/slim-code-server.sh",
    "image/scripts/slim-kilo.sh",
    "image/scripts/warm-compile-cache.sh",
    "image/settings/machine-settings.json",
    "image/settings/thon-defaults/package.json",
    "image/settings/user-settings.json",
];

/// The path of the list of extensions in the context.
pub(crate) const EXTENSIONS: &str = "image/extensions.txt";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Everything below `folder` that belongs to the project: what an organizer would put there
    /// (authorities, a npmrc, extensions) does not.
    fn files(root: &Path, folder: &str, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{folder}/{}", entry.file_name().display());
            if entry.file_type().unwrap().is_dir() {
                files(root, &path, found);
            } else if ["image/ca/", "image/config/", "image/extensions/"]
                .iter()
                .all(|local| !path.starts_with(local) || path.ends_with("README.md"))
            {
                found.insert(path);
            }
        }
    }

    #[test]
    fn nothing_that_the_build_needs_is_left_out() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut found = BTreeSet::from(["Dockerfile".to_owned()]);
        files(&root, "image", &mut found);
        found.remove("image/README.md");
        found.retain(|path| !path.ends_with(".gitignore"));
        let embedded: BTreeSet<String> = ASSETS.iter().map(|asset| asset.path.to_owned()).collect();
        assert_eq!(embedded, found);
    }
}
