//! The doctor's round on this machine.
//!
//! For: finding out what [`thon_core::doctor`] judges, everything at the same time and nothing for
//! longer than [`PATIENCE`], and mending what can be mended without a decision.
//! Not for: judging, and not for asking anybody.

mod host;
mod mend;
mod name;
mod sysctl;

pub(crate) use host::{memory, space};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use thon_core::adapter::{Failure, FailureKind, SandboxRuntime, Store};
use thon_core::config::ShowSecrets;
use thon_core::doctor::{
    CertificateFacts, ClockFacts, DiskFacts, EngineFacts, Fact, Finding, HostFacts, ImageFacts,
    NetworkFacts, PortFacts, PortHolder, PortPurpose, PortsFacts, RangeFacts, WallGap, examine,
};
use thon_core::endpoint::{NetworkMode, Port};
use thon_core::name::UserId;
use thon_core::sandbox::{ObservedSandbox, Phase};
use thon_core::seat::Seat;
use thon_docker::{FirewallState, Gap, Wall};

use crate::error::Error;
use crate::node::Node;
use crate::setup::ImageState;
use crate::store::FileStore;
use crate::system::find_program;

/// How long one thing may take to be found out. A healthy machine answers in milliseconds; Docker on
/// one that is starting dozens of editors takes seconds, and is not stuck for that.
const PATIENCE: Duration = Duration::from_secs(4);

/// Why what Docker alone knows isn't known.
const NO_ENGINE: &str = "Docker doesn't answer";

impl Node {
    /// Looks at everything that an event on this machine needs, and judges it. `config_file` is the
    /// file of the configuration, if there is one. Changes nothing.
    pub async fn examine(&self, config_file: Option<&Path>) -> Vec<Finding> {
        // So much is asked at once that the question is large.
        examine(&Box::pin(self.host_facts(config_file)).await, &self.config)
    }

    async fn host_facts(&self, config_file: Option<&Path>) -> HostFacts {
        let config = &self.config;
        let nginx = async {
            if !config.nginx.enabled {
                return (Fact::Absent, Fact::Absent);
            }
            tokio::join!(
                timely(self.proxy.facts(), "nginx"),
                timely(self.certificates.facts(&self.names), "the certificate")
            )
        };
        let home = self.home.clone();
        let files = self.secret_files(config_file);
        let (docker, (nginx, certificate), dns, synchronized, kernel, memory, more) = tokio::join!(
            self.docker_facts(),
            nginx,
            name::look_up(config),
            host::synchronized(),
            apart("the kernel's limits", || Ok(host::kernel())),
            apart("memory", host::memory),
            apart("THON's files", move || {
                Ok((host::exposed(&files), host::flaw(&home)?, host::happened(&home)))
            }),
        );
        let workspaces = config.workspace.dir.clone();
        let home = self.home.root().to_owned();
        let (doors, seats, disk, home_disk) = tokio::join!(
            self.door_facts(),
            self.seat_facts(&docker.sandboxes),
            async {
                match workspaces {
                    Some(dir) => apart("the disk of workspaces", move || host::space(&dir)).await,
                    None => Fact::Absent,
                }
            },
            apart("the disk of THON's folder", move || host::space(&home)),
        );
        let (exposed, home, mut happened) = match more {
            Fact::Known((exposed, home, happened)) => {
                (Fact::Known(exposed), Fact::Known(home), happened)
            }
            Fact::Unknown(why) => (Fact::Unknown(why.clone()), Fact::Unknown(why), Vec::new()),
            Fact::Absent => (Fact::Absent, Fact::Absent, Vec::new()),
        };
        if let Some(Some(CertificateFacts { valid: Some((begin, _)), .. })) = certificate.known() {
            happened.push(("the making of the certificate".to_owned(), *begin));
        }
        let (wanted, range) = seats;
        let ids: Vec<String> = docker
            .sandboxes
            .known()
            .map_or_else(Vec::new, |all| running(all).map(|one| one.id.0.clone()).collect());
        let held = apart("the sandboxes' memory", move || Ok(host::held(&ids))).await;
        let running =
            docker.sandboxes.map(|all| running(&all).map(|one| one.user.clone()).collect());
        HostFacts {
            now: SystemTime::now(),
            engine_installed: find_program("dockerd").is_some(),
            engine: docker.engine,
            network: docker.network,
            walls: docker.walls,
            running,
            image: docker.image,
            disks: DiskFacts { engine: docker.disk, workspaces: disk, home: home_disk },
            memory,
            held: match held {
                Fact::Known(held) => held.into(),
                Fact::Unknown(why) => Fact::Unknown(why),
                Fact::Absent => Fact::Absent,
            },
            kernel: kernel.known().cloned().unwrap_or_default(),
            ports: PortsFacts { wanted: both(doors, wanted), range, outgoing: host::outgoing() },
            nginx,
            certificate,
            dns,
            clock: ClockFacts { happened, synchronized },
            exposed,
            home,
            selinux: host::selinux(),
        }
    }

