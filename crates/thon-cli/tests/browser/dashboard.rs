//! The dashboard in a real browser: an organizer's whole way, and every page in every look.

use std::time::Duration;

use thirtyfour::By;

use crate::chromium::Browser;
use crate::desk::{PASSWORD, Serving, scan};
use crate::support::{exec, write_file};
use crate::venue::Venue;

/// From an empty node to participants at work, moved and handed out, without a single reload.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organizer_runs_an_event_from_the_dashboard() {
    let venue = Venue::without_anybody().await;
    let serving = Serving::start(&venue, "");
    let browser = venue.browser().await;

    // Nobody gets in without the password, wherever they come from.
    browser.open(&format!("{}/users?q=x", serving.url)).await;
    browser.type_into("input[name=password]", "not the password").await;
    browser.press_on("form button").await;
    assert_eq!(browser.shown(".error").await, "That password is wrong.");
    browser.log_in(&serving.url).await;
    let cookie = browser.driver.get_named_cookie("thon-session").await.unwrap();
    assert_eq!(cookie.http_only, Some(true), "a page's script can read it");
    browser.looked_at("overview-empty").await;

    // A group and two users.
    browser.to_page("/groups").await;
    browser.type_into("#new input[name=name]", "Night Owls").await;
    browser.press_on("#new .primary").await;
    assert!(browser.shown("#new .error").await.contains("night-owls"), "a way out is offered");
    for (name, title) in [("night-owls", "The Night Owls"), ("beta", "")] {
        browser.type_into("#new input[name=name]", name).await;
        browser.type_into("#new input[name=title]", title).await;
        browser.press_on("#new .primary").await;
        browser.element(&format!("#list tr[data-key='{name}']")).await;
    }
    browser.press_on("#list a[href='/groups/night-owls']").await;
    for name in ["ada", "bob"] {
        browser.type_into("input[name=username]", name).await;
        browser.press_on("form[data-reset] .primary").await;
        browser.element(&format!("#members tr[data-key='night-owls_{name}']")).await;
    }

    // Both are launched and seen to become healthy.
    browser.to_page("/instances").await;
    browser.element("#list tr[data-key='night-owls_bob']").await;
    browser.press_on("#choose-all").await;
    browser.press_button("#bulk", "Launch").await;
    for key in ["night-owls_ada", "night-owls_bob"] {
        browser.sees(key, "Running").await;
    }
    browser.element("#activity li.succeeded").await;
    let memory = browser.until("memory", async |driver| {
        let cell = driver.find(By::Css("[data-memory='night-owls_ada']")).await?.text().await?;
        Ok(cell.ends_with("MiB").then_some(cell))
    });
    memory.await;
    browser.looked_at("instances").await;
    let ada = venue.node.instance("night-owls", "ada");

    // One opens in a tab of its own.
    let overview = browser.driver.window().await.unwrap();
    browser.press_on("tr[data-key='night-owls_ada'] a[target=_blank]").await;
    let tabs = browser.driver.windows().await.unwrap();
    browser.driver.switch_to_window(tabs[1].clone()).await.unwrap();
    browser.login().await;
    browser.send_password(ada.password()).await;
    browser.workbench().await;
    browser.driver.close_window().await.unwrap();
    browser.driver.switch_to_window(overview).await.unwrap();

    // Over TLS, behind nginx, everything is as it was, and the cookie stays on TLS.
    browser.press_on("#logout").await;
    browser.element("input[name=password]").await;
    browser.log_in(&serving.tls_url).await;
    let cookie = browser.driver.get_named_cookie("__Host-thon-session").await.unwrap();
    assert_eq!(cookie.secure, Some(true), "the cookie would go out without TLS");
    browser.to_page("/instances").await;

    is_paused_and_restarted(&browser, ada.container()).await;

    // Ada moves to the other team, and her files with her.
    write_file(ada.container(), "/workspace/plan.txt", "the plan");
    browser.press_on("tr[data-key='night-owls_ada'] a[href^='/users/']").await;
    browser.looked_at("user").await;
    browser.choose("form[data-call$='/move'] select", "beta").await;
    browser.press_button("form[data-call$='/move']", "Move").await;
    browser.press_on("#confirm-yes").await;
    browser
        .until("the page of who she is now", async |driver| {
            Ok(driver.current_url().await?.path().ends_with("/users/beta_ada").then_some(()))
        })
        .await;
    browser.element("#instance .badge.running").await;
    let moved = venue.node.instance("beta", "ada");
    assert_eq!(exec(moved.container(), &["cat", "plan.txt"]), "the plan");
    assert_eq!(moved.password(), ada.password(), "her password is another one");
    let volumes = venue.node.volumes();
    assert!(!volumes.iter().any(|name| name.contains("night-owls_ada")), "{volumes:?}");

    // What is handed out leads where it says.
    browser.to_page("/handout").await;
    let code = browser.element("[data-key='beta_ada'] .qr").await;
    assert_eq!(scan(&code.screenshot_as_png().await.unwrap()), moved.url());
    assert!(browser.shown("[data-key='beta_ada']").await.contains(moved.password()));
    browser.looked_at("handout").await;

    // Whoever logs out is out, in every tab.
    browser.to_page("/").await;
    browser.press_on("#logout").await;
    browser.element("input[name=password]").await;
    browser.open(&format!("{}/instances", serving.tls_url)).await;
    browser.element("input[name=password]").await;
    browser.driver.add_cookie(cookie).await.unwrap();
    browser.open(&format!("{}/instances", serving.tls_url)).await;
    browser.element("input[name=password]").await;
}

