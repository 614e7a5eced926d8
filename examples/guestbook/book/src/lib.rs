//! A guestbook: `/` shows what guests have written and a form, and `/admin/` has a button to delete each entry. Who may see that page is
//! a rule of the box `http`.
//!
//! Entries are values in a bucket, under keys that count up; they are there until somebody deletes them.

use bindings::wasi::keyvalue::{
    atomics::increment,
    batch::get_many,
    store::{self, Bucket},
};
use std::collections::HashMap;
use wstd::http::{Body, Error, Method, Request, Response, Result, StatusCode};

#[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit/deps/wasi-keyvalue/keyvalue.wit",
        inline: "
            package example:guestbook;
            world book {
                import wasi:keyvalue/store@0.2.0-draft2;
                import wasi:keyvalue/atomics@0.2.0-draft2;
                import wasi:keyvalue/batch@0.2.0-draft2;
            }
        ",
        world: "example:guestbook/book",
        generate_all,
    });
}

/// The most bytes of what a guest sends.
const LONGEST: u64 = 16 << 10;
/// The most characters of a name, and of a text.
const LONGEST_NAME: usize = 100;
const LONGEST_TEXT: usize = 2_000;
/// Entries on a page.
const SHOWN: usize = 50;
/// Keys count down from here, so that the newest comes first.
const NUMBERS: i64 = 9_999_999_999;

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>> {
    let (head, mut body) = request.into_parts();
    let book = store::open("").map_err(in_words)?;
    match (head.method, head.uri.path()) {
        (Method::GET, "/") => page(&book, head.uri.query(), FORM, |_| String::new()),
        (Method::GET, "/admin/") => page(&book, head.uri.query(), "", |key| DELETE.replace("KEY", key)),
        // what another site's page has sent
        (Method::POST, _) if head.headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") => {
            text(StatusCode::FORBIDDEN, "Not from another site.\n")
        }
        (Method::POST, path @ ("/" | "/admin/")) => {
            if body.content_length().is_none_or(|length| length > LONGEST) {
                return text(StatusCode::PAYLOAD_TOO_LARGE, "That is too much.\n");
            }
            let form: HashMap<_, _> = form_urlencoded::parse(body.contents().await?).into_owned().collect();
            let field = |name: &str| form.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
            match (path, field("name"), field("text"), field("key")) {
                ("/", Some(name), Some(text), _) if is_longer(name, LONGEST_NAME) || is_longer(text, LONGEST_TEXT) => {
                    return self::text(StatusCode::BAD_REQUEST, "The name or the text is too long.\n");
                }
                ("/", Some(name), Some(text), _) => {
                    let number = increment(&book, "count", 1).map_err(in_words)?;
                    // as form_urlencoded has it again
                    let entry = form_urlencoded::Serializer::new(String::new()).append_pair(name, text).finish();
                    book.set(&format!("entry/{:010}", NUMBERS - number), entry.as_bytes()).map_err(in_words)?;
                }
                ("/admin/", _, _, Some(key)) => book.delete(key).map_err(in_words)?,
                _ => return text(StatusCode::BAD_REQUEST, "Something is missing.\n"),
            }
            Ok(Response::builder().status(StatusCode::SEE_OTHER).header("location", path).body(Body::empty())?)
        }
        _ => text(StatusCode::NOT_FOUND, "There is no such page.\n"),
    }
}

fn is_longer(text: &str, most: usize) -> bool {
    text.chars().nth(most).is_some()
}

/// Some entries, the newest first, each with what belongs to its key. The query says after which: the link to the next page has it.
fn page(book: &Bucket, query: Option<&str>, form: &str, button: impl Fn(&str) -> String) -> Result<Response<Body>> {
    let (mut keys, mut cursor) = (Vec::new(), query.and_then(|query| query.strip_prefix("after=")).map(String::from));
    while keys.len() <= SHOWN {
        let more = book.list_keys(cursor.as_deref()).map_err(in_words)?;
        keys.extend(more.keys.into_iter().filter(|key| key.starts_with("entry/")));
        cursor = more.cursor;
        if cursor.is_none() {
            break;
        }
    }
    let has_more = keys.len() > SHOWN;
    keys.truncate(SHOWN);
    let older = keys.last().filter(|_| has_more).map(|key| format!("<p><a href=\"?after={}\">Older</a>", escaped(key)));
    let mut entries = String::new();
    for (key, entry) in get_many(book, &keys).map_err(in_words)?.into_iter().flatten() {
        for (name, text) in form_urlencoded::parse(&entry) {
            let [name, text] = [name, text].map(|text| escaped(&text));
            entries += &format!("<li><b>{name}</b>: {text}{}</li>\n", button(&key));
        }
    }
    let page = PAGE.replace("FORM", form).replace("OLDER", &older.unwrap_or_default()).replace("ENTRIES", &entries);
    Ok(Response::builder().header("content-type", "text/html; charset=utf-8").body(page.into())?)
}

fn text(status: StatusCode, text: &'static str) -> Result<Response<Body>> {
    Ok(Response::builder().status(status).header("content-type", "text/plain; charset=utf-8").body(text.into())?)
}

fn in_words(error: store::Error) -> Error {
    Error::msg(format!("{error:?}"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const PAGE: &str = "<!DOCTYPE html>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<title>Guestbook</title>
<h1>Guestbook</h1>
FORM
<ul>
ENTRIES</ul>
OLDER
";

const FORM: &str = "<form method=\"post\">
<p><input name=\"name\" placeholder=\"Your name\" required maxlength=\"100\">
<p><textarea name=\"text\" placeholder=\"What you would like to say\" required maxlength=\"2000\"></textarea>
<p><button>Write</button>
</form>";

const DELETE: &str =
    " <form method=\"post\" style=\"display: inline\"><button name=\"key\" value=\"KEY\">Delete</button></form>";
