//! Signing in with an account: over HTTP, with a stand-in that checks every parameter.
//!
//! For: who is let in as what, what a browser keeps, sessions, and attacks that have to fail.
//! Not for: ID tokens and what providers answer, which are the adapter's; and not for pages.

use std::collections::BTreeMap;

use rustix::process::Signal;
use serde_json::{Value, json};
use thon_auth::testing::{Lie, Person, StandIn};
use tokio::runtime::Runtime;

use crate::desk::{Desk, error_line, has};
use crate::support::{Answer, Ports, Served, until};

const HERE: &str = "127.0.0.1";

/// The list of who may come in.
const ALLOW: &str = "    - {role: admin, email: ada@example.org}
    - {role: operator, provider: github, login: olga}
    - {role: viewer, domain: viewers.example}
    - {role: operator, claim: groups, value: staff}
    - {role: participant, roster: true}";

/// A server where people sign in, and those who vouch for them.
struct Event {
    desk: Desk,
    ports: Ports,
    served: Served,
    there: StandIn,
    _runtime: Runtime,
}

/// A browser that is logged in.
#[derive(Debug, Clone)]
struct Browser {
    id: String,
    csrf: String,
}

impl Browser {
    /// What it shows with a request: of a page of ours, unless it changes nothing.
    fn headers(&self) -> String {
        format!("cookie: thon-session={}\r\nx-thon-csrf: {}\r\n", self.id, self.csrf)
    }
}

/// A way to a provider: the address there, and the cookie that the browser keeps.
struct Way {
    url: String,
    cookie: String,
}

impl Event {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (desk, ports) = (Desk::new(), Ports::take());
        let base = format!("http://{HERE}:{}", ports.web);
        let there = runtime.block_on(StandIn::start(&base));
        desk.file("thon.yaml", config(&ports, &there, ALLOW));
        let served = Served::start(desk.command(&["serve"]), HERE, ports.api);
        Self { desk, ports, served, there, _runtime: runtime }
    }

    /// Asks the dashboard's port.
    fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        Served::ask(HERE, self.ports.web, method, path, headers)
    }

    fn begin(&self, provider: &str, next: &str) -> Way {
        self.begin_with(provider, next, "")
    }

    fn begin_with(&self, provider: &str, next: &str, headers: &str) -> Way {
        let answer = self.ask("GET", &format!("/api/auth/login/{provider}?next={next}"), headers);
        let url = answer.json()["authorization_url"].as_str().unwrap().to_owned();
        let (name, value, rest) = answer.expect(200).cookie("thon-sign-in-");
        assert!(rest.contains("HttpOnly; SameSite=Lax"), "{rest}");
        assert!(rest.starts_with(&format!("Path=/api/auth/callback/{provider}; ")), "{rest}");
        Way { url, cookie: format!("cookie: {name}={value}\r\n") }
    }

    /// What the provider sends a browser back with: path and query of ours.
    fn visit(&self, way: &Way) -> String {
        let rest = way.url.strip_prefix("http://").unwrap();
        let (host, path) = rest.split_once('/').unwrap();
        let port = host.rsplit_once(':').unwrap().1.parse().unwrap();
        let answer = Served::ask(HERE, port, "GET", &format!("/{path}"), "").expect(303);
        let base = format!("http://{HERE}:{}", self.ports.web);
        answer.header("location").strip_prefix(&base).unwrap().to_owned()
    }

    /// The whole way, as a program goes it.
    fn come(&self, provider: &str, person: Person) -> Answer {
        self.there.is(person);
        let way = self.begin(provider, "/");
        let back = self.visit(&way);
        self.ask("GET", &back, &way.cookie)
    }

    /// The session of whoever is let in.
    #[track_caller]
    fn sign_in(&self, provider: &str, person: Person) -> Browser {
        self.browser(&self.come(provider, person).expect(200))
    }

    #[track_caller]
    fn browser(&self, answer: &Answer) -> Browser {
        let (name, id, rest) = answer.cookie("thon-session");
        assert_eq!(name, "thon-session");
        assert!(rest.contains("HttpOnly; SameSite=Strict"), "{rest}");
        // What a change has to be sent with, is on every page.
        let page = self.ask("GET", "/mine", &format!("cookie: thon-session={id}\r\n"));
        let page = page.expect(200).body;
        let csrf = page.split("name=\"csrf\" content=\"").nth(1).unwrap().split('"').next();
        Browser { id, csrf: csrf.unwrap().to_owned() }
    }

    fn me(&self, browser: &Browser) -> Value {
        self.ask("GET", "/api/auth/me", &browser.headers()).expect(200).json()
    }

    /// The stream of events, as a browser watches it.
    fn watch(&self, browser: &Browser) -> std::net::TcpStream {
        let headers = format!("{}connection: close\r\n", browser.headers());
        Served::open_events(HERE, self.ports.web, &headers)
    }

    /// A browser of each role.
    fn one_of_each(&self) -> BTreeMap<&'static str, Browser> {
        let of = |mail: &str| Person { email: Some(mail.to_owned()), ..Person::new(1, "somebody") };
        BTreeMap::from([
            ("participant", self.sign_in("oidc", of("pia@example.org"))),
            ("viewer", self.sign_in("gitlab", of("vera@viewers.example"))),
            ("operator", self.sign_in("github", Person::new(2, "olga"))),
            ("admin", self.sign_in("oidc", of("ada@example.org"))),
        ])
    }
}

