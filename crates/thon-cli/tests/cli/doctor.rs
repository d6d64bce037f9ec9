//! `thon doctor` on this machine: as it is, and with each fault provoked for real.

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, date_time_ymd};
use serde_json::Value;

use crate::desk::{Desk, has, mode};
use crate::fakedocker::FakeDocker;
use crate::machine::Machine;
use crate::support::{Output, docker, until};
use crate::walls::{bridge, tear_down};

const TWO: &str = "alpha: [ada, bob]";

/// Every value of the kernel that the doctor may set.
const KEYS: [&str; 8] = [
    "fs.inotify.max_user_instances",
    "fs.inotify.max_user_watches",
    "fs.file-max",
    "kernel.pid_max",
    "kernel.threads-max",
    "net.netfilter.nf_conntrack_max",
    "net.ipv4.neigh.default.gc_thresh3",
    "net.bridge.bridge-nf-call-iptables",
];

fn sysctl(key: &str) -> String {
    format!("/proc/sys/{}", key.replace('.', "/"))
}

/// The machine for two, with a certificate that needs nobody's tool.
fn machine() -> Machine {
    let machine = Machine::new(TWO);
    machine.configure(TWO, |text| text.replace("nginx:\n", "nginx:\n  ssl_provider: embedded\n"));
    machine
}

/// Values of the kernel that can be changed without anybody else's noticing: files in their places
/// with what they say now, or with `low` for those of inotify.
fn pin(machine: &mut Machine, keys: &[&str], low: Option<&str>) {
    for key in keys {
        let Ok(value) = std::fs::read_to_string(sysctl(key)) else { continue };
        let low = low.filter(|_| key.starts_with("fs.inotify"));
        machine.says(&sysctl(key), low.unwrap_or(&value));
    }
    machine.empty("/etc/sysctl.d");
}

/// The finding with this code, which has to be a problem that says these parts.
#[track_caller]
fn problem(machine: &Machine, code: &str, parts: &[&str]) {
    let said = machine.thon(&["doctor"]).expect(1);
    let mut lines = said.stdout.lines().skip_while(|line| !line.contains(code));
    let Some(line) = lines.next() else { panic!("{code} is missing: {said:?}") };
    assert!(line.starts_with("problem "), "{line}");
    let fix = lines.next().unwrap();
    assert!(fix.trim_start().starts_with("fix: "), "{fix}");
    has(&format!("{line}\n{fix}"), parts);
    has(lines.next().unwrap(), &[&format!("see: docs/doctor.md#{}", code.to_ascii_lowercase())]);
    has(&said.stdout, &["not fit for 2 seats"]);
}

