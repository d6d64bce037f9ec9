//! What is rendered, and what is refused.

use std::path::PathBuf;
use std::time::SystemTime;

use proptest::prelude::*;
use thon_core::certificate::{Certificate, CertificateChange};
use thon_core::endpoint::{Endpoint, Upstream};
use thon_core::name::UserId;
use thon_core::proxy::{DashboardRoute, Route};
use thon_core::sandbox::session_cookie;

use super::*;

const ROOT: &str = "subject=THON\n-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIU+/=\n\
                    -----END CERTIFICATE-----\n";

struct Fixture {
    folder: tempfile::TempDir,
    site: ProxySite,
    machine: Machine,
}

impl Fixture {
    /// Two users in bridge mode on the usual ports, with a root of our own.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let certificate = Certificate {
            provider: "embedded",
            chain: file("chain.pem", "leaf"),
            key: folder.path().join("key.pem"),
            root: Some(file("root.pem", ROOT)),
            not_after: SystemTime::UNIX_EPOCH,
            trust: Trust::ImportedRoot,
            change: CertificateChange::Reused,
        };
        let site = ProxySite {
            host: "203.0.113.7".to_owned(),
            https_port: port(443),
            http_port: port(80),
            certificate,
            dashboard: None,
            routes: vec![
                route("team-a", "ada", "127.0.0.1:20001/proxy/8443"),
                route("team-a", "bob", "127.0.0.1:20002/proxy/8444"),
            ],
        };
        let machine = Machine {
            worker_user: Some("www-data www-data".to_owned()),
            open_files: 65_536,
            ipv6: true,
            cookie_flags: true,
        };
        Self { folder, site, machine }
    }

    fn managed(&self) -> Result<Rendered, NginxError> {
        let target = Target::Managed { home: Path::new("/home/ada/.thon/nginx") };
        render(&NodeName::default(), &self.site, &self.machine, None, target)
    }

    fn text(&self) -> String {
        self.readable(&self.managed().unwrap())
    }

    /// Without what differs between two runs of the same test.
    fn readable(&self, rendered: &Rendered) -> String {
        rendered
            .text
            .replace(&self.folder.path().display().to_string(), "/tls")
            .replace(&rendered.generation, "<generation>")
    }
}

fn port(number: u32) -> Port {
    Port::new(number).unwrap()
}

fn route(group: &str, user: &str, endpoint: &str) -> Route {
    let endpoint: Endpoint = endpoint.parse().unwrap();
    Route {
        user: UserId::new(group.parse().unwrap(), user.parse().unwrap()),
        entrance: Entrance::Path,
        path: endpoint.public_path(),
        upstream: endpoint.published(),
        paused: false,
        session_cookie: session_cookie(Some(&format!("of-{user}"))),
    }
}

#[test]
fn managed_configuration_of_two_users() {
    insta::assert_snapshot!(Fixture::new().text());
}

#[test]
fn system_site_on_ports_of_its_own_without_ipv6_beside_another_default() {
    let mut fixture = Fixture::new();
    fixture.site.host = "Hack.Example.org".to_owned();
    fixture.site.https_port = port(8443);
    fixture.site.http_port = port(8080);
    fixture.site.certificate.root = None;
    fixture.site.certificate.trust = Trust::Public;
    fixture.machine.ipv6 = false;
    let rendered = render(
        &"spring-26".parse().unwrap(),
        &fixture.site,
        &fixture.machine,
        Some(Path::new("/var/lib/thon/acme")),
        Target::System { default_http: false, default_https: true, names_hash: true },
    );
    insta::assert_snapshot!(fixture.readable(&rendered.unwrap()));
}

#[test]
fn managed_configuration_of_two_users_on_ports_of_their_own() {
    let mut fixture = Fixture::new();
    for (number, route) in fixture.site.routes.iter_mut().enumerate() {
        route.entrance = Entrance::Port(port(30_000 + u32::try_from(number).unwrap()));
    }
    insta::assert_snapshot!(fixture.text());
}

#[test]
fn system_site_with_a_name_for_each_user() {
    let mut fixture = Fixture::new();
    fixture.site.host = "Hack.Example.org".to_owned();
    fixture.site.https_port = port(8443);
    for route in &mut fixture.site.routes {
        let name = format!("{}.{}.hack.example.org", route.user.user, route.user.group);
        route.entrance = Entrance::Name(name);
    }
    let target = Target::System { default_http: true, default_https: true, names_hash: true };
    let rendered =
        render(&NodeName::default(), &fixture.site, &fixture.machine, None, target).unwrap();
    insta::assert_snapshot!(fixture.readable(&rendered));
}