fn config(ports: &Ports, there: &StandIn, allow: &str) -> String {
    let Ports { api, web, first, last, .. } = ports;
    format!(
        "groups:\n  alpha: [{{name: pia, email: pia@example.org}}, bob]\n\
         dashboard: {{port: {api}, web_port: {web}}}\n\
         sandbox: {{host_ports: {first}-{last}}}\nnginx: {{enabled: false}}\n{}",
        there.config(allow)
    )
}

#[test]
fn whoever_is_listed_is_let_in_with_their_role_and_nobody_else() {
    let event = Event::new();
    let browsers = event.one_of_each();
    for (role, browser) in &browsers {
        assert_eq!(event.me(browser)["role"], *role, "{browser:?}");
    }
    let pia = event.me(&browsers["participant"]);
    assert_eq!((&pia["users"], &pia["user_id"]), (&json!(["alpha_pia"]), &json!("oidc:sub-1")));
    let staff = Person { email: None, ..Person::new(9, "sam") }.with("groups", json!(["staff"]));
    assert_eq!(event.me(&event.sign_in("oidc", staff))["role"], "operator");

    // Nobody else, whoever vouches for them; and an address that nobody verified is none.
    for provider in ["github", "gitlab", "oidc"] {
        let eve = event.come(provider, Person::new(5, "eve")).expect(403);
        assert_eq!(eve.json()["code"], "not_listed", "{provider}");
        assert_eq!(eve.headers("set-cookie").count(), 0, "{eve:?}");
        let ada = Person { verified: false, ..Person::new(6, "ada") };
        let unverified = event.come(provider, ada).expect(403);
        has(&unverified.body, &["no verified e-mail address"]);
    }
    let olga = event.come("gitlab", Person::new(7, "olga")).expect(403);
    has(&olga.body, &["not on the list"]);
    assert_eq!(event.there.complaints(), [""; 0]);

    // Who came and who was refused is written down.
    let log = event.desk.thon(&["db", "log"]).ok().stdout;
    has(&log, &["oidc:sub-1 \"somebody\"", "log in", "github:5 \"eve\"", "not on the list"]);
    let open = event.ask("GET", "/api/users", "").expect(401);
    assert_eq!(open.json()["code"], "unauthorized", "being on this machine is not enough here");
}

