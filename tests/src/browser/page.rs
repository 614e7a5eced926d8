//! A page that is looked at, clicked on and typed at, over Chromium's DevTools protocol
//! (<https://chromedevtools.github.io/devtools-protocol/>), which it speaks on a pair of pipes.

use crate::node::PATIENCE;
use serde_json::{Value, json};
use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
};
use tempfile::TempDir;

/// In CSS pixels.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub width: u32,
    pub height: u32,
    /// touched rather than pointed at
    pub phone: bool,
}

impl Size {
    pub const DESK: Size = Size { width: 1360, height: 900, phone: false };
    pub const PHONE: Size = Size { width: 360, height: 740, phone: true };
}

pub struct Page {
    child: Child,
    commands: File,
    answers: Receiver<Value>,
    next: u64,
    session: Option<String>,
    _profile: TempDir,
}

impl Page {
    pub(super) fn open(chromium: &str, url: &str, size: Size) -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        let pipes = ["in", "out"].map(|name| profile.path().join(name));
        let made = Command::new("mkfifo").args(&pipes).status().expect("mkfifo");
        assert!(made.success(), "no pipes can be made");
        // Chromium reads commands from file 3 and writes answers to file 4.
        let mut command = Command::new("sh");
        command.args(["-c", r#"in=$1 out=$2; shift 2; exec "$@" 3<"$in" 4>"$out""#, "sh"]).args(&pipes).arg(chromium);
        command
            .args([
                "--headless=new",
                "--remote-debugging-pipe",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
            ])
            .args(["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--hide-scrollbars", "--force-color-profile=srgb"])
            .arg(format!("--user-data-dir={}", profile.path().join("profile").display()));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("sh");
        let commands = OpenOptions::new().write(true).open(&pipes[0]).expect("a pipe");
        let answers = listen(&pipes[1]);
        let mut page = Page { child, commands, answers, next: 1, session: None, _profile: profile };
        let target = page.command("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = page.command("Target.attachToTarget", attach);
        page.session = session["sessionId"].as_str().map(String::from);
        page.resize(size);
        page.command("Page.enable", json!({}));
        page.command("Page.navigate", json!({ "url": url }));
        page
    }

    pub fn resize(&mut self, size: Size) {
        let Size { width, height, phone } = size;
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": if phone { 2 } else { 1 }, "mobile": phone });
        self.command("Emulation.setDeviceMetricsOverride", metrics);
        self.command("Emulation.setTouchEmulationEnabled", json!({ "enabled": phone }));
    }

    /// `light` or `dark`, as the page is told that the reader likes it.
    pub fn prefer(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.command("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Takes the network away from the page, and gives it back.
    pub fn offline(&mut self, offline: bool) {
        self.command("Network.enable", json!({}));
        let nothing = json!({ "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
        self.command("Network.emulateNetworkConditions", nothing);
    }

    /// What an expression is in the page.
    pub fn value(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.command("Runtime.evaluate", asked);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    pub fn text(&mut self, selector: &str) -> String {
        let value = self.value(&format!("document.querySelector({selector:?})?.textContent ?? null"));
        value.as_str().unwrap_or_else(|| panic!("no {selector} in the page")).to_string()
    }

    /// Waits until an expression is true in the page.
    pub fn wait_for(&mut self, expression: &str) {
        let patience = PATIENCE.as_millis() / 2;
        let waiting = format!(
            "(async () => {{ for (const end = Date.now() + {patience}; Date.now() < end;) {{ try {{ if ({expression}) return true }} \
             catch {{}} await new Promise(done => setTimeout(done, 30)) }} return false }})()"
        );
        if self.value(&waiting) != true {
            let page = self.value("document.body.innerText");
            panic!("never came true: {expression}\nthe page says\n{}", page.as_str().unwrap_or_default());
        }
    }

    /// Clicks in the middle of an element, as a hand does: once more if the page moved under the pointer meanwhile.
    /// Fails if something else is there.
    pub fn click(&mut self, selector: &str) {
        self.wait_for(&format!("document.querySelector({selector:?})"));
        let hit = |kind: &str| format!("window.{kind}?.closest({selector:?}) != null");
        for _ in 0..10 {
            self.value(
                "for (const kind of ['mousedown', 'click']) { window[kind] = null; \
                 document.addEventListener(kind, event => window[kind] = event.target, { capture: true, once: true }) }",
            );
            let place = self.place(selector);
            assert_eq!(place["hit"], true, "{selector} cannot be clicked: {place}");
            self.mouse("mousePressed", &place);
            // what is pressed on one element and let go on another is no click
            let place =
                if self.value(&hit("mousedown")) == true { self.place(selector) } else { json!({ "x": 0, "y": 0 }) };
            self.mouse("mouseReleased", &place);
            if self.value(&hit("click")) == true {
                return;
            }
        }
        panic!("{selector} never stayed long enough to be clicked");
    }

    /// The middle of an element, in view, and whether the element is what is seen there.
    fn place(&mut self, selector: &str) -> Value {
        self.value(&format!(
            "(() => {{ const it = document.querySelector({selector:?}); it.scrollIntoView({{ block: 'center', behavior: 'instant' }}); \
             const at = it.getBoundingClientRect(), x = at.x + at.width / 2, y = at.y + at.height / 2; \
             return {{ x, y, hit: it.contains(document.elementFromPoint(x, y)) }} }})()"
        ))
    }

    fn mouse(&mut self, kind: &str, place: &Value) {
        let event = json!({ "type": kind, "x": place["x"], "y": place["y"], "button": "left", "clickCount": 1 });
        self.command("Input.dispatchMouseEvent", event);
    }

    /// Presses a key, such as `Escape`, `Enter` or `Tab`.
    pub fn press(&mut self, key: &str) {
        let code = match key {
            "Escape" => 27,
            "Enter" => 13,
            "Tab" => 9,
            "ArrowRight" => 39,
            other => panic!("the key {other} is not known here"),
        };
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
            self.command("Input.dispatchKeyEvent", event);
        }
    }

    /// Chooses a file, as in the browser's own dialog.
    pub fn choose_file(&mut self, selector: &str, file: &Path) {
        let root = self.command("DOM.getDocument", json!({}));
        let asked = json!({ "nodeId": root["root"]["nodeId"], "selector": selector });
        let node = self.command("DOM.querySelector", asked);
        self.command("DOM.setFileInputFiles", json!({ "nodeId": node["nodeId"], "files": [file] }));
    }

    /// Leaves a picture in the folder `PEARWOOD_SCREENSHOTS`, to be looked at.
    pub fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("PEARWOOD_SCREENSHOTS") else { return };
        let shot = self.command("Page.captureScreenshot", json!({ "format": "png" }));
        let bytes = base64(shot["data"].as_str().expect("a picture"));
        fs::create_dir_all(&folder).expect("a folder for pictures");
        fs::write(Path::new(&folder).join(format!("{name}.png")), bytes).expect("a picture");
    }

    fn command(&mut self, method: &str, params: Value) -> Value {
        let id = self.next;
        self.next += 1;
        let mut command = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        self.commands.write_all(format!("{command}\0").as_bytes()).expect("Chromium listens");
        loop {
            let answer = self.answers.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{method}: {error}"));
            if answer["id"] == id {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What Chromium says, one value after another, each ended by a zero byte.
fn listen(pipe: &PathBuf) -> Receiver<Value> {
    let mut answers = BufReader::new(File::open(pipe).expect("a pipe"));
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        while answers.read_until(0, &mut bytes).is_ok_and(|length| length > 0) {
            bytes.pop();
            let Ok(value) = serde_json::from_slice(&bytes) else { return };
            if sender.send(value).is_err() {
                return;
            }
            bytes.clear();
        }
    });
    receiver
}

/// RFC 4648, section 4.
fn base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|&byte| byte != b'=').map(digit).collect();
    let group = |group: &[u8]| {
        let bits = group.iter().fold(0_u32, |bits, &digit| bits << 6 | u32::from(digit)) << (6 * (4 - group.len()));
        bits.to_be_bytes()[1..group.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64() {
        for (text, bytes) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmFy", "foobar")] {
            assert_eq!(super::base64(text), bytes.as_bytes());
        }
    }
}