    async fn docker_facts(&self) -> DockerFacts {
        let engine = tokio::time::timeout(PATIENCE, self.docker.engine_facts()).await;
        let engine: Result<EngineFacts, Failure> = match engine {
            Ok(answer) => answer.map_err(Failure::from),
            Err(_) => Err(Failure::new(
                FailureKind::TimedOut,
                "asking Docker how it is",
                format!("Docker did not answer within {} s", PATIENCE.as_secs()),
                "restart it",
            )),
        };
        let Ok(facts) = &engine else {
            return DockerFacts {
                engine: Fact::Known(engine),
                network: Fact::Unknown(NO_ENGINE.to_owned()),
                walls: Fact::Absent,
                sandboxes: Fact::Unknown(NO_ENGINE.to_owned()),
                image: Fact::Unknown(NO_ENGINE.to_owned()),
                disk: Fact::Unknown(NO_ENGINE.to_owned()),
            };
        };
        let (root, local) = (facts.data_root.clone(), facts.local);
        let image = async {
            let report = self.image().await.map_err(|error| match error {
                Error::World(failure) => failure,
                error => {
                    let tried = "looking at the image's inputs";
                    Failure::new(FailureKind::Other, tried, error.to_string(), "correct them")
                }
            })?;
            Ok(ImageFacts {
                image: report.image,
                present: report.state != ImageState::Missing,
                outdated: report.state == ImageState::Outdated,
                size: report.size,
            })
        };
        let network = async { self.docker.network_facts().await.map_err(Failure::from) };
        let (network, sandboxes, image, disk) = tokio::join!(
            timely(network, "the sandboxes' network"),
            timely(self.docker.observe(), "the sandboxes"),
            timely(image, "the image"),
            async {
                if !local {
                    return Fact::Absent;
                }
                apart("Docker's disk", move || host::space(&root)).await
            },
        );
        let walls = self.walls(&network).await;
        DockerFacts { engine: Fact::Known(engine), network, walls, sandboxes, image, disk }
    }

    /// What doesn't stand of the walls between sandboxes and this machine. Those between sandboxes
    /// depend on a value of the kernel, which is looked at with the others.
    async fn walls(&self, network: &Fact<NetworkFacts>) -> Fact<Vec<WallGap>> {
        if !network.known().is_some_and(|network| network.present) {
            return Fact::Absent;
        }
        match tokio::time::timeout(PATIENCE, self.firewall()).await {
            Ok(FirewallState::Unwanted) => Fact::Absent,
            Ok(FirewallState::Closed) => Fact::Known(Vec::new()),
            Ok(FirewallState::Open(gaps)) => {
                let gaps = gaps.into_iter().filter(|gap| gap.wall == Wall::Host);
                let gap = |Gap { reason, advice, .. }| WallGap { reason, advice };
                Fact::Known(gaps.map(gap).collect())
            }
            Err(_) => Fact::Unknown(late("the packet filter")),
        }
    }

    /// Who has nginx's ports.
    async fn door_facts(&self) -> Fact<Vec<PortFacts>> {
        let nginx = &self.config.nginx;
        if !nginx.enabled {
            return Fact::Absent;
        }
        let dashboard = self.config.dashboard.tls_port.map(|port| (port, PortPurpose::Dashboard));
        let doors: Vec<_> =
            [(nginx.https_port, PortPurpose::Https), (nginx.http_port, PortPurpose::Http)]
                .into_iter()
                .chain(dashboard)
                .collect();
        let ports: Vec<Port> = doors.iter().map(|(port, _)| *port).collect();
        timely(self.proxy.port_holders(&ports), "nginx's ports").await.map(|holders| {
            let found = doors.into_iter().zip(holders);
            found.map(|((port, purpose), holder)| PortFacts { port, purpose, holder }).collect()
        })
    }

