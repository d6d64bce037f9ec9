//! What a participant reaches from inside a sandbox, tried from there.

use std::fmt::Write as _;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::desk::has;
use crate::engine::Engine;
use crate::outside::{Internet, Service, WORDS};
use crate::stage::{Stage, edit};
use crate::support::{Node, docker, exec, exec_as_user, image, try_docker};

/// What curl ends with where nobody takes the connection, or the way is barred.
const REFUSED: i32 = 7;

/// Asks as a participant does; patience is for what must be refused at once.
fn ask(container: &str, url: &str) -> Result<String, i32> {
    let curl = ["curl", "--silent", "--connect-timeout", "2", "--max-time", "5", url];
    let said = exec_as_user(container, &curl);
    if said.code == 0 { Ok(said.stdout) } else { Err(said.code) }
}

#[track_caller]
fn reaches(container: &str, url: &str) {
    assert_eq!(ask(container, url).as_deref(), Ok(WORDS), "{container} {url}");
}

#[track_caller]
fn is_refused(container: &str, url: &str) {
    assert_eq!(ask(container, url), Err(REFUSED), "{container} {url}");
}

/// One value of what Docker says of a container or a network.
#[track_caller]
fn seen(kind: &str, name: &str, format: &str) -> String {
    docker(&[kind, "inspect", "--format", format, name])
}

