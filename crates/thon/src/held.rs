//! A file that one process holds and in which it says who it is.
//!
//! For: the locks of commands and of the watcher; given back when the process ends, however it ends.
//! Not for: what is refused while somebody else holds one; who asks says that.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Result, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Holds the file at `path`, which is made where it isn't there, or tells what its holder wrote.
pub(crate) fn hold(path: &Path) -> Result<std::result::Result<File, String>> {
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Ok(file)),
        Err(TryLockError::Error(cause)) => Err(cause),
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            drop(file.read_to_string(&mut holder));
            Ok(Err(holder))
        }
    }
}

/// Writes into a held file who holds it.
pub(crate) fn sign(file: &mut File, text: &str) -> Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())
}
