//! THON as participants meet it: in a real browser, with the commands that an organizer types.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod chromium;
#[path = "../support/mod.rs"]
mod support;
mod machine;
mod team;
mod workbench;

use chromium::Browser;

/// The whole way of a participant: out without the password, in with it, and then an editor, a
/// terminal and a web view that work.
#[tokio::test]
async fn the_password_opens_a_workbench_with_a_terminal_and_web_views() {
    let (machine, node) = machine::Machine::and_node("alpha: [ada]");
    let ada = node.run().remove(0);
    team::bring_files(ada.container());
    let browser = Browser::start(&machine, Some(&node.root_certificate())).await;

    browser.open_login(&ada).await;
    browser.stays_out("not-the-password").await;
    browser.send_password(ada.password()).await;
    browser.workbench().await;

    browser.open_terminal().await;
    browser.press("echo thon-$((40+2)) > from-terminal.txt\n").await;
    browser.in_explorer("from-terminal.txt").await;
    assert_eq!(support::exec(ada.container(), &["cat", "from-terminal.txt"]), "thon-42");

    browser.open_file("README.md").await;
    browser.command("Markdown: Open Preview to the Side").await;
    assert_eq!(browser.heading_in_web_view().await, team::HEADING);
    browser.screenshot("workbench.png").await;
}
#[tokio::test]
async fn tmp_drop() {
    let (machine, node) = machine::Machine::and_node("alpha: [ada]");
    let browser = Browser::start(&machine, None).await;
    browser.open("about:blank").await;
    browser.driver.execute("console.log('x')", []).await.unwrap();
    let t = std::time::Instant::now();
    drop(browser);
    eprintln!("dropped {:?}", t.elapsed());
}
