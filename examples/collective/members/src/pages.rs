//! What people see.

use pearwood::http::Response;

/// A page. What is in it is this box's own text, and names of accounts, which have no characters that mean something in HTML.
pub fn page(status: u16, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<h1>{title}</h1>\n{body}\n"
    );
    Response::new(status, "text/html; charset=utf-8", html)
        .with(
            "content-security-policy",
            "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        )
        .with("x-content-type-options", "nosniff")
        .with("referrer-policy", "same-origin")
        .with("cache-control", "no-store")
}

/// To another page of the site.
pub fn go(to: &str) -> Response {
    page(303, "Elsewhere", "").with("location", to)
}

pub fn home(name: Option<&str>, count: usize) -> Response {
    let body = match name {
        Some(name) => format!("<p>You are {name}. <a href=\"/members\">The members' page</a></p>{LOG_OUT}"),
        None => "<p><a href=\"/log-in\">Log in</a> or <a href=\"/sign-up\">sign up</a>.</p>".into(),
    };
    page(200, "Members", &format!("<p>{count} have an account here.</p>{body}"))
}

pub fn members(name: &str) -> Response {
    page(200, "For members", &format!("<p>Welcome, {name}. The key to the shed is under the third pot.</p>{LOG_OUT}"))
}

const LOG_OUT: &str = "<form method=\"post\" action=\"/log-out\"><button>Log out</button></form>";

/// `why`: what was wrong with the last try.
pub fn form(status: u16, title: &str, action: &str, why: &str) -> Response {
    let complete = if action == "/sign-up" { "new-password" } else { "current-password" };
    let body = format!(
        "<p role=\"alert\">{why}</p><form method=\"post\" action=\"{action}\">\
         <p><label>Name <input name=\"name\" autocomplete=\"username\" required maxlength=\"32\"></label></p>\
         <p><label>Password <input name=\"password\" type=\"password\" autocomplete=\"{complete}\" required></label></p>\
         <button>{title}</button></form>"
    );
    page(status, title, &body)
}
