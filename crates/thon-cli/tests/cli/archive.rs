//! Workspaces as wholes: out, in and away, whoever made the archive and whenever it is killed.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tar::{EntryType, Header};

use crate::desk::{has, mode};
use crate::gate::{Gate, Moment, Step};
use crate::stage::{Stage, edit};
use crate::support::until;
use crate::support::{Output, docker, exec, try_docker};

/// An entry of an archive as it is said, whatever the rules are: kind, path, link, contents.
type Entry<'a> = (EntryType, &'a str, &'a str, &'a [u8]);

const FILE: EntryType = EntryType::Regular;

/// A tar archive with these entries.
fn tar(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut all = Vec::new();
    for (kind, path, link, data) in entries {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o4755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header.set_size(data.len() as u64);
        header.set_cksum();
        all.extend_from_slice(header.as_bytes());
        all.extend_from_slice(data);
        all.resize(all.len().next_multiple_of(512), 0);
    }
    all.resize(all.len() + 1024, 0);
    all
}

/// As the command `zstd` compresses it, with a checksum at its end.
fn compressed(tar: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(tar).unwrap();
    encoder.finish().unwrap()
}

/// Bytes that can't be compressed.
fn noise(length: usize) -> Vec<u8> {
    std::iter::successors(Some(1_u64), |state| {
        Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1))
    })
    .map(|state| state.to_be_bytes()[0])
    .take(length)
    .collect()
}

