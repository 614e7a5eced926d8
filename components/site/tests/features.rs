//! What a site does for ordinary clients.

mod support;

use pearwood_site::Settings;
use support::{Client, DATE, Files};

fn files() -> Files {
    Files::new(&[
        ("404.html", "<p>Nothing here"),
        ("app.js", "let a = 1;"),
        ("app.js.br", "brotli"),
        ("app.js.gz", "gzip"),
        ("blog/index.html", "<p>Blog"),
        ("data.tar.gz", "tar"),
        ("empty.txt", ""),
        ("folder/file.txt", "file"),
        ("index.html", "<p>Home"),
        ("name with space.txt", "space"),
        ("only.css", "a{}"),
        ("only.css.gz", "gz"),
        ("straße/größe.txt", "ü"),
    ])
}

fn client() -> Client {
    Client::new(files())
}

#[test]
fn a_file() {
    let answer = client().get("/folder/file.txt", &[]);
    assert_eq!((answer.status, answer.text()), (200, "file"));
    let headers: Vec<_> = answer.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let etag = answer.etag();
    assert!(etag.len() == 34 && etag.starts_with('"') && etag.ends_with('"'));
    assert_eq!(
        headers,
        [
            ("accept-ranges", "bytes"),
            ("cache-control", "public, max-age=3600"),
            ("content-length", "4"),
            ("content-type", "text/plain; charset=utf-8"),
            ("etag", etag),
            ("last-modified", DATE),
            ("x-content-type-options", "nosniff"),
        ]
    );
}

#[test]
fn a_second_answer_is_the_first() {
    let mut client = client();
    for (method, target, lines) in [
        ("GET", "/folder/file.txt", &[][..]),
        ("HEAD", "/folder/file.txt", &[]),
        ("GET", "/empty.txt", &[]),
        ("GET", "/app.js", &[("accept-encoding", "br")]),
        ("GET", "/nothing", &[]),
    ] {
        let first = client.ask(method, target, lines);
        assert_eq!(client.ask(method, target, lines), first, "{method} {target}");
    }
}

#[test]
fn head_is_get_without_the_body() {
    let mut client = client();
    for target in ["/", "/app.js", "/empty.txt", "/nothing", "/blog", "/%zz"] {
        let get = client.get(target, &[("range", "bytes=0-0"), ("if-range", "\"other\"")]);
        let head = client.ask("HEAD", target, &[]);
        assert_eq!((head.status, &head.headers), (get.status, &get.headers), "{target}");
    }
}

#[test]
fn head_has_no_ranges() {
    let answer = client().ask("HEAD", "/app.js", &[("range", "bytes=0-0")]);
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("10")));
}

#[test]
fn an_empty_file() {
    let answer = client().get("/empty.txt", &[]);
    assert_eq!((answer.status, answer.header("content-length"), answer.text()), (200, Some("0"), ""));
}

#[test]
fn folders() {
    let mut client = client();
    assert_eq!(client.get("/", &[]).text(), "<p>Home");
    assert_eq!(client.get("/?a=b", &[]).text(), "<p>Home");
    assert_eq!(client.get("/blog/", &[]).text(), "<p>Blog");
    assert_eq!(client.get("/blog/index.html", &[]).text(), "<p>Blog");
    for (target, location) in
        [("/blog", "/blog/"), ("/blog?a=b&c=%20d?e", "/blog/?a=b&c=%20d?e"), ("/%62log", "/blog/")]
    {
        let answer = client.get(target, &[]);
        assert_eq!((answer.status, answer.header("location")), (301, Some(location)), "{target}");
    }
    assert_eq!(client.get("/folder", &[]).status, 404, "no index, nothing to be redirected to");
    assert_eq!(client.get("/folder/", &[]).status, 404);
    assert_eq!(client.get("/index.html/", &[]).status, 404);
}

#[test]
fn names_with_escapes() {
    let mut client = client();
    assert_eq!(client.get("/name%20with%20space.txt", &[]).text(), "space");
    assert_eq!(client.get("/stra%C3%9Fe/gr%c3%b6%C3%9fe.txt", &[]).text(), "ü");
    assert_eq!(client.get("/straße/größe.txt", &[]).text(), "ü");
    assert_eq!(client.get("/app%2ejs", &[]).status, 200);
    assert_eq!(client.get("/folder%2Ffile.txt", &[]).status, 404);
    assert_eq!(client.get("/%", &[]).status, 400);
}

#[test]
fn redirects_stay_on_the_site() {
    let files = Files::new(&[("a b\"é/index.html", "x"), ("evil.example/index.html", "x")]);
    let mut client = Client::new(files);
    assert_eq!(client.get("/a%20b%22%C3%A9", &[]).header("location"), Some("/a%20b%22%C3%A9/"));
    assert_eq!(client.get("//evil.example", &[]).status, 404);
    assert_eq!(client.get("/\\evil.example", &[]).status, 404);
    let answer = client.get("/evil.example?a=\r\nset-cookie: b=c", &[]);
    assert_eq!(answer.header("location"), Some("/evil.example/?a=%0D%0Aset-cookie:%20b=c"));
}