#[test]
fn sessions_last_over_a_restart_and_end_when_somebody_says_so() {
    let mut event = Event::new();
    let browsers = event.one_of_each();
    assert_eq!(event.served.signal(Signal::TERM), Some(0));
    event.served = Served::start(event.desk.command(&["serve"]), HERE, event.ports.api);
    for (role, browser) in &browsers {
        assert_eq!(event.me(browser)["role"], *role);
    }
    let table = event.desk.thon(&["auth", "sessions"]).ok().stdout;
    has(&table, &["olga (github)", "github:2", "operator", "somebody (gitlab)", "viewer"]);
    let list = event.desk.thon(&["auth", "sessions", "--json"]).ok().json();
    let number = |role: &str| {
        let found = list.as_array().unwrap().iter().find(|one| one["role"] == role);
        found.unwrap()["number"].as_u64().unwrap().to_string()
    };

    // By number, by account, over the API, by logging out, and all of them.
    event.desk.thon(&["auth", "revoke", &number("viewer")]).ok();
    assert_eq!(event.me(&browsers["viewer"])["authenticated"], false);
    let gone = event.desk.thon(&["auth", "revoke", &number("viewer")]);
    has(&error_line(&gone, 2), &["there is no session", "thon auth sessions"]);
    event.desk.thon(&["auth", "revoke", "--account", "github:2"]).ok();
    assert_eq!(event.me(&browsers["operator"])["authenticated"], false);
    let admin = browsers["admin"].headers();
    let path = format!("/api/auth/sessions/{}", number("participant"));
    event.ask("DELETE", &path, &admin).expect(204);
    assert_eq!(event.me(&browsers["participant"])["authenticated"], false);
    event.ask("DELETE", &path, &admin).expect(404);
    let others = event.ask("DELETE", "/api/auth/sessions", &admin).expect(200).json();
    assert_eq!(others["ended"], 0, "one's own stays");
    let out = event.ask("POST", "/api/auth/logout", &admin).expect(204);
    assert_eq!(out.cookie("thon-session").1, "");
    assert_eq!(event.me(&browsers["admin"])["authenticated"], false, "the cookie is worth nothing");
    let again = event.one_of_each();
    event.desk.thon(&["auth", "revoke", "--all"]).ok();
    assert!(again.values().all(|browser| event.me(browser)["authenticated"] == false));
    has(
        &event.desk.thon(&["db", "log"]).ok().stdout,
        &["revoke session", "log out", "end sessions"],
    );
    has(&event.desk.thon(&["auth", "revoke"]).expect(2).stderr, &["--account", "--all"]);
    let odd = event.desk.thon(&["auth", "revoke", "--account", "ada"]);
    has(&error_line(&odd, 2), &["<provider>:<number>", "github:583231"]);
}

#[test]
fn a_role_is_what_the_list_says_now() {
    let event = Event::new();
    let vera = Person { email: Some("vera@viewers.example".to_owned()), ..Person::new(1, "vera") };
    let browser = event.sign_in("oidc", vera);
    let write = |allow: &str| {
        event.desk.file("thon.yaml", config(&event.ports, &event.there, allow));
    };
    let admin = "    - {role: admin, email: ada@example.org}";
    write(&format!("{admin}\n    - {{role: operator, domain: viewers.example}}"));
    assert_eq!(event.me(&browser)["role"], "operator");
    let log = event.desk.thon(&["db", "log"]).ok().stdout;
    has(&log, &["change role", "viewer to operator", "oidc:sub-1 \"vera\""]);
    // Whoever watches as somebody else than they are by now is asked again who they are.
    let mut watching = event.watch(&browser);
    write(&format!("{admin}\n    - {{role: viewer, domain: viewers.example}}"));
    std::io::copy(&mut watching, &mut std::io::sink()).unwrap();
    write(admin);
    let refused = event.ask("GET", "/api/users", &browser.headers());
    assert!([401, 403].contains(&refused.status), "{refused:?}");
    write(&format!("{admin}\n    - {{role: viewer, domain: viewers.example}}"));
    event.ask("GET", "/api/users", &browser.headers()).expect(401);
    has(&event.desk.thon(&["db", "log"]).ok().stdout, &["end session, not listed"]);

    // The file is followed though nobody asks for anything, so that what holds when it can't be used
    // is what it said last.
    let vera = Person { email: Some("vera@viewers.example".to_owned()), ..Person::new(1, "vera") };
    let browser = event.sign_in("oidc", vera.clone());
    write(admin);
    until("the session to be over", || {
        let list = event.desk.thon(&["auth", "sessions", "--json"]).ok().json();
        (list == json!([])).then_some(())
    });
    event.desk.file("thon.yaml", "auth: {allowed: []}\n");
    event.ask("GET", "/api/users", &browser.headers()).expect(401);
    event.come("oidc", vera).expect(403);

    // Whoever would lock all admins out is not followed: what was said before holds, and it is said.
    write("    - {role: viewer, domain: viewers.example}");
    let ada = event.sign_in("oidc", Person::new(3, "ada"));
    let overview = event.ask("GET", "/", &ada.headers()).expect(200);
    has(&overview.body, &["nobody could come in as admin"]);
    // One that an editor has emptied is none, until it is written.
    event.desk.file("thon.yaml", "");
    has(&event.ask("GET", "/", &ada.headers()).expect(200).body, &["it is empty"]);
    event.ask("GET", "/api/users", "").expect(401);
    std::fs::remove_file(event.desk.work().join("thon.yaml")).unwrap();
    has(&event.ask("GET", "/", &ada.headers()).expect(200).body, &["it is gone"]);
    event.desk.file("thon.yaml", "\n");
    has(&event.ask("GET", "/", &ada.headers()).expect(200).body, &["it is empty"]);
    event.ask("GET", "/api/users", "").expect(401);
    write("    - {role: viewer, domain: viewers.example}");
    has(&event.desk.thon(&["auth", "status"]).ok().stderr, &["nobody could come in as admin"]);
}