/// What `tar` itself says is in an archive, without the times.
#[track_caller]
fn listed(archive: &Path) -> String {
    let tar = zstd::decode_all(std::fs::File::open(archive).unwrap()).unwrap();
    let plain = archive.with_extension("");
    std::fs::write(&plain, tar).unwrap();
    let mut command = Command::new("tar");
    command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
    command.args(["--numeric-owner", "-tvf"]).arg(&plain);
    let said = Output::from(command.output().unwrap()).ok().stdout;
    std::fs::remove_file(plain).unwrap();
    let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    said.lines().map(|text| format!("{}\n", line(text))).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What `thon workspace list` says of `user`.
#[track_caller]
fn row(stage: &Stage, user: &str) -> Option<Value> {
    let said = stage.thon(&["--json", "workspace", "list"]).ok().json();
    let rows = said.as_array().unwrap().iter();
    let name = |row: &Value| {
        format!("{}/{}", row["group"].as_str().unwrap(), row["user"].as_str().unwrap())
    };
    let mut rows = rows.filter(|row| name(row) == user);
    let found = rows.next().cloned();
    assert!(rows.next().is_none(), "{user} stands there twice: {said}");
    found
}

/// The containers through which volumes are read and written.
fn helpers(stage: &Stage) -> String {
    docker(&["container", "ls", "-aq", "--filter", &format!("label=thon.helper={}", stage.name)])
}

/// Runs a shell's line in a volume, past THON.
#[track_caller]
fn in_volume(stage: &Stage, user: &str, line: &str) -> String {
    let mount = format!("{}:/workspace", stage.volume_name(user));
    let image = crate::support::image();
    docker(&[
        "run",
        "--rm",
        "--network",
        "none",
        "-v",
        &mount,
        "--entrypoint",
        "sh",
        &image,
        "-c",
        line,
    ])
}

#[test]
fn what_a_user_made_goes_out_and_comes_back() {
    let stage = Stage::new("alpha: [ada, bob]");
    stage.run_with(&["--user", "ada"]).ok();
    let ada = stage.instance("alpha", "ada");
    let make = "mkdir -p empty 'Größe 日本' bin && echo hello > 'Größe 日本/a b.txt' && \
                ln -s /usr/bin/python3 bin/python && ln 'Größe 日本/a b.txt' twin && \
                echo run > run.sh && chmod 750 run.sh && chmod 700 empty && mkfifo pipe && \
                n=$(printf %120s x | tr ' ' y) && mkdir $n && echo long > $n/$n";
    exec(ada.container(), &["sh", "-c", make]);
    let one = row(&stage, "alpha/ada").unwrap();
    assert_eq!((&one["sandbox"], &one["in_use"]), (&"running".into(), &true.into()), "{one}");
    assert!(one["size_bytes"].as_u64().unwrap() > 0, "{one}");
    assert_eq!(row(&stage, "alpha/bob"), None);

    // Out, while the sandbox runs.
    let out = stage.folder().join("out");
    let archive = out.join("alpha_ada.tar.zst");
    let export = ["workspace", "export", "--output", text(&out)];
    let said = stage.thon(&[&export[..], &["ada"]].concat()).ok();
    has(&said.stdout, &["alpha/ada", "alpha_ada.tar.zst"]);
    has(&said.stderr, &["1 thing that no archive can bring back", "running meanwhile"]);
    assert_eq!((mode(&out), mode(&archive)), (0o700, 0o600));
    let mut check = Command::new("sha256sum");
    check.args(["--check", "--strict", "SHA256SUMS"]).current_dir(&out);
    has(&Output::from(check.output().unwrap()).ok().stdout, &["alpha_ada.tar.zst: OK"]);
    let before = listed(&archive);
    has(
        &before,
        &[
            "drwx------ 1001/1001",
            "empty/",
            "Größe 日本/a b.txt",
            "bin/python -> /usr/bin/python3",
            "-rwxr-x---",
            "twin link to Größe 日本/a b.txt",
        ],
    );
    assert!(!before.contains("pipe"), "{before}");
    assert_eq!(helpers(&stage), "");

    // Nothing is replaced unless somebody says so.
    let bytes = std::fs::read(&archive).unwrap();
    let said = stage.thon(&[&export[..], &["ada"]].concat()).expect(2);
    has(&said.stderr, &["alpha_ada.tar.zst is there already", "--force"]);
    assert_eq!(std::fs::read(&archive).unwrap(), bytes);
    stage.thon(&[&export[..], &["--all", "--force"]].concat()).ok();
    assert_eq!(listed(&archive), before);

    // In, for somebody else: the same again.
    let import = ["workspace", "import", text(&archive)];
    let said = stage.thon(&[&import[..], &["--as", "alpha/bob"]].concat()).ok();
    has(&said.stdout, &["alpha/bob", "right"]);
    stage.thon(&[&export[..], &["bob"]].concat()).ok();
    assert_eq!(listed(&out.join("alpha_bob.tar.zst")), before);

    // Not into what has something in it; with --force over it, and nothing is deleted.
    let said = stage.thon(&import).expect(2);
    has(&said.stderr, &["alpha/ada isn't empty", "--force", "thon workspace remove"]);
    exec(ada.container(), &["sh", "-c", "echo mine > mine.txt; echo changed > run.sh"]);
    stage.thon(&[&import[..], &["--force"]].concat()).ok();
    assert_eq!(exec(ada.container(), &["cat", "mine.txt", "run.sh"]), "mine\nrun");

    // A damaged one is noticed by its checksum.
    std::fs::write(&archive, [&bytes[..], b"x"].concat()).unwrap();
    let said = stage.thon(&[&import[..], &["--force"]].concat()).expect(2);
    has(&said.stderr, &["its checksum is", "SHA256SUMS"]);

    // Away: not under somebody's hands, and not without a yes.
    let remove = ["workspace", "remove", "ada"];
    let said = stage.thon(&[&remove[..], &["--yes"]].concat()).expect(2);
    has(&said.stderr, &["alpha/ada is running", "thon stop alpha/ada"]);
    stage.thon(&["stop", "ada"]).ok();
    let said = stage.thon(&[&remove[..], &["--dry-run"]].concat()).ok();
    has(&said.stdout, &["alpha/ada", "stopped", &stage.volume_name("alpha/ada")]);
    has(&stage.thon(&remove).expect(2).stderr, &["nobody can be asked here", "--yes"]);
    assert!(row(&stage, "alpha/ada").is_some());
    stage.thon(&[&remove[..], &["--yes"]].concat()).ok();
    assert_eq!(row(&stage, "alpha/ada"), None);
    assert_eq!(stage.volumes(), [stage.volume_name("alpha/bob")]);

    // Whoever left the roster is seen, and can be taken away as well.
    stage.set_groups("alpha: [ada]");
    assert_eq!(row(&stage, "alpha/bob").unwrap()["in_roster"], false);
    stage.thon(&["workspace", "remove", "alpha/bob", "--yes"]).ok();
    assert!(stage.volumes().is_empty());
    stage.run_with(&["--user", "ada"]).ok();
    let again = stage.instance("alpha", "ada");
    assert_eq!((again.url(), again.password()), (ada.url(), ada.password()));
    assert_eq!(exec(again.container(), &["ls", "-A"]), "");
}

/// A stage whose workspaces are folders below the one that is returned.
fn with_folders() -> (Stage, PathBuf) {
    let stage = Stage::new("alpha: [ada, bob]");
    let top = stage.folder().join("workspaces");
    edit(&stage.config_file(), |text| format!("{text}workspace:\n  dir: {}\n", top.display()));
    (stage, top)
}

#[test]
fn a_bad_archive_changes_nothing() {
    let (stage, top) = with_folders();
    let data = noise(300_000);
    let good = compressed(&tar(&[(FILE, "file", "", &data)]));
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x55;
    let long = format!("{}\0", "../".repeat(40));
    let bad: [(&str, Vec<u8>, &str); 12] = [
        ("upwards", tar(&[(FILE, "ok", "", b"x"), (FILE, "../out", "", b"x")]), "leads upwards"),
        ("absolute", tar(&[(FILE, "/etc/thon-test", "", b"x")]), "absolute"),
        (
            "through",
            tar(&[(EntryType::Symlink, "a", "/etc", b""), (FILE, "a/thon-test", "", b"x")]),
            "below \"a\"",
        ),
        ("hardlink", tar(&[(EntryType::Link, "a", "/etc/passwd", b"")]), "hard link"),
        ("device", tar(&[(FILE, "ok", "", b"x"), (EntryType::Char, "a", "", b"")]), "a device"),
        ("pipe", tar(&[(EntryType::Fifo, "a", "", b"")]), "a named pipe"),
        (
            "longname",
            tar(&[(EntryType::GNULongName, "L", "", long.as_bytes()), (FILE, "ok", "", b"x")]),
            "leads upwards",
        ),
        ("bomb", vec![], "larger than 20480 MiB"),
        ("cut", vec![], "damaged or cut"),
        ("flipped", vec![], "damaged or cut"),
        ("gzip", vec![0x1f, 0x8b, 8, 0], "gzip"),
        ("rubbish", vec![b'\x1b'; 3000], "no whole tar archive"),
    ];
    let ready = top.join("alpha/ada");
    for (name, tar, word) in bad {
        let file = stage.folder().join(format!("{name}.tar.zst"));
        let contents = match name {
            "bomb" => compressed(&bomb()),
            "cut" => good[..good.len() - 5].to_vec(),
            "flipped" => flipped.clone(),
            "gzip" | "rubbish" => tar,
            _ => compressed(&tar),
        };
        std::fs::write(&file, contents).unwrap();
        let import = ["-q", "workspace", "import", text(&file), "--as", "alpha/ada"];
        let said = stage.thon(&import).expect(2);
        has(&said.stderr, &["error: ", &format!("{name}.tar.zst"), word, "nothing was changed"]);
        assert!(!said.stderr.trim_end().contains(char::is_control), "{said:?}");
        assert!(!ready.exists() && row(&stage, "alpha/ada").is_none(), "{name}");
    }
    assert!(!Path::new("/etc/thon-test").exists() && !stage.folder().join("out").exists());

    // One bad archive among good ones, and none of them is written.
    let fine = stage.folder().join("alpha_bob.tar.zst");
    std::fs::write(&fine, &good).unwrap();
    let bad = stage.folder().join("alpha_ada.tar.zst");
    std::fs::write(&bad, &flipped).unwrap();
    stage.thon(&["workspace", "import", text(&fine), text(&bad)]).expect(2);
    assert!(!top.join("alpha").exists());

    // A link that is in the workspace already leads nowhere either.
    stage.thon(&["workspace", "import", text(&fine)]).ok();
    let there = top.join("alpha/bob");
    symlink("/etc", there.join("config")).unwrap();
    let through = compressed(&tar(&[(FILE, "config/thon-test", "", b"x")]));
    std::fs::write(&bad, through).unwrap();
    let force = ["workspace", "import", text(&bad), "--as", "alpha/bob", "--force"];
    has(&stage.thon(&force).expect(2).stderr, &["below \"config\"", "nothing was changed"]);
    assert!(!Path::new("/etc/thon-test").exists());
}

/// A file with one hole of 30 GiB, in a kilobyte.
fn bomb() -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNUSparse);
    header.as_old_mut().name[0] = b'b';
    header.set_size(0);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.set_real_size(30 << 30);
    gnu.sparse[0].set_offset(30 << 30);
    gnu.sparse[0].set_length(0);
    header.set_cksum();
    [header.as_bytes().to_vec(), vec![0; 1024]].concat()
}

