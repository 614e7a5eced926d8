//! Preconditions and ranges, as a client meets them. Their rules are tested where they are, in `preconditions` and
//! `range`; here is what they lead to.

mod support;

use support::{Answer, Client, DATE, Files};

const TEXT: &str = "0123456789abcdefghijklmnopqrstuvwxyz";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

fn client() -> Client {
    Client::new(Files::new(&[("a.txt", TEXT), ("a.txt.br", "BROTLI"), ("empty", ""), ("x/index.html", "<p>")]))
}

fn etag(client: &mut Client) -> String {
    client.get("/a.txt", &[]).etag().to_owned()
}

#[test]
fn not_modified() {
    let mut client = client();
    let etag = etag(&mut client);
    for method in ["GET", "HEAD"] {
        for lines in [[("if-none-match", etag.as_str())], [("if-none-match", "*")]] {
            let answer = client.ask(method, "/a.txt", &lines);
            assert_eq!((answer.status, answer.etag()), (304, etag.as_str()), "{method} {lines:?}");
            let names: Vec<_> = answer.headers.keys().map(String::as_str).collect();
            assert_eq!(names, ["cache-control", "etag", "last-modified", "vary", "x-content-type-options"]);
        }
    }
}

/// H1: a page that another has replaced, with the same date, is not the one that the client has; and H3: nor is an older one,
/// after a roll-back. All files of these tests have the same date.
#[test]
fn a_date_is_no_evidence_that_a_page_is_the_same() {
    let mut then = Client::new(Files::new(&[("a.html", "the page as it was")]));
    let date = then.get("/a.html", &[]).header("last-modified").unwrap().to_owned();
    let mut now = Client::new(Files::new(&[("a.html", "the page as it is now")]));
    for date in [date.as_str(), "Mon, 07 Nov 1994 08:49:37 GMT"] {
        let answer = now.get("/a.html", &[("if-modified-since", date)]);
        assert_eq!((answer.status, answer.text()), (200, "the page as it is now"), "{date}");
    }
}

/// H2: no bytes of one version are added to those of another because both have the same date.
#[test]
fn a_date_selects_no_part() {
    let mut now = Client::new(Files::new(&[("a.html", "the page as it is now")]));
    for condition in ["if-range", "if-unmodified-since"] {
        let answer = now.get("/a.html", &[("range", "bytes=8-"), (condition, DATE)]);
        assert_eq!((answer.status, answer.text()), (200, "the page as it is now"), "{condition}");
    }
}

#[test]
fn failed() {
    let mut client = client();
    for method in ["GET", "HEAD"] {
        for lines in [[("if-match", "\"other\"")], [("if-unmodified-since", BEFORE)]] {
            assert_eq!(client.ask(method, "/a.txt", &lines).status, 412, "{method} {lines:?}");
        }
    }
}

#[test]
fn each_representation_has_its_own_tag() {
    let mut client = client();
    let plain = etag(&mut client);
    let brotli = client.get("/a.txt", &[("accept-encoding", "br")]).etag().to_owned();
    assert_ne!(plain, brotli);
    let status = |client: &mut Client, accepted: &str, etag: &str| {
        client.get("/a.txt", &[("accept-encoding", accepted), ("if-none-match", etag)]).status
    };
    assert_eq!(status(&mut client, "br", &brotli), 304);
    assert_eq!(status(&mut client, "identity", &plain), 304);
    assert_eq!(status(&mut client, "br", &plain), 200);
    assert_eq!(status(&mut client, "identity", &brotli), 200);
    assert_eq!(status(&mut client, "br", &format!("{plain}, {brotli}")), 304);
}

#[test]
fn only_what_would_succeed_is_conditional() {
    let mut client = client();
    for lines in [[("if-match", "\"other\"")], [("if-none-match", "*")]] {
        assert_eq!(client.get("/nothing", &lines).status, 404);
        assert_eq!(client.get("/x", &lines).status, 301);
        assert_eq!(client.ask("OPTIONS", "/a.txt", &lines).status, 204);
    }
}

#[test]
fn one_range() {
    let mut client = client();
    for (range, text, content_range) in [
        ("bytes=0-4", "01234", "bytes 0-4/36"),
        ("bytes=34-", "yz", "bytes 34-35/36"),
        ("bytes=-1", "z", "bytes 35-35/36"),
        ("bytes=0-", TEXT, "bytes 0-35/36"),
        ("bytes=4-6,0-5", "0123456", "bytes 0-6/36"),
    ] {
        let answer = client.get("/a.txt", &[("range", range)]);
        assert_eq!((answer.status, answer.text()), (206, text), "{range}");
        assert_eq!(answer.header("content-range"), Some(content_range), "{range}");
        for name in ["etag", "last-modified", "cache-control", "vary"] {
            assert!(answer.header(name).is_some(), "{name}");
        }
    }
}