#[test]
fn a_server_that_would_let_nobody_in_or_lacks_a_key_does_not_start() {
    let (desk, ports) = (Desk::new(), Ports::take());
    let serve = |auth: &str| {
        let Ports { api, web, first, last, .. } = ports;
        let text = format!(
            "dashboard: {{port: {api}, web_port: {web}}}\nsandbox: {{host_ports: {first}-{last}}}\n\
             auth: {auth}\n"
        );
        desk.file("thon.yaml", text);
        error_line(&desk.thon(&["serve"]), 2)
    };
    let github = "github: {client_id: x, client_secret: y}";
    for (auth, parts) in [
        (
            "{enabled: true, github: {client_id: x}}".to_owned(),
            ["auth.github.client_secret", "missing"],
        ),
        (
            "{enabled: true, oidc: {client_id: x}}".to_owned(),
            ["auth.oidc.client_secret", "missing"],
        ),
        ("{enabled: true}".to_owned(), ["auth.enabled", "without a provider"]),
        (format!("{{enabled: true, {github}}}"), ["auth.allow", "thon dashboard password"]),
        (
            format!("{{enabled: true, {github}, allow: [{{role: admin, login: ada}}]}}"),
            ["auth.allow[0].provider", "github or gitlab"],
        ),
        (
            "{enabled: true, oidc: {issuer: 'http://login.example.org'}}".to_owned(),
            ["auth.oidc.issuer", "http:// only"],
        ),
    ] {
        has(&serve(&auth), &parts);
    }
    let secret = desk.with(&[("AUTH_GITHUB_CLIENT_SECRET", "hunter2")], &["serve"]).expect(2);
    assert!(!secret.stderr.contains("hunter2"), "{secret:?}");
    // With a token there is a way in.
    let listed = format!("{{enabled: true, {github}}}");
    desk.file("thon.yaml", format!("auth: {listed}\n"));
    desk.thon(&["token", "add", "ci", "--scope", "admin"]).ok();
    let status = desk.thon(&["auth", "status"]).ok().stdout;
    has(&status, &["github", "/api/auth/callback/github", "auth.allow is empty"]);
}

#[test]
fn what_a_sign_in_comes_back_with_is_of_use_once_and_in_the_browser_that_began_it() {
    let event = Event::new();
    event.there.is(Person::new(3, "ada"));
    let (one, two) = (event.begin("oidc", "/"), event.begin("oidc", "/"));
    let (back, other) = (event.visit(&one), event.visit(&two));
    // In another browser, in one that began another, without state, with another's code.
    event.ask("GET", &back, "").expect(400);
    event.ask("GET", &back, &two.cookie).expect(400);
    let renamed = two.cookie.split_once('=').unwrap().1;
    let renamed = format!("{}={renamed}", one.cookie.split_once('=').unwrap().0);
    event.ask("GET", &back, &renamed).expect(400);
    let state = |query: &str| query.split("state=").nth(1).unwrap().to_owned();
    let code =
        |query: &str| query.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let swapped = format!("/api/auth/callback/oidc?code={}&state={}", code(&other), state(&back));
    let refused = event.ask("GET", &swapped, &one.cookie);
    assert_eq!(refused.status, 502, "the proof key is another one: {refused:?}");
    // It came back by now, and is over, whatever it brings.
    event.ask("GET", &back, &one.cookie).expect(400);

    let two = event.begin("oidc", "/");
    let other = event.visit(&two);
    let fine = event.ask("GET", &other, &two.cookie).expect(200);
    let forgotten = fine.cookie("thon-sign-in-");
    assert!(forgotten.2.contains("Max-Age=0"), "{forgotten:?}");
    event.ask("GET", &other, &two.cookie).expect(400);
    // At another provider's address it is nothing.
    let way = event.begin("oidc", "/");
    let elsewhere = event.visit(&way).replace("/oidc", "/github");
    event.ask("GET", &elsewhere, &way.cookie).expect(400);
    let way = event.begin("oidc", "/");
    let other_issuer = format!("{}&iss=https://login.evil.example", event.visit(&way));
    event.ask("GET", &other_issuer, &way.cookie).expect(400);
    for odd in ["/api/auth/callback/oidc", "/api/auth/callback/oidc?code=x&state=y"] {
        event.ask("GET", odd, &way.cookie).expect(400);
    }
    event.ask("GET", "/api/auth/callback/linkedin?code=x&state=y", "").expect(400);
    // Somebody who changed their mind is told, in their own words and no others.
    let way = event.begin("oidc", "/");
    let state = state(&event.visit(&way));
    let query = format!("error=access_denied&error_description=%3Cb%3Eno%0a&state={state}");
    let headers = format!("{}accept: text/html\r\n", way.cookie);
    let page = event.ask("GET", &format!("/api/auth/callback/oidc?{query}"), &headers).expect(401);
    has(&page.body, &["access_denied", "&lt;b&gt;no", "Back to the login"]);
    let log = event.desk.thon(&["db", "log"]).ok().stdout;
    has(&log, &["the sign-in is not known here", "declined"]);

    // Nobody writes lines of their own into the log, or ones that nobody reads to their end.
    for error in ["x%0a2026-01-01+admin+done%1b%5B31m%e2%80%ae", &"y".repeat(50_000)] {
        let way = event.begin("oidc", "/");
        let back = event.visit(&way);
        let state = back.split("state=").nth(1).unwrap();
        let path = format!("/api/auth/callback/oidc?error={error}&state={state}");
        event.ask("GET", &path, &way.cookie).expect(401);
    }
    let after = event.desk.thon(&["db", "log"]).ok().stdout;
    assert_eq!(after.lines().count(), log.lines().count() + 2, "{after}");
    let odd = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
    assert!(!after.contains(odd) && after.lines().all(|line| line.len() < 1000), "{after}");

    // What nobody began here leaves no trace, and whoever goes on is let wait.
    for _ in 0..200 {
        let answer = event.ask("GET", "/api/auth/callback/oidc?code=x&state=y", "");
        if answer.status == 429 {
            assert_eq!(event.desk.thon(&["db", "log"]).ok().stdout, after);
            return;
        }
        answer.expect(400);
    }
    panic!("two hundred of them were taken");
}

