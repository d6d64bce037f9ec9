//! Memory, disks, the clock and THON's own files.
//!
//! For: whether the machine is large enough for the roster, and whether it keeps secrets and time.
//! Not for: limits that can be raised with a word to the kernel; see [`super::kernel`].

use std::time::Duration;

use super::{Room, amount, count, judge, span};
use crate::doctor::facts::{ExposedFile, MemoryFacts, Space};
use crate::doctor::{Code, Finding, Remedy, Severity};
use crate::limits::ByteSize;

/// Memory of a seat with code-server running and nobody in it, as measured with 150 of them.
pub const IDLE_SEAT: ByteSize = ByteSize::mib(60);
/// Memory of a seat that somebody works in, on the average: 370 MiB were measured with a window
/// open, 830 MiB with a TypeScript file and two terminals in it.
pub const ACTIVE_SEAT: ByteSize = ByteSize::mib(700);
/// An editor in use needs about this much, so no lower limit is ever advised.
const LEAST_LIMIT: u64 = 512 << 20;
/// Advised limits are multiples of this.
const LIMIT_STEP: u64 = 128 << 20;

/// Below this Docker itself and everyone's saving begin to fail within hours: logs, layers, editors'
/// own state (a few MiB for each seat).
const ENGINE_FLOOR: u64 = 2 << 30;
/// What building the image takes beside its result: layers of packages and of node's compilation.
const IMAGE_BUILD: u64 = 6 << 30;
/// The least that a participant's files need: a clone of a small project.
const LEAST_WORKSPACE: u64 = 64 << 20;
/// What a day of work comes to: dependencies and build results of one project.
const USUAL_WORKSPACE: u64 = 1 << 30;
/// Files that a `node_modules` comes to.
const USUAL_FILES: u64 = 30_000;
/// Configuration, certificates, seats and nginx's temporary files.
const HOME_FLOOR: u64 = 100 << 20;

/// Less than this is measurement, not a wrong clock.
const CLOCK_TOLERANCE: Duration = Duration::from_mins(1);

pub(super) fn check(room: &Room<'_>, findings: &mut Vec<Finding>) {
    memory(room, findings);
    disks(room, findings);
    clock(room, findings);
    let facts = room.facts;
    findings.extend(judge(Code::Files01, &facts.exposed, |exposed| secrets(exposed)));
    findings.extend(judge(Code::Files02, &facts.home, |home| folder(home.as_ref())));
}

/// What a seat with this limit takes.
type Need<'a> = &'a dyn Fn(u64) -> u64;