#[test]
fn ranges_are_of_the_representation() {
    let answer = client().get("/a.txt", &[("range", "bytes=1-2"), ("accept-encoding", "br")]);
    assert_eq!((answer.status, answer.text(), answer.header("content-encoding")), (206, "RO", Some("br")));
    assert_eq!(answer.header("content-range"), Some("bytes 1-2/6"));
}

#[test]
fn unsatisfiable() {
    let answer = client().get("/a.txt", &[("range", "bytes=36-")]);
    assert_eq!((answer.status, answer.header("content-range")), (416, Some("bytes */36")));
    assert_eq!(client().get("/empty", &[("range", "bytes=0-")]).status, 200);
}

#[test]
fn a_range_only_of_the_version_that_is_meant() {
    let mut client = client();
    let etag = etag(&mut client);
    let get = |client: &mut Client, lines: &[(&str, &str)]| {
        let range = [&[("range", "bytes=0-1")], lines].concat();
        let answer = client.get("/a.txt", &range);
        (answer.status, answer.body.len())
    };
    assert_eq!(get(&mut client, &[("if-range", &etag)]), (206, 2));
    assert_eq!(get(&mut client, &[("if-range", DATE)]), (200, 36));
    assert_eq!(get(&mut client, &[("if-range", "\"other\"")]), (200, 36));
    assert_eq!(get(&mut client, &[("if-range", &format!("W/{etag}"))]), (200, 36));
    assert_eq!(get(&mut client, &[("if-range", BEFORE)]), (200, 36));
    // Other conditions come first.
    assert_eq!(get(&mut client, &[("if-none-match", &etag)]), (304, 0));
    assert_eq!(get(&mut client, &[("if-match", &etag)]), (206, 2));
    assert_eq!(get(&mut client, &[("if-match", "\"other\""), ("if-range", &etag)]).0, 412);
    // An unsatisfiable range of another version is no error.
    assert_eq!(client.get("/a.txt", &[("range", "bytes=99-"), ("if-range", "\"other\"")]).status, 200);
}

#[test]
fn several_ranges() {
    let files = Files::default().with_pattern("big.bin", 1 << 20);
    let mut client = Client::new(files);
    let spans = [(1_000_000, 1_000_009), (0, 9), (500_000, 500_999)];
    let header = spans.map(|(first, last)| format!("{first}-{last}")).join(", ");
    let answer = client.get("/big.bin", &[("range", &format!("bytes={header}"))]);
    assert_eq!((answer.status, answer.header("content-range")), (206, None));
    let parts = parts(&answer);
    assert_eq!(parts.len(), spans.len());
    for ((head, content), (first, last)) in parts.iter().zip(spans) {
        let expected =
            format!("content-type: application/octet-stream\r\ncontent-range: bytes {first}-{last}/1048576\r\n\r\n");
        assert_eq!(*head, expected);
        assert!(content.iter().copied().eq((first..=last).map(support::pattern)));
    }
}

/// Heads and contents of a multipart body, read as RFC 2046 says.
fn parts(answer: &Answer) -> Vec<(String, Vec<u8>)> {
    let media_type = answer.header("content-type").unwrap();
    let boundary = media_type.strip_prefix("multipart/byteranges; boundary=").expect("multipart");
    let delimiter = format!("\r\n--{boundary}");
    let body = [b"\r\n", &answer.body[..]].concat();
    let mut starts: Vec<usize> = memchr::memmem::find_iter(&body, delimiter.as_bytes()).collect();
    let close = starts.pop().unwrap();
    assert_eq!(&body[close + delimiter.len()..], b"--\r\n");
    let ends = starts.iter().skip(1).copied().chain([close]);
    let part = |(start, end): (&usize, usize)| {
        let part = body[start + delimiter.len()..end].strip_prefix(b"\r\n").unwrap();
        let head = memchr::memmem::find(part, b"\r\n\r\n").unwrap() + 4;
        (String::from_utf8(part[..head].to_vec()).unwrap(), part[head..].to_vec())
    };
    starts.iter().zip(ends).map(part).collect()
}
