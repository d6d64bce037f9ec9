//! The doctor's rules on a made-up host: a healthy one has nothing wrong, and each fault shows as
//! exactly its own code.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use thon_core::adapter::{Failure, FailureKind};
use thon_core::certificate::Trust;
use thon_core::config::Config;
use thon_core::doctor::{
    CertificateFacts, ClockFacts, Code, ConnectionFacts, DiskFacts, DnsFacts, EngineFacts,
    ExposedFile, Fact, Finding, HostFacts, ImageFacts, KernelFacts, MemoryFacts, NetworkFacts,
    NginxFacts, PortFacts, PortHolder, PortPurpose, PortsFacts, RangeFacts, Remedy, Severity,
    Space, WallGap, examine,
};
use thon_core::endpoint::Port;
use thon_core::image::ImageRef;

const GIB: u64 = 1 << 30;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 20_000)
}

fn days(count: u64) -> Duration {
    Duration::from_hours(24 * count)
}

fn port(number: u32) -> Port {
    Port::new(number).unwrap()
}

/// A configuration for so many users on a host with a domain.
fn event(users: usize) -> Config {
    let mut text =
        "nginx: {domain: hack.example.org, layout: subdomain}\ngroups:\n  a:\n".to_owned();
    for number in 0..users {
        writeln!(text, "    - u{number}").unwrap();
    }
    Config::parse(&text, "thon.yaml").unwrap().config
}

fn space(free: u64) -> Space {
    Space { path: "/var/lib/docker".into(), free, total: 1000 * GIB, free_files: Some(100_000_000) }
}

fn engine() -> EngineFacts {
    EngineFacts {
        version: "27.3.1".to_owned(),
        api_version: "1.47".to_owned(),
        address: "unix:///var/run/docker.sock".to_owned(),
        local: true,
        unlimited: Vec::new(),
        swap_limit: Some(true),
        cgroup_version: Some(2),
        guards: Some(vec!["apparmor".to_owned(), "seccomp".to_owned()]),
        time: Some(now()),
        data_root: "/var/lib/docker".into(),
    }
}

/// A host on which 80 users have all they can want.
fn healthy() -> HostFacts {
    let kernel = KernelFacts {
        inotify_instances: Fact::Known(8192),
        inotify_watches: Fact::Known(1_048_576),
        files: Fact::Known(u64::MAX),
        pids: Fact::Known(4_194_304),
        threads: Fact::Known(1_000_000),
        connections: Fact::Known(262_144),
        neighbours: Fact::Known(4096),
        bridge_filter: Fact::Known(1),
    };
    let door =
        |number, purpose| PortFacts { port: port(number), purpose, holder: PortHolder::Nobody };
    let seat = PortPurpose::Seat("a/u0".parse().unwrap());
    HostFacts {
        now: now(),
        engine_installed: true,
        engine: Fact::Known(Ok(engine())),
        network: Fact::Known(NetworkFacts {
            present: true,
            subnet: Some("10.200.0.0/20".to_owned()),
            capacity: Some(4093),
            overlaps: Vec::new(),
            flaw: None,
        }),
        walls: Fact::Known(Vec::new()),
        running: Fact::Known(vec!["a/u0".parse().unwrap()]),
        image: Fact::Known(ImageFacts {
            image: ImageRef::default(),
            present: true,
            outdated: false,
            size: Some(2 * GIB),
        }),
        disks: DiskFacts {
            engine: Fact::Known(space(500 * GIB)),
            workspaces: Fact::Absent,
            home: Fact::Known(space(500 * GIB)),
        },
        memory: Fact::Known(MemoryFacts { total: 256 * GIB, available: 240 * GIB, swap: 0 }),
        held: Fact::Absent,
        kernel,
        ports: PortsFacts {
            wanted: Fact::Known(vec![
                door(443, PortPurpose::Https),
                door(80, PortPurpose::Http),
                PortFacts { port: port(20_000), purpose: seat, holder: PortHolder::Ours },
            ]),
            range: Fact::Known(RangeFacts { busy: 3, given: 1, newcomers: 79 }),
            outgoing: Fact::Known((32_768, 60_999)),
        },
        nginx: Fact::Known(NginxFacts {
            version: Some("nginx/1.26.0".to_owned()),
            lacks: None,
            mode: "managed".to_owned(),
            running: true,
            refuses: None,
            connections: Fact::Known(ConnectionFacts {
                workers: 8,
                per_worker: 8192,
                set_in: "by THON".to_owned(),
            }),
        }),
        certificate: Fact::Known(Some(CertificateFacts {
            chain: "/home/ada/.thon/tls/thon.pem".into(),
            valid: Some((now() - days(10), now() + days(80))),
            trust: Trust::Public,
            lacks: None,
            flaw: None,
        })),
        dns: Fact::Known(DnsFacts {
            domain: "hack.example.org".to_owned(),
            addresses: Ok(vec!["203.0.113.7".parse().unwrap()]),
            local: vec!["203.0.113.7".parse().unwrap()],
            own: "203.0.113.7".parse().unwrap(),
            behind_router: false,
        }),
        clock: ClockFacts {
            happened: vec![("the last change of seats.json".to_owned(), now() - days(1))],
            synchronized: Fact::Known(true),
        },
        exposed: Fact::Known(Vec::new()),
        home: Fact::Known(None),
        selinux: Fact::Known(false),
    }
}

