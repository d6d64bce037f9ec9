//! Two browsers, the command line and the API at the same users for a minute: nothing that was
//! reported as done is lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use thirtyfour::By;

use crate::chromium::Browser;
use crate::desk::Serving;
use crate::support::{Node, Served, until};
use crate::venue::Venue;

const USERS: [&str; 2] = ["alpha_ada", "alpha_bob"];

/// How long everybody is at it.
const LONG: Duration = Duration::from_mins(1);

/// How often each of [`USERS`] was changed.
type Done = [u64; 2];

/// Browsers are slow: whoever changed something at every moment would leave them no turn at all.
#[derive(Default)]
struct Pace {
    over: AtomicBool,
    /// How often a browser has tried so far.
    tries: AtomicU64,
}

impl Pace {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Waits until browsers have tried a few times more. False when everybody goes home.
    fn next(&self) -> bool {
        let before = self.tries.load(Ordering::Relaxed);
        until("the browsers", || {
            let enough = self.tries.load(Ordering::Relaxed) >= before + 4;
            (self.is_over() || enough).then_some(())
        });
        !self.is_over()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_changes_the_same_users_at_once_loses_nothing() {
    let venue = Venue::without_anybody().await;
    let mut serving = Serving::start(&venue, "");
    let token = venue.node.thon(&["token", "add", "counter", "--scope", "admin"]).ok();
    serving.api.token = Some(token.stdout.trim().to_owned());
    let api = &serving.api;
    api.call("POST", "/api/groups", &json!({"name": "alpha"})).expect(201);
    for name in ["ada", "bob"] {
        let body = json!({"group": "alpha", "username": name, "display_name": "0"});
        api.call("POST", "/api/users", &body).expect(201);
    }
    let (one, other) = tokio::join!(venue.browser(), venue.browser());
    for browser in [&one, &other] {
        browser.log_in(&serving.url).await;
    }

    let pace = Pace::default();
    let (by_one, by_other, by_api, by_cli) = std::thread::scope(|scope| {
        let by_api = scope.spawn(|| counts_over_the_api(api, &pace));
        let by_cli = scope.spawn(|| writes_addresses(&venue.node, &pace));
        let clicks = async {
            let end = async {
                tokio::time::sleep(LONG).await;
                pace.over.store(true, Ordering::Relaxed);
            };
            let url = serving.url.as_str();
            let browsers = (counts_in(&one, url, &pace), counts_in(&other, url, &pace));
            tokio::join!(end, browsers.0, browsers.1)
        };
        let ((), by_one, by_other) =
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(clicks));
        (by_one, by_other, by_api.join().unwrap(), by_cli.join().unwrap())
    });

    let everybody = [by_one, by_other, by_api].map(|done| done.iter().sum::<u64>());
    assert!(by_cli > 0 && everybody.iter().all(|done| *done > 0), "{by_cli}, {everybody:?}");
    for (at, id) in USERS.into_iter().enumerate() {
        let parts = [by_one[at], by_other[at], by_api[at]];
        let user = user(api, id);
        let counted = parts.iter().sum::<u64>().to_string();
        assert_eq!(user["display_name"], counted.as_str(), "{parts:?}: {user}");
        assert_eq!(user["email"], address(id, by_cli), "the last address");
    }
    let said = venue.node.thon(&["db", "check"]).ok().stdout;
    assert!(said.contains("sound: 1 group, 2 users"), "{said}");
}

fn user(api: &Served, id: &str) -> Value {
    api.get(&format!("/api/users/{id}")).expect(200).json()
}

fn address(id: &str, round: u64) -> String {
    format!("{id}-{round}@example.org").replace('_', "-")
}

/// Adds one to the number that each user has for a name, and again where somebody was faster.
fn counts_over_the_api(api: &Served, pace: &Pace) -> Done {
    let mut done = [0; 2];
    while pace.next() {
        for (at, id) in USERS.into_iter().enumerate() {
            let seen = user(api, id);
            let number: u64 = seen["display_name"].as_str().unwrap().parse().unwrap();
            let (revision, body) =
                (&seen["revision"], json!({"display_name": (number + 1).to_string()}));
            let headers = format!("content-type: application/json\r\nif-match: \"{revision}\"\r\n");
            let path = format!("/api/users/{id}");
            let answer = api.send("PATCH", &path, &headers, &body.to_string());
            match answer.status {
                200 => done[at] += 1,
                412 => {}
                _ => panic!("{answer:?}"),
            }
        }
    }
    done
}

/// Imports a file with other addresses for both, again and again; returns the number of the last.
fn writes_addresses(node: &Node, pace: &Pace) -> u64 {
    let file = node.folder().join("people.yaml");
    let mut round = 0;
    while pace.next() {
        round += 1;
        let entry = |id: &str| {
            let name = id.strip_prefix("alpha_").unwrap();
            format!("{{name: {name}, email: {}}}", address(id, round))
        };
        let entries: Vec<String> = USERS.into_iter().map(entry).collect();
        let text = format!("groups: {{alpha: {{users: [{}]}}}}\n", entries.join(", "));
        std::fs::write(&file, text).unwrap();
        node.thon(&["--yes", "import", file.to_str().unwrap()]).ok();
    }
    round
}

/// The same as over the API, on the users' pages.
async fn counts_in(browser: &Browser, url: &str, pace: &Pace) -> Done {
    const FIELD: &str = "form[data-call^='PATCH'] input[name=display_name]";
    let mut done = [0; 2];
    while !pace.is_over() {
        for (at, id) in USERS.into_iter().enumerate() {
            browser.open(&format!("{url}/users/{id}")).await;
            let field = browser.element(FIELD).await;
            let seen = field.attr("value").await.unwrap().unwrap();
            let next = seen.parse::<u64>().unwrap() + 1;
            browser.type_into(FIELD, &next.to_string()).await;
            browser.press_on("form[data-call^='PATCH'] .primary").await;
            let stored = browser.until("the answer", async |driver| {
                // The page is loaded anew when it is stored, and says why where it isn't.
                let field = driver.find(By::Css(FIELD)).await?;
                if field.attr("value").await?.as_deref() != Some(seen.as_str()) {
                    return Ok(Some(true));
                }
                let error = driver.find(By::Css("form[data-call^='PATCH'] .error")).await?;
                let said = error.text().await?;
                Ok((error.is_displayed().await? && said.contains("changed by someone else"))
                    .then_some(false))
            });
            done[at] += u64::from(stored.await);
            pace.tries.fetch_add(1, Ordering::Relaxed);
        }
    }
    done
}
