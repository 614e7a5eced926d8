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

fn configured(files: Files, config: &[(&str, &str)]) -> Client {
    Client::with(files, Settings::read(config.iter().copied()).unwrap())
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
            ("cache-control", "max-age=3600"),
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

/// H14: a `content-length` in an answer to HEAD is that of GET, and ranges are for GET only.
#[test]
fn head_has_no_ranges() {
    let mut client = client();
    let mut head = |range: &str| {
        let answer = client.ask("HEAD", "/app.js", &[("range", range)]);
        (answer.status, answer.header("content-length").map(str::to_owned))
    };
    assert_eq!(head("bytes=0-0"), (200, None));
    assert_eq!(head("bytes=0-1,90-"), (200, None));
    assert_eq!(head("bytes=99-"), (200, None), "GET has 416");
    assert_eq!(head("lines=0-0"), (200, Some("10".into())), "GET has all of it");
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

/// H15: what nobody has to keep in secret needs no `public`, and a redirect may be kept as long as a file.
#[test]
fn caching_defaults() {
    let mut client = client();
    for (target, value) in [("/", "no-cache"), ("/app.js", "max-age=3600"), ("/blog", "max-age=3600")] {
        assert_eq!(client.get(target, &[]).header("cache-control"), Some(value), "{target}");
    }
}

/// H5: what is stored compressed says so.
#[test]
fn svgz_is_compressed_svg() {
    let mut client = Client::new(Files::new(&[("pic.svgz", "gzip"), ("B.SVGZ", "gzip")]));
    for target in ["/pic.svgz", "/B.SVGZ"] {
        for accepted in ["gzip", "identity"] {
            let answer = client.get(target, &[("accept-encoding", accepted)]);
            assert_eq!((answer.text(), answer.header("content-encoding")), ("gzip", Some("gzip")), "{target}");
            assert_eq!((answer.header("content-type"), answer.header("vary")), (Some("image/svg+xml"), None));
        }
        assert_eq!(client.get(target, &[("range", "bytes=0-1")]).header("content-encoding"), Some("gzip"));
    }
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
        ("rules.0.path", "/folder/*"),
        ("rules.0.cache", "max-age=5"),
        ("headers.content-security-policy", "default-src 'self'"),
        ("types.js", "text/x-mine"),
    ];
    let mut client = configured(files(), &config);
    assert_eq!(client.get("/folder/", &[]).text(), "file");
    assert_eq!(client.get("/folder/", &[]).header("cache-control"), Some("max-age=5"));
    assert_eq!(client.get("/index.html", &[]).header("cache-control"), Some("no-store"));
    assert_eq!(client.get("/only.css", &[]).header("cache-control"), Some("max-age=3600"));
    assert_eq!(client.get("/app.js", &[]).header("content-type"), Some("text/x-mine"));
    assert_eq!(client.get("/nothing", &[]).text(), "<p>Blog");
    for (method, target) in
        [("GET", "/app.js"), ("GET", "/nothing"), ("POST", "/"), ("GET", "/folder"), ("OPTIONS", "*")]
    {
        let answer = client.ask(method, target, &[]);
        assert_eq!(answer.header("content-security-policy"), Some("default-src 'self'"), "{method} {target}");
    }
}

/// H6: files without an extension that have a type, and need headers.
#[test]
fn types_and_headers_by_path() {
    let files = Files::new(&[
        (".well-known/apple-app-site-association", "{}"),
        (".well-known/matrix/server", "{}"),
        ("build/app.wasm.br", "brotli"),
        ("other", "?"),
    ]);
    let config = [
        ("rules.0.path", "/.well-known/matrix/*"),
        ("rules.0.headers.access-control-allow-origin", "*"),
        ("rules.1.path", "/.well-known/*"),
        ("rules.1.type", "application/json"),
        ("rules.1.cache", "max-age=60"),
        ("rules.2.path", "*.wasm.br"),
        ("rules.2.type", "application/wasm"),
        ("rules.2.encoding", "br"),
    ];
    let mut client = configured(files, &config);
    for (target, media_type, origin) in [
        ("/.well-known/apple-app-site-association", "application/json", None),
        ("/.well-known/matrix/server", "application/json", Some("*")),
        ("/other", "application/octet-stream", None),
    ] {
        let answer = client.get(target, &[]);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(media_type)), "{target}");
        assert_eq!(answer.header("access-control-allow-origin"), origin, "{target}");
        let etag = answer.etag().to_owned();
        let again = client.get(target, &[("if-none-match", &etag)]);
        assert_eq!((again.status, again.header("access-control-allow-origin")), (304, origin), "{target}");
        assert_eq!(again.header("cache-control"), answer.header("cache-control"), "{target}");
    }
    let packed = client.get("/build/app.wasm.br", &[]);
    assert_eq!(
        (packed.header("content-type"), packed.header("content-encoding")),
        (Some("application/wasm"), Some("br"))
    );
}

