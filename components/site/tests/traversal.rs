//! Targets that try to leave the site. None may find anything but what is in it.

mod support;

use support::{Client, Files};

const TARGETS: &[&str] = &[
    "/../secret",
    "/..",
    "/.",
    "/./",
    "/../",
    "/../../../../etc/passwd",
    "/a/../../secret",
    "/a/../secret",
    "/a/./file",
    "//secret",
    "/a//file",
    "///",
    "/..;/secret",
    "/%2e%2e/secret",
    "/%2e%2e%2fsecret",
    "/..%2fsecret",
    "/%2e./secret",
    "/.%2e/secret",
    "/%252e%252e/secret",
    "/..%252fsecret",
    "/%c0%ae%c0%ae/secret",
    "/%c0%af..%c0%afsecret",
    "/%e0%80%ae%e0%80%ae/secret",
    "/%uff0e%uff0e/secret",
    "/..\\secret",
    "/..%5csecret",
    "/%5c..%5csecret",
    "/a\\..\\secret",
    "/a/..%00/secret",
    "/secret%00.html",
    "/%00",
    "/a%00/file",
    "/a/file%00",
    "/a/file/",
    "/a/file/.",
    "/a/file/..",
    "/a/.%0d./secret",
    "/~root/secret",
    "/C:/secret",
    "/C:%5csecret",
    "/file:///secret",
    "/a/%2e%2e/%2e%2e/secret",
    "/....//secret",
    "/.../secret",
    "/a/..../secret",
    "/ ../secret",
    "/%20../secret",
    "/..%20/secret",
    "/..?/secret",
    "/..#/secret",
    "/\u{ff0e}\u{ff0e}/secret",
    "/\u{2024}\u{2024}/secret",
    "/a%2ffile",
    "/a%2Ffile",
    "/%2fa/file",
    "/a/%2ffile",
    "/%61%2f%66ile",
    "/a/fil%65%2f",
    "/../a/file",
    "/x/../a/file",
];

#[test]
fn nothing_outside() {
    let mut client = Client::new(Files::new(&[("a/file", "inside"), ("index.html", "home")]));
    for target in TARGETS {
        let answer = client.get(target, &[]);
        assert!(matches!(answer.status, 400 | 404), "{target}: {} {:?}", answer.status, answer.body);
        assert!(!answer.text().contains("inside") && !answer.text().contains("home"), "{target}");
    }
    assert_eq!(client.get("/a/file", &[]).text(), "inside");
}

/// Even an image that holds names it should not gives them no URL.
#[test]
fn names_that_should_not_be_in_an_image() {
    let files = ["../secret", "..", "/etc/passwd", "a/../secret", "a//b", "a/", "./secret", "a\0b"];
    let files = files.iter().fold(Files::default(), |files, path| files.with(path, b"secret"));
    let mut client = Client::new(files);
    assert_eq!(client.site.warnings().count(), 8);
    let more = ["//etc/passwd", "/%2fetc/passwd", "/a/", "/a%00b", "/a//b", "/.", "/./secret"];
    for target in TARGETS.iter().chain(&more) {
        let answer = client.get(target, &[]);
        assert!(matches!(answer.status, 400 | 404), "{target}: {}", answer.status);
        assert!(!answer.text().contains("secret"), "{target}");
    }
}
