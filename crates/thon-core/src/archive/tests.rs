//! What gets in and what doesn't.

use proptest::prelude::*;

use super::*;

const FOLDER: EntryKind<'static> = EntryKind::Folder;
const FILE: EntryKind<'static> = EntryKind::File { size: 1 };

fn gate() -> Gate {
    Gate::new(Bounds { bytes: 1000, entries: 100 })
}

fn link(target: &str) -> EntryKind<'_> {
    EntryKind::Symlink { target: target.as_bytes() }
}

fn hard(target: &str) -> EntryKind<'_> {
    EntryKind::HardLink { target: target.as_bytes() }
}

#[track_caller]
fn admitted(gate: &mut Gate, path: &str, kind: &EntryKind<'_>) -> Admitted {
    gate.admit(path.as_bytes(), kind).unwrap()
}

#[track_caller]
fn refused(gate: &mut Gate, path: &str, kind: &EntryKind<'_>, word: &str) {
    let said = gate.admit(path.as_bytes(), kind).unwrap_err().to_string();
    assert!(said.contains(word), "{said}");
    assert!(!said.contains('\n'), "{said}");
}

#[test]
fn what_tar_writes_gets_in_with_its_plain_path() {
    let mut gate = gate();
    assert_eq!(admitted(&mut gate, "./", &FOLDER).path, b"");
    assert_eq!(admitted(&mut gate, "./src/", &FOLDER).path, b"src");
    assert_eq!(admitted(&mut gate, "src//./main.rs", &FILE).path, b"src/main.rs");
    assert_eq!(admitted(&mut gate, "a/b/c", &FILE).path, b"a/b/c", "without its folders");
    let linked = admitted(&mut gate, "./bin/python", &link("/usr/bin/python3"));
    assert_eq!(linked.target.unwrap(), b"/usr/bin/python3");
    let linked = admitted(&mut gate, "twin", &hard("./src/main.rs"));
    assert_eq!(linked.target.unwrap(), b"src/main.rs");
    admitted(&mut gate, "src", &FOLDER);
    admitted(&mut gate, "src/main.rs", &FILE);
    admitted(&mut gate, "Größe/日本 \n", &FILE);
}

#[test]
fn nothing_leaves_the_workspace() {
    let mut gate = gate();
    refused(&mut gate, "/etc/passwd", &FILE, "absolute");
    refused(&mut gate, "../x", &FILE, "upwards");
    refused(&mut gate, "a/../../x", &FILE, "upwards");
    refused(&mut gate, "a/..", &FOLDER, "upwards");
    refused(&mut gate, "", &FILE, "no name");
    refused(&mut gate, "./", &FILE, "the workspace itself");
    refused(&mut gate, ".", &link("/"), "the workspace itself");
    refused(&mut gate, "a\0b", &FILE, "zero byte");
    refused(&mut gate, &"x".repeat(256), &FILE, "longer than 255");
    refused(&mut gate, &"x/".repeat(2100), &FILE, "longer than 4095");
}

#[test]
fn nothing_is_written_through_a_link_or_below_a_file() {
    let mut gate = gate();
    admitted(&mut gate, "out", &link("/etc"));
    refused(&mut gate, "out/passwd", &FILE, "below \"out\"");
    refused(&mut gate, "./out/a/b", &FOLDER, "below \"out\"");
    refused(&mut gate, "out", &FOLDER, "a folder where");
    admitted(&mut gate, "file", &FILE);
    refused(&mut gate, "file/x", &FILE, "below");
    admitted(&mut gate, "same", &hard("out"));
    refused(&mut gate, "same/x", &FILE, "below");
    admitted(&mut gate, "folder/x", &FILE);
    refused(&mut gate, "folder", &link("/etc"), "where a folder is");
}