#[test]
fn clean_urls() {
    let files =
        || files().with("about.html", b"<p>About").with("both.html", b"<p>File").with("both/index.html", b"<p>F");
    let mut client = configured(files(), &[("clean-urls", "true")]);
    for (target, text) in [("/about", "<p>About"), ("/both", "<p>File"), ("/both/", "<p>F"), ("/", "<p>Home")] {
        let answer = client.get(target, &[]);
        assert_eq!((answer.status, answer.text()), (200, text), "{target}");
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{target}");
    }
    // one page has one URL
    for (target, to) in
        [("/about.html?x", "/about?x"), ("/both.html", "/both"), ("/index.html", "/"), ("/both/index.html", "/both/")]
    {
        let answer = client.get(target, &[]);
        assert_eq!((answer.status, answer.header("location")), (301, Some(to)), "{target}");
    }
    assert_eq!(client.get("/index", &[]).status, 404);
    assert_eq!(client.get("/blog", &[]).status, 301);
    assert_eq!(client.get("/about/", &[]).status, 404);
    assert_eq!(Client::new(files()).get("/about", &[]).status, 404, "off unless it is asked for");
}

#[test]
fn a_page_for_what_an_application_shows() {
    let config = [("rules.0.path", "/app/*"), ("rules.0.fallback", "index.html")];
    let mut client = configured(files(), &config);
    let home = client.get("/", &[]);
    for target in ["/app/users/7", "/app", "/app/?x", "/app/a%2Fb", "/%61pp/x", "//app/x", "/x/../app/y"] {
        assert_eq!(client.get(target, &[]), home, "{target}");
    }
    let etag = home.etag().to_owned();
    assert_eq!(client.get("/app/x", &[("if-none-match", &etag)]).status, 304);
    assert_eq!(client.get("/app/../x", &[]).status, 404);
    assert_eq!((client.get("/other", &[]).status, client.ask("POST", "/app/x", &[]).status), (404, 405));
    assert_eq!(client.site.warnings().count(), 0);
    let config = [("rules.0.fallback", "no.html")];
    let mut client = configured(files(), &config);
    assert_eq!(client.get("/other", &[]).status, 404);
    let warnings: Vec<String> = client.site.warnings().collect();
    assert!(warnings.len() == 1 && warnings[0].contains("no.html"), "{warnings:?}");
}

#[test]
fn listings() {
    let files = || {
        let files = files().with("pub/a & <b>.txt", b"12345").with("pub/deep/er/x.css", b"a{}").with("pub/deep/y", b"");
        files.with("pub/x:y.js", b"1").with("pub/x:y.js.gz", b"2").with("pub/z.gz", b"3")
    };
    assert_eq!(Client::new(files()).get("/pub/", &[]).status, 404, "off unless it is asked for");
    let mut client = configured(files(), &[("rules.0.path", "/pub/*"), ("rules.0.listing", "true")]);
    let page = client.get("/pub/", &[]);
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let links = |page: &str| -> Vec<String> {
        page.split("href=\"").skip(1).map(|rest| rest[..rest.find('"').unwrap()].to_owned()).collect()
    };
    assert_eq!(links(page.text()), ["../", "./a%20&amp;%20%3Cb%3E.txt", "./deep/", "./x:y.js", "./z.gz"]);
    assert!(
        page.text().contains(">a &amp; &lt;b&gt;.txt</a><td align=\"right\">5<td>Sun, 06 Nov 1994"),
        "{}",
        page.text()
    );
    assert_eq!(links(client.get("/pub/deep/", &[]).text()), ["../", "./er/", "./y"]);
    assert_eq!(client.get("/pub/deep", &[]).header("location"), Some("/pub/deep/"));
    let etag = page.etag().to_owned();
    assert_eq!(client.get("/pub/", &[("if-none-match", &etag)]).status, 304);
    assert_eq!(client.get("/pub/", &[("range", "bytes=0-14")]).text(), "<!DOCTYPE html>");
    assert_eq!(client.get("/folder/", &[]).status, 404);
    // a folder with an index shows that
    let mut all = configured(files(), &[("rules.0.listing", "true")]);
    assert_eq!((all.get("/", &[]).text(), all.get("/blog/", &[]).text()), ("<p>Home", "<p>Blog"));
    assert_eq!(links(all.get("/folder/", &[]).text()), ["../", "./file.txt"]);
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
