//! What processes and containers take.
//!
//! For: the peak of a process, the share of several, containers as Docker counts them, what is free.
//! Not for: judging any of it.

use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::bench::peak_mib;

/// MiB that programs could still be given.
pub(super) fn available() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    kib(line).map(|kib| kib / 1024.0)
}

/// The most that a process had at one time, in MiB.
pub(super) fn peak(pid: u32) -> Option<f64> {
    peak_mib(pid)
}

/// How many processes `parent` and its children are, and the MiB that they take together, memory
/// that they share counted once.
pub(super) fn of_family(parent: u32) -> Option<(usize, f64)> {
    let children = std::fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        (parent_of(pid)? == parent).then_some(pid)
    });
    let family: Vec<f64> = children.chain([parent]).filter_map(share).collect();
    Some((family.len(), family.iter().sum()))
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name may hold anything, brackets and spaces included.
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

fn share(pid: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    kib(line).map(|kib| kib / 1024.0)
}

fn kib(value: &str) -> Option<f64> {
    value.trim().trim_end_matches("kB").trim().parse().ok()
}

/// The MiB of each of these containers.
pub(super) fn of_containers<'c>(containers: impl Iterator<Item = &'c str>) -> Vec<f64> {
    let said = Command::new("docker")
        .args(["stats", "--no-stream", "--format", "{{.MemUsage}}"])
        .args(containers)
        .stdin(Stdio::null())
        .output();
    let said = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned());
    said.unwrap_or_default().lines().filter_map(mib).collect()
}

/// The first of `61.3MiB / 2GiB`.
fn mib(usage: &str) -> Option<f64> {
    let used = usage.split(" / ").next()?.trim();
    let unit = used.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, unit) = used.split_at(unit);
    let factor = match unit {
        "B" => 1.0 / 1024.0 / 1024.0,
        "KiB" => 1.0 / 1024.0,
        "MiB" => 1.0,
        "GiB" => 1024.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

/// Allows this process as many open files as it may have, and returns how many that are.
pub(super) fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current =
        if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_says_of_memory_is_read() {
        assert_eq!(mib("61.25MiB / 2GiB"), Some(61.25));
        assert_eq!(mib("1.5GiB / 2GiB"), Some(1536.0));
        assert_eq!(mib("512KiB / 2GiB"), Some(0.5));
        assert_eq!(mib("-- / --"), None);
    }

    #[test]
    fn this_process_has_memory_and_a_parent() {
        let own = std::process::id();
        assert!(peak(own).unwrap() > 0.1 && share(own).unwrap() > 0.1);
        assert_eq!(parent_of(own), Some(std::os::unix::process::parent_id()));
        assert!(of_family(own).unwrap().0 >= 1);
        assert!(available().unwrap() > 1.0);
    }
}