#[test]
fn a_forged_account_leaves_no_session_behind() {
    let event = Event::new();
    event.there.is(Person::new(3, "ada"));
    for lie in [
        Lie::ForeignKey,
        Lie::Unsigned,
        Lie::Shared,
        Lie::Expired,
        Lie::Issuer,
        Lie::Audience,
        Lie::Nonce,
        Lie::NoNonce,
        Lie::Altered,
        Lie::Subject,
    ] {
        event.there.lies(lie);
        let answer = event.come("oidc", Person::new(3, "ada"));
        assert_eq!(answer.status, 502, "{lie:?}: {answer:?}");
        assert_eq!(answer.headers("set-cookie").count(), 0, "{lie:?}");
        has(&answer.body, &["not to be believed"]);
    }
    event.there.lies(None);
    let list = event.desk.thon(&["auth", "sessions", "--json"]).ok().json();
    assert_eq!(list, json!([]));
    event.sign_in("oidc", Person::new(3, "ada"));
}

#[test]
fn nobody_is_led_to_another_server_and_the_way_goes_over_the_public_address() {
    let event = Event::new();
    let page = "accept: text/html\r\n";
    for (next, place) in [
        ("/users?q=a", "/users?q=a"),
        ("//evil.example", "/"),
        ("/%5Cevil.example", "/"),
        ("https://evil.example", "/"),
        ("/%0d%0aset-cookie:x=y", "/"),
        ("javascript:alert(1)", "/"),
    ] {
        event.there.is(Person::new(3, "ada"));
        let way = event.begin("oidc", &next.replace('?', "%3F").replace('=', "%3D"));
        let back = event.visit(&way);
        let headers = format!("{}{page}", way.cookie);
        let shown = event.ask("GET", &back, &headers).expect(200);
        has(&shown.body, &[&format!("content=\"0;url={}\"", place.replace('/', "&#x2f;"))]);
        assert!(!shown.body.contains("evil"), "{shown:?}");
    }
    // Under another of this machine's names a browser is led to the public one, and to no stranger's.
    let web = event.ports.web;
    let local = format!("host: localhost:{web}\r\n{page}");
    let led = event.ask("GET", "/api/auth/login/github?next=/users", &local).expect(303);
    let public = format!("http://{HERE}:{web}/api/auth/login/github?here=true&next=/users");
    assert_eq!(led.header("location"), public);
    let evil = format!("host: evil.example\r\n{page}");
    event.ask("GET", "/api/auth/login/github", &evil).expect(403);
    let way = event.begin("github", "/");
    has(
        &way.url,
        &[&format!("redirect_uri=http%3A%2F%2F{HERE}%3A{web}%2Fapi%2Fauth%2Fcallback%2Fgithub")],
    );
    let forwarded = "x-forwarded-host: evil.example\r\nforwarded: host=evil.example\r\n";
    let answer = event.ask("GET", "/api/auth/login/github", forwarded).expect(200);
    assert!(!answer.body.contains("evil"), "{answer:?}");
    // A provider sends browsers back from its own site; that is a link, and the only thing it may be.
    let link =
        "sec-fetch-site: cross-site\r\nsec-fetch-mode: navigate\r\nsec-fetch-dest: document\r\n";
    event.there.is(Person::new(3, "ada"));
    let back = event.visit(&way);
    let framed = link.replace("document", "iframe");
    event.ask("GET", &back, &format!("{}{framed}", way.cookie)).expect(403);
    event.ask("GET", &back, &format!("{}{link}", way.cookie)).expect(200);
}

