//! What a sandbox may use, and what becomes of those who want more.
//!
//! For: the limits in the real container, disk space that is measured, and hostile loads beside a
//! neighbour who notices nothing.
//! Not for: who reaches whom; that is isolation.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::desk::has;
use crate::stage::{Stage, edit};
use crate::support::until;
use crate::support::{docker, exec, exec_as_user};
use crate::web::Web;

/// What the neighbour's editor may take to answer, whatever happens beside it.
const BOUND: Duration = Duration::from_secs(2);

/// How often the neighbour has to have answered while a load is at its limit.
const ENOUGH: usize = 30;

/// A value of the sandbox's own control group, as the first or the second version names it.
fn cgroup(container: &str, first: &str, second: &str) -> String {
    let read = format!("cat /sys/fs/cgroup/{first} 2>/dev/null || cat /sys/fs/cgroup/{second}");
    exec(container, &["sh", "-c", &read])
}

#[test]
fn limits_are_the_nodes_or_the_groups_and_a_full_disk_is_said() {
    let stage = Stage::new(
        "alpha: [ada]\nbeta: {memory: 512m, cpus: 0.5, pids: 200, disk: 64m, users: [bob]}",
    );
    // Without it what is built in holds.
    edit(&stage.config_file(), |text| text.replace("  memory: 1g\n", ""));
    let said = stage.run_with(&[]).ok();
    has(&said.stderr, &["warning: the disk limit is soft", "overlay2"]);
    has(&said.stdout, &["DISK", "of 64 MiB"]);

    let cpus = thread::available_parallelism().unwrap().get() as u64;
    for (user, memory, nano_cpus, pids) in [
        ("alpha/ada", 2_u64 << 30, 1_000_000_000 * cpus.min(2), 1024),
        ("beta/bob", 512 << 20, 500_000_000, 200),
    ] {
        let config = &stage.inspect(user)["HostConfig"];
        assert_eq!(config["Memory"], memory, "{user}");
        assert_eq!(config["MemorySwap"], memory, "{user} must not swap on top");
        assert_eq!(config["NanoCpus"], nano_cpus, "{user}");
        assert_eq!(config["PidsLimit"], pids, "{user}");
        assert_eq!(config["CapDrop"], serde_json::json!(["ALL"]), "{user}");
        assert_eq!(config["SecurityOpt"], serde_json::json!(["no-new-privileges"]), "{user}");
        assert_eq!(config["Privileged"], false, "{user}");

        let name = stage.container_name(user);
        let limit = |first, second| cgroup(&name, first, second);
        assert_eq!(limit("memory/memory.limit_in_bytes", "memory.max"), memory.to_string());
        assert_eq!(limit("pids/pids.max", "pids.max"), pids.to_string());
        let quota = limit("cpu/cpu.cfs_quota_us", "cpu.max");
        let quota = quota.split(' ').next().unwrap().to_owned();
        assert_eq!(quota, (nano_cpus / 10_000).to_string(), "of 100000 us");
        let status = exec(&name, &["cat", "/proc/self/status"]);
        for line in ["Uid:\t1001\t1001\t1001\t1001", "NoNewPrivs:\t1"] {
            has(&status, &[line]);
        }
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            has(&status, &[&format!("{set}:\t0000000000000000")]);
        }
    }

    // Beyond the limit nothing is stopped or lost here; it is said wherever somebody looks.
    let bob = stage.container_name("beta/bob");
    exec(&bob, &["dd", "if=/dev/zero", "of=large", "bs=1M", "count=70"]);
    let status = stage.thon(&["status"]).ok();
    has(&status.stdout, &["MiB of 64 MiB (over)"]);
    let rows = stage.status_json();
    assert!(rows[0].get("disk").is_none(), "{rows}");
    let disk = &rows[1]["disk"];
    assert_eq!((disk["level"].as_str(), disk["limit"].as_u64()), (Some("over"), Some(64 << 20)));
    assert!(disk["workspace"].as_u64().unwrap() >= 70 << 20, "{disk}");
    let said = stage.run_with(&[]).ok();
    has(&said.stderr, &["beta/bob: over the disk limit", "of 64 MiB used"]);
    exec(&bob, &["rm", "large"]);
    // What is down is measured too.
    stage.thon(&["stop", "--yes"]).ok();
    let disk = &stage.status_json()[1]["disk"];
    assert_eq!(disk["level"], "fine", "{disk}");
}