    /// Who has the ports of seats, and what is left for newcomers.
    async fn seat_facts(
        &self,
        sandboxes: &Fact<Vec<ObservedSandbox>>,
    ) -> (Fact<Vec<PortFacts>>, Fact<RangeFacts>) {
        let store = FileStore::new(self.home.seats());
        let seats = match store.load_seats().await {
            Ok(seats) => seats,
            Err(failure) => {
                let why = format!("{}: {}", failure.tried, failure.cause);
                return (Fact::Unknown(why.clone()), Fact::Unknown(why));
            }
        };
        let sandboxes: &[ObservedSandbox] = sandboxes.known().map_or(&[], Vec::as_slice);
        let ours: BTreeMap<u16, UserId> = running(sandboxes)
            .filter_map(|one| Some((one.endpoint.as_ref()?.port().get(), one.user.clone())))
            .collect();
        let roster: Vec<UserId> = self.config.groups.users().map(|(user, _)| user).collect();
        let bridge = self.config.sandbox.network_mode == NetworkMode::Bridge;
        let range = self.config.sandbox.host_ports;
        let found = apart("the ports of seats", move || {
            let listening = thon_nginx::listening_ports();
            let port = |seat: &Seat| if bridge { seat.host_port } else { seat.code_port };
            let wanted: Vec<PortFacts> = seats
                .iter()
                .filter(|seat| roster.contains(&seat.user))
                .map(|seat| {
                    let holder = holder(port(seat), &seat.user, &listening, &ours);
                    let purpose = PortPurpose::Seat(seat.user.clone());
                    PortFacts { port: port(seat), purpose, holder }
                })
                .collect();
            let given = |port: &u16| seats.iter().any(|seat| seat.host_port.get() == *port);
            let busy = listening.range(range.numbers()).filter(|port| !given(port)).count();
            let inside = seats.iter().filter(|seat| range.contains(seat.host_port)).count();
            let newcomers = roster.len().saturating_sub(wanted.len());
            Ok((wanted, RangeFacts { busy, given: inside, newcomers }))
        });
        match found.await {
            Fact::Known((wanted, range)) => {
                (Fact::Known(wanted), if bridge { Fact::Known(range) } else { Fact::Absent })
            }
            Fact::Unknown(why) => (Fact::Unknown(why.clone()), Fact::Unknown(why)),
            Fact::Absent => (Fact::Absent, Fact::Absent),
        }
    }

    /// The files that hold secrets, there or not.
    fn secret_files(&self, config_file: Option<&Path>) -> Vec<PathBuf> {
        let tls = self.config.nginx.ssl_dir.clone().unwrap_or_else(|| self.home.tls());
        let mut files =
            vec![self.home.seats(), tls.join("thon-key.pem"), tls.join("ca/rootCA-key.pem")];
        // A configuration without secrets may be read by whoever likes.
        let (masked, clear) = (ShowSecrets::Masked, ShowSecrets::Revealed);
        if self.config.to_yaml(masked) != self.config.to_yaml(clear) {
            files.extend(config_file.map(Path::to_owned));
        }
        files
    }
}

/// What Docker alone knows.
struct DockerFacts {
    engine: Fact<Result<EngineFacts, Failure>>,
    network: Fact<NetworkFacts>,
    walls: Fact<Vec<WallGap>>,
    sandboxes: Fact<Vec<ObservedSandbox>>,
    image: Fact<ImageFacts>,
    disk: Fact<thon_core::doctor::Space>,
}

fn running(sandboxes: &[ObservedSandbox]) -> impl Iterator<Item = &ObservedSandbox> {
    sandboxes.iter().filter(|one| matches!(one.phase, Phase::Running | Phase::Paused))
}

fn holder(
    port: Port,
    user: &UserId,
    listening: &std::collections::BTreeSet<u16>,
    ours: &BTreeMap<u16, UserId>,
) -> PortHolder {
    if !listening.contains(&port.get()) {
        PortHolder::Nobody
    } else if ours.get(&port.get()) == Some(user) {
        PortHolder::Ours
    } else {
        thon_nginx::port_holder(port)
    }
}

/// Two lists as one. What isn't known of one is said, and hides nothing of the other.
fn both(doors: Fact<Vec<PortFacts>>, seats: Fact<Vec<PortFacts>>) -> Fact<Vec<PortFacts>> {
    match (doors, seats) {
        (Fact::Known(doors), Fact::Known(seats)) => {
            Fact::Known(doors.into_iter().chain(seats).collect())
        }
        (Fact::Known(known), Fact::Absent | Fact::Unknown(_))
        | (Fact::Absent | Fact::Unknown(_), Fact::Known(known)) => Fact::Known(known),
        (Fact::Unknown(why), _) | (_, Fact::Unknown(why)) => Fact::Unknown(why),
        (Fact::Absent, Fact::Absent) => Fact::Absent,
    }
}

/// What `answer` says, if it does so in time.
async fn timely<T>(answer: impl Future<Output = Result<T, Failure>>, what: &str) -> Fact<T> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => answer.into(),
        Err(_) => Fact::Unknown(late(what)),
    }
}

/// What `look`, which may block, finds in time. It has a thread of its own, which nothing waits for:
/// a disk that is gone or a name server that is silent holds nobody up, not even the end of the
/// process.
async fn apart<T: Send + 'static>(
    what: &str,
    look: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Fact<T> {
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || drop(tell.send(look())));
    match tokio::time::timeout(PATIENCE, told).await {
        Ok(Ok(Ok(found))) => Fact::Known(found),
        Ok(Ok(Err(why))) => Fact::Unknown(why),
        Ok(Err(_)) => Fact::Unknown(format!("looking at {what} failed")),
        Err(_) => Fact::Unknown(late(what)),
    }
}

fn late(what: &str) -> String {
    format!("{what}: no answer within {} s", PATIENCE.as_secs())
}
