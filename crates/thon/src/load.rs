//! Finding and reading thon.yaml and groups.yaml.
//!
//! For: the order in which places are searched, and the environment over the file.
//! Not for: what the keys mean; the core's configuration knows that.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use thon_core::config::{Config, Warning};
use thon_core::name::quoted;
use thon_core::roster::{GroupsFile, Roster};

use crate::error::Error;
use crate::home::{Home, is_trusted};

/// The largest file that is read, in bytes; ten thousand users fit in a tenth of it.
const MAX_SIZE: u64 = 4 << 20;

/// The option that names a configuration.
const CONFIG: &str = "--config";

/// A configuration as it was found.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration, environment included.
    pub config: Config,
    /// The file it came from; nothing where there is none.
    pub path: Option<PathBuf>,
    /// What the person should know about the file.
    pub warnings: Vec<Warning>,
}

/// The configuration file: `explicit`, else the one in THON's folder, else `thon.yaml` in the
/// current folder. Nothing if there is none; an explicit one has to be there.
pub fn find(explicit: Option<&Path>, home: &Home) -> Result<Option<PathBuf>, Error> {
    if let Some(path) = explicit {
        // Not only a file: a pipe, as in `--config <(…)`, may be read as well.
        return match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => Err(folder(CONFIG, path)),
            Ok(_) => Ok(Some(path.to_path_buf())),
            Err(_) => Err(refusal(CONFIG, path, "there is no such file; `thon init` makes one")),
        };
    }
    let own = home.config();
    if own.is_file() {
        return Ok(Some(own));
    }
    // Whatever lies in a folder like /tmp under that name may be anybody's.
    let here = PathBuf::from("thon.yaml");
    let trusted = std::fs::metadata(&here).is_ok_and(|found| found.is_file() && is_trusted(&found));
    Ok(trusted.then_some(here))
}

/// Reads the configuration that [`find`] finds, with the environment over it. Where there is no
/// file the defaults are taken.
pub fn load(explicit: Option<&Path>, home: &Home) -> Result<Loaded, Error> {
    let path = find(explicit, home)?;
    let (config, warnings) = match &path {
        Some(path) => {
            let loaded = Config::parse(&read(CONFIG, path)?, &path.display().to_string())?;
            (loaded.config, loaded.warnings)
        }
        None => (Config::default(), Vec::new()),
    };
    // Variables that aren't UTF-8 are none of ours.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Ok(Loaded { config: config.with_env(environment)?, path, warnings })
}

/// Reads a groups file.
pub fn load_groups(path: &Path) -> Result<GroupsFile, Error> {
    Ok(Roster::parse_groups_file(&read("--groups", path)?, &path.display().to_string())?)
}

/// Reads a text of a size that a person could have written; `option` is what named the file.
pub(crate) fn read(option: &str, path: &Path) -> Result<String, Error> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => refusal(option, path, "there is no such file; correct the path"),
        ErrorKind::IsADirectory => folder(option, path),
        _ => refusal(option, path, &format!("{error}; make it readable, or name another file")),
    };
    let mut bytes = Vec::new();
    // Its size isn't asked for: a pipe or a device tells none, and may have no end.
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_SIZE {
        let problem = format!("it is too large; allowed are {MAX_SIZE} bytes at most");
        return Err(refusal(option, path, &problem));
    }
    String::from_utf8(bytes).map_err(|error| {
        let upto = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..upto].split(|byte| *byte == b'\n').count();
        let shown = quoted(&path.display().to_string());
        Error::input(format!("{shown}:{line}: it is not UTF-8 text; save it as UTF-8"))
    })
}

fn folder(option: &str, path: &Path) -> Error {
    refusal(option, path, "this is a folder, not a file; name a YAML file")
}

fn refusal(option: &str, path: &Path, problem: &str) -> Error {
    Error::input(format!("{option} {}: {problem}", quoted(&path.display().to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::at(temp.path());
        (temp, home)
    }

    #[test]
    fn a_file_that_was_named_has_to_be_there() {
        let (_temp, home) = home();
        let error = find(Some(Path::new("nowhere.yaml")), &home).unwrap_err();
        assert!(error.is_bad_input());
        assert!(error.to_string().contains("thon init"), "{error}");
    }

    #[test]
    fn the_file_in_the_folder_is_found() {
        let (_temp, home) = home();
        std::fs::write(home.config(), "groups:\n  alpha: [alice]\n").unwrap();
        let loaded = load(None, &home).unwrap();
        assert_eq!(loaded.path, Some(home.config()));
        assert_eq!(loaded.config.groups.user_count(), 1);
    }

    #[test]
    fn what_is_no_text_is_refused_with_its_line() {
        let (_temp, home) = home();
        std::fs::write(home.config(), b"groups:\n  a: [\xff]\n").unwrap();
        let error = load(None, &home).unwrap_err();
        assert!(error.is_bad_input());
        assert!(error.to_string().contains(":2: it is not UTF-8"), "{error}");
    }
}
