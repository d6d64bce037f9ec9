//! The dashboard as an organizer sees it.
//!
//! For: a server with a password, logging in to it, and finding one's way by what pages show.
//! Not for: what is done there; the tests know that.

use std::io::Write;
use std::net::TcpStream;
use std::process::Stdio;

use thirtyfour::prelude::*;

use crate::chromium::Browser;
use crate::support::{Node, Served, until};
use crate::venue::Venue;

/// The organizer's password.
pub(crate) const PASSWORD: &str = "four random words here";

/// A server; it ends when this is dropped.
pub(crate) struct Serving {
    /// The API.
    pub(crate) api: Served,
    /// Where the dashboard is.
    pub(crate) url: String,
    /// Where nginx serves it over TLS.
    pub(crate) tls_url: String,
}

impl Serving {
    /// Sets the password and starts the server where the participant's machine reaches it, too.
    pub(crate) fn start(venue: &Venue, groups: &str) -> Self {
        Self::start_with(venue, groups, "")
    }

    /// The same, with further keys in the configuration.
    pub(crate) fn start_with(venue: &Venue, groups: &str, further: &str) -> Self {
        let (node, host) = (&venue.node, venue.machine.node_address());
        let text = node.config_text(groups);
        let keys = format!("dashboard:\n  host: {host}\n  tls_port: {}\n", node.ports.tls);
        node.write_config(&(text.replace("dashboard:\n", &keys) + further));
        set_password(node, PASSWORD);
        Self::serve(venue)
    }

    /// Starts the server once more, as it is configured.
    pub(crate) fn serve(venue: &Venue) -> Self {
        let (node, host) = (&venue.node, venue.machine.node_address());
        let api = Served::start(node.command(&["serve"]), &host.to_string(), node.ports.api);
        // The other port is bound at the same start.
        until("the dashboard", || TcpStream::connect((host, node.ports.web)).ok());
        let (url, tls_url) = (
            format!("http://{host}:{}", node.ports.web),
            format!("https://{host}:{}", node.ports.tls),
        );
        Self { api, url, tls_url }
    }
}

fn set_password(node: &Node, password: &str) {
    let mut command = node.command(&["dashboard", "password"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
    assert!(child.wait().unwrap().success());
}

/// Light or dark, at a desk or in a hand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) name: &'static str,
    scheme: &'static str,
    size: (u32, u32),
}

/// The looks that every page is looked at in.
pub(crate) const LOOKS: [Look; 4] = [
    Look { name: "light", scheme: "light", size: (1280, 800) },
    Look { name: "dark", scheme: "dark", size: (1280, 800) },
    Look { name: "phone-light", scheme: "light", size: (390, 844) },
    Look { name: "phone-dark", scheme: "dark", size: (390, 844) },
];

impl Browser {
    /// Opens the dashboard, which has to ask for a password, and logs in.
    pub(crate) async fn log_in(&self, url: &str) {
        self.open(url).await;
        self.log_in_with_password().await;
        self.element("nav a[aria-current]").await;
    }

    /// Fills in the form of the page that is open.
    pub(crate) async fn log_in_with_password(&self) {
        self.type_into("input[name=password]", PASSWORD).await;
        self.press_on("form button").await;
    }

    /// Follows a link of the navigation.
    pub(crate) async fn to_page(&self, path: &str) {
        self.press_on(&format!("nav a[href='{path}']")).await;
        self.element(&format!("nav a[href='{path}'][aria-current]")).await;
    }

    /// Presses what is there, as soon as it can be pressed: pages change under the hands.
    pub(crate) async fn press_on(&self, css: &str) {
        self.until(css, async |driver| {
            for element in driver.find_all(By::Css(css)).await? {
                if element.is_displayed().await? && element.is_enabled().await? {
                    // Nobody presses what lies under something else: one scrolls.
                    element.scroll_into_view().await?;
                    element.click().await?;
                    return Ok(Some(()));
                }
            }
            Ok(None)
        })
        .await;
    }

    /// Presses the button with these words within `css`.
    pub(crate) async fn press_button(&self, css: &str, words: &str) {
        self.until(&format!("{words} in {css}"), async |driver| {
            for element in driver.find_all(By::Css(format!("{css} button"))).await? {
                let fits = element.text().await? == words && element.is_displayed().await?;
                if fits && element.is_enabled().await? {
                    // Nobody presses what lies under something else: one scrolls.
                    element.scroll_into_view().await?;
                    element.click().await?;
                    return Ok(Some(()));
                }
            }
            Ok(None)
        })
        .await;
    }

    /// Puts a text in the place of what is in a field.
    pub(crate) async fn type_into(&self, css: &str, text: &str) {
        self.until(css, async |driver| {
            let field = driver.find(By::Css(css)).await?;
            field.clear().await?;
            field.send_keys(text).await?;
            let typed = field.prop("value").await?.unwrap_or_default();
            Ok((typed == text).then_some(()))
        })
        .await;
    }

    /// Chooses from a list.
    pub(crate) async fn choose(&self, css: &str, value: &str) {
        let option = format!("{css} option[value='{value}'], {css} option");
        self.until(&option, async |driver| {
            for element in driver.find_all(By::Css(&option)).await? {
                if element.text().await? == value {
                    // Nobody presses what lies under something else: one scrolls.
                    element.scroll_into_view().await?;
                    element.click().await?;
                    return Ok(Some(()));
                }
            }
            Ok(None)
        })
        .await;
    }

    /// Waits until an instance has a state on the page that is open, which nobody loads anew.
    pub(crate) async fn sees(&self, key: &str, state: &str) {
        let css = format!("[data-key='{key}'] .badge.{}", state.to_lowercase());
        self.element(&css).await;
    }

    /// What an element shows.
    pub(crate) async fn shown(&self, css: &str) -> String {
        let element = self.element(css).await;
        element.text().await.unwrap()
    }

    /// Looks at the page that is open in all looks, and sees that nothing sticks out of it.
    pub(crate) async fn looked_at(&self, name: &str) {
        let tools = self.driver.cdp();
        for look in LOOKS {
            let (width, height) = look.size;
            let features =
                serde_json::json!([{ "name": "prefers-color-scheme", "value": look.scheme }]);
            let media = serde_json::json!({ "features": features });
            let metrics = serde_json::json!({
                "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false,
            });
            tools.send_raw("Emulation.setEmulatedMedia", media).await.unwrap();
            tools.send_raw("Emulation.setDeviceMetricsOverride", metrics).await.unwrap();
            let script = "return [document.documentElement.scrollWidth, innerWidth]";
            let (wide, fits): (u32, u32) =
                self.driver.execute(script, []).await.unwrap().convert().unwrap();
            self.screenshot(&format!("dashboard-{name}-{}.png", look.name)).await;
            assert!(wide <= fits, "{name} is {wide} wide in {fits}, {}", look.name);
        }
        let nothing = serde_json::json!({});
        tools.send_raw("Emulation.clearDeviceMetricsOverride", nothing).await.unwrap();
    }
}

/// What the QR code in a picture says.
pub(crate) fn scan(png: &[u8]) -> String {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let samples = info.color_type.samples();
    let (width, height) = (info.width as usize, info.height as usize);
    let mut picture = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| {
        // The green of each point is grey enough for black and white.
        pixels[(y * width + x) * samples + usize::from(samples > 2)]
    });
    let [code] = &picture.detect_grids()[..] else { panic!("no single code in the picture") };
    code.decode().unwrap().1
}
