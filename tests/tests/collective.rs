//! `examples/collective` on one node: three names over HTTPS, accounts that stay, and what boxes report of themselves.

use pearwood::node::DiskFile;
use std::{fs, path::Path, time::Instant};
use tests::{
    On, TestNode,
    browser::{Browser, Size},
    client::{Answer, curl},
    managed::{Console, Managed, People},
    node::{PATIENCE, workspace},
};

const NAMES: [&str; 3] = ["news.localhost", "garden.localhost", "members.localhost"];
const PASSWORD: &str = "password=correct horse";

struct Collective<'a> {
    managed: Managed<'a>,
    port: u16,
    authority: String,
}

impl<'a> Collective<'a> {
    fn start(people: &'a People) -> Self {
        let example = workspace().join("examples/collective");
        let copied = |name: &str| fs::read_to_string(example.join(name)).expect("the example");
        for name in ["news/index.html", "garden/index.html"] {
            people.write(name, &copied(name));
        }
        let own = people.key("own");
        let system = copied("system.toml");
        let members = format!("component = \"{}\"", example.join("members").display());
        let system = system.replace("component = \"./members\"", &members);
        let keys = format!("config.keys = [{{ key = \"{own}\", role = \"deploy\", name = \"own\" }}]");
        let metrics = "config.metrics = [\"127.0.0.1\", \"10.0.2.2\"]";
        let commented = "# config.keys = [{ key = \"…\", role = \"deploy\", name = \"anna\" }]";
        let with_keys = system.replace(commented, &format!("{keys}\n{metrics}"));
        assert!(with_keys.contains(&members) && with_keys.contains(&keys), "{with_keys}");
        people.write("system.toml", &with_keys);
        let disk = DiskFile::new(people.path().join("disk.img"), 8 << 20);
        let node = TestNode::start_with_disks(people.path(), On::Linux, &[disk]);
        let line = node.wait_for(0, "the node's key is ");
        let key = line.split("the node's key is ").nth(1).and_then(|rest| rest.split(' ').next()).expect("the key");
        let key = key.to_string();
        node.wait_for(0, "listening on port 7327");
        node.wait_for(0, "listening on port 443");
        let authority = people.path().join("authority.pem");
        fs::write(&authority, node.authority_certificate()).expect("a file");
        let (port, address) = (node.node.port(443), format!("127.0.0.1:{}", node.node.port(7327)));
        let managed = Managed { people, node, address, key };
        managed.accept("own");
        Collective { managed, port, authority: authority.to_string_lossy().into_owned() }
    }

    fn ask(&self, name: &str, path: &str, arguments: &[&str]) -> Answer {
        let resolve = format!("{name}:{}:127.0.0.1", self.port);
        let secure = ["--resolve", &resolve, "--cacert", &self.authority];
        curl(&[&secure, arguments].concat(), &format!("https://{name}:{}{path}", self.port))
    }

    /// A form of the site's own page.
    fn send(&self, path: &str, name: &str, password: &str, more: &[&str]) -> Answer {
        let origin = format!("Origin: https://{}:{}", NAMES[2], self.port);
        let name = format!("name={name}");
        let form = ["--header", &origin, "--data-urlencode", &name, "--data-urlencode", password];
        self.ask(NAMES[2], path, &[&form, more].concat())
    }

    fn members(&self, cookie: &str) -> Answer {
        self.ask(NAMES[2], "/members", &["--header", cookie])
    }

    fn is_member(&self, cookie: &str) -> bool {
        let page = self.members(cookie);
        page.status == 200 && page.text().contains("Welcome, anna")
    }

    /// What is reported comes within a second or so.
    fn until(&self, what: &str, look: impl Fn() -> String, has: impl Fn(&str) -> bool) {
        let begin = Instant::now();
        loop {
            let seen = look();
            if has(&seen) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "{what} is not in\n{seen}\n{}", self.managed.node.node.console().end());
        }
    }
}

