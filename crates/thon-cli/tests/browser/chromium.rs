//! A real browser with a profile of its own.
//!
//! For: Chromium and its driver as processes that end with the test, and waiting for what a page
//! shows.
//! Not for: what the pages are; see [`crate::workbench`].

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use thirtyfour::prelude::*;

use crate::machine::Machine;
use crate::support::DOMAIN;

/// How long anything on a page may take; never waited for in full when all is well.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often a page is asked.
pub(crate) const INTERVAL: Duration = Duration::from_millis(100);
/// The page's size in pixels.
const SIZE: (u32, u32) = (1280, 800);
/// What a browser needs that runs without a screen, possibly as root and in a container, and has
/// nobody to talk to.
const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
    "--lang=en-US",
];

/// Where pictures of pages go.
pub(crate) fn screenshots() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A browser; it ends when this is dropped. That waits for an answer on another thread, which only
/// a runtime of several threads can give.
pub(crate) struct Browser {
    pub(crate) driver: WebDriver,
    // In this order: first the processes go, then their files.
    _processes: Processes,
    _home: TempDir,
}

impl Browser {
    /// Starts a browser without any history; it trusts the authority in `root`, if there is one.
    pub(crate) async fn start(machine: &Machine, root: Option<&Path>) -> Self {
        // What speaks to the driver wants one, though it speaks without TLS. Once is enough.
        drop(rustls::crypto::ring::default_provider().install_default());
        let home = tempfile::tempdir().unwrap();
        if let Some(root) = root {
            trust(home.path(), root);
        }
        let mut capabilities = DesiredCapabilities::chrome();
        for flag in FLAGS {
            capabilities.add_arg(flag).unwrap();
        }
        // The names of nodes are known to nobody else.
        let node = machine.node_address();
        let names = format!("--host-resolver-rules=MAP *.{DOMAIN} {node},MAP localhost {node}");
        capabilities.add_arg(&names).unwrap();
        let profile = home.path().join("profile");
        capabilities.add_arg(&format!("--user-data-dir={}", profile.display())).unwrap();
        machine.settled().await;
        let (mut processes, port) = Processes::start(machine.chromedriver(home.path()));
        let server = format!("http://{}:{port}", machine.address());
        let driver = WebDriver::new(server, capabilities).await.unwrap();
        let pid = driver.capabilities().get("goog:processID").unwrap().as_i64().unwrap();
        processes.browser = Pid::from_raw(pid.try_into().unwrap()).map(|pid| (pid, profile));
        let browser = Self { driver, _processes: processes, _home: home };
        browser.resize().await;
        browser
    }

    /// Makes the page, not the window around it, [`SIZE`] large.
    async fn resize(&self) {
        let (width, height) = SIZE;
        self.driver.set_window_rect(0, 0, width, height).await.unwrap();
        let script = "return [innerWidth, innerHeight]";
        let shown: (u32, u32) = self.driver.execute(script, []).await.unwrap().convert().unwrap();
        let (width, height) = (2 * width - shown.0, 2 * height - shown.1);
        self.driver.set_window_rect(0, 0, width, height).await.unwrap();
    }

    /// Opens a page.
    pub(crate) async fn open(&self, url: &str) {
        self.driver.goto(url).await.unwrap();
    }

    /// Waits until `look` finds what it looks for. A failure of the driver means "not yet": pages
    /// change under its hands.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        look: impl AsyncFn(&WebDriver) -> WebDriverResult<Option<T>>,
    ) -> T {
        let start = Instant::now();
        loop {
            let last = look(&self.driver).await;
            if let Ok(Some(found)) = last {
                return found;
            }
            if start.elapsed() > PATIENCE {
                let error = last.err().map(|error| error.to_string());
                self.give_up(what, error.as_deref().unwrap_or("nothing found")).await;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn give_up(&self, what: &str, last: &str) -> ! {
        // Rust names the thread of a test after the test.
        let test = std::thread::current().name().unwrap_or("test").to_owned();
        let picture = screenshots().join(format!("failed-{test}.png"));
        drop(self.driver.screenshot(&picture).await);
        let url = self.driver.current_url().await.map(|url| url.to_string()).unwrap_or_default();
        // Of what the page complains about, what didn't reach it.
        let log = self.driver.browser_log().await.unwrap_or_default();
        let failed =
            log.into_iter().map(|entry| entry.message).filter(|it| it.contains("net::ERR_"));
        let failed: Vec<String> = failed.take(3).collect();
        panic!("no {what} on {url}: {last}; see {}; {failed:#?}", picture.display());
    }

    /// Waits for an element that is displayed.
    pub(crate) async fn element(&self, css: &str) -> WebElement {
        self.until(css, async |driver| {
            for element in driver.find_all(By::Css(css)).await? {
                if element.is_displayed().await? {
                    return Ok(Some(element));
                }
            }
            Ok(None)
        })
        .await
    }

    /// Waits for a page with this text.
    pub(crate) async fn text(&self, text: &str) {
        self.until(text, async |driver| {
            let shown = driver.find(By::Css("body")).await?.text().await?;
            Ok(shown.contains(text).then_some(()))
        })
        .await;
    }

    /// Presses keys wherever the page has its focus.
    pub(crate) async fn press(&self, keys: impl Into<thirtyfour::TypingData>) {
        self.driver.action_chain().send_keys(keys).perform().await.unwrap();
    }

    /// Writes a picture of the page.
    pub(crate) async fn screenshot(&self, name: &str) {
        self.driver.screenshot(&screenshots().join(name)).await.unwrap();
    }
}

/// Makes a browser whose home this is trust an authority, as a participant does who imports it.
fn trust(home: &Path, root: &Path) {
    let folder = home.join(".pki/nssdb");
    std::fs::create_dir_all(&folder).unwrap();
    let database = format!("sql:{}", folder.display());
    for args in [
        ["-N", "--empty-password"].as_slice(),
        &["-A", "-t", "C,,", "-n", "thon", "-i", root.to_str().unwrap()],
    ] {
        let status = Command::new("certutil").args(["-d", &database]).args(args).status().unwrap();
        assert!(status.success(), "certutil {args:?}");
    }
}

/// The driver's process, and the browser's that the driver started.
struct Processes {
    driver: Child,
    /// With the folder that it was told to use.
    browser: Option<(Pid, PathBuf)>,
}

impl Processes {
    /// Starts the driver and returns it with the port that it chose.
    fn start(mut command: Command) -> (Self, u16) {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = command.spawn().unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let processes = Self { driver, browser: None };
        let port = lines.find_map(|line| {
            line.unwrap().split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok()
        });
        // Its pipe is read to the end, or it would stop when that is full.
        std::thread::spawn(move || lines.for_each(drop));
        (processes, port.expect("chromedriver names no port"))
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        // The session has ended, and the browser with it, unless the driver didn't answer.
        if let Some((pid, profile)) = &self.browser {
            let arguments = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
            let arguments = String::from_utf8_lossy(&arguments.unwrap_or_default()).into_owned();
            if arguments.contains(profile.to_str().unwrap()) {
                let _ = kill_process(*pid, Signal::KILL);
            }
        }
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}
