//! THON as participants meet it: in a real browser, after the commands that an organizer types.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod chromium;
mod dashboard;
mod desk;
mod machine;
mod origins;
mod signin;
#[path = "../support/mod.rs"]
mod support;
mod team;
mod together;
mod venue;
mod workbench;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use thirtyfour::By;

use crate::chromium::Browser;
use crate::support::{docker, exec, write_file};
use crate::venue::Venue;

/// The whole way of a participant: out without the password, in with it, and then an editor, a
/// terminal and a web view that work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_opens_a_workbench_with_a_terminal_and_web_views() {
    let (venue, everyone) = Venue::open("night-owls: [ada]").await;
    let ada = &everyone[0];
    team::bring_files(ada.container());
    let browser = venue.browser().await;

    browser.open_login(ada).await;
    browser.stays_out("not-the-password").await;
    browser.send_password(ada.password()).await;
    browser.workbench().await;

    browser.open_file("README.md").await;
    browser.command("Markdown: Open Preview to the Side").await;
    assert_eq!(browser.heading_in_web_view().await, team::HEADING);
    browser.command("View: Focus First Editor Group").await;
    browser.open_file("tides.py").await;

    browser.open_terminal().await;
    browser.press("echo thon-$((40+2)) > from-terminal.txt\n").await;
    browser.in_explorer("from-terminal.txt").await;
    assert_eq!(exec(ada.container(), &["cat", "from-terminal.txt"]), "thon-42");

    // The picture of a team at work.
    browser.press("rm from-terminal.txt; clear\n").await;
    browser.press("python3 tides.py --csv forecast.csv\n").await;
    browser.in_explorer("forecast.csv").await;
    browser.screenshot("workbench.png").await;
}

/// What is in the workspace outlives the sandbox, and nobody needs a new link or password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_is_still_there_after_down_and_up() {
    let (venue, everyone) = Venue::open("alpha: [ada]").await;
    let before = &everyone[0];
    {
        let browser = venue.browser().await;
        browser.sign_in(before).await;
        browser.open_terminal().await;
        browser.press("mkdir src && echo 'fn main() {}' > src/kept.rs\n").await;
        browser.in_explorer("src").await;
    }

    venue.node.thon(&["down", "--yes"]).ok();
    assert_eq!(venue.node.containers(), Vec::<String>::new());
    venue.node.thon(&["up", "--yes"]).ok();

    let after = venue.node.instance("alpha", "ada");
    assert_ne!(before.container_id, after.container_id);
    assert_eq!(before.url(), after.url());
    assert_eq!(before.password(), after.password());
    let browser = venue.browser().await;
    browser.sign_in(&after).await;
    browser.in_explorer("src").await.click().await.unwrap();
    browser.open_file("kept.rs").await;
    browser.text_in_editor("fn main() {}").await;
}

/// Two participants share a laptop, with one profile: neither gets into the other's editor, and
/// neither throws the other out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_in_one_browser_stay_apart() {
    let (venue, everyone) = Venue::open("alpha: [ada]\nbeta: [bob]").await;
    let [ada, bob] = everyone.as_slice() else { panic!("{everyone:?}") };
    write_file(ada.container(), "/workspace/of-ada.txt", "");
    write_file(bob.container(), "/workspace/of-bob.txt", "");
    let browser = venue.browser().await;

    browser.sign_in(ada).await;
    browser.in_explorer("of-ada.txt").await;
    browser.open_login(bob).await;
    browser.stays_out(ada.password()).await;
    browser.send_password(bob.password()).await;
    browser.in_explorer("of-bob.txt").await;

    // Both at once, in two tabs.
    browser.driver.new_tab().await.unwrap();
    let tabs = browser.driver.windows().await.unwrap();
    browser.driver.switch_to_window(tabs[1].clone()).await.unwrap();
    browser.open(ada.url()).await;
    browser.in_explorer("of-ada.txt").await;

    for person in [ada, bob] {
        browser.open(person.url()).await;
        let cookie = browser.session_cookie().await;
        let path = cookie.path.unwrap();
        assert_eq!(path.trim_end_matches('/'), person.path().trim_end_matches('/'));
        assert_eq!(cookie.secure, Some(true), "a browser sends it without TLS");
        assert_eq!(cookie.http_only, Some(true), "a page's script can read it");
    }

    // Ada leaves; Bob's tab goes on.
    browser.open(ada.url()).await;
    browser.workbench().await;
    browser.command("Sign out of code-server").await;
    browser.login().await;
    browser.open_login(ada).await;
    browser.driver.switch_to_window(tabs[0].clone()).await.unwrap();
    browser.driver.refresh().await.unwrap();
    browser.in_explorer("of-bob.txt").await;
}

/// A participant looks at what they build, under both of the paths that code-server offers for
/// that; whoever isn't signed in sees nothing of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dev_server_is_seen_by_its_participant_alone() {
    let (venue, everyone) = Venue::open("alpha: [ada]").await;
    let ada = &everyone[0];
    // One path reaches the server without what leads to it, the other as the browser has it.
    let kept = format!("/workspace/site{}absproxy/3000", ada.path());
    exec(ada.container(), &["mkdir", "-p", &kept]);
    write_file(ada.container(), "/workspace/site/index.html", "<h1>Built by Ada</h1>");
    write_file(ada.container(), &format!("{kept}/index.html"), "<h1>Built on a base</h1>");
    let site = "/workspace/site";
    let server = ["python3", "-m", "http.server", "--bind", "127.0.0.1", "3000"];
    let exec = ["exec", "--detach", "--user", "vscode", "--workdir", site, ada.container()];
    docker(&[exec.as_slice(), &server].concat());
    let pages = [("proxy/3000/", "Built by Ada"), ("absproxy/3000/", "Built on a base")];

    let browser = venue.browser().await;
    for (path, heading) in pages {
        browser.open(&format!("{}{path}", ada.url())).await;
        browser.login().await;
        assert!(!browser.driver.source().await.unwrap().contains(heading));
    }
    browser.sign_in(ada).await;
    for (path, heading) in pages {
        let url = format!("{}{path}", ada.url());
        let shown = browser.until(heading, async |driver| {
            // Once more where the server was not up yet.
            driver.goto(&url).await?;
            driver.find(By::Css("h1")).await?.text().await.map(Some)
        });
        assert_eq!(shown.await, heading);
    }
}

/// The certificate is what the command says that it is: refused by a browser that doesn't know the
/// root, and the root is had from the node itself, before there is any trust.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_root_certificate_that_is_handed_out_is_what_browsers_need() {
    let (venue, everyone) = Venue::open("alpha: [ada]").await;
    let ada = &everyone[0];
    let browser = Browser::start(&venue.machine, None).await;
    // Drivers differ in whether they call it an error when the browser shows its warning instead.
    drop(browser.driver.goto(ada.url()).await);
    browser.text("ERR_CERT_AUTHORITY_INVALID").await;
    drop(browser);

    let offered = venue.node.folder().join("ca.crt");
    std::fs::write(&offered, download(venue.node.ports.http, "/ca.crt")).unwrap();
    let browser = Browser::start(&venue.machine, Some(&offered)).await;
    browser.open_login(ada).await;
    assert_eq!(std::fs::read(&offered).unwrap(), std::fs::read(&venue.root).unwrap());
}

/// What a server of this machine answers without any TLS.
fn download(port: u16, path: &str) -> String {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    write!(connection, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{head}");
    body.to_owned()
}
