//! What a page of one participant may do to another who opens it, in a real browser.
//!
//! For: proving for each layout what `docs/security.md` says of it.
//! Not for: what nginx passes on; the tests of `thon-nginx` see every header.

use serde::Deserialize;

use crate::chromium::Browser;
use crate::support::{Instance, docker, exec, write_file};
use crate::team;
use crate::venue::Venue;

const GROUPS: &str = "alpha: [ada]\nbeta: [bob]";

/// What Ada keeps to herself.
const SECRET: &str = "the winning idea";

/// Tries everything that a page can try with the session that the visitor's browser has for
/// another's editor, and writes down how far it came.
const PAGE: &str = r##"<!doctype html><title>Come and see</title><h1>Built by Bob</h1>
<script type="module">
const victim = "VICTIM";
const within = (work) => Promise.race([work, new Promise((_, no) => setTimeout(no, 20000, "late"))]);
const attempt = (work) => within(work()).then(String, (error) => "refused: " + error);
const read = async (path) =>
  (await fetch(victim + path, { credentials: "include" })).text();
const found = {
  file: await attempt(() => read("vscode-remote-resource?path=/workspace/secret.txt")),
  page: await attempt(async () => {
    const page = await read("?folder=/workspace");
    return page.includes("vscode-workbench-web-configuration") ? "editor" : "something else";
  }),
  frame: await attempt(() => new Promise((yes) => {
    const frame = document.createElement("iframe");
    frame.onload = () => {
      const inside = frame.contentDocument;
      yes(!inside ? "closed" : inside.querySelector("#vscode-workbench-web-configuration")
        ? "editor" : "something else");
    };
    frame.src = victim + "?folder=/workspace";
    document.body.append(frame);
  })),
  socket: await attempt(() => new Promise((yes) => {
    const socket = new WebSocket(victim.replace("https:", "wss:") + "SOCKET");
    socket.onopen = () => yes("open");
    socket.onerror = () => yes("refused");
  })),
  cookies: document.cookie,
};
document.body.append(Object.assign(document.createElement("pre"),
  { id: "found", textContent: JSON.stringify(found) }));
</script>"##;

const SOCKET: &str = "stable-0/?reconnectionToken=00000000-0000-4000-8000-000000000000\
                      &reconnection=false&skipWebSocketFrames=false";

/// How far the page came.
#[derive(Debug, Deserialize)]
struct Found {
    file: String,
    page: String,
    frame: String,
    socket: String,
    cookies: String,
}

/// Bob shows what he built to Ada, who is signed in at her own editor and uses the password that
/// Bob gave her for his.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_reaches_another_s_editor_in_layout_path_and_in_no_other() {
    let (venue, _) = Venue::open(GROUPS).await;
    let mut served = false;
    for layout in ["path", "port", "subdomain"] {
        let everyone = venue.lay_out(layout, GROUPS);
        let [ada, bob] = everyone.as_slice() else { panic!("{everyone:?}") };
        // Before an editor looks: it shows what comes later only once it watches the folder.
        write_file(ada.container(), "/workspace/secret.txt", SECRET);
        team::bring_files(ada.container());
        let page = PAGE.replace("VICTIM", ada.url()).replace("SOCKET", SOCKET);
        write_file(bob.container(), "/workspace/index.html", &page);
        if !std::mem::replace(&mut served, true) {
            serve(bob);
        }
        let browser = venue.browser().await;
        browser.sign_in(ada).await;
        if layout != "path" {
            an_editor_works_whole(&browser, ada).await;
        }
        browser.sign_in(bob).await;
        let found = what_the_page_found(&browser, bob).await;
        assert!(!found.cookies.contains("session"), "{layout}: {found:?}");
        let came = [&found.page, &found.frame, &found.socket].map(String::as_str);
        if layout == "path" {
            assert_eq!(found.file.trim(), SECRET, "{found:?}");
            assert_eq!(came, ["editor", "editor", "open"], "{found:?}");
        } else {
            assert!(found.file.starts_with("refused: "), "{layout}: {found:?}");
            assert!(found.page.starts_with("refused: "), "{layout}: {found:?}");
            assert_eq!(came[1..], ["closed", "refused"], "{layout}: {found:?}");
        }
        // And Ada is still signed in, to an editor that nobody shook.
        browser.open(ada.url()).await;
        browser.in_explorer("secret.txt").await;
    }
}

/// Serves the files of an instance's workspace in its sandbox.
fn serve(instance: &Instance) {
    let server = ["python3", "-m", "http.server", "--bind", "127.0.0.1", "3000"];
    let container = instance.container();
    let exec = ["exec", "--detach", "--user", "vscode", "--workdir", "/workspace", container];
    docker(&[exec.as_slice(), &server].concat());
}

async fn what_the_page_found(browser: &Browser, host: &Instance) -> Found {
    let url = format!("{}proxy/3000/", host.url());
    browser.open(&url).await;
    let found = browser.until("the page's report", async |driver| {
        let Some(found) = driver.find_all(thirtyfour::By::Css("#found")).await?.pop() else {
            // The server may not have been up yet.
            let shown = driver.source().await?;
            if !shown.contains("Built by Bob") {
                driver.goto(&url).await?;
            }
            return Ok(None);
        };
        found.text().await.map(Some)
    });
    serde_json::from_str(&found.await).unwrap()
}

/// On an origin of its own an editor has everything that it has below a path: sockets, web views
/// with their service worker, a terminal.
async fn an_editor_works_whole(browser: &Browser, ada: &Instance) {
    browser.open_file("README.md").await;
    browser.command("Markdown: Open Preview to the Side").await;
    assert_eq!(browser.heading_in_web_view().await, team::HEADING);
    browser.command("View: Focus First Editor Group").await;
    browser.open_terminal().await;
    browser.press("echo thon-$((40+2)) > from-terminal.txt\n").await;
    browser.in_explorer("from-terminal.txt").await;
    exec(ada.container(), &["rm", "from-terminal.txt"]);
}