/// A known fact, to be changed.
#[track_caller]
fn of<T>(fact: &mut Fact<T>) -> &mut T {
    match fact {
        Fact::Known(value) => value,
        _ => panic!("not known"),
    }
}

fn engine_of(host: &mut HostFacts) -> &mut EngineFacts {
    of(&mut host.engine).as_mut().unwrap()
}

fn certificate_of(host: &mut HostFacts) -> &mut CertificateFacts {
    of(&mut host.certificate).as_mut().unwrap()
}

fn dead(kind: FailureKind) -> Fact<Result<EngineFacts, Failure>> {
    Fact::Known(Err(Failure::new(kind, "asking Docker", "it is silent", "do something")))
}

fn exposed() -> ExposedFile {
    ExposedFile { path: "/home/ada/.thon/seats.json".into(), mode: 0o644, owner: None }
}

/// What makes the healthy host ill, or its configuration demanding.
type Fault = fn(&mut HostFacts, &mut Config);

/// A fault for every code: how it is provoked, how much it matters, and what is said of it.
const FAULTS: &[(Code, Severity, &str, Fault)] = &[
    (Code::Docker01, Severity::Problem, "systemctl enable --now docker", |host, _| {
        host.engine = dead(FailureKind::Unreachable);
    }),
    (Code::Docker02, Severity::Problem, "do something", |host, _| {
        host.engine = dead(FailureKind::Denied);
    }),
    (Code::Docker03, Severity::Problem, "systemctl restart docker", |host, _| {
        host.engine = dead(FailureKind::TimedOut);
    }),
    (Code::Docker04, Severity::Problem, "speaks interface 1.9; THON needs 1.41", |host, _| {
        engine_of(host).api_version = String::from("1.9");
    }),
    (Code::Docker05, Severity::Problem, "tcp://10.0.0.9:2375", |host, _| {
        let engine = engine_of(host);
        (engine.local, engine.address) = (false, "tcp://10.0.0.9:2375".to_owned());
    }),
    (Code::Docker06, Severity::Problem, "can't limit the memory and the CPU time", |host, _| {
        engine_of(host).unlimited = vec!["memory", "CPU time"];
    }),
    (Code::Docker07, Severity::Note, "don't count swap", |host, _| {
        engine_of(host).swap_limit = Some(false);
        of(&mut host.memory).swap = GIB;
    }),
    (Code::Docker08, Severity::Note, "cgroup v1", |host, _| {
        engine_of(host).cgroup_version = Some(1);
    }),
    (Code::Docker09, Severity::Warning, "no seccomp", |host, _| {
        engine_of(host).guards = Some(vec!["apparmor".to_owned()]);
    }),
    (Code::Docker10, Severity::Warning, "chcon", |host, config| {
        host.selinux = Fact::Known(true);
        config.workspace.dir = Some("/srv/work".into());
    }),
    (Code::Image01, Severity::Problem, "waterpistol/thon:latest is not here", |host, _| {
        of(&mut host.image).present = false;
    }),
    (Code::Image02, Severity::Warning, "thon run --recreate", |host, _| {
        of(&mut host.image).outdated = true;
    }),
    (Code::Disk01, Severity::Problem, "3 GiB of 1000 GiB are free", |host, _| {
        of(&mut host.disks.engine).free = 3 * GIB;
    }),
    (Code::Disk02, Severity::Problem, "at least 5 GiB are needed", |host, config| {
        host.disks.workspaces = Fact::Known(space(4 * GIB));
        config.workspace.dir = Some("/srv/work".into());
    }),
    (Code::Disk03, Severity::Problem, "10 MiB of 1000 GiB", |host, _| {
        of(&mut host.disks.home).free = 10 << 20;
    }),
    (Code::Memory01, Severity::Problem, "add 4 GiB", |host, _| {
        // A host with so little has too little for the other forecasts as well.
        of(&mut host.memory).available = GIB;
    }),
    (Code::Memory02, Severity::Warning, "of 80 seats fit at work", |host, _| {
        of(&mut host.memory).available = 50 * GIB;
    }),
    (
        Code::Memory03,
        Severity::Note,
        "lower the limit to 1.5 GiB (sandbox.memory), or add 40 GiB of memory",
        |host, _| of(&mut host.memory).available = 120 * GIB,
    ),
    (Code::Kernel01, Severity::Problem, "max_user_instances=1024", |host, _| {
        host.kernel.inotify_instances = Fact::Known(128);
    }),
    (Code::Kernel02, Severity::Warning, "max_user_watches=524288", |host, _| {
        host.kernel.inotify_watches = Fact::Known(8192);
    }),
    (Code::Kernel03, Severity::Warning, "fs.file-max=1048576", |host, _| {
        host.kernel.files = Fact::Known(90_000);
    }),
    (Code::Kernel04, Severity::Problem, "kernel.pid_max=131072", |host, _| {
        host.kernel.pids = Fact::Known(8192);
    }),
    (Code::Kernel05, Severity::Warning, "nf_conntrack_max=262144", |host, _| {
        host.kernel.connections = Fact::Known(65_536);
    }),
    (Code::Kernel06, Severity::Problem, "gc_thresh3=4096", |host, _| {
        host.kernel.neighbours = Fact::Known(128);
    }),
    (Code::Net01, Severity::Problem, "bridge-nf-call-iptables=1", |host, _| {
        host.kernel.bridge_filter = Fact::Known(0);
    }),
    (
        Code::Net02,
        Severity::Problem,
        "10.200.0.0/27 holds 29 sandboxes; there are 80",
        |host, _| {
            let network = of(&mut host.network);
            (network.subnet, network.capacity) = (Some("10.200.0.0/27".to_owned()), Some(29));
        },
    ),
    (Code::Net03, Severity::Problem, "overlaps with the route by tun0", |host, _| {
        of(&mut host.network).overlaps = vec!["the route by tun0 (10.0.0.0/8)".to_owned()];
    }),
    (Code::Net04, Severity::Problem, "docker network rm", |host, _| {
        of(&mut host.network).flaw = Some("the network lets sandboxes reach each other".to_owned());
    }),
    (
        Code::Firewall01,
        Severity::Problem,
        "loopback: iptables is missing; install it",
        |host, _| {
            let (reason, advice) = ("iptables is missing".to_owned(), "install it".to_owned());
            host.walls = Fact::Known(vec![WallGap { reason, advice }]);
        },
    ),
    (Code::Port01, Severity::Problem, "port 80 is in use by apache2 (process 7)", |host, _| {
        of(&mut host.ports.wanted)[1].holder = PortHolder::Other("apache2 (process 7)".to_owned());
    }),
    (Code::Port02, Severity::Problem, "port 20000 of a/u0 is in use by nc", |host, _| {
        of(&mut host.ports.wanted)[2].holder = PortHolder::Other("nc (process 7)".to_owned());
    }),
    (Code::Port03, Severity::Problem, "widen sandbox.host_ports", |host, _| {
        of(&mut host.ports.range).busy = 9950;
    }),
    (Code::Port04, Severity::Warning, "choose ports below 15000", |host, _| {
        host.ports.outgoing = Fact::Known((15_000, 60_999));
    }),
    (Code::Nginx01, Severity::Problem, "apt-get install nginx", |host, _| {
        of(&mut host.nginx).version = None;
    }),
    (Code::Nginx02, Severity::Warning, "1.19.3", |host, _| {
        of(&mut host.nginx).lacks = Some("proxy_cookie_flags");
    }),
    (Code::Nginx03, Severity::Problem, "unknown directive \"lissten\"", |host, _| {
        of(&mut host.nginx).refuses = Some("unknown directive \"lissten\" (line 7)".to_owned());
    }),
    (Code::Nginx04, Severity::Problem, "nobody can reach them", |host, _| {
        of(&mut host.nginx).running = false;
    }),
    (Code::Nginx05, Severity::Warning, "1024 connections (2 × 512", |host, _| {
        let most = of(&mut of(&mut host.nginx).connections);
        (most.workers, most.per_worker) = (2, 512);
    }),
    (Code::Tls01, Severity::Note, "thon tls issue", |host, _| {
        host.certificate = Fact::Known(None);
    }),
    (Code::Tls02, Severity::Problem, "expired 3 days ago", |host, _| {
        certificate_of(host).valid = Some((now() - days(90), now() - days(3)));
    }),
    (Code::Tls03, Severity::Warning, "expires in 9 days; 14 days", |host, _| {
        certificate_of(host).valid = Some((now() - days(90), now() + days(9)));
    }),
    (Code::Tls04, Severity::Problem, "does not cover hack.example.org", |host, _| {
        certificate_of(host).lacks = Some("hack.example.org".to_owned());
    }),
    (Code::Tls05, Severity::Problem, "has a key that belongs to another", |host, _| {
        certificate_of(host).flaw =
            Some("has a key that belongs to another certificate".to_owned());
    }),
    (Code::Tls06, Severity::Note, "web views", |host, _| {
        certificate_of(host).trust = Trust::ImportedRoot;
    }),
    (Code::Dns01, Severity::Problem, "has no address: Name or service not known", |host, _| {
        of(&mut host.dns).addresses = Err("Name or service not known".to_owned());
    }),
    (Code::Dns02, Severity::Problem, "leads to 198.51.100.4", |host, _| {
        let dns = of(&mut host.dns);
        (dns.addresses, dns.local) = (Ok(vec!["198.51.100.4".parse().unwrap()]), Vec::new());
    }),
    (Code::Clock01, Severity::Problem, "is 9 days in the future", |host, _| {
        host.clock.happened.push(("the making of it".to_owned(), now() + days(9)));
    }),
    (Code::Clock02, Severity::Warning, "set-ntp true", |host, _| {
        host.clock.synchronized = Fact::Known(false);
    }),
    (Code::Files01, Severity::Problem, "seats.json: its mode is 0644", |host, _| {
        host.exposed = Fact::Known(vec![exposed()]);
    }),
    (Code::Files02, Severity::Problem, "belongs to user 1000", |host, _| {
        host.home = Fact::Known(Some(ExposedFile { owner: Some(1000), ..exposed() }));
    }),
    (Code::Layout01, Severity::Note, "share one browser origin", |_, config| {
        config.nginx.layout = "path".parse().unwrap();
    }),
];