#[test]
fn the_organizers_pages_have_a_server_of_their_own_that_takes_nothing_from_a_participants() {
    let mut fixture = Fixture::new();
    let pages = |port: u32, upstream: &str| {
        Some(DashboardRoute { port: Port::new(port).unwrap(), upstream: upstream.to_owned() })
    };
    fixture.site.dashboard = pages(8502, "127.0.0.1:8501");
    let text = fixture.text();
    let (participants, own) = text.split_once("listen 8502 ssl;").unwrap();
    assert!(!participants.contains("127.0.0.1:8501"), "no path of participants leads there");
    insta::assert_snapshot!(format!("    listen 8502 ssl;{own}"));

    for wrong in ["127.0.0.1", "127.0.0.1:80; return 200", "a b:8501", ""] {
        fixture.site.dashboard = pages(8502, wrong);
        assert!(fixture.managed().is_err(), "{wrong}");
    }
    fixture.site.dashboard = pages(443, "127.0.0.1:8501");
    let clash = fixture.managed().unwrap_err().to_string();
    assert!(clash.contains("dashboard.tls_port"), "{clash}");
}

#[test]
fn every_listening_socket_has_room_among_the_connections() {
    let mut fixture = Fixture::new();
    fixture.machine.open_files = 1024;
    let connections = |fixture: &Fixture| {
        let text = fixture.text();
        let (_, rest) = text.split_once("worker_connections ").unwrap();
        rest.split_once(';').unwrap().0.parse::<usize>().unwrap()
    };
    assert_eq!(connections(&fixture), 512);
    fixture.site.routes = (0..1000)
        .map(|n| Route {
            entrance: Entrance::Port(port(30_000 + n)),
            ..route("all", &format!("user-{n}"), &format!("127.0.0.1:{}", 20_000 + n))
        })
        .collect();
    assert!(connections(&fixture) > fixture.text().matches(" listen ").count());
}

#[test]
fn before_nginx_1_19_3_the_session_cookie_is_guarded_another_way() {
    let mut fixture = Fixture::new();
    fixture.machine.cookie_flags = false;
    let text = fixture.text();
    assert!(!text.contains("proxy_cookie_flags"));
    assert!(text.contains(
        "proxy_cookie_path \"~^/20001/proxy/8443/?$\" \"/20001/proxy/8443/; Secure; HttpOnly\";"
    ));
}

#[test]
fn an_address_of_ipv6_is_bracketed() {
    let mut fixture = Fixture::new();
    fixture.site.host = "2001:db8::1".to_owned();
    assert!(fixture.text().contains("server_name [2001:db8::1] _;"));
}

#[test]
fn a_paused_instance_has_a_page_in_its_place_and_its_neighbour_has_not() {
    let mut fixture = Fixture::new();
    fixture.site.routes[1].paused = true;
    let text = fixture.text();
    let location = |path: &str| {
        let (_, rest) = text.split_once(&format!("location {path} {{")).unwrap();
        rest.split_once("proxy_pass").unwrap().0.to_owned()
    };
    assert!(
        location("/20002/proxy/8444/").contains("error_page 503 @paused;\n        return 503;")
    );
    assert!(!location("/20001/proxy/8443/").contains("503"));
}

#[test]
fn host_mode_and_an_agent_s_own_path() {
    let mut fixture = Fixture::new();
    let endpoint: Endpoint = "127.0.0.1:52322/proxy/8443".parse().unwrap();
    fixture.site.routes = vec![
        route("a", "b", "127.0.0.1:8443"),
        Route {
            upstream: endpoint.through_agent(),
            ..route("a", "c", "127.0.0.1:52322/proxy/8443")
        },
    ];
    let text = fixture.text();
    assert!(text.contains("location /8443/ {"));
    assert!(text.contains("proxy_pass http://52322-proxy-8443.thon-sandbox-a_c/proxy/8443/;"));
    assert!(text.contains("\"~*^POST /[0-9]+/login/?$\""));
    assert!(text.contains("\"~*^POST /[0-9]+/proxy/[0-9]+/login/?$\""));
}

#[test]
fn nobody_is_served_a_service_worker_scope_of_everybody() {
    assert!(!Fixture::new().text().contains("Service-Worker-Allowed /;"));
}

#[test]
fn a_renewed_certificate_in_the_same_files_is_news() {
    let fixture = Fixture::new();
    let before = fixture.managed().unwrap();
    assert_eq!(fixture.managed().unwrap(), before);
    std::fs::write(&fixture.site.certificate.chain, "renewed").unwrap();
    assert_ne!(fixture.managed().unwrap().generation, before.generation);
}

#[test]
fn the_order_of_the_routes_is_no_news() {
    let mut fixture = Fixture::new();
    let before = fixture.managed().unwrap();
    fixture.site.routes.reverse();
    assert_eq!(fixture.managed().unwrap(), before);
}

#[test]
fn ten_thousand_routes_are_ten_thousand_locations() {
    let mut fixture = Fixture::new();
    fixture.site.routes = (0..10_000)
        .map(|n| {
            route("all", &format!("user-{n}"), &format!("127.0.0.1:{}/proxy/8443", 20_000 + n))
        })
        .collect();
    let text = fixture.managed().unwrap().text;
    assert_eq!(text.matches("proxy_pass http://").count(), 10_000);
    assert_eq!(text.matches("\nupstream ").count(), 10_000);
    assert_eq!(text.matches("~*^POST ").count(), 1, "one pattern for a whole roster");
}

