//! A browser: headless Chromium.

mod page;

pub use page::{Page, Size};

use crate::client::run;
use pearwood::setup::{self, Group};
use std::process::{Command, Stdio};

pub struct Browser(&'static str);

impl Browser {
    /// Chromium, installed if this process may. The error says why there is none.
    pub fn find() -> Result<Self, String> {
        let installed = setup::ensure(Group::Test);
        let starts = |name: &&str| {
            let version = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
            version.is_ok_and(|status| status.success())
        };
        match ["chromium", "chromium-browser", "google-chrome"].into_iter().find(starts) {
            Some(name) => Ok(Browser(name)),
            None => Err(installed.err().map_or("it does not start".into(), |error| format!("{error:#}"))),
        }
    }

    /// Opens a page, to be looked at and clicked on.
    pub fn open(&self, url: &str, size: Size) -> Page {
        Page::open(self.0, url, size)
    }

    /// The document as it is when the page's scripts have nothing more to do.
    pub fn document(&self, url: &str) -> String {
        self.document_by(&[], url)
    }

    /// The same with more arguments for the browser.
    pub fn document_by(&self, arguments: &[&str], url: &str) -> String {
        let profile = tempfile::tempdir().expect("a folder");
        let output = run(Command::new(self.0)
            // root, as which tests run in containers, has no sandbox
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(arguments)
            // of the page's own time, which stands still while it waits for the network
            .args(["--virtual-time-budget=30000", "--dump-dom", url]));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