/// The findings that are worth a word.
fn told(host: &HostFacts, config: &Config) -> Vec<Finding> {
    let all = examine(host, config).into_iter();
    all.filter(|finding| finding.severity < Severity::Unknown).collect()
}

#[test]
fn a_healthy_host_is_healthy() {
    let findings = examine(&healthy(), &event(80));
    let bad: Vec<_> = findings.iter().filter(|one| one.severity != Severity::Ok).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    assert!(findings.len() > 40, "{}", findings.len());
    for finding in findings {
        assert!(finding.fix.is_none() && finding.remedy.is_none(), "{finding:?}");
    }
}

#[test]
fn each_fault_has_its_own_code_and_a_way_out() {
    for (code, severity, part, fault) in FAULTS {
        let (mut host, mut config) = (healthy(), event(80));
        fault(&mut host, &mut config);
        let found = told(&host, &config);
        let memory = [Code::Memory01, Code::Memory02, Code::Memory03];
        let others: Vec<Code> =
            found.iter().map(|one| one.code).filter(|one| one != code).collect();
        // Who has too little memory for one forecast has too little for the greater ones.
        let more = if memory.contains(code) { &memory[..] } else { &[] };
        assert!(others.iter().all(|other| more.contains(other)), "{code}: {others:?}");
        let Some(finding) = found.iter().find(|one| one.code == *code) else {
            panic!("{code} was not found: {found:#?}");
        };
        assert_eq!(finding.severity, *severity, "{finding:?}");
        let fix = finding.fix.as_deref().unwrap_or_else(|| panic!("no way out: {finding:?}"));
        let text = format!("{}; {fix}", finding.says);
        assert!(text.contains(part), "{part:?} is missing in: {text}");
        assert!(!text.contains('\n'), "{text}");
    }
}