#[test]
fn what_is_not_there() {
    let answer = client().get("/nothing", &[]);
    assert_eq!((answer.status, answer.text()), (404, "<p>Nothing here"));
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!((answer.header("etag"), answer.header("cache-control")), (None, Some("no-cache")));
    let answer = Client::new(Files::default()).get("/", &[]);
    assert_eq!((answer.status, answer.text()), (404, "Not found.\n"));
}

#[test]
fn methods() {
    let mut client = client();
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT"] {
        let answer = client.ask(method, "/", &[]);
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, OPTIONS")), "{method}");
    }
    for target in ["/", "*", "/nothing"] {
        let answer = client.ask("OPTIONS", target, &[]);
        assert_eq!((answer.status, answer.header("allow")), (204, Some("GET, HEAD, OPTIONS")), "{target}");
    }
    for method in ["get", "BREW", "", "GETS"] {
        assert_eq!(client.ask(method, "/", &[]).status, 501, "{method:?}");
    }
    assert_eq!(client.get("*", &[]).status, 400);
}

#[test]
fn variants() {
    let mut client = client();
    let plain = client.get("/app.js", &[]);
    assert_eq!((plain.text(), plain.header("content-encoding")), ("let a = 1;", None));
    for (accepted, text, encoding) in [
        ("gzip, deflate, br", "brotli", Some("br")),
        ("gzip", "gzip", Some("gzip")),
        ("br;q=0.1, gzip;q=0.2", "gzip", Some("gzip")),
        ("zstd", "let a = 1;", None),
    ] {
        let answer = client.get("/app.js", &[("Accept-Encoding", accepted)]);
        assert_eq!((answer.status, answer.text(), answer.header("content-encoding")), (200, text, encoding));
        assert_eq!(answer.header("content-type"), Some("text/javascript; charset=utf-8"));
        assert_eq!((answer.header("vary"), answer.header("last-modified")), (Some("accept-encoding"), Some(DATE)));
        assert_eq!(answer.etag() == plain.etag(), encoding.is_none());
    }
    assert_eq!(plain.header("vary"), Some("accept-encoding"));
    let only = client.get("/only.css", &[("accept-encoding", "br, gzip;q=0.5")]);
    assert_eq!((only.text(), only.header("content-encoding")), ("gz", Some("gzip")));
    // A variant is a file too, and what looks like one may have nothing it is a variant of.
    for (target, text) in [("/app.js.gz", "gzip"), ("/data.tar.gz", "tar")] {
        let answer = client.get(target, &[("accept-encoding", "gzip")]);
        assert_eq!((answer.text(), answer.header("content-encoding"), answer.header("vary")), (text, None, None));
        assert_eq!(answer.header("content-type"), Some("application/gzip"));
    }
}

#[test]
fn settings() {
    let config = [
        ("index", "file.txt"),
        ("not-found", "blog/index.html"),
        ("cache-control.html", "no-store"),
        ("cache-control.paths.0.prefix", "/folder/"),
        ("cache-control.paths.0.value", "max-age=5"),
        ("headers.content-security-policy", "default-src 'self'"),
        ("types.js", "text/x-mine"),
    ];
    let config: Vec<_> = config.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    let mut client = Client::with(files(), Settings::read(&config).unwrap());
    assert_eq!(client.get("/folder/", &[]).text(), "file");
    assert_eq!(client.get("/folder/", &[]).header("cache-control"), Some("max-age=5"));
    assert_eq!(client.get("/index.html", &[]).header("cache-control"), Some("no-store"));
    assert_eq!(client.get("/only.css", &[]).header("cache-control"), Some("public, max-age=3600"));
    assert_eq!(client.get("/app.js", &[]).header("content-type"), Some("text/x-mine"));
    assert_eq!(client.get("/nothing", &[]).text(), "<p>Blog");
    for (method, target) in
        [("GET", "/app.js"), ("GET", "/nothing"), ("POST", "/"), ("GET", "/folder"), ("OPTIONS", "*")]
    {
        let answer = client.ask(method, target, &[]);
        assert_eq!(answer.header("content-security-policy"), Some("default-src 'self'"), "{method} {target}");
    }
}

#[test]
fn what_is_asked_for_again_is_not_read_again() {
    let files = files();
    let reads = files.reads.clone();
    let mut client = Client::new(files);
    client.get("/app.js", &[]);
    let cold = reads.get();
    assert!(cold > 0);
    for _ in 0..100 {
        client.get("/app.js", &[]);
        client.ask("HEAD", "/app.js", &[]);
        client.get("/app.js", &[("range", "bytes=1-2")]);
    }
    assert_eq!(reads.get(), cold);
}
