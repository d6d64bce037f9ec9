//! What the engine says of itself.
//!
//! For: whether it is recent enough and what it can hold a sandbox to, which Docker itself says only
//! in its log or not at all.
//! Not for: judging it; the core's doctor does.

use std::time::SystemTime;

use bollard::models::{SystemInfo, SystemInfoCgroupVersionEnum};
use thon_core::doctor::EngineFacts;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::client::{DockerRuntime, EngineVersion, QUICK};
use crate::error::DockerError;

impl DockerRuntime {
    /// The engine's account of itself and of what it can enforce.
    pub async fn engine_facts(&self) -> Result<EngineFacts, DockerError> {
        let client = self.client().await?;
        let asked = async {
            let answer = Box::pin(client.info());
            self.call("asking Docker what it can enforce", QUICK, answer).await
        };
        let (version, info) = tokio::try_join!(self.version(), asked)?;
        Ok(facts(version, info, self.settings().host()))
    }
}

fn facts(version: EngineVersion, info: SystemInfo, address: String) -> EngineFacts {
    let limits = [
        (info.memory_limit, "memory"),
        (info.cpu_cfs_quota, "CPU time"),
        (info.pids_limit, "number of processes"),
    ];
    // Nothing said counts as yes: an engine too old to say so says much else wrong.
    let unlimited = limits.iter().filter(|(able, _)| *able == Some(false)).map(|(_, what)| *what);
    let time = info.system_time.and_then(|text| OffsetDateTime::parse(&text, &Rfc3339).ok());
    // `name=seccomp,profile=default`
    let guard = |option: &String| {
        let name = option.strip_prefix("name=").unwrap_or(option);
        name.split(',').next().unwrap_or(name).to_owned()
    };
    EngineFacts {
        version: version.version,
        api_version: version.api_version,
        local: address.starts_with("unix://"),
        address,
        unlimited: unlimited.collect(),
        swap_limit: info.swap_limit,
        cgroup_version: info.cgroup_version.and_then(|version| match version {
            SystemInfoCgroupVersionEnum::_1 => Some(1),
            SystemInfoCgroupVersionEnum::_2 => Some(2),
            SystemInfoCgroupVersionEnum::EMPTY => None,
        }),
        guards: info.security_options.map(|options| options.iter().map(guard).collect()),
        time: time.map(SystemTime::from),
        data_root: info.docker_root_dir.unwrap_or_else(|| "/var/lib/docker".to_owned()).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn said(info: SystemInfo, address: &str) -> EngineFacts {
        let version =
            EngineVersion { version: "20.10.24".to_owned(), api_version: "1.41".to_owned() };
        facts(version, info, address.to_owned())
    }

    #[test]
    fn what_the_engine_cannot_limit_is_named() {
        let info = SystemInfo {
            memory_limit: Some(true),
            pids_limit: Some(false),
            swap_limit: Some(false),
            cgroup_version: Some(SystemInfoCgroupVersionEnum::_1),
            ..SystemInfo::default()
        };
        let facts = said(info, "unix:///var/run/docker.sock");
        assert_eq!(facts.unlimited, ["number of processes"]);
        assert_eq!((facts.swap_limit, facts.cgroup_version), (Some(false), Some(1)));
        assert!(facts.local && facts.guards.is_none());
    }

    #[test]
    fn guards_and_the_clock_are_read_from_dockers_words() {
        let info = SystemInfo {
            security_options: Some(vec![
                "name=apparmor".to_owned(),
                "name=seccomp,profile=default".to_owned(),
            ]),
            system_time: Some("1970-01-01T01:00:10.5+01:00".to_owned()),
            ..SystemInfo::default()
        };
        let facts = said(info, "tcp://10.0.0.9:2375");
        assert_eq!(facts.guards.unwrap(), ["apparmor", "seccomp"]);
        assert_eq!(facts.time, Some(SystemTime::UNIX_EPOCH + Duration::from_millis(10_500)));
        assert!(!facts.local);
    }
}
