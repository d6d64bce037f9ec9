//! The invariants of `docs/architecture.md`, held against what cargo says of the workspace and
//! against the sources.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The invariants that are held here. The document must name each of them and no other.
const HELD: [&str; 8] = [
    "INV-ADAPTERS-APART",
    "INV-CORE-DEPENDENCIES",
    "INV-CORE-NO-IO",
    "INV-FRONT-ENDS",
    "INV-LINTS",
    "INV-ONE-COMPOSER",
    "INV-ONE-TLS",
    "INV-TOP",
];

const CORE: &str = "thon-core";
const FACADE: &str = "thon";
const SERVER: &str = "thon-api";
const COMMAND: &str = "thon-cli";
const FRONT_ENDS: [&str; 2] = [SERVER, COMMAND];
/// Those that are no part of the product.
const CHORES: [&str; 2] = ["examples", "xtask"];

/// A dependency as a crate declares it.
struct Dependency {
    name: String,
    /// Whether it is there in tests only.
    is_dev: bool,
    features: BTreeSet<String>,
}

struct Workspace {
    root: PathBuf,
    crates: BTreeMap<String, Vec<Dependency>>,
    manifests: BTreeMap<String, PathBuf>,
}

impl Workspace {
    fn read() -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut workspace = Self {
            root: metadata["workspace_root"].as_str().unwrap().into(),
            crates: BTreeMap::new(),
            manifests: BTreeMap::new(),
        };
        for package in metadata["packages"].as_array().unwrap() {
            let name = package["name"].as_str().unwrap().to_owned();
            let manifest = package["manifest_path"].as_str().unwrap().into();
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            workspace.manifests.insert(name.clone(), manifest);
            workspace.crates.insert(name, dependencies.map(dependency).collect());
        }
        assert!(workspace.crates.contains_key(CORE), "the workspace is not THON's");
        workspace
    }

    /// The crates of this workspace that `name` depends on, those of its tests if `with_dev`.
    fn siblings(&self, name: &str, with_dev: bool) -> BTreeSet<&str> {
        self.crates[name]
            .iter()
            .filter(|dependency| with_dev || !dependency.is_dev)
            .map(|dependency| dependency.name.as_str())
            .filter(|other| *other != name && self.crates.contains_key(*other))
            .collect()
    }

    /// Everything between the core and the facade.
    fn adapters(&self) -> impl Iterator<Item = &str> {
        let others = [&[CORE, FACADE][..], &FRONT_ENDS, &CHORES].concat();
        self.crates.keys().map(String::as_str).filter(move |name| !others.contains(name))
    }
}

fn dependency(declared: &Value) -> Dependency {
    let features = declared["features"].as_array().unwrap().iter();
    Dependency {
        name: declared["name"].as_str().unwrap().to_owned(),
        is_dev: declared["kind"] == "dev",
        features: features.map(|feature| feature.as_str().unwrap().to_owned()).collect(),
    }
}

/// INV-CORE-DEPENDENCIES
#[test]
fn the_core_depends_on_little() {
    let workspace = Workspace::read();
    let few = ["async-trait", "serde", "serde_json", "serde_yaml_ng", "thiserror", "tokio"];
    let of_tokio = ["macros", "rt", "sync", "time"];
    for dependency in workspace.crates[CORE].iter().filter(|dependency| !dependency.is_dev) {
        let name = &dependency.name;
        assert!(few.contains(&&**name), "thon-core must not depend on {name}");
        if name == "tokio" {
            for feature in &dependency.features {
                assert!(of_tokio.contains(&&**feature), "thon-core must not use tokio's {feature}");
            }
        }
    }
}

/// INV-ADAPTERS-APART
#[test]
fn adapters_know_the_core_and_not_each_other() {
    let workspace = Workspace::read();
    for adapter in workspace.adapters() {
        // In tests too: an adapter that can only be tested together with another isn't apart.
        for sibling in workspace.siblings(adapter, true) {
            assert_eq!(sibling, CORE, "{adapter} must not depend on {sibling}");
        }
    }
}

/// INV-ONE-COMPOSER
#[test]
fn only_the_facade_knows_the_adapters() {
    let workspace = Workspace::read();
    for name in workspace.crates.keys().filter(|name| *name != FACADE) {
        for adapter in workspace.adapters().filter(|adapter| adapter != name) {
            let knows = workspace.siblings(name, false).contains(adapter);
            assert!(!knows, "{name} must not depend on {adapter}, only {FACADE} may");
        }
    }
}

/// INV-FRONT-ENDS
#[test]
fn front_ends_know_the_facade_alone() {
    let workspace = Workspace::read();
    for front_end in FRONT_ENDS.iter().filter(|name| workspace.crates.contains_key(**name)) {
        let mut allowed = BTreeSet::from([FACADE]);
        // `thon serve` is the server.
        allowed.extend((*front_end == COMMAND).then_some(SERVER));
        assert_eq!(workspace.siblings(front_end, false), allowed, "{front_end}");
    }
}