#[test]
fn folders_of_the_host_go_out_and_in_and_away_too() {
    let (stage, top) = with_folders();
    // As somebody's own `tar` writes it, with an owner and a mode that no sandbox may have.
    let made = tar(&[
        (EntryType::Directory, "./", "", b""),
        (EntryType::Directory, "./src/", "", b""),
        (FILE, "./src/main.rs", "", b"fn main() {}"),
        (EntryType::Symlink, "./link", "src/main.rs", b""),
        (EntryType::Link, "./twin", "./src/main.rs", b""),
    ]);
    let file = stage.folder().join("homework.tar");
    std::fs::write(&file, &made).unwrap();
    let said = stage.thon(&["workspace", "import", text(&file)]).expect(2);
    has(&said.stderr, &["homework.tar", "--as GROUP/USER"]);
    stage.thon(&["workspace", "import", text(&file), "--as", "alpha/ada"]).ok();
    let there = top.join("alpha/ada");
    let main = std::fs::metadata(there.join("src/main.rs")).unwrap();
    assert_eq!(std::fs::read(there.join("twin")).unwrap(), b"fn main() {}");
    assert_eq!((main.nlink(), main.mtime()), (2, 1_700_000_000));
    assert_eq!(main.permissions().mode() & 0o7700, 0o700, "nothing runs as its owner");
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        assert_eq!((main.uid(), main.gid()), (1001, 1001));
    }
    let out = stage.folder().join("out");
    stage.thon(&["workspace", "export", "--all", "--output", text(&out)]).ok();
    let archive = out.join("alpha_ada.tar.zst");
    let before = listed(&archive);
    has(&before, &["src/main.rs", "link -> src/main.rs", "twin link to src/main.rs"]);
    stage.thon(&["workspace", "remove", "ada", "--yes"]).ok();
    assert!(!there.exists() && row(&stage, "alpha/ada").is_none());
    stage.thon(&["workspace", "import", text(&archive)]).ok();
    stage.thon(&["workspace", "export", "ada", "--force", "--output", text(&out)]).ok();
    assert_eq!(listed(&archive), before);
}