#[test]
fn hard_links_lead_to_files_of_the_same_archive_alone() {
    let mut gate = gate();
    admitted(&mut gate, "folder/", &FOLDER);
    for target in ["/etc/passwd", "../x", "later", "folder", "", "folder/../../x"] {
        refused(&mut gate, "twin", &hard(target), "hard link");
    }
    admitted(&mut gate, "file", &FILE);
    refused(&mut gate, "file", &hard("file"), "hard link");
    let mut over = gate.into_present(Bounds::IMPORT);
    refused(&mut over, "twin", &hard("file"), "hard link");
}

#[test]
fn devices_and_their_like_are_refused() {
    refused(&mut gate(), "null", &EntryKind::Other("a device"), "a device");
    refused(&mut gate(), "l", &link(""), "no path");
}

#[test]
fn a_bomb_is_stopped_by_its_size() {
    let mut gate = gate();
    admitted(&mut gate, "a", &EntryKind::File { size: 1000 });
    refused(&mut gate, "b", &EntryKind::File { size: 1 }, "larger than");
    refused(&mut gate, "c", &EntryKind::File { size: u64::MAX }, "larger than");
    for count in 3..100 {
        admitted(&mut gate, &format!("d{count}"), &FOLDER);
    }
    refused(&mut gate, "e", &FOLDER, "more than 100 entries");
}

#[test]
fn what_is_in_the_workspace_already_gives_way_to_its_like_alone() {
    let mut present = Gate::new(Bounds { entries: 3, ..Bounds::NONE });
    assert!(present.is_fresh());
    admitted(&mut present, "link", &link("/etc"));
    admitted(&mut present, "folder/file", &FILE);
    let mut gate = present.into_present(Bounds::IMPORT);
    assert!(!gate.is_fresh());
    refused(&mut gate, "link/x", &FILE, "below");
    refused(&mut gate, "link", &FOLDER, "a folder where");
    refused(&mut gate, "folder", &FILE, "where a folder is");
    refused(&mut gate, "folder", &link("/etc"), "where a folder is");
    admitted(&mut gate, "folder", &FOLDER);
    admitted(&mut gate, "folder/file", &FILE);
    admitted(&mut gate, "link", &FILE);
}

fn part() -> impl Strategy<Value = String> {
    prop_oneof!["[ab]", Just("..".to_owned()), Just(".".to_owned()), Just(String::new())]
}

proptest! {
    /// Whatever an archive says: written out naively in its order, following no rule but the
    /// gate's, nothing leaves the workspace.
    #[test]
    fn no_order_of_entries_gets_out(
        entries in prop::collection::vec((prop::collection::vec(part(), 1..5), 0..4_u8), 1..40),
    ) {
        let mut gate = Gate::new(Bounds::IMPORT);
        let mut links: Vec<Vec<u8>> = Vec::new();
        for (parts, kind) in entries {
            let path = parts.join("/");
            let kind = match kind {
                0 => FOLDER,
                1 => FILE,
                2 => link("/etc"),
                _ => hard("a"),
            };
            let Ok(admitted) = gate.admit(path.as_bytes(), &kind) else { continue };
            let inside = admitted.path.split(|byte| *byte == b'/');
            prop_assert!(inside.clone().all(|part| part != b".." && part != b"."));
            for link in &links {
                let below = admitted.path.starts_with(link)
                    && admitted.path.get(link.len()) == Some(&b'/');
                prop_assert!(!below, "{:?} below {:?}", admitted.path, link);
            }
            links.retain(|link| *link != admitted.path);
            if matches!(kind, EntryKind::Symlink { .. }) {
                links.push(admitted.path);
            }
        }
    }
}

#[test]
fn sizes_are_said_as_people_say_them() {
    let said = [0, 1023, 1536, 5 << 20, (20 << 30) + (512 << 20), u64::MAX].map(readable);
    assert_eq!(said, ["0 B", "1023 B", "1.5 KiB", "5.0 MiB", "20.5 GiB", "16777215.9 TiB"]);
}
