//! The example website, as its readers get it.

use std::path::PathBuf;
use tests::{On, TestNode, client::curl, node::example, on_each};

on_each!(every_file_arrives, the_site_speaks_http, the_settings_of_the_readme);

/// All files that the image holds for the site, with their content.
fn files() -> Vec<(String, Vec<u8>)> {
    let launch = example("website");
    let spec = launch.system.find("site").expect("the box site");
    let files = pearwood::build::assets_of(&launch.system, spec, &tests::node::workspace().join("examples/website"));
    files
        .expect("the site's files")
        .into_iter()
        .map(|file| (file.path, file.content.read().expect("the file").into_owned()))
        .collect()
}

/// Fetches each file of the website over few connections and compares it.
fn every_file_arrives(on: On) {
    let node = TestNode::start("website", on);
    let files = files();
    assert!(files.len() > 100, "{} files are no website", files.len());
    let directory = tempfile::tempdir().expect("a folder");
    let list = directory.path().join("urls");
    let place = |index: usize| -> PathBuf { directory.path().join(index.to_string()) };
    let entries = files.iter().enumerate().map(|(index, (path, _))| {
        let url = node.url(&format!("/{}", escape(path)));
        format!("url = \"{url}\"\noutput = \"{}\"\n", place(index).display())
    });
    std::fs::write(&list, entries.collect::<String>()).expect("the list");
    let list = list.to_string_lossy();
    tests::client::run(std::process::Command::new("curl").args([
        "--silent",
        "--show-error",
        "--fail",
        "--http1.1",
        "--config",
        &list,
    ]));
    for (index, (path, content)) in files.iter().enumerate() {
        let fetched = std::fs::read(place(index)).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(fetched == *content, "{path}: {} bytes of {} are right", common(&fetched, content), content.len());
    }
    node.power_off();
}

fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// A path as a URL has it, in curl's own quotes.
fn escape(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    path.bytes().map(|byte| if plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// What browsers ask of a site: see `components/site` for all cases; these show that nothing on the way is in between.
fn the_site_speaks_http(on: On) {
    let node = TestNode::start("website", on);
    let page = curl(&[], &node.url("/"));
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.text().contains("Pearwood"));

    let etag = page.header("etag").expect("an ETag").to_string();
    let again = curl(&["--header", &format!("If-None-Match: {etag}")], &node.url("/"));
    assert_eq!((again.status, again.body.len()), (304, 0));
    // a date says nothing: another version may have the same
    let modified = page.header("last-modified").expect("Last-Modified").to_string();
    assert_eq!(curl(&["--header", &format!("If-Modified-Since: {modified}")], &node.url("/")).status, 200);

    let style = curl(&[], &node.url("/style.css"));
    let part = curl(&["--range", "10-29"], &node.url("/style.css"));
    assert_eq!((part.status, &part.body[..]), (206, &style.body[10..30]));
    let total = style.body.len();
    assert_eq!(part.header("content-range"), Some(format!("bytes 10-29/{total}").as_str()));
    assert_eq!(curl(&["--range", "9999999-"], &node.url("/style.css")).status, 416);

    let packed = curl(&["--header", "Accept-Encoding: gzip", "--output", "-"], &node.url("/style.css"));
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert!(packed.body.starts_with(&[0x1f, 0x8b]) && packed.body.len() < total);

    let head = curl(&["--head"], &node.url("/style.css"));
    assert_eq!((head.status, head.header("content-length")), (200, Some(total.to_string().as_str())));

    assert_eq!(curl(&[], &node.url("/doc")).header("location"), Some("/doc/"));
    let missing = curl(&[], &node.url("/no/such/page"));
    assert_eq!(missing.status, 404);
    assert!(missing.text().contains("<html"), "the site's own page");
    assert_eq!(curl(&["--path-as-is"], &node.url("/../../etc/passwd")).status, 404);
    let post = curl(&["--data", "x"], &node.url("/"));
    assert_eq!((post.status, post.header("allow")), (405, Some("GET, HEAD, OPTIONS")));

    let graph = curl(&[], &node.url("/graph.svg"));
    assert_eq!(graph.header("content-type"), Some("image/svg+xml"));
    assert!(["net", "http", "site"].iter().all(|name| graph.text().contains(name)));

    let reference = curl(&[], &node.url("/reference.html"));
    assert_eq!(reference.header("content-type"), Some("text/html; charset=utf-8"));
    for section in pearwood::reference::sections() {
        for setting in section.settings {
            let id = format!("id=\"{}.{}\"", section.names[0], setting.key);
            assert!(reference.text().contains(&id), "{id}");
        }
    }
    node.power_off();
}

/// The system of the README of the box `http`, "Serving files", with some files, does what that says.
fn the_settings_of_the_readme(on: On) {
    let readme =
        std::fs::read_to_string(tests::node::workspace().join("components/http/README.md")).expect("the README");
    let (_, section) = readme.split_once("# Serving files").expect("the section");
    let (_, text) = section.split_once("```toml\n").expect("an example");
    let (text, _) = text.split_once("```").expect("its end");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("system.toml"), text).expect("written");
    for (path, content) in [
        ("index.html", "home"),
        ("about.html", "about"),
        ("a.gmi", "# gemini"),
        (".well-known/matrix/server", "{}"),
        ("static/app.js", "1;"),
        ("static/app.wasm.br", "brotli"),
        ("files/deep/a.txt", "a"),
        ("app/index.html", "the application"),
        ("private/diary.txt", "dear diary"),
        ("house/plan.txt", "plan"),
        ("search.html", "search"),
    ] {
        let path = folder.path().join("public").join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, content).expect("written");
    }
    let node = TestNode::start_system(&folder.path().join("system.toml"), on);
    let get = |path: &str| curl(&["--path-as-is", "--user-agent", "tester"], &node.url(path));
    let location = |path: &str, host: &str| {
        let answer = curl(&["--header", &format!("Host: {host}")], &node.url(path));
        (answer.status, answer.header("location").map(str::to_owned))
    };
    // of the box http
    let url = "https://example.org/about?q=1";
    assert_eq!(location("/about?q=1", "www.example.org"), (301, Some(url.to_owned())));
    assert_eq!(location("/old/a/b?q", "x"), (308, Some("/new/a/b?q".to_owned())));
    for path in ["/house/plan.txt", "//house/plan.txt", "/%68ouse/plan.txt"] {
        assert_eq!(get(path).status, 403, "{path}");
    }
    let answer = get("/private/diary.txt");
    let asked = Some("Basic realm=\"The family\", charset=\"UTF-8\"");
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, asked));
    for (user, status) in [("anna:correctbatteryhorsestapler", 200), ("anna:wrong", 401), ("otto:", 401)] {
        assert_eq!(curl(&["--user", user], &node.url("/private/diary.txt")).status, status, "{user}");
    }
    let statuses: Vec<u16> = (0..6).map(|_| get("/search").status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429]);
    // of the box site
    let about = get("/about");
    assert_eq!((about.text(), about.header("x-frame-options")), ("about".to_owned(), Some("DENY")));
    assert_eq!(get("/a.gmi").header("content-type"), Some("text/gemini"));
    let matrix = get("/.well-known/matrix/server");
    assert_eq!(matrix.header("content-type"), Some("application/json"));
    assert_eq!(matrix.header("access-control-allow-origin"), Some("*"));
    assert_eq!(get("/static/app.js").header("cache-control"), Some("max-age=31536000, immutable"));
    let packed = get("/static/app.wasm.br");
    assert_eq!(packed.header("content-type"), Some("application/wasm"));
    assert_eq!(packed.header("content-encoding"), Some("br"));
    assert!(get("/files/").text().contains("href=\"./deep/\"") && get("/files/deep/").text().contains("a.txt"));
    assert_eq!((get("/static/").status, get("/nothing").status), (404, 404));
    assert_eq!(get("/app/users/7").text(), "the application");
    // and each request is in the log
    let line = node.wait_for(0, "GET /app/users/7 HTTP/1.1");
    assert!(line.contains("\" 200 15 \"-\" \"tester\"") && line.contains(" - - ["), "{line}");
    node.power_off();
}