#[test]
fn a_session_that_somebody_laid_out_is_not_taken_on() {
    let event = Event::new();
    let planted = event.sign_in("oidc", Person::new(3, "ada"));
    // A sign-in that somebody else began ends in no browser that is logged in.
    event.there.is(Person::new(2, "olga"));
    let way = event.begin("github", "/");
    let back = event.visit(&way);
    let both = format!("{}cookie: thon-session={}\r\n", way.cookie, planted.id);
    event.ask("GET", &back, &both).expect(409);
    assert_eq!(event.me(&planted)["role"], "admin", "nothing became of it");

    let own = format!("cookie: thon-session={}\r\n", planted.id);
    let way = event.begin_with("github", "/", &own);
    let back = event.visit(&way);
    let both = format!("{}{own}", way.cookie);
    let browser = event.browser(&event.ask("GET", &back, &both).expect(200));
    assert_ne!(browser.id, planted.id);
    assert_eq!(event.me(&browser)["role"], "operator");
    assert_eq!(event.me(&planted)["authenticated"], false, "the one before is over");
    let unknown = "A".repeat(43);
    let way = event.begin("github", "/");
    let back = event.visit(&way);
    let both = format!("{}cookie: thon-session={unknown}\r\n", way.cookie);
    assert_ne!(event.browser(&event.ask("GET", &back, &both).expect(200)).id, unknown);
}

#[test]
fn over_tls_the_cookies_stay_on_tls() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (desk, ports) = (Desk::new(), Ports::take());
    let there = runtime.block_on(StandIn::start("https://hack.example.org"));
    let text = config(&ports, &there, ALLOW);
    let text = text.replace("web_port:", "public_url: 'https://hack.example.org', web_port:");
    desk.file("thon.yaml", text);
    let _served = Served::start(desk.command(&["serve"]), HERE, ports.api);
    // As nginx passes it on.
    let sealed = "host: hack.example.org\r\nx-forwarded-proto: https\r\nx-real-ip: 203.0.113.7\r\n";
    let ask = |path: &str, headers: &str| Served::ask(HERE, ports.web, "GET", path, headers);
    there.is(Person::new(3, "ada"));
    let begun = ask("/api/auth/login/oidc", sealed).expect(200);
    let (name, value, rest) = begun.cookie("thon-sign-in-");
    assert!(rest.ends_with("; Secure"), "{rest}");
    let url = begun.json()["authorization_url"].as_str().unwrap().to_owned();
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let port = host.rsplit_once(':').unwrap().1.parse().unwrap();
    let back = Served::ask(HERE, port, "GET", &format!("/{path}"), "").expect(303);
    let back = back.header("location").strip_prefix("https://hack.example.org").unwrap();
    let done = ask(back, &format!("{sealed}cookie: {name}={value}\r\n")).expect(200);
    let (name, id, rest) = done.cookie("__Host-");
    assert_eq!(name, "__Host-thon-session");
    assert!(rest.ends_with("; Secure") && rest.starts_with("Path=/; "), "{rest}");
    let me = |headers: String| ask("/api/auth/me", &headers).expect(200).json();
    let session = me(format!("{sealed}cookie: {name}={id}\r\n"));
    assert_eq!(session["role"], "admin");
    // Under the name that anybody could set it is not taken.
    let plain = me(format!("{sealed}cookie: thon-session={id}\r\n"));
    assert_eq!(plain["authenticated"], false);
    let log = desk.thon(&["auth", "sessions"]).ok().stdout;
    has(&log, &["203.0.113.7"]);
}

