//! Archives made by hand: good ones, cut ones, hostile ones.

use std::collections::BTreeMap;

use thon_core::archive::Bounds;

use super::*;

/// An entry written as it is said, whatever the rules are.
fn entry(kind: EntryType, path: &[u8], link: &[u8], data: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..path.len()].copy_from_slice(path);
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
    header.set_entry_type(kind);
    header.set_mode(0o6755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_700_000_000);
    header.set_size(data.len() as u64);
    header.set_cksum();
    let mut all = header.as_bytes().to_vec();
    all.extend_from_slice(data);
    all.resize(all.len().next_multiple_of(512), 0);
    all
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut all = entries.concat();
    all.resize(all.len() + 1024, 0);
    all
}

fn through(archive: &[u8], direction: Direction) -> Result<(Tally, Vec<u8>), Stopped> {
    let mut to = Vec::new();
    let mut gate = Gate::new(Bounds::IMPORT);
    let tally = recode(archive, &mut to, &mut gate, direction, &mut |_| {})?;
    Ok((tally, to))
}

#[track_caller]
fn refused(entries: &[Vec<u8>], word: &str) {
    match through(&archive(entries), Direction::In) {
        Err(Stopped::Refused(refusal)) => {
            assert!(refusal.to_string().contains(word), "{refusal}");
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn damaged(archive: &[u8], word: &str) {
    match through(archive, Direction::In) {
        Err(Stopped::Damaged(cause)) => assert!(cause.contains(word), "{cause}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_comes_in_is_the_sandboxs_users_and_nothing_runs_as_its_owner() {
    let made = archive(&[
        entry(EntryType::Directory, b"./", b"", b""),
        entry(EntryType::Directory, b"./src/", b"", b""),
        entry(EntryType::Regular, b"./src/main.rs", b"", b"fn main() {}"),
        entry(EntryType::Symlink, b"./link", b"../../anywhere", b""),
        entry(EntryType::Link, b"./twin", b"./src/main.rs", b""),
    ]);
    let (tally, to) = through(&made, Direction::In).unwrap();
    assert_eq!((tally.entries, tally.bytes), (4, 12));
    let mut seen = BTreeMap::new();
    for entry in tar::Archive::new(&*to).entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header();
        let modified = header.mtime().unwrap();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (1001, 1001));
        assert_eq!((header.mode().unwrap(), modified), (0o755, 1_700_000_000));
        let path = entry.path().unwrap().display().to_string();
        let link = entry.link_name().unwrap().map(|link| link.display().to_string());
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        seen.insert(path, link.unwrap_or(text));
    }
    let expected = [
        ("link", "../../anywhere"),
        ("src/", ""),
        ("src/main.rs", "fn main() {}"),
        ("twin", "src/main.rs"),
    ];
    assert_eq!(seen, expected.map(|(path, text)| (path.to_owned(), text.to_owned())).into());
}

#[test]
fn what_goes_out_keeps_its_owner_and_leaves_out_what_no_archive_can_hold() {
    let made = archive(&[
        entry(EntryType::Directory, b"./", b"", b""),
        entry(EntryType::Fifo, b"./pipe", b"", b""),
        entry(EntryType::Regular, b"./file", b"", b"x"),
    ]);
    let (tally, to) = through(&made, Direction::Out).unwrap();
    assert_eq!((tally.entries, tally.left_out), (1, 1));
    let mut archive = tar::Archive::new(&*to);
    let headers = archive.entries().unwrap().map(|entry| entry.unwrap().header().clone());
    for header in headers {
        assert_eq!((header.uid().unwrap(), header.mode().unwrap()), (0, 0o6755));
    }
}

#[test]
fn hostile_entries_are_refused() {
    let file = |path: &[u8]| entry(EntryType::Regular, path, b"", b"x");
    refused(&[file(b"/etc/passwd")], "absolute");
    refused(&[file(b"a/../../x")], "upwards");
    refused(&[entry(EntryType::Symlink, b"out", b"/etc", b""), file(b"out/passwd")], "below");
    refused(&[entry(EntryType::Link, b"x", b"/etc/passwd", b"")], "absolute");
    refused(&[entry(EntryType::Link, b"x", b"../../etc/passwd", b"")], "upwards");
    refused(&[entry(EntryType::Char, b"null", b"", b"")], "a device");
    refused(&[entry(EntryType::Block, b"sda", b"", b"")], "a device");
    refused(&[entry(EntryType::Fifo, b"pipe", b"", b"")], "a named pipe");
    refused(&[entry(EntryType::new(b'V'), b"label", b"", b"")], "doesn't know");
    let map = b"22 GNU.sparse.major=1\n";
    refused(&[entry(EntryType::XHeader, b"p", b"", map), file(b"holes")], "holes");
    // The path that counts is the one that the extension says.
    let path = b"25 path=../../etc/passwd\n";
    refused(&[entry(EntryType::XHeader, b"p", b"", path), file(b"ok")], "upwards");
    let long = entry(EntryType::GNULongName, b"././@LongLink", b"", b"../../etc/passwd\0");
    refused(&[long, file(b"ok")], "upwards");
}

#[test]
fn a_bomb_is_stopped_before_it_goes_off() {
    // A file with one hole of 30 GiB and no contents at all.
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNUSparse);
    header.as_old_mut().name[0] = b'h';
    header.set_size(0);
    let size = 30_u64 << 30;
    let gnu = header.as_gnu_mut().unwrap();
    gnu.set_real_size(size);
    gnu.sparse[0].set_offset(size);
    gnu.sparse[0].set_length(0);
    header.set_cksum();
    refused(&[header.as_bytes().to_vec()], "larger than 20480 MiB");

    // A name that would fill the memory.
    let name = vec![b'x'; 3 << 20];
    let long = entry(EntryType::GNULongName, b"././@LongLink", b"", &name);
    damaged(&archive(&[long, entry(EntryType::Regular, b"f", b"", b"")]), "KiB stand where");

    let mut gate = Gate::new(Bounds { bytes: 10, entries: 2 });
    let many: Vec<_> = (0..3).map(|n| entry(EntryType::Regular, &[b'a' + n], b"", b"")).collect();
    let stopped = recode(&*archive(&many), io::sink(), &mut gate, Direction::In, &mut |_| {});
    assert!(matches!(stopped, Err(Stopped::Refused(_))), "{stopped:?}");
}

#[test]
fn a_cut_or_damaged_archive_is_noticed_wherever_it_was_cut() {
    let data = vec![0; 2000];
    let whole = archive(&[
        entry(EntryType::Regular, b"a", b"", &data),
        entry(EntryType::Regular, b"b", b"", b"x"),
    ]);
    through(&whole, Direction::In).unwrap();
    for length in (0..whole.len() - 1024).step_by(100).chain([512, 3072, 3584]) {
        let cut = through(&whole[..length], Direction::In);
        assert!(matches!(cut, Err(Stopped::Damaged(_))), "{length}: {cut:?}");
    }
    damaged(&[0x1b; 4096], "no header of an entry");
    let mut endless = whole;
    endless.resize(endless.len() + (3 << 20), 0);
    damaged(&endless, "KiB stand where");
}

#[test]
fn an_error_of_the_disk_is_told_apart_from_a_bad_archive() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut gate = Gate::new(Bounds::IMPORT);
    let made = archive(&[entry(EntryType::Regular, b"a", b"", b"x")]);
    let half = made[..512].chain(Broken);
    match recode(half, io::sink(), &mut gate, Direction::In, &mut |_| {}) {
        Err(Stopped::Source(error)) => assert_eq!(error.to_string(), "the disk is gone"),
        other => panic!("{other:?}"),
    }
    match recode(&*made, Broken, &mut gate, Direction::In, &mut |_| {}) {
        Err(Stopped::Target(error)) => assert_eq!(error.kind(), io::ErrorKind::StorageFull),
        other => panic!("{other:?}"),
    }
}
