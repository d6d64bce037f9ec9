//! How busy the machine and the instances are.
//!
//! For: CPU, memory and disk at this moment, for those who watch; asked for when somebody does.
//! Not for: whether that suffices; the doctor says that.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use thon_core::adapter::SandboxRuntime;
use thon_core::instance::InstanceState;
use thon_core::name::UserId;
use thon_core::sandbox::{SandboxId, Usage};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Service;
use crate::doctor;
use crate::error::Error;

/// How many sandboxes Docker is asked about at once.
const QUESTIONS: usize = 8;

/// What was told a shorter while ago is told again: several pages may watch at once.
const FRESH: Duration = Duration::from_secs(2);

/// What is remembered longer says nothing of now.
const STALE: Duration = Duration::from_mins(1);

/// How busy the machine is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct HostLoad {
    /// CPUs.
    pub cpus: usize,
    /// How much of all of them was in use since somebody asked before, from 0 to 100.
    pub cpu_percent: Option<f64>,
    /// Memory in use, in bytes.
    pub memory_used: Option<u64>,
    /// Memory there is, in bytes.
    pub memory_total: Option<u64>,
    /// Disk space in use where THON's folder is, in bytes.
    pub disk_used: Option<u64>,
    /// Disk space there is, in bytes.
    pub disk_total: Option<u64>,
}

/// How busy an instance is.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceLoad {
    /// Whose.
    pub user: UserId,
    /// How much of one CPU it used since somebody asked before; 250 is two and a half CPUs.
    pub cpu_percent: Option<f64>,
    /// Its memory, in bytes.
    pub memory: Option<u64>,
}

/// What was measured before.
#[derive(Debug, Default)]
pub(super) struct Meter {
    host: Option<Ticks>,
    host_percent: Option<f64>,
    sandboxes: BTreeMap<SandboxId, Reading>,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    usage: Usage,
    percent: Option<f64>,
}

/// What `/proc/stat` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    all: u64,
    idle: u64,
}

impl Service {
    /// How busy the machine is.
    pub async fn host_load(&self) -> HostLoad {
        let root = self.inner.home.root().to_owned();
        let looked = tokio::task::spawn_blocking(move || {
            let ticks = fs::read_to_string("/proc/stat").ok().and_then(|text| ticks(&text));
            (ticks, doctor::memory().ok(), doctor::space(&root).ok())
        });
        let (ticks, memory, space) = looked.await.unwrap_or_default();
        let mut meter = self.inner.meter.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(before), Some(now)) = (meter.host, ticks)
            && now.all > before.all
        {
            meter.host_percent = Some(share(before, now));
        }
        meter.host = ticks;
        HostLoad {
            cpus: std::thread::available_parallelism().map_or(1, Into::into),
            cpu_percent: meter.host_percent,
            memory_used: memory.as_ref().map(|m| m.total.saturating_sub(m.available)),
            memory_total: memory.as_ref().map(|memory| memory.total),
            disk_used: space.as_ref().map(|space| space.total.saturating_sub(space.free)),
            disk_total: space.as_ref().map(|space| space.total),
        }
    }

    /// How busy the instances of `users` are, those that run. Whoever can't be asked is left out.
    pub async fn load(&self, users: &[UserId]) -> Result<Vec<InstanceLoad>, Error> {
        let site = self.site().await?;
        let room = self.room();
        let running = users.iter().filter_map(|user| {
            let view = room.instance(user).filter(|view| view.state == InstanceState::Running)?;
            Some((user.clone(), SandboxId(view.container_id.clone()?)))
        });
        let running: Vec<(UserId, SandboxId)> = running.collect();
        let runtime = site.node().docker_shared();
        let gate = Arc::new(Semaphore::new(QUESTIONS));
        let mut tasks = JoinSet::new();
        for id in running.iter().map(|(_, id)| id.clone()).filter(|id| !self.is_fresh(id)) {
            let (runtime, gate) = (Arc::clone(&runtime), Arc::clone(&gate));
            tasks.spawn(async move {
                let _permit = gate.acquire_owned().await;
                let usage = runtime.usage(&id).await;
                (id, usage, Instant::now())
            });
        }
        let asked = tasks.join_all().await;
        let mut meter = self.inner.meter.lock().unwrap_or_else(PoisonError::into_inner);
        meter.sandboxes.retain(|_, reading| reading.at.elapsed() < STALE);
        for (id, usage, at) in asked {
            let Ok(usage) = usage else { continue };
            let percent = meter.sandboxes.get(&id).and_then(|before| {
                let used = usage.cpu.checked_sub(before.usage.cpu)?.as_secs_f64();
                Some(100.0 * used / (at - before.at).as_secs_f64().max(0.001))
            });
            meter.sandboxes.insert(id, Reading { at, usage, percent });
        }
        let told = running.into_iter().filter_map(|(user, id)| {
            let reading = meter.sandboxes.get(&id)?;
            let (cpu_percent, memory) = (reading.percent, reading.usage.memory);
            Some(InstanceLoad { user, cpu_percent, memory })
        });
        Ok(told.collect())
    }

    fn is_fresh(&self, id: &SandboxId) -> bool {
        let meter = self.inner.meter.lock().unwrap_or_else(PoisonError::into_inner);
        meter.sandboxes.get(id).is_some_and(|reading| reading.at.elapsed() < FRESH)
    }
}

/// The line `cpu` of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal (proc(5)).
fn ticks(text: &str) -> Option<Ticks> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let numbers: Vec<u64> =
        line.split_whitespace().take(8).filter_map(|n| n.parse().ok()).collect();
    let idle = numbers.get(3)? + numbers.get(4)?;
    Some(Ticks { all: numbers.iter().sum(), idle })
}

/// How much was in use between two looks, from 0 to 100.
#[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
fn share(before: Ticks, now: Ticks) -> f64 {
    let all = now.all.saturating_sub(before.all).max(1) as f64;
    let idle = now.idle.saturating_sub(before.idle) as f64;
    (100.0 * (all - idle) / all).clamp(0.0, 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_counts_becomes_a_share_of_all_cpus() {
        let before = ticks("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2 3\n").unwrap();
        let now = ticks("cpu  150 0 75 850 75 0 0 0 0 0\n").unwrap();
        assert_eq!(before, Ticks { all: 1000, idle: 850 });
        assert!((share(before, now) - 50.0).abs() < f64::EPSILON);
        assert_eq!(ticks("intr 5"), None);
    }
}
