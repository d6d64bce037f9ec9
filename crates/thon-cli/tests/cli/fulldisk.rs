//! A disk that is full while something is written to it.
//!
//! For: settings, seats, certificate and nginx's files on a disk of two MiB: every write that
//! finds no space is named, leaves the old file as it was, and costs nobody who works anything.
//! Not for: space for workspaces and Docker's own files; `thon doctor` looks at those.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::desk::{has, sane};
use crate::root::as_root;
use crate::stage::{Stage, edit};
use crate::support::Output;

/// What such a disk gives away at a time.
const PAGE: [u8; 4096] = [0; 4096];
/// Far more pages than are written.
const ENOUGH: u64 = 200;

/// A small disk in memory; unmounted when it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Self {
        std::fs::create_dir(at).unwrap();
        let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
        let options = format!("size=2m,mode=0700,uid={},gid={}", user.as_raw(), group.as_raw());
        let mut mount = as_root("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "thon-test"]).arg(at);
        Output::from(mount.output().unwrap()).ok();
        Self(at.to_owned())
    }

    /// Fills it up to so many pages.
    fn leave(&self, pages: u64) {
        let path = self.0.join("filler");
        let mut filler = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        while filler.write_all(&PAGE).is_ok() {}
        let (page, length) = (PAGE.len() as u64, filler.metadata().unwrap().len());
        filler.set_len((length / page).saturating_sub(pages) * page).unwrap();
    }

    fn clear(&self) {
        drop(std::fs::remove_file(self.0.join("filler")));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(as_root("umount").arg("--lazy").arg(&self.0).output());
    }
}

/// Runs `command` with no page left, then with one, and so on until it does what it should. Returns
/// what was said of each failure.
#[track_caller]
fn until_it_fits(disk: &SmallDisk, what: &str, mut command: impl FnMut() -> Output) -> Vec<String> {
    let mut said = Vec::new();
    for pages in 0..ENOUGH {
        disk.leave(pages);
        let output = command();
        sane(&output);
        if output.code == 0 {
            disk.clear();
            return said;
        }
        let lines: Vec<&str> =
            output.stderr.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
        assert!(output.code == 1 && !lines.is_empty(), "{what}, {pages} pages: {output:?}");
        for line in lines {
            has(line, &["No space left on device", disk.0.to_str().unwrap(), "; ", "space"]);
            said.push(line.to_owned());
        }
    }
    panic!("{what} never fitted: {said:?}");
}

#[test]
fn a_disk_that_is_full_is_said_at_every_write_and_costs_nobody_who_works() {
    let stage = Stage::new("alpha: [ada]");
    edit(&stage.config_file(), |text| {
        text.replace("nginx:\n", "nginx:\n  ssl_provider: embedded\n")
    });
    let disk = SmallDisk::mount(&stage.thon_home());
    // In this order: what runs is ended while the records of it are there.
    let stage = stage;

    // From nothing: each run comes a little further than the one before.
    let said = until_it_fits(&disk, "a first run", || stage.run_with(&[]));
    for file in ["seats.json", "tls", "nginx"] {
        assert!(said.iter().any(|line| line.contains(file)), "{file} was never full: {said:?}");
    }
    stage.all_is_well(&["alpha/ada"]);
    let (ada, before, web) =
        (stage.instance("alpha", "ada"), stage.trace("alpha/ada"), stage.web());
    let url = format!("{}healthz", ada.url());
    let seats = || -> Value {
        serde_json::from_reader(File::open(stage.thon_home().join("seats.json")).unwrap()).unwrap()
    };

    // With a newcomer, who goes again.
    for users in ["ada, bob", "ada"] {
        stage.set_groups(&format!("alpha: [{users}]"));
        edit(&stage.config_file(), |text| {
            text.replace("nginx:\n", "nginx:\n  ssl_provider: embedded\n")
        });
        let options: &[&str] = if users == "ada" { &["--prune"] } else { &[] };
        let said = until_it_fits(&disk, users, || {
            let said = stage.run_with(options);
            assert_eq!(web.get(&url).status, 200, "{said:?}");
            assert_eq!(stage.trace("alpha/ada"), before, "{said:?}");
            assert!(seats()["seats"].as_array().is_some_and(|seats| !seats.is_empty()));
            said
        });
        assert!(!said.is_empty());
    }
    stage.run_with(&[]).ok();
    assert_eq!(stage.instance("alpha", "ada"), ada);

    // Stopping needs no space, and a file is written whole or not at all.
    disk.leave(0);
    stage.thon(&["stop", "--yes"]).ok();
    let target = disk.0.join("thon.env");
    std::fs::write(&target, "").unwrap();
    let said = stage.thon(&["config", "env", "--output", target.to_str().unwrap()]);
    assert_eq!(said.code, 1, "{said:?}");
    has(&said.stderr, &["thon.env", "No space left on device", "free some space"]);
    assert_eq!(std::fs::read(&target).unwrap(), b"");
    disk.clear();
    assert_eq!(stage.run(), [ada]);
}
