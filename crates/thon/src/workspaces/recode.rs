//! From one tar archive to another, entry by entry.
//!
//! For: looking at every entry on its way, in little memory however large it is: what leaves here
//! is plain, and what comes in is the sandbox's user's and harmless.
//! Not for: compressing, and not for deciding what may pass; the core's gate does that.

use std::cell::{Cell, RefCell};
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use tar::{EntryType, Header};
use thon_core::archive::{EntryKind, Gate, Refusal};
use thon_core::sandbox::USER_ID;

/// What may stand between the contents of two files: names, times, other attributes. More than
/// that is no archive but an attempt to fill the memory.
const MOST_BETWEEN: u64 = 1 << 20;
const BLOCK: u64 = 512;
/// How much of a file is read at once.
const PIECE: usize = 128 << 10;

/// Which way an archive goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// Out of a workspace: owners and modes stay; what is no file, folder or link is left out.
    Out,
    /// From one workspace into another of this node: as out of one, without the workspace itself,
    /// which has an owner and a mode already.
    Across,
    /// Into one: everything belongs to the sandbox's user, nothing runs as its owner, and what is
    /// no file, folder or link is refused.
    In,
}

/// What an archive holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    /// Entries below the workspace itself.
    pub(super) entries: u64,
    /// Bytes in all files together.
    pub(super) bytes: u64,
    /// Sockets, pipes and devices that were left out.
    pub(super) left_out: u64,
}

/// Why it did not go through.
#[derive(Debug)]
pub(super) enum Stopped {
    /// An entry may not pass.
    Refused(Refusal),
    /// It is no archive, or not a whole one.
    Damaged(String),
    /// It could not be read.
    Source(io::Error),
    /// It could not be written.
    Target(io::Error),
}

/// Writes what is in `from` to `to`, as far as `gate` admits it. `say` is told after every piece.
pub(super) fn recode(
    from: impl Read,
    to: impl Write,
    gate: &mut Gate,
    direction: Direction,
    say: &mut dyn FnMut(&Tally),
) -> Result<Tally, Stopped> {
    let meter = Rc::new(Meter::default());
    let mut source = tar::Archive::new(Metered { inner: from, meter: Rc::clone(&meter) });
    let mut target = tar::Builder::new(to);
    let mut tally = Tally::default();
    let mut entries = source.entries().map_err(|error| meter.blame(&error))?;
    loop {
        let before = meter.begin_header();
        let Some(entry) = entries.next() else {
            if meter.read.get() - before < BLOCK || meter.zeros.get() < BLOCK {
                return Err(Stopped::Damaged("it ends in the middle".to_owned()));
            }
            break;
        };
        let mut entry = entry.map_err(|error| meter.blame(&error))?;
        meter.allowance.set(u64::MAX);
        pass(&mut entry, &mut target, gate, direction, (&mut tally, say), &meter)?;
        // What nobody asked for has to be read all the same.
        io::copy(&mut entry, &mut io::sink()).map_err(|error| meter.blame(&error))?;
    }
    // To the very end: only there the compression says whether everything arrived.
    meter.begin_header();
    io::copy(&mut source.into_inner(), &mut io::sink()).map_err(|error| meter.blame(&error))?;
    target.into_inner().and_then(|mut target| target.flush()).map_err(Stopped::Target)?;
    say(&tally);
    Ok(tally)
}

fn pass<R: Read, W: Write>(
    entry: &mut tar::Entry<'_, R>,
    target: &mut tar::Builder<W>,
    gate: &mut Gate,
    direction: Direction,
    (tally, say): (&mut Tally, &mut dyn FnMut(&Tally)),
    meter: &Meter,
) -> Result<(), Stopped> {
    let said = entry.header().clone();
    let path = entry.path_bytes().into_owned();
    let link = entry.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default();
    let kind = match said.entry_type() {
        // What holds for all that comes after it; nothing of that matters here.
        EntryType::XGlobalHeader => return Ok(()),
        // How archives from before 1988 name a folder.
        EntryType::Regular if path.ends_with(b"/") => EntryKind::Folder,
        EntryType::Regular | EntryType::Continuous if in_pieces(entry) => {
            EntryKind::Other("a file with holes in a form that THON can't read")
        }
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            EntryKind::File { size: entry.size() }
        }
        EntryType::Directory => EntryKind::Folder,
        EntryType::Symlink => EntryKind::Symlink { target: &link },
        EntryType::Link => EntryKind::HardLink { target: &link },
        EntryType::Fifo => EntryKind::Other("a named pipe"),
        EntryType::Char | EntryType::Block => EntryKind::Other("a device"),
        _ => EntryKind::Other("of a kind that THON doesn't know"),
    };
    if direction != Direction::In && matches!(kind, EntryKind::Other(_)) {
        tally.left_out += 1;
        return Ok(());
    }
    let admitted = gate.admit(&path, &kind).map_err(Stopped::Refused)?;
    let mut header = header(&said, direction, &kind);
    if admitted.path.is_empty() {
        // The workspace itself: it has an owner and a mode already.
        return if direction == Direction::Out {
            target.append_data(&mut header, "./", io::empty()).map_err(Stopped::Target)
        } else {
            Ok(())
        };
    }
    tally.entries += 1;
    let mut path = admitted.path;
    match kind {
        EntryKind::File { size } => {
            header.set_size(size);
            let failed = Cell::new(false);
            let data = Whole { entry, left: size, failed: &failed, tally, say };
            let path = Path::new(OsStr::from_bytes(&path));
            target.append_data(&mut header, path, data).map_err(|error| {
                if failed.get() { meter.blame(&error) } else { Stopped::Target(error) }
            })
        }
        EntryKind::Folder => {
            path.push(b'/');
            let path = Path::new(OsStr::from_bytes(&path));
            target.append_data(&mut header, path, io::empty()).map_err(Stopped::Target)
        }
        _ => {
            let leads = admitted.target.unwrap_or_default();
            let leads = Path::new(OsStr::from_bytes(&leads));
            let path = Path::new(OsStr::from_bytes(&path));
            target.append_link(&mut header, path, leads).map_err(Stopped::Target)
        }
    }
}