/// Ada is paused, resumed and restarted, and Bob is stopped.
async fn is_paused_and_restarted(browser: &Browser, ada: &str) {
    let row = "tr[data-key='night-owls_ada']";
    browser.press_button(row, "Pause").await;
    browser.sees("night-owls_ada", "Paused").await;
    browser.press_button(row, "Resume").await;
    browser.sees("night-owls_ada", "Running").await;
    let before = started(ada);
    browser.press_button(row, "Restart").await;
    browser.press_on("#confirm-yes").await;
    browser.until("another start", async |_| Ok((started(ada) != before).then_some(()))).await;
    browser.sees("night-owls_ada", "Running").await;
    browser.press_button("tr[data-key='night-owls_bob']", "Stop").await;
    browser.press_on("#confirm-yes").await;
    browser.sees("night-owls_bob", "Terminated").await;
}

fn started(container: &str) -> String {
    crate::support::docker(&["container", "inspect", "--format", "{{.State.StartedAt}}", container])
}

/// Every page with two hundred people whose names are as long as they may be: nothing sticks out,
/// and what destroys something asks for its name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_hold_with_two_hundred_people_and_long_names() {
    let venue = Venue::without_anybody().await;
    let table = venue.node.folder().join("people.csv");
    std::fs::write(&table, people()).unwrap();
    venue.node.thon(&["import", table.to_str().unwrap(), "--yes"]).ok();
    let serving = Serving::start(&venue, "");
    let browser = venue.browser().await;
    browser.log_in(&serving.url).await;
    browser
        .until("the doctor's word", async |driver| {
            let said = driver.find(By::Css("#doctor")).await?.text().await?;
            Ok((!said.contains("being examined")).then_some(()))
        })
        .await;
    browser.looked_at("overview").await;
    for (path, name) in [
        ("/instances", "instances-many"),
        ("/groups", "groups"),
        ("/users", "users"),
        ("/workspaces", "workspaces"),
        ("/ai", "ai"),
        ("/settings", "settings"),
        ("/handout", "handout-many"),
    ] {
        browser.to_page(path).await;
        browser.looked_at(name).await;
    }

    // A page of many, and the search among them.
    browser.to_page("/users").await;
    assert!(browser.shown(".pager").await.contains("200 users"));
    browser.press_on(".pager a[rel=next]").await;
    browser.text("Page 2 of 4").await;
    browser.type_into("input[name=q]", "number 137").await;
    browser.press_on(".filters button").await;
    browser.text("1 user").await;
    browser.press_on("#list td.who a").await;
    browser.looked_at("user-long").await;

    // Removing asks for the name, and takes no other.
    let name = browser.shown("h1").await;
    let name = name.split_whitespace().next().unwrap().to_owned();
    browser.press_button("main", "Remove user").await;
    browser.looked_at("confirm").await;
    let yes = browser.element("#confirm-yes").await;
    browser.type_into("#confirm-input", "another").await;
    assert!(!yes.is_enabled().await.unwrap(), "any name will do");
    browser.type_into("#confirm-input", &name).await;
    yes.click().await.unwrap();
    browser.text("199 users").await;

    // A file that can't be used is refused with its place, a good one is compared and stored.
    browser.open(&format!("{}/settings/vscode_settings", serving.url)).await;
    browser.type_into("#content", "{\"a\": }").await;
    browser.press_button("form.editor", "Store").await;
    assert!(browser.shown("form.editor > .error").await.contains("vscode_settings"));
    for text in ["{\"a\": 1}", "{\"a\": 2}"] {
        browser.type_into("#content", text).await;
        browser.press_button("form.editor", "Check and compare").await;
        browser.element(".diff .add").await;
        browser.looked_at("file").await;
        browser.press_button("form.editor", "Store").await;
        browser
            .until("the stored one", async |driver| {
                let shown = driver.find(By::Css("#content")).await?.prop("value").await?;
                let diff = driver.find_all(By::Css(".diff")).await?;
                Ok((diff.is_empty() && shown.as_deref() == Some(text)).then_some(()))
            })
            .await;
    }
    browser.press_button("main", "Restore").await;
    browser
        .until("version 1 again", async |driver| {
            let shown = driver.find(By::Css("#content")).await?.prop("value").await?;
            Ok((shown.as_deref() == Some("{\"a\": 1}")).then_some(()))
        })
        .await;

    // Whoever guesses waits, whatever they guess by then.
    browser.press_on("#logout").await;
    for _ in 0..5 {
        browser.type_into("input[name=password]", "a wrong password").await;
        browser.press_on("form button").await;
        browser.element(".error").await;
    }
    browser.type_into("input[name=password]", PASSWORD).await;
    browser.press_on("form button").await;
    browser.text("Too many wrong passwords").await;
    tokio::time::timeout(Duration::from_mins(1), async {
        browser
            .until("to be let in after the wait", async |driver| {
                if !driver.find_all(By::Css("nav a[aria-current]")).await?.is_empty() {
                    return Ok(Some(()));
                }
                let field = driver.find(By::Css("input[name=password]")).await?;
                field.send_keys(PASSWORD).await?;
                driver.find(By::Css("form button")).await?.click().await?;
                Ok(None)
            })
            .await;
    })
    .await
    .unwrap();
}

/// Two hundred people in twenty groups, the longest names that there may be.
fn people() -> String {
    let line = |number: u32| {
        let group = format!("a-very-long-name-of-a-group-n{:03}", number / 10);
        let user = format!("someone-whose-name-is-long-n{number:03}");
        let shown = format!("Number {number} Wolfeschlegelsteinhausenbergerdorff the Third");
        format!("{group},{user},{shown},{user}@a-very-long-domain.example.org\n")
    };
    let lines: Vec<_> = (0..200).map(line).collect();
    format!("group,username,name,email\n{}", lines.concat())
}
