//! The example website, as its readers get it.

use std::path::PathBuf;
use tests::{On, TestNode, client::curl, node::example, on_each};

on_each!(every_file_arrives, the_site_speaks_http);

/// All files that the image holds for the site, with their content.
fn files() -> Vec<(String, Vec<u8>)> {
    let launch = example("website");
    let spec = launch.system.find("site").expect("the box site");
    let files = pearwood::build::assets_of(&launch.system, spec, &tests::node::workspace().join("examples/website"));
    files.expect("the site's files").into_iter().map(|file| (file.path, file.content)).collect()
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
    node.power_off();
}