/// The bridge of one of the node's networks.
#[track_caller]
pub(crate) fn bridge(network: &str) -> String {
    seen("network", network, r#"{{index .Options "com.docker.network.bridge.name"}}"#)
}

/// The address of this machine on one of its interfaces.
#[track_caller]
fn address_of(interface: &str) -> String {
    let said = Command::new("ip").args(["-4", "-o", "addr", "show", "dev", interface]).output();
    let said = String::from_utf8(said.unwrap().stdout).unwrap();
    let address = said.split_whitespace().skip_while(|word| *word != "inet").nth(1);
    address.and_then(|address| address.split_once('/')).expect(interface).0.to_owned()
}

/// The address of this machine on its own network.
fn own_address() -> String {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("203.0.113.1:9").unwrap();
    socket.local_addr().unwrap().ip().to_string()
}

/// The rules of both packet filters.
fn rules() -> String {
    let mut all = String::new();
    for program in ["iptables", "ip6tables"] {
        let said = Command::new(program).args(["-w", "10", "-S"]).output().unwrap();
        let _ = writeln!(all, "{program}\n{}", String::from_utf8_lossy(&said.stdout));
    }
    all
}

/// Takes the jumps to the rules of this bridge away, as a restart of somebody's own firewall does.
#[track_caller]
pub(crate) fn tear_down(bridge: &str) {
    let mut program = String::new();
    for line in rules().lines() {
        let Some(rule) = line.strip_prefix("-A ") else {
            if line.ends_with("tables") {
                line.clone_into(&mut program);
            }
            continue;
        };
        if rule.contains(&format!("-i {bridge} -j THON-")) {
            let words = ["-w", "10", "-D"].into_iter().chain(rule.split(' '));
            assert!(Command::new(&program).args(words).status().unwrap().success(), "{rule}");
        }
    }
}

/// A container on a network of somebody else that publishes one server at two ports.
struct Stranger(String);

impl Stranger {
    fn start(name: &str, ports: [u16; 2]) -> Self {
        let stranger = Self(name.to_owned());
        let bridge = format!("com.docker.network.bridge.name=stra-{}", ports[0]);
        docker(&["network", "create", "--opt", &bridge, name]);
        let serve = format!(
            "mkdir /tmp/w && cd /tmp/w && printf '{WORDS}' > index.html && \
             exec python3 -m http.server 8000"
        );
        let [one, other] = ports.map(|port| format!("{port}:8000"));
        let run = ["run", "--detach", "--name", name, "--network", name];
        let publish = ["--publish", &one, "--publish", &other];
        let image = image();
        let program = ["--entrypoint", "sh", &image, "-c", &serve];
        docker(&[run.as_slice(), &publish, &program].concat());
        stranger
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        try_docker(&["rm", "--force", &self.0]);
        try_docker(&["network", "rm", &self.0]);
    }
}

/// The participant has no privilege, and nothing that would give them one.
#[track_caller]
fn is_nobody(container: &str) {
    let status = exec(container, &["cat", "/proc/1/status", "/proc/self/status"]);
    for line in status.lines() {
        let (key, value) = line.split_once(':').unwrap();
        match key {
            "Uid" => assert!(!value.split_whitespace().any(|id| id == "0"), "{status}"),
            "CapInh" | "CapPrm" | "CapEff" | "CapBnd" | "CapAmb" => {
                assert_eq!(value.trim(), "0000000000000000", "{status}");
            }
            "NoNewPrivs" => assert_eq!(value.trim(), "1", "{status}"),
            _ => {}
        }
    }
    for path in ["/var/run/docker.sock", "/run/docker.sock"] {
        assert_ne!(exec_as_user(container, &["test", "-e", path]).code, 0, "{path} is there");
    }
}

/// The address of a container on its network.
#[track_caller]
fn inner_address(container: &str) -> String {
    seen("container", container, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
}

/// The port of the editor inside a sandbox, and the one on this machine that leads to it.
#[track_caller]
fn editor_ports(container: &str) -> (String, String) {
    let ports =
        "{{range $p, $b := .HostConfig.PortBindings}}{{$p}} {{(index $b 0).HostPort}}{{end}}";
    let said = seen("container", container, ports);
    let (inner, outer) = said.split_once(' ').unwrap();
    (inner.trim_end_matches("/tcp").to_owned(), outer.to_owned())
}

/// The rules that name these bridges or their chains.
fn rules_of(bridges: &[String]) -> Vec<String> {
    let all = rules();
    let ours = all.lines().filter(|line| bridges.iter().any(|bridge| line.contains(bridge)));
    ours.filter(|line| line.contains("THON-")).map(str::to_owned).collect()
}

#[test]
fn a_sandbox_reaches_what_the_configuration_opens_and_nothing_else_of_this_machine() {
    let stage = Stage::new("alpha: [ada, bob]\nbeta: {internet: false, users: [carol]}");
    let (open, shut) = (Service::start(), Service::start());
    let internet = Internet::new(stage.ports.slot());
    let published = [stage.ports.last, stage.ports.last - 1];
    let stranger = Stranger::start(&format!("{}-stranger", stage.name), published);
    edit(&stage.config_file(), |text| {
        let ports = format!("[{}, {}]", open.port, published[0]);
        // The dashboard's port is played by the service that is shut.
        let text = text.replace("sandbox:\n", &format!("sandbox:\n  host_services: {ports}\n"));
        text.replace(&format!("port: {}\n", stage.ports.api), &format!("port: {}\n", shut.port))
    });
    let said = stage.run_with(&[]).ok();
    assert!(!said.stderr.contains("can reach"), "{}", said.stderr);
    let name = |user: &str| stage.container_name(user);
    let (ada, bob, carol) = (name("alpha/ada"), name("alpha/bob"), name("beta/carol"));

    is_nobody(&ada);
    let offline = format!("{}_offline", stage.name);
    for (who, network) in [(&ada, stage.name.as_str()), (&carol, &offline)] {
        let machine =
            [address_of(&bridge(network)), own_address(), address_of(&bridge(&stranger.0))];
        for address in &machine {
            let url = |port: &dyn std::fmt::Display| format!("http://{address}:{port}/");
            // Not what isn't named, be it a program of this machine or a container's port.
            is_refused(who, &url(&shut.port));
            is_refused(who, &url(&published[1]));
            // Not the proxy, nor Docker, nor a neighbour's editor.
            for port in [stage.ports.https, stage.ports.http, 2375, 2376] {
                is_refused(who, &url(&port));
            }
            is_refused(who, &url(&editor_ports(&bob).1));
            // What is named.
            reaches(who, &url(&open.port));
            reaches(who, &url(&published[0]));
        }
        // Not a neighbour's container either, on one's own network or the other.
        let local = format!("http://127.0.0.1:{}/healthz", editor_ports(&bob).0);
        has(&exec(&bob, &["curl", "--silent", &local]), &["status"]);
        let neighbour = format!("http://{}:{}/healthz", inner_address(&bob), editor_ports(&bob).0);
        assert!(ask(who, &neighbour).is_err(), "{who} {neighbour}");
        let stranger = format!("http://{}:8000/", inner_address(&stranger.0));
        assert!(ask(who, &stranger).is_err(), "{who} {stranger}");
    }
    assert_eq!(shut.visits(), 0);

    // Who is online reaches what lies behind this machine, and who isn't doesn't.
    reaches(&ada, &internet.url());
    let visits = internet.service.visits();
    is_refused(&carol, &internet.url());
    assert_eq!(internet.service.visits(), visits);
    assert_eq!(exec_as_user(&carol, &["getent", "hosts", "example.org"]).code, 2);

    // All the while they work behind their URLs.
    let web = stage.web();
    for one in stage.instances() {
        assert_eq!(web.get(&format!("{}healthz", one.url())).status, 200, "{one:?}");
    }

    // IPv6: sandboxes have none; who has it in their place meets the same walls.
    assert!(!exec(&ada, &["cat", "/proc/net/if_inet6"]).contains("eth0"));
    let v6 =
        |bridge: &str| link_local(bridge).map(|address| six(&stage.name, &address, &open, &shut));
    if let Some(code) = v6(&bridge(&stage.name)) {
        assert_eq!((code, shut.visits()), (REFUSED, 0));
    }

    // A second run changes nothing.
    let bridges = [bridge(&stage.name), bridge(&offline)];
    let of_node = || rules_of(&bridges);
    let standing = of_node();
    assert!(!standing.is_empty());
    stage.run_with(&[]).ok();
    assert_eq!(of_node(), standing);

    // Without the rules all of that is open, and the next run closes it.
    let machine = address_of(&bridge(&stage.name));
    let closed = format!("http://{machine}:{}/", shut.port);
    for bridge in &bridges {
        tear_down(bridge);
    }
    reaches(&ada, &closed);
    if let Some(code) = v6(&bridge(&stage.name)) {
        assert_eq!(code, 0);
    }
    let before = stage.traces();
    stage.run_with(&[]).ok();
    is_refused(&ada, &closed);
    is_refused(&carol, &internet.url());
    assert_eq!((of_node(), stage.traces()), (standing, before));

    // A group is given the internet.
    edit(&stage.config_file(), |text| text.replace("internet: false", "internet: true"));
    let said = stage.run_with(&["--yes"]).ok();
    has(&said.stderr, &["2 keep, 1 recreate"]);
    reaches(&carol, &internet.url());

    // Nothing stays.
    stage.thon(&["down", "--yes"]).ok();
    let left = rules();
    for bridge in bridges {
        assert!(!left.contains(&bridge), "{left}");
    }
    let label = format!("label=thon.node={}", stage.name);
    assert_eq!(docker(&["network", "ls", "--quiet", "--filter", &label]), "");
}

/// The address that a bridge has given itself, where this machine has IPv6.
fn link_local(bridge: &str) -> Option<String> {
    let all = std::fs::read_to_string("/proc/net/if_inet6").ok()?;
    let line = all.lines().find(|line| line.starts_with("fe80") && line.ends_with(bridge))?;
    let digits: Vec<char> = line.split(' ').next()?.chars().collect();
    let parts: Vec<String> = digits.chunks(4).map(|part| part.iter().collect()).collect();
    Some(parts.join(":"))
}

/// What curl ends with at the shut service, on the node's network with IPv6 switched on, after it
/// has reached the open one.
#[track_caller]
fn six(network: &str, address: &str, open: &Service, shut: &Service) -> i32 {
    let url = |service: &Service| format!("http://[{address}%25eth0]:{}/", service.port);
    let script = format!(
        "curl -sg --max-time 5 --retry 60 --retry-all-errors --retry-delay 1 '{}' && \
         curl -sg --max-time 5 '{}' > /dev/null",
        url(open),
        url(shut)
    );
    let run = ["run", "--rm", "--network", network, "--user", "1001:1001"];
    let six = ["--sysctl", "net.ipv6.conf.all.disable_ipv6=0", "--entrypoint", "sh"];
    let image = image();
    let said = try_docker(&[&run, six.as_slice(), &[&image, "-c", &script]].concat());
    assert_eq!(said.stdout, WORDS, "{said:?}");
    said.code
}

#[test]
fn where_no_walls_can_be_put_up_it_is_said_and_nobody_only_seems_to_be_offline() {
    let stage = Stage::new("alpha: [ada]\nbeta: {internet: false, users: [carol]}");
    let programs = stage.folder().join("programs");
    std::fs::create_dir(&programs).unwrap();
    let refusing = programs.join("iptables");
    std::fs::write(&refusing, "#!/bin/sh\necho 'Permission denied' >&2\nexit 4\n").unwrap();
    std::fs::set_permissions(&refusing, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut command = stage.command_in(&[("PATH", &path)], &["run", "--no-nginx"]);
    let said = crate::desk::finish(&mut command).expect(1);
    let lines: Vec<&str> = said.stderr.lines().collect();
    let line = |words: &str| {
        let found: Vec<_> = lines.iter().filter(|line| line.contains(words)).collect();
        assert_eq!(found.len(), 1, "{words}: {}", said.stderr);
        *found[0]
    };
    has(
        line("sandboxes can reach every service"),
        &["warning: ", "iptables failed: Permission denied", "run THON as root"],
    );
    has(
        line("error: "),
        &["beta/carol: keeping a sandbox with", "`internet: false`", "give it the internet"],
    );
    let everyone: Vec<String> = stage.traces().into_keys().collect();
    assert_eq!(everyone, [stage.container_name("alpha/ada")]);
    assert!(stage.trace("alpha/ada").running);

    stage.run_with(&["--no-nginx"]).ok();
    assert!(stage.trace("beta/carol").running);
}

#[test]
fn the_rules_outlive_docker_and_what_is_lost_comes_back_with_the_next_run() {
    let node = Node::new("alpha: [ada]\nbeta: {internet: false, users: [carol]}");
    let mut engine = Engine::start(&node);
    docker(&["--host", &engine.host(), "import", "/dev/null", "nothing:1"]);
    edit(&node.config_file(), |text| {
        let text = text.replace(&image(), "nothing:1");
        text.replace("nginx:\n", "nginx:\n  enabled: false\n")
    });
    // All that a run does before the first sandbox.
    let setup = ["setup", "--no-install", "--yes"];
    engine.thon(&node, &setup).ok();
    let ours = |engine: &Engine| {
        let rules = engine.program("iptables", &["-w", "10", "-S"]).ok().stdout;
        let first = rules.lines().find(|rule| rule.starts_with("-A FORWARD"));
        assert_eq!(first, Some("-A FORWARD -j DOCKER-USER"), "{rules}");
        let ours = rules.lines().filter(|rule| rule.contains("THON-"));
        ours.map(str::to_owned).collect::<Vec<_>>()
    };
    let standing = ours(&engine);
    assert_eq!(standing.iter().filter(|rule| rule.starts_with("-A INPUT")).count(), 2);
    engine.restart();
    assert_eq!(ours(&engine), standing);

    // As after a reboot, or when a firewall of the machine's owner is loaded anew.
    engine.program("iptables", &["-w", "10", "-F"]).ok();
    let said = engine.thon(&node, &setup).ok();
    assert!(!said.stderr.contains("can reach"), "{}", said.stderr);
    assert_eq!(ours(&engine), standing);

    // The kernel can be told to let neighbours through.
    engine.program("sysctl", &["-w", "net.bridge.bridge-nf-call-iptables=0"]).ok();
    let said = engine.thon(&node, &setup).ok();
    has(&said.stderr, &["sandboxes can reach each other: net.bridge.bridge-nf-call-iptables is 0"]);

    engine.thon(&node, &["down", "--yes"]).ok();
    assert!(!engine.program("iptables", &["-w", "10", "-S"]).ok().stdout.contains("THON-"));
}