/// Who may do what, as the documentation has it: operation, then nobody, participant, viewer,
/// operator, admin.
fn documented() -> BTreeMap<String, Vec<String>> {
    let text = include_str!("../../../../docs/permissions.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let cells = |rest: &str| -> Vec<String> {
        rest.trim_end_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    rows.filter(|(name, _)| name.contains(" /"))
        .map(|(name, rest)| (name.to_owned(), cells(rest)))
        .collect()
}

/// Every operation that the API describes, as the table calls it.
fn described(event: &Event) -> Vec<(String, String)> {
    let document = event.ask("GET", "/openapi.json", "").expect(200).json();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            all.push((method.to_uppercase(), path.clone()));
        }
    }
    all
}

/// A path with something in its gaps.
fn filled(path: &str, with: &str) -> String {
    let mut path = path.to_owned();
    while let (Some(from), Some(to)) = (path.find('{'), path.find('}')) {
        path.replace_range(from..=to, with);
    }
    path
}

#[test]
fn everyone_may_do_what_the_documentation_says_and_nothing_else() {
    let event = Event::new();
    let (table, all) = (documented(), described(&event));
    let names: Vec<String> = all.iter().map(|(method, path)| format!("{method} {path}")).collect();
    for name in table.keys() {
        assert!(names.contains(name), "docs/permissions.md has {name}, the API has not");
    }
    let browsers = event.one_of_each();
    // An operation that is about Pia, and one that isn't.
    let restart = |id: &str| {
        let path = format!("/api/instances/{id}/restart");
        let done = event.ask("POST", &path, &browsers["admin"].headers()).expect(202).json();
        done["id"].as_u64().unwrap().to_string()
    };
    let (theirs, own) = (restart("alpha_bob"), restart("alpha_pia"));
    let seen = format!("/api/operations/{own}");
    let seen = event.ask("GET", &seen, &browsers["participant"].headers()).expect(200).json();
    assert_eq!(seen["actor"], "an organizer", "who organizes is nobody's business");
    let roles = ["nobody", "participant", "viewer", "operator", "admin"];
    for (column, role) in roles.into_iter().enumerate() {
        let headers = browsers.get(role).map(Browser::headers).unwrap_or_default();
        let headers = format!("{headers}content-type: application/json\r\n");
        let ask = |method: &str, path: &str| {
            let get = method == "GET";
            let body = if get { "" } else { "{}" };
            if path == "/api/events" {
                // A stream has no end; a method that it has not is judged by the same guard.
                return Served::head_of(HERE, event.ports.web, path, &headers);
            }
            Served::ask_with(HERE, event.ports.web, method, path, &headers, body)
        };
        let refusal = if role == "nobody" { 401 } else { 403 };
        // Whoever logs out is out: last.
        let (mut last, first): (Vec<_>, Vec<_>) =
            all.iter().partition(|(_, path)| path == "/api/auth/logout");
        last.splice(0..0, first);
        for (method, path) in last {
            let name = format!("{method} {path}");
            let row =
                table.get(&name).unwrap_or_else(|| panic!("docs/permissions.md lacks {name}"));
            let (mine, other) = if path.contains("/operations/") {
                (own.as_str(), theirs.as_str())
            } else {
                ("alpha_pia", "alpha_bob")
            };
            let other = if path.contains("/sessions/") { "4711" } else { other };
            let answer = ask(method, &filled(path, other));
            let refused = matches!(answer.status, 401 | 403);
            match row[column].as_str() {
                "yes" => assert!(!refused, "{role}: {name}: {answer:?}"),
                "no" => assert_eq!(answer.status, refusal, "{role}: {name}: {answer:?}"),
                "own" => {
                    assert_eq!(answer.status, 403, "{role}: another's {name}: {answer:?}");
                    let answer = ask(method, &filled(path, mine));
                    assert!(!matches!(answer.status, 401 | 403), "{role}: own {name}: {answer:?}");
                }
                other => panic!("{name}: {other} is neither yes, no nor own"),
            }
        }
    }
}