#[test]
fn every_code_is_provoked_once() {
    let provoked: Vec<Code> = FAULTS.iter().map(|(code, ..)| *code).collect();
    assert_eq!(provoked, Code::ALL);
    let names: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(names.len(), Code::ALL.len());
}

#[test]
fn the_document_explains_each_code_and_no_other() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/doctor.md");
    let text = std::fs::read_to_string(path).unwrap();
    // GitHub's anchor of a heading that is the code alone is the code in small letters.
    let explained: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .filter(|heading| heading.starts_with("THON-"))
        .collect();
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(explained, codes);
    assert_eq!(Code::Docker01.docs(), "docs/doctor.md#thon-docker-01");
}

#[test]
fn what_could_not_be_found_out_is_neither_well_nor_ill() {
    let mut host = healthy();
    let why = || "no answer within 4 s".to_owned();
    host.memory = Fact::Unknown(why());
    host.nginx = Fact::Unknown(why());
    host.network = Fact::Unknown(why());
    host.certificate = Fact::Unknown(why());
    assert_eq!(told(&host, &event(80)), Vec::<Finding>::new());
    let unknown: Vec<_> = examine(&host, &event(80))
        .into_iter()
        .filter(|one| one.severity == Severity::Unknown)
        .collect();
    assert!(unknown.iter().all(|one| one.says.contains("no answer within 4 s")), "{unknown:?}");
    assert!(unknown.iter().any(|one| one.code == Code::Tls01), "{unknown:?}");
}

