//! VS Code as a participant sees it.
//!
//! For: signing in, the command palette, the explorer, the terminal and the Markdown preview.
//! Not for: what is done with them; the tests know that.

use std::time::Duration;

use thirtyfour::prelude::*;

use crate::chromium::{Browser, INTERVAL};
use crate::support::Instance;

const LOGIN: &str = "input[type=password]";
const WORKBENCH: &str = ".monaco-workbench .part.editor";
/// How long what has just become possible may take to be offered.
const SOON: Duration = Duration::from_secs(3);
const PALETTE: &str = ".quick-input-widget .quick-input-box input";

impl Browser {
    /// Opens an instance's URL, which has to ask for a password.
    pub(crate) async fn open_login(&self, instance: &Instance) {
        self.open(instance.url()).await;
        self.login().await;
    }

    /// Waits for the page that asks for a password.
    pub(crate) async fn login(&self) {
        self.element(LOGIN).await;
        assert!(self.driver.find_all(By::Css(WORKBENCH)).await.unwrap().is_empty());
    }

    /// Types a password into the page that asks for one and sends it.
    pub(crate) async fn send_password(&self, password: &str) {
        let input = self.element(LOGIN).await;
        input.send_keys(password).await.unwrap();
        input.send_keys(Key::Enter).await.unwrap();
    }

    /// Sends a password that has to be refused, and sees that it is.
    pub(crate) async fn stays_out(&self, password: &str) {
        self.send_password(password).await;
        let error = self.element(".error").await;
        assert_eq!(error.text().await.unwrap(), "Incorrect password");
        self.element(LOGIN).await;
    }

    /// Opens an instance, signs in and waits for the workbench.
    pub(crate) async fn sign_in(&self, instance: &Instance) {
        self.open_login(instance).await;
        self.send_password(instance.password()).await;
        self.workbench().await;
    }

    /// Waits for a workbench whose explorer is there.
    pub(crate) async fn workbench(&self) {
        self.element(WORKBENCH).await;
        self.element(".explorer-folders-view .monaco-list").await;
    }

    /// Waits for a file or folder in the explorer.
    pub(crate) async fn in_explorer(&self, name: &str) -> WebElement {
        self.element(&format!(".explorer-folders-view .monaco-list-row[aria-label^='{name}']"))
            .await
    }

    /// Opens a file through the explorer.
    pub(crate) async fn open_file(&self, name: &str) {
        let row = self.in_explorer(name).await;
        self.driver.action_chain().double_click_element(&row).perform().await.unwrap();
        self.element(&format!(".tab.active[data-resource-name='{name}']")).await;
    }

    /// Runs a command through the palette; `title` as it is written there.
    pub(crate) async fn command(&self, title: &str) {
        // Behind the title there may be a comma and the command's keys.
        let row = ".quick-input-list .monaco-list-row";
        let row = format!("{row}[aria-label='{title}'], {row}[aria-label^='{title},']");
        self.until(title, async |driver| {
            self.press(Key::F1).await;
            let input = self.element(PALETTE).await;
            input.send_keys(title).await?;
            // The palette shows what was possible when it was opened; what becomes possible a
            // moment later is there when it is opened again.
            match driver
                .query(By::Css(&row))
                .wait(SOON, INTERVAL)
                .and_displayed()
                .first_opt()
                .await?
            {
                Some(row) => row.click().await.map(Some),
                None => input.send_keys(Key::Escape).await.map(|()| None),
            }
        })
        .await;
        self.until("end of the palette", async |driver| {
            // The command may have left the page.
            let Some(palette) = driver.find_all(By::Css(PALETTE)).await?.pop() else {
                return Ok(Some(()));
            };
            Ok((!palette.is_displayed().await?).then_some(()))
        })
        .await;
    }

    /// Opens a terminal; keys go there from then on.
    pub(crate) async fn open_terminal(&self) {
        self.command("Terminal: Create New Terminal").await;
        self.until("terminal with the focus", async |driver| {
            let script = "return document.activeElement.matches('.xterm-helper-textarea')";
            Ok(driver.execute(script, []).await?.convert::<bool>()?.then_some(()))
        })
        .await;
    }

    /// Waits until the editor shows this text.
    pub(crate) async fn text_in_editor(&self, text: &str) {
        self.until(text, async |driver| {
            let lines = driver.find(By::Css(".editor-instance .view-lines")).await?;
            // The editor writes every space as one that doesn't break.
            let shown = lines.text().await?.replace('\u{a0}', " ");
            Ok(shown.contains(text).then_some(()))
        })
        .await;
    }

    /// The cookie that keeps the participant of this page signed in; there has to be just one.
    pub(crate) async fn session_cookie(&self) -> Cookie {
        let mut cookies = self.driver.get_all_cookies().await.unwrap();
        cookies.retain(|cookie| cookie.name.starts_with("code-server-session"));
        assert_eq!(cookies.len(), 1, "{cookies:?}");
        cookies.remove(0)
    }

    /// Waits for a heading of the first rank inside a web view and returns its text: the preview
    /// is a page inside a page inside the page.
    pub(crate) async fn heading_in_web_view(&self) -> String {
        self.until("heading in a web view", async |driver| {
            driver.enter_default_frame().await?;
            let heading = async {
                driver.find(By::Css("iframe.webview.ready")).await?.enter_frame().await?;
                driver.find(By::Css("iframe#active-frame")).await?.enter_frame().await?;
                driver.find(By::Css("h1")).await?.text().await
            };
            let heading = heading.await;
            driver.enter_default_frame().await?;
            heading.map(Some)
        })
        .await
    }
}