#[test]
fn hostile_loads_stop_at_their_limits_and_the_neighbour_notices_nothing() {
    const PIDS: u64 = 150;
    const MEMORY: u64 = 400 << 20;
    let stage =
        Stage::new("alpha: {pids: 150, memory: 400m, cpus: 1, users: [mallory]}\nbeta: [ada]");
    let all = stage.run();
    let (mallory, ada) = (&all[0], &all[1]);
    let web = stage.web();
    let health = format!("{}healthz", ada.url());
    let neighbour = Neighbour::default();
    thread::scope(|scope| {
        let _end = EndOf(&neighbour);
        let watch = neighbour.watch(scope, &web, &health);

        // More memory than there is, three times at once. What asks for it is what ends.
        let eat = "for n in 1 2 3; do tail /dev/zero & done; wait $!";
        let hog = exec_as_user(mallory.container(), &["sh", "-c", eat]);
        assert_eq!(hog.code, 137, "killed by the kernel: {hog:?}");
        let name = mallory.container();
        let peak = cgroup(name, "memory/memory.max_usage_in_bytes", "memory.peak");
        assert!(peak.parse::<u64>().unwrap() <= MEMORY, "{peak}");
        neighbour.until_it_answered(ENOUGH);
        until("the attacked editor", || {
            (web.get(&format!("{}healthz", mallory.url())).status == 200).then_some(())
        });

        // More processes than there may be, each making two, for as long as anyone lets them.
        let bomb = "b() { b | b & }; while :; do b; done";
        docker(&["exec", "--detach", "--user", "vscode", name, "bash", "-c", bomb]);
        let processes = || {
            let said = docker(&["stats", "--no-stream", "--format", "{{.PIDs}}", name]);
            said.parse::<u64>().unwrap()
        };
        until("the bomb to be at its limit", || {
            let now = processes();
            assert!(now <= PIDS, "{now}");
            (now >= PIDS - 10).then_some(())
        });
        neighbour.until_it_answered(ENOUGH);
        assert!(processes() <= PIDS);
        // The organizer is told how it stands and ends it.
        stage.thon(&["status"]).ok();
        stage.thon(&["stop", "mallory", "--yes"]).ok();
        assert!(!stage.trace("alpha/mallory").running);
        stage.run_with(&[]).ok();
        neighbour.end();
        let worst = watch.join().unwrap();
        assert!(worst < BOUND, "the neighbour's editor took {worst:?}");
    });
    assert_eq!(stage.trace("beta/ada").id, ada.container_id.clone().unwrap());
    stage.all_is_well(&["alpha/mallory", "beta/ada"]);
}

/// Somebody who works beside it, asked all the time whether their editor is well.
#[derive(Default)]
struct Neighbour {
    answers: AtomicUsize,
    ended: AtomicBool,
}

impl Neighbour {
    /// Asks until the end, and returns the longest time that an answer took.
    fn watch<'s>(
        &'s self,
        scope: &'s Scope<'s, '_>,
        web: &'s Web,
        url: &'s str,
    ) -> ScopedJoinHandle<'s, Duration> {
        scope.spawn(move || {
            let mut worst = Duration::ZERO;
            while !self.ended.load(Ordering::SeqCst) {
                let asked = Instant::now();
                let answer = web.get(url);
                assert_eq!(answer.status, 200, "{answer:?}");
                worst = worst.max(asked.elapsed());
                self.answers.fetch_add(1, Ordering::SeqCst);
                thread::park_timeout(Duration::from_millis(50));
            }
            worst
        })
    }

    fn answers(&self) -> usize {
        self.answers.load(Ordering::SeqCst)
    }

    /// Waits for so many more answers. They stop coming when one was not as it should be.
    #[track_caller]
    fn until_it_answered(&self, times: usize) {
        let before = self.answers();
        until("the neighbour's answers", || (self.answers() >= before + times).then_some(()));
    }

    fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

/// Ends the watch however the test goes on, since a scope waits for its threads.
struct EndOf<'n>(&'n Neighbour);

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}