/// The findings of `thon --json doctor` with these options, by severity.
#[track_caller]
fn codes(said: &Output, severity: &str) -> Vec<String> {
    let all = said.json();
    let with = |finding: &&Value| finding["severity"] == severity;
    let all = all["findings"].as_array().unwrap().iter().filter(with);
    all.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_machine_that_is_fit_is_told_so_in_less_than_two_seconds() {
    let machine = machine();
    machine.node.thon(&["tls", "issue"]).ok();
    let begin = Instant::now();
    let said = machine.node.thon(&["doctor"]).ok();
    let took = begin.elapsed();
    // The issue's own bound; it takes a tenth of that.
    assert!(took < Duration::from_secs(2), "{took:?}");
    has(&said.stdout, &["fit for 2 seats"]);
    assert!(!said.stdout.contains("problem "), "{}", said.stdout);
    let said = machine.node.thon(&["--json", "doctor"]).ok();
    assert_eq!(said.json()["fit"], true);
    assert!(codes(&said, "ok").len() > 30, "{said:?}");
    // Looking changes nothing.
    assert!(!machine.node.thon_home().join("seats.json").exists());
}

#[test]
fn every_code_is_explained_where_the_program_is() {
    let desk = Desk::new();
    let all = desk.with(&[], &["--json", "doctor", "--explain", "thon-disk-01"]).ok().json();
    assert_eq!(
        (&all["code"], &all["docs"]),
        (&"THON-DISK-01".into(), &"docs/doctor.md#thon-disk-01".into())
    );
    has(all["text"].as_str().unwrap(), &["By hand: `docker system df`"]);
    let said = desk.thon(&["doctor", "--explain", "THON-LAYOUT-01"]).ok();
    has(&said.stdout, &["THON-LAYOUT-01: participants are apart in the browser\n\nAll instances"]);
    let said = desk.thon(&["doctor", "--explain", "THON-DISK-99"]).expect(2);
    has(&said.stderr, &["THON-DISK-99", "thon doctor -v"]);
}

#[test]
fn without_a_roster_nobody_is_told_that_the_machine_suffices() {
    let machine = machine();
    machine.node.set_groups("");
    let said = machine.node.thon(&["doctor"]).ok();
    has(&said.stdout, &["nobody is in the roster"]);
    assert!(!said.stdout.contains("fit for"), "{}", said.stdout);
}

#[test]
fn full_disks_are_found() {
    let mut machine = machine();
    let work = machine.node.folder().join("work");
    machine.configure(TWO, |text| format!("workspace:\n  dir: {}\n{text}", work.display()));
    machine.full_disk(&work, 4096);
    problem(&machine, "THON-DISK-02", &["0 B of 4 MiB are free", "128 MiB are needed", "df -h"]);
    let home = machine.node.thon_home();
    machine.full_disk(&home, 4096);
    problem(&machine, "THON-DISK-03", &["0 B of 4 MiB are free", home.to_str().unwrap()]);
    let root = docker(&["info", "--format", "{{.DockerRootDir}}"]);
    machine.full_disk(root.as_ref(), 4096);
    problem(&machine, "THON-DISK-01", &["0 B of 4 MiB are free", &root]);
}

#[test]
fn a_port_that_another_program_has_is_found_with_the_program() {
    let machine = machine();
    let ports = [machine.node.ports.https, machine.node.ports.http];
    let us = format!("(process {})", std::process::id());
    for (port, key) in ports.into_iter().zip(["nginx.https_port", "nginx.http_port"]) {
        for address in [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED] {
            // A program that another test starts has the one before until it has begun.
            let taken = until("the port", || TcpListener::bind((address, port)).ok());
            let number = port.to_string();
            problem(&machine, "THON-PORT-01", &["is in use by", &number, &us, key]);
            drop(taken);
        }
    }
}

#[test]
fn low_limits_of_the_kernel_are_found() {
    let mut machine = machine();
    machine.says(&sysctl("fs.inotify.max_user_instances"), "3\n");
    problem(
        &machine,
        "THON-KERNEL-01",
        &["3 instances of inotify", "sudo sysctl -w fs.inotify.max_user_instances=", "--fix"],
    );
    machine.says(&sysctl("kernel.pid_max"), "1024\n");
    problem(&machine, "THON-KERNEL-04", &["1024 processes", "sudo sysctl -w kernel.pid_max="]);
    machine.says("/proc/meminfo", "MemTotal: 99999 kB\nMemAvailable: 99999 kB\nSwapTotal: 0 kB\n");
    problem(&machine, "THON-MEMORY-01", &["1 of 2 seats fit idle", "add 1 GiB"]);
}

#[test]
fn an_unfiltered_bridge_is_found_and_mended_in_the_kernel() {
    let key = "net.bridge.bridge-nf-call-iptables";
    let before = std::fs::read_to_string(sysctl(key)).unwrap();
    let mut machine = machine();
    // Those of the network are its own, or aren't there at all.
    let others: Vec<&str> = KEYS.into_iter().filter(|other| !other.starts_with("net.")).collect();
    pin(&mut machine, &others, None);
    machine.kernel_says(key, 0);
    problem(&machine, "THON-NET-01", &["reach each other", &format!("sudo sysctl -w {key}=1")]);
    // The kernel keeps this value for each network apart, so that it is really set here.
    let script = format!("\"$@\" && cat {} /etc/sysctl.d/90-thon.conf", sysctl(key));
    let said = machine.shell(&script, &["--yes", "doctor", "--fix"]).ok();
    has(&said.stdout, &["fit for 2 seats", "\n1\n", &format!("\n{key} = 1\n")]);
    has(&said.stderr, &["THON-NET-01", &format!("{key} was 0 and is 1")]);
    assert_eq!(std::fs::read_to_string(sysctl(key)).unwrap(), before);
}

#[test]
fn an_expired_certificate_is_found_and_renewed() {
    let mut machine = machine();
    pin(&mut machine, &KEYS, None);
    machine.node.thon(&["tls", "issue"]).ok();
    let tls = machine.node.thon_home().join("tls");
    let read = |name: &str| std::fs::read_to_string(tls.join(name)).unwrap();
    let root_key = KeyPair::from_pem(&read("ca/rootCA-key.pem")).unwrap();
    let root = Issuer::from_ca_cert_pem(&read("ca/rootCA.pem"), root_key).unwrap();
    let key = KeyPair::from_pem(&read("thon-key.pem")).unwrap();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    let expired = params.signed_by(&key, &root).unwrap();
    std::fs::write(tls.join("thon.pem"), expired.pem() + &read("ca/rootCA.pem")).unwrap();
    problem(&machine, "THON-TLS-02", &["the certificate expired", "days ago", "thon tls issue"]);
    let said = machine.thon(&["--json", "--yes", "doctor", "--fix"]).ok();
    let codes = codes(&said, "ok");
    assert!(codes.iter().any(|code| code == "THON-TLS-02"), "{codes:?}");
    let fixes = said.json()["fixes"].clone();
    assert!(fixes.as_array().unwrap().iter().any(|fix| fix["code"] == "THON-TLS-02"), "{fixes}");
}

#[test]
fn a_domain_that_leads_elsewhere_or_nowhere_is_found() {
    let mut machine = machine();
    machine.configure(TWO, |text| {
        text.replace("nginx:\n", "nginx:\n  domain: hack.example.org\n  ssl_provider: embedded\n")
    });
    // What the world's name servers say must not matter.
    machine.says("/etc/nsswitch.conf", "hosts: files\n");
    machine.says("/etc/hosts", "127.0.0.1 localhost\n");
    problem(&machine, "THON-DNS-01", &["hack.example.org has no address", "add an A record"]);
    machine.says("/etc/hosts", "127.0.0.1 localhost\n203.0.113.9 hack.example.org\n");
    problem(&machine, "THON-DNS-02", &["leads to 203.0.113.9", "this machine is 127.0.0.1"]);
}

#[test]
fn an_old_docker_and_a_silent_one_are_found_and_the_rest_is_looked_at() {
    let mut machine = machine();
    let old = FakeDocker::of_version(machine.node.folder(), "18.09.1", "1.39");
    machine.docker_at(old.socket());
    problem(
        &machine,
        "THON-DOCKER-04",
        &["Docker 18.09.1 speaks interface 1.39", "1.41 or later", "upgrade to Docker 20.10"],
    );
    drop(old);
    problem(&machine, "THON-DOCKER-01", &["fake-docker.sock", "enable --now docker"]);
    let silent = FakeDocker::silent(machine.node.folder());
    machine.docker_at(silent.socket());
    machine.says(&sysctl("fs.inotify.max_user_instances"), "3\n");
    let said = machine.thon(&["--json", "doctor"]).expect(1);
    assert_eq!(codes(&said, "problem"), ["THON-DOCKER-03", "THON-KERNEL-01"]);
    assert!(codes(&said, "ok").iter().any(|code| code == "THON-PORT-01"), "{said:?}");
}

#[test]
fn nginx_and_its_configuration_are_looked_at() {
    let machine = machine();
    machine.node.thon(&["nginx", "sync"]).ok();
    let conf = machine.node.thon_home().join("nginx/nginx.conf");
    let text = std::fs::read_to_string(&conf).unwrap();
    std::fs::write(&conf, text.replace("http {", "http {\n  lissten 80;")).unwrap();
    problem(&machine, "THON-NGINX-03", &["unknown directive \"lissten\"", "thon nginx sync"]);
}

#[test]
fn walls_that_fell_are_found_and_put_up_again() {
    let mut machine = machine();
    pin(&mut machine, &KEYS, None);
    let fix = || machine.thon(&["--json", "--yes", "doctor", "--fix"]).ok();
    let stands = |said: &Output| codes(said, "ok").iter().any(|code| code == "THON-FIREWALL-01");
    assert!(stands(&fix()));
    tear_down(&bridge(&machine.node.name));
    let said = machine.node.thon(&["doctor"]).ok();
    has(&said.stdout, &["warning  THON-FIREWALL-01", "loopback", "run `thon run`"]);
    assert!(stands(&fix()));
    assert!(stands(&machine.node.thon(&["--json", "doctor"]).ok()));
}

#[test]
fn fixes_are_made_only_after_a_yes_and_kept_for_the_next_boot() {
    let mut machine = machine();
    machine.node.thon(&["tls", "issue"]).ok();
    let key = machine.node.thon_home().join("tls/thon-key.pem");
    let expose = || {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(&key, mode).unwrap();
    };
    expose();
    pin(&mut machine, &KEYS, Some("3\n"));
    problem(&machine, "THON-FILES-01", &["its mode is 0644", "chmod go-rwx", "thon doctor --fix"]);

    let said = machine.thon(&["doctor", "--fix"]).expect(2);
    has(&said.stderr, &["nobody can be asked here", "--yes"]);
    assert_eq!(mode(&key), 0o644);

    let script = "\"$@\" && cat /etc/sysctl.d/90-thon.conf /proc/sys/fs/inotify/max_user_watches";
    let said = machine.shell(script, &["--yes", "doctor", "--fix"]).ok();
    assert_eq!(mode(&key), 0o600);
    has(&said.stderr, &["fs.inotify.max_user_instances was 3 and is 1024"]);
    has(
        &said.stdout,
        &[
            "fit for 2 seats",
            "\nfs.inotify.max_user_instances = 1024\nfs.inotify.max_user_watches = 524288\n524288",
        ],
    );
}