/// INV-TOP
#[test]
fn nothing_depends_on_what_is_on_top() {
    let workspace = Workspace::read();
    for name in workspace.crates.keys() {
        for top in FRONT_ENDS.iter().chain(&CHORES) {
            let serves = name == COMMAND && *top == SERVER;
            let depends = workspace.siblings(name, true).contains(top);
            assert!(!depends || serves, "{name} depends on {top}");
        }
    }
    assert!(workspace.siblings(CORE, true).is_empty(), "thon-core is at the bottom");
}

/// INV-LINTS
#[test]
fn every_crate_takes_the_workspaces_lints() {
    for (name, manifest) in Workspace::read().manifests {
        let text = std::fs::read_to_string(manifest).unwrap();
        assert!(
            text.contains("[lints]\nworkspace = true\n"),
            "{name} has lints of its own or none"
        );
    }
}

/// INV-ONE-TLS
#[test]
fn tls_is_rustls_with_ring() {
    let lock = std::fs::read_to_string(Workspace::read().root.join("Cargo.lock")).unwrap();
    assert!(lock.contains("name = \"ring\""), "this is not our Cargo.lock");
    for banned in ["aws-lc-rs", "aws-lc-sys", "native-tls", "openssl", "openssl-sys"] {
        let line = format!("name = \"{banned}\"\n");
        assert!(!lock.contains(&line), "{banned} came in: cargo tree -i {banned}");
    }
}

/// What does input or output, reads the clock or starts something, as it would stand in a source.
const OUTSIDE: [&str; 22] = [
    "Instant::now",
    "SystemTime::now",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "UnixListener",
    "UnixStream",
    "std::env",
    "std::fs",
    "std::io::stdin",
    "std::os::unix::net",
    "std::process",
    "std::thread",
    "env::var",
    "fs::read",
    "fs::write",
    "File::open",
    "File::create",
    "tokio::fs",
    "tokio::net",
    "tokio::process",
    "tokio::signal",
];

/// INV-CORE-NO-IO
#[test]
fn the_core_does_no_io() {
    let sources = sources(&Workspace::read().root.join("crates/thon-core/src"));
    assert!(sources.len() > 10, "the core's sources are elsewhere");
    for path in sources {
        let text = std::fs::read_to_string(&path).unwrap();
        let found = outside(&text);
        assert!(found.is_empty(), "{} uses {found:?}", path.display());
    }
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in dir.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// What of [`OUTSIDE`] a source uses, its comments and its own tests left out. Tests stand at the
/// end of a file here.
fn outside(text: &str) -> Vec<&'static str> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    // `use std::{fs, …}` says the same as `use std::fs`.
    let code = lines.collect::<Vec<_>>().join("\n").replace("std::{", "std::{ std::");
    let mut code = code.replace("tokio::{", "tokio::{ tokio::");
    for group in ["std", "tokio"] {
        while let Some(start) = code.find(&format!("{group}::{{ ")) {
            let end = code[start..].find(';').map_or(code.len(), |end| start + end);
            let names = code[start..end].replace(&format!("{group}::{{ "), "");
            let names = names.replace(", ", &format!(", {group}::"));
            code.replace_range(start..end, &names);
        }
    }
    // tokio's timer is a clock that tests can hold still.
    let by_tokio = code.contains("use tokio::time::Instant;");
    let found = OUTSIDE.into_iter().filter(|word| code.contains(word));
    found.filter(|word| !(by_tokio && *word == "Instant::now")).collect()
}

#[test]
fn the_scan_sees_what_it_is_to_see() {
    assert_eq!(outside("use std::fs;\n"), ["std::fs"]);
    assert_eq!(outside("use std::{collections::BTreeMap, fs, path::Path};\n"), ["std::fs"]);
    assert_eq!(outside("use tokio::{sync::mpsc, net::lookup_host};"), ["tokio::net"]);
    assert_eq!(outside("let now = SystemTime::now();"), ["SystemTime::now"]);
    assert_eq!(outside("use std::time::Instant;\nInstant::now()"), ["Instant::now"]);
    assert_eq!(outside("use tokio::time::Instant;\nInstant::now()"), Vec::<&str>::new());
    assert_eq!(outside("// std::fs is not for us\nuse std::net::IpAddr;"), Vec::<&str>::new());
    assert_eq!(outside("fn f() {}\n#[cfg(test)]\nmod tests { use std::fs; }"), Vec::<&str>::new());
}

#[test]
fn the_document_names_each_invariant_and_no_other() {
    let text =
        std::fs::read_to_string(Workspace::read().root.join("docs/architecture.md")).unwrap();
    let words = text.split(|c: char| !(c.is_ascii_uppercase() || c == '-'));
    let named: BTreeSet<&str> = words.filter(|word| word.starts_with("INV-")).collect();
    assert_eq!(named, BTreeSet::from(HELD));
}