#[test]
fn no_page_of_another_origin_changes_anything_in_a_session() {
    let event = Event::new();
    let admin = event.sign_in("oidc", Person::new(3, "ada"));
    let before = event.desk.thon(&["db", "log"]).ok().stdout;
    let cookie = format!("cookie: thon-session={}\r\n", admin.id);
    let token = format!("x-thon-csrf: {}\r\n", admin.csrf);
    let other = event.sign_in("github", Person::new(2, "olga"));
    let others = format!("x-thon-csrf: {}\r\n", other.csrf);
    for (method, path) in described(&event).iter().filter(|(method, _)| method != "GET") {
        let path = filled(path, "alpha_bob");
        for forged in [
            cookie.clone(),
            format!("{cookie}{others}"),
            format!("{cookie}{token}origin: http://evil.example\r\n"),
            format!("{cookie}{token}sec-fetch-site: cross-site\r\n"),
            format!("{cookie}{token}host: evil.example\r\n"),
        ] {
            let answer = event.ask(method, &path, &forged);
            assert_eq!(answer.status, 403, "{method} {path} {forged}: {answer:?}");
        }
    }
    for path in ["/doctor", "/logout", "/settings/groups_yaml"] {
        let answer = event.ask("POST", path, &cookie);
        assert_eq!(answer.status, 403, "{path}: {answer:?}");
    }
    let after = event.desk.thon(&["db", "log"]).ok().stdout;
    assert_eq!(after.lines().count(), before.lines().count() + 1, "Olga came, and nothing else");
    assert_eq!(event.me(&admin)["role"], "admin");
}

#[test]
fn whoever_guesses_the_password_waits() {
    let event = Event::new();
    event.desk.set_password("four random words here");
    let form = |password: &str| {
        let headers = format!(
            "content-type: application/x-www-form-urlencoded\r\norigin: http://{HERE}:{}\r\n",
            event.ports.web
        );
        let body = format!("password={}", password.replace(' ', "+"));
        Served::ask_with(HERE, event.ports.web, "POST", "/login", &headers, &body)
    };
    for _ in 0..5 {
        form("not the password").expect(401);
    }
    let slowed = form("four random words here").expect(429);
    assert!(slowed.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(slowed.headers("set-cookie").count(), 0);
    has(&event.desk.thon(&["db", "log"]).ok().stdout, &["wrong password"]);
    // Whoever has an account doesn't wait for that.
    event.sign_in("oidc", Person::new(3, "ada"));
}

#[test]
fn participants_see_their_own_workspace_and_nothing_else() {
    let event = Event::new();
    let browsers = event.one_of_each();
    let pia = &browsers["participant"];
    let home = event.ask("GET", "/", &pia.headers()).expect(303);
    assert_eq!(home.header("location"), "/mine");
    let page = event.ask("GET", "/mine", &pia.headers()).expect(200).body;
    has(&page, &["Your workspace", "pia"]);
    for other in ["bob", "/users", "/settings", "REST API", "Activity"] {
        assert!(!page.contains(other), "{other}: {page}");
    }
    for path in ["/users", "/users/alpha_pia", "/users/alpha_bob", "/handout", "/settings", "/ai"] {
        event.ask("GET", path, &pia.headers()).expect(403);
    }
    // What doesn't run is an organizer's to start, and nothing is known while Docker is away.
    let restart = event.ask("POST", "/api/instances/alpha_pia/restart", &pia.headers());
    assert!([409, 503].contains(&restart.status), "{restart:?}");
    let vera = &browsers["viewer"];
    let page = event.ask("GET", "/users", &vera.headers()).expect(200).body;
    for action in ["data-call", "Add a user", "Launch"] {
        assert!(!page.contains(action), "{action}: {page}");
    }
    event.ask("GET", "/handout", &vera.headers()).expect(403);
    event.ask("GET", "/settings", &browsers["operator"].headers()).expect(403);
    let settings = event.ask("GET", "/settings", &browsers["admin"].headers()).expect(200).body;
    has(&settings, &["olga (github)", "everyone of @viewers.example", "callback&#x2f;oidc"]);
}

#[test]
fn the_status_says_what_to_register_and_whether_providers_answer() {
    let event = Event::new();
    let status = event.desk.thon(&["auth", "status", "--check"]).ok().stdout;
    let back = format!("http://{HERE}:{}/api/auth/callback/gitlab", event.ports.web);
    has(&status, &[&back, "everyone of @viewers.example", "yes", "0 browsers are logged in"]);
    has(&status, &["linkedin", "not asked"]);
    event.there.lies(Lie::Html);
    let failed = event.desk.thon(&["auth", "status", "--check", "--json"]).expect(1).json();
    let oidc = failed["providers"].as_array().unwrap().iter().find(|one| one["provider"] == "oidc");
    assert_eq!(oidc.unwrap()["answers"], false, "{failed}");
    let off = Desk::new();
    off.file("thon.yaml", "groups: {a: [x]}");
    let off = off.thon(&["auth", "status"]).ok().stdout;
    has(&off, &["auth.enabled is off", "/api/auth/callback/github"]);
}
