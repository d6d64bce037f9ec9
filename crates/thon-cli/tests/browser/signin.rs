//! Signing in with an account, in a real browser, at a certified provider.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use thirtyfour::prelude::*;

use crate::chromium::Browser;
use crate::desk::Serving;
use crate::support::{Served, docker, until};
use crate::venue::Venue;

const ID: &str = "thon at the venue";
const SECRET: &str = "a secret/with+signs";

/// The provider; it ends when this is dropped.
struct Provider {
    child: Child,
    issuer: String,
}

impl Provider {
    /// Starts it where the node and the participant's machine reach it under one name.
    fn start(venue: &Venue) -> Self {
        let there = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("xtask/npm");
        let node = there.join("node");
        assert!(node.exists(), "no {}; `cargo xtask test` installs it", node.display());
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/browser/provider.mjs");
        // A port of the sandboxes' that nobody takes in this test.
        let port = venue.node.ports.last;
        let (host, tls) = (venue.machine.node_address(), venue.node.ports.tls);
        let mut command = Command::new(node);
        command
            .arg(script)
            .arg(there.join("node_modules"))
            .arg(port.to_string())
            .args([ID, SECRET]);
        command.arg(format!("https://{host}:{tls}/api/auth/callback/oidc"));
        command.arg("127.0.0.1").arg(host.to_string());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let provider = Self { child, issuer: format!("http://localhost:{port}") };
        until("the provider", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        provider
    }

    fn config(&self) -> String {
        format!(
            "auth:\n  enabled: true\n  oidc:\n    name: House ID\n    issuer: {}\n    \
             client_id: {ID}\n    client_secret: '{SECRET}'\n  allow:\n    \
             - {{role: admin, email: ada@example.org}}\n    \
             - {{role: operator, claim: groups, value: crew}}\n    \
             - {{role: viewer, email: vera@example.org}}\n    \
             - {{role: participant, roster: true}}\n    \
             - {{role: admin, email: mallory@example.org}}\n",
            self.issuer
        )
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Browser {
    /// Opens a page of the dashboard, which has to ask who it is, and signs in at the provider.
    async fn sign_in_as(&self, url: &str, name: &str) {
        self.open(url).await;
        self.press_on("a[href^='/api/auth/login/oidc']").await;
        self.type_into("input[name=login]", name).await;
        self.type_into("input[name=password]", "any").await;
        self.press_on("button[type=submit]").await;
        // The provider asks once more whether one wants to.
        self.until("the provider to be done", async |driver| {
            if !driver.current_url().await?.as_str().starts_with("http://localhost") {
                return Ok(Some(()));
            }
            let consent = "form[action$='/confirm'] button, form button[autofocus]";
            for button in driver.find_all(By::Css(consent)).await? {
                button.click().await?;
            }
            Ok(None)
        })
        .await;
    }

    async fn has_not(&self, css: &str) {
        let found = self.driver.find_all(By::Css(css)).await.unwrap();
        assert!(found.is_empty(), "{css} is on the page");
    }

    async fn is_at(&self, url: &str) {
        self.until(url, async |driver| {
            Ok((driver.current_url().await?.as_str() == url).then_some(()))
        })
        .await;
    }
}

const DOOR: &str = "a[href^='/api/auth/login/oidc']";

/// Everyone comes in as who they are, sees what is theirs, and is out when they or an admin say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_sign_in_with_the_accounts_that_they_have() {
    let groups = "alpha: [{name: pia, email: pia@example.org}, bob]";
    let (venue, everyone) = Venue::open(groups).await;
    let pia = everyone.iter().find(|one| one.user == "pia").unwrap();
    let provider = Provider::start(&venue);
    let mut serving = Serving::start_with(&venue, groups, &provider.config());
    venue.node.thon(&["nginx", "sync"]).ok();
    let tls = serving.tls_url.clone();

    // The organizer lands where she wanted to go.
    let ada = venue.browser().await;
    ada.open(&tls).await;
    ada.element(DOOR).await;
    ada.looked_at("login-with-accounts").await;
    ada.sign_in_as(&format!("{tls}/users?q=bob"), "ada").await;
    ada.is_at(&format!("{tls}/users?q=bob")).await;
    ada.element("tr[data-key='alpha_bob']").await;
    let cookie = ada.driver.get_named_cookie("__Host-thon-session").await.unwrap();
    assert_eq!((cookie.secure, cookie.http_only), (Some(true), Some(true)));
    // Whoever read it on the way has nothing: without TLS it is none, whatever it is called.
    let host = venue.machine.node_address().to_string();
    for name in ["thon-session", "__Host-thon-session"] {
        let stolen = format!("cookie: {name}={}\r\n", cookie.value);
        let me = Served::ask(&host, venue.node.ports.web, "GET", "/api/auth/me", &stolen);
        assert_eq!(me.expect(200).json()["authenticated"], false, "{name}");
    }
    ada.to_page("/settings").await;
    ada.looked_at("settings-with-accounts").await;
    assert!(ada.shown("#sessions").await.contains("ada@example.org"));

    is_refused(&venue, &tls).await;
    looks_and_changes_nothing(&venue, &tls).await;
    operates_and_no_more(&venue, &tls).await;

    // Pia has her own workspace, and nothing else.
    let browser = venue.browser().await;
    browser.sign_in_as(&tls, "pia").await;
    browser.is_at(&format!("{tls}/mine")).await;
    browser.sees("alpha_pia", "Running").await;
    browser.looked_at("your-workspace").await;
    browser.has_not("nav a[href='/instances'], #activity, a[href='/docs/']").await;
    browser.press_button("#mine", "Show").await;
    assert!(browser.shown("#mine").await.contains(pia.password()));
    let before = started(pia.container());
    browser.press_button("#mine", "Restart").await;
    browser.press_on("#confirm-yes").await;
    browser
        .until("another start", async |_| Ok((started(pia.container()) != before).then_some(())))
        .await;
    browser.sees("alpha_pia", "Running").await;
    let page = browser.driver.window().await.unwrap();
    browser.press_on("#mine a[target=_blank]").await;
    let tabs = browser.driver.windows().await.unwrap();
    browser.driver.switch_to_window(tabs[1].clone()).await.unwrap();
    browser.login().await;
    browser.send_password(pia.password()).await;
    browser.workbench().await;
    browser.driver.close_window().await.unwrap();
    browser.driver.switch_to_window(page).await.unwrap();
    browser.open(&format!("{tls}/users")).await;
    browser.text("this needs the role").await;
    browser.open(&format!("{tls}/mine")).await;

    // A restart of the server logs nobody out.
    assert_eq!(serving.api.signal(Signal::TERM), Some(0));
    serving = Serving::serve(&venue);
    ada.open(&format!("{tls}/settings")).await;
    ada.element("nav a[href='/settings'][aria-current]").await;
    browser.element("#live[data-state=on]").await;

    // An admin takes a session away, and the page of whoever had it notices by itself.
    let row = ada
        .until("Pia's session", async |driver| {
            for row in driver.find_all(By::Css("#sessions tr[data-key]")).await? {
                if row.text().await?.contains("pia@example.org") {
                    return row.attr("data-key").await;
                }
            }
            Ok(None)
        })
        .await;
    ada.press_button(&format!("#sessions tr[data-key='{row}']"), "Log out").await;
    ada.press_on("#confirm-yes").await;
    browser.element(DOOR).await;

    // Without TLS a browser shows no session, and is led to where it has one.
    ada.open(&format!("{}/users", serving.url)).await;
    ada.is_at(&format!("{tls}/users")).await;
    ada.element("nav a[href='/users'][aria-current]").await;
    ada.press_on("#logout").await;
    ada.element(DOOR).await;
    ada.driver.add_cookie(cookie).await.unwrap();
    ada.open(&format!("{tls}/users")).await;
    ada.element(DOOR).await;
    // What is no account any more has still the password.
    ada.press_on("summary").await;
    ada.log_in_with_password().await;
    ada.element("nav a[aria-current]").await;
}

/// Who isn't on the list, and whose address nobody verified, gets in nowhere.
async fn is_refused(venue: &Venue, tls: &str) {
    for (name, why) in [("eve", "not on the list"), ("mallory", "no verified e-mail address")] {
        let browser = venue.browser().await;
        browser.sign_in_as(tls, name).await;
        browser.text(why).await;
        if name == "eve" {
            browser.looked_at("refused").await;
        }
        browser.press_on("a[href='/login']").await;
        browser.element(DOOR).await;
        browser.open(&format!("{tls}/instances")).await;
        browser.element(DOOR).await;
    }
}

async fn looks_and_changes_nothing(venue: &Venue, tls: &str) {
    let browser = venue.browser().await;
    browser.sign_in_as(&format!("{tls}/instances"), "vera").await;
    browser.sees("alpha_bob", "Running").await;
    browser.looked_at("instances-viewer").await;
    browser.has_not("[data-call], [data-bulk], [data-secret], nav a[href='/settings']").await;
    browser.has_not("nav a[href='/handout']").await;
    for page in ["/settings", "/handout"] {
        browser.open(&format!("{tls}{page}")).await;
        browser.text("this needs the role").await;
    }
}

async fn operates_and_no_more(venue: &Venue, tls: &str) {
    let browser = venue.browser().await;
    browser.sign_in_as(&format!("{tls}/instances"), "olga").await;
    let row = "tr[data-key='alpha_bob']";
    browser.press_button(row, "Pause").await;
    browser.sees("alpha_bob", "Paused").await;
    browser.press_button(row, "Resume").await;
    browser.sees("alpha_bob", "Running").await;
    browser.has_not("nav a[href='/settings']").await;
    browser.to_page("/handout").await;
    browser.to_page("/users").await;
    browser.has_not("#new").await;
}

fn started(container: &str) -> String {
    docker(&["container", "inspect", "--format", "{{.State.StartedAt}}", container])
}