#[test]
fn what_worries_most_comes_first() {
    let (mut host, config) = (healthy(), event(80));
    host.clock.synchronized = Fact::Known(false);
    host.exposed = Fact::Known(vec![exposed(), exposed()]);
    engine_of(&mut host).cgroup_version = Some(1);
    let order: Vec<Code> = told(&host, &config).iter().map(|one| one.code).collect();
    assert_eq!(order, [Code::Files01, Code::Clock02, Code::Docker08]);
}

#[test]
fn groups_with_limits_of_their_own_count_with_those() {
    let text = "nginx: {enabled: false}\ngroups:\n  a: {memory: 8g, users: [u0, u1]}\n  b: [v0]\n";
    let config = Config::parse(text, "thon.yaml").unwrap().config;
    let mut host = healthy();
    of(&mut host.memory).available = 10 * GIB;
    let found = told(&host, &config);
    let memory = found.iter().find(|one| one.code == Code::Memory03).unwrap();
    assert!(memory.says.starts_with("2 of 3 seats fit at their limit"), "{memory:?}");
    assert!(memory.says.contains("18 GiB needed"), "{memory:?}");
}

#[test]
fn what_running_sandboxes_hold_counts_as_theirs() {
    let (mut host, config) = (healthy(), event(80));
    // 80 at work take 54.7 GiB.
    of(&mut host.memory).available = 30 * GIB;
    let warned =
        |host: &HostFacts| told(host, &config).iter().any(|one| one.code == Code::Memory02);
    assert!(warned(&host));
    host.held = Fact::Known(25 * GIB);
    assert!(!warned(&host));
}

#[test]
fn a_kernel_without_the_filter_is_as_bad_as_one_with_the_filter_off() {
    let (mut host, config) = (healthy(), event(80));
    host.kernel.bridge_filter = Fact::Absent;
    let found = told(&host, &config);
    assert_eq!(
        (found.len(), found[0].code, found[0].severity),
        (1, Code::Net01, Severity::Problem)
    );
    assert!(found[0].fix.as_ref().unwrap().contains("modprobe br_netfilter"), "{found:?}");
    // Docker loads it with the first network.
    of(&mut host.network).present = false;
    assert!(told(&host, &config).iter().all(|one| one.code != Code::Net01));
}