#[test]
fn two_routes_on_one_path_are_refused_by_name() {
    let mut fixture = Fixture::new();
    let path = fixture.site.routes[0].path.clone();
    fixture.site.routes[1].path = path;
    let error = fixture.managed().unwrap_err().to_string();
    assert!(error.contains("team-a/ada") && error.contains("team-a/bob"), "{error}");
    for (first, second, words) in [
        (30_000, 30_000, ["https://203.0.113.7:30000/", "team-a/bob"]),
        (30_000, 443, ["nginx.https_port", "team-a/bob"]),
        (80, 30_000, ["nginx.http_port", "team-a/ada"]),
    ] {
        let mut fixture = Fixture::new();
        fixture.site.routes[0].entrance = Entrance::Port(port(first));
        fixture.site.routes[1].entrance = Entrance::Port(port(second));
        let error = fixture.managed().unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    fixture.site.routes.clear();
    fixture.site.http_port = fixture.site.https_port;
    let error = fixture.managed().unwrap_err().to_string();
    assert!(error.contains("nginx.https_port"), "{error}");
}

#[test]
fn the_pages_fit_into_nginx_s_quotes() {
    let environment = environment().unwrap();
    for page in [page::WELCOME, page::MISSING, page::SLOW, page::STARTING, page::PAUSED] {
        let page = page.line(&environment).unwrap();
        assert!(page.len() < LONGEST_TEXT && !page.contains(['\'', '\\', '$', '\n']), "{page}");
    }
}

#[test]
fn a_root_that_is_more_than_certificates_is_cut_down_to_them() {
    let text = root_text(ROOT.as_bytes()).unwrap();
    assert!(text.starts_with("-----BEGIN") && !text.contains("subject"));
    assert!(root_text(b"").is_err());
    assert!(
        root_text(b"-----BEGIN CERTIFICATE-----\nMII\"; evil\n-----END CERTIFICATE-----").is_err()
    );
    assert!(root_text(b"-----BEGIN CERTIFICATE-----\nMII\n").is_err());
}

/// What nginx would make of a text: its directives, blocks, words and variables.
fn structure(text: &str) -> [usize; 5] {
    let (mut quote, mut comment, mut previous) = (None, false, ' ');
    let [mut ends, mut opened, mut closed, mut words] = [0; 4];
    for character in text.chars() {
        match (quote, character) {
            _ if comment => comment = character != '\n',
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(character),
            (None, '#') if previous.is_whitespace() => comment = true,
            (None, ';') => ends += 1,
            (None, '{') => opened += 1,
            (None, '}') => closed += 1,
            (None, c) if !c.is_whitespace() && previous.is_whitespace() => words += 1,
            (Some(_) | None, _) => {}
        }
        previous = character;
    }
    assert_eq!(quote, None, "an open quote");
    [ends, opened, closed, words, text.matches('$').count()]
}

/// Texts made of what means something to nginx, and of harmless letters.
fn hostile() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just(" ".to_owned()),
        "[;{}$\"'\\\\#\n\r\t~^/:.\\[\\]]",
        "[a-zA-Z0-9-]{1,4}",
        Just("127.0.0.1:80".to_owned()),
        "\\PC",
    ];
    proptest::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn no_value_breaks_out(
        host in hostile(), address in hostile(), path in hostile(), key in hostile(),
    ) {
        let fixture = Fixture::new();
        let expected = structure(&fixture.managed().unwrap().text);
        // Each by itself, so that one refusal doesn't hide another value.
        for change in 0..6 {
            let mut fixture = Fixture::new();
            match change {
                4 => fixture.site.routes[0].session_cookie.clone_from(&address),
                5 => fixture.site.routes[0].entrance = Entrance::Name(host.clone()),
                0 => fixture.site.host.clone_from(&host),
                1 => fixture.site.routes[0].upstream.address.clone_from(&address),
                2 => {
                    fixture.site.routes[0].upstream =
                        Upstream { address: "127.0.0.1:1".to_owned(), path: format!("/{path}/") };
                }
                _ => fixture.site.certificate.key = PathBuf::from(format!("/tls/{key}")),
            }
            if let Ok(rendered) = fixture.managed()
                // A server more is what a name of its own is for.
                && change != 5
            {
                prop_assert_eq!(structure(&rendered.text), expected);
            }
        }
    }

    #[test]
    fn every_endpoint_that_the_core_accepts_renders(
        host in "127\\.0\\.0\\.1|\\[::1\\]|[a-z][a-z0-9-]{0,10}[a-z]", one in 1_u32..65_536, two in 1_u32..65_536,
    ) {
        let mut fixture = Fixture::new();
        fixture.site.routes = vec![route("a", "b", &format!("{host}:{one}/proxy/{two}"))];
        prop_assert!(fixture.managed().is_ok());
    }
}

#[test]
fn a_long_node_name_fits_and_is_still_nobody_elses() {
    let id = |name: &str| id(&name.parse().unwrap());
    assert_eq!(id("thon"), "sandbox_thon");
    let (one, other) = (id(&"a".repeat(32)), id(&format!("{}b", "a".repeat(31))));
    assert_ne!(one, other);
    assert!(one.len() <= "sandbox_".len() + LONGEST_NODE, "{one}");
}
