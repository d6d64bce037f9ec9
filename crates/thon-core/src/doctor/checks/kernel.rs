//! Limits of the kernel that all sandboxes share.
//!
//! For: what runs out before memory does, in words that raise it.
//! Not for: limits of one sandbox; those are Docker's.

use super::{Room, judge};
use crate::doctor::facts::Fact;
use crate::doctor::{Code, Finding};

// What one seat takes was counted in `/proc/<pid>/fd`, `fdinfo` and `task` of all processes of a
// sandbox with code-server 4.139, in four states: nobody there; a window open on a project of 33
// folders; the same with a TypeScript file and two terminals; and with a second window, two
// `node --watch` and a `tail -F`.

/// Instances of inotify of a seat at work. Counted: 0, 2, 3 and 7.
pub const INOTIFY_PER_SEAT: u64 = 8;
/// Instances that an open window takes: one of the server, one of its file watcher.
const INOTIFY_LEAST: u64 = 2;
/// Folders and files that a seat at work watches. Counted: 0, 39, 2003 and 2038, nearly all of them
/// by the TypeScript server; a larger project has more.
const WATCHES_PER_SEAT: u64 = 4096;
/// Files that a seat at work has open. Counted: 55, 153, 300 and 460; dev servers and builds have
/// as many again.
const FILES_PER_SEAT: u64 = 1024;
/// Files that the rest of the machine has open.
const FILES_OF_HOST: u64 = 16_384;
/// Processes and threads of a seat at work. Counted: 23, 55, 96 and 148.
const PROCESSES_PER_SEAT: u64 = 150;
/// Processes and threads of the rest of the machine.
const PROCESSES_OF_HOST: u64 = 1500;
/// Connections of a seat that the kernel tracks: an `npm install` opens dozens, and each is
/// remembered for two minutes after its end.
const CONNECTIONS_PER_SEAT: u64 = 1024;
/// Neighbours of the machine beside the sandboxes.
const NEIGHBOURS_OF_HOST: u64 = 128;

pub(super) fn check(room: &Room<'_>, findings: &mut Vec<Finding>) {
    let kernel = &room.facts.kernel;
    let users = room.users();
    findings.extend(judge(Code::Kernel01, &kernel.inotify_instances, |allowed| {
        let (least, usual) = (users * INOTIFY_LEAST, users * INOTIFY_PER_SEAT);
        let says = format!("all sandboxes share {allowed} instances of inotify");
        if *allowed >= usual {
            return Finding::ok(Code::Kernel01, format!("{says}, {usual} needed"));
        }
        let says = format!("{says}; {}", room.editors_need());
        let finding = if *allowed < least {
            let says = format!("{says} {least} at the least: files are no longer watched");
            Finding::problem(Code::Kernel01, says)
        } else {
            let says = format!("{says} {usual} with language servers");
            Finding::warning(Code::Kernel01, says)
        };
        finding.sysctl("fs.inotify.max_user_instances", round(usual, 1024))
    }));
    let few = |code, fact: &Fact<u64>, key, (what, need, least): (&str, u64, u64)| {
        judge(code, fact, |allowed| {
            if *allowed >= need {
                return Finding::ok(code, format!("{allowed} {what}, {need} needed"));
            }
            let says = format!("{allowed} {what}; {} {need}", room.editors_need());
            Finding::warning(code, says).sysctl(key, round(need, least))
        })
    };
    findings.extend(few(
        Code::Kernel02,
        &kernel.inotify_watches,
        "fs.inotify.max_user_watches",
        ("folders can be watched by all sandboxes", users * WATCHES_PER_SEAT, 524_288),
    ));
    findings.extend(few(
        Code::Kernel03,
        &kernel.files,
        "fs.file-max",
        ("files can be open", FILES_OF_HOST + users * FILES_PER_SEAT, 1 << 20),
    ));
    processes(room, findings);
    findings.extend(few(
        Code::Kernel05,
        &kernel.connections,
        "net.netfilter.nf_conntrack_max",
        ("connections can be tracked", users * CONNECTIONS_PER_SEAT, 262_144),
    ));
    findings.extend(judge(Code::Kernel06, &kernel.neighbours, |allowed| {
        let need = users + NEIGHBOURS_OF_HOST;
        if *allowed >= need {
            return Finding::ok(Code::Kernel06, format!("{allowed} neighbours, {need} needed"));
        }
        let says =
            format!("the kernel remembers {allowed} neighbours; {} {need}", room.editors_need());
        Finding::problem(Code::Kernel06, says)
            .sysctl("net.ipv4.neigh.default.gc_thresh3", round(need, 4096))
    }));
    findings.extend(bridges(room));
}

/// Whether Docker's rules for traffic between sandboxes are asked at all.
fn bridges(room: &Room<'_>) -> Option<Finding> {
    let open = "sandboxes can reach each other: the kernel doesn't filter traffic on bridges";
    let filter = &room.facts.kernel.bridge_filter;
    // Docker loads the module when it makes the first network; before that there is nothing to
    // filter either.
    let made = room.facts.network.known().is_some_and(|network| network.present);
    if *filter == Fact::Absent && made {
        let says = format!("{open} (its module br_netfilter is not loaded)");
        return Some(
            Finding::problem(Code::Net01, says)
                .fix("sudo modprobe br_netfilter (and a line br_netfilter in /etc/modules)"),
        );
    }
    judge(Code::Net01, filter, |filter| {
        if *filter != 0 {
            return Finding::ok(Code::Net01, "the kernel filters traffic on bridges");
        }
        Finding::problem(Code::Net01, open).sysctl("net.bridge.bridge-nf-call-iptables", 1)
    })
}

/// Processes and threads have two limits; the lower one counts.
fn processes(room: &Room<'_>, findings: &mut Vec<Finding>) {
    let kernel = &room.facts.kernel;
    let (key, fact) = match (kernel.pids.known(), kernel.threads.known()) {
        (Some(pids), Some(threads)) if threads < pids => ("kernel.threads-max", &kernel.threads),
        _ => ("kernel.pid_max", &kernel.pids),
    };
    findings.extend(judge(Code::Kernel04, fact, |allowed| {
        let usual = PROCESSES_OF_HOST + room.users() * PROCESSES_PER_SEAT;
        let limits: u64 = room.seats.iter().map(|seat| u64::from(seat.pids)).sum();
        let most = PROCESSES_OF_HOST + limits;
        let says = format!("{key} allows {allowed} processes and threads;");
        // The most that the kernel knows on 64 bits (proc(5)).
        let wanted = round(most, 1 << 17).min(1 << 22);
        if *allowed < usual {
            let says = format!("{says} {} {usual}", room.editors_need());
            Finding::problem(Code::Kernel04, says).sysctl(key, wanted)
        } else if *allowed < most {
            let says = format!("{says} everyone at their limit would take {most}");
            Finding::note(Code::Kernel04, says).sysctl(key, wanted)
        } else {
            Finding::ok(Code::Kernel04, format!("{says} {most} at the most are needed"))
        }
    }));
}

/// The next power of two, and no less than what such a limit usually is.
fn round(need: u64, least: u64) -> u64 {
    need.next_power_of_two().max(least)
}
