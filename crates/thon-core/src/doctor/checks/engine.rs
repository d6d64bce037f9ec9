//! Docker and the sandbox image.
//!
//! For: whether the engine answers, is recent enough, and can hold the walls that sandboxes need.
//! Not for: its network; see [`super::network`].

use super::{Room, judge};
use crate::adapter::{Failure, FailureKind};
use crate::doctor::facts::{EngineFacts, Fact, ImageFacts};
use crate::doctor::{Code, Finding, Remedy};
use crate::image::ImageRef;

/// The interface of Docker 20.10, the oldest engine that THON is tested with.
const OLDEST_API: (u32, u32) = (1, 41);

pub(super) fn check(room: &Room<'_>, findings: &mut Vec<Finding>) {
    match &room.facts.engine {
        Fact::Known(Ok(engine)) => answers(room, engine, findings),
        Fact::Known(Err(failure)) => findings.push(silent(room, failure)),
        Fact::Unknown(why) => findings.push(Finding::unknown(Code::Docker01, why)),
        Fact::Absent => {}
    }
    findings.extend(judge(Code::Image01, &room.facts.image, image));
}

/// The engine doesn't answer: not there, not for us, or stuck.
fn silent(room: &Room<'_>, failure: &Failure) -> Finding {
    let says = failure.cause.clone();
    match failure.kind {
        FailureKind::TimedOut => Finding::problem(Code::Docker03, says).fix(
            "look at `docker info` and the machine's load; where it stays silent, `sudo systemctl \
             restart docker` (sandboxes go on by themselves afterwards)",
        ),
        FailureKind::Denied => Finding::problem(Code::Docker02, says).fix(&failure.advice),
        _ if room.facts.engine_installed => Finding::problem(Code::Docker01, says)
            .fix("sudo systemctl enable --now docker")
            .remedy(Remedy::StartEngine),
        _ => Finding::problem(Code::Docker01, says)
            .fix("`thon setup` installs and starts it")
            .remedy(Remedy::InstallPackages),
    }
}

fn answers(room: &Room<'_>, engine: &EngineFacts, findings: &mut Vec<Finding>) {
    let version = &engine.version;
    findings.push(Finding::ok(Code::Docker01, format!("{version} answers at {}", engine.address)));
    let (major, minor) = OLDEST_API;
    let api = &engine.api_version;
    findings.push(match parsed(api) {
        Some(number) if number >= OLDEST_API => {
            Finding::ok(Code::Docker04, format!("{version}, interface {api}"))
        }
        _ => Finding::problem(
            Code::Docker04,
            format!("Docker {version} speaks interface {api}; THON needs {major}.{minor} or later"),
        )
        .fix("upgrade to Docker 20.10 or later (`thon setup` installs the distribution's)"),
    });
    findings.push(if engine.local {
        Finding::ok(Code::Docker05, "its socket is on this machine")
    } else {
        Finding::problem(
            Code::Docker05,
            format!(
                "Docker runs elsewhere ({}): nginx here can't reach ports that are published on \
                 the loopback there",
                engine.address
            ),
        )
        .fix("run thon on the machine that Docker runs on, and leave DOCKER_HOST unset")
    });
    findings.push(if engine.unlimited.is_empty() {
        Finding::ok(Code::Docker06, "memory, CPU time and processes can be limited")
    } else {
        let what = engine.unlimited.join(" and the ");
        Finding::problem(
            Code::Docker06,
            format!(
                "the kernel can't limit the {what} of a sandbox, so that one of them can starve all"
            ),
        )
        .fix("enable the cgroup controllers for it (on the kernel's command line) and reboot")
    });
    findings.extend(engine.swap_limit.map(|able| swap(room, able)));
    findings.extend(engine.cgroup_version.map(|cgroup| {
        if cgroup >= 2 {
            Finding::ok(Code::Docker08, format!("cgroup v{cgroup}"))
        } else {
            Finding::note(
                Code::Docker08,
                "cgroup v1: everything works, but systemd and Docker are giving it up",
            )
            .fix("boot with systemd.unified_cgroup_hierarchy=1 when there is time for it")
        }
    }));
    findings.extend(engine.guards.as_ref().map(|guards| {
        if guards.iter().any(|guard| guard == "seccomp") {
            Finding::ok(Code::Docker09, guards.join(", "))
        } else {
            Finding::warning(
                Code::Docker09,
                "Docker filters no system calls (no seccomp): the kernel is a larger target",
            )
            .fix("use a kernel and a Docker with seccomp, and no `seccomp-profile=unconfined`")
        }
    }));
    if room.config.workspace.dir.is_some() {
        findings.extend(judge(Code::Docker10, &room.facts.selinux, |enforcing| {
            if !enforcing {
                return Finding::ok(Code::Docker10, "SELinux refuses nothing");
            }
            Finding::warning(
                Code::Docker10,
                "SELinux is enforcing: sandboxes may not write to the folders of workspace.dir",
            )
            .fix("label the folder with `sudo chcon -Rt container_file_t`, or use volumes")
        }));
    }
}

fn swap(room: &Room<'_>, able: bool) -> Finding {
    let has_swap = room.facts.memory.known().is_none_or(|memory| memory.swap > 0);
    match (able, has_swap) {
        (true, _) => Finding::ok(Code::Docker07, "yes"),
        (false, false) => Finding::ok(Code::Docker07, "no, but there is no swap either"),
        (false, true) => Finding::note(
            Code::Docker07,
            "memory limits don't count swap: a memory hog slows the disk down before it is stopped",
        )
        .fix("boot with swapaccount=1, or `sudo swapoff -a` for the event"),
    }
}

fn image(image: &ImageFacts) -> Finding {
    let name = &image.image;
    if !image.present {
        let own = *name == ImageRef::default();
        let fix = if own { "thon image build".to_owned() } else { format!("docker pull {name}") };
        return Finding::problem(Code::Image01, format!("the image {name} is not here"))
            .fix(fix)
            .remedy(Remedy::ReadyImage);
    }
    if image.outdated {
        return Finding::warning(
            Code::Image02,
            format!("{name} was built from other files than this version's"),
        )
        .fix("`thon image build`, then `thon run --recreate` while nobody works");
    }
    Finding::ok(Code::Image01, format!("{name} is here and current"))
}

fn parsed(version: &str) -> Option<(u32, u32)> {
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