fn memory(room: &Room<'_>, findings: &mut Vec<Finding>) {
    let codes = [Code::Memory01, Code::Memory02, Code::Memory03];
    if room.seats.is_empty() {
        return;
    }
    let least = |most: ByteSize| move |limit: u64| limit.min(most.bytes());
    let forecasts: [(&str, Severity, Need<'_>); 3] = [
        ("idle", Severity::Problem, &least(IDLE_SEAT)),
        ("at work", Severity::Warning, &least(ACTIVE_SEAT)),
        ("at their limit", Severity::Note, &|limit| limit),
    ];
    for (code, (state, severity, need)) in codes.into_iter().zip(forecasts) {
        findings.extend(judge(code, &room.facts.memory, |memory| {
            forecast(room, memory, (code, severity), state, need)
        }));
    }
}

/// Whether everyone fits if each takes what `need` says of their limit.
fn forecast(
    room: &Room<'_>,
    memory: &MemoryFacts,
    (code, severity): (Code, Severity),
    state: &str,
    need: Need<'_>,
) -> Finding {
    // What our own sandboxes hold now is theirs in the forecast as well.
    let held = room.facts.held.known().copied();
    let held = held.unwrap_or_else(|| room.running() * IDLE_SEAT.bytes());
    let room_for_all = memory.available + held;
    let mut needs: Vec<u64> = room.seats.iter().map(|seat| need(seat.memory.bytes())).collect();
    let sum: u64 = needs.iter().sum();
    let users = room.users();
    let seats = count(users, "seat", "seats");
    let (needed, there) = (amount(sum), amount(room_for_all));
    if sum <= room_for_all {
        return Finding::ok(code, format!("{needed} of {there} for {seats} {state}"));
    }
    needs.sort_unstable();
    let mut left = room_for_all;
    let fit = needs.iter().take_while(|need| {
        let fits = **need <= left;
        left = left.saturating_sub(**need);
        fits
    });
    let fit = fit.count();
    let says = format!("{fit} of {seats} fit {state}: {needed} needed, {there} to be had");
    let missing = (sum - room_for_all).div_ceil(1 << 30);
    let limit = room_for_all / users / LIMIT_STEP * LIMIT_STEP;
    let lower = severity != Severity::Problem && limit >= LEAST_LIMIT;
    let fix = if lower {
        let limit = amount(limit);
        format!("lower the limit to {limit} (sandbox.memory), or add {missing} GiB of memory")
    } else {
        format!("add {missing} GiB of memory, or let fewer people share this machine")
    };
    Finding::new(code, severity, says).fix(fix)
}

fn disks(room: &Room<'_>, findings: &mut Vec<Finding>) {
    let (disks, users) = (&room.facts.disks, room.users());
    let missing = room.facts.image.known().is_some_and(|image| !image.present);
    let build = if missing { IMAGE_BUILD } else { 0 };
    let apart = room.config.workspace.dir.is_some();
    let workspaces = if apart { 0 } else { users };
    findings.extend(judge(Code::Disk01, &disks.engine, |space| {
        let floor = ENGINE_FLOOR + build + workspaces * LEAST_WORKSPACE;
        let usual = ENGINE_FLOOR + build + workspaces * USUAL_WORKSPACE;
        space_left(Code::Disk01, space, (floor, usual), workspaces * USUAL_FILES)
    }));
    findings.extend(judge(Code::Disk02, &disks.workspaces, |space| {
        let (floor, usual) = (users * LEAST_WORKSPACE, users * USUAL_WORKSPACE);
        space_left(Code::Disk02, space, (floor, usual), users * USUAL_FILES)
    }));
    findings.extend(judge(Code::Disk03, &disks.home, |space| {
        space_left(Code::Disk03, space, (HOME_FLOOR, HOME_FLOOR), 1000)
    }));
}

fn space_left(code: Code, space: &Space, (floor, usual): (u64, u64), files: u64) -> Finding {
    let path = space.path.display();
    let free = amount(space.free);
    let says = format!("{free} of {} are free at {path}", amount(space.total));
    let fix = || format!("make room there (`df -h {path}`), or move it to a larger disk");
    if space.free < floor {
        return Finding::problem(code, format!("{says}; at least {} are needed", amount(floor)))
            .fix(fix());
    }
    if let Some(left) = space.free_files.filter(|left| *left < files) {
        let says = format!("{left} more files fit at {path}; {files} are to be expected");
        return Finding::warning(code, says)
            .fix(format!("remove what isn't needed there (`df -i {path}`)"));
    }
    if space.free < usual {
        return Finding::warning(code, format!("{says}; a day of work comes to {}", amount(usual)))
            .fix(fix());
    }
    Finding::ok(code, says)
}

fn clock(room: &Room<'_>, findings: &mut Vec<Finding>) {
    let now = room.facts.now;
    let clock = &room.facts.clock;
    let ahead = clock.happened.iter().filter_map(|(what, when)| {
        let ahead = when.duration_since(now).ok()?;
        (ahead > CLOCK_TOLERANCE).then_some((what, ahead))
    });
    let apart = room.facts.engine.known().and_then(|engine| {
        let time = engine.as_ref().ok()?.time?;
        let apart = time.duration_since(now).unwrap_or_else(|early| early.duration());
        (apart > CLOCK_TOLERANCE).then_some(apart)
    });
    let fix = "set it with `sudo timedatectl set-ntp true`, and look at `date`";
    findings.push(if let Some((what, ahead)) = ahead.max_by_key(|(_, ahead)| *ahead) {
        let says = format!("the clock is behind: {what} is {} in the future", span(ahead));
        Finding::problem(Code::Clock01, says).fix(fix)
    } else if let Some(apart) = apart {
        let says = format!("this clock and Docker's are {} apart", span(apart));
        Finding::problem(Code::Clock01, says).fix(fix)
    } else {
        Finding::ok(Code::Clock01, "nothing that has happened lies in its future")
    });
    findings.extend(judge(Code::Clock02, &clock.synchronized, |synchronized| {
        if *synchronized {
            return Finding::ok(Code::Clock02, "synchronized over the network");
        }
        Finding::warning(
            Code::Clock02,
            "nothing keeps the clock right: certificates and logins fail when it runs away",
        )
        .fix("sudo timedatectl set-ntp true")
    }));
}

fn secrets(exposed: &[ExposedFile]) -> Finding {
    let Some(first) = exposed.first() else {
        return Finding::ok(Code::Files01, "only their owner can read them");
    };
    let (path, mode) = (first.path.display(), first.mode);
    let others = match exposed.len() - 1 {
        0 => String::new(),
        rest => format!(" (and {})", count(rest as u64, "more file", "more files")),
    };
    Finding::problem(
        Code::Files01,
        format!("others can read {path}{others}: its mode is {mode:04o}, 0600 is allowed"),
    )
    .fix(format!("chmod go-rwx {path}"))
    .remedy(Remedy::MakePrivate(first.path.clone()))
}

fn folder(home: Option<&ExposedFile>) -> Finding {
    let Some(home) = home else {
        return Finding::ok(Code::Files02, "nobody else can put files into it");
    };
    let path = home.path.display();
    if let Some(owner) = home.owner {
        let says = format!("{path} belongs to user {owner}, whose files would be believed");
        return Finding::problem(Code::Files02, says)
            .fix(format!("sudo chown -R \"$USER\" {path}, or name another folder in THON_HOME"));
    }
    let says =
        format!("others may write to {path}: its mode is {:04o}, 0700 is allowed", home.mode);
    Finding::problem(Code::Files02, says)
        .fix(format!("chmod go-rwx {path}"))
        .remedy(Remedy::MakePrivate(home.path.clone()))
}