#[test]
fn whatever_is_killed_half_way_is_finished_by_the_next_try() {
    let stage = Stage::new("alpha: [ada]");
    let data = vec![7; 2_000_000];
    let made = compressed(&tar(&[(FILE, "one", "", &data), (FILE, "two", "", b"2")]));
    let archive = stage.folder().join("alpha_ada.tar.zst");
    std::fs::write(&archive, &made).unwrap();
    let gate = Gate::new(stage.folder());
    let host = gate.docker_host();
    let killed = |method, address, moment, args: &[&str]| {
        let step = Step { moment, method, address, nth: 1 };
        gate.stop_at(step);
        let mut command = stage.command_in(&[("DOCKER_HOST", &host)], args);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        until(&format!("{step:?}"), || {
            assert!(child.try_wait().unwrap().is_none(), "{step:?}: it ended by itself");
            gate.holds().then_some(())
        });
        child.kill().unwrap();
        child.wait().unwrap();
        gate.shut();
    };

    let import = ["workspace", "import", text(&archive)];
    for (method, address) in [
        ("POST", "/volumes/create"),
        ("POST", "/containers/create"),
        ("PUT", "/archive"),
        ("DELETE", "/containers/"),
    ] {
        for moment in [Moment::Before, Moment::After] {
            killed(method, address, moment, &import);
            let noted = row(&stage, "alpha/ada").is_none_or(|row| row["half_imported"] == true);
            assert!(noted, "{method} {address}");
            stage.thon(&import).ok();
            assert_eq!(row(&stage, "alpha/ada").unwrap()["half_imported"], false);
            assert_eq!(helpers(&stage), "", "{method} {address} {moment:?}");
            let seen = in_volume(&stage, "alpha/ada", "cd /workspace; ls; wc -c <one; cat two");
            assert_eq!(seen, "one\ntwo\n2000000\n2");
            stage.thon(&["workspace", "remove", "ada", "--yes"]).ok();
        }
    }

    stage.thon(&import).ok();
    let out = stage.folder().join("out");
    let export = ["workspace", "export", "ada", "--output", text(&out)];
    for moment in [Moment::Before, Moment::After] {
        killed("GET", "/archive", moment, &export);
        assert!(!out.join("alpha_ada.tar.zst").exists() && !out.join("SHA256SUMS").exists());
    }
    stage.thon(&export).ok();
    assert_eq!(helpers(&stage), "");
    let names = std::fs::read_dir(&out).unwrap().flatten().map(|entry| entry.file_name());
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert_eq!(names, ["SHA256SUMS", "alpha_ada.tar.zst"], "nothing half is left behind");
    try_docker(&["volume", "rm", &stage.volume_name("alpha/ada")]).ok();
}