/// True for the form in which newer tars write files with holes: their contents begin with a map.
fn in_pieces<R: Read>(entry: &mut tar::Entry<'_, R>) -> bool {
    let Ok(Some(extensions)) = entry.pax_extensions() else { return false };
    extensions.flatten().any(|extension| extension.key_bytes().starts_with(b"GNU.sparse."))
}

fn header(said: &Header, direction: Direction, kind: &EntryKind<'_>) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(match kind {
        EntryKind::Folder => EntryType::Directory,
        EntryKind::Symlink { .. } => EntryType::Symlink,
        EntryKind::HardLink { .. } => EntryType::Link,
        EntryKind::File { .. } | EntryKind::Other(_) => EntryType::Regular,
    });
    let is_folder = *kind == EntryKind::Folder;
    let mode = said.mode().unwrap_or(if is_folder { 0o755 } else { 0o644 });
    let (uid, gid) = match direction {
        Direction::Out | Direction::Across => {
            (said.uid().unwrap_or_default(), said.gid().unwrap_or_default())
        }
        Direction::In => (USER_ID.into(), USER_ID.into()),
    };
    header.set_mode(match direction {
        Direction::Out | Direction::Across => mode & 0o7777,
        Direction::In if is_folder => mode & 0o1777,
        Direction::In => mode & 0o777,
    });
    header.set_uid(uid);
    header.set_gid(gid);
    // The field holds 33 bits; what is beyond is no time of a file.
    header.set_mtime(said.mtime().unwrap_or_default().min(0o777_7777_7777));
    header.set_size(0);
    header
}

/// The contents of an entry, exactly as long as its header says.
struct Whole<'a, 'e, R: Read> {
    entry: &'a mut tar::Entry<'e, R>,
    left: u64,
    failed: &'a Cell<bool>,
    tally: &'a mut Tally,
    say: &'a mut dyn FnMut(&Tally),
}

impl<R: Read> Read for Whole<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(PIECE).min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let read = self.entry.read(&mut buffer[..most]).inspect_err(|_| self.failed.set(true))?;
        if read == 0 {
            self.failed.set(true);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends in the middle"));
        }
        self.left -= read as u64;
        self.tally.bytes += read as u64;
        (self.say)(self.tally);
        Ok(read)
    }
}

/// What is noticed while an archive is read.
struct Meter {
    /// Bytes read.
    read: Cell<u64>,
    /// Zeros that were read last.
    zeros: Cell<u64>,
    /// How much may still be read before the next file.
    allowance: Cell<u64>,
    /// The error of the stream itself, which the archive's reader would wrap.
    failed: RefCell<Option<io::Error>>,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            read: Cell::new(0),
            zeros: Cell::new(0),
            allowance: Cell::new(MOST_BETWEEN),
            failed: RefCell::new(None),
        }
    }
}

impl Meter {
    fn begin_header(&self) -> u64 {
        self.allowance.set(MOST_BETWEEN);
        self.read.get()
    }

    /// Whose fault an error of the archive's reader is.
    fn blame(&self, error: &io::Error) -> Stopped {
        match self.failed.borrow_mut().take() {
            Some(error) => Stopped::Source(error),
            None if self.allowance.get() == 0 => Stopped::Damaged(format!(
                "more than {} KiB stand where the next file should begin",
                MOST_BETWEEN >> 10
            )),
            // The reader's own words may quote what stands there, and that may be anything.
            None if is_end(error) => Stopped::Damaged("it ends in the middle".to_owned()),
            None => Stopped::Damaged("no header of an entry stands where one should".to_owned()),
        }
    }
}

/// True if the archive's reader wanted more than there was.
fn is_end(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
        || ["entire block", "unexpected EOF"].iter().any(|word| error.to_string().contains(word))
}

struct Metered<R> {
    inner: R,
    meter: Rc<Meter>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let allowance = self.meter.allowance.get();
        if allowance == 0 {
            return Err(io::Error::other("too much"));
        }
        let most = buffer.len().min(usize::try_from(allowance).unwrap_or(usize::MAX));
        let read = match self.inner.read(&mut buffer[..most]) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                let kind = error.kind();
                *self.meter.failed.borrow_mut() = Some(error);
                return Err(kind.into());
            }
        };
        let zeros = buffer[..read].iter().rev().take_while(|byte| **byte == 0).count();
        let before = if zeros == read { self.meter.zeros.get() } else { 0 };
        self.meter.zeros.set(before.saturating_add(zeros as u64));
        self.meter.read.set(self.meter.read.get() + read as u64);
        if allowance != u64::MAX {
            self.meter.allowance.set(allowance - read as u64);
        }
        Ok(read)
    }
}

#[cfg(test)]
#[path = "recode_tests.rs"]
mod tests;