#[test]
fn without_nginx_nothing_is_said_of_it() {
    let (mut host, mut config) = (healthy(), event(80));
    config.nginx.enabled = false;
    of(&mut host.nginx).version = None;
    certificate_of(&mut host).lacks = Some("x".to_owned());
    of(&mut host.dns).addresses = Err("no".to_owned());
    of(&mut host.ports.wanted)[0].holder = PortHolder::Other("nc".to_owned());
    assert_eq!(told(&host, &config), Vec::<Finding>::new());
}

#[test]
fn a_machine_behind_a_router_is_told_what_to_forward() {
    let (mut host, mut config) = (healthy(), event(80));
    let dns = of(&mut host.dns);
    dns.own = "192.168.1.5".parse().unwrap();
    dns.local = Vec::new();
    dns.behind_router = true;
    let found = told(&host, &config);
    assert_eq!((found[0].code, found[0].severity), (Code::Dns02, Severity::Warning));
    assert!(found[0].fix.as_ref().unwrap().contains("external_ip: 203.0.113.7"), "{found:?}");
    config.external_ip = Some("203.0.113.7".parse().unwrap());
    assert_eq!(told(&host, &config), Vec::<Finding>::new());
}

#[test]
fn without_docker_the_way_to_it_follows_from_whether_it_is_installed() {
    let (mut host, config) = (healthy(), event(1));
    host.engine = dead(FailureKind::Unreachable);
    assert_eq!(told(&host, &config)[0].remedy, Some(Remedy::StartEngine));
    host.engine_installed = false;
    assert_eq!(told(&host, &config)[0].remedy, Some(Remedy::InstallPackages));
}

proptest! {
    /// Whatever the machine and the roster, the advice given mends what it was given for.
    #[test]
    fn advice_on_the_kernel_suffices(users in 1_usize..300, allowed in 0_u64..100_000) {
        let (mut host, config) = (healthy(), event(users));
        let small = Fact::Known(allowed);
        let kernel = &mut host.kernel;
        (kernel.inotify_instances, kernel.inotify_watches) = (small.clone(), small.clone());
        (kernel.files, kernel.pids, kernel.connections) =
            (small.clone(), small.clone(), small.clone());
        kernel.neighbours = small;
        for _ in 0..2 {
            for finding in told(&host, &config) {
                let Some(Remedy::Sysctl { key, value }) = finding.remedy else { continue };
                let kernel = &mut host.kernel;
                let fact = match key {
                    "fs.inotify.max_user_instances" => &mut kernel.inotify_instances,
                    "fs.inotify.max_user_watches" => &mut kernel.inotify_watches,
                    "fs.file-max" => &mut kernel.files,
                    "kernel.pid_max" => &mut kernel.pids,
                    "net.netfilter.nf_conntrack_max" => &mut kernel.connections,
                    "net.ipv4.neigh.default.gc_thresh3" => &mut kernel.neighbours,
                    _ => panic!("{key}"),
                };
                let before = *of(fact);
                prop_assert!(value > before, "{key}: {before} is lowered to {value}");
                *fact = Fact::Known(value);
            }
        }
        let left: Vec<Code> = told(&host, &config)
            .into_iter()
            .filter(|one| one.remedy.is_some())
            .map(|one| one.code)
            .collect();
        prop_assert_eq!(left, Vec::<Code>::new());
    }

    /// As many seats are said to fit as do.
    #[test]
    fn the_forecast_counts_right(users in 1_usize..200, gib in 0_u64..64) {
        let (mut host, config) = (healthy(), event(users));
        host.running = Fact::Known(Vec::new());
        of(&mut host.memory).available = gib * GIB;
        let fit = usize::try_from(gib * GIB / (700 << 20)).unwrap();
        let found = told(&host, &config);
        match found.iter().find(|one| one.code == Code::Memory02) {
            None => prop_assert!(fit >= users),
            Some(one) => {
                let start = format!("{fit} of {users} seat");
                prop_assert!(fit < users && one.says.starts_with(&start), "{}", one.says);
            }
        }
    }
}