/// The session that an answer begins, as a browser sends it.
fn session(answer: &Answer) -> String {
    assert_eq!((answer.status, answer.header("location")), (303, Some("/members")), "{answer:?}");
    let cookie = answer.header("set-cookie").expect("a cookie");
    for part in ["__Host-session=", "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    format!("Cookie: {}", cookie.split(';').next().expect("its value"))
}

#[test]
fn three_sites_with_accounts_and_figures() {
    let people = People::new();
    let collective = Collective::start(&people);
    for (name, text) in NAMES.iter().zip(["a node of its own", "Beans are sown", "0 have an account"]) {
        let page = collective.ask(name, "/", &[]);
        assert!(page.status == 200 && page.text().contains(text), "{name}: {page:?}");
    }
    let cookie = accounts(&collective);
    figures(&collective);
    console(&collective);

    // what it knows is on the disk
    let position = collective.managed.node.node.console().position();
    collective.managed.obeyed("own", &["restart", "members"]);
    collective.managed.node.wait_for(position, "members: 1 accounts");
    assert!(collective.is_member(&cookie));
    people.edit(|text| text.replace("memory = \"24 MiB\"", "memory = \"23 MiB\""));
    collective.managed.node.node.type_line("deploy trial=0 drain=20").expect("it takes a line");
    collective.managed.node.wait_for(position, "deployment 1: done");
    assert!(collective.is_member(&cookie));
    session(&collective.send("/log-in", "anna", PASSWORD, &[]));
    for name in ["net", "tls", "keys", "acme", "fetch", "http", "news", "control"] {
        assert_eq!(collective.managed.node.box_status(name)["restarts"], 0, "{name}");
    }
    let Managed { node, .. } = collective.managed;
    node.power_off();
    sealed(&people.path().join("disk.img"), &cookie);
}

/// Yields a session of anna's.
fn accounts(collective: &Collective<'_>) -> String {
    let outside = collective.ask(NAMES[2], "/members", &[]);
    assert_eq!((outside.status, outside.header("location")), (303, Some("/log-in")));
    // another site's form, and one that is sent without TLS
    let foreign = ["--header", "Origin: https://evil.example", "--data", "name=anna&password=correct horse"];
    assert_eq!(collective.ask(NAMES[2], "/sign-up", &foreign).status, 403);
    let host = format!("Host: {}", NAMES[2]);
    assert_eq!(curl(&["--header", &host], &collective.managed.node.url("/log-in")).status, 403);

    for (name, password, status) in [("Anna", PASSWORD, 400), ("anna", "password=short", 400), ("", PASSWORD, 400)] {
        assert_eq!(collective.send("/sign-up", name, password, &[]).status, status, "{name} {password}");
    }
    let first = session(&collective.send("/sign-up", "anna", PASSWORD, &[]));
    assert!(collective.is_member(&first));
    assert_eq!(collective.send("/sign-up", "anna", "password=another one", &[]).status, 409);
    for (name, password) in [("anna", "password=another one"), ("vera", PASSWORD), ("", "password=")] {
        assert_eq!(collective.send("/log-in", name, password, &[]).status, 403, "{name} {password}");
    }
    let second = session(&collective.send("/log-in", "anna", PASSWORD, &[]));
    assert_ne!(first, second);
    assert!(collective.is_member(&first) && collective.is_member(&second));
    let left = collective.send("/log-out", "", "", &["--header", &first]);
    assert!(left.header("set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=0")), "{left:?}");
    assert_eq!(collective.members(&first).status, 303);
    let forged = format!("Cookie: __Host-session={}", "0".repeat(64));
    assert!(!collective.is_member(&forged) && collective.is_member(&second));
    second
}

/// Two ways to them: `/metrics`, and management.
fn figures(collective: &Collective<'_>) {
    let stranger = curl(&["--header", "Host: evil.example"], &collective.managed.node.url("/"));
    assert_eq!(stranger.status, 404);
    let names = NAMES.join(", ");
    let certificate = format!(r#"names="{names}""#);
    let wanted = [
        [r#"pearwood_figure_requests_total{box="http","#, r#"host="news.localhost""#, r#"status="2xx"} 1"#],
        [r#"pearwood_figure_requests_total{box="http","#, r#"host="members.localhost""#, r#"status="4xx"}"#],
        [r#"pearwood_figure_requests_total{box="http","#, r#"host="other""#, r#"status="4xx"}"#],
        [r#"pearwood_figure_certificate_expires_timestamp_seconds{box="tls","#, r#"from="authority""#, &certificate],
        [r#"pearwood_figure_handshakes_total{box="tls","#, r#"outcome="full""#, r#"version="1.3"}"#],
        [r#"pearwood_figure_last_error_info{box="acme","#, r#"key="default""#, "not reached"],
        [r#"pearwood_figure_logins_total{box="members","#, r#"outcome="right""#, "} 1"],
    ];
    let scrape = || curl(&[], &collective.managed.node.url("/metrics")).text();
    for parts in wanted {
        let has = |text: &str| text.lines().any(|line| parts.iter().all(|part| line.contains(part)));
        collective.until(&format!("{parts:?}"), scrape, has);
    }
    assert!(!scrape().contains("evil.example"), "no client makes a label up");
    let told = collective.managed.obeyed("own", &["figures"]).out;
    for parts in
        [["members", "accounts", " 1"], ["tls", "certificate-expires", " d "], ["http", "requests", "garden.localhost"]]
    {
        assert!(told.lines().any(|line| parts.iter().all(|part| line.contains(part))), "{parts:?}: {told}");
    }
    let one = collective.managed.obeyed("own", &["figures", "members"]).out;
    assert!(one.contains("logins") && !one.contains("certificate"), "{one}");
    collective.managed.refused("own", &["figures", "wiki"], "there is no box `wiki`; there are net, tls");
}

fn console(collective: &Collective<'_>) {
    let browser = match Browser::find() {
        Ok(browser) => browser,
        Err(why) => return eprintln!("\n*** SKIPPED: no browser, so nobody has looked at the console: {why} ***\n"),
    };
    let console = Console::start(&collective.managed, "own");
    let mut page = browser.open(&console.url, Size::DESK);
    let left = format!("document.querySelector('[data-certificate=\"{}\"] .pill.good')?.textContent", NAMES.join(", "));
    page.wait_for(&format!("/^\\d+ days$/.test({left})"));
    for name in ["news.localhost", "members.localhost", "other"] {
        page.wait_for(&format!("document.querySelector('[data-host=\"{name}\"] .spark')"));
    }
    page.wait_for("/full\\/s/.test(document.querySelector('#handshakes').textContent)");
    page.wait_for("document.querySelector('#orders').textContent.includes('not reached')");
    page.click("[data-card=members] .told summary");
    page.wait_for("document.querySelector('[data-card=members] .told table').textContent.includes('accounts')");
    page.value("document.querySelector('#web').scrollIntoView()");
    page.picture("web");
}

/// What is on the disk is neither a password nor a session.
fn sealed(disk: &Path, cookie: &str) {
    let disk = fs::read(disk).expect("the disk");
    let has = |text: &str| disk.windows(text.len()).any(|part| part == text.as_bytes());
    let token = cookie.rsplit('=').next().expect("the token");
    assert!(has("\"name\":\"anna\"") && has("$argon2id$v=19$m=7168,t=5,p=1$"));
    assert!(!has(token) && !has("correct horse"));
}
